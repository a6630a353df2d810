/* LMTP command lines and dotted data: nothing crashes, accepted paths are clean, and dots decode
 * alike wherever the input is cut. */
#include <assert.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "delivery/lmtp/command.h"
#include "delivery/lmtp/dot.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
collect(void *arg, struct str bytes)
{
	buf_add(arg, bytes);
}

static size_t
decode(struct str in, size_t step, struct buf *out)
{
	struct dot_decoder d;
	size_t used = 0;

	dot_init(&d);
	while (used < in.n && !dot_ended(&d))
		used += dot_decode(&d, str_sub(in, used, step), collect, out);
	return dot_ended(&d) ? used : SIZE_MAX;
}

static void
command(struct str line)
{
	struct lmtp_command c;
	char bare[LMTP_PATH_MAX + 1];
	size_t n;

	if (lmtp_command_parse(line, &c) != ERR_OK)
		return;
	assert(c.path_len <= LMTP_PATH_MAX && c.path[c.path_len] == '\0');
	for (size_t i = 0; i < c.path_len; i++)
		assert((unsigned char)c.path[i] >= 0x20 && (unsigned char)c.path[i] != 0x7f);
	assert(str_is_utf8(lmtp_command_path(&c)));
	assert(c.utf8 == str_has_8bit(lmtp_command_path(&c)));
	assert(c.verb != LMTP_RCPT || c.path_len != 0);
	if (!lmtp_address_without_tag(lmtp_command_path(&c), '+', bare, &n))
		return;
	assert(n < c.path_len);
	assert(n + 1 + lmtp_address_tag(lmtp_command_path(&c), '+').n == c.path_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size), line, rest = in;
	struct buf whole, cut;

	buf_init(&whole, size + 1);
	buf_init(&cut, size + 1);
	assert(decode(in, size == 0 ? 1 : size, &whole) == decode(in, 1 + size % 7, &cut));
	assert(str_eq(buf_str(&whole), buf_str(&cut)));
	buf_fini(&whole);
	buf_fini(&cut);
	while (rest.n != 0) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_ends(line, STR("\r")))
			line.n--;
		command(line);
	}
	return 0;
}
