/* Questions to the backends, answered from memory where that is allowed; see memory.h. front.c and
 * login.c ask here and nowhere else (but for lists and secrets, which are not remembered).
 * Invariant: a question under way is joined by those that have the same answer, and by no others;
 * everybody who waits hears once. */
#include "auth-ldap/front/memory_impl.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { UNKNOWN_PART = 8 }; /* of the memory, for what is unknown */

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

/* ---- answers out of memory ---- */

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

/* True: k has its answer. */
static bool
from_memory(struct memory *m, const struct backends *b, const struct memory_question *q,
	struct asking *k, struct str key, const unsigned char *proof)
{
	const struct settings_auth *s = &m->settings->auth;
	struct trace *trace = q->context->trace;
	struct cached c;
	int64_t ttl = memory_known_ttl(m, q->kind);
	if (q->anew)
		return false;
	if (q->max_age_ms != 0 && q->max_age_ms < ttl)
		ttl = q->max_age_ms;
	if (memory_recall(m, b, q->kind, key, proof, ttl, &c) && c.err == ERR_OK &&
		c.stored_ms >= m->since_ms) {
		trace_memory(q->context, m, &c, "the answer is remembered");
		if (trace == NULL)
			asking_answer(k, &c, FROM_MEMORY);
		return trace == NULL;
	}
	if (cache_get(m->unknown, key, &c) && memory_fresh(m, &c, s->cache_negative_ttl)) {
		const struct cached no = { .err = c.err, .reason = c.reason };
		trace_memory(q->context, m, &c, "a \"no\" is remembered");
		if (trace == NULL && q->kind == MEMORY_LOGIN &&
			memory_note_wrong(m, key, proof, no.reason))
			asking_answer(k, &no, FROM_WRONG);
		else if (trace == NULL)
			asking_answer(k, &no, FROM_MEMORY);
		return trace == NULL;
	}
	if (q->kind != MEMORY_LOGIN)
		return false;
	struct buf wrong;
	memory_wrong_key(key, proof, &wrong);
	bool found = cache_get(m->unknown, buf_str(&wrong), &c);
	buf_fini(&wrong);
	/* A lock may be gone, and the name may be known now. */
	if (!found || c.reason != REASON_PASSWORD || !memory_fresh(m, &c, s->wrong_password_ttl))
		return false;
	trace_memory(q->context, m, &c, "this password was wrong before");
	c.reason = REASON_REMEMBERED;
	if (trace == NULL)
		asking_answer(k, &c, FROM_WRONG);
	return trace == NULL;
}

/* ---- answers of the backends ---- */

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
		else if (from == FROM_OUTAGE_WRONG)
			from = FROM_BACKENDS;
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
	enum memory_from from = memory_keep(x, a);
	/* REASON_HOME and the like are our own doubts, not an outage. */
	bool outage = a->err == ERR_TEMP && a->reason == REASON_DIRECTORY;
	if (outage &&
		memory_recall(x->m, x->b, x->kind, buf_str(&x->key), x->proof,
			memory_outage_ttl(x->m, x->kind), &c) &&
		memory_outage_allows(x, a, &c)) {
		x->m->outages++;
		log_outage(x, &c, a);
		flight_land_old(x, &c);
	} else {
		if (outage && memory_outage_guess(x))
			from = FROM_OUTAGE_WRONG;
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
	memory_wrong_key(key, proof, &full);
	buf_addc(&full, kind_letters[q->kind]);
	bool alone = q->context->trace != NULL || m->settings->auth.cache_size == 0 ||
		     !memory_is_of(m, b);
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
	/* where nothing is remembered, nothing is looked for by it; zeros are no proof of anything
	 */
	if (q->kind == MEMORY_LOGIN && m->settings->auth.cache_size != 0) {
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
