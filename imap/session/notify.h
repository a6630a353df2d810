#ifndef POSTROOM_IMAP_NOTIFY_H
#define POSTROOM_IMAP_NOTIFY_H

#include "imap/session/session.h"

/* What a client wants to be told unasked (NOTIFY, RFC 5465), and what it was told: one of these a
 * session that used the command, none else. Of other mailboxes it keeps some 60 octets and the
 * name each, and compares them with the index when that changed: what happened in between is told
 * once, however slowly the client reads. */

enum {
	NOTIFY_NAMES_MAX = 256,		       /* in one command */
	NOTIFY_ENTRIES_BYTES_MAX = 256 * 1024, /* of annotations' and subscribed names, each */
};

struct notify_rule {
	enum notify_filter filter;
	unsigned events;
	struct str *names; /* of the store */
	size_t names_count;
};

/* A mailbox as the client knows it. */
struct known_mailbox {
	uint32_t id, uidnext, messages;
	bool noselect, has_children;
	uint64_t modseq;
	char *name; /* owned */
	/* Annotations: "/private/comment\n" and eight octets of digest each, in order; only where
	 * an event asks for them. Owned. */
	char *entries;
	size_t entries_len;
};

struct look;
struct notify {
	struct arena *arena; /* of rules and texts */
	/* The selected mailbox: EVENT_, whether EXPUNGE waits for a command, and what FETCH says
	 * of new messages: "(UID FLAGS)" or empty. */
	unsigned selected;
	bool delayed;
	struct str fetch;
	struct uidset arrived; /* FETCH is due */
	/* A FETCH of the server's own takes the place of IDLE for a while. */
	struct cmd *idle;
	struct arena *idle_arena;
	/* Other mailboxes: all rules that name one are its rules, up to one without events. */
	struct notify_rule *rules;
	size_t rules_count;
	unsigned events;	     /* of all rules */
	struct known_mailbox *known; /* by id */
	size_t known_count, known_cap;
	struct buf subscribed; /* names, each with LF, in order; with EVENT_SUBSCRIPTION */
	struct known_mailbox server;
	struct home_watch watch;
	bool dirty;	   /* the index changed since the last look */
	uint64_t version;  /* of the index at the last look; 0: look whatever it is */
	struct look *look; /* it is being looked at */
	/* Names, each with LF, that the client's own command changed: it need not be told. */
	struct buf own;
};

/* What a asks for, without knowing a mailbox yet. ERR_LIMIT: more names than are taken. Returns
 * owned. */
MUST_USE enum err
notify_new(struct imap_session *s, const struct args_notify *a, struct notify **out);
void
notify_free(struct notify *n); /* NULL is allowed */
/* n, or with NULL the absence of any, is what the session goes by from now on. */
void
notify_set(struct imap_session *s, struct notify *n);
/* The same as NOTIFY NONE, and says so. RFC 5465 5.8. */
void
notify_overflow(struct imap_session *s);

/* ---- the selected mailbox ---- */

/* Are changes of the selected mailbox told when cmd ends, or with NULL unasked? */
bool
notify_wants_sync(const struct imap_session *s, const struct cmd *c);
bool
notify_wants_flags(const struct imap_session *s, const struct cmd *c);
/* Messages that sync.c told of: FETCH will follow. */
void
notify_arrived(struct imap_session *s, const struct uidset *arrived);
/* Before the view goes: what the client knows of its mailbox. */
void
notify_deselect(struct imap_session *s);
/* The running command, if it ends well, did this to name (of the store) itself. */
void
notify_own(struct imap_session *s, struct str name);
/* With NOTIFY, for every command. */
void
notify_command_ended(struct imap_session *s, const struct cmd *c);

/* ---- the others: notify_look.c ---- */

enum look_how {
	LOOK_QUIETLY, /* to know what there is */
	LOOK_STATUS,  /* the same, and say the STATUS of mailboxes whose messages are watched */
	LOOK_TELL,
};
/* One step of a look at all other mailboxes; n is the session's, or to be. ERR_OK: done; ERR_AGAIN:
 * call again, pinned; ERR_LIMIT: more than is watched; else the index cannot be read. */
MUST_USE enum err
notify_look(struct imap_session *s, struct notify *n, enum look_how how);
void
notify_look_end(struct notify *n);
/* Takes over what the annotations of m, or with NULL of the account, are now; tell: "* METADATA
 * "Sent" /private/comment" of those that changed. ERR_LIMIT: more than is watched. */
MUST_USE enum err
notify_entries(struct imap_session *s, struct txn *t, struct known_mailbox *k,
	const struct mailbox_info *m, bool tell);
/* By id; NULL. */
struct known_mailbox *
known_find(struct notify *n, uint32_t id);

#endif
