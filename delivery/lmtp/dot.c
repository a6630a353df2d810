/* The decoder of a message's dots, for session.c. It keeps no bytes: what it holds back at the
 * end of a chunk is said by its state alone, so chunks may be cut anywhere. */
#include "delivery/lmtp/dot.h"

/* From from: the end of the run that can be emitted as it stands, up to and including the next
 * CRLF, or up to a final CR, which stays open. */
static size_t
text_end(struct str in, size_t from, enum dot_state *state)
{
	for (;;) {
		const char *cr = memchr(in.p + from, '\r', in.n - from);
		size_t at;
		if (cr == NULL) {
			*state = DOT_TEXT;
			return in.n;
		}
		at = (size_t)(cr - in.p);
		if (at + 1 == in.n) {
			*state = DOT_CR;
			return in.n;
		}
		from = at + 1;
		if (in.p[from] == '\n') {
			*state = DOT_LINE_START;
			return from + 1;
		}
	}
}

static void
emit_run(dot_fn emit, void *arg, struct str in, size_t from, size_t to)
{
	if (to > from)
		emit(arg, str_sub(in, from, to - from));
}

size_t
dot_decode(struct dot_decoder *d, struct str in, dot_fn emit, void *arg)
{
	size_t i = 0, run = 0; /* in[run, i) waits to be emitted */

	while (i < in.n && d->state != DOT_END) {
		char c = in.p[i];
		switch (d->state) {
		case DOT_LINE_START:
			if (c == '.') {
				emit_run(emit, arg, in, run, i);
				run = ++i;
				d->state = DOT_DOT;
				break;
			}
			d->state = DOT_TEXT;
			break;
		case DOT_TEXT:
			i = text_end(in, i, &d->state);
			break;
		case DOT_CR:
			d->state = c == '\n' ? DOT_LINE_START : DOT_TEXT;
			i += c == '\n';
			break;
		case DOT_DOT:
			/* A lone dot before anything but CR is a stuffed one: already dropped. */
			d->state = c == '\r' ? DOT_DOT_CR : DOT_TEXT;
			i += c == '\r';
			break;
		case DOT_DOT_CR:
			if (c == '\n') {
				i++;
				d->state = DOT_END;
				return i;
			}
			/* ".\r" and no "\n": the dot was stuffed, the CR is text. */
			if (run == i)
				emit(arg, STR("\r"));
			else
				emit_run(emit, arg, in, run, i);
			run = i;
			d->state = c == '\r' ? DOT_CR : DOT_TEXT;
			i += c == '\r';
			break;
		case DOT_END:
			break;
		}
	}
	/* A CR behind a dot is not text before the next byte says so. */
	emit_run(emit, arg, in, run, d->state == DOT_DOT_CR && i > run ? i - 1 : i);
	return i;
}
