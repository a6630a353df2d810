/* Fuzzes the grammar before login: commands are framed and taken apart as imap/gate/gate.c does it.
 * A frame of a prefix must never end later than the frame of the whole. */
#include <stdlib.h>

#include "imap/gate/parse.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
take_apart(struct str bytes)
{
	struct gate_command c;
	struct buf b;
	if (gate_command(bytes, &c) != ERR_OK)
		return;
	if (c.tag.n == 0 || c.name.n == 0)
		abort();
	buf_init(&b, 4096);
	struct str args = c.args;
	while (gate_astring(&args, &b) == ERR_OK && gate_space(&args) == ERR_OK)
		continue;
	enum err e = gate_id_list(c.args, NULL, NULL);
	if (e != ERR_OK && e != ERR_SYNTAX)
		abort();
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	while (in.n > 0) {
		struct gate_frame f, g;
		enum err e = gate_frame(in, 8192, &f);
		if (e != ERR_OK)
			break;
		if (f.end == 0 || f.end > in.n)
			abort();
		if (gate_frame(str_sub(in, 0, f.end), 8192, &g) != ERR_OK || g.end != f.end)
			abort();
		if (gate_frame(str_sub(in, 0, f.end - 1), 8192, &g) == ERR_OK && g.end >= f.end)
			abort();
		take_apart(str_sub(in, 0, f.end));
		in = str_from(in, f.end);
	}
	return 0;
}
