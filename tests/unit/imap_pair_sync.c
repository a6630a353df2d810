/* What pair_steps does beside single commands: a client that was away and comes back with QRESYNC,
 * and STORE under a condition; RFC 7162. Invariant: both start with INBOX selected and nothing
 * waiting, and leave it so, or without a connection. */
#include "tests/unit/imap_pair.h"

#include "core/base/hmap.h"

enum { CHANGES_MOST = 4 };

/* Not sent away, and in its mailbox. */
static bool
stays(const struct peer *p)
{
	return !p->ended && !p->model.bye && p->queued == 0 && p->model.selected &&
	       !p->model.uncertain;
}

/* INBOX in a session of its own mind: what enabled UIDONLY or NOTIFY is left. */
static bool
open_again(struct peer *p, const char *how)
{
	if (p->model.uidonly || p->model.notify)
		pair_hang_up(p);
	pair_return(p);
	pair_say(p, str_of(how));
	pair_say(p, STR("UID FETCH 1:* (UID FLAGS MODSEQ)"));
	pair_run(p->pair);
	return stays(p);
}

static void
changes(struct peer *p, struct grammar *g, const char *rule)
{
	uint32_t n = grammar_dice(g, CHANGES_MOST);

	for (uint32_t i = 0; i <= n; i++)
		pair_random(p, g, rule);
}

/* p hears of its own change, and not yet of the message that went before that. */
static void
change_behind_expunge(struct peer *p, struct peer *other)
{
	pair_return(other);
	pair_say(other, STR("SELECT INBOX"));
	pair_say(other, STR("STORE 1 +FLAGS (\\Deleted)"));
	pair_run(p->pair);
	if (stays(p))
		pair_say(p, STR("NOOP"));
	pair_run(p->pair);
	pair_say(other, STR("EXPUNGE"));
	pair_run(p->pair);
	if (stays(p))
		pair_say(p, STR("STORE * FLAGS (\\Answered)"));
	pair_run(p->pair);
	if (stays(p))
		pair_say(p, STR("STORE * FLAGS (\\Seen)"));
	pair_run(p->pair);
}

static void
leave(struct peer *p, struct grammar *g)
{
	switch (grammar_dice(g, 3)) {
	case 0:
		pair_say(p, STR("UNSELECT"));
		break;
	case 1:
		pair_say(p, STR("LOGOUT"));
		break;
	default:
		pair_hang_up(p);
		break;
	}
	pair_run(p->pair);
}

static void
come_back(struct peer *p, const struct memory *y, struct grammar *g)
{
	char text[200];

	/* not pair_return: it would select INBOX */
	pair_connect(p);
	pair_say(p, STR("ENABLE QRESYNC"));
	(void)snprintf(text, sizeof text, "%s INBOX (QRESYNC (%u %llu%s))",
		grammar_dice(g, 4) == 0 ? "EXAMINE" : "SELECT", y->uidvalidity,
		(unsigned long long)y->modseq, grammar_dice(g, 2) == 0 ? " 1:4294967295" : "");
	pair_say(p, str_of(text));
	pair_say(p, STR("NOOP"));
	pair_run(p->pair);
}

void
pair_resync(struct pair *pair, struct grammar *g)
{
	uint32_t who = grammar_dice(g, 2);
	struct peer *p = &pair->peer[who], *other = &pair->peer[1 - who];
	struct memory kept;

	if (!open_again(p, grammar_dice(g, 2) == 0 ? "SELECT INBOX (CONDSTORE)" : "SELECT INBOX"))
		return;
	changes(p, g, "stay");
	changes(other, g, "session");
	pair_run(pair);
	if (grammar_dice(g, 3) == 0)
		change_behind_expunge(p, other);
	if (!stays(p) || !memory_take(&kept, &p->model))
		return;
	leave(p, g);
	changes(other, g, "session");
	pair_run(pair);
	p->model.memory = &kept;
	come_back(p, &kept, g);
	p->model.memory = NULL;
	memory_fini(&kept);
	/* what the memory says of flags must be so */
	p->model.final = true;
	pair_say(p, STR("UID FETCH 1:* (UID FLAGS)"));
	pair_run(pair);
	p->model.final = false;
}

/* ---- STORE UNCHANGEDSINCE ---- */

static bool
set_has(struct str set, uint32_t uid)
{
	struct str part, a, b;
	uint32_t lo, hi;

	while (set.n != 0) {
		(void)str_cut(set, ',', &part, &set);
		bool two = str_cut(part, ':', &a, &b);

		if (str_to_u32(a, UINT32_MAX, &lo) == ERR_OK &&
			str_to_u32(two ? b : a, UINT32_MAX, &hi) == ERR_OK && uid >= lo &&
			uid <= hi)
			return true;
	}
	return false;
}

static void
check_changed(const struct peer *p, const struct known *before, struct str modified,
	uint64_t unchanged_since, uint64_t flag)
{
	const struct known *now = &p->model.message[1];

	for (uint32_t i = 0; i < p->model.count; i++, before++, now++) {
		bool due = before->modseq > unchanged_since, same = now->flags == before->flags;

		if (due != set_has(modified, now->uid))
			pair_broken(p, due ? "not in MODIFIED" : "in MODIFIED without a change");
		if (due && (!same || now->modseq != before->modseq))
			pair_broken(p, "changed although it had been changed");
		if (!same && now->flags != before->flags + flag)
			pair_broken(p, "other flags than were stored");
		if (!same && now->modseq <= before->modseq)
			pair_broken(p, "a change without a modseq");
	}
}

void
pair_conditional(struct pair *pair, struct grammar *g)
{
	static const char *const flags[] = { "\\flagged", "\\answered", "\\draft" };
	uint32_t who = grammar_dice(g, 2);
	struct peer *p = &pair->peer[who], *other = &pair->peer[1 - who];
	const char *flag = flags[grammar_dice(g, ARRAY_LEN(flags))];
	struct model *m = &p->model;
	char text[120];

	if (!open_again(p, "SELECT INBOX"))
		return;
	changes(other, g, "session");
	pair_run(pair);
	pair_say(p, STR("NOOP"));
	pair_say(p, STR("UID FETCH 1:* (UID FLAGS MODSEQ)"));
	pair_run(pair);
	if (!stays(p) || m->count == 0)
		return;
	struct known *before = xcalloc(m->count, sizeof *before);
	uint64_t since = m->message[1 + grammar_dice(g, m->count)].modseq;
	uint32_t count = m->count;

	memcpy(before, m->message + 1, count * sizeof *before);
	(void)snprintf(text, sizeof text, "UID STORE 1:* (UNCHANGEDSINCE %llu) +FLAGS.SILENT (%s)",
		(unsigned long long)since, flag);
	pair_say(p, str_of(text));
	pair_run(pair);
	struct str code = str_of(m->code);
	/* over a disk that refuses a part of it nobody is told which */
	bool failed = str_eq(code, STR("UNAVAILABLE"));
	char *modified =
		str_dup(str_starts(code, STR("MODIFIED ")) ? str_from(code, 9) : STR_EMPTY);

	pair_say(p, STR("UID FETCH 1:* (UID FLAGS MODSEQ)"));
	pair_run(pair);
	if (m->count != count)
		pair_broken(p, "other messages after a STORE");
	if (!failed)
		check_changed(p, before, str_of(modified), since, hash_bytes(str_of(flag)) | 1);
	free(modified);
	free(before);
}
