/* What DATA brings: the decoder of dots and line ends, and the check of the header. */
#include <assert.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "delivery/smtp/dots.h"
#include "delivery/smtp/header.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The decoder gives the same, whole and byte by byte, and never a dot line or a bare newline that
 * was not made harmless. */
static void
dots_alike(struct str in)
{
	struct dots whole, bytes;
	struct buf a, b;
	size_t used = 0, got;

	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	dots_init(&whole, false);
	dots_init(&bytes, false);
	got = dots_feed(&whole, in, &a);
	while (used < in.n && bytes.state != DOTS_END)
		used += dots_feed(&bytes, str_sub(in, used, 1), &b);
	assert(got == used && whole.state == bytes.state && whole.bare == bytes.bare);
	assert(str_eq(buf_str(&a), buf_str(&b)));
	for (size_t i = 0; i < a.n; i++) {
		char c = buf_str(&a).p[i];
		assert(c != '\n' || (i > 0 && buf_str(&a).p[i - 1] == '\r'));
		assert(c != '\r' || (i + 1 < a.n && buf_str(&a).p[i + 1] == '\n'));
	}
	buf_fini(&a);
	buf_fini(&b);
}

/* Binary octets stay, and what is odd among them does not depend on cuts. */
static void
binary_alike(struct str in)
{
	struct dots whole, bytes;
	struct buf a;

	buf_init(&a, 1 << 20);
	dots_init_binary(&whole);
	dots_init_binary(&bytes);
	assert(dots_feed(&whole, in, &a) == in.n && str_eq(buf_str(&a), in));
	buf_reset(&a);
	for (size_t i = 0; i < in.n; i++)
		assert(dots_feed(&bytes, str_sub(in, i, 1), &a) == 1);
	dots_finish(&whole, &a);
	dots_finish(&bytes, &a);
	assert(str_eq(buf_str(&a), in) && whole.odd == bytes.odd);
	assert(whole.odd || in.n == 0 || str_ends(in, STR("\r\n")));
	buf_fini(&a);
}

static void
header_any(struct str in, bool submission)
{
	struct header_context c = { .complete = submission,
		.demand_from = submission,
		.hostname = STR("x"),
		.received = STR("Received: x\r\n"),
		.date = STR("d"),
		.message_id = STR("<m@x>"),
		.hops_max = 50 };
	struct arena *a = arena_new(1 << 20);
	struct header_facts f;
	struct buf out;

	buf_init(&out, 1 << 20);
	if (header_rewrite(in, &c, a, &out, &f) == REPLY_OK) {
		assert((f.from_count > 0) == submission && str_ends(buf_str(&out), STR("\r\n")));
		for (size_t i = 0; i < f.from_count; i++)
			assert(str_rchr(f.from[i], '@') > 0);
	}
	buf_fini(&out);
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);

	dots_alike(in);
	binary_alike(in);
	header_any(in, true);
	header_any(in, false);
	return 0;
}
