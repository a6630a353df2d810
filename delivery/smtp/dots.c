/* The DATA decoder; see dots.h. Called by session_data.c for every piece that arrives. Invariant:
 * the result does not depend on how the bytes were cut. */
#include "delivery/smtp/dots.h"

enum { LINE_OCTETS_MAX = 998 };

void
dots_init(struct dots *d, bool raw)
{
	*d = (struct dots){ .state = DOTS_START, .raw = raw };
}

void
dots_init_binary(struct dots *d)
{
	*d = (struct dots){ .state = DOTS_START, .raw = true, .binary = true };
}

/* Is it lines still? RFC 5321 4.5.3.1.6 */
static void
look(struct dots *d, struct str in)
{
	for (size_t i = 0; i < in.n && !d->odd; i++) {
		char c = in.p[i];
		if (d->state == DOTS_CR && c == '\n') {
			d->state = DOTS_START;
			d->line = 0;
			continue;
		}
		d->odd = d->state == DOTS_CR || c == '\n' || c == '\0' ||
			 (c != '\r' && ++d->line > LINE_OCTETS_MAX);
		d->state = c == '\r' ? DOTS_CR : DOTS_TEXT;
	}
}

static void
bare_newline(struct dots *d, struct buf *out)
{
	d->bare = true;
	buf_add(out, STR("\r\n"));
}

static void
text_byte(struct dots *d, char c, struct buf *out)
{
	d->state = DOTS_TEXT;
	if (c == '\r')
		d->state = DOTS_CR;
	else if (c == '\n')
		bare_newline(d, out);
	else
		buf_addc(out, c);
}

static void
one_byte(struct dots *d, char c, struct buf *out)
{
	switch (d->state) {
	case DOTS_START:
		if (c == '.' && !d->raw)
			d->state = DOTS_DOT;
		else
			text_byte(d, c, out);
		return;
	case DOTS_DOT:
		if (c == '\r')
			d->state = DOTS_DOT_CR;
		else
			text_byte(d, c, out);
		return;
	case DOTS_DOT_CR:
		if (c == '\n') {
			d->state = DOTS_END;
			return;
		}
		bare_newline(d, out);
		text_byte(d, c, out);
		return;
	case DOTS_CR:
		if (c == '\n') {
			buf_add(out, STR("\r\n"));
			d->state = DOTS_START;
			return;
		}
		bare_newline(d, out);
		text_byte(d, c, out);
		return;
	case DOTS_TEXT:
		text_byte(d, c, out);
		return;
	case DOTS_END:
		return;
	}
}

size_t
dots_feed(struct dots *d, struct str in, struct buf *out)
{
	size_t i = 0, lf = 0;

	if (d->binary) {
		look(d, in);
		buf_add(out, in);
		return in.n;
	}
	while (i < in.n && d->state != DOTS_END) {
		size_t run;
		if (d->state != DOTS_TEXT) {
			one_byte(d, in.p[i++], out);
			continue;
		}
		/* lf is kept: many bare CRs must not make this search the rest again and again. */
		if (lf < i || i == 0)
			lf = i + str_chr(str_from(in, i), '\n');
		run = str_chr(str_sub(in, i, lf - i), '\r');
		if (i + run + 1 == lf && lf < in.n) {
			buf_add(out, str_sub(in, i, run + 2)); /* the usual line end */
			d->state = DOTS_START;
			i += run + 2;
		} else if (run > 0) {
			buf_add(out, str_sub(in, i, run));
			i += run;
		} else {
			one_byte(d, in.p[i++], out);
		}
	}
	return i;
}

void
dots_finish(struct dots *d, struct buf *out)
{
	if (d->binary)
		d->odd |= d->state != DOTS_START;
	else if (d->state == DOTS_CR)
		bare_newline(d, out);
	else if (d->state == DOTS_TEXT)
		buf_add(out, STR("\r\n"));
	d->state = DOTS_END;
}
