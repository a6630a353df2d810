/* What changed since a modseq; see since.h. Used by imap on the loop. Invariant: a new message has
 * no row in the change table, but UIDs only grow: those behind the last entry that is older than
 * the modseq are all newer. */
#include "core/store/since.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/store/rows.h"

enum { PIECE_RANGES = 8192, PIECE_ENTRIES = 4096 };

/* ---- bits ---- */

static uint64_t *
chunk_of(struct uidbits *b, uint32_t number)
{
	if (number >= b->n) {
		uint32_t n = number + number / 2 + 1;

		b->chunk = xrealloc(b->chunk, (size_t)n * sizeof *b->chunk);
		memset(b->chunk + b->n, 0, (size_t)(n - b->n) * sizeof *b->chunk);
		b->n = n;
	}
	if (b->chunk[number] == NULL)
		b->chunk[number] = xcalloc(CHUNK_WORDS, sizeof **b->chunk);
	return b->chunk[number];
}

/* Bits from to until (both in) of one word. */
static uint64_t
word_mask(uint32_t from, uint32_t until)
{
	return ~(uint64_t)0 << from & ~(uint64_t)0 >> (63 - until);
}

void
uidbits_add(struct uidbits *b, uint32_t lo, uint32_t hi)
{
	for (uint64_t at = lo; at <= hi;) {
		uint64_t *words = chunk_of(b, (uint32_t)(at / CHUNK_UIDS));
		uint64_t word_end = at | 63;
		uint64_t end = word_end < hi ? word_end : hi;

		words[at % CHUNK_UIDS / 64] |= word_mask(at % 64, end % 64);
		at = end + 1;
	}
}

void
uidbits_select(const struct uidbits *b, uint32_t lo, uint32_t hi, struct uidset *out)
{
	for (uint64_t at = lo; at <= hi && at / CHUNK_UIDS < b->n;) {
		const uint64_t *words = b->chunk[at / CHUNK_UIDS];

		if (words == NULL) {
			at = (at | (CHUNK_UIDS - 1)) + 1;
			continue;
		}
		uint64_t end = (at | 63) < hi ? at | 63 : hi;
		uint64_t word = words[at % CHUNK_UIDS / 64] & word_mask(at % 64, end % 64);

		uidset_add_word(out, (uint32_t)(at & ~(uint64_t)63), word);
		at = end + 1;
	}
}

void
uidbits_fini(struct uidbits *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		free(b->chunk[i]);
	free(b->chunk);
	*b = (struct uidbits){ .n = 0 };
}

/* ---- since ---- */

void
since_init(struct since *s, uint32_t mailbox, uint64_t after)
{
	*s = (struct since){ .mailbox = mailbox, .after = after, .next = after + 1 };
}

void
since_fini(struct since *s)
{
	uidbits_fini(&s->changed);
	uidbits_fini(&s->expunged);
}

static enum err
take_row(struct since *s, struct str value, struct uidset *scratch, const struct mailbox_row *row)
{
	enum change_kind kind;

	uidset_reset(scratch);
	enum err e = change_decode(value, &kind, scratch);

	if (e != ERR_OK)
		return e;
	if (scratch->n != 0 && scratch->v[scratch->n - 1].hi >= row->uidnext)
		return ERR_CORRUPT;
	struct uidbits *to = kind == CHANGE_FLAGS ? &s->changed : &s->expunged;

	for (size_t i = 0; i < scratch->n; i++)
		uidbits_add(to, scratch->v[i].lo, scratch->v[i].hi);
	return ERR_OK;
}

/* ERR_EOF: no more rows. */
static enum err
read_rows(struct since *s, struct txn *t, const struct mailbox_row *row)
{
	struct kv_cursor *c;
	struct uidset scratch = { 0 };
	struct key k;
	struct str key, v;
	size_t ranges = 0;
	enum err e = kv_cursor_open(t->kv, KV_CHANGE, &c);

	if (e != ERR_OK)
		return e;
	e = kv_cursor_seek(c, key_u32_u64(&k, s->mailbox, s->next), &key, &v);
	while (e == ERR_OK && ranges < PIECE_RANGES) {
		if (key.n != 12 || be32_at(key, 0) != s->mailbox) {
			e = ERR_EOF;
			break;
		}
		e = take_row(s, v, &scratch, row);
		ranges += scratch.n + 1;
		s->next = be64_at(key, 4) + 1;
		if (e == ERR_OK)
			e = kv_cursor_next(c, &key, &v);
	}
	kv_cursor_close(c);
	uidset_fini(&scratch);
	return e;
}

/* The entry before the cursor's place, when it is of the mailbox and newer. ERR_EOF: it is not. */
static enum err
entry_before(struct since *s, struct kv_cursor *c, bool from_end, uint32_t *uid_out)
{
	struct str key, v;
	struct entry entry = { .uid = 0 };
	enum err e = from_end ? kv_cursor_last(c, &key, &v) : kv_cursor_prev(c, &key, &v);

	if (e != ERR_OK)
		return e;
	if (key.n != 8)
		return ERR_CORRUPT;
	if (be32_at(key, 0) != s->mailbox)
		return ERR_EOF;
	e = entry_decode(be32_at(key, 4), v, &entry);
	if (e == ERR_OK && entry.modseq <= s->after)
		return ERR_EOF;
	*uid_out = entry.uid;
	return e;
}

/* From the last entry backwards. ERR_EOF: new_from is right. */
static enum err
read_new(struct since *s, struct txn *t)
{
	struct kv_cursor *c;
	struct key k;
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_ENTRY, &c);

	if (e != ERR_OK)
		return e;
	e = kv_cursor_seek(c, key_2u32(&k, s->mailbox, s->new_from), &key, &v);
	bool from_end = e == ERR_EOF;

	if (from_end)
		e = ERR_OK;
	for (unsigned n = 0; e == ERR_OK && n < PIECE_ENTRIES; n++, from_end = false)
		e = entry_before(s, c, from_end, &s->new_from);
	kv_cursor_close(c);
	return e;
}

enum err
since_step(struct since *s, struct txn *t)
{
	struct mailbox_row row;
	enum err e = mailbox_row_get(t, s->mailbox, &row);

	if (e == ERR_OK && (row.dying || row.noselect))
		e = ERR_NOTFOUND;
	if (e != ERR_OK)
		return e;
	/* rows that were to be read next may be trimmed meanwhile */
	if (s->next <= row.change_floor && !s->rows_done) {
		s->forgotten = true;
		return ERR_OK;
	}
	if (!s->rows_done) {
		e = read_rows(s, t, &row);
		if (e != ERR_EOF)
			return e == ERR_OK ? ERR_AGAIN : e;
		s->rows_done = true;
		s->new_from = UINT32_MAX;
		return s->rows_only ? ERR_OK : ERR_AGAIN;
	}
	e = read_new(s, t);
	if (e == ERR_OK)
		return ERR_AGAIN;
	return e == ERR_EOF ? ERR_OK : e;
}

enum err
since_any(struct txn *t, uint32_t mailbox, uint64_t after, bool *any_out)
{
	struct kv_cursor *c;
	struct key k;
	struct str key, v;
	enum err e = kv_cursor_open(t->kv, KV_CHANGE, &c);

	*any_out = false;
	if (e != ERR_OK)
		return e;
	/* where rows were trimmed, newer ones are there */
	e = kv_cursor_seek(c, key_u32_u64(&k, mailbox, after + 1), &key, &v);
	if (e == ERR_OK && key.n == 12)
		*any_out = be32_at(key, 0) == mailbox;
	kv_cursor_close(c);
	return e == ERR_EOF ? ERR_OK : e;
}
