#ifndef POSTROOM_QUEUE_DSN_H
#define POSTROOM_QUEUE_DSN_H

#include "core/base/buf.h"

/* The report that a message could not be delivered, or not yet: multipart/report with a text for
 * people, the fields of RFC 3464, and the header of the message. Sent with an empty envelope
 * sender. */
struct dsn_rcpt {
	struct str address; /* the final recipient */
	struct str orig;    /* as the sender wrote it */
	struct str reply;   /* "550 5.1.1 No such user here"; empty: there was none yet */
};

struct dsn {
	struct str hostname;
	struct str to;	       /* the envelope sender of the message */
	struct str qid;	       /* of the message */
	struct str report_qid; /* of the report */
	int64_t now_ms;
	int64_t received_ms;
	struct str header; /* of the message, whole lines with CRLF; may be cut */
	bool delayed;	   /* nothing has failed: they are tried until until_ms */
	int64_t until_ms;
	const struct dsn_rcpt *rcpts;
	size_t rcpts_count;
};

/* Appends the whole report, CRLF line ends. ERR_LIMIT: out is full. */
MUST_USE enum err
dsn_build(const struct dsn *d, struct buf *out);

/* The part of text up to its empty line, in whole lines, at most max bytes. */
struct str
dsn_header_of(struct str text, size_t max_bytes);

#endif
