#ifndef POSTROOM_SMTP_DOTS_H
#define POSTROOM_SMTP_DOTS_H

#include "core/base/buf.h"

/* The content of DATA (or of BDAT, without dots) as it streams in: dots taken off, line ends made
 * CR LF. Only CR LF . CR LF ends DATA; a "line" that a bare CR or LF made begins nothing: a dot
 * there stays, and ends nothing. RFC 5321 4.1.1.4, 4.5.2. */
enum dots_state {
	DOTS_START, /* behind CR LF, or at the beginning */
	DOTS_TEXT,
	DOTS_CR,
	DOTS_DOT,    /* a dot at the start */
	DOTS_DOT_CR, /* … and a CR */
	DOTS_END,
};

struct dots {
	enum dots_state state;
	bool raw;    /* BDAT: dots are text */
	bool bare;   /* a bare CR or LF was seen (and made CR LF) */
	bool binary; /* nothing is changed; RFC 3030 3 */
	bool odd;    /* binary: not only lines of at most 998 octets without NUL */
	unsigned line;
};

void
dots_init(struct dots *d, bool raw);
/* For BDAT of BODY=BINARYMIME. */
void
dots_init_binary(struct dots *d);
/* Decode in, append to out (at most twice as many bytes, and 2). Returns the bytes of in that
 * belong to the message: less than in.n only at DOTS_END. */
size_t
dots_feed(struct dots *d, struct str in, struct buf *out);
/* The end of the last BDAT chunk: what is pending is added, and a last line without an end gets
 * one, unless binary. */
void
dots_finish(struct dots *d, struct buf *out);

#endif
