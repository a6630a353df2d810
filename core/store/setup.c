/* What an index holds from its first moment: schema, INBOX and the default mailboxes. Called by
 * home.c on the pool when an index was opened. Two processes may come at once: the write lock
 * decides. */
#include "core/base/clock.h"
#include "core/store/internal.h"

static enum err
make_default(struct txn *t, const struct default_mailbox *d)
{
	struct str rest = str_of(d->name), head;
	struct mailbox_row row;
	uint32_t parent = 0, id;
	enum err e = ERR_OK;

	while (e == ERR_OK && rest.n > 0) {
		bool more = str_cut(rest, '/', &head, &rest);

		e = name_get(t, parent, head, &id);
		if (e == ERR_NOTFOUND) {
			e = mailbox_row_new(t, parent, head, more, more ? 0 : d->special_use, &row);
			id = row.id;
		}
		parent = id;
	}
	if (e == ERR_OK)
		writes_put(t->writes, KV_SUBSCRIBED, str_of(d->name), STR_EMPTY);
	return e;
}

static enum err
make_all(struct store *s, struct txn *t)
{
	struct mailbox_row row;
	uint64_t schema;
	enum err e = meta_get(t, "schema", &schema);

	if (e != ERR_OK || schema != 0)
		return e;
	meta_put(t, "schema", SCHEMA_VERSION);
	e = mailbox_row_new(t, 0, STR("INBOX"), false, 0, &row);
	if (e == ERR_OK)
		writes_put(t->writes, KV_SUBSCRIBED, STR("INBOX"), STR_EMPTY);
	for (size_t i = 0; e == ERR_OK && i < s->defaults_count; i++)
		e = make_default(t, &s->defaults[i]);
	return e;
}

static enum err
create(struct store *s, struct pool *p, struct kv *kv)
{
	struct writes *w = writes_new();
	struct txn t = { .writes = w };

	pool_wait_begin(p);
	enum err e = kv_write_begin(kv, &t.kv);

	pool_wait_end(p);
	if (e != ERR_OK)
		goto out;
	e = make_all(s, &t);
	if (e == ERR_OK)
		e = writes_apply(w, t.kv);
	if (e == ERR_OK)
		e = kv_commit(t.kv);
	else
		kv_abort(t.kv);
out:
	writes_free(w);
	return e == ERR_OK || e == ERR_CORRUPT ? e : ERR_TEMP;
}

/* Every mailbox row can be read, and how much garbage there is. */
static enum err
look_through(struct txn *t, uint64_t *schema_out, bool *has_garbage_out)
{
	struct kv_cursor *c;
	struct mailbox_row row;
	struct str key, v;
	uint64_t garbage = 0;
	enum err e = meta_get(t, "schema", schema_out);

	if (e == ERR_OK)
		e = kv_count(t->kv, KV_GARBAGE, &garbage);
	if (e != ERR_OK || (e = kv_cursor_open(t->kv, KV_MAILBOX, &c)) != ERR_OK)
		return e;
	for (e = kv_cursor_seek(c, STR("\x00"), &key, &v); e == ERR_OK;
		e = kv_cursor_next(c, &key, &v)) {
		if (key.n != 4 || mailbox_row_decode(be32_at(key, 0), v, &row) != ERR_OK) {
			e = ERR_CORRUPT;
			break;
		}
		*has_garbage_out |= row.dying;
	}
	kv_cursor_close(c);
	*has_garbage_out |= garbage > 0;
	return e == ERR_EOF ? ERR_OK : e;
}

enum err
home_setup(struct store *s, struct pool *p, struct kv *kv, const char *home, bool *has_garbage_out)
{
	struct txn t = { .writes = NULL };
	uint64_t schema = 0;

	*has_garbage_out = false;
	for (int tries = 0; tries < 3; tries++) {
		enum err e = kv_read_begin(kv, &t.kv);

		if (e != ERR_OK)
			return e == ERR_CORRUPT ? e : ERR_TEMP;
		e = look_through(&t, &schema, has_garbage_out);
		kv_read_end(t.kv);
		if (e != ERR_OK)
			return e;
		if (schema == SCHEMA_VERSION)
			return ERR_OK;
		/* Another version's index is not touched. */
		if (schema != 0 && schema != SCHEMA_OLDER)
			return ERR_DENIED;
		e = schema == 0 ? create(s, p, kv) : home_upgrade(p, kv, home);
		if (e == ERR_DENIED)
			e = ERR_TEMP;
		if (e != ERR_OK)
			return e;
	}
	return ERR_CORRUPT;
}
