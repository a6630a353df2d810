/* Line ends and dots of outgoing messages; see lines.h. dialog's transfer calls it. Invariant: what
 * it writes (but for raw) holds CR and LF only as pairs. */
#include "delivery/remote/lines.h"

void
lines_init(struct lines *l, bool dots, bool raw)
{
	*l = (struct lines){ .dots = dots, .raw = raw, .bol = true, .in_header = true };
}

static void
line_break(struct lines *l, struct buf *out)
{
	if (l->bol)
		l->in_header = false;
	buf_add(out, STR("\r\n"));
	l->bol = true;
}

/* Octets without CR or LF in front. */
static size_t
run_length(struct lines *l, struct str in)
{
	size_t i = 0;
	unsigned char all = 0;

	while (i < in.n && in.p[i] != '\r' && in.p[i] != '\n')
		all |= (unsigned char)in.p[i++];
	if (all >= 0x80) {
		l->seen_8bit = true;
		l->seen_8bit_header |= l->in_header;
	}
	return i;
}

void
lines_add(struct lines *l, struct str in, struct buf *out)
{
	if (l->raw) {
		l->seen_8bit |= str_has_8bit(in);
		buf_add(out, in);
		return;
	}
	while (in.n != 0) {
		if (l->cr) {
			l->cr = false;
			line_break(l, out);
			if (in.p[0] == '\n') {
				in = str_from(in, 1);
				continue;
			}
		}
		size_t n = run_length(l, in);
		if (n != 0) {
			if (l->bol && l->dots && in.p[0] == '.')
				buf_addc(out, '.');
			buf_add(out, str_sub(in, 0, n));
			l->bol = false;
		}
		if (n < in.n) {
			if (in.p[n] == '\r')
				l->cr = true;
			else
				line_break(l, out);
			n++;
		}
		in = str_from(in, n);
	}
}

void
lines_end(struct lines *l, struct buf *out)
{
	if (l->raw)
		return;
	if (l->cr)
		line_break(l, out);
	else if (!l->bol)
		line_break(l, out);
	l->cr = false;
}
