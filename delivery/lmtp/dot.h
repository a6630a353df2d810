#ifndef POSTROOM_LMTP_DOT_H
#define POSTROOM_LMTP_DOT_H

#include "core/base/str.h"

/* Decodes the message after DATA: ends at CR LF "." CR LF and nowhere else, takes the dot
 * away that the sender put before a line's first dot. RFC 5321 4.5.2. Bare CR and bare LF are
 * bytes like others: they begin no line and end nothing. */
struct dot_decoder {
	enum dot_state { DOT_LINE_START, DOT_TEXT, DOT_CR, DOT_DOT, DOT_DOT_CR, DOT_END } state;
};

static inline void
dot_init(struct dot_decoder *d)
{
	d->state = DOT_LINE_START; /* the CRLF of the DATA command counts as the one before */
}

/* Decode bytes of in into runs: emit is called for each run of message bytes (borrowed, in
 * order). Returns how many bytes of in were used: all, or up to the end behind the last CRLF;
 * then dot_ended is true and the rest belongs to the next command. */
typedef void (*dot_fn)(void *arg, struct str bytes);
size_t
dot_decode(struct dot_decoder *d, struct str in, dot_fn emit, void *arg);

static inline bool
dot_ended(const struct dot_decoder *d)
{
	return d->state == DOT_END;
}

#endif
