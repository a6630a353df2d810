/* Mailboxes as a read step sees them; see mailbox.h. Called by imap on the loop and by updates on
 * the pool. Names lead from the root (id 0) through (parent, component) rows. */
#include "core/store/mailbox.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/mail/charset.h"
#include "core/store/rows.h"

static const struct {
	unsigned bit;
	const char *name;
} uses[] = {
	{ USE_ALL, "\\All" },
	{ USE_ARCHIVE, "\\Archive" },
	{ USE_DRAFTS, "\\Drafts" },
	{ USE_FLAGGED, "\\Flagged" },
	{ USE_JUNK, "\\Junk" },
	{ USE_SENT, "\\Sent" },
	{ USE_TRASH, "\\Trash" },
	{ USE_IMPORTANT, "\\Important" },
};

unsigned
special_use_parse(struct str s)
{
	for (size_t i = 0; i < ARRAY_LEN(uses); i++)
		if (str_ieq(s, str_of(uses[i].name)))
			return uses[i].bit;
	return 0;
}

const char *
special_use_name(unsigned bit)
{
	for (size_t i = 0; i < ARRAY_LEN(uses); i++)
		if (uses[i].bit == bit)
			return uses[i].name;
	return NULL;
}

static enum err
component_check(struct str c)
{
	if (c.n == 0 || str_eq(c, STR(".")) || str_eq(c, STR("..")))
		return ERR_SYNTAX;
	for (size_t i = 0; i < c.n; i++) {
		unsigned char b = (unsigned char)c.p[i];

		/* C1 controls are C2 80 to C2 9F; line and paragraph separator E2 80 A8 and A9:
		 * RFC 9755 3 */
		if (b < 0x20 || b == 0x7f ||
			(b == 0xc2 && i + 1 < c.n && (unsigned char)c.p[i + 1] < 0xa0) ||
			(b == 0xe2 && i + 2 < c.n && (unsigned char)c.p[i + 1] == 0x80 &&
				((unsigned char)c.p[i + 2] | 1) == 0xa9))
			return ERR_SYNTAX;
	}
	return ERR_OK;
}

enum err
mailbox_name_check(struct str name, struct buf *out)
{
	struct buf nfc;
	struct str rest, head;
	unsigned depth = 0;
	enum err e;

	if (name.n > (size_t)MAILBOX_NAME_MAX * 4)
		return ERR_LIMIT;
	if (name.n > 1 && name.p[name.n - 1] == '/')
		name.n--;
	if (!str_is_utf8(name) || str_has_nul(name))
		return ERR_SYNTAX;
	if (name.n == 0 || name.p[name.n - 1] == '/')
		return ERR_SYNTAX;
	buf_init(&nfc, (size_t)MAILBOX_NAME_MAX * 8);
	if (str_has_8bit(name)) {
		e = charset_nfc(&nfc, name);
	} else {
		buf_add(&nfc, name);
		e = buf_check(&nfc);
	}
	for (rest = buf_str(&nfc); e == ERR_OK && rest.n > 0;) {
		bool more = str_cut(rest, '/', &head, &rest);

		if (++depth > MAILBOX_DEPTH_MAX)
			e = ERR_LIMIT;
		else
			e = component_check(head);
		if (e != ERR_OK)
			break;
		buf_add(out, depth == 1 && str_ieq(head, STR("INBOX")) ? STR("INBOX") : head);
		if (more)
			buf_addc(out, '/');
	}
	if (e == ERR_OK && nfc.n > MAILBOX_NAME_MAX)
		e = ERR_LIMIT;
	buf_fini(&nfc);
	return e == ERR_OK ? buf_check(out) : e;
}

static void
info_of(const struct mailbox_row *r, struct mailbox_info *out)
{
	*out = (struct mailbox_info){
		.id = r->id,
		.uidvalidity = r->uidvalidity,
		.uidnext = r->uidnext,
		.highestmodseq = r->highestmodseq,
		.messages = r->messages,
		.unseen = r->unseen,
		.deleted = r->deleted,
		.bytes = r->bytes,
		.deleted_bytes = r->deleted_bytes,
		.recent_from = r->recent_from,
		.special_use = r->special_use,
		.noselect = r->noselect,
		.name = STR_EMPTY,
	};
}

enum err
mailbox_find(struct txn *t, struct str name, struct mailbox_info *out)
{
	struct mailbox_row row;
	enum err e = mailbox_row_find(t, name, &row);

	if (e != ERR_OK)
		return e;
	info_of(&row, out);
	out->name = name;
	return name_has_children(t, row.id, &out->has_children);
}

enum err
mailbox_get(struct txn *t, uint32_t id, struct mailbox_info *out)
{
	struct mailbox_row row;
	enum err e = mailbox_row_get(t, id, &row);

	if (e != ERR_OK)
		return e;
	if (row.dying)
		return ERR_NOTFOUND;
	info_of(&row, out);
	return ERR_OK;
}

enum err
mailbox_path(struct txn *t, uint32_t id, struct buf *out)
{
	struct mailbox_row row[MAILBOX_DEPTH_MAX];
	unsigned n = 0;

	for (; id != 0; id = row[n++].parent) {
		if (n == MAILBOX_DEPTH_MAX)
			return ERR_CORRUPT;
		enum err e = mailbox_row_get(t, id, &row[n]);

		if (e != ERR_OK)
			return n == 0 ? e : ERR_CORRUPT;
		if (row[n].dying)
			return n == 0 ? ERR_NOTFOUND : ERR_CORRUPT;
	}
	while (n-- > 0) {
		buf_add(out, mailbox_row_name(&row[n]));
		if (n > 0)
			buf_addc(out, '/');
	}
	return buf_check(out);
}

struct walk {
	struct txn *t;
	mailbox_fn fn;
	void *arg;
	struct buf path;
};

/* What is below parent; after: the place to go on behind, a path relative to it, or empty. */
static enum err
walk_below(struct walk *w, uint32_t parent, struct str after, unsigned depth);

/* A mailbox and what is below it. passed: it was told before, only what comes behind after in it is
 * wanted. */
static enum err
walk_one(struct walk *w, uint32_t id, struct str component, bool passed, struct str after,
	unsigned depth)
{
	struct mailbox_row row;
	struct mailbox_info info;
	size_t n = w->path.n;
	enum err e = mailbox_row_get(w->t, id, &row);

	if (e != ERR_OK)
		return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
	info_of(&row, &info);
	if (n > 0)
		buf_addc(&w->path, '/');
	buf_add(&w->path, component);
	if ((e = buf_check(&w->path)) != ERR_OK)
		return e;
	info.name = buf_str(&w->path);
	e = name_has_children(w->t, id, &info.has_children);
	if (e == ERR_OK && !passed)
		e = w->fn(w->arg, &info);
	if (e == ERR_OK && info.has_children)
		e = walk_below(w, id, after, depth + 1);
	buf_truncate(&w->path, n);
	return e;
}

static enum err
walk_row(struct walk *w, uint32_t parent, struct str key, struct str v, struct str after,
	unsigned depth)
{
	struct str component = str_from(key, 4), head, rest;
	uint32_t id;

	if (parent == 0 && str_eq(component, STR("INBOX")))
		return ERR_OK;
	if (v.n != 4)
		return ERR_CORRUPT;
	memcpy(&id, v.p, sizeof id);
	(void)str_cut(after, '/', &head, &rest);
	bool passed = after.n > 0 && str_eq(head, component);

	return walk_one(w, le32toh(id), component, passed, passed ? rest : STR_EMPTY, depth);
}

static enum err
walk_below(struct walk *w, uint32_t parent, struct str after, unsigned depth)
{
	struct kv_cursor *c;
	struct key k;
	struct str key, v, head, rest;

	(void)str_cut(after, '/', &head, &rest);
	enum err e = depth > MAILBOX_DEPTH_MAX ? ERR_CORRUPT : key_name(&k, parent, head);

	if (e != ERR_OK || (e = kv_cursor_open(w->t->kv, KV_NAME, &c)) != ERR_OK)
		return e;
	for (e = kv_cursor_seek(c, key_str(&k), &key, &v);
		e == ERR_OK && key.n > 4 && be32_at(key, 0) == parent;
		e = kv_cursor_next(c, &key, &v)) {
		if ((e = walk_row(w, parent, key, v, after, depth)) != ERR_OK)
			break;
	}
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

struct stop {
	mailbox_fn fn;
	void *arg;
	bool stopped;
};

static enum err
stop_fn(void *arg, const struct mailbox_info *info)
{
	struct stop *s = arg;
	enum err e = s->fn(s->arg, info);

	s->stopped = e == ERR_EOF;
	return e == ERR_EOF ? ERR_BUSY : e;
}

enum err
mailbox_walk_after(struct txn *t, struct str after, mailbox_fn fn, void *arg)
{
	struct stop stop = { .fn = fn, .arg = arg };
	struct walk w = { .t = t, .fn = stop_fn, .arg = &stop };
	struct str head, rest;
	uint32_t inbox;
	enum err e = ERR_OK;

	(void)str_cut(after, '/', &head, &rest);
	bool in_inbox = str_eq(head, STR("INBOX"));

	buf_init(&w.path, (size_t)MAILBOX_NAME_MAX * 2);
	if (after.n == 0 || in_inbox) {
		e = name_get(t, 0, STR("INBOX"), &inbox);
		if (e == ERR_OK)
			e = walk_one(&w, inbox, STR("INBOX"), in_inbox, rest, 1);
	}
	if (e == ERR_OK || e == ERR_NOTFOUND)
		e = walk_below(&w, 0, in_inbox ? STR_EMPTY : after, 1);
	buf_fini(&w.path);
	return stop.stopped ? ERR_EOF : e;
}

enum err
mailbox_walk(struct txn *t, mailbox_fn fn, void *arg)
{
	return mailbox_walk_after(t, STR_EMPTY, fn, arg);
}

static enum err
subscribed_from(struct txn *t, struct str from, struct str prefix, subscribed_fn fn, void *arg)
{
	struct kv_cursor *c;
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_SUBSCRIBED, &c), told = ERR_OK;

	if (e != ERR_OK)
		return e;
	for (e = kv_cursor_seek(c, from, &key, &v);
		e == ERR_OK && told == ERR_OK && str_starts(key, prefix);
		e = kv_cursor_next(c, &key, &v))
		told = fn(arg, key);
	kv_cursor_close(c);
	if (told != ERR_OK)
		return told;
	return e == ERR_EOF ? ERR_OK : e;
}

enum err
subscribed_walk(struct txn *t, subscribed_fn fn, void *arg)
{
	return subscribed_from(t, STR("\x01"), STR_EMPTY, fn, arg);
}

enum err
subscribed_walk_after(struct txn *t, struct str after, subscribed_fn fn, void *arg)
{
	char next[MAILBOX_NAME_MAX + 1];

	if (after.n == 0 || after.n > MAILBOX_NAME_MAX)
		return subscribed_walk(t, fn, arg);
	/* no name holds a control character: nothing lies between */
	memcpy(next, after.p, after.n);
	next[after.n] = '\x01';
	return subscribed_from(t, str_n(next, after.n + 1), STR_EMPTY, fn, arg);
}

enum err
subscribed_walk_prefix(struct txn *t, struct str prefix, subscribed_fn fn, void *arg)
{
	if (prefix.n == 0 || prefix.n > MAILBOX_NAME_MAX)
		return ERR_OK;
	return subscribed_from(t, prefix, prefix, fn, arg);
}

bool
subscribed_has(struct txn *t, struct str name)
{
	struct str v;

	return name.n > 0 && name.n <= MAILBOX_NAME_MAX &&
	       txn_get(t, KV_SUBSCRIBED, name, &v) == ERR_OK;
}

/* The bitmaps of a mailbox from the one that holds uid from on; fn ERR_EOF ends the walk well. */
typedef enum err (*chunk_fn)(void *arg, uint32_t base, const struct chunk_row *row);

static enum err
chunks_from(struct txn *t, uint32_t mailbox, uint32_t from, chunk_fn fn, void *arg)
{
	struct kv_cursor *c;
	struct chunk_row row;
	struct key k;
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_UIDS, &c);

	if (e != ERR_OK)
		return e;
	for (e = kv_cursor_seek(c, key_2u32(&k, mailbox, from / CHUNK_UIDS), &key, &v);
		e == ERR_OK && key.n == 8 && be32_at(key, 0) == mailbox;
		e = kv_cursor_next(c, &key, &v)) {
		if ((e = chunk_decode(v, &row)) != ERR_OK ||
			(e = fn(arg, be32_at(key, 4) * CHUNK_UIDS, &row)) != ERR_OK)
			break;
	}
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}

struct bits {
	uint32_t from, count, first;
};

/* The word's bits for UIDs >= from. */
static uint64_t
bits_from(uint64_t word, uint32_t base, uint32_t from)
{
	if (base >= from)
		return word;
	return from - base >= 64 ? 0 : word & ~(uint64_t)0 << (from - base);
}

static enum err
count_chunk(void *arg, uint32_t base, const struct chunk_row *row)
{
	struct bits *b = arg;

	for (uint32_t i = 0; i < CHUNK_WORDS; i++)
		b->count += (uint32_t)__builtin_popcountll(
			bits_from(row->exists[i], base + i * 64, b->from));
	return ERR_OK;
}

enum err
mailbox_recent(struct txn *t, const struct mailbox_info *m, uint32_t *count_out)
{
	struct bits b = { .from = home_recent_from(txn_home(t), m->id, m->recent_from) };
	enum err e = ERR_OK;

	if (b.from < m->uidnext)
		e = chunks_from(t, m->id, b.from, count_chunk, &b);
	*count_out = b.count;
	return e;
}

static enum err
first_in_chunk(void *arg, uint32_t base, const struct chunk_row *row)
{
	struct bits *b = arg;

	for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
		uint64_t word = bits_from(row->unseen[i], base + i * 64, b->from);

		if (word != 0) {
			b->first = base + i * 64 + (uint32_t)__builtin_ctzll(word);
			return ERR_EOF;
		}
	}
	return ERR_OK;
}

enum err
mailbox_first_unseen(struct txn *t, uint32_t id, uint32_t from, uint32_t *uid_out)
{
	struct bits b = { .from = from };
	enum err e = chunks_from(t, id, from, first_in_chunk, &b);

	*uid_out = b.first;
	return e == ERR_OK && b.first == 0 ? ERR_NOTFOUND : e;
}

_Static_assert((int)UNSEEN_WORDS == (int)CHUNK_WORDS, "a run is a chunk");

struct run_from {
	struct unseen_run *out;
	uint32_t from;
	bool found;
};

static enum err
run_of_chunk(void *arg, uint32_t base, const struct chunk_row *row)
{
	struct run_from *r = arg;

	r->out->base = base;
	for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
		r->out->bits[i] = bits_from(row->unseen[i], base + i * 64, r->from);
		r->found |= r->out->bits[i] != 0;
	}
	return r->found ? ERR_EOF : ERR_OK;
}

enum err
mailbox_unseen_run(struct txn *t, uint32_t id, uint32_t from, struct unseen_run *out)
{
	struct run_from r = { .out = out, .from = from };
	enum err e = chunks_from(t, id, from, run_of_chunk, &r);

	return e == ERR_OK && !r.found ? ERR_NOTFOUND : e;
}
