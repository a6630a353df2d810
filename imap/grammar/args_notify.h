#ifndef POSTROOM_IMAP_ARGS_NOTIFY_H
#define POSTROOM_IMAP_ARGS_NOTIFY_H

#include "imap/grammar/parse.h"

/* NOTIFY. RFC 5465 8. */

enum notify_filter {
	NOTIFY_SELECTED,
	NOTIFY_SELECTED_DELAYED,
	NOTIFY_PERSONAL, /* INBOXES too: 6.3 allows it */
	NOTIFY_SUBSCRIBED,
	NOTIFY_SUBTREE,
	NOTIFY_MAILBOXES,
};

/* A bit set. */
enum notify_event {
	EVENT_MESSAGE_NEW = 1 << 0,
	EVENT_MESSAGE_EXPUNGE = 1 << 1,
	EVENT_FLAG_CHANGE = 1 << 2,
	EVENT_MAILBOX_NAME = 1 << 3,
	EVENT_SUBSCRIPTION = 1 << 4,
	EVENT_MAILBOX_METADATA = 1 << 5,
	EVENT_SERVER_METADATA = 1 << 6,
	EVENT_UNKNOWN = 1 << 7, /* AnnotationChange, or any other word */

	EVENT_OF_MESSAGES = EVENT_MESSAGE_NEW | EVENT_MESSAGE_EXPUNGE | EVENT_FLAG_CHANGE,
};

/* "(subtree (Lists Work) (MessageNew MessageExpunge))" */
struct notify_group {
	enum notify_filter filter;
	unsigned events;   /* EVENT_; 0: NONE */
	struct str *names; /* of SUBTREE and MAILBOXES */
	size_t names_count;
	struct str fetch; /* "(UID FLAGS)" as written, or empty */
};

/* NONE, or SET [STATUS] and one or more groups. */
struct args_notify {
	bool none, status;
	struct notify_group *groups;
	size_t groups_count;
};

/* Begins behind the command's name and the space; what it returns dies with the arena. ERR_SYNTAX
 * for what 5 and 6.1 want answered by BAD too. */
MUST_USE enum err
parse_notify(struct parser *p, struct args_notify *out);

#endif
