/* What answers leave behind, and when that may be used again. memory.c asks here.
 *
 * Two caches, so that guesses of names and passwords by strangers never push out what is known:
 * `known` holds what backends said yes to, and for outages whose mail stays as it is; `unknown` the
 * rest: names that nobody knows, and wrong passwords by the proof of each.
 * Invariants: a password is found right from memory only if its proof is the one that the backends
 * took last, in an outage the last one under any of the user's names; a "no" out of memory is never
 * older than its own time to live, outage or not, unless it is of somebody known; what is
 * remembered was said by the backends of the present settings, or is for outages only. */
#include "auth-ldap/front/memory_impl.h"

#include "core/base/codec.h"

enum {
	WRONG_KEPT_MS = 60 * 60 * 1000, /* how long a wrong password is known as that */
	KEY_CONTEXT = 6,		/* parts of a key: those of the context are the last */
	KEY_PARTS = 9,
};

bool
memory_is_of(const struct memory *m, const struct backends *b)
{
	return b->settings == m->settings;
}

bool
memory_fresh(const struct memory *m, const struct cached *a, int64_t ttl_ms)
{
	int64_t age = m->now_ms() - a->stored_ms;
	return ttl_ms > 0 && age >= 0 && age < ttl_ms;
}

int64_t
memory_known_ttl(const struct memory *m, enum memory_kind k)
{
	return k == MEMORY_LOGIN ? m->settings->auth.cache_login_ttl : m->settings->auth.cache_ttl;
}

int64_t
memory_outage_ttl(const struct memory *m, enum memory_kind k)
{
	return k == MEMORY_LOGIN ? m->settings->auth.outage_login : m->settings->auth.outage_lookup;
}

static bool
proof_is(const struct cached *c, const unsigned char *proof)
{
	return c->proof != NULL &&
	       secret_eq(str_n(c->proof, DIGEST_SHA256_BYTES), str_n(proof, DIGEST_SHA256_BYTES));
}

void
memory_wrong_key(struct str key, const unsigned char *proof, struct buf *out)
{
	buf_init(out, CACHE_KEY_MAX + 64);
	buf_addc(out, 'W');
	buf_add(out, str_from(key, 1));
	cache_key_add(out, str_n(proof, DIGEST_SHA256_BYTES));
}

bool
memory_note_wrong(
	struct memory *m, struct str key, const unsigned char *proof, enum auth_reason reason)
{
	const struct cached a = { .err = ERR_DENIED, .reason = reason };
	struct cached c;
	struct buf wrong;
	memory_wrong_key(key, proof, &wrong);
	bool known = cache_get(m->unknown, buf_str(&wrong), &c);
	cache_put(m->unknown, buf_str(&wrong), &a, m->now_ms());
	buf_fini(&wrong);
	return known;
}

static struct str
digest_str(const struct flight *x)
{
	return str_n(x->digest, sizeof x->digest);
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

bool
memory_recall(struct memory *m, const struct backends *b, enum memory_kind kind, struct str key,
	const unsigned char *proof, int64_t ttl_ms, struct cached *out)
{
	if (!cache_get(m->known, key, out) || !memory_fresh(m, out, ttl_ms))
		return false;
	/* A backend that the settings do not name any more has no users. */
	if (out->user != NULL && backends_find(b, out->user->backend) == NULL) {
		(void)cache_drop(m->known, key);
		return false;
	}
	return kind != MEMORY_LOGIN || proof_is(out, proof);
}

static void
put_known(struct flight *x, const struct auth_answer *a)
{
	struct memory *m = x->m;
	bool login = x->kind == MEMORY_LOGIN;
	int64_t keep = memory_known_ttl(m, x->kind);
	if (memory_outage_ttl(m, x->kind) > keep)
		keep = memory_outage_ttl(m, x->kind);
	if (keep <= 0)
		return;
	struct auth_user *user = a->user != NULL ? auth_user_new(a->user) : NULL;
	const struct cached c = { .err = a->err,
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
	return memory_note_wrong(m, buf_str(&x->key), x->proof, a->reason);
}

enum memory_from
memory_keep(struct flight *x, const struct auth_answer *a)
{
	struct memory *m = x->m;
	bool repeated = false;
	int64_t now = m->now_ms();
	int64_t keep = m->settings->auth.cache_negative_ttl;
	if (!memory_is_of(m, x->b) || m->settings->auth.cache_size == 0)
		return FROM_BACKENDS;
	cache_expire(m->unknown, now - (keep > WRONG_KEPT_MS ? keep : WRONG_KEPT_MS));
	if (a->err == ERR_OK) {
		put_known(x, a);
		(void)cache_drop(m->unknown, buf_str(&x->key));
		if (x->kind == MEMORY_LOGIN) {
			struct buf wrong;
			memory_wrong_key(buf_str(&x->key), x->proof, &wrong);
			(void)cache_drop(m->unknown, buf_str(&wrong));
			buf_fini(&wrong);
		}
		return FROM_BACKENDS;
	}
	if (a->err == ERR_TEMP)
		return FROM_BACKENDS;
	if (x->kind == MEMORY_LOGIN)
		repeated = remember_refusal(x, a);
	else if (a->known)
		put_known(x, a);
	else
		(void)cache_drop(m->known, buf_str(&x->key));
	if (may_keep_no(x, a) && keep > 0)
		put_unknown(m, buf_str(&x->key), a);
	return repeated ? FROM_REPEATED : FROM_BACKENDS;
}

bool
memory_outage_guess(struct flight *x)
{
	struct memory *m = x->m;
	struct cached c;
	if (x->kind != MEMORY_LOGIN || !cache_get(m->known, buf_str(&x->key), &c) ||
		!memory_fresh(m, &c, memory_outage_ttl(m, x->kind)) || proof_is(&c, x->proof))
		return false;
	/* The reason is none by which it would be refused when the backends are back. */
	return !memory_note_wrong(m, buf_str(&x->key), x->proof, REASON_DIRECTORY);
}

bool
memory_outage_allows(struct flight *x, const struct auth_answer *a, struct cached *c)
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
