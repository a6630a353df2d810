#ifndef POSTROOM_STORE_UPDATE_H
#define POSTROOM_STORE_UPDATE_H

#include "core/store/body.h"
#include "core/store/entry.h"
#include "core/store/mailbox.h"
#include "core/store/uidset.h"

/* Changes to a home. Each call copies its arguments, runs on the commit pool, and calls done
 * from the loop once, after the commit is durable (or failed), never inside the call. Ops on one
 * home run in the order of the calls. The home is opened and pinned by the op itself. The result
 * dies when done returns. Errors that every op can give: ERR_TEMP (home cannot be opened, not
 * started within 10 s, disk), ERR_CORRUPT, ERR_NOTFOUND (mailbox gone). */
struct store_op;
/* done will not be called; the change happens all the same. */
void
store_op_forget(struct store_op *op);

struct append_args {
	struct str mailbox; /* full path, checked name; not looked at in a set */
	struct body *body;  /* finished writing; taken (freed by the op) */
	uint32_t flags;
	const struct str *keywords;
	size_t keywords_count;
	bool has_internal_date; /* else: now, UTC */
	int64_t internal_sec;
	int32_t internal_zone_min;
	bool last; /* of a set: its commit follows at once */
};
struct append_result {
	uint32_t mailbox, uidvalidity;
	uint32_t uid, count; /* uid to uid + count - 1, in the order of the messages */
	uint64_t modseq;
	bool replaced_gone; /* ERR_NOTFOUND means the message to replace */
};
/* ERR_NOTFOUND: no such mailbox, or a placeholder (TRYCREATE); ERR_LIMIT: too many keywords. */
typedef void (*append_fn)(void *arg, enum err e, const struct append_result *r);
struct store_op *
store_append(struct home *h, const struct append_args *a, append_fn done, void *arg);

/* Several messages that come one by one and enter a mailbox all or none (RFC 3502), or one that
 * takes another's place (RFC 8508). Each is made durable as soon as it is added; until the commit
 * no entry names it. Takes no more memory for a message than its rows in the index. */
struct append_set;
enum { APPEND_SET_MAX = 2048 }; /* messages; the caller counts */
struct append_set *
append_set_new(struct home *h);
/* Copies a, takes its body. */
void
append_set_add(struct append_set *set, const struct append_args *a);
/* Enough is being written now: add no more, room is called from the loop. */
bool
append_set_full(struct append_set *set);
void
append_set_on_room(struct append_set *set, void (*room)(void *arg), void *arg);
/* ERR_OK so far; else why the commit will fail. ERR_LIMIT: rows too large together. */
MUST_USE enum err
append_set_error(const struct append_set *set);
size_t
append_set_count(const struct append_set *set);
/* Gives up: what was added vanishes. Not after the commit. NULL is allowed. */
void
append_set_free(struct append_set *set);
struct append_commit {
	struct str mailbox; /* full path, checked name */
	/* REPLACE: removed in the same transaction; uid 0: nothing */
	uint32_t replaced_mailbox, replaced_uid;
};
/* Takes the set; done as store_append's. An empty set is allowed only with nothing to replace. */
struct store_op *
append_set_commit(struct append_set *set, const struct append_commit *a, append_fn done, void *arg);

struct copy_args {
	uint32_t from;		   /* mailbox id */
	const struct uidset *uids; /* those that are gone are passed over */
	struct str to;		   /* full path */
	bool whole;		   /* COPY: when some are gone, nothing is copied */
};
struct copy_result {
	uint32_t to, uidvalidity;
	struct uidset source; /* n-th of source became n-th of target, both ascending */
	struct uidset target;
	bool gone; /* with ERR_NOTFOUND: not the target, but one of whole uids */
};
/* Flags, keywords and internal date go along; one transaction, all or nothing. */
typedef void (*copy_fn)(void *arg, enum err e, const struct copy_result *r);
struct store_op *
store_copy(struct home *h, const struct copy_args *a, copy_fn done, void *arg);
/* As copy, the source entries vanish in the same transaction (RFC 6851). Cut at 16,384
 * entries; on an error the result holds what was moved before it. */
struct store_op *
store_move(struct home *h, const struct copy_args *a, copy_fn done, void *arg);

struct flags_result;
enum flags_mode { FLAGS_ADD, FLAGS_REMOVE, FLAGS_REPLACE };
struct flags_args {
	uint32_t mailbox;
	const struct uidset *uids;
	enum flags_mode mode;
	uint32_t flags;
	const struct str *keywords; /* new names get a bit, except with FLAGS_REMOVE */
	size_t keywords_count;
	/* Messages that changed after unchanged_since are left alone; 0: those that have one of the
	 * flags' states at all, which system flags always do and keywords when set. RFC 7162 3.1.3.
	 */
	bool conditional;
	uint64_t unchanged_since;
	uint64_t known_modseq; /* what the caller knows, for overtaken; 0: not asked */
	/* Called from the loop when an update is durable and another follows: all UIDs below
	 * `below` are done, r is as far as it is known. May be NULL. */
	void (*part)(void *arg, uint32_t below, const struct flags_result *r);
};
struct flags_result {
	struct uidset changed;	 /* flags differ now */
	struct uidset modified;	 /* failed unchanged_since */
	struct uidset overtaken; /* of changed: others may have changed them after known_modseq */
	uint64_t modseq;	 /* of the last change; 0: nothing changed */
	/* The mailbox's as the last update left it, and whether nobody else raised it since the
	 * update before. */
	uint64_t seen;
	bool alone;
};
typedef void (*flags_fn)(void *arg, enum err e, const struct flags_result *r);
/* ERR_LIMIT: the mailbox has 64 keywords already. */
struct store_op *
store_flags(struct home *h, const struct flags_args *a, flags_fn done, void *arg);

struct expunge_result {
	struct uidset uids; /* those removed */
	uint64_t modseq;
};
typedef void (*expunge_fn)(void *arg, enum err e, const struct expunge_result *r);
/* Removes entries with \Deleted; uids NULL: all of them, else only members of the set. */
struct store_op *
store_expunge(
	struct home *h, uint32_t mailbox, const struct uidset *uids, expunge_fn done, void *arg);

/* For a read-write SELECT, on the loop: UIDs from what it returns on and below `until` are this
 * session's \Recent, and no other session's in this process. recent_from and until (uidnext): the
 * mailbox's, of one snapshot. The index learns it with the home's next commit, or by a commit of
 * its own after a second or two; until then another process may give out the same UIDs, and a
 * crash makes them \Recent once more (RFC 3501 2.3.2: what cannot be known is \Recent). */
uint32_t
home_claim_recent(struct home *h, uint32_t mailbox, uint32_t recent_from, uint32_t until);

struct mailbox_result {
	uint32_t id, uidvalidity;
	uint64_t version; /* store_set_metadata only */
};
typedef void (*mailbox_done_fn)(void *arg, enum err e, const struct mailbox_result *r);
/* Missing parents become placeholders; a placeholder of this name becomes a mailbox. ERR_EXISTS. */
struct store_op *
store_create(
	struct home *h, struct str name, unsigned special_use, mailbox_done_fn done, void *arg);
/* With children: the messages go, a placeholder stays. ERR_DENIED: INBOX, or a placeholder with
 * children; ERR_NOTFOUND. RFC 3501 6.3.4. */
struct store_op *
store_delete(struct home *h, struct str name, mailbox_done_fn done, void *arg);
/* Children go along. INBOX: its messages move to the new mailbox, its children stay. ERR_EXISTS,
 * ERR_NOTFOUND, ERR_DENIED (into itself), ERR_LIMIT (a child's name would grow too long). RFC
 * 3501 6.3.5. */
struct store_op *
store_rename(struct home *h, struct str from, struct str to, mailbox_done_fn done, void *arg);
/* Subscribing to what does not exist is allowed. ERR_NOTFOUND: was not subscribed. */
struct store_op *
store_subscribe(struct home *h, struct str name, bool on, mailbox_done_fn done, void *arg);

#endif
