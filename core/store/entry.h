#ifndef POSTROOM_STORE_ENTRY_H
#define POSTROOM_STORE_ENTRY_H

#include "core/store/store.h"

/* System flags, a bit set. \Recent is not stored: see recent_from. */
enum msg_flag {
	FLAG_SEEN = 1 << 0,
	FLAG_ANSWERED = 1 << 1,
	FLAG_FLAGGED = 1 << 2,
	FLAG_DELETED = 1 << 3,
	FLAG_DRAFT = 1 << 4,
	FLAG_ALL = (1 << 5) - 1,
};

/* One message in one mailbox. */
struct entry {
	uint32_t uid;
	uint64_t msg; /* message id: message_get */
	uint64_t modseq;
	uint32_t flags;
	uint64_t keywords;	   /* bit n: keyword n of this mailbox */
	int64_t internal_sec;	   /* INTERNALDATE, UTC */
	int32_t internal_zone_min; /* the offset it is shown with */
	int64_t save_ms;	   /* when it came into this mailbox */
	uint64_t size;		   /* RFC822.SIZE */
};

/* ERR_NOTFOUND: expunged, or never there. */
MUST_USE enum err
entry_get(struct txn *t, uint32_t mailbox, uint32_t uid, struct entry *out);

/* Ascending scan. Dies with the step; about 15 ns an entry.
 *   struct entry_scan s;
 *   e = entry_scan_begin(&s, t, mailbox, from_uid);
 *   while (e == ERR_OK && (e = entry_scan_next(&s, &entry)) == ERR_OK) ...
 *   entry_scan_end(&s);                                   ERR_EOF: the end */
struct entry_scan {
	struct kv_cursor *cursor;
	uint32_t mailbox;
	uint32_t from;
	bool started;
};
MUST_USE enum err
entry_scan_begin(struct entry_scan *s, struct txn *t, uint32_t mailbox, uint32_t from_uid);
MUST_USE enum err
entry_scan_next(struct entry_scan *s, struct entry *out);
/* The first entry >= uid: skips ahead. ERR_EOF. */
MUST_USE enum err
entry_scan_seek(struct entry_scan *s, uint32_t uid, struct entry *out);
void
entry_scan_end(struct entry_scan *s);

/* Keywords of a mailbox: up to 64, names kept as first given, compared without case. */
enum { KEYWORD_MAX = 64, KEYWORD_NAME_MAX = 100 };
struct keywords {
	struct str name[KEYWORD_MAX]; /* empty: bit not in use; dies with the step */
	unsigned count;		      /* highest bit in use + 1 */
};
MUST_USE enum err
keywords_get(struct txn *t, uint32_t mailbox, struct keywords *out);
/* The bit's number, or -1. */
int
keywords_find(const struct keywords *k, struct str name);

#endif
