/* Records of queue.mdb: damaged bytes are refused without harm, and what decodes encodes to the
 * same bytes, or from an older version to what decodes alike. The sum is made right first, or
 * hardly anything would pass it. Replies of an LMTP server come along. */
#include <assert.h>
#include <stdlib.h>

#include "core/base/codec.h"
#include "delivery/queue/record.h"
#include "delivery/queue/reply.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same_again(const struct record *r, struct str bytes, struct arena *a)
{
	struct buf once, twice;
	struct record back;

	buf_init(&once, 2 * RECORD_MAX);
	buf_init(&twice, 2 * RECORD_MAX);
	assert(record_encode(r, &once) == ERR_OK);
	/* The newest version is written as it was read; older ones become it. */
	if (str_eq(str_sub(bytes, 4, 1), str_sub(buf_str(&once), 4, 1)))
		assert(str_eq(bytes, buf_str(&once)));
	assert(record_decode(buf_str(&once), a, &back) == ERR_OK);
	assert(record_encode(&back, &twice) == ERR_OK);
	assert(str_eq(buf_str(&once), buf_str(&twice)));
	assert(record_next_ms(&back) == record_next_ms(r));
	buf_fini(&once);
	buf_fini(&twice);
}

static void
use(struct record *r, struct arena *a)
{
	for (uint32_t i = 0; i < r->rcpts_count; i++)
		(void)str_ends(record_sender(r, &r->rcpts[i]), STR("@example.org"));
	if (r->origs_count != 0) {
		struct record_rcpt *c = record_add_rcpt(r, a, STR("a@example.org"), 0);
		assert(c != NULL && record_set_sender(r, a, c, STR("b@example.org")) == ERR_OK);
		assert(str_eq(record_sender(r, c), STR("b@example.org")));
	}
}

static void
record(struct str in)
{
	struct arena *a = arena_new(64 * 1024 * 1024);
	struct buf fixed;
	struct record r;
	uint32_t crc = crc32c(0, in);

	buf_init(&fixed, in.n + 4);
	buf_add(&fixed, in);
	for (int i = 0; i < 4; i++)
		buf_addc(&fixed, (char)(crc >> (8 * i)));
	if (record_decode(buf_str(&fixed), a, &r) == ERR_OK) {
		same_again(&r, buf_str(&fixed), a);
		use(&r, a);
	}
	if (record_decode(in, a, &r) == ERR_OK)
		(void)record_next_ms(&r);
	buf_fini(&fixed);
	arena_free(a);
}

static void
replies(struct str in)
{
	struct reply r;
	struct str line;

	reply_init(&r);
	while (in.n != 0) {
		enum err e;
		(void)str_cut(in, '\n', &line, &in);
		e = reply_add(&r, line);
		if (e != ERR_OK && e != ERR_AGAIN)
			reply_init(&r);
		else
			assert(r.code >= 200 && r.code <= 599 && r.text[r.text_len] == '\0');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	record(str_n(data, size));
	replies(str_n(data, size));
	return 0;
}
