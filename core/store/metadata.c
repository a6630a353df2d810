/* Annotations; see metadata.h. Read by imap in read steps, changed by its SETMETADATA; op_mailbox.c
 * and garbage.c take them away with their mailbox. Rows: mailbox id and name lead to the value.
 * Invariant: a row's version is that of the update that wrote it last, and never above the home's.
 */
#include "core/store/metadata.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/store/op.h"

enum {
	ROW_HEAD = 1 + 8,
	REMOVED_MAX = 100, /* of a mailbox */
};

static enum err
metadata_key(struct key *k, uint32_t mailbox, struct str name)
{
	if (name.n > METADATA_NAME_MAX)
		return ERR_LIMIT;
	k->n = 0;
	key_u32(k, mailbox);
	if (name.n > 0)
		memcpy(k->b + k->n, name.p, name.n);
	k->n += name.n;
	return ERR_OK;
}

/* '=' or '-', the version, and behind '=' the value; '-' says what was taken away. */
struct row {
	uint64_t version;
	struct str value; /* p NULL: taken away */
};

static enum err
row_decode(struct str text, struct row *out)
{
	if (text.n < ROW_HEAD || (text.p[0] != '=' && text.p[0] != '-'))
		return ERR_CORRUPT;
	out->version = be64_at(text, 1);
	out->value = text.p[0] == '=' ? str_from(text, ROW_HEAD) : (struct str){ NULL, 0 };
	return ERR_OK;
}

enum err
metadata_get(struct txn *t, uint32_t mailbox, struct str name, struct str *value_out)
{
	struct key k;
	struct str text;
	struct row row;
	enum err e = metadata_key(&k, mailbox, name);

	if (e != ERR_OK)
		return ERR_NOTFOUND;
	e = txn_get(t, KV_METADATA, key_str(&k), &text);
	if (e == ERR_OK)
		e = row_decode(text, &row);
	if (e == ERR_OK)
		*value_out = row.value;
	return e == ERR_OK && row.value.p == NULL ? ERR_NOTFOUND : e;
}

/* All rows whose key begins so, those of taken away entries too. */
typedef enum err (*row_fn)(void *arg, uint32_t mailbox, struct str name, const struct row *row);

static enum err
walk_rows(struct txn *t, struct str prefix, row_fn fn, void *arg)
{
	struct kv_cursor *c;
	struct str key, text;
	struct row row;
	enum err told = ERR_OK;
	enum err e = kv_cursor_open(t->kv, KV_METADATA, &c);

	if (e != ERR_OK)
		return e;
	/* no key is empty */
	for (e = kv_cursor_seek(c, prefix.n > 0 ? prefix : str_n("", 1), &key, &text);
		e == ERR_OK && told == ERR_OK && str_starts(key, prefix);
		e = kv_cursor_next(c, &key, &text)) {
		told = key.n > 4 ? row_decode(text, &row) : ERR_CORRUPT;
		if (told == ERR_OK)
			told = fn(arg, be32_at(key, 0), str_from(key, 4), &row);
	}
	kv_cursor_close(c);
	if (told != ERR_OK)
		return told;
	return e == ERR_EOF ? ERR_OK : e;
}

struct walking {
	metadata_fn fn;
	void *arg;
};

static enum err
walk_one(void *arg, uint32_t mailbox, struct str name, const struct row *row)
{
	const struct walking *w = arg;

	(void)mailbox;
	return row->value.p != NULL ? w->fn(w->arg, name, row->value) : ERR_OK;
}

enum err
metadata_walk(struct txn *t, uint32_t mailbox, struct str prefix, metadata_fn fn, void *arg)
{
	struct walking w = { .fn = fn, .arg = arg };
	struct key k;
	enum err e = metadata_key(&k, mailbox, prefix);

	return e == ERR_OK ? walk_rows(t, key_str(&k), walk_one, &w) : ERR_OK;
}

/* ---- versions ---- */

enum err
metadata_version(struct txn *t, uint64_t *out)
{
	return meta_get(t, "metadata-version", out);
}

bool
metadata_row_good(struct str text, uint64_t version)
{
	struct row row;

	return row_decode(text, &row) == ERR_OK && row.version <= version;
}

struct changes {
	uint64_t after;
	metadata_change_fn fn;
	void *arg;
};

static enum err
change_one(void *arg, uint32_t mailbox, struct str name, const struct row *row)
{
	const struct changes *c = arg;

	return row->version > c->after ? c->fn(c->arg, mailbox, name, row->version) : ERR_OK;
}

enum err
metadata_changes(struct txn *t, uint64_t after, metadata_change_fn fn, void *arg)
{
	struct changes c = { .after = after, .fn = fn, .arg = arg };

	return walk_rows(t, STR_EMPTY, change_one, &c);
}

/* ---- changes ---- */

struct metadata_op {
	struct store_op op;
	struct str mailbox;
	struct metadata_pair *pairs;
	size_t count;
	unsigned entries_max, special_use;
	bool sets_use;
	mailbox_done_fn done;
	void *arg;
	struct mailbox_result r;
};

/* value's p NULL: it is taken away. */
static enum err
put_pair(struct txn *t, uint32_t mailbox, const struct metadata_pair *p, uint64_t version)
{
	struct key k, head = { .n = 0 };
	struct buf row;
	enum err e = metadata_key(&k, mailbox, p->name);

	if (e != ERR_OK)
		return e;
	key_u32(&head, (uint32_t)(version >> 32));
	key_u32(&head, (uint32_t)version);
	buf_init(&row, p->value.n + ROW_HEAD);
	buf_addc(&row, p->value.p != NULL ? '=' : '-');
	buf_add(&row, key_str(&head));
	buf_add(&row, p->value);
	writes_put(t->writes, KV_METADATA, key_str(&k), buf_str(&row));
	buf_fini(&row);
	return ERR_OK;
}

struct census {
	struct txn *t;
	uint64_t entries, removed;
	bool forget; /* what was removed: its rows go */
};

static enum err
count_one(void *arg, uint32_t mailbox, struct str name, const struct row *row)
{
	struct census *c = arg;
	struct key k;

	c->entries += row->value.p != NULL;
	c->removed += row->value.p == NULL;
	if (!c->forget || row->value.p != NULL)
		return ERR_OK;
	enum err e = metadata_key(&k, mailbox, name);

	if (e == ERR_OK)
		writes_del(c->t->writes, KV_METADATA, key_str(&k));
	return e;
}

/* How many there are; where many were taken away that is forgotten. */
static enum err
take_census(struct txn *t, uint32_t mailbox, uint64_t *entries_out)
{
	struct census c = { .t = t };
	struct key k = { .n = 0 };

	key_u32(&k, mailbox);
	enum err e = walk_rows(t, key_str(&k), count_one, &c);

	*entries_out = c.entries;
	if (e != ERR_OK || c.removed < REMOVED_MAX)
		return e;
	c.forget = true;
	return walk_rows(t, key_str(&k), count_one, &c);
}

static enum err
is_taken(void *arg, const struct mailbox_info *m)
{
	const struct mailbox_row *row = arg;

	return m->id != row->id && (m->special_use & row->special_use) != 0 ? ERR_EXISTS : ERR_OK;
}

/* The row that tells of the change has no value. */
static enum err
set_use(struct txn *t, const struct metadata_op *op, struct mailbox_row *row, uint64_t version)
{
	const struct metadata_pair gone = { .name = METADATA_USE };

	if (row->id == METADATA_ACCOUNT || row->noselect || str_eq(op->mailbox, STR("INBOX")))
		return ERR_DENIED;
	row->special_use = op->special_use;
	enum err e = mailbox_walk(t, is_taken, row);

	if (e != ERR_OK)
		return e;
	mailbox_row_put(t, row);
	return put_pair(t, row->id, &gone, version);
}

static enum err
metadata_run(struct update *u, struct txn *t)
{
	struct metadata_op *op = CONTAINER_OF(u, struct metadata_op, op.update);
	struct mailbox_row row = { .id = METADATA_ACCOUNT };
	struct str old;
	uint64_t entries = 0, before, version = 0;
	bool changed = false;
	enum err e = op->mailbox.n > 0 ? mailbox_row_find(t, op->mailbox, &row) : ERR_OK;

	if (e == ERR_OK)
		e = take_census(t, row.id, &entries);
	before = entries;
	if (e == ERR_OK)
		e = metadata_version(t, &version);
	for (size_t i = 0; e == ERR_OK && i < op->count; i++) {
		const struct metadata_pair *p = &op->pairs[i];

		/* with what this update wrote: a name may be given twice */
		e = metadata_get(t, row.id, p->name, &old);
		if (e != ERR_OK && e != ERR_NOTFOUND)
			return e;
		entries += e == ERR_NOTFOUND && p->value.p != NULL;
		entries -= e == ERR_OK && p->value.p == NULL;
		bool nothing = e == ERR_NOTFOUND && p->value.p == NULL;

		changed |= !nothing;
		e = nothing ? ERR_OK : put_pair(t, row.id, p, version + 1);
	}
	if (e == ERR_OK && op->sets_use && row.special_use != op->special_use) {
		changed = true;
		e = set_use(t, op, &row, version + 1);
	}
	if (e == ERR_OK && changed)
		meta_put(t, "metadata-version", version + 1);
	/* RFC 7162 3.2: whoever asks for the mailbox's modseq alone hears of it */
	if (e == ERR_OK && changed && row.id != METADATA_ACCOUNT) {
		row.highestmodseq++;
		mailbox_row_put(t, &row);
	}
	op->r = (struct mailbox_result){ row.id, 0, changed ? version + 1 : 0 };
	/* the limit may be lower than it was: some can be taken away all the same */
	return e == ERR_OK && entries > op->entries_max && entries > before ? ERR_LIMIT : e;
}

static void
metadata_done(struct update *u, enum err e)
{
	struct metadata_op *op = CONTAINER_OF(u, struct metadata_op, op.update);

	if (!op->op.forgotten)
		op->done(op->arg, e, &op->r);
	for (size_t i = 0; i < op->count; i++) {
		free((char *)(uintptr_t)op->pairs[i].name.p);
		free((char *)(uintptr_t)op->pairs[i].value.p);
	}
	free(op->pairs);
	free((char *)(uintptr_t)op->mailbox.p);
	op_fini(&op->op);
	free(op);
}

struct store_op *
store_set_metadata(struct home *h, const struct metadata_args *a, mailbox_done_fn done, void *arg)
{
	struct metadata_op *op = xcalloc(1, sizeof *op);

	op_init(&op->op, h, metadata_run, metadata_done);
	op->mailbox = str_n(str_dup(a->mailbox), a->mailbox.n);
	op->pairs = xcalloc(a->count, sizeof *op->pairs);
	op->sets_use = a->sets_use;
	op->special_use = a->special_use;
	op->count = a->count;
	op->entries_max = a->entries_max;
	for (size_t i = 0; i < a->count; i++) {
		const struct metadata_pair *p = &a->pairs[i];

		op->pairs[i].name = str_n(str_dup(p->name), p->name.n);
		if (p->value.p != NULL)
			op->pairs[i].value = str_n(str_dup(p->value), p->value.n);
	}
	op->done = done;
	op->arg = arg;
	home_submit(h, &op->op.update);
	return &op->op;
}

/* ---- with the mailbox ---- */

struct copying {
	struct txn *t;
	uint32_t to;
	uint64_t version;
};

static enum err
copy_one(void *arg, struct str name, struct str value)
{
	const struct copying *c = arg;
	const struct metadata_pair p = { .name = name, .value = value };

	return put_pair(c->t, c->to, &p, c->version);
}

/* The version it has: nobody is told that a new mailbox has entries. */
enum err
metadata_copy(struct txn *t, uint32_t from, uint32_t to)
{
	struct copying c = { .t = t, .to = to };
	enum err e = metadata_version(t, &c.version);

	return e == ERR_OK ? metadata_walk(t, from, STR_EMPTY, copy_one, &c) : e;
}

static enum err
drop_one(void *arg, uint32_t mailbox, struct str name, const struct row *row)
{
	struct txn *t = arg;
	struct key k;
	enum err e = metadata_key(&k, mailbox, name);

	(void)row;
	if (e == ERR_OK)
		writes_del(t->writes, KV_METADATA, key_str(&k));
	return e;
}

enum err
metadata_drop(struct txn *t, uint32_t mailbox)
{
	struct key k = { .n = 0 };

	key_u32(&k, mailbox);
	return walk_rows(t, key_str(&k), drop_one, t);
}
