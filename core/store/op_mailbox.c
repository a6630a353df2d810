/* CREATE, DELETE, RENAME, SUBSCRIBE. Called by imap. Names are rows of (parent, component), so a
 * rename moves a whole subtree by one row; a deleted mailbox loses its name at once and its entries
 * in the background (garbage.c). */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/store/op.h"

struct mailbox_op {
	struct store_op op;
	struct str name, to;
	unsigned special_use;
	bool on;
	mailbox_done_fn done;
	void *arg;
	struct mailbox_result r;
	/* RENAME INBOX goes on while messages are left. */
	bool purge, again;
	uint32_t target;
};

static void
name_put(struct txn *t, const struct key *k, uint32_t id)
{
	id = htole32(id);
	writes_put(t->writes, KV_NAME, key_str(k), str_n(&id, sizeof id));
}

enum err
path_create(struct txn *t, struct str path, unsigned special_use, struct mailbox_row *out)
{
	struct str head;
	uint32_t parent = 0, id;
	enum err e;

	for (;;) {
		bool more = str_cut(path, '/', &head, &path);

		e = name_get(t, parent, head, &id);
		if (!more)
			break;
		if (e == ERR_NOTFOUND) {
			e = mailbox_row_new(t, parent, head, true, 0, out);
			id = out->id;
		}
		if (e != ERR_OK)
			return e;
		parent = id;
	}
	if (e == ERR_NOTFOUND)
		return mailbox_row_new(t, parent, head, false, special_use, out);
	if (e == ERR_OK)
		e = mailbox_row_get(t, id, out);
	if (e != ERR_OK)
		return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
	if (!out->noselect)
		return ERR_EXISTS;
	out->noselect = false;
	out->special_use = special_use;
	e = uidvalidity_new(t, &out->uidvalidity);
	if (e == ERR_OK)
		mailbox_row_put(t, out);
	return e;
}

/* Is there a child other than this one? Names written by this update are not seen. */
static enum err
other_children(struct txn *t, uint32_t id, struct str component, bool *out)
{
	struct kv_cursor *c;
	struct key k = { .n = 0 };
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_NAME, &c);

	*out = false;
	if (e != ERR_OK)
		return e;
	key_u32(&k, id);
	for (e = kv_cursor_seek(c, key_str(&k), &key, &v);
		e == ERR_OK && key.n > 4 && be32_at(key, 0) == id && !*out;
		e = kv_cursor_next(c, &key, &v))
		*out = !str_eq(str_from(key, 4), component);
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

/* Is id the mailbox `of` or one above it? */
static enum err
is_above(struct txn *t, uint32_t id, uint32_t of, bool *out)
{
	struct mailbox_row row;

	*out = false;
	for (unsigned depth = 0; of != 0 && !*out; depth++) {
		if (depth > MAILBOX_DEPTH_MAX)
			return ERR_CORRUPT;
		*out = of == id;
		enum err e = mailbox_row_get(t, of, &row);

		if (e != ERR_OK)
			return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
		of = row.parent;
	}
	return ERR_OK;
}

/* Placeholders that lost their last child, `gone` of mailbox id, go too, up the tree; not what is
 * above keep. */
static enum err
prune(struct txn *t, uint32_t id, struct str gone, uint32_t keep)
{
	struct mailbox_row row;
	struct key k;
	char component[MAILBOX_NAME_MAX];
	bool stop = false;

	while (id != 0) {
		enum err e = mailbox_row_get(t, id, &row);

		if (e == ERR_OK && !row.noselect)
			return ERR_OK;
		if (e == ERR_OK)
			e = other_children(t, id, gone, &stop);
		if (e == ERR_OK && !stop)
			e = is_above(t, id, keep, &stop);
		if (e != ERR_OK || stop)
			return e;
		if ((e = metadata_drop(t, id)) != ERR_OK ||
			(e = key_name(&k, row.parent, mailbox_row_name(&row))) != ERR_OK)
			return e;
		writes_del(t->writes, KV_NAME, key_str(&k));
		k.n = 0;
		key_u32(&k, id);
		writes_del(t->writes, KV_MAILBOX, key_str(&k));
		memcpy(component, row.name, row.name_len);
		gone = str_n(component, row.name_len);
		id = row.parent;
	}
	return ERR_OK;
}

static enum err
create_run(struct update *u, struct txn *t)
{
	struct mailbox_op *op = CONTAINER_OF(u, struct mailbox_op, op.update);
	struct mailbox_row row;
	enum err e = path_create(t, op->name, op->special_use, &row);

	if (e == ERR_OK)
		op->r = (struct mailbox_result){ row.id, row.uidvalidity, 0 };
	return e;
}

/* The children get a placeholder of the same name as their parent. */
static enum err
leave_placeholder(struct txn *t, const struct mailbox_row *row)
{
	struct mailbox_row holder, child;
	struct kv_cursor *c;
	struct key k = { .n = 0 };
	struct str key, v;
	enum err e = mailbox_row_new(t, row->parent, mailbox_row_name(row), true, 0, &holder);

	if (e != ERR_OK || (e = kv_cursor_open(t->kv, KV_NAME, &c)) != ERR_OK)
		return e;
	key_u32(&k, row->id);
	for (e = kv_cursor_seek(c, key_str(&k), &key, &v);
		e == ERR_OK && key.n > 4 && be32_at(key, 0) == row->id;
		e = kv_cursor_next(c, &key, &v)) {
		struct key moved;
		uint32_t id;

		if (v.n != 4 || key_name(&moved, holder.id, str_from(key, 4)) != ERR_OK) {
			e = ERR_CORRUPT;
			break;
		}
		memcpy(&id, v.p, sizeof id);
		id = le32toh(id);
		writes_del(t->writes, KV_NAME, key);
		name_put(t, &moved, id);
		if ((e = mailbox_row_get(t, id, &child)) != ERR_OK)
			break;
		child.parent = holder.id;
		mailbox_row_put(t, &child);
	}
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

static enum err
delete_run(struct update *u, struct txn *t)
{
	struct mailbox_op *op = CONTAINER_OF(u, struct mailbox_op, op.update);
	struct mailbox_row row;
	struct key k;
	bool children;
	enum err e = str_eq(op->name, STR("INBOX")) ? ERR_DENIED : ERR_OK;

	if (e == ERR_OK)
		e = mailbox_row_find(t, op->name, &row);
	if (e == ERR_OK)
		e = name_has_children(t, row.id, &children);
	if (e == ERR_OK && row.noselect && children)
		e = ERR_DENIED;
	if (e == ERR_OK)
		e = key_name(&k, row.parent, mailbox_row_name(&row));
	if (e != ERR_OK)
		return e;
	op->r = (struct mailbox_result){ row.id, row.uidvalidity, 0 };
	writes_del(t->writes, KV_NAME, key_str(&k));
	if (children)
		e = leave_placeholder(t, &row);
	else
		e = prune(t, row.parent, mailbox_row_name(&row), 0);
	row_uncount(t, &row);
	row.dying = true;
	row.parent = 0;
	mailbox_row_put(t, &row);
	op->purge = true;
	return e;
}

struct longest {
	struct txn *t;
	size_t bytes; /* of the longest path below, without the root's own */
	unsigned depth;
};

static enum err
measure(struct longest *l, uint32_t id, size_t bytes, unsigned depth)
{
	struct kv_cursor *c;
	struct key k = { .n = 0 };
	struct str key, v;

	if (depth > MAILBOX_DEPTH_MAX)
		return ERR_CORRUPT;
	if (bytes > l->bytes)
		l->bytes = bytes;
	if (depth > l->depth)
		l->depth = depth;
	enum err e = kv_cursor_open(l->t->kv, KV_NAME, &c);

	if (e != ERR_OK)
		return e;
	key_u32(&k, id);
	for (e = kv_cursor_seek(c, key_str(&k), &key, &v);
		e == ERR_OK && key.n > 4 && be32_at(key, 0) == id;
		e = kv_cursor_next(c, &key, &v)) {
		uint32_t child;

		if (v.n != 4)
			e = ERR_CORRUPT;
		else
			memcpy(&child, v.p, sizeof child);
		if (e == ERR_OK)
			e = measure(l, le32toh(child), bytes + 1 + key.n - 4, depth + 1);
		if (e != ERR_OK)
			break;
	}
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

static unsigned
depth_of(struct str path)
{
	unsigned n = 1;

	for (size_t i = 0; i < path.n; i++)
		n += path.p[i] == '/';
	return n;
}

/* Whether the subtree keeps to the limits under its new name. */
static enum err
rename_fits(struct txn *t, const struct mailbox_row *row, struct str to)
{
	struct longest l = { .t = t };
	enum err e = measure(&l, row->id, 0, 0);

	if (e != ERR_OK)
		return e;
	return to.n + l.bytes > MAILBOX_NAME_MAX || depth_of(to) + l.depth > MAILBOX_DEPTH_MAX
		       ? ERR_LIMIT
		       : ERR_OK;
}

/* The id of the new parent, placeholders made where needed. */
static enum err
make_parents(struct txn *t, struct str path, uint32_t *parent_out, struct str *last_out)
{
	struct mailbox_row row;
	struct str head;
	uint32_t id = 0;

	*parent_out = 0;
	while (str_cut(path, '/', &head, &path)) {
		enum err e = name_get(t, *parent_out, head, &id);

		if (e == ERR_NOTFOUND) {
			e = mailbox_row_new(t, *parent_out, head, true, 0, &row);
			id = row.id;
		}
		if (e != ERR_OK)
			return e;
		*parent_out = id;
	}
	*last_out = head;
	return ERR_OK;
}

static enum err
rename_inbox(struct mailbox_op *op, struct txn *t)
{
	struct mailbox_row inbox, target;
	struct uidset all = { .v = &(struct uid_range){ 1, UINT32_MAX }, .n = 1 };
	struct uidset from = { 0 }, into = { 0 };
	struct transfer x = {
		.source = &inbox,
		.to = &target,
		.uids = &all,
		.from = 1,
		.max = op_entries_max,
		.move = true,
		.source_uids = &from,
		.target_uids = &into,
	};
	enum err e = op->target == 0 ? path_create(t, op->to, 0, &target)
				     : op_row_by_id(t, op->target, &target);

	if (e == ERR_OK)
		e = op_row_by_path(t, STR("INBOX"), &inbox);
	if (e == ERR_OK && op->target == 0)
		e = metadata_copy(t, inbox.id, target.id);
	if (e == ERR_OK)
		e = transfer_entries(t, &x);
	op->again = x.next != 0;
	if (e == ERR_OK)
		op->r = (struct mailbox_result){ target.id, target.uidvalidity, 0 };
	uidset_fini(&from);
	uidset_fini(&into);
	return e;
}

static enum err
rename_run(struct update *u, struct txn *t)
{
	struct mailbox_op *op = CONTAINER_OF(u, struct mailbox_op, op.update);
	struct mailbox_row row, there;
	struct key k;
	struct str last;
	char old[MAILBOX_NAME_MAX];
	uint32_t parent, old_parent;

	if (str_eq(op->name, STR("INBOX")))
		return rename_inbox(op, t);
	enum err e = mailbox_row_find(t, op->name, &row);

	if (e != ERR_OK)
		return e;
	if (str_starts(op->to, op->name) && op->to.n > op->name.n && op->to.p[op->name.n] == '/')
		return ERR_DENIED;
	e = mailbox_row_find(t, op->to, &there);
	if (e != ERR_NOTFOUND)
		return e == ERR_OK ? ERR_EXISTS : e;
	if ((e = rename_fits(t, &row, op->to)) != ERR_OK ||
		(e = make_parents(t, op->to, &parent, &last)) != ERR_OK ||
		(e = key_name(&k, row.parent, mailbox_row_name(&row))) != ERR_OK)
		return e;
	writes_del(t->writes, KV_NAME, key_str(&k));
	if ((e = key_name(&k, parent, last)) != ERR_OK)
		return e;
	name_put(t, &k, row.id);
	old_parent = row.parent;
	memcpy(old, row.name, row.name_len);
	struct str old_name = str_n(old, row.name_len);

	row.parent = parent;
	row.name_len = (uint32_t)last.n;
	memcpy(row.name, last.p, last.n);
	mailbox_row_put(t, &row);
	op->r = (struct mailbox_result){ row.id, row.uidvalidity, 0 };
	return prune(t, old_parent, old_name, parent);
}

static enum err
subscribe_run(struct update *u, struct txn *t)
{
	struct mailbox_op *op = CONTAINER_OF(u, struct mailbox_op, op.update);
	struct str v;
	enum err e = txn_get(t, KV_SUBSCRIBED, op->name, &v);

	op->r = (struct mailbox_result){ 0, 0, 0 };
	if (!op->on) {
		if (e == ERR_OK)
			writes_del(t->writes, KV_SUBSCRIBED, op->name);
		return e;
	}
	if (e == ERR_NOTFOUND)
		writes_put(t->writes, KV_SUBSCRIBED, op->name, STR_EMPTY);
	return e == ERR_NOTFOUND ? ERR_OK : e;
}

static void
mailbox_done(struct update *u, enum err e)
{
	struct mailbox_op *op = CONTAINER_OF(u, struct mailbox_op, op.update);

	if (e == ERR_OK && op->purge)
		garbage_schedule_now(op->op.home);
	if (e == ERR_OK && op->again) {
		op->target = op->r.id;
		home_submit(op->op.home, u);
		return;
	}
	if (!op->op.forgotten)
		op->done(op->arg, e, &op->r);
	free((char *)(uintptr_t)op->name.p);
	free((char *)(uintptr_t)op->to.p);
	op_fini(&op->op);
	free(op);
}

static struct mailbox_op *
start(struct home *h, struct str name, struct str to,
	enum err (*run)(struct update *, struct txn *), mailbox_done_fn done, void *arg)
{
	struct mailbox_op *op = xcalloc(1, sizeof *op);

	op_init(&op->op, h, run, mailbox_done);
	op->name = str_n(str_dup(name), name.n);
	op->to = str_n(str_dup(to), to.n);
	op->done = done;
	op->arg = arg;
	return op;
}

struct store_op *
store_create(struct home *h, struct str name, unsigned special_use, mailbox_done_fn done, void *arg)
{
	struct mailbox_op *op = start(h, name, STR_EMPTY, create_run, done, arg);

	op->special_use = special_use;
	home_submit(h, &op->op.update);
	return &op->op;
}

struct store_op *
store_delete(struct home *h, struct str name, mailbox_done_fn done, void *arg)
{
	struct mailbox_op *op = start(h, name, STR_EMPTY, delete_run, done, arg);

	home_submit(h, &op->op.update);
	return &op->op;
}

struct store_op *
store_rename(struct home *h, struct str from, struct str to, mailbox_done_fn done, void *arg)
{
	struct mailbox_op *op = start(h, from, to, rename_run, done, arg);

	home_submit(h, &op->op.update);
	return &op->op;
}

struct store_op *
store_subscribe(struct home *h, struct str name, bool on, mailbox_done_fn done, void *arg)
{
	struct mailbox_op *op = start(h, name, STR_EMPTY, subscribe_run, done, arg);

	op->on = on;
	home_submit(h, &op->op.update);
	return &op->op;
}
