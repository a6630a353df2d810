#ifndef POSTROOM_STORE_MAILBOX_H
#define POSTROOM_STORE_MAILBOX_H

#include "core/store/store.h"

/* Mailboxes as a read step sees them. Names are full paths "a/b/c", UTF-8; "INBOX" in
 * any case is the one INBOX; everything else is compared byte by byte. */
enum {
	MAILBOX_NAME_MAX = 480, /* bytes of a full path */
	MAILBOX_DEPTH_MAX = 32,
};

/* Special uses (RFC 6154), a bit set. */
enum special_use {
	USE_ALL = 1 << 0,
	USE_ARCHIVE = 1 << 1,
	USE_DRAFTS = 1 << 2,
	USE_FLAGGED = 1 << 3,
	USE_JUNK = 1 << 4,
	USE_SENT = 1 << 5,
	USE_TRASH = 1 << 6,
	USE_IMPORTANT = 1 << 7, /* RFC 8457 */
};
/* "\\Drafts" -> USE_DRAFTS, without regard to case; 0: unknown. */
unsigned
special_use_parse(struct str s);
/* For one bit: "\\Drafts"; NULL for none. */
const char *
special_use_name(unsigned bit);

struct mailbox_info {
	uint32_t id; /* never used again */
	uint32_t uidvalidity;
	uint32_t uidnext;
	uint64_t highestmodseq; /* >= 1 */
	uint32_t messages;
	uint32_t unseen;
	uint32_t deleted;	/* with \Deleted */
	uint64_t bytes;		/* the sum of their sizes, exact */
	uint64_t deleted_bytes; /* the same of those with \Deleted */
	uint32_t recent_from;	/* \Recent: UIDs from here on that no session has claimed */
	unsigned special_use;
	bool noselect; /* only a parent of others */
	bool has_children;
	struct str name; /* full path where the call says so; dies with the step */
};

/* A client's name in the form the store uses: "inbox/x" -> "INBOX/x", one trailing "/" cut, NFC,
 * appended to out. ERR_SYNTAX: empty name or component, ".", "..", NUL, control characters,
 * bad UTF-8; ERR_LIMIT: longer or deeper than the limits. */
MUST_USE enum err
mailbox_name_check(struct str name, struct buf *out);

/* name: as mailbox_name_check makes it. ERR_NOTFOUND, ERR_CORRUPT. Placeholders are found,
 * with noselect set. out->name is name. */
MUST_USE enum err
mailbox_find(struct txn *t, struct str name, struct mailbox_info *out);
/* ERR_NOTFOUND: deleted. out->name is empty. has_children is not filled in. */
MUST_USE enum err
mailbox_get(struct txn *t, uint32_t id, struct mailbox_info *out);
/* The full path of a mailbox, appended. ERR_NOTFOUND. */
MUST_USE enum err
mailbox_path(struct txn *t, uint32_t id, struct buf *out);

/* All mailboxes, parents before their children, siblings in byte order, INBOX first. fn gets
 * the full path; anything but ERR_OK ends the walk and is returned (ERR_EOF: ended by fn). */
typedef enum err (*mailbox_fn)(void *arg, const struct mailbox_info *info);
MUST_USE enum err
mailbox_walk(struct txn *t, mailbox_fn fn, void *arg);
/* The same from behind the place of a path in that order on (empty: from the start), whether it
 * still exists or not: for walks in steps. */
MUST_USE enum err
mailbox_walk_after(struct txn *t, struct str after, mailbox_fn fn, void *arg);

/* Subscribed names, in byte order; they need not exist (RFC 3501 6.3.9). */
typedef enum err (*subscribed_fn)(void *arg, struct str name);
MUST_USE enum err
subscribed_walk(struct txn *t, subscribed_fn fn, void *arg);
/* The names behind after. */
MUST_USE enum err
subscribed_walk_after(struct txn *t, struct str after, subscribed_fn fn, void *arg);
/* Those that begin with prefix. ERR_EOF: ended by fn. */
MUST_USE enum err
subscribed_walk_prefix(struct txn *t, struct str prefix, subscribed_fn fn, void *arg);
bool
subscribed_has(struct txn *t, struct str name);

/* A mailbox's recent_from, with what was claimed here and is not written yet. */
uint32_t
home_recent_from(const struct home *h, uint32_t mailbox, uint32_t recent_from);
/* Messages that no read-write session has seen as \Recent; on the loop. */
MUST_USE enum err
mailbox_recent(struct txn *t, const struct mailbox_info *m, uint32_t *count_out);
/* The lowest UID without \Seen at or above from; ERR_NOTFOUND. Reads bitmaps only. */
MUST_USE enum err
mailbox_first_unseen(struct txn *t, uint32_t id, uint32_t from, uint32_t *uid_out);
/* Many of them: bit i of bits[w] is UID base + 64 w + i; of UIDs below base + 4,096. */
enum { UNSEEN_WORDS = 64 };
struct unseen_run {
	uint32_t base;
	uint64_t bits[UNSEEN_WORDS];
};
/* The run with the lowest UID without \Seen at or above from; bits below from are not set.
 * ERR_NOTFOUND. */
MUST_USE enum err
mailbox_unseen_run(struct txn *t, uint32_t id, uint32_t from, struct unseen_run *out);

#endif
