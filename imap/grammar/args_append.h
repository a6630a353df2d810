#ifndef POSTROOM_IMAP_ARGS_APPEND_H
#define POSTROOM_IMAP_ARGS_APPEND_H

#include "imap/grammar/parse.h"

/* Arguments of APPEND and REPLACE. The octets of messages never lie in the command's text: such a
 * command comes in pieces, each a text up to the header of a message's literal, then those octets,
 * and so on until the line ends. For
 *   a1 APPEND Drafts (\Seen) {310}…octets… (\Draft) CATENATE (URL "/x/;UID=2" TEXT {9}…octets…)
 * the texts are `a1 APPEND Drafts (\Seen) `, ` (\Draft) CATENATE (URL "/x/;UID=2" TEXT ` and `)`
 * CRLF. What a text says is a list of events, in order. RFC 3502 6.3.11; RFC 4469 5; RFC 3516 4.4;
 * RFC 8508 5; RFC 6855 4 (UTF8, which RFC 9755 gave up). */

enum append_place {
	APPEND_AT_START,	 /* of the command */
	APPEND_BEHIND_MESSAGE,	 /* a literal that was a whole message */
	APPEND_BEHIND_UTF8,	 /* the same inside UTF8 (…) */
	APPEND_BEHIND_TEXT,	 /* a literal that is a part of CATENATE (…) */
	APPEND_BEHIND_TEXT_UTF8, /* the same inside UTF8 (…) */
};

enum append_event_kind {
	APPEND_BEGIN, /* of a message: flags and date are set */
	APPEND_URL,   /* a part of it */
	APPEND_END,   /* the message is whole */
};
struct append_event {
	enum append_event_kind kind;
	struct flag_list flags;
	bool has_date;
	int64_t date_sec;
	int32_t date_zone_min;
	struct str url;
};

struct args_append {
	struct str tag;
	bool replace, uid;  /* REPLACE, UID REPLACE */
	uint32_t number;    /* of the message to replace; 0: "*" */
	struct str mailbox; /* as the client wrote it */
	struct append_event *events;
	size_t events_count;
	bool more;		/* octets of a message follow, then a text from `next` on */
	enum append_place next; /* APPEND_AT_START: the command ended */
	/* filled in by the session */
	uint64_t literal;
	bool sync;
};

/* One text: p holds the whole of it, p->at is 0. A text that ends where octets of a message may
 * begin (the literal's header cut off, a "~" before it may stay) sets more; one that ends with the
 * command's line sets none. tag and mailbox are set for APPEND_AT_START only. */
MUST_USE enum err
parse_append(struct parser *p, enum append_place from, struct args_append *out);

#endif
