/* Entries and keywords as a read step sees them; see entry.h. Called by imap on the loop and by
 * updates on the pool. */
#include "core/store/rows.h"

enum err
entry_get(struct txn *t, uint32_t mailbox, uint32_t uid, struct entry *out)
{
	struct key k;
	struct str v;
	enum err e = txn_get(t, KV_ENTRY, key_2u32(&k, mailbox, uid), &v);

	return e == ERR_OK ? entry_decode(uid, v, out) : e;
}

enum err
entry_scan_begin(struct entry_scan *s, struct txn *t, uint32_t mailbox, uint32_t from_uid)
{
	s->mailbox = mailbox;
	s->from = from_uid;
	s->started = false;
	s->cursor = NULL;
	return kv_cursor_open(t->kv, KV_ENTRY, &s->cursor);
}

static enum err
take(struct entry_scan *s, enum err e, struct str key, struct str v, struct entry *out)
{
	if (e != ERR_OK)
		return e;
	if (key.n != 8)
		return ERR_CORRUPT;
	if (be32_at(key, 0) != s->mailbox)
		return ERR_EOF;
	return entry_decode(be32_at(key, 4), v, out);
}

enum err
entry_scan_seek(struct entry_scan *s, uint32_t uid, struct entry *out)
{
	struct key k;
	struct str key = STR_EMPTY, v = STR_EMPTY;

	s->started = true;
	enum err e = kv_cursor_seek(s->cursor, key_2u32(&k, s->mailbox, uid), &key, &v);

	return take(s, e, key, v, out);
}

enum err
entry_scan_next(struct entry_scan *s, struct entry *out)
{
	struct str key = STR_EMPTY, v = STR_EMPTY;

	if (!s->started)
		return entry_scan_seek(s, s->from, out);
	enum err e = kv_cursor_next(s->cursor, &key, &v);

	return take(s, e, key, v, out);
}

void
entry_scan_end(struct entry_scan *s)
{
	kv_cursor_close(s->cursor);
	s->cursor = NULL;
}

/* Those that this update wrote, which range reads do not see: they have the lowest bits that were
 * free. */
static void
add_written(struct txn *t, uint32_t mailbox, struct keywords *out)
{
	for (unsigned bit = 0; bit < KEYWORD_MAX; bit++) {
		struct key k = { .n = 0 };
		struct str name;

		if (out->name[bit].n != 0)
			continue;
		key_u32(&k, mailbox);
		k.b[k.n++] = (unsigned char)bit;
		if (writes_get(t->writes, KV_KEYWORD, key_str(&k), &name) != WRITES_PUT)
			return;
		out->name[bit] = name;
		if (out->count <= bit)
			out->count = bit + 1;
	}
}

enum err
keywords_get(struct txn *t, uint32_t mailbox, struct keywords *out)
{
	struct kv_cursor *c;
	struct key k = { .n = 0 };
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_KEYWORD, &c);

	*out = (struct keywords){ .count = 0 };
	if (e != ERR_OK)
		return e;
	key_u32(&k, mailbox);
	for (e = kv_cursor_seek(c, key_str(&k), &key, &v);
		e == ERR_OK && key.n == 5 && be32_at(key, 0) == mailbox;
		e = kv_cursor_next(c, &key, &v)) {
		unsigned bit = (unsigned char)key.p[4];

		if (bit >= KEYWORD_MAX || v.n == 0)
			break;
		out->name[bit] = v;
		out->count = bit + 1;
	}
	kv_cursor_close(c);
	if (t->writes != NULL)
		add_written(t, mailbox, out);
	return e == ERR_EOF ? ERR_OK : e;
}

int
keywords_find(const struct keywords *k, struct str name)
{
	for (unsigned i = 0; i < k->count; i++)
		if (k->name[i].n > 0 && str_ieq(k->name[i], name))
			return (int)i;
	return -1;
}

static bool
keyword_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] >= 0x7f)
			return false;
	return name.n > 0 && name.n <= KEYWORD_NAME_MAX;
}

enum err
keywords_map(
	struct txn *t, uint32_t mailbox, const struct str *names, size_t count, bool add, int *bits)
{
	struct keywords kw;
	struct key k = { .n = 0 };
	enum err e = keywords_get(t, mailbox, &kw);

	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < count; i++) {
		int bit = keywords_find(&kw, names[i]);

		if (bit < 0 && add) {
			for (bit = 0; bit < KEYWORD_MAX && kw.name[bit].n > 0; bit++)
				continue;
			if (bit == KEYWORD_MAX || !keyword_ok(names[i]))
				return ERR_LIMIT;
			k.n = 0;
			key_u32(&k, mailbox);
			k.b[k.n++] = (unsigned char)bit;
			writes_put(t->writes, KV_KEYWORD, key_str(&k), names[i]);
			kw.name[bit] = names[i];
			if (kw.count <= (unsigned)bit)
				kw.count = (unsigned)bit + 1;
		}
		bits[i] = bit;
	}
	return ERR_OK;
}

enum err
keywords_bits(struct txn *t, uint32_t mailbox, const struct str *names, size_t count, bool add,
	uint64_t *out)
{
	int bit;

	*out = 0;
	if (count > KEYWORD_MAX)
		return ERR_LIMIT;
	int bits[KEYWORD_MAX];
	enum err e = count > 0 ? keywords_map(t, mailbox, names, count, add, bits) : ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < count; i++)
		if ((bit = bits[i]) >= 0)
			*out |= (uint64_t)1 << bit;
	return e;
}
