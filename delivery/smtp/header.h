#ifndef POSTROOM_SMTP_HEADER_H
#define POSTROOM_SMTP_HEADER_H

#include "core/base/arena.h"
#include "delivery/smtp/reply.h"

/* What smtp does to a message's header. Always: adds Received (RFC 5321 4.4), takes out
 * Authentication-Results that claim to be ours (RFC 8601 5) and Return-Path, which the last server
 * writes (RFC 5321 4.4). As a submission server (RFC 6409 8) it also adds Date and Message-ID where
 * they are missing, takes Bcc and Resent-Bcc out (RFC 5322 3.6.3: the first of the three ways), and
 * finds the addresses in From and Sender. Nothing else is touched: all other octets and their order
 * stay. */
struct header_context {
	bool complete;	       /* add and take out as a submission server */
	bool demand_from;      /* every line a field, one From that can be read; Sender too */
	bool utf8;	       /* SMTPUTF8: must be UTF-8, addresses too (RFC 6532) */
	struct str hostname;   /* ours, in Authentication-Results */
	struct str received;   /* our trace: whole fields, CR LF behind each */
	struct str date;       /* value for a missing Date */
	struct str message_id; /* "<…>" for a missing Message-ID */
	unsigned hops_max;
};

struct header_facts {
	struct str
		*from; /* addresses, domain in lower case; die with the arena. With demand_from */
	size_t from_count;
	struct str *sender; /* of the Sender field: at most one */
	size_t sender_count;
	struct str message_id; /* for the log: the message's own, or the added one */
	unsigned hops;
};

enum { HEADER_FROM_MAX = 20 };

/* header: CR LF line ends, with its empty line, or without one when the message has no body.
 * Appends the new header, empty line included. REPLY_OK, or why the message is refused: a first
 * line that is the continuation of none, too many Received lines; with utf8 what is not UTF-8; with
 * demand_from a line that is no field, no From or two, addresses that cannot be read, or are beyond
 * ASCII without utf8. */
enum smtp_reply
header_rewrite(struct str header, const struct header_context *c, struct arena *a, struct buf *out,
	struct header_facts *facts_out);

/* Octets of the header at the front of msg, its empty line included; 0: the empty line has not come
 * yet. from: octets known to be without it. */
size_t
header_end(struct str msg, size_t from);

#endif
