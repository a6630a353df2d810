#ifndef POSTROOM_QUEUE_DSN_H
#define POSTROOM_QUEUE_DSN_H

#include "core/base/buf.h"
#include "delivery/queue/owed.h"

/* Reports about messages: multipart/report with a text for people, the fields of RFC 3464, and the
 * message or its header (RFC 3462); of messages that need SMTPUTF8 with the types of RFC 6533. Sent
 * with an empty envelope sender. Everything is borrowed. */
struct dsn_rcpt {
	enum action action; /* never ACTION_NONE */
	struct str address; /* the final recipient */
	struct str orig;    /* as the sender wrote it */
	struct str orcpt;   /* xtext; empty: none */
	struct str reply;   /* "550 5.1.1 No such user here"; empty: there was none yet */
	struct str host;    /* who said so; empty: we did */
	struct str host_address;
	int64_t last_ms; /* the last try; 0: none */
};

struct dsn {
	struct str hostname;
	struct str to;
	struct str qid;	       /* of the message */
	struct str report_qid; /* of the report */
	struct str envid;      /* xtext; empty: none */
	int64_t now_ms;
	int64_t received_ms;
	int64_t until_ms;   /* when those that wait are given up */
	bool twice;	    /* to the postmaster, about a report that failed */
	struct str content; /* of the message: all of it, or the header */
	bool whole;
	const struct dsn_rcpt *rcpts; /* at least one */
	size_t rcpts_count;
};

/* Appends the whole report, CRLF line ends; flags_out: SPOOL_8BITMIME and SPOOL_SMTPUTF8 where the
 * report needs them. utf8: the message is internationalised. ERR_LIMIT: out is full. */
MUST_USE enum err
dsn_build(const struct dsn *d, bool utf8, struct buf *out, unsigned *flags_out);

/* dsn_text.c: the text for people; UTF-8 where addresses or the subject are. */
void
dsn_add_text(const struct dsn *d, struct buf *out);
/* "Your message could not be delivered", after the worst of its recipients. */
const char *
dsn_subject(const struct dsn *d);
/* "5.1.1": of the reply, as the action demands it: 2, 4 or 5 in front. RFC 3463 */
struct str
dsn_status(const struct dsn_rcpt *r);

/* The part of text up to its empty line, in whole lines, at most max bytes. */
struct str
dsn_header_of(struct str text, size_t max_bytes);
/* xtext decoded (RFC 3461 4), "\x{…}" of RFC 6533 3 too where utf8; appended. */
void
dsn_xtext(struct str in, bool utf8, struct buf *out);

#endif
