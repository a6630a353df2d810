#ifndef POSTROOM_REMOTE_LINES_H
#define POSTROOM_REMOTE_LINES_H

#include "core/base/buf.h"

/* A message on its way out: each CR, each LF and each CR LF becomes one CR LF, so that nothing but
 * our own end of data can look like one to any server; with dots, each dot that begins a line
 * gets another in front. RFC 5321 2.3.8, 4.5.2. */
struct lines {
	bool dots;
	bool raw; /* BINARYMIME: everything stays as it is */
	bool cr;  /* a CR came last, its line end is not written yet */
	bool bol; /* the next octet begins a line */
	bool in_header;
	bool seen_8bit;
	bool seen_8bit_header;
};

void
lines_init(struct lines *l, bool dots, bool raw);
/* Appends to out, at most twice in.n and one octet. */
void
lines_add(struct lines *l, struct str in, struct buf *out);
/* The end of the message: the last line is ended. */
void
lines_end(struct lines *l, struct buf *out);

#endif
