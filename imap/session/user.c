/* The users who have sessions, and whether they still may: auth is asked about each once in an
 * interval, at a time of his own, so that the questions are spread. Called by session.c at a
 * session's start and end.
 *
 * Invariants: a session ends for its user's sake only when auth said that the user may not log in,
 * never because nobody could say; a question is one for all sessions of the user in this worker. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/store/quota.h"
#include "imap/session/step.h"
#include "imap/session/user.h"

enum {
	GRACE_MS = 5000, /* for a command that runs while its user is sent away */
	CHECK_OFTEN_MS = 10,
	WORDS_MAX = 200,
	QUOTA_MAX = 8192,
};

/* The interval and the age of an answer from memory together leave a tenth for the answer itself.
 */
static int64_t
interval_ms(const struct imap *i)
{
	int64_t ms = i->limits.check_ms * 7 / 10;

	return ms > CHECK_OFTEN_MS ? ms : CHECK_OFTEN_MS;
}

static int64_t
max_age_ms(const struct imap *i)
{
	return i->limits.check_ms / 5;
}

static void
check_later(struct imap_user *u, int64_t ms)
{
	if (u->imap->limits.check_ms > 0 && u->imap->userdb != NULL && u->request == NULL)
		loop_timer_start(&u->timer, ms);
}

static void
unref(struct imap_user *u);

/* ---- the end of a user ---- */

/* "[CONTACTADMIN] The account is not usable any more: account disabled" */
static void
make_bye(struct imap_user *u, struct str fields, struct buf *reason)
{
	struct buf code, text;

	buf_init(&code, WORDS_MAX);
	buf_init(&text, 2 * WORDS_MAX + 100);
	if (auth_field(fields, "code", &code) != ERR_OK || code.n == 0) {
		buf_reset(&code);
		buf_addz(&code, "CONTACTADMIN");
	}
	if (auth_field(fields, "reason", reason) != ERR_OK)
		buf_reset(reason);
	buf_addf(&text, "[%.*s] This account may not be used any more%s%.*s",
		STR_FMT(buf_str(&code)), reason->n != 0 ? ": " : "", STR_FMT(buf_str(reason)));
	free((char *)(uintptr_t)u->bye.p);
	u->bye = str_of(str_dup(buf_str(&text)));
	buf_fini(&code);
	buf_fini(&text);
}

/* Idle ones at once, others behind their command. */
static void
dismiss(struct imap_user *u, struct str reason)
{
	LIST_FOREACH (n, &u->imap->sessions) {
		struct imap_session *s = CONTAINER_OF(n, struct imap_session, link);

		if (s->user != u || s->dismissed)
			continue;
		log_event(LVL_INFO, "imap.dismiss", log_z("sid", s->sid), log_z("user", u->name),
			log_s("reason", reason));
		s->dismissed = true;
		if (session_waits(s))
			session_end(s, u->bye.p);
		else
			u->dismissed = true;
	}
}

/* Those whose command did not end in time. */
static void
end_dismissed(struct imap_user *u)
{
	u->dismissed = false;
	LIST_FOREACH (n, &u->imap->sessions) {
		struct imap_session *s = CONTAINER_OF(n, struct imap_session, link);

		if (s->user == u && s->dismissed)
			session_end(s, NULL);
	}
}

bool
user_quota(struct home *h, struct str text)
{
	struct quota_limit limit;
	enum err e = quota_parse(text, &limit);

	home_set_quota(h, limit);
	return e == ERR_OK;
}

/* The quota as it is now: an answer without one says that there is none any more. */
static void
take_quota(struct imap_user *u, struct str fields)
{
	struct buf text;

	buf_init(&text, QUOTA_MAX);
	if (auth_field(fields, "quota_rule", &text) != ERR_OK)
		buf_reset(&text);
	LIST_FOREACH (n, &u->imap->sessions) {
		struct imap_session *s = CONTAINER_OF(n, struct imap_session, link);

		if (s->user == u && s->home != NULL)
			(void)user_quota(s->home, buf_str(&text));
	}
	buf_fini(&text);
}

static void
on_checked(void *arg, enum err e, const struct userdb_user *answer)
{
	struct imap_user *u = arg;

	u->request = NULL;
	if (e == ERR_OK && answer != NULL)
		take_quota(u, answer->fields);
	if (e != ERR_DENIED) {
		if (e != ERR_OK)
			log_event(LVL_DEBUG, "imap.check", log_z("user", u->name), log_e("err", e));
		check_later(u, interval_ms(u->imap));
		return;
	}
	struct buf reason;

	buf_init(&reason, WORDS_MAX);
	u->refs++; /* u stays until we are through */
	make_bye(u, answer->fields, &reason);
	dismiss(u, buf_str(&reason));
	buf_fini(&reason);
	if (u->dismissed)
		loop_timer_start(&u->timer, GRACE_MS);
	unref(u);
}

static void
on_timer(struct loop_timer *t)
{
	struct imap_user *u = t->arg;
	struct imap *i = u->imap;

	u->refs++;
	if (u->dismissed)
		end_dismissed(u);
	if (u->sessions != 0 && i->limits.check_ms > 0) {
		const struct userdb_check q = { .token = u->check != NULL ? str_of(u->check)
									  : STR_EMPTY,
			.user = str_of(u->name),
			.service = STR("imap"),
			.max_age_ms = max_age_ms(i) };

		u->request = userdb_check(i->userdb, &q, on_checked, u);
	}
	unref(u);
}

/* ---- users ---- */

/* At a time of his own. */
static void
check_first(struct imap_user *u)
{
	int64_t ms = interval_ms(u->imap);

	check_later(u, ms / 4 + (int64_t)(rand_u64() % (uint64_t)(ms - ms / 4 + 1)));
}

static struct imap_user *
user_new(struct imap *i, struct str name)
{
	struct imap_user *u = xcalloc(1, sizeof *u);

	u->imap = i;
	u->name = str_dup(name);
	loop_timer_init(&u->timer, i->loop, on_timer, u);
	hmap_put(&i->users, &u->node, str_of(u->name));
	check_first(u);
	return u;
}

struct imap_user *
user_get(struct imap *i, struct str name, struct str check)
{
	struct hmap_node *n = hmap_get(&i->users, name);
	struct imap_user *u =
		n != NULL ? CONTAINER_OF(n, struct imap_user, node) : user_new(i, name);

	u->sessions++;
	u->refs++;
	counts_add(i->counts, name);
	/* the name by which auth found him last */
	if (check.n != 0 && (u->check == NULL || !str_eq(check, str_of(u->check)))) {
		free(u->check);
		u->check = str_dup(check);
	}
	return u;
}

void
users_check(struct imap *i)
{
	for (struct hmap_node *n = hmap_next(&i->users, NULL); n != NULL;
		n = hmap_next(&i->users, n)) {
		struct imap_user *u = CONTAINER_OF(n, struct imap_user, node);

		if (!loop_timer_active(&u->timer))
			check_first(u);
	}
}

bool
user_has_too_many(const struct imap_user *u)
{
	size_t limit = u->imap->limits.sessions_per_user;

	return u->sessions > limit || counts_get(u->imap->counts, str_of(u->name)) > limit;
}

/* Nothing about sessions: for those who hold u while they end some. */
static void
unref(struct imap_user *u)
{
	if (--u->refs != 0)
		return;
	if (u->request != NULL)
		userdb_cancel(u->request);
	loop_timer_stop(&u->timer);
	hmap_remove(&u->imap->users, &u->node);
	free((char *)(uintptr_t)u->bye.p);
	free(u->check);
	free(u->name);
	free(u);
}

void
user_put(struct imap_user *u)
{
	u->sessions--;
	counts_remove(u->imap->counts, str_of(u->name));
	unref(u);
}
