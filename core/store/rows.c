/* Rows of the index; see rows.h. Read by everything in core/store, edited by the updates only.
 * Every decoder checks what it is given: a damaged row is ERR_CORRUPT, never a crash. */
#include "core/store/rows.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/hmap.h"

enum { MAILBOX_FIXED = 72, MAILBOX_NOSELECT = 1, MAILBOX_DYING = 2 };

static void
le32_put(unsigned char *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof v);
}

static void
le64_put(unsigned char *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof v);
}

static uint32_t
le32_at(struct str s, size_t off)
{
	uint32_t v;

	memcpy(&v, s.p + off, sizeof v);
	return le32toh(v);
}

static uint64_t
le64_at(struct str s, size_t off)
{
	uint64_t v;

	memcpy(&v, s.p + off, sizeof v);
	return le64toh(v);
}

enum err
txn_get(struct txn *t, enum kv_table table, struct str key, struct str *value_out)
{
	if (t->writes != NULL)
		switch (writes_get(t->writes, table, key, value_out)) {
		case WRITES_PUT:
			return ERR_OK;
		case WRITES_DEL:
			return ERR_NOTFOUND;
		case WRITES_NONE:
			break;
		}
	return kv_get(t->kv, table, key, value_out);
}

enum err
key_name(struct key *k, uint32_t parent, struct str component)
{
	if (component.n + 4 > MAILBOX_NAME_MAX + 4)
		return ERR_LIMIT;
	k->n = 0;
	key_u32(k, parent);
	if (component.n > 0)
		memcpy(k->b + k->n, component.p, component.n);
	k->n += component.n;
	return ERR_OK;
}

enum err
meta_get(struct txn *t, const char *name, uint64_t *out)
{
	struct str v;
	enum err e = txn_get(t, KV_META, str_of(name), &v);

	*out = 0;
	if (e == ERR_NOTFOUND)
		return ERR_OK;
	if (e != ERR_OK)
		return e;
	if (v.n != 8)
		return ERR_CORRUPT;
	*out = le64_at(v, 0);
	return ERR_OK;
}

void
meta_put(struct txn *t, const char *name, uint64_t v)
{
	unsigned char b[8];

	le64_put(b, v);
	writes_put(t->writes, KV_META, str_of(name), str_n(b, sizeof b));
}

enum err
mailbox_row_decode(uint32_t id, struct str v, struct mailbox_row *out)
{
	if (v.n < MAILBOX_FIXED || v.n - MAILBOX_FIXED > sizeof out->name)
		return ERR_CORRUPT;
	uint32_t state = le32_at(v, 28);

	out->id = id;
	out->parent = le32_at(v, 0);
	out->uidvalidity = le32_at(v, 4);
	out->uidnext = le32_at(v, 8);
	out->messages = le32_at(v, 12);
	out->unseen = le32_at(v, 16);
	out->recent_from = le32_at(v, 20);
	out->special_use = le32_at(v, 24);
	out->noselect = (state & MAILBOX_NOSELECT) != 0;
	out->dying = (state & MAILBOX_DYING) != 0;
	out->highestmodseq = le64_at(v, 32);
	out->change_floor = le64_at(v, 40);
	out->change_count = le32_at(v, 48);
	out->deleted = le32_at(v, 52);
	out->bytes = le64_at(v, 56);
	out->deleted_bytes = le64_at(v, 64);
	out->name_len = (uint32_t)(v.n - MAILBOX_FIXED);
	memcpy(out->name, v.p + MAILBOX_FIXED, out->name_len);
	return ERR_OK;
}

enum err
mailbox_row_get(struct txn *t, uint32_t id, struct mailbox_row *out)
{
	struct key k = { .n = 0 };
	struct str v;

	key_u32(&k, id);
	enum err e = txn_get(t, KV_MAILBOX, key_str(&k), &v);

	return e == ERR_OK ? mailbox_row_decode(id, v, out) : e;
}

void
mailbox_row_put(struct txn *t, const struct mailbox_row *r)
{
	unsigned char b[MAILBOX_FIXED + MAILBOX_NAME_MAX];
	struct key k = { .n = 0 };

	le32_put(b + 0, r->parent);
	le32_put(b + 4, r->uidvalidity);
	le32_put(b + 8, r->uidnext);
	le32_put(b + 12, r->messages);
	le32_put(b + 16, r->unseen);
	le32_put(b + 20, r->recent_from);
	le32_put(b + 24, r->special_use);
	le32_put(b + 28, (r->noselect ? MAILBOX_NOSELECT : 0u) | (r->dying ? MAILBOX_DYING : 0u));
	le64_put(b + 32, r->highestmodseq);
	le64_put(b + 40, r->change_floor);
	le32_put(b + 48, r->change_count);
	le32_put(b + 52, r->deleted);
	le64_put(b + 56, r->bytes);
	le64_put(b + 64, r->deleted_bytes);
	memcpy(b + MAILBOX_FIXED, r->name, r->name_len);
	key_u32(&k, r->id);
	writes_put(t->writes, KV_MAILBOX, key_str(&k), str_n(b, MAILBOX_FIXED + r->name_len));
}

void
row_count_in(struct txn *t, struct mailbox_row *row, const struct entry *e)
{
	bool deleted = (e->flags & FLAG_DELETED) != 0;

	row->messages++;
	row->bytes += e->size;
	row->unseen += (e->flags & FLAG_SEEN) == 0;
	row->deleted += deleted;
	row->deleted_bytes += deleted ? e->size : 0;
	t->added.messages++;
	t->added.bytes += e->size;
}

void
row_count_out(struct txn *t, struct mailbox_row *row, const struct entry *e)
{
	bool deleted = (e->flags & FLAG_DELETED) != 0;

	row->messages--;
	row->bytes -= e->size;
	row->unseen -= (e->flags & FLAG_SEEN) == 0;
	row->deleted -= deleted;
	row->deleted_bytes -= deleted ? e->size : 0;
	t->added.messages--;
	t->added.bytes -= e->size;
}

void
row_uncount(struct txn *t, const struct mailbox_row *row)
{
	t->added.messages -= row->messages;
	t->added.bytes -= row->bytes;
}

enum err
entry_decode(uint32_t uid, struct str v, struct entry *out)
{
	if (v.n != ENTRY_BYTES)
		return ERR_CORRUPT;
	out->uid = uid;
	out->msg = le64_at(v, 0);
	out->modseq = le64_at(v, 8);
	out->keywords = le64_at(v, 16);
	out->internal_sec = (int64_t)le64_at(v, 24);
	out->save_ms = (int64_t)le64_at(v, 32);
	out->size = le64_at(v, 40);
	out->flags = le32_at(v, 48);
	out->internal_zone_min = (int32_t)le32_at(v, 52);
	return ERR_OK;
}

void
entry_encode(const struct entry *e, unsigned char out[ENTRY_BYTES])
{
	le64_put(out + 0, e->msg);
	le64_put(out + 8, e->modseq);
	le64_put(out + 16, e->keywords);
	le64_put(out + 24, (uint64_t)e->internal_sec);
	le64_put(out + 32, (uint64_t)e->save_ms);
	le64_put(out + 40, e->size);
	le32_put(out + 48, e->flags);
	le32_put(out + 52, (uint32_t)e->internal_zone_min);
}

void
entry_put(struct txn *t, uint32_t mailbox, const struct entry *e)
{
	unsigned char b[ENTRY_BYTES];
	struct key k;

	entry_encode(e, b);
	writes_put_once(t->writes, KV_ENTRY, key_2u32(&k, mailbox, e->uid), str_n(b, sizeof b));
}

enum err
chunk_decode(struct str v, struct chunk_row *out)
{
	if (v.n != CHUNK_BYTES)
		return ERR_CORRUPT;
	memcpy(out->exists, v.p, sizeof out->exists);
	memcpy(out->unseen, v.p + sizeof out->exists, sizeof out->unseen);
	for (int i = 0; i < CHUNK_WORDS; i++) {
		out->exists[i] = le64toh(out->exists[i]);
		out->unseen[i] = le64toh(out->unseen[i]);
	}
	return ERR_OK;
}

void
chunk_edit_flush(struct chunk_edit *c, struct txn *t)
{
	struct chunk_row le = c->row;
	struct key k;
	uint64_t any = 0;

	if (!c->loaded)
		return;
	c->loaded = false;
	for (int i = 0; i < CHUNK_WORDS; i++) {
		any |= le.exists[i];
		le.exists[i] = htole64(le.exists[i]);
		le.unseen[i] = htole64(le.unseen[i]);
	}
	struct str key = key_2u32(&k, c->mailbox, c->chunk);

	if (any != 0)
		writes_put(t->writes, KV_UIDS, key, str_n(&le, sizeof le));
	else
		writes_del(t->writes, KV_UIDS, key);
}

enum err
chunk_edit_set(struct chunk_edit *c, struct txn *t, uint32_t mailbox, uint32_t uid, bool exists,
	bool unseen)
{
	uint32_t chunk = uid / CHUNK_UIDS, bit = uid % CHUNK_UIDS;
	uint64_t mask = (uint64_t)1 << (bit % 64);
	struct key k;
	struct str v;

	if (!c->loaded || c->mailbox != mailbox || c->chunk != chunk) {
		chunk_edit_flush(c, t);
		enum err e = txn_get(t, KV_UIDS, key_2u32(&k, mailbox, chunk), &v);

		if (e == ERR_NOTFOUND)
			memset(&c->row, 0, sizeof c->row);
		else if (e != ERR_OK || (e = chunk_decode(v, &c->row)) != ERR_OK)
			return e;
		c->loaded = true;
		c->mailbox = mailbox;
		c->chunk = chunk;
	}
	uint64_t *ex = &c->row.exists[bit / 64], *un = &c->row.unseen[bit / 64];

	*ex = exists ? *ex | mask : *ex & ~mask;
	*un = exists && unseen ? *un | mask : *un & ~mask;
	return ERR_OK;
}

static void
varint_put(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_addc(b, (char)(v | 0x80));
	buf_addc(b, (char)v);
}

static enum err
varint_get(struct str *in, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; in->n > 0 && shift < 35; shift += 7) {
		unsigned char c = (unsigned char)in->p[0];

		*in = str_from(*in, 1);
		*out |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80)
			return ERR_OK;
	}
	return ERR_CORRUPT;
}

static enum err
change_trim(struct txn *t, struct mailbox_row *row)
{
	struct kv_cursor *c;
	struct key k;
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_CHANGE, &c);

	if (e != ERR_OK)
		return e;
	e = kv_cursor_seek(c, key_u32_u64(&k, row->id, 0), &key, &v);
	while (e == ERR_OK && row->change_count > CHANGE_ROWS_MAX && key.n == 12 &&
		be32_at(key, 0) == row->id) {
		row->change_floor = be64_at(key, 4);
		row->change_count--;
		writes_del_once(t->writes, KV_CHANGE, key);
		e = kv_cursor_next(c, &key, &v);
	}
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

enum err
change_add(struct txn *t, struct mailbox_row *row, enum change_kind kind, const struct uidset *uids)
{
	struct buf b;
	struct key k;
	uint32_t last = 0;

	buf_init(&b, 1024 * 1024);
	buf_addc(&b, (char)kind);
	for (size_t i = 0; i < uids->n; i++) {
		varint_put(&b, uids->v[i].lo - last);
		varint_put(&b, uids->v[i].hi - uids->v[i].lo);
		last = uids->v[i].hi;
	}
	enum err e = buf_check(&b);

	if (e == ERR_OK)
		writes_put_once(t->writes, KV_CHANGE, key_u32_u64(&k, row->id, row->highestmodseq),
			buf_str(&b));
	buf_fini(&b);
	if (e != ERR_OK)
		return e;
	row->change_count++;
	return row->change_count > CHANGE_ROWS_MAX ? change_trim(t, row) : ERR_OK;
}

enum err
change_decode(struct str v, enum change_kind *kind_out, struct uidset *uids)
{
	uint64_t last = 0;

	if (v.n == 0 || (v.p[0] != CHANGE_FLAGS && v.p[0] != CHANGE_EXPUNGE))
		return ERR_CORRUPT;
	*kind_out = (enum change_kind)v.p[0];
	v = str_from(v, 1);
	while (v.n > 0) {
		uint64_t skip, len;
		enum err e = varint_get(&v, &skip);

		if (e != ERR_OK || (e = varint_get(&v, &len)) != ERR_OK)
			return e;
		uint64_t lo = last + skip, hi = lo + len;

		if (lo == 0 || hi > UINT32_MAX || skip == 0)
			return ERR_CORRUPT;
		uidset_add(uids, (uint32_t)lo, (uint32_t)hi);
		last = hi;
	}
	return ERR_OK;
}

enum err
entry_append(struct txn *t, struct mailbox_row *row, struct chunk_edit *c, struct entry *e)
{
	if (row->uidnext == UINT32_MAX)
		return ERR_LIMIT;
	bool unseen = (e->flags & FLAG_SEEN) == 0;

	e->uid = row->uidnext++;
	e->modseq = row->highestmodseq;
	row_count_in(t, row, e);
	entry_put(t, row->id, e);
	return chunk_edit_set(c, t, row->id, e->uid, true, unseen);
}

enum err
uidvalidity_new(struct txn *t, uint32_t *out)
{
	uint64_t last, now = (uint64_t)clock_wall_ms() / 1000;
	enum err e = meta_get(t, "uidvalidity", &last);

	if (e != ERR_OK)
		return e;
	last = last + 1 > now ? last + 1 : now;
	if (last > UINT32_MAX)
		return ERR_LIMIT;
	meta_put(t, "uidvalidity", last);
	*out = (uint32_t)last;
	return ERR_OK;
}

enum err
mailbox_row_new(struct txn *t, uint32_t parent, struct str component, bool noselect,
	unsigned special_use, struct mailbox_row *out)
{
	unsigned char b[4];
	struct key k;
	uint64_t id;
	enum err e = meta_get(t, "mailbox", &id);

	if (e == ERR_OK)
		e = uidvalidity_new(t, &out->uidvalidity);
	if (e == ERR_OK)
		e = key_name(&k, parent, component);
	if (e == ERR_OK && (++id > UINT32_MAX || component.n > sizeof out->name))
		e = ERR_LIMIT;
	if (e != ERR_OK)
		return e;
	meta_put(t, "mailbox", id);
	out->id = (uint32_t)id;
	out->parent = parent;
	out->uidnext = out->recent_from = 1;
	out->messages = out->unseen = out->deleted = 0;
	out->bytes = out->deleted_bytes = 0;
	out->special_use = special_use;
	out->noselect = noselect;
	out->dying = false;
	out->highestmodseq = 1;
	out->change_floor = 0;
	out->change_count = 0;
	out->name_len = (uint32_t)component.n;
	memcpy(out->name, component.p, component.n);
	mailbox_row_put(t, out);
	le32_put(b, out->id);
	writes_put(t->writes, KV_NAME, key_str(&k), str_n(b, sizeof b));
	return ERR_OK;
}

enum err
name_get(struct txn *t, uint32_t parent, struct str component, uint32_t *id_out)
{
	struct key k;
	struct str v;
	enum err e = key_name(&k, parent, component);

	if (e == ERR_OK)
		e = txn_get(t, KV_NAME, key_str(&k), &v);
	if (e == ERR_OK && v.n != 4)
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		*id_out = le32_at(v, 0);
	return e;
}

enum err
mailbox_row_find(struct txn *t, struct str path, struct mailbox_row *out)
{
	uint32_t id = 0;
	enum err e = path.n > 0 ? ERR_OK : ERR_NOTFOUND;

	while (e == ERR_OK && path.n > 0) {
		struct str head;

		(void)str_cut(path, '/', &head, &path);
		e = name_get(t, id, head, &id);
	}
	if (e != ERR_OK)
		return e == ERR_LIMIT ? ERR_NOTFOUND : e;
	e = mailbox_row_get(t, id, out);
	/* A name that leads nowhere is damage, not an absent mailbox. */
	return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
}

enum err
name_has_children(struct txn *t, uint32_t id, bool *out)
{
	struct kv_cursor *c;
	struct key k = { .n = 0 };
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_NAME, &c);

	*out = false;
	if (e != ERR_OK)
		return e;
	key_u32(&k, id);
	e = kv_cursor_seek(c, key_str(&k), &key, &v);
	*out = e == ERR_OK && key.n > 4 && be32_at(key, 0) == id;
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}
