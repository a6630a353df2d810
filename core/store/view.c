/* Immutable views of a mailbox's UIDs; see view.h. Used by imap on the loop only, so counts are
 * plain. Chunks that did not change are shared between versions; views of one (mailbox, modseq) are
 * shared by the sessions of a process through the home's list. */
#include "core/store/view.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/store/internal.h"

struct chunk {
	uint32_t refs, count;
	uint16_t before[CHUNK_WORDS]; /* members in earlier words */
	uint64_t bits[CHUNK_WORDS];
};

struct slot {
	uint32_t number; /* UIDs from number * 4096 */
	uint32_t before; /* messages in earlier chunks */
	struct chunk *chunk;
};

struct view {
	struct list link; /* in the home's views */
	unsigned refs;
	uint32_t mailbox, uidvalidity, uidnext, count;
	uint64_t modseq;
	size_t n;
	struct slot slot[];
};

static void
chunk_unref(struct chunk *c)
{
	if (--c->refs == 0)
		free(c);
}

struct view *
view_ref(struct view *v)
{
	v->refs++;
	return v;
}

void
view_unref(struct view *v)
{
	if (v == NULL || --v->refs > 0)
		return;
	list_remove(&v->link);
	for (size_t i = 0; i < v->n; i++)
		chunk_unref(v->slot[i].chunk);
	free(v);
}

uint32_t
view_mailbox(const struct view *v)
{
	return v->mailbox;
}

uint32_t
view_uidvalidity(const struct view *v)
{
	return v->uidvalidity;
}

uint32_t
view_uidnext(const struct view *v)
{
	return v->uidnext;
}

uint64_t
view_modseq(const struct view *v)
{
	return v->modseq;
}

uint32_t
view_count(const struct view *v)
{
	return v->count;
}

/* Index of the first slot with number >= n. */
static size_t
slot_from(const struct view *v, uint32_t n)
{
	size_t lo = 0, hi = v->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v->slot[mid].number < n)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t
count_below(const struct chunk *c, uint32_t bit)
{
	uint64_t mask = ((uint64_t)1 << (bit % 64)) - 1;

	return c->before[bit / 64] + (uint32_t)__builtin_popcountll(c->bits[bit / 64] & mask);
}

uint32_t
view_rank(const struct view *v, uint32_t uid)
{
	size_t i = slot_from(v, uid / CHUNK_UIDS);

	if (i == v->n)
		return v->count;
	if (v->slot[i].number > uid / CHUNK_UIDS)
		return v->slot[i].before;
	return v->slot[i].before + count_below(v->slot[i].chunk, uid % CHUNK_UIDS);
}

uint32_t
view_seq_of_uid(const struct view *v, uint32_t uid)
{
	size_t i = slot_from(v, uid / CHUNK_UIDS);
	uint32_t bit = uid % CHUNK_UIDS;

	if (i == v->n || v->slot[i].number != uid / CHUNK_UIDS ||
		(v->slot[i].chunk->bits[bit / 64] >> (bit % 64) & 1) == 0)
		return 0;
	return v->slot[i].before + count_below(v->slot[i].chunk, bit) + 1;
}

uint32_t
view_uid_of_seq(const struct view *v, uint32_t seq)
{
	size_t lo = 0, hi = v->n;

	if (seq == 0 || seq > v->count)
		return 0;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (v->slot[mid].before < seq)
			lo = mid;
		else
			hi = mid;
	}
	const struct slot *s = &v->slot[lo];
	uint32_t left = seq - s->before;

	uint32_t w = 0;

	/* The last word with fewer members before it. */
	for (uint32_t step = CHUNK_WORDS / 2; step > 0; step /= 2)
		if (s->chunk->before[w + step] < left)
			w += step;
	uint64_t word = s->chunk->bits[w];

	for (left -= s->chunk->before[w]; left > 1; left--)
		word &= word - 1;
	return s->number * CHUNK_UIDS + w * 64 + (uint32_t)__builtin_ctzll(word);
}

/* The first member >= from. */
static bool
next_uid(const struct view *v, uint32_t from, size_t *slot_out, uint32_t *uid_out)
{
	size_t i = slot_from(v, from / CHUNK_UIDS);

	for (; i < v->n; i++) {
		uint32_t base = v->slot[i].number * CHUNK_UIDS;
		uint32_t bit = from > base ? from - base : 0;

		for (uint32_t w = bit / 64; w < CHUNK_WORDS; w++) {
			uint64_t word = v->slot[i].chunk->bits[w];

			if (w == bit / 64)
				word &= ~(uint64_t)0 << (bit % 64);
			if (word != 0) {
				*slot_out = i;
				*uid_out = base + w * 64 + (uint32_t)__builtin_ctzll(word);
				return true;
			}
		}
	}
	return false;
}

bool
view_next(const struct view *v, uint32_t from, uint32_t *uid_out, uint32_t *seq_out)
{
	size_t i;

	if (!next_uid(v, from, &i, uid_out))
		return false;
	*seq_out = v->slot[i].before + count_below(v->slot[i].chunk, *uid_out % CHUNK_UIDS) + 1;
	return true;
}

uint32_t
view_last_uid(const struct view *v)
{
	return view_uid_of_seq(v, v->count);
}

/* Members from lo to hi of one chunk. */
static void
select_chunk(const struct slot *s, uint32_t lo, uint32_t hi, struct uidset *out)
{
	uint32_t base = s->number * CHUNK_UIDS;
	uint32_t from = lo > base ? lo - base : 0;
	uint32_t until = hi - base < CHUNK_UIDS ? hi - base : CHUNK_UIDS - 1;

	for (uint32_t w = from / 64; w <= until / 64; w++) {
		uint64_t word = s->chunk->bits[w];

		if (w == from / 64)
			word &= ~(uint64_t)0 << from % 64;
		if (w == until / 64)
			word &= ~(uint64_t)0 >> (63 - until % 64);
		uidset_add_word(out, base + w * 64, word);
	}
}

void
view_select_uids(const struct view *v, const struct uidset *uids, struct uidset *out)
{
	for (size_t i = 0; i < uids->n; i++) {
		uint32_t lo = uids->v[i].lo, hi = uids->v[i].hi;

		for (size_t at = slot_from(v, lo / CHUNK_UIDS);
			at < v->n && v->slot[at].number <= hi / CHUNK_UIDS; at++)
			select_chunk(&v->slot[at], lo, hi, out);
	}
}

void
view_select_seqs(const struct view *v, const struct uidset *seqs, struct uidset *out)
{
	for (size_t i = 0; i < seqs->n; i++) {
		uint32_t lo = view_uid_of_seq(v, seqs->v[i].lo);
		uint32_t hi =
			view_uid_of_seq(v, seqs->v[i].hi < v->count ? seqs->v[i].hi : v->count);

		if (lo != 0 && hi != 0)
			view_select_uids(v,
				&(struct uidset){ .v = &(struct uid_range){ lo, hi }, .n = 1 },
				out);
	}
}

void
view_diff_init(struct view_diff *d)
{
	*d = (struct view_diff){ .expunged = { 0 } };
}

void
view_diff_fini(struct view_diff *d)
{
	uidset_fini(&d->expunged);
	uidset_fini(&d->arrived);
}

static struct chunk *
chunk_new(const uint64_t *bits)
{
	struct chunk *c = xmalloc(sizeof *c);

	c->refs = 1;
	memcpy(c->bits, bits, sizeof c->bits);
	c->count = 0;
	for (size_t i = 0; i < CHUNK_WORDS; i++) {
		c->before[i] = (uint16_t)c->count;
		c->count += (uint32_t)__builtin_popcountll(c->bits[i]);
	}
	return c;
}

static struct chunk *
chunk_like(const struct view *old, uint32_t number, const struct chunk_row *row)
{
	if (old != NULL) {
		size_t i = slot_from(old, number);

		if (i < old->n && old->slot[i].number == number &&
			memcmp(old->slot[i].chunk->bits, row->exists, sizeof row->exists) == 0) {
			old->slot[i].chunk->refs++;
			return old->slot[i].chunk;
		}
	}
	return chunk_new(row->exists);
}

static struct view *
view_with(struct view *v, uint32_t number, struct chunk *c, size_t *cap)
{
	if (v->n == *cap) {
		*cap = *cap * 2;
		v = xrealloc(v, sizeof *v + *cap * sizeof v->slot[0]);
	}
	v->slot[v->n++] = (struct slot){ number, v->count, c };
	v->count += c->count;
	return v;
}

static enum err
view_load(struct txn *t, const struct mailbox_row *row, const struct view *old, struct view **out)
{
	size_t cap = old != NULL && old->n > 0 ? old->n + 1 : 1;
	struct view *v = xcalloc(1, sizeof *v + cap * sizeof v->slot[0]);
	struct kv_cursor *c;
	struct chunk_row chunk;
	struct key k;
	struct str key, val;
	enum err e = kv_cursor_open(t->kv, KV_UIDS, &c);

	v->refs = 1;
	v->mailbox = row->id;
	v->uidvalidity = row->uidvalidity;
	v->uidnext = row->uidnext;
	v->modseq = row->highestmodseq;
	if (e != ERR_OK) {
		free(v);
		return e;
	}
	for (e = kv_cursor_seek(c, key_2u32(&k, row->id, 0), &key, &val);
		e == ERR_OK && key.n == 8 && be32_at(key, 0) == row->id;
		e = kv_cursor_next(c, &key, &val)) {
		if ((e = chunk_decode(val, &chunk)) != ERR_OK)
			break;
		uint32_t number = be32_at(key, 4);

		if (number > UINT32_MAX / CHUNK_UIDS) {
			e = ERR_CORRUPT;
			break;
		}
		v = view_with(v, number, chunk_like(old, number, &chunk), &cap);
	}
	kv_cursor_close(c);
	if (e != ERR_OK && e != ERR_EOF) {
		list_init(&v->link);
		view_unref(v);
		return e;
	}
	list_push_back(&t->home->views, &v->link);
	*out = v;
	return ERR_OK;
}

static enum err
row_for_view(struct txn *t, uint32_t mailbox, struct mailbox_row *row)
{
	enum err e = mailbox_row_get(t, mailbox, row);

	return e == ERR_OK && (row->dying || row->noselect) ? ERR_NOTFOUND : e;
}

static struct view *
view_shared(struct home *h, const struct mailbox_row *row)
{
	LIST_FOREACH (node, &h->views) {
		struct view *v = CONTAINER_OF(node, struct view, link);

		if (v->mailbox == row->id && v->modseq == row->highestmodseq &&
			v->uidvalidity == row->uidvalidity && v->uidnext == row->uidnext)
			return v;
	}
	return NULL;
}

enum err
view_open(struct txn *t, uint32_t mailbox, struct view **out)
{
	struct mailbox_row row;
	enum err e = row_for_view(t, mailbox, &row);

	if (e != ERR_OK)
		return e;
	struct view *v = view_shared(t->home, &row);

	if (v == NULL)
		return view_load(t, &row, NULL, out);
	*out = view_ref(v);
	return ERR_OK;
}

/* Bits of a that are not in b, as UIDs. */
static void
add_difference(struct uidset *out, uint32_t base, const uint64_t *a, const uint64_t *b)
{
	for (uint32_t i = 0; i < CHUNK_WORDS; i++)
		uidset_add_word(out, base + i * 64, a[i] & ~(b != NULL ? b[i] : 0));
}

static void
subtract(const struct view *a, const struct view *b, struct uidset *out)
{
	for (size_t i = 0; i < a->n; i++) {
		size_t j = slot_from(b, a->slot[i].number);
		const struct chunk *other = j < b->n && b->slot[j].number == a->slot[i].number
						    ? b->slot[j].chunk
						    : NULL;

		if (other != a->slot[i].chunk)
			add_difference(out, a->slot[i].number * CHUNK_UIDS, a->slot[i].chunk->bits,
				other != NULL ? other->bits : NULL);
	}
}

enum err
view_refresh(struct txn *t, struct view *old, struct view **out, struct view_diff *diff)
{
	struct mailbox_row row;
	enum err e = row_for_view(t, old->mailbox, &row);

	if (diff != NULL) {
		uidset_reset(&diff->expunged);
		uidset_reset(&diff->arrived);
	}
	if (e == ERR_OK && row.uidvalidity != old->uidvalidity)
		e = ERR_NOTFOUND;
	if (e != ERR_OK)
		return e;
	if (row.highestmodseq == old->modseq && row.uidnext == old->uidnext) {
		*out = view_ref(old);
		return ERR_OK;
	}
	struct view *now = view_shared(t->home, &row);

	if (now != NULL)
		view_ref(now);
	else
		e = view_load(t, &row, old, &now);
	if (e != ERR_OK)
		return e;
	if (diff != NULL) {
		subtract(old, now, &diff->expunged);
		subtract(now, old, &diff->arrived);
	}
	*out = now;
	return ERR_OK;
}

/* The chunk that holds what a and b hold; one of them may be NULL. */
static struct chunk *
chunk_join(struct chunk *a, struct chunk *b)
{
	uint64_t bits[CHUNK_WORDS];

	if (a == NULL || b == NULL || a == b) {
		struct chunk *one = a != NULL ? a : b;

		one->refs++;
		return one;
	}
	for (size_t i = 0; i < CHUNK_WORDS; i++)
		bits[i] = a->bits[i] | b->bits[i];
	return chunk_new(bits);
}

struct view *
view_join(const struct view *old, const struct view *now)
{
	size_t cap = old->n + now->n + 1, i = 0, j = 0;
	struct view *v = xcalloc(1, sizeof *v + cap * sizeof v->slot[0]);

	v->refs = 1;
	v->mailbox = old->mailbox;
	v->uidvalidity = old->uidvalidity;
	v->uidnext = now->uidnext;
	v->modseq = old->modseq;
	while (i < old->n || j < now->n) {
		bool from_old =
			i < old->n && (j == now->n || old->slot[i].number <= now->slot[j].number);
		uint32_t number = from_old ? old->slot[i].number : now->slot[j].number;
		bool from_now = j < now->n && now->slot[j].number == number;
		struct chunk *c = chunk_join(
			from_old ? old->slot[i].chunk : NULL, from_now ? now->slot[j].chunk : NULL);

		i += from_old;
		j += from_now;
		v = view_with(v, number, c, &cap);
	}
	/* it is no state of the mailbox: others cannot share it */
	list_init(&v->link);
	return v;
}
