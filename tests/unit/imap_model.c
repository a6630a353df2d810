/* A client's knowledge; see imap_model.h. Used by imap_pair.c. Invariant: message[1..count] is what
 * the server has said, with UIDs that are known in ascending order. */
#include "tests/unit/imap_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

struct truth_row {
	struct hmap_node node;
	uint64_t flags;
	char key[64];
};

struct truth {
	struct hmap rows;
};

struct truth *
truth_new(void)
{
	struct truth *t = xcalloc(1, sizeof *t);

	hmap_init(&t->rows);
	return t;
}

void
truth_free(struct truth *t)
{
	for (struct hmap_node *n = hmap_next(&t->rows, NULL), *next; n != NULL; n = next) {
		next = hmap_next(&t->rows, n);
		hmap_remove(&t->rows, n);
		free(CONTAINER_OF(n, struct truth_row, node));
	}
	hmap_fini(&t->rows);
	free(t);
}

/* False: somebody was told other flags of the same state. */
static bool
truth_agrees(struct truth *t, uint32_t uidvalidity, const struct known *k)
{
	char key[64];

	(void)snprintf(
		key, sizeof key, "%u %u %llu", uidvalidity, k->uid, (unsigned long long)k->modseq);
	struct hmap_node *n = hmap_get(&t->rows, str_of(key));

	if (n != NULL)
		return CONTAINER_OF(n, struct truth_row, node)->flags == k->flags;
	struct truth_row *row = xcalloc(1, sizeof *row);

	memcpy(row->key, key, sizeof key);
	row->flags = k->flags;
	hmap_put(&t->rows, &row->node, str_of(row->key));
	return true;
}

void
model_init(struct model *m, const char *name, struct truth *t,
	void (*broken)(const struct model *m, const char *what, struct str answer))
{
	*m = (struct model){ .truth = t, .name = name, .broken = broken };
	m->message = xcalloc(MODEL_MESSAGES_MAX + 2, sizeof *m->message);
}

void
model_fini(struct model *m)
{
	free(m->message);
	m->message = NULL;
}

void
model_reset(struct model *m)
{
	struct model old = *m;

	*m = (struct model){ .truth = old.truth,
		.name = old.name,
		.arg = old.arg,
		.broken = old.broken,
		.message = old.message,
		.tellings = old.tellings };
	memcpy(m->told, old.told, sizeof m->told);
}

void
asked_init(struct asked *a, struct str text)
{
	struct str word, rest;
	size_t n = 0;

	*a = (struct asked){ .text = text };
	(void)str_cut(text, ' ', &a->tag, &rest);
	if (str_istarts(rest, STR("UID "))) {
		a->uid = true;
		rest = str_from(rest, 4);
	}
	for (word = rest; n < word.n && n < sizeof a->verb - 1 && word.p[n] > ' '; n++)
		a->verb[n] = (char)ascii_upper((unsigned char)word.p[n]);
}

static bool
is_verb(const struct asked *a, const char *verb)
{
	return a != NULL && strcmp(a->verb, verb) == 0;
}

static bool
opens(const struct asked *a)
{
	return is_verb(a, "SELECT") || is_verb(a, "EXAMINE");
}

/* RFC 3501 7.4.1; RFC 5256 for SORT and THREAD. */
static bool
may_expunge(const struct model *m, const struct asked *a)
{
	static const char *const verbs[] = { "FETCH", "STORE", "SEARCH", "SORT", "THREAD" };

	if (m->notify)
		return true;
	if (a == NULL)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!a->uid && is_verb(a, verbs[i]))
			return false;
	return true;
}

static uint32_t
seq_of_uid(const struct model *m, uint32_t uid)
{
	for (uint32_t i = 1; i <= m->count; i++)
		if (m->message[i].uid == uid)
			return i;
	return 0;
}

static void
remove_message(struct model *m, uint32_t seq)
{
	memmove(m->message + seq, m->message + seq + 1, (m->count - seq) * sizeof *m->message);
	m->count--;
}

static void
learn_uid(struct model *m, uint32_t seq, uint32_t uid, struct str answer)
{
	if (uid == 0 || (m->message[seq].uid != 0 && m->message[seq].uid != uid))
		m->broken(m, "another UID at a sequence number", answer);
	m->message[seq].uid = uid;
	for (uint32_t i = seq - 1; i >= 1; i--) {
		if (m->message[i].uid == 0)
			continue;
		if (m->message[i].uid >= uid)
			m->broken(m, "UIDs do not grow", answer);
		break;
	}
	for (uint32_t i = seq + 1; i <= m->count; i++) {
		if (m->message[i].uid == 0)
			continue;
		if (m->message[i].uid <= uid)
			m->broken(m, "UIDs do not grow", answer);
		break;
	}
}

/* ---- modseqs ---- */

static struct told *
told_of(struct model *m, uint32_t uidvalidity)
{
	for (unsigned i = 0; i < MODEL_TOLD_MAX; i++)
		if (m->told[i].uidvalidity == uidvalidity)
			return &m->told[i];
	struct told *t = &m->told[m->tellings++ % MODEL_TOLD_MAX];

	*t = (struct told){ .uidvalidity = uidvalidity };
	return t;
}

static void
learn_modseq(struct model *m, uint64_t modseq)
{
	if (modseq > m->heard)
		m->heard = modseq;
	if (m->uidvalidity == 0 || m->selecting)
		return;
	struct told *t = told_of(m, m->uidvalidity);

	if (modseq > t->modseq)
		t->modseq = modseq;
}

/* A command is over. */
static void
settle_modseq(struct model *m)
{
	if (!m->corrected && m->heard > m->highest)
		m->highest = m->heard;
	m->corrected = false;
}

/* HIGHESTMODSEQ of a mailbox that was opened; RFC 7162 3.1.2.1. */
static void
check_highest(struct model *m, struct str answer)
{
	if (m->highest == 0)
		m->broken(m, "no HIGHESTMODSEQ", answer);
	if (m->highest < told_of(m, m->uidvalidity)->modseq)
		m->broken(m, "HIGHESTMODSEQ goes down", answer);
	learn_modseq(m, m->highest);
	m->heard = m->highest;
	if (m->memory == NULL)
		return;
	if (m->memory->uidvalidity == m->uidvalidity && !memory_give(m->memory, m))
		m->broken(m, "SELECT with QRESYNC does not tell all", answer);
}

/* ---- EXISTS, EXPUNGE, VANISHED ---- */

static void
see_exists(struct model *m, const struct answer *a)
{
	if (!m->selected && !m->selecting)
		m->broken(m, "EXISTS without a mailbox", a->whole);
	if (a->number < m->count || a->number > MODEL_MESSAGES_MAX)
		m->broken(m, "EXISTS goes down", a->whole);
	while (m->count < a->number)
		m->message[++m->count] = (struct known){ .uid = 0 };
}

static void
see_expunge(struct model *m, const struct asked *asked, const struct answer *a)
{
	if (m->qresync || m->uidonly)
		m->broken(m, "EXPUNGE where VANISHED is due", a->whole);
	if (!may_expunge(m, asked))
		m->broken(m, "EXPUNGE now", a->whole);
	if (a->number == 0 || a->number > m->count)
		m->broken(m, "EXPUNGE of what is not there", a->whole);
	remove_message(m, a->number);
}

/* Where a UID that was never told must be, among those that were not. */
static uint32_t
seq_of_untold(const struct model *m, uint32_t uid)
{
	uint32_t seq = 0;

	for (uint32_t i = 1; i <= m->count; i++) {
		if (m->message[i].uid > uid)
			break;
		if (m->message[i].uid == 0)
			seq = i;
		else
			seq = 0;
	}
	return seq;
}

static void
vanish(struct model *m, uint32_t uid, const struct answer *a)
{
	uint32_t seq = seq_of_uid(m, uid);

	if (seq == 0)
		seq = seq_of_untold(m, uid);
	if (seq == 0)
		m->broken(m, "VANISHED of what is not there", a->whole);
	remove_message(m, seq);
}

/* The next "3" or "3:7" of a set. False: the end; a set that is none is broken. */
static bool
next_range(const struct model *m, struct str *set, uint32_t *lo, uint32_t *hi, struct str answer)
{
	struct str part, a, b;

	if (set->n == 0)
		return false;
	(void)str_cut(*set, ',', &part, set);
	bool two = str_cut(part, ':', &a, &b);

	if (str_to_u32(a, UINT32_MAX, lo) != ERR_OK ||
		str_to_u32(two ? b : a, UINT32_MAX, hi) != ERR_OK || *lo == 0 || *hi < *lo)
		m->broken(m, "no set", answer);
	return true;
}

static void
see_vanished(struct model *m, const struct asked *asked, const struct answer *a)
{
	struct str set = a->rest;
	bool earlier = str_starts(set, STR("(EARLIER) "));
	uint32_t lo, hi;

	if (!m->qresync && !m->uidonly)
		m->broken(m, "VANISHED without QRESYNC", a->whole);
	if (!earlier && !may_expunge(m, asked))
		m->broken(m, "VANISHED now", a->whole);
	set = str_from(set, earlier ? 10 : 0);
	while (next_range(m, &set, &lo, &hi, a->whole)) {
		if (earlier) {
			if (m->memory != NULL && m->selecting)
				memory_strike(m->memory, lo, hi);
			for (uint32_t i = 1; i <= m->count; i++)
				if (m->message[i].uid >= lo && m->message[i].uid <= hi)
					m->broken(m, "VANISHED EARLIER of what is there", a->whole);
			continue;
		}
		if (hi - lo >= m->count)
			m->broken(m, "VANISHED of more than there is", a->whole);
		for (uint32_t uid = lo; uid <= hi; uid++)
			vanish(m, uid, a);
	}
}

/* ---- FETCH ---- */

struct row {
	uint32_t uid;
	bool has_flags, has_modseq;
	uint64_t flags, modseq;
};

/* A sum, so that the order is not asked for. */
static uint64_t
sum_of_flags(const struct model *m, struct str list, struct str answer)
{
	struct str inside = answer_inside(list), flag;
	uint64_t sum = 0;

	while (answer_value(&inside, &flag)) {
		char low[256];

		if (flag.n > sizeof low)
			m->broken(m, "a long flag", answer);
		if (str_ieq(flag, STR("\\Recent"))) {
			if (m->rev2)
				m->broken(m, "\\Recent in IMAP4rev2", answer);
			continue;
		}
		for (size_t i = 0; i < flag.n; i++)
			low[i] = (char)ascii_lower((unsigned char)flag.p[i]);
		sum += hash_bytes(str_n(low, flag.n)) | 1;
	}
	return sum;
}

static void
read_row(const struct model *m, const struct answer *a, struct row *r)
{
	struct str items = answer_inside(a->rest), name, value;

	*r = (struct row){ .uid = 0 };
	while (answer_value(&items, &name)) {
		if (!answer_value(&items, &value))
			m->broken(m, "a FETCH item without a value", a->whole);
		if (str_eq(name, STR("UID"))) {
			if (str_to_u32(value, UINT32_MAX, &r->uid) != ERR_OK || r->uid == 0)
				m->broken(m, "no UID", a->whole);
		} else if (str_eq(name, STR("FLAGS"))) {
			r->has_flags = true;
			r->flags = sum_of_flags(m, value, a->whole);
		} else if (str_eq(name, STR("MODSEQ"))) {
			r->has_modseq = true;
			if (str_to_u64(answer_inside(value), INT64_MAX, &r->modseq) != ERR_OK ||
				r->modseq == 0)
				m->broken(m, "no modseq", a->whole);
		}
	}
}

static void
check_row(const struct model *m, const struct asked *asked, const struct answer *a,
	const struct row *r)
{
	bool fetches = is_verb(asked, "FETCH");
	bool unasked = !fetches && !is_verb(asked, "STORE");

	if (asked != NULL && asked->uid && r->uid == 0)
		m->broken(m, "no UID in the answer to a UID command", a->whole);
	if (m->qresync && r->has_flags && r->uid == 0 && !fetches)
		m->broken(m, "no UID with QRESYNC", a->whole);
	if (m->rev2 && unasked && r->uid == 0)
		m->broken(m, "no UID in IMAP4rev2", a->whole);
	if (m->condstore && r->has_flags && !r->has_modseq && !fetches)
		m->broken(m, "no MODSEQ with CONDSTORE", a->whole);
}

static void
learn_row(struct model *m, uint32_t seq, const struct answer *a, const struct row *r)
{
	struct known *k = &m->message[seq];

	if (r->uid != 0)
		learn_uid(m, seq, r->uid, a->whole);
	if (r->has_modseq && r->modseq < k->modseq)
		m->broken(m, "the modseq goes down", a->whole);
	if (m->final && r->has_flags && k->has_flags && k->flags != r->flags)
		m->broken(m, "a change of flags was never told", a->whole);
	if (r->has_modseq) {
		k->modseq = r->modseq;
		learn_modseq(m, r->modseq);
	}
	if (r->has_flags) {
		k->has_flags = true;
		k->flags = r->flags;
	}
	if (r->has_flags && r->has_modseq && k->uid != 0 && m->uidvalidity != 0 &&
		!truth_agrees(m->truth, m->uidvalidity, k))
		m->broken(m, "other flags at the same modseq", a->whole);
	if (m->memory != NULL && m->selecting)
		memory_put(m->memory, k);
}

static void
see_fetch(struct model *m, const struct asked *asked, const struct answer *a)
{
	struct row r;
	uint32_t seq = a->number;

	if (m->uidonly)
		m->broken(m, "FETCH where UIDFETCH is due", a->whole);
	if (seq == 0 || seq > m->count)
		m->broken(m, "FETCH of what is not there", a->whole);
	read_row(m, a, &r);
	check_row(m, asked, a, &r);
	learn_row(m, seq, a, &r);
	m->rows++;
}

static void
see_uidfetch(struct model *m, const struct answer *a)
{
	struct row r;
	uint32_t seq = seq_of_uid(m, a->number);

	if (!m->uidonly)
		m->broken(m, "UIDFETCH without UIDONLY", a->whole);
	read_row(m, a, &r);
	r.uid = a->number;
	/* nobody said which sequence number it has; its place among those that are known must fit
	 */
	if (seq == 0)
		seq = seq_of_untold(m, a->number);
	if (seq == 0)
		m->broken(m, "UIDFETCH of what is not there", a->whole);
	m->rows++;
}

/* ---- SEARCH, SORT ---- */

static void
check_found(const struct model *m, const struct asked *asked, uint32_t n, struct str answer)
{
	if (!asked->uid && (n == 0 || n > m->count))
		m->broken(m, "found what is not there", answer);
	if (asked->uid && seq_of_uid(m, n) == 0 && seq_of_untold(m, n) == 0)
		m->broken(m, "found a UID that is not there", answer);
}

static void
see_found(const struct model *m, const struct asked *asked, const struct answer *a)
{
	struct str rest = a->rest, value;
	uint32_t n, last = 0;
	bool sorted = is_verb(asked, "SORT");

	if (asked == NULL || !(sorted || is_verb(asked, "SEARCH")))
		m->broken(m, "a result that nobody asked for", a->whole);
	while (answer_value(&rest, &value)) {
		if (str_starts(value, STR("(MODSEQ ")) && rest.n == 0)
			break;
		if (str_to_u32(value, UINT32_MAX, &n) != ERR_OK)
			m->broken(m, "no number", a->whole);
		check_found(m, asked, n, a->whole);
		if (!sorted && n <= last)
			m->broken(m, "found twice, or out of order", a->whole);
		last = n;
	}
}

static uint64_t
see_all(const struct model *m, const struct asked *asked, struct str set, const struct answer *a,
	uint32_t *first_out, uint32_t *last_out)
{
	uint64_t count = 0;
	uint32_t lo, hi;

	*first_out = 0;
	while (next_range(m, &set, &lo, &hi, a->whole)) {
		if (hi - lo > MODEL_MESSAGES_MAX)
			m->broken(m, "found more than there is", a->whole);
		if (*first_out == 0)
			*first_out = lo;
		*last_out = hi;
		count += hi - lo + 1;
		for (uint32_t n = lo; n <= hi; n++)
			check_found(m, asked, n, a->whole);
	}
	return count;
}

static void
see_esearch(const struct model *m, const struct asked *asked, const struct answer *a)
{
	struct str rest = a->rest, name, value;
	uint32_t min = 0, max = 0, count = 0, first = 0, last = 0;
	uint64_t all = 0;
	bool has_count = false, uid = false, has_all = false;

	if (asked == NULL)
		m->broken(m, "a result that nobody asked for", a->whole);
	if (answer_value(&rest, &value) && str_starts(value, STR("(TAG "))) {
		struct str tag = str_from(answer_inside(value), 4);

		if (!str_eq(answer_inside(tag), asked->tag) && !str_eq(tag, asked->tag))
			m->broken(m, "ESEARCH of another command", a->whole);
	}
	while (answer_value(&rest, &name)) {
		if (str_eq(name, STR("UID"))) {
			uid = true;
			continue;
		}
		if (!answer_value(&rest, &value))
			m->broken(m, "an ESEARCH item without a value", a->whole);
		if (str_eq(name, STR("MIN")) && str_to_u32(value, UINT32_MAX, &min) == ERR_OK)
			check_found(m, asked, min, a->whole);
		if (str_eq(name, STR("MAX")) && str_to_u32(value, UINT32_MAX, &max) == ERR_OK)
			check_found(m, asked, max, a->whole);
		if (str_eq(name, STR("COUNT")))
			has_count = str_to_u32(value, UINT32_MAX, &count) == ERR_OK;
		has_all = has_all || str_eq(name, STR("ALL"));
		if (str_eq(name, STR("ALL")) && is_verb(asked, "SEARCH"))
			all = see_all(m, asked, value, a, &first, &last);
	}
	if (uid != asked->uid)
		m->broken(m, "UID in ESEARCH", a->whole);
	bool wrong = all != 0 && ((has_count && count != all) || (min != 0 && min != first) ||
					 (max != 0 && max != last));

	if (wrong || (has_count && count == 0 && (has_all || min != 0 || max != 0)))
		m->broken(m, "ESEARCH against itself", a->whole);
}

/* ---- the rest ---- */

static void
see_enabled(struct model *m, const struct answer *a)
{
	struct str rest = a->rest, name;

	while (answer_value(&rest, &name)) {
		m->qresync |= str_ieq(name, STR("QRESYNC"));
		m->condstore |= m->qresync || str_ieq(name, STR("CONDSTORE"));
		m->uidonly |= str_ieq(name, STR("UIDONLY"));
		m->rev2 |= str_ieq(name, STR("IMAP4rev2"));
	}
}

static void
see_highest(struct model *m, struct str code)
{
	uint64_t modseq;

	if (!str_starts(code, STR("HIGHESTMODSEQ ")))
		return;
	if (str_to_u64(str_from(code, 14), INT64_MAX, &modseq) != ERR_OK || modseq == 0)
		m->broken(m, "no modseq", code);
	/* what was heard before it is not to be taken for more by a later command either */
	m->highest = m->heard = modseq;
	m->corrected = true;
}

static void
see_code(struct model *m, struct str code)
{
	struct str number;

	if (str_eq(code, STR("CLOSED"))) {
		m->selected = false;
		m->count = 0;
	}
	see_highest(m, code);
	if (!str_starts(code, STR("UIDVALIDITY ")) || !m->selecting)
		return;
	number = str_from(code, 12);
	if (str_to_u32(number, UINT32_MAX, &m->uidvalidity) != ERR_OK)
		m->broken(m, "no UIDVALIDITY", code);
}

static void
start_selecting(struct model *m)
{
	m->selecting = true;
	m->selected = false;
	m->count = 0;
	m->uidvalidity = 0;
	m->highest = m->heard = 0;
}

static void
see_untagged(struct model *m, const struct asked *asked, const struct answer *a)
{
	/* with NOTIFY, what comes before may be of the mailbox that is still selected */
	bool closed = !m->notify || !m->selected || str_eq(a->code, STR("CLOSED"));

	if (opens(asked) && !m->selecting && closed)
		start_selecting(m);
	if (str_eq(a->word, STR("ENABLED")))
		see_enabled(m, a);
	else if (str_eq(a->word, STR("BYE")))
		m->bye = true;
	else if (m->uncertain && !m->selecting)
		return;
	else if (str_eq(a->word, STR("EXISTS")))
		see_exists(m, a);
	else if (str_eq(a->word, STR("EXPUNGE")))
		see_expunge(m, asked, a);
	else if (str_eq(a->word, STR("FETCH")))
		see_fetch(m, asked, a);
	else if (str_eq(a->word, STR("UIDFETCH")))
		see_uidfetch(m, a);
	else if (str_eq(a->word, STR("VANISHED")))
		see_vanished(m, asked, a);
	else if (str_eq(a->word, STR("SEARCH")) && m->rev2)
		m->broken(m, "SEARCH in IMAP4rev2", a->whole);
	else if (str_eq(a->word, STR("SEARCH")) || str_eq(a->word, STR("SORT")))
		see_found(m, asked, a);
	else if (str_eq(a->word, STR("ESEARCH")))
		see_esearch(m, asked, a);
	else if (str_eq(a->word, STR("RECENT")) && (m->rev2 || a->number > m->count))
		m->broken(m, "RECENT", a->whole);
	else if (str_eq(a->word, STR("OK")))
		see_code(m, a->code);
}

static void
forget_flags(struct model *m)
{
	for (uint32_t i = 1; i <= m->count; i++)
		m->message[i].has_flags = false;
}

/* The commands that turn CONDSTORE on; RFC 7162 3.1. */
static bool
turns_on(const struct asked *asked)
{
	static const char *const words[][2] = { { "SELECT", "CONDSTORE" },
		{ "EXAMINE", "CONDSTORE" }, { "FETCH", "MODSEQ" }, { "FETCH", "CHANGEDSINCE" },
		{ "STORE", "UNCHANGEDSINCE" }, { "STATUS", "HIGHESTMODSEQ" },
		{ "SEARCH", "MODSEQ" } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (is_verb(asked, words[i][0]) &&
			str_find(asked->text, str_of(words[i][1])) < asked->text.n)
			return true;
	return false;
}

static void
see_tagged(struct model *m, const struct asked *asked, const struct answer *a)
{
	bool ok = str_eq(a->word, STR("OK"));

	(void)snprintf(m->code, sizeof m->code, "%.*s", STR_FMT(a->code));

	if (asked == NULL || !str_eq(a->tag, asked->tag))
		m->broken(m, "the answer to another command", a->whole);
	if (opens(asked) && (ok || m->selecting || str_eq(a->word, STR("NO")))) {
		/* with NOTIFY and without [CLOSED], as behind DELETE of the selected one, it was
		 * not known where its answers began */
		bool followed = m->selecting || !ok;

		m->selected = ok;
		m->selecting = false;
		if (ok && followed)
			check_highest(m, a->whole);
		m->read_only = str_eq(a->code, STR("READ-ONLY"));
		m->uncertain = !followed;
	} else if (opens(asked)) {
		m->uncertain = true;
	}
	m->condstore |= ok && turns_on(asked);
	if (m->selected && ok)
		see_highest(m, a->code);
	settle_modseq(m);
	if (is_verb(asked, "CLOSE") || is_verb(asked, "UNSELECT")) {
		m->selected = !ok && m->selected;
		m->uncertain = m->uncertain || str_eq(a->word, STR("NO"));
	}
	/* perhaps of the one that is selected */
	m->uncertain = m->uncertain || (ok && is_verb(asked, "DELETE"));
	m->notify = m->notify || (ok && is_verb(asked, "NOTIFY"));
	if (!m->selected)
		m->count = 0;
	/* what it did to the flags was not to be told */
	if (is_verb(asked, "STORE") && str_ifind(asked->text, STR(".SILENT")) < asked->text.n)
		forget_flags(m);
}

void
model_see(struct model *m, const struct asked *asked, const struct answer *a)
{
	switch (a->kind) {
	case ANSWER_CONTINUE:
		break;
	case ANSWER_UNTAGGED:
		see_untagged(m, asked, a);
		break;
	case ANSWER_TAGGED:
		see_tagged(m, asked, a);
		break;
	}
}
