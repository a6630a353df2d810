#ifndef POSTROOM_STORE_ROWS_H
#define POSTROOM_STORE_ROWS_H

#include <endian.h>

#include "core/store/entry.h"
#include "core/store/kv.h"
#include "core/store/mailbox.h"
#include "core/store/quota.h"
#include "core/store/uidset.h"
#include "core/store/writes.h"

/* The rows of the index: keys, encodings, and the edits that several updates share. Reads work
 * in a loop's step and in an update on the pool; edits only in an update. Internal to core/store.
 */

/* A snapshot, or inside an update the write transaction and what the update wrote so far. */
struct txn {
	struct home *home;
	struct kv_txn *kv;
	struct writes *writes;	  /* NULL in a read step */
	bool garbage;		  /* out: this update made garbage */
	struct quota_use added;	  /* out: what this update adds to the home's use; wraps below 0 */
	struct quota_limit quota; /* in an update: the home's */
};

/* Point read: the update's own writes first. Errors as kv_get. */
MUST_USE enum err
txn_get(struct txn *t, enum kv_table table, struct str key, struct str *value_out);

/* SCHEMA_OLDER: what upgrade.c knows. */
enum { SCHEMA_VERSION = 3, SCHEMA_OLDER = 2, KEY_MAX = 500 };

/* Keys are big-endian, so that they sort as numbers. */
struct key {
	unsigned char b[KEY_MAX];
	size_t n;
};
static inline struct str
key_str(const struct key *k)
{
	return str_n(k->b, k->n);
}
static inline void
key_u32(struct key *k, uint32_t v)
{
	v = htobe32(v);
	memcpy(k->b + k->n, &v, sizeof v);
	k->n += sizeof v;
}
static inline void
key_u64(struct key *k, uint64_t v)
{
	v = htobe64(v);
	memcpy(k->b + k->n, &v, sizeof v);
	k->n += sizeof v;
}
static inline struct str
key_2u32(struct key *k, uint32_t a, uint32_t b)
{
	k->n = 0;
	key_u32(k, a);
	key_u32(k, b);
	return key_str(k);
}
static inline struct str
key_id(struct key *k, uint64_t id)
{
	k->n = 0;
	key_u64(k, id);
	return key_str(k);
}
static inline struct str
key_u32_u64(struct key *k, uint32_t a, uint64_t b)
{
	k->n = 0;
	key_u32(k, a);
	key_u64(k, b);
	return key_str(k);
}
/* (parent, component); ERR_LIMIT. */
MUST_USE enum err
key_name(struct key *k, uint32_t parent, struct str component);
static inline uint32_t
be32_at(struct str s, size_t off)
{
	uint32_t v;

	memcpy(&v, s.p + off, sizeof v);
	return be32toh(v);
}
static inline uint64_t
be64_at(struct str s, size_t off)
{
	uint64_t v;

	memcpy(&v, s.p + off, sizeof v);
	return be64toh(v);
}

/* Numbers in meta: "schema", "mailbox" (last id), "uidvalidity" (last given), "used-messages" and
 * "used-bytes" (all entries outside of deleted mailboxes, see quota.h). */
MUST_USE enum err
meta_get(struct txn *t, const char *name, uint64_t *out); /* 0 when missing */
void
meta_put(struct txn *t, const char *name, uint64_t v);

struct mailbox_row {
	uint32_t id; /* of the key */
	uint32_t parent, uidvalidity, uidnext, messages, unseen, recent_from, special_use;
	bool noselect;
	bool dying; /* deleted: no name leads here, its entries are being removed */
	uint64_t highestmodseq, change_floor; /* rows <= floor were trimmed from change */
	uint32_t change_count;
	uint32_t deleted;	       /* entries with \Deleted */
	uint64_t bytes, deleted_bytes; /* sums of sizes: of all, of those */
	uint32_t name_len;
	char name[MAILBOX_NAME_MAX];
};
MUST_USE enum err
mailbox_row_get(struct txn *t, uint32_t id, struct mailbox_row *out);
MUST_USE enum err
mailbox_row_decode(uint32_t id, struct str value, struct mailbox_row *out);
void
mailbox_row_put(struct txn *t, const struct mailbox_row *row);
static inline struct str
mailbox_row_name(const struct mailbox_row *r)
{
	return str_n(r->name, r->name_len);
}

/* The entry counts in its mailbox and in the home's use from now on, or no longer: every counter
 * but uidnext and modseqs. Flags of an entry change by taking the old one out and the new one in.
 */
void
row_count_in(struct txn *t, struct mailbox_row *row, const struct entry *e);
void
row_count_out(struct txn *t, struct mailbox_row *row, const struct entry *e);
/* The mailbox is deleted: all of it counts no longer. */
void
row_uncount(struct txn *t, const struct mailbox_row *row);
/* In an update: writes t->added. ERR_QUOTA: it grows the use beyond the home's quota. */
MUST_USE enum err
use_apply(struct txn *t);

enum { ENTRY_BYTES = 56 };
MUST_USE enum err
entry_decode(uint32_t uid, struct str value, struct entry *out);
void
entry_encode(const struct entry *e, unsigned char out[ENTRY_BYTES]);
/* Once an update and UID. */
void
entry_put(struct txn *t, uint32_t mailbox, const struct entry *e);

/* 4,096 UIDs from chunk * 4096: bit uid % 4096. */
enum { CHUNK_UIDS = 4096, CHUNK_WORDS = CHUNK_UIDS / 64, CHUNK_BYTES = CHUNK_UIDS / 8 * 2 };
struct chunk_row {
	uint64_t exists[CHUNK_WORDS], unseen[CHUNK_WORDS];
};
MUST_USE enum err
chunk_decode(struct str value, struct chunk_row *out);
/* An editor that holds one chunk: cheap while UIDs come in order. Zeroed at the start, flushed
 * at the end. */
struct chunk_edit {
	bool loaded;
	uint32_t mailbox, chunk;
	struct chunk_row row;
};
MUST_USE enum err
chunk_edit_set(struct chunk_edit *c, struct txn *t, uint32_t mailbox, uint32_t uid, bool exists,
	bool unseen);
void
chunk_edit_flush(struct chunk_edit *c, struct txn *t);

enum change_kind { CHANGE_FLAGS = 'c', CHANGE_EXPUNGE = 'x' };
enum { CHANGE_ROWS_MAX = 2000 };
/* Records what modseq row->highestmodseq did, and trims the table. Once an update and mailbox;
 * the caller puts row afterwards. */
MUST_USE enum err
change_add(
	struct txn *t, struct mailbox_row *row, enum change_kind kind, const struct uidset *uids);
/* Adds the row's UIDs. ERR_CORRUPT. */
MUST_USE enum err
change_decode(struct str value, enum change_kind *kind_out, struct uidset *uids);

/* References to a message; a message without a row in ref has one. Dropping the last one puts the
 * message into garbage. */
MUST_USE enum err
ref_get(struct txn *t, uint64_t msg, uint32_t *out);
MUST_USE enum err
ref_drop(struct txn *t, uint64_t msg, int64_t now_ms);
/* For many, a message as often as it stands in ids, which are sorted. Only in an update that adds
 * and drops no others. ERR_LIMIT: too many of one message. */
MUST_USE enum err
refs_add(struct txn *t, uint64_t *ids, size_t n);
MUST_USE enum err
refs_drop(struct txn *t, uint64_t *ids, size_t n, int64_t now_ms);

/* Appends an entry: takes row->uidnext and the next modseq (row is changed, not put). e->uid and
 * e->modseq are set. ERR_LIMIT: no UIDs are left. */
MUST_USE enum err
entry_append(struct txn *t, struct mailbox_row *row, struct chunk_edit *c, struct entry *e);
/* The bit of each name, new ones added (-1: not there, not add). ERR_LIMIT: more than 64, or a bad
 * name. */
MUST_USE enum err
keywords_map(struct txn *t, uint32_t mailbox, const struct str *names, size_t count, bool add,
	int *bits);
/* The same as a bit set. */
MUST_USE enum err
keywords_bits(struct txn *t, uint32_t mailbox, const struct str *names, size_t count, bool add,
	uint64_t *out);

/* A new mailbox row with a fresh id and uidvalidity below parent, named and put. */
MUST_USE enum err
mailbox_row_new(struct txn *t, uint32_t parent, struct str component, bool noselect,
	unsigned special_use, struct mailbox_row *out);
/* A fresh uidvalidity: larger than any given before, and than the time. */
MUST_USE enum err
uidvalidity_new(struct txn *t, uint32_t *out);
/* metadata.c: all entries of a mailbox, for another as well; taken away. */
MUST_USE enum err
metadata_copy(struct txn *t, uint32_t from, uint32_t to);
MUST_USE enum err
metadata_drop(struct txn *t, uint32_t mailbox);
/* The row behind a full path. ERR_NOTFOUND. */
MUST_USE enum err
mailbox_row_find(struct txn *t, struct str path, struct mailbox_row *out);
MUST_USE enum err
name_get(struct txn *t, uint32_t parent, struct str component, uint32_t *id_out);
MUST_USE enum err
name_has_children(struct txn *t, uint32_t id, bool *out);

#endif
