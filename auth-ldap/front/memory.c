/* Questions to the backends, answered from memory where that is allowed; see memory.h. front.c and
 * login.c ask here and nowhere else (but for lists and secrets, which are not remembered).
 *
 * Two caches, so that guesses of names and passwords by strangers never push out what is known:
 * `known` holds what backends said yes to, `unknown` the rest: names that nobody knows, and wrong
 * passwords by the proof of each.
 * Invariants: a password is found right from memory only if its proof is the one that the backends
 * took last, in an outage the last one under any of the user's names; a "no" out of memory is never
 * older than its own time to live, outage or not; what is remembered was said by the backends of
 * the present settings, or is for outages only. */
#include "auth-ldap/front/memory.h"

#include <stdlib.h>

#include "auth-ldap/front/walk.h"
#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum {
	UNKNOWN_PART = 8,		/* of the memory, for what is unknown */
	WRONG_KEPT_MS = 60 * 60 * 1000, /* how long a wrong password is known as that */
	KEY_CONTEXT = 6,		/* parts of a key: those of the context are the last */
	KEY_PARTS = 9,
};

struct memory {
	struct loop *loop;
	const struct settings *settings;
	struct cache *known, *unknown;
	struct hmap flights;
	int64_t since_ms; /* what is older comes from other settings: only for outages */
	uint64_t joined, outages;
	int64_t (*now_ms)(void);
};

/* A question that the backends are being asked, and those who wait for its answer. */
struct flight {
	struct hmap_node node;
	bool in_map; /* others may join */
	struct memory *m;
	struct backends *b;
	enum memory_kind kind;
	struct buf key, full_key; /* without and with the proof */
	unsigned char proof[DIGEST_SHA256_BYTES];
	unsigned char digest[DIGEST_SHA256_BYTES]; /* of the password, for other proofs of it */
	struct walk *walk;
	struct expansion *expansion;
	struct list askings;
};

static const char kind_letters[MEMORY_KINDS] = {
	[MEMORY_LOGIN] = 'L',
	[MEMORY_USER] = 'U',
	[MEMORY_ADDRESS] = 'A',
	[MEMORY_CERTIFICATE] = 'C',
	[MEMORY_MASTER] = 'M',
	[MEMORY_DOMAIN] = 'D',
	[MEMORY_ALIAS] = 'X',
	[MEMORY_SENDER] = 'S',
	[MEMORY_TRANSPORT] = 'T',
	[MEMORY_POST] = 'P',
};

/* ---- making, settings ---- */

struct memory *
memory_new(struct loop *l, const struct settings *s)
{
	struct memory *m = xcalloc(1, sizeof *m);
	m->loop = l;
	m->known = cache_new(0);
	m->unknown = cache_new(0);
	m->now_ms = clock_ms;
	hmap_init(&m->flights);
	memory_set(m, s);
	return m;
}

void
memory_set(struct memory *m, const struct settings *s)
{
	size_t size = (size_t)s->auth.cache_size;
	m->settings = s;
	m->since_ms = m->now_ms();
	(void)cache_forget(m->unknown, STR_EMPTY);
	/* What is under way asks the old backends: nobody new may join. */
	for (struct hmap_node *n; (n = hmap_next(&m->flights, NULL)) != NULL;) {
		hmap_remove(&m->flights, n);
		CONTAINER_OF(n, struct flight, node)->in_map = false;
	}
	cache_resize(m->known, size - size / UNKNOWN_PART);
	cache_resize(m->unknown, size / UNKNOWN_PART);
}

/* b is made of the settings that count now. */
static bool
is_present(const struct memory *m, const struct backends *b)
{
	return b->settings == m->settings;
}

void
memory_set_clock(struct memory *m, int64_t (*now_ms)(void))
{
	m->now_ms = now_ms != NULL ? now_ms : clock_ms;
	m->since_ms = m->now_ms();
}

static void
flight_free(struct flight *x)
{
	if (x->in_map)
		hmap_remove(&x->m->flights, &x->node);
	walk_cancel(x->walk);
	expansion_cancel(x->expansion);
	backends_unref(x->b);
	buf_fini(&x->key);
	buf_fini(&x->full_key);
	explicit_bzero(x->proof, sizeof x->proof);
	explicit_bzero(x->digest, sizeof x->digest);
	free(x);
}

void
memory_free(struct memory *m)
{
	if (m == NULL)
		return;
	cache_free(m->known);
	cache_free(m->unknown);
	hmap_fini(&m->flights);
	free(m);
}

/* ---- keys ---- */

static bool
about_user(enum memory_kind k)
{
	return k == MEMORY_LOGIN || k == MEMORY_USER || k == MEMORY_ADDRESS ||
	       k == MEMORY_CERTIFICATE || k == MEMORY_MASTER;
}

/* Everything that the answer depends on. The name comes first: cache_forget looks there. */
static void
key_make(const struct backends *b, const struct memory_question *q, struct buf *key)
{
	const struct auth_context *c = q->context;
	bool user = about_user(q->kind);
	cache_key_begin(key, kind_letters[q->kind]);
	cache_key_add(key, q->name != NULL ? q->name->address : STR_EMPTY);
	cache_key_add(key, q->name != NULL ? q->name->user : STR_EMPTY);
	cache_key_add(key, q->name != NULL ? q->name->netbios : STR_EMPTY);
	cache_key_add(key, q->other);
	cache_key_add(key, q->whole_only ? STR("whole") : STR_EMPTY);
	cache_key_add(key, q->only != NULL ? q->only->title : STR_EMPTY);
	cache_key_add(key, user && b->by_service ? c->service : STR_EMPTY);
	cache_key_add(key, user && b->by_remote_ip ? c->remote_ip : STR_EMPTY);
	cache_key_add(key, user && b->by_local_ip ? c->local_ip : STR_EMPTY);
}

/* Where the wrong password with this proof is remembered. */
static void
wrong_key(struct str key, const unsigned char *proof, struct buf *out)
{
	buf_init(out, CACHE_KEY_MAX + 64);
	buf_addc(out, 'W');
	buf_add(out, str_from(key, 1));
	cache_key_add(out, str_n(proof, DIGEST_SHA256_BYTES));
}

/* Where the password is remembered that was right last, under whatever name: for outages. The
 * user's name comes first, what else the answer depends on is that of the question. */
static void
account_key(const struct flight *x, struct str user, struct buf *out)
{
	buf_init(out, CACHE_KEY_MAX);
	cache_key_begin(out, 'K');
	cache_key_add(out, user);
	for (size_t i = KEY_CONTEXT; i < KEY_PARTS; i++)
		cache_key_add(out, cache_key_part(buf_str(&x->key), i));
}

/* ---- answers out of memory ---- */

static bool
fresh(const struct memory *m, const struct cached *a, int64_t ttl_ms)
{
	int64_t age = m->now_ms() - a->stored_ms;
	return ttl_ms > 0 && age >= 0 && age < ttl_ms;
}

static int64_t
known_ttl(const struct memory *m, enum memory_kind k)
{
	return k == MEMORY_LOGIN ? m->settings->auth.cache_login_ttl : m->settings->auth.cache_ttl;
}

static int64_t
outage_ttl(const struct memory *m, enum memory_kind k)
{
	return k == MEMORY_LOGIN ? m->settings->auth.outage_login : m->settings->auth.outage_lookup;
}

static struct str
digest_str(const struct flight *x)
{
	return str_n(x->digest, sizeof x->digest);
}

static bool
proof_is(const struct cached *c, const unsigned char *proof)
{
	return c->proof != NULL &&
	       secret_eq(str_n(c->proof, DIGEST_SHA256_BYTES), str_n(proof, DIGEST_SHA256_BYTES));
}

/* What is known under key, not older than ttl_ms. */
static bool
recall(struct memory *m, const struct backends *b, enum memory_kind kind, struct str key,
	const unsigned char *proof, int64_t ttl_ms, struct cached *out)
{
	if (!cache_get(m->known, key, out) || !fresh(m, out, ttl_ms))
		return false;
	/* A backend that the settings do not name any more has no users. */
	if (out->user != NULL && backends_find(b, out->user->backend) == NULL) {
		(void)cache_drop(m->known, key);
		return false;
	}
	return kind != MEMORY_LOGIN || proof_is(out, proof);
}

static void
on_asking(struct loop_task *t)
{
	struct asking *k = t->arg;
	struct auth_user *user = k->user;
	struct buf value = k->value;
	k->user = NULL;
	buf_init(&k->value, 0);
	k->memory = NULL;
	/* k may be gone after this. */
	struct auth_answer a = k->answer;
	k->fn(k->arg, &a, k->from);
	auth_user_unref(user);
	buf_fini(&value);
}

static struct auth_answer
answer_of(const struct cached *c)
{
	return (struct auth_answer){ .err = c->err,
		.reason = c->reason,
		.user = c->user,
		.value = c->value,
		.owner = c->owner,
		.password_expires_sec = -1,
		.grace_logins = -1 };
}

/* Copies: the cache may forget it before the task runs. */
static void
asking_answer(struct asking *k, const struct cached *c, enum memory_from from)
{
	k->from = from;
	k->answer = answer_of(c);
	k->user = c->user != NULL ? auth_user_ref(c->user) : NULL;
	buf_add(&k->value, c->value);
	buf_add(&k->value, c->owner);
	k->answer.value = str_sub(buf_str(&k->value), 0, c->value.n);
	k->answer.owner = str_from(buf_str(&k->value), c->value.n);
	loop_task_queue(&k->task);
}

static void
trace_memory(const struct auth_context *c, const struct memory *m, const struct cached *a,
	const char *what)
{
	if (c->trace != NULL)
		trace_addf(c->trace, "cache: %s, %lld ms old; asked all the same", what,
			(long long)(m->now_ms() - a->stored_ms));
}

/* That password is wrong for the name of key. True: it was known to be, so that it is no new guess:
 * the same for names that nobody has as for those of users, or the delays would tell. */
static bool
note_wrong(struct memory *m, struct str key, const unsigned char *proof, enum auth_reason reason)
{
	const struct cached a = { .err = ERR_DENIED, .reason = reason };
	struct cached c;
	struct buf wrong;
	wrong_key(key, proof, &wrong);
	bool known = cache_get(m->unknown, buf_str(&wrong), &c);
	cache_put(m->unknown, buf_str(&wrong), &a, m->now_ms());
	buf_fini(&wrong);
	return known;
}

/* True: k has its answer. */
static bool
from_memory(struct memory *m, const struct backends *b, const struct memory_question *q,
	struct asking *k, struct str key, const unsigned char *proof)
{
	const struct settings_auth *s = &m->settings->auth;
	struct trace *trace = q->context->trace;
	struct cached c;
	if (recall(m, b, q->kind, key, proof, known_ttl(m, q->kind), &c) &&
		c.stored_ms >= m->since_ms) {
		trace_memory(q->context, m, &c, "the answer is remembered");
		if (trace == NULL)
			asking_answer(k, &c, FROM_MEMORY);
		return trace == NULL;
	}
	if (cache_get(m->unknown, key, &c) && fresh(m, &c, s->cache_negative_ttl)) {
		const struct cached no = { .err = c.err, .reason = c.reason };
		trace_memory(q->context, m, &c, "a \"no\" is remembered");
		if (trace == NULL && q->kind == MEMORY_LOGIN &&
			note_wrong(m, key, proof, no.reason))
			asking_answer(k, &no, FROM_WRONG);
		else if (trace == NULL)
			asking_answer(k, &no, FROM_MEMORY);
		return trace == NULL;
	}
	if (q->kind != MEMORY_LOGIN)
		return false;
	struct buf wrong;
	wrong_key(key, proof, &wrong);
	bool found = cache_get(m->unknown, buf_str(&wrong), &c);
	buf_fini(&wrong);
	/* A lock may be gone, and the name may be known now. */
	if (!found || c.reason != REASON_PASSWORD || !fresh(m, &c, s->wrong_password_ttl))
		return false;
	trace_memory(q->context, m, &c, "this password was wrong before");
	c.reason = REASON_REMEMBERED;
	if (trace == NULL)
		asking_answer(k, &c, FROM_WRONG);
	return trace == NULL;
}

/* ---- answers of the backends ---- */

static void
put_account(struct flight *x, struct auth_user *user)
{
	unsigned char proof[DIGEST_SHA256_BYTES];
	struct buf key;
	account_key(x, user->user, &key);
	cache_proof(buf_str(&key), digest_str(x), proof);
	const struct cached c = { .err = ERR_OK, .user = user, .proof = proof };
	if (buf_check(&key) == ERR_OK)
		cache_put(x->m->known, buf_str(&key), &c, x->m->now_ms());
	explicit_bzero(proof, sizeof proof);
	buf_fini(&key);
}

/* What the last login of the user, under any name, said of him; NULL: none, or with another
 * password. */
static struct auth_user *
account_user(struct flight *x, struct str user)
{
	unsigned char proof[DIGEST_SHA256_BYTES];
	struct cached c;
	struct buf key;
	account_key(x, user, &key);
	cache_proof(buf_str(&key), digest_str(x), proof);
	bool same = cache_get(x->m->known, buf_str(&key), &c) && proof_is(&c, proof);
	explicit_bzero(proof, sizeof proof);
	buf_fini(&key);
	return same ? c.user : NULL;
}

/* The password was refused: no outage brings it back. */
static void
drop_account(struct flight *x, struct str user)
{
	struct buf key;
	account_key(x, user, &key);
	(void)cache_drop(x->m->known, buf_str(&key));
	buf_fini(&key);
}

static void
put_known(struct flight *x, const struct auth_answer *a)
{
	struct memory *m = x->m;
	bool login = x->kind == MEMORY_LOGIN;
	int64_t keep = known_ttl(m, x->kind);
	if (outage_ttl(m, x->kind) > keep)
		keep = outage_ttl(m, x->kind);
	if (keep <= 0)
		return;
	struct auth_user *user = a->user != NULL ? auth_user_new(a->user) : NULL;
	const struct cached c = { .err = ERR_OK,
		.user = user,
		.value = a->value,
		.owner = a->owner,
		.proof = login ? x->proof : NULL };
	cache_put(m->known, buf_str(&x->key), &c, m->now_ms());
	if (login && user != NULL && m->settings->auth.outage_login > 0)
		put_account(x, user);
	auth_user_unref(user);
}

static void
put_unknown(struct memory *m, struct str key, const struct auth_answer *a)
{
	const struct cached c = { .err = a->err, .reason = a->reason };
	cache_put(m->unknown, key, &c, m->now_ms());
}

/* Is this "no" about the name or the question, and the same for whoever asks? */
static bool
may_keep_no(const struct flight *x, const struct auth_answer *a)
{
	if (x->kind == MEMORY_LOGIN)
		return a->err == ERR_DENIED && a->reason == REASON_UNKNOWN;
	return a->err == ERR_NOTFOUND ||
	       (a->err == ERR_DENIED && x->kind >= MEMORY_MASTER && x->kind <= MEMORY_POST);
}

/* A refused login; true: that password was known to be wrong. */
static bool
remember_refusal(struct flight *x, const struct auth_answer *a)
{
	struct memory *m = x->m;
	struct cached c;
	if (a->user != NULL && account_user(x, a->user->user) != NULL)
		drop_account(x, a->user->user);
	/* Taken before, and refused now: it stops at once. */
	if (cache_get(m->known, buf_str(&x->key), &c) &&
		(a->reason == REASON_UNKNOWN || proof_is(&c, x->proof))) {
		struct auth_user *user = c.user != NULL ? auth_user_ref(c.user) : NULL;
		if (user != NULL)
			drop_account(x, user->user);
		(void)cache_drop(m->known, buf_str(&x->key));
		auth_user_unref(user);
	}
	if (!reason_is_guess(a->reason))
		return false;
	return note_wrong(m, buf_str(&x->key), x->proof, a->reason);
}

static enum memory_from
remember(struct flight *x, const struct auth_answer *a)
{
	struct memory *m = x->m;
	bool repeated = false;
	int64_t now = m->now_ms();
	int64_t keep = m->settings->auth.cache_negative_ttl;
	if (!is_present(m, x->b))
		return FROM_BACKENDS;
	cache_expire(m->unknown, now - (keep > WRONG_KEPT_MS ? keep : WRONG_KEPT_MS));
	if (a->err == ERR_OK) {
		put_known(x, a);
		(void)cache_drop(m->unknown, buf_str(&x->key));
		if (x->kind == MEMORY_LOGIN) {
			struct buf wrong;
			wrong_key(buf_str(&x->key), x->proof, &wrong);
			(void)cache_drop(m->unknown, buf_str(&wrong));
			buf_fini(&wrong);
		}
		return FROM_BACKENDS;
	}
	if (a->err == ERR_TEMP)
		return FROM_BACKENDS;
	if (x->kind == MEMORY_LOGIN)
		repeated = remember_refusal(x, a);
	else
		(void)cache_drop(m->known, buf_str(&x->key));
	if (may_keep_no(x, a) && keep > 0)
		put_unknown(m, buf_str(&x->key), a);
	return repeated ? FROM_REPEATED : FROM_BACKENDS;
}

/* May that be told, now that a->failed failed? Not where the backend that knew the user was asked
 * before it, and said no. The record becomes that of the user's last login. */
static bool
outage_allows(struct flight *x, const struct auth_answer *a, struct cached *c)
{
	size_t own = 0, failed = 0;
	if (c->user == NULL)
		return true;
	while (own < x->b->n && !str_eq(x->b->v[own]->title, c->user->backend))
		own++;
	while (failed < x->b->n && x->b->v[failed] != a->failed)
		failed++;
	if (failed < x->b->n && own < failed) {
		(void)cache_drop(x->m->known, buf_str(&x->key));
		return false;
	}
	if (x->kind == MEMORY_LOGIN)
		c->user = account_user(x, c->user->user);
	return c->user != NULL;
}

static void
log_outage(const struct flight *x, const struct cached *c, const struct auth_answer *failed)
{
	log_event(x->kind == MEMORY_LOGIN ? LVL_WARN : LVL_INFO, "auth.outage", log_z("res", "ok"),
		log_z("from", "memory"), log_s("name", cache_key_part(buf_str(&x->key), 0)),
		log_s("user", c->user != NULL ? c->user->user : STR_EMPTY),
		log_n("age_ms", x->m->now_ms() - c->stored_ms),
		log_z("reason", reason_text(failed->reason)), log_s("detail", failed->detail));
}

/* Tell everybody who waits, and end. age_ms: of an answer from memory. */
static void
flight_land(struct flight *x, const struct auth_answer *a, enum memory_from from, int64_t age_ms)
{
	if (x->in_map) /* who asks from now on starts anew */
		hmap_remove(&x->m->flights, &x->node);
	x->in_map = false;
	/* A waiter's answer may cancel others: they take themselves out of the list. */
	while (!list_empty(&x->askings)) {
		struct asking *k = CONTAINER_OF(x->askings.next, struct asking, link);
		list_remove(&k->link);
		k->flight = NULL;
		k->memory = NULL;
		buf_fini(&k->value);
		k->age_ms = age_ms;
		k->fn(k->arg, a, from);
		/* Several connections of one client made one guess. */
		if (x->kind == MEMORY_LOGIN && a->err == ERR_DENIED)
			from = FROM_REPEATED;
	}
	flight_free(x);
}

/* Copies: those who are told may change the cache. */
static void
flight_land_old(struct flight *x, const struct cached *c)
{
	struct auth_user *user = c->user != NULL ? auth_user_ref(c->user) : NULL;
	struct auth_answer a = answer_of(c);
	struct buf text;
	buf_init(&text, c->value.n + c->owner.n + 1);
	buf_add(&text, c->value);
	buf_add(&text, c->owner);
	a.value = str_sub(buf_str(&text), 0, c->value.n);
	a.owner = str_from(buf_str(&text), c->value.n);
	a.detail = STR("from memory, no backend answers");
	flight_land(x, &a, FROM_OUTAGE, x->m->now_ms() - c->stored_ms);
	auth_user_unref(user);
	buf_fini(&text);
}

static void
on_backends(void *arg, const struct auth_answer *a)
{
	struct flight *x = arg;
	struct cached c;
	x->walk = NULL;
	x->expansion = NULL;
	enum memory_from from = remember(x, a);
	/* REASON_HOME and the like are our own doubts, not an outage. */
	bool outage = a->err == ERR_TEMP && a->reason == REASON_DIRECTORY;
	if (outage &&
		recall(x->m, x->b, x->kind, buf_str(&x->key), x->proof, outage_ttl(x->m, x->kind),
			&c) &&
		outage_allows(x, a, &c)) {
		x->m->outages++;
		log_outage(x, &c, a);
		flight_land_old(x, &c);
	} else {
		flight_land(x, a, from, 0);
	}
}

/* ---- questions ---- */

static void
flight_start(struct flight *x, struct backends *b, const struct memory_question *q)
{
	static const enum ask_kind walks[MEMORY_KINDS] = {
		[MEMORY_LOGIN] = ASK_LOGIN,
		[MEMORY_USER] = ASK_USER,
		[MEMORY_ADDRESS] = ASK_ADDRESS,
		[MEMORY_CERTIFICATE] = ASK_CERTIFICATE,
		[MEMORY_MASTER] = ASK_MASTER,
		[MEMORY_DOMAIN] = ASK_DOMAIN,
		[MEMORY_TRANSPORT] = ASK_TRANSPORT,
	};
	static const enum expansion_kind expansions[MEMORY_KINDS] = {
		[MEMORY_ALIAS] = EXPAND_ALIAS,
		[MEMORY_SENDER] = EXPAND_SENDER,
		[MEMORY_POST] = EXPAND_POST,
	};
	const struct auth_question ask = { .kind = walks[q->kind],
		.name = q->name,
		.password = q->password,
		.other = q->other,
		.context = q->context };
	const struct walk_options o = { .whole_only = q->whole_only, .only = q->only };
	if (q->kind == MEMORY_ALIAS || q->kind == MEMORY_SENDER || q->kind == MEMORY_POST)
		x->expansion = expansion_start(
			b, expansions[q->kind], q->name, q->other, q->context, on_backends, x);
	else
		x->walk = walk_start(b, &ask, &o, on_backends, x);
}

static struct flight *
flight_new(struct memory *m, struct backends *b, enum memory_kind kind, struct str key,
	struct str full_key, const unsigned char *proof, const unsigned char *digest)
{
	struct flight *x = xcalloc(1, sizeof *x);
	x->m = m;
	x->b = backends_ref(b);
	x->kind = kind;
	buf_init(&x->key, CACHE_KEY_MAX);
	buf_init(&x->full_key, CACHE_KEY_MAX + 64);
	buf_add(&x->key, key);
	buf_add(&x->full_key, full_key);
	memcpy(x->proof, proof, sizeof x->proof);
	memcpy(x->digest, digest, sizeof x->digest);
	list_init(&x->askings);
	return x;
}

/* An explanation is of its own question; without a memory every question is. */
static void
join_or_start(struct memory *m, struct backends *b, const struct memory_question *q,
	struct asking *k, struct str key, const unsigned char *proof, const unsigned char *digest)
{
	struct buf full;
	wrong_key(key, proof, &full);
	buf_addc(&full, kind_letters[q->kind]);
	bool alone =
		q->context->trace != NULL || m->settings->auth.cache_size == 0 || !is_present(m, b);
	struct hmap_node *n = !alone ? hmap_get(&m->flights, buf_str(&full)) : NULL;
	struct flight *x;
	if (n != NULL) {
		x = CONTAINER_OF(n, struct flight, node);
		m->joined++;
	} else {
		x = flight_new(m, b, q->kind, key, buf_str(&full), proof, digest);
		if (!alone)
			hmap_put(&m->flights, &x->node, buf_str(&x->full_key));
		x->in_map = !alone;
		flight_start(x, b, q);
	}
	k->flight = x;
	list_push_back(&x->askings, &k->link);
	buf_fini(&full);
}

void
memory_ask(struct memory *m, struct backends *b, const struct memory_question *q, struct asking *k,
	memory_fn fn, void *arg)
{
	unsigned char proof[DIGEST_SHA256_BYTES] = { 0 }, digest[DIGEST_SHA256_BYTES] = { 0 };
	struct buf key;
	*k = (struct asking){ .memory = m, .fn = fn, .arg = arg };
	list_init(&k->link);
	loop_task_init(&k->task, m->loop, on_asking, k);
	buf_init(&k->value, 16 * 1024 * 1024);
	buf_init(&key, CACHE_KEY_MAX);
	key_make(b, q, &key);
	if (buf_check(&key) != ERR_OK) {
		const struct cached none = { .err = ERR_TEMP, .reason = REASON_LIMIT };
		asking_answer(k, &none, FROM_BACKENDS);
		buf_fini(&key);
		return;
	}
	if (q->kind == MEMORY_LOGIN) {
		cache_proof(STR_EMPTY, q->password, digest);
		cache_proof(buf_str(&key), str_n(digest, sizeof digest), proof);
	}
	if (!from_memory(m, b, q, k, buf_str(&key), proof))
		join_or_start(m, b, q, k, buf_str(&key), proof, digest);
	explicit_bzero(proof, sizeof proof);
	explicit_bzero(digest, sizeof digest);
	buf_fini(&key);
}

void
memory_cancel(struct asking *k)
{
	struct flight *x = k->flight;
	if (k->memory == NULL)
		return;
	loop_task_cancel(&k->task);
	auth_user_unref(k->user);
	buf_fini(&k->value);
	list_remove(&k->link);
	k->user = NULL;
	k->flight = NULL;
	k->memory = NULL;
	/* Nobody waits any more; one that is just telling frees itself. */
	if (x != NULL && list_empty(&x->askings) && (x->walk != NULL || x->expansion != NULL))
		flight_free(x);
}

size_t
memory_forget(struct memory *m, struct str user)
{
	return cache_forget_all_of(m->known, user) + cache_forget(m->unknown, user);
}

static void
show(struct buf *out, const char *name, const struct cache *c)
{
	struct cache_figures f;
	cache_figures(c, &f);
	buf_addf(out, "cache %s entries=%zu bytes=%zu max=%zu hits=%llu misses=%llu dropped=%llu\n",
		name, f.entries, f.bytes, f.max_bytes, (unsigned long long)f.hits,
		(unsigned long long)f.misses, (unsigned long long)f.dropped);
}

void
memory_status(const struct memory *m, struct buf *out)
{
	show(out, "known", m->known);
	show(out, "unknown", m->unknown);
	buf_addf(out, "questions underway=%zu joined=%llu answered_in_outage=%llu\n", m->flights.n,
		(unsigned long long)m->joined, (unsigned long long)m->outages);
}
