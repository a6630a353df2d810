/* One question, walked through the backends that are asked about its name; see walk.h. front.c
 * starts it on behalf of the servers.
 *
 * Invariants: one backend is asked at a time; "nobody knows" is said only after each of them said
 * so; a user leaves here only if its domain is the backend's to give and its home nobody else's,
 * which is asked about anew before it is held against somebody. */
#include "auth-ldap/front/walk.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

struct walk {
	struct backends *b;
	auth_fn fn;
	void *arg;
	struct auth_question q; /* its strings point to what follows */
	struct auth_context context;
	struct name name;
	struct buf password, text;
	bool tag_cut, asked;
	const struct backend *only;
	size_t at;
	struct backend_request *request;
	int64_t asked_ms;
	bool known; /* by a backend that has nothing to say of it */
	/* A refusal by a backend that cannot tell an unknown user from a wrong password. */
	bool refused;
	enum auth_reason refused_reason;
	struct buf refused_detail;
	struct hmap listed; /* ASK_LIST of several backends: who was told of */
	/* An answer that waits: its home was another's, who is asked about. */
	bool homes_open;
	struct walk *owner;
	struct auth_user *user; /* NULL: nothing waits */
	struct auth_answer answer;
	struct buf detail;
	char *owner_user;
	unsigned owners;       /* so many were asked about */
	struct loop_task task; /* nobody was left to ask at the start */
};

struct listed {
	struct hmap_node node;
	char user[];
};

enum { OWNERS_MAX = 4 };

static const char *
kind_text(enum ask_kind k)
{
	static const char *const text[] = {
		[ASK_LOGIN] = "login",
		[ASK_USER] = "user",
		[ASK_ADDRESS] = "address",
		[ASK_CERTIFICATE] = "certificate",
		[ASK_SECRET] = "secret",
		[ASK_MASTER] = "master",
		[ASK_DOMAIN] = "domain",
		[ASK_MEMBERS] = "members",
		[ASK_CATCHALL] = "catch-all",
		[ASK_SENDER] = "sender",
		[ASK_TRANSPORT] = "transport",
		[ASK_POST] = "post",
		[ASK_LIST] = "list",
	};
	return text[k];
}

static void
listed_free(struct hmap *m)
{
	struct hmap_node *next = NULL;
	for (struct hmap_node *n = hmap_next(m, NULL); n != NULL; n = next) {
		next = hmap_next(m, n);
		free(CONTAINER_OF(n, struct listed, node));
	}
	hmap_fini(m);
}

static void
walk_free(struct walk *w)
{
	if (w->request != NULL)
		w->b->v[w->at]->ops->cancel(w->request);
	walk_cancel(w->owner);
	loop_task_cancel(&w->task);
	auth_user_unref(w->user);
	free(w->owner_user);
	buf_fini(&w->detail);
	buf_fini(&w->password);
	buf_fini(&w->text);
	buf_fini(&w->refused_detail);
	listed_free(&w->listed);
	backends_unref(w->b);
	free(w);
}

void
walk_cancel(struct walk *w)
{
	if (w != NULL)
		walk_free(w);
}

static void
finish(struct walk *w, const struct auth_answer *a)
{
	w->fn(w->arg, a);
	walk_free(w);
}

static void
finish_error(struct walk *w, enum err e, enum auth_reason reason, struct str detail)
{
	finish(w, &(struct auth_answer){ .err = e,
			  .reason = reason,
			  .detail = detail,
			  .password_expires_sec = -1,
			  .grace_logins = -1 });
}

static void
step(struct walk *w);

/* Every backend that may be asked said that it does not know. */
static void
nobody(struct walk *w)
{
	struct str delimiter = w->b->settings->recipient_delimiter;
	bool tagged =
		w->q.kind == ASK_ADDRESS || w->q.kind == ASK_SENDER || w->q.kind == ASK_TRANSPORT;
	if (tagged && !w->tag_cut && delimiter.n > 0) {
		w->tag_cut = true;
		if (name_cut_tag(&w->name, delimiter.p[0])) {
			trace_addf(w->context.trace,
				"nobody knows it: asking without the tag, %.*s",
				STR_FMT(w->name.address));
			w->at = 0;
			step(w);
			return;
		}
	}
	if (!w->asked && w->q.name != NULL)
		trace_addf(w->context.trace,
			"%.*s%s%.*s: no section takes it, by its domains, login_domains and "
			"netbios_domain",
			STR_FMT(w->name.netbios), w->name.netbios.n > 0 ? "\\" : "",
			STR_FMT(w->name.user));
	if (w->q.kind == ASK_LIST)
		finish_error(w, ERR_EOF, REASON_NONE, STR_EMPTY);
	else if (w->refused)
		finish_error(w, ERR_DENIED, w->refused_reason, buf_str(&w->refused_detail));
	else
		finish(w, &(struct auth_answer){
				  .err = w->q.kind == ASK_LOGIN ? ERR_DENIED : ERR_NOTFOUND,
				  .reason = w->known ? REASON_NONE : REASON_UNKNOWN,
				  .known = w->known,
				  .password_expires_sec = -1,
				  .grace_logins = -1 });
}

static void
on_nobody(struct loop_task *t)
{
	nobody(t->arg);
}

static struct str
domain_of(struct str user)
{
	return str_from(user, str_rchr(user, '@') + 1);
}

static void
ask_owner(struct walk *w, enum ask_kind kind);

/* The answer that waits goes out when its home is nobody else's. */
static void
contest(struct walk *w)
{
	const struct auth_user *u = w->user;
	struct str owner;
	if (homes_claim(&w->b->homes, u->home, u->user)) {
		finish(w, &w->answer);
		return;
	}
	owner = homes_in_the_way(&w->b->homes, u->home, u->user);
	if (w->owners++ < OWNERS_MAX) {
		free(w->owner_user);
		w->owner_user = str_dup(owner);
		ask_owner(w, ASK_ADDRESS);
		return;
	}
	trace_addf(w->context.trace,
		"%.*s: home %.*s is another user's, or lies inside or around one: %.*s was seen "
		"with it first",
		STR_FMT(u->user), STR_FMT(u->home), STR_FMT(owner));
	finish_error(w, ERR_TEMP, REASON_HOME, u->home);
}

/* Is the home of the answer that waits not the owner's any more, as far as a says? */
static bool
gave_up_home(const struct walk *w, const struct auth_answer *a)
{
	const struct auth_user *u = a->user;
	if (a->err != ERR_OK || u == NULL)
		return a->err == ERR_NOTFOUND;
	return !str_eq(u->user, str_of(w->owner_user)) ||
	       (u->home.n > 0 && !homes_touch(u->home, w->user->home));
}

static void
on_owner(void *arg, const struct auth_answer *a)
{
	struct walk *w = arg;
	bool by_name = w->owner->q.kind == ASK_USER;
	bool other = a->user != NULL && !str_eq(a->user->user, str_of(w->owner_user));
	w->owner = NULL;
	/* who has no address may still log in */
	if ((a->err == ERR_NOTFOUND || other) && !by_name) {
		ask_owner(w, ASK_USER);
		return;
	}
	if (gave_up_home(w, a)) {
		log_event(LVL_INFO, "auth.home_passes_on", log_s("home", w->user->home),
			log_z("from", w->owner_user), log_s("to", w->user->user));
		homes_forget(&w->b->homes, str_of(w->owner_user));
	} else {
		w->owners = OWNERS_MAX;
	}
	contest(w);
}

/* Has who was seen with the home still got it? */
static void
ask_owner(struct walk *w, enum ask_kind kind)
{
	const struct walk_options o = { .whole_only = true, .homes_open = true };
	struct auth_question q = { .kind = kind, .context = &w->context };
	struct name n;
	if (name_parse(str_of(w->owner_user), w->b->settings->auth.default_domain, &n) != ERR_OK) {
		w->owners = OWNERS_MAX;
		contest(w);
		return;
	}
	trace_addf(w->context.trace, "home %.*s was %s's: asking whether it still is",
		STR_FMT(w->user->home), w->owner_user);
	q.name = &n;
	w->owner = walk_start(w->b, &q, &o, on_owner, w);
}

/* Copies what a says of a user. */
static void
keep_answer(struct walk *w, const struct auth_answer *a)
{
	w->user = auth_user_new(a->user);
	buf_add(&w->detail, a->detail);
	w->answer = (struct auth_answer){ .err = ERR_OK,
		.reason = a->reason,
		.detail = buf_str(&w->detail),
		.user = w->user,
		.password_expires_sec = a->password_expires_sec,
		.grace_logins = a->grace_logins };
}

/* A user from backend at: theirs to give? */
static void
finish_user(struct walk *w, const struct auth_answer *a)
{
	const struct auth_user *u = a->user;
	bool homeless = w->homes_open || w->q.kind == ASK_SECRET || u->home.n == 0;
	if (!backends_own_domain(w->b, w->at, domain_of(u->user))) {
		trace_addf(w->context.trace, "%.*s: refused, its domain is another section's",
			STR_FMT(u->user));
		finish_error(w, ERR_DENIED, REASON_DOMAIN, u->source);
	} else if (homeless || homes_claim(&w->b->homes, u->home, u->user)) {
		finish(w, a);
	} else {
		keep_answer(w, a);
		contest(w);
	}
}

static void
trace_answer(struct walk *w, const struct auth_answer *a)
{
	const struct backend *b = w->b->v[w->at];
	if (w->context.trace == NULL)
		return;
	/* whatever was asked about: a domain, a transport */
	const char *why =
		a->err == ERR_NOTFOUND && a->reason == REASON_UNKNOWN ? "" : reason_text(a->reason);
	trace_addf(w->context.trace, "%s %.*s: %s%s%s%s%.*s%s%.*s (%lld ms)", b->kind,
		STR_FMT(b->title), err_name(a->err), why[0] != '\0' ? ", " : "", why,
		a->detail.n > 0 ? ": " : "", STR_FMT(a->detail), a->user != NULL ? ", user " : "",
		STR_FMT(a->user != NULL ? a->user->user : STR_EMPTY),
		(long long)(clock_ms() - w->asked_ms));
}

/* Keeps a refusal that may be somebody else's name; false when it is final. */
static bool
keep_refusal(struct walk *w, const struct auth_answer *a)
{
	bool refused = a->reason == REASON_PASSWORD || a->reason == REASON_REFUSED;
	if (w->q.kind != ASK_LOGIN || !refused || a->user != NULL)
		return false;
	if (a->reason == REASON_REFUSED)
		w->refused_reason = REASON_REFUSED; /* one that may take it is enough */
	if (!w->refused) {
		w->refused = true;
		w->refused_reason = a->reason;
		buf_add(&w->refused_detail, a->detail);
	}
	return true;
}

static void
finish_failed(struct walk *w, const struct auth_answer *a)
{
	finish(w, &(struct auth_answer){ .err = ERR_TEMP,
			  .reason = a->reason != REASON_NONE ? a->reason : REASON_DIRECTORY,
			  .detail = a->detail,
			  .failed = w->b->v[w->at],
			  .password_expires_sec = -1,
			  .grace_logins = -1 });
}

/* One user of a list. Whom several backends have is the first one's, as in every other answer. */
static void
list_user(struct walk *w, const struct auth_answer *a)
{
	struct str user = a->user->user;
	if (!backends_own_domain(w->b, w->at, domain_of(user)))
		return;
	if (w->b->n > 1) {
		if (hmap_get(&w->listed, user) != NULL)
			return;
		struct listed *l = xmalloc(sizeof *l + user.n);
		memcpy(l->user, user.p, user.n);
		hmap_put(&w->listed, &l->node, str_n(l->user, user.n));
	}
	w->fn(w->arg, a);
}

static void
on_answer(void *arg, const struct auth_answer *a)
{
	struct walk *w = arg;
	if (w->q.kind == ASK_LIST && a->err == ERR_OK) {
		if (a->user != NULL)
			list_user(w, a);
		return;
	}
	w->request = NULL;
	trace_answer(w, a);
	switch (a->err) {
	case ERR_OK:
		if (a->user != NULL)
			finish_user(w, a);
		else
			finish(w, a);
		return;
	case ERR_DENIED:
		if (!keep_refusal(w, a)) {
			finish(w, a);
			return;
		}
		break;
	case ERR_NOTFOUND:
		w->known |= a->known;
		break;
	case ERR_EOF:
		break;
	case ERR_AGAIN:
	case ERR_SYNTAX:
	case ERR_LIMIT:
	case ERR_EXISTS:
	case ERR_BUSY:
	case ERR_TEMP:
	case ERR_CORRUPT:
	case ERR_QUOTA:
	case ERR_BUG:
		finish_failed(w, a);
		return;
	}
	w->at++;
	step(w);
}

static size_t
next(const struct walk *w)
{
	size_t at = w->at;
	bool login = w->q.kind == ASK_LOGIN || w->q.kind == ASK_USER || w->q.kind == ASK_SECRET;
	if (w->only != NULL)
		while (at < w->b->n && w->b->v[at] != w->only)
			at++;
	else if (w->q.name != NULL && w->q.kind != ASK_LIST)
		while (at < w->b->n && !backend_takes(w->b->v[at], &w->name, login))
			at++;
	return at;
}

static struct str
subject(const struct walk *w)
{
	if (w->q.name == NULL)
		return w->q.other;
	return w->q.kind == ASK_DOMAIN ? w->name.domain : w->name.address;
}

static void
step(struct walk *w)
{
	w->at = next(w);
	if (w->at >= w->b->n) {
		loop_task_queue(&w->task);
		return;
	}
	struct backend *b = w->b->v[w->at];
	w->asked_ms = clock_ms();
	trace_addf(w->context.trace, "%s %.*s: asked about %s %.*s", b->kind, STR_FMT(b->title),
		kind_text(w->q.kind), STR_FMT(subject(w)));
	w->asked = true;
	w->request = b->ops->ask(b, &w->q, on_answer, w);
}

/* Copies of the strings, one behind the other. */
static void
copy_strings(struct walk *w, const struct auth_question *q)
{
	const struct auth_context *c = q->context;
	const struct str from[] = { q->other, c->service, c->remote_ip, c->local_ip, c->sid };
	struct str *const to[] = { &w->q.other, &w->context.service, &w->context.remote_ip,
		&w->context.local_ip, &w->context.sid };
	size_t bytes = 0;
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		bytes += from[i].n;
	buf_init(&w->text, bytes + 1);
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		buf_add(&w->text, from[i]);
	struct str all = buf_str(&w->text);
	for (size_t i = 0, at = 0; i < ARRAY_LEN(from); at += from[i].n, i++)
		*to[i] = str_sub(all, at, from[i].n);
}

struct walk *
walk_start(struct backends *b, const struct auth_question *q, const struct walk_options *o,
	auth_fn fn, void *arg)
{
	struct walk *w = xcalloc(1, sizeof *w);
	w->b = backends_ref(b);
	w->fn = fn;
	w->arg = arg;
	w->q = *q;
	w->context = *q->context;
	w->q.context = &w->context;
	copy_strings(w, q);
	if (q->name != NULL) {
		name_copy(&w->name, q->name);
		w->q.name = &w->name;
	}
	buf_init_secret(&w->password, q->password.n + 1);
	buf_add(&w->password, q->password);
	w->q.password = buf_str(&w->password);
	buf_init(&w->refused_detail, 4096);
	buf_init(&w->detail, 4096);
	hmap_init(&w->listed);
	w->tag_cut = o != NULL && o->whole_only;
	w->only = o != NULL ? o->only : NULL;
	w->homes_open = o != NULL && o->homes_open;
	loop_task_init(&w->task, b->loop, on_nobody, w);
	step(w);
	return w;
}
