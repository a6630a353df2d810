/* Annotations of a mailbox or of the account, compared with those that a client of NOTIFY knows.
 * Called by notify_look.c. Of each the name and a digest of the value are kept: which changed is
 * told, not to what. RFC 5465 5.6, 5.7; RFC 5464 4.4.2. */
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/store/metadata.h"
#include "imap/session/names.h"
#include "imap/session/notify.h"
#include "imap/session/write.h"

enum { DIGEST = 8 };

static uint64_t
digest(struct str value)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ value.n, word;
	size_t at = 0;

	for (; at < value.n; at += sizeof word) {
		size_t n = value.n - at < sizeof word ? value.n - at : sizeof word;

		word = 0;
		memcpy(&word, value.p + at, n);
		h = (h ^ word) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	return h;
}

struct gathered {
	struct buf list;
	unsigned special_use; /* still to be added; 0: none */
};

static void
add(struct buf *list, struct str name, struct str value)
{
	uint64_t d = digest(value);

	buf_add(list, name);
	buf_addc(list, '\n');
	buf_add(list, str_n(&d, sizeof d));
}

/* The special use is an entry too, without a row. */
static void
add_use(struct gathered *g)
{
	if (g->special_use != 0)
		add(&g->list, METADATA_USE, str_n(&g->special_use, sizeof g->special_use));
	g->special_use = 0;
}

static enum err
add_entry(void *arg, struct str name, struct str value)
{
	struct gathered *g = arg;

	if (str_cmp(name, METADATA_USE) > 0)
		add_use(g);
	add(&g->list, name, value);
	return ERR_OK;
}

/* The first entry of a list, with its digest; false at the end. */
static bool
next_entry(struct str *list, struct str *name_out, struct str *digest_out)
{
	size_t n = str_chr(*list, '\n');

	if (n + 1 + DIGEST > list->n)
		return false;
	*name_out = str_sub(*list, 0, n);
	*digest_out = str_sub(*list, n + 1, DIGEST);
	*list = str_from(*list, n + 1 + DIGEST);
	return true;
}

static void
say_entry(const struct imap_session *s, struct str mailbox, struct str entry, bool *first)
{
	struct buf *out = &s->imap->out;

	if (*first) {
		buf_addz(out, "* METADATA ");
		if (mailbox.n != 0)
			session_write_mailbox(s, out, mailbox);
		else
			buf_addz(out, "\"\"");
	}
	*first = false;
	buf_addc(out, ' ');
	write_astring(out, entry);
}

/* Both are in order: those in one alone, or with another digest. */
static void
say_entries(struct imap_session *s, struct str mailbox, struct str old, struct str now)
{
	struct str a = STR_EMPTY, b = STR_EMPTY, digest_a = STR_EMPTY, digest_b = STR_EMPTY;
	bool first = true, has_a = next_entry(&old, &a, &digest_a);
	bool has_b = next_entry(&now, &b, &digest_b);

	while (has_a || has_b) {
		int order = !has_a ? 1 : !has_b ? -1 : str_cmp(a, b);

		if (order != 0 || !str_eq(digest_a, digest_b))
			say_entry(s, mailbox, order <= 0 ? a : b, &first);
		if (order <= 0)
			has_a = next_entry(&old, &a, &digest_a);
		if (order >= 0)
			has_b = next_entry(&now, &b, &digest_b);
	}
	if (!first)
		buf_addz(session_out(s), "\r\n");
}

enum err
notify_entries(struct imap_session *s, struct txn *t, struct known_mailbox *k,
	const struct mailbox_info *m, bool tell)
{
	struct gathered g = { .special_use = m != NULL ? m->special_use : 0 };

	buf_init(&g.list, NOTIFY_ENTRIES_BYTES_MAX);
	enum err e =
		metadata_walk(t, m != NULL ? m->id : METADATA_ACCOUNT, STR_EMPTY, add_entry, &g);

	add_use(&g);
	struct str old = str_n(k->entries, k->entries_len), found = buf_str(&g.list);

	if (e == ERR_OK)
		e = buf_check(&g.list);
	if (e == ERR_OK && !str_eq(old, found)) {
		if (tell)
			say_entries(s, m != NULL ? m->name : STR_EMPTY, old, found);
		free(k->entries);
		k->entries = found.n != 0 ? xmalloc(found.n) : NULL;
		k->entries_len = found.n;
		if (found.n != 0)
			memcpy(k->entries, found.p, found.n);
	}
	buf_fini(&g.list);
	return e;
}
