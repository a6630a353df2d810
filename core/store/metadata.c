/* Annotations; see metadata.h. Read by imap in read steps, changed by its SETMETADATA; op_mailbox.c
 * and garbage.c take them away with their mailbox. Rows: mailbox id and name lead to the value. */
#include "core/store/metadata.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/store/op.h"

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

/* A value is there even when it has no octets: one octet stands in front of each. */
static enum err
metadata_value(struct str row, struct str *out)
{
	*out = str_from(row, 1);
	return row.n > 0 ? ERR_OK : ERR_CORRUPT;
}

enum err
metadata_get(struct txn *t, uint32_t mailbox, struct str name, struct str *value_out)
{
	struct key k;
	struct str row;
	enum err e = metadata_key(&k, mailbox, name);

	if (e != ERR_OK)
		return ERR_NOTFOUND;
	e = txn_get(t, KV_METADATA, key_str(&k), &row);
	return e == ERR_OK ? metadata_value(row, value_out) : e;
}

enum err
metadata_walk(struct txn *t, uint32_t mailbox, struct str prefix, metadata_fn fn, void *arg)
{
	struct kv_cursor *c;
	struct key k;
	struct str key, row, value;
	enum err told = ERR_OK;
	enum err e = metadata_key(&k, mailbox, prefix);

	if (e != ERR_OK)
		return ERR_OK;
	if ((e = kv_cursor_open(t->kv, KV_METADATA, &c)) != ERR_OK)
		return e;
	for (e = kv_cursor_seek(c, key_str(&k), &key, &row);
		e == ERR_OK && told == ERR_OK && str_starts(key, key_str(&k));
		e = kv_cursor_next(c, &key, &row)) {
		told = metadata_value(row, &value);
		if (told == ERR_OK)
			told = fn(arg, str_from(key, 4), value);
	}
	kv_cursor_close(c);
	if (told != ERR_OK)
		return told;
	return e == ERR_EOF ? ERR_OK : e;
}

/* ---- changes ---- */

struct metadata_op {
	struct store_op op;
	struct str mailbox;
	struct metadata_pair *pairs;
	size_t count;
	unsigned entries_max;
	mailbox_done_fn done;
	void *arg;
	struct mailbox_result r;
};

static enum err
put_pair(struct txn *t, uint32_t mailbox, struct str name, struct str value)
{
	struct key k;
	struct buf row;
	enum err e = metadata_key(&k, mailbox, name);

	if (e != ERR_OK)
		return e;
	if (value.p == NULL) {
		writes_del(t->writes, KV_METADATA, key_str(&k));
		return ERR_OK;
	}
	buf_init(&row, value.n + 1);
	buf_addc(&row, '=');
	buf_add(&row, value);
	writes_put(t->writes, KV_METADATA, key_str(&k), buf_str(&row));
	buf_fini(&row);
	return ERR_OK;
}

static enum err
count_one(void *arg, struct str name, struct str value)
{
	uint64_t *n = arg;

	(void)name;
	(void)value;
	(*n)++;
	return ERR_OK;
}

static enum err
metadata_run(struct update *u, struct txn *t)
{
	struct metadata_op *op = CONTAINER_OF(u, struct metadata_op, op.update);
	struct mailbox_row row = { .id = METADATA_ACCOUNT };
	struct str old;
	uint64_t entries = 0;
	enum err e = op->mailbox.n > 0 ? mailbox_row_find(t, op->mailbox, &row) : ERR_OK;

	if (e == ERR_OK)
		e = metadata_walk(t, row.id, STR_EMPTY, count_one, &entries);
	for (size_t i = 0; e == ERR_OK && i < op->count; i++) {
		const struct metadata_pair *p = &op->pairs[i];

		/* with what this update wrote: a name may be given twice */
		e = metadata_get(t, row.id, p->name, &old);
		if (e != ERR_OK && e != ERR_NOTFOUND)
			return e;
		entries += e == ERR_NOTFOUND && p->value.p != NULL;
		entries -= e == ERR_OK && p->value.p == NULL;
		e = put_pair(t, row.id, p->name, p->value);
	}
	op->r = (struct mailbox_result){ row.id, 0 };
	return e == ERR_OK && entries > op->entries_max ? ERR_LIMIT : e;
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
	uint32_t to; /* 0: they are taken away */
	uint32_t from;
};

static enum err
copy_one(void *arg, struct str name, struct str value)
{
	const struct copying *c = arg;

	if (c->to != 0)
		return put_pair(c->t, c->to, name, value);
	return put_pair(c->t, c->from, name, (struct str){ NULL, 0 });
}

enum err
metadata_copy(struct txn *t, uint32_t from, uint32_t to)
{
	struct copying c = { .t = t, .to = to, .from = from };

	return metadata_walk(t, from, STR_EMPTY, copy_one, &c);
}

enum err
metadata_drop(struct txn *t, uint32_t mailbox)
{
	return metadata_copy(t, mailbox, 0);
}
