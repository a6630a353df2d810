/* Counts of failed logins, and what follows from them; see penalty.h. front.c asks before each
 * login and tells how it ended.
 *
 * Four tables: by address, by user, by user and address, and users who logged in from an address.
 * Invariant: no table holds more than ENTRIES_MAX; only logins that succeeded add to the last one,
 * so strangers cannot push it out. */
#include "auth-ldap/front/penalty.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/base/xalloc.h"

enum {
	ENTRIES_MAX = 65536,
	SCORE_ONE = 1000,    /* scores are kept in thousandths of a failure */
	GOOD_WEIGHT = 5,     /* a user who logged in raises the address's limit by this … */
	GOOD_TIMES_MAX = 20, /* … up to so many times the limit */
	DOUBLINGS_MAX = 20,
	DAY_MS = 86400000,
	GOOD_DAYS = 30,
	SHOWN_MAX = 1000,
	KEY_MAX = 1100, /* an address and a name */
};

enum table_kind { BY_ADDRESS, BY_USER, BY_PAIR, GOOD_PAIRS, TABLES };

struct count {
	struct hmap_node node;
	struct list link; /* table.used */
	int64_t updated_ms, blocked_until_ms;
	int64_t score; /* thousandths, when it was updated */
	unsigned blocks;
	/* BY_ADDRESS: users who logged in, today and the day before; GOOD_PAIRS: day only */
	int64_t day;
	int64_t good_today, good_before;
	char key[];
};

struct table {
	struct hmap map;
	struct list used; /* the longest unused first */
};

struct penalty {
	struct penalty_limits limits;
	struct cidr *trusted;
	struct table tables[TABLES];
};

/* ---- tables ---- */

static struct count *
count_find(struct penalty *p, enum table_kind t, struct str key)
{
	struct hmap_node *n = hmap_get(&p->tables[t].map, key);
	return n != NULL ? CONTAINER_OF(n, struct count, node) : NULL;
}

static void
count_free(struct penalty *p, enum table_kind t, struct count *c)
{
	hmap_remove(&p->tables[t].map, &c->node);
	list_remove(&c->link);
	free(c);
}

/* Found or made, and now the last to go. */
static struct count *
count_get(struct penalty *p, enum table_kind t, struct str key, int64_t now_ms)
{
	struct table *table = &p->tables[t];
	struct count *c = count_find(p, t, key);
	if (c == NULL) {
		c = xcalloc(1, sizeof *c + key.n);
		memcpy(c->key, key.p, key.n);
		c->updated_ms = now_ms;
		c->blocked_until_ms = -1;
		c->day = -2 * GOOD_DAYS;
		hmap_put(&table->map, &c->node, str_n(c->key, key.n));
		if (table->map.n > ENTRIES_MAX)
			count_free(p, t, CONTAINER_OF(table->used.next, struct count, link));
	}
	list_remove(&c->link);
	list_push_back(&table->used, &c->link);
	return c;
}

struct penalty *
penalty_new(const struct penalty_limits *l)
{
	struct penalty *p = xcalloc(1, sizeof *p);
	for (size_t t = 0; t < TABLES; t++) {
		hmap_init(&p->tables[t].map);
		list_init(&p->tables[t].used);
	}
	penalty_set_limits(p, l);
	return p;
}

static size_t
table_clear(struct penalty *p, enum table_kind t)
{
	size_t n = p->tables[t].map.n;
	struct list *used = &p->tables[t].used;
	while (!list_empty(used))
		count_free(p, t, CONTAINER_OF(used->next, struct count, link));
	return n;
}

void
penalty_free(struct penalty *p)
{
	if (p == NULL)
		return;
	for (size_t t = 0; t < TABLES; t++) {
		(void)table_clear(p, (enum table_kind)t);
		hmap_fini(&p->tables[t].map);
	}
	free(p->trusted);
	free(p);
}

void
penalty_set_limits(struct penalty *p, const struct penalty_limits *l)
{
	free(p->trusted);
	p->trusted = xcalloc(l->trusted_count + 1, sizeof *p->trusted);
	if (l->trusted_count > 0)
		memcpy(p->trusted, l->trusted, l->trusted_count * sizeof *p->trusted);
	p->limits = *l;
	p->limits.trusted = p->trusted;
}

/* ---- keys ---- */

/* A question's keys; address and pair are empty where nothing is counted by address. */
struct keys {
	char text[KEY_MAX];
	struct str address, user, pair;
};

/* "4" and 4 bytes, or "6" and 8; 0: no address. */
static size_t
address_key(struct str address, char *out)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	char z[INET6_ADDRSTRLEN];
	unsigned char a[16];
	if (address.n == 0 || address.n >= sizeof z || str_has_nul(address))
		return 0;
	memcpy(z, address.p, address.n);
	z[address.n] = '\0';
	if (inet_pton(AF_INET, z, a) == 1) {
		out[0] = '4';
		memcpy(out + 1, a, 4);
		return 5;
	}
	if (inet_pton(AF_INET6, z, a) != 1)
		return 0;
	bool v4 = memcmp(a, mapped, sizeof mapped) == 0;
	out[0] = v4 ? '4' : '6';
	memcpy(out + 1, v4 ? a + 12 : a, v4 ? 4 : 8);
	return v4 ? 5 : 9;
}

static bool
is_trusted(const struct penalty *p, struct str address)
{
	for (size_t i = 0; i < p->limits.trusted_count; i++)
		if (cidr_contains(&p->trusted[i], address))
			return true;
	return false;
}

static void
keys_make(const struct penalty *p, struct str address, struct str name, struct keys *k)
{
	name = str_sub(name, 0, KEY_MAX - 16);
	size_t n = is_trusted(p, address) ? 0 : address_key(address, k->text);
	if (name.n > 0)
		memcpy(k->text + n, name.p, name.n);
	/* An address's key tells its own length. */
	k->address = str_n(k->text, n);
	k->user = str_n(k->text + n, name.n);
	k->pair = n > 0 && name.n > 0 ? str_n(k->text, n + name.n) : STR_EMPTY;
}

/* ---- scores ---- */

static int64_t
score_now(const struct penalty *p, const struct count *c, int64_t limit, int64_t now_ms)
{
	int64_t ms = now_ms - c->updated_ms;
	if (ms >= p->limits.window_ms || limit <= 0)
		return 0;
	int64_t left = c->score - ms * limit * SCORE_ONE / p->limits.window_ms;
	return left > 0 ? left : 0;
}

static int64_t
address_limit(const struct penalty *p, const struct count *c, int64_t now_ms)
{
	int64_t limit = p->limits.address;
	int64_t days = now_ms / DAY_MS - c->day;
	int64_t good = 0;
	if (days == 0)
		good = c->good_today > c->good_before ? c->good_today : c->good_before;
	else if (days > 0 && days <= GOOD_DAYS)
		good = c->good_today;
	int64_t most = limit * GOOD_TIMES_MAX;
	return limit + good * GOOD_WEIGHT < most ? limit + good * GOOD_WEIGHT : most;
}

static int64_t
doubled(int64_t ms, int64_t times, int64_t most)
{
	for (int64_t i = 0; i < times && i < DOUBLINGS_MAX && ms < most; i++)
		ms *= 2;
	return ms < most ? ms : most;
}

/* One more failure. Returns how long it is blocked from now on, 0: it is not. */
static int64_t
count_failure(struct penalty *p, struct count *c, int64_t limit, bool may_block, int64_t now_ms)
{
	c->score = score_now(p, c, limit, now_ms) + SCORE_ONE;
	c->updated_ms = now_ms;
	/* A little less than the limit: some of the first one has leaked away by now. */
	if (!may_block || limit <= 0 || c->score <= (limit - 1) * SCORE_ONE)
		return 0;
	if (c->blocks > 0 && now_ms - c->blocked_until_ms > p->limits.block_max_ms)
		c->blocks = 0;
	int64_t ms = doubled(p->limits.block_ms, c->blocks, p->limits.block_max_ms);
	c->blocks++;
	c->blocked_until_ms = now_ms + ms;
	c->score = 0;
	return ms;
}

static bool
is_blocked(struct penalty *p, enum table_kind t, struct str key, int64_t now_ms)
{
	const struct count *c = key.n > 0 ? count_find(p, t, key) : NULL;
	return c != NULL && now_ms < c->blocked_until_ms;
}

static bool
is_good(struct penalty *p, struct str pair, int64_t now_ms)
{
	const struct count *c = pair.n > 0 ? count_find(p, GOOD_PAIRS, pair) : NULL;
	return c != NULL && now_ms / DAY_MS - c->day <= GOOD_DAYS;
}

/* ---- what front.c calls ---- */

bool
penalty_blocked(struct penalty *p, struct str address, struct str name, int64_t now_ms)
{
	struct keys k;
	keys_make(p, address, name, &k);
	if (is_blocked(p, BY_PAIR, k.pair, now_ms))
		return true;
	return is_blocked(p, BY_ADDRESS, k.address, now_ms) && !is_good(p, k.pair, now_ms);
}

void
penalty_failed(struct penalty *p, struct str address, struct str name, int64_t now_ms,
	struct penalty_event *out)
{
	struct keys k;
	*out = (struct penalty_event){ 0 };
	keys_make(p, address, name, &k);
	if (k.user.n > 0)
		(void)count_failure(
			p, count_get(p, BY_USER, k.user, now_ms), p->limits.user, false, now_ms);
	if (k.address.n == 0)
		return;
	struct count *c = count_get(p, BY_ADDRESS, k.address, now_ms);
	int64_t limit = address_limit(p, c, now_ms);
	out->counted = true;
	out->failures = (score_now(p, c, limit, now_ms) + SCORE_ONE + SCORE_ONE / 2) / SCORE_ONE;
	out->address_block_ms = count_failure(p, c, limit, true, now_ms);
	if (k.pair.n > 0)
		out->user_block_ms = count_failure(
			p, count_get(p, BY_PAIR, k.pair, now_ms), p->limits.user, true, now_ms);
}

/* The score of c goes down by as much, not below nothing. */
static void
take_back(struct penalty *p, struct count *c, int64_t limit, int64_t score, int64_t now_ms)
{
	int64_t left = c != NULL ? score_now(p, c, limit, now_ms) : 0;
	if (c == NULL)
		return;
	c->score = left > score ? left - score : 0;
	c->updated_ms = now_ms;
}

static void
note_good(struct penalty *p, const struct keys *k, int64_t now_ms)
{
	int64_t today = now_ms / DAY_MS;
	struct count *good = count_get(p, GOOD_PAIRS, k->pair, now_ms);
	struct count *c = count_get(p, BY_ADDRESS, k->address, now_ms);
	bool first_today = good->day != today;
	good->day = today;
	if (c->day != today) {
		c->good_before = c->good_today;
		c->good_today = 0;
		c->day = today;
	}
	if (first_today)
		c->good_today++;
}

void
penalty_succeeded(struct penalty *p, struct str address, struct str name, int64_t now_ms)
{
	struct keys k;
	keys_make(p, address, name, &k);
	if (k.pair.n == 0)
		return;
	struct count *pair = count_find(p, BY_PAIR, k.pair);
	if (pair != NULL) {
		int64_t score = score_now(p, pair, p->limits.user, now_ms);
		struct count *c = count_find(p, BY_ADDRESS, k.address);
		if (c != NULL)
			take_back(p, c, address_limit(p, c, now_ms), score, now_ms);
		take_back(p, count_find(p, BY_USER, k.user), p->limits.user, score, now_ms);
		count_free(p, BY_PAIR, pair);
	}
	note_good(p, &k, now_ms);
}

int64_t
penalty_delay_ms(struct penalty *p, struct str address, struct str name, int64_t now_ms)
{
	struct keys k;
	int64_t n = 0;
	keys_make(p, address, name, &k);
	/* What is blocked is counted no more, and its score is gone: it must not show. */
	if (p->limits.delay_ms > 0 && penalty_blocked(p, address, name, now_ms))
		return p->limits.delay_max_ms;
	const struct count *pair = k.pair.n > 0 ? count_find(p, BY_PAIR, k.pair) : NULL;
	const struct count *user = k.user.n > 0 ? count_find(p, BY_USER, k.user) : NULL;
	const struct count *addr = k.address.n > 0 ? count_find(p, BY_ADDRESS, k.address) : NULL;
	if (pair != NULL)
		n = (score_now(p, pair, p->limits.user, now_ms) + SCORE_ONE / 2) / SCORE_ONE - 1;
	/* What strangers did to the user is not held against where he always comes from. */
	if (user != NULL && !is_good(p, k.pair, now_ms)) {
		int64_t all =
			(score_now(p, user, p->limits.user, now_ms) + SCORE_ONE / 2) / SCORE_ONE;
		n = all / 2 > n ? all / 2 : n;
	}
	if (addr != NULL && p->limits.address > 0) {
		int64_t limit = address_limit(p, addr, now_ms);
		int64_t part = score_now(p, addr, limit, now_ms) * 4 / (limit * SCORE_ONE);
		n = part > n ? part : n;
	}
	return doubled(p->limits.delay_ms, n, p->limits.delay_max_ms);
}

/* ---- for administrators ---- */

static bool
forget_one(struct penalty *p, enum table_kind t, struct str key)
{
	struct count *c = key.n > 0 ? count_find(p, t, key) : NULL;
	if (c != NULL)
		count_free(p, t, c);
	return c != NULL;
}

size_t
penalty_forget(struct penalty *p, struct str key)
{
	char address[16];
	size_t count = 0;
	if (key.n == 0) {
		for (size_t t = 0; t < GOOD_PAIRS; t++)
			count += table_clear(p, (enum table_kind)t);
		return count;
	}
	struct str host = str_sub(key, 0, str_chr(key, '/')); /* "2001:db8::/64" */
	struct str a = str_n(address, address_key(host, address));
	count += forget_one(p, BY_ADDRESS, a);
	count += forget_one(p, BY_USER, key);
	LIST_FOREACH (link, &p->tables[BY_PAIR].used) {
		struct count *c = CONTAINER_OF(link, struct count, link);
		struct str pair = c->node.key;
		size_t n = pair.p[0] == '4' ? 5 : 9;
		if (!str_ieq(str_from(pair, n), key) && !str_eq(str_sub(pair, 0, n), a))
			continue;
		count_free(p, BY_PAIR, c);
		count++;
	}
	return count;
}

static void
show_block(const struct count *c, enum table_kind t, int64_t now_ms, struct buf *out)
{
	char z[INET6_ADDRSTRLEN] = "";
	unsigned char a[16] = { 0 };
	bool v4 = c->node.key.p[0] == '4';
	size_t n = v4 ? 5 : 9;
	memcpy(a, c->node.key.p + 1, n - 1);
	(void)inet_ntop(v4 ? AF_INET : AF_INET6, a, z, sizeof z);
	buf_addf(out, "blocked address=%s%s", z, v4 ? "" : "/64");
	if (t == BY_PAIR) {
		struct str user = str_from(c->node.key, n);
		buf_addz(out, " user=");
		for (size_t i = 0; i < user.n; i++)
			buf_addc(out, user.p[i] > ' ' && user.p[i] != 0x7f ? user.p[i] : '?');
	}
	buf_addf(out, " seconds=%lld\n", (long long)((c->blocked_until_ms - now_ms + 999) / 1000));
}

void
penalty_status(const struct penalty *p, int64_t now_ms, struct buf *out)
{
	size_t shown = 0;
	buf_addf(out, "penalties addresses=%zu users=%zu pairs=%zu known=%zu\n",
		p->tables[BY_ADDRESS].map.n, p->tables[BY_USER].map.n, p->tables[BY_PAIR].map.n,
		p->tables[GOOD_PAIRS].map.n);
	static const enum table_kind kinds[] = { BY_ADDRESS, BY_PAIR };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct hmap *m = &p->tables[kinds[i]].map;
		for (struct hmap_node *n = hmap_next(m, NULL); n != NULL; n = hmap_next(m, n)) {
			const struct count *c = CONTAINER_OF(n, struct count, node);
			if (now_ms >= c->blocked_until_ms || ++shown > SHOWN_MAX)
				continue;
			show_block(c, kinds[i], now_ms, out);
		}
	}
}
