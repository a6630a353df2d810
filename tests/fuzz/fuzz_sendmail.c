/* Messages as local programs pipe them to sendmail. Properties: cut anywhere, the lines come out
 * the same; every line ends with CR LF; header and body lie inside; no recipient and no From can
 * hold what would end its command or line. */
#include <stdlib.h>

#include "core/mail/header.h"
#include "delivery/sendmail/compose.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void
run_lines(struct str in, size_t step, bool dot_is_text, struct buf *out)
{
	struct compose_lines l;

	compose_lines_init(&l, dot_is_text);
	while (in.n > 0) {
		size_t n = step < in.n ? step : in.n;
		compose_lines_feed(&l, str_sub(in, 0, n), out);
		in = str_from(in, n);
	}
	compose_lines_end(&l, out);
	compose_lines_fini(&l);
}

static void
check_recipients(struct str header, struct str name)
{
	struct compose_list l = { .arena = arena_new(1 << 20) };
	struct buf from;

	if (compose_add_header(&l, header) == ERR_OK)
		for (size_t i = 0; i < l.n; i++) {
			CHECK(l.v[i].n > 0);
			CHECK(str_chr(l.v[i], '\r') == l.v[i].n);
			CHECK(str_chr(l.v[i], '\n') == l.v[i].n);
			CHECK(!str_has_nul(l.v[i]));
		}
	buf_init(&from, 1 << 20);
	compose_from(header, name, STR("a@example.org"), &from);
	CHECK(from.n == 0 || header_count(buf_str(&from), STR("From")) == 1);
	CHECK(header_length(buf_str(&from)) == from.n);
	buf_fini(&from);
	free(l.v);
	arena_free(l.arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n((const char *)data, size);
	bool dot_is_text = size > 0 && (data[0] & 1) != 0;
	size_t step = size > 1 ? 1 + data[1] % 7 : 1;
	struct compose_split s;
	struct buf whole, pieces;

	if (size > 65536)
		return 0;
	buf_init(&whole, 4 * size + 16);
	buf_init(&pieces, 4 * size + 16);
	run_lines(in, size, dot_is_text, &whole);
	run_lines(in, step, dot_is_text, &pieces);
	CHECK(str_eq(buf_str(&whole), buf_str(&pieces)));
	CHECK(whole.n == 0 || str_ends(buf_str(&whole), STR("\r\n")));
	for (size_t i = 0; i < whole.n; i++)
		CHECK(whole.mem[i] != '\n' || (i > 0 && whole.mem[i - 1] == '\r'));
	s = compose_split(buf_str(&whole));
	CHECK(s.fields <= s.body && s.body <= whole.n);
	check_recipients(str_sub(buf_str(&whole), 0, s.fields), str_sub(in, 0, 80));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
