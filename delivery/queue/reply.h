#ifndef POSTROOM_QUEUE_REPLY_H
#define POSTROOM_QUEUE_REPLY_H

#include "core/base/str.h"

/* Replies of an LMTP server, line by line: "250-first" CRLF "250 2.1.5 last" CRLF. RFC 5321 4.2,
 * RFC 2034. */
enum { REPLY_TEXT_MAX = 480, REPLY_LINE_MAX = 2048 };

struct reply {
	unsigned code;		       /* 200 to 599 */
	char status[12];	       /* "5.1.1"; made from the code when the server gave none */
	char text[REPLY_TEXT_MAX + 1]; /* of the last line, without code; printable */
	size_t text_len;
	bool open; /* lines came, the last one is still missing */
};

void
reply_init(struct reply *r);
/* Take the next line (without CRLF). ERR_AGAIN: more lines follow; ERR_OK: whole; the next line
 * begins a new one; ERR_SYNTAX: no reply. */
MUST_USE enum err
reply_add(struct reply *r, struct str line);
static inline bool
reply_is(const struct reply *r, unsigned hundreds)
{
	return r->code / 100 == hundreds;
}
/* Made here, not by a server: "451", "4.4.1", "connection lost". */
void
reply_set(struct reply *r, unsigned code, const char *status, const char *text);

#endif
