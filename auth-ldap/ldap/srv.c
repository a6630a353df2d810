/* Servers found by DNS; see srv.h. The pool has one of these instead of its list of URIs.
 *
 * Invariant: a round asks for the SRV records, then for the addresses of their targets, and only a
 * whole round with at least one server replaces what is known. */
#include "auth-ldap/ldap/srv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"

enum {
	TARGETS_MAX = 16, /* of the site and of the domain together */
	FOUND_MAX = 32,
	QUERY_MS = 5000,
	TTL_MIN_SEC = 5,
	TTL_MAX_SEC = 3600,
	RETRY_MIN_MS = 1000,
	RETRY_MAX_MS = 60000,
	WITHOUT_SITE = 65536, /* priorities of the domain's servers are behind the site's */
};

struct ldap_srv;

struct target {
	struct ldap_srv *srv;
	struct dns_record record;
	unsigned priority;
	struct dns_query *queries[2]; /* A, AAAA */
};

struct ldap_srv {
	struct loop *loop;
	const struct ldap_pool_options *o;
	ldap_srv_fn fn;
	void *arg;
	struct dns *dns;
	struct loop_timer timer;
	int64_t retry_ms;
	bool known; /* fn was called */
	char error[200];
	/* the round that runs */
	struct dns_query *site, *domain;
	unsigned waiting;
	bool failed; /* somebody did not answer */
	uint32_t ttl_sec;
	struct target targets[TARGETS_MAX];
	size_t targets_count;
	struct ldap_found found[FOUND_MAX];
	const struct target *found_by[FOUND_MAX];
	size_t found_count;
	/* the last good one */
	struct ldap_found last[FOUND_MAX];
	size_t last_count;
};

/* ---- order ---- */

void
ldap_srv_order(
	struct dns_record *v, size_t n, uint32_t (*random)(void *arg, uint32_t below), void *arg)
{
	/* by priority, those without weight first among equals, as RFC 2782 wants them */
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k > 0; k--) {
			uint32_t a = (uint32_t)v[k - 1].priority << 1 | (v[k - 1].weight > 0);
			uint32_t b = (uint32_t)v[k].priority << 1 | (v[k].weight > 0);
			if (a <= b)
				break;
			struct dns_record r = v[k];
			v[k] = v[k - 1];
			v[k - 1] = r;
		}
	for (size_t i = 0; i < n; i++) {
		uint32_t sum = 0, upto = 0;
		size_t end = i, chosen = i;
		for (; end < n && v[end].priority == v[i].priority; end++)
			sum += v[end].weight;
		uint32_t pick = random(arg, sum + 1);
		for (chosen = i; chosen + 1 < end; chosen++) {
			upto += v[chosen].weight;
			if (upto >= pick)
				break;
		}
		struct dns_record r = v[chosen];
		memmove(&v[i + 1], &v[i], (chosen - i) * sizeof *v);
		v[i] = r;
	}
}

bool
ldap_srv_allowed(const char *name, const struct str *domains, size_t n)
{
	struct str s = str_of(name);
	for (size_t i = 0; i < n; i++) {
		struct str d = domains[i];
		if (d.n > 0 && d.p[d.n - 1] == '.')
			d.n--;
		if (d.n == 0 || d.n > s.n || !str_ieq(str_from(s, s.n - d.n), d))
			continue;
		if (d.n == s.n || s.p[s.n - d.n - 1] == '.')
			return true;
	}
	return false;
}

static uint32_t
chance(void *arg UNUSED, uint32_t below)
{
	return (uint32_t)(rand_u64() % below);
}

/* ---- a round ---- */

static void
fail(struct ldap_srv *s, const char *name, const char *why)
{
	bool news = s->error[0] == '\0';
	s->failed = true;
	(void)snprintf(s->error, sizeof s->error, "DNS: %s: %s", name, why);
	if (news)
		log_event(LVL_WARN, "auth.discovery", log_s("directory", s->o->name),
			log_z("name", name), log_z("reason", why),
			log_z("servers", s->known ? "those known before stay" : "none known"));
}

static void
round_end(struct ldap_srv *s)
{
	if (s->found_count == 0 && !s->failed)
		fail(s, "_ldap._tcp", "no server that may be used");
	if (!s->failed)
		s->error[0] = '\0';
	if (s->found_count > 0 && (!s->failed || !s->known)) {
		s->known = true;
		memcpy(s->last, s->found, sizeof s->found);
		s->last_count = s->found_count;
		s->fn(s->arg, s->last, s->last_count);
	}
	if (s->failed) {
		s->retry_ms = s->retry_ms == 0 ? RETRY_MIN_MS : s->retry_ms * 2;
		if (s->retry_ms > RETRY_MAX_MS)
			s->retry_ms = RETRY_MAX_MS;
		loop_timer_start(&s->timer, s->retry_ms);
		return;
	}
	s->retry_ms = 0;
	uint32_t ttl = s->ttl_sec < TTL_MIN_SEC ? TTL_MIN_SEC : s->ttl_sec;
	loop_timer_start(&s->timer, (int64_t)(ttl > TTL_MAX_SEC ? TTL_MAX_SEC : ttl) * 1000);
}

static void
add_found(struct ldap_srv *s, const struct target *t, const char *address)
{
	bool tls = s->o->srv_ldaps_port > 0;
	bool v6 = strchr(address, ':') != NULL;
	unsigned port = tls ? s->o->srv_ldaps_port : t->record.port;
	if (s->found_count >= FOUND_MAX)
		return;
	s->found_by[s->found_count] = t;
	struct ldap_found *f = &s->found[s->found_count++];
	*f = (struct ldap_found){ .priority = t->priority, .target.tls = tls };
	(void)snprintf(f->target.uri, sizeof f->target.uri, "%s://%s:%u", tls ? "ldaps" : "ldap",
		t->record.name, port);
	(void)snprintf(f->target.address, sizeof f->target.address, v6 ? "[%s]:%u" : "%s:%u",
		address, port);
	(void)snprintf(f->target.host, sizeof f->target.host, "%s", t->record.name);
}

/* Addresses come in any order; the servers keep that of their targets. */
static void
collect(struct ldap_srv *s)
{
	struct ldap_found unsorted[FOUND_MAX];
	size_t n = s->found_count, at = 0;
	memcpy(unsorted, s->found, sizeof unsorted);
	for (size_t t = 0; t < s->targets_count; t++)
		for (size_t i = 0; i < n; i++)
			if (s->found_by[i] == &s->targets[t])
				s->found[at++] = unsorted[i];
}

static void
address_done(struct target *t, const struct dns_answer *a)
{
	struct ldap_srv *s = t->srv;
	for (size_t i = 0; a->err == ERR_OK && i < a->count; i++)
		add_found(s, t, a->records[i].name);
	if (a->err == ERR_OK && a->ttl_sec < s->ttl_sec)
		s->ttl_sec = a->ttl_sec;
	if (a->err == ERR_TEMP)
		fail(s, t->record.name, a->text);
	if (--s->waiting > 0)
		return;
	collect(s);
	round_end(s);
}

static void
on_v4(void *arg, const struct dns_answer *a)
{
	struct target *t = arg;
	t->queries[0] = NULL;
	address_done(t, a);
}

static void
on_v6(void *arg, const struct dns_answer *a)
{
	struct target *t = arg;
	t->queries[1] = NULL;
	address_done(t, a);
}

static bool
has_target(const struct ldap_srv *s, const struct dns_record *r)
{
	bool any_port = s->o->srv_ldaps_port > 0; /* which is everybody's */
	for (size_t i = 0; i < s->targets_count; i++)
		if (strcmp(s->targets[i].record.name, r->name) == 0 &&
			(any_port || s->targets[i].record.port == r->port))
			return true;
	return false;
}

static bool
may_use(const struct ldap_srv *s, const struct dns_record *r)
{
	const struct ldap_pool_options *o = s->o;
	if (r->name[0] == '\0' || r->port == 0)
		return false;
	bool own = o->srv_targets_count == 0;
	if (ldap_srv_allowed(
		    r->name, own ? &o->srv_domain : o->srv_targets, own ? 1 : o->srv_targets_count))
		return true;
	log_event(LVL_WARN, "auth.discovery", log_s("directory", o->name), log_z("name", r->name),
		log_z("res", "deny"),
		log_z("reason", "DNS names a server outside srv_targets or srv_domain"));
	return false;
}

static void
records_done(struct ldap_srv *s, const char *name, const struct dns_answer *a, unsigned base)
{
	struct dns_record sorted[TARGETS_MAX * 4];
	size_t n = a->count < ARRAY_LEN(sorted) ? a->count : ARRAY_LEN(sorted);
	if (a->err != ERR_OK) {
		if (a->err == ERR_TEMP)
			fail(s, name, a->text);
		return;
	}
	memcpy(sorted, a->records, n * sizeof *sorted);
	ldap_srv_order(sorted, n, chance, NULL);
	if (a->ttl_sec < s->ttl_sec)
		s->ttl_sec = a->ttl_sec;
	for (size_t i = 0; i < n && s->targets_count < TARGETS_MAX; i++)
		if (!has_target(s, &sorted[i]) && may_use(s, &sorted[i]))
			s->targets[s->targets_count++] = (struct target){
				.srv = s, .record = sorted[i], .priority = base + sorted[i].priority
			};
}

static void
ask_addresses(struct ldap_srv *s)
{
	s->waiting = (unsigned)s->targets_count * 2;
	for (size_t i = 0; i < s->targets_count; i++) {
		struct target *t = &s->targets[i];
		struct str name = str_of(t->record.name);
		t->queries[0] = dns_ask(s->dns, name, DNS_A, QUERY_MS, on_v4, t);
		t->queries[1] = dns_ask(s->dns, name, DNS_AAAA, QUERY_MS, on_v6, t);
	}
	if (s->waiting == 0)
		round_end(s);
}

static void
on_domain(void *arg, const struct dns_answer *a)
{
	struct ldap_srv *s = arg;
	s->domain = NULL;
	records_done(s, "_ldap._tcp", a, s->o->srv_site.n > 0 ? WITHOUT_SITE : 0);
	ask_addresses(s);
}

static void
ask_domain(struct ldap_srv *s)
{
	char name[300];
	(void)snprintf(name, sizeof name, "_ldap._tcp.%.*s", STR_FMT(s->o->srv_domain));
	s->domain = dns_ask(s->dns, str_of(name), DNS_SRV, QUERY_MS, on_domain, s);
}

/* The site's servers stand in front of the domain's, so one question follows the other. */
static void
on_site(void *arg, const struct dns_answer *a)
{
	struct ldap_srv *s = arg;
	s->site = NULL;
	records_done(s, "_sites", a, 0);
	ask_domain(s);
}

static void
round_start(struct loop_timer *t)
{
	struct ldap_srv *s = t->arg;
	char name[400];
	s->failed = false;
	s->ttl_sec = TTL_MAX_SEC;
	s->targets_count = 0;
	s->found_count = 0;
	if (s->o->srv_site.n == 0) {
		ask_domain(s);
		return;
	}
	(void)snprintf(name, sizeof name, "_ldap._tcp.%.*s._sites.%.*s", STR_FMT(s->o->srv_site),
		STR_FMT(s->o->srv_domain));
	s->site = dns_ask(s->dns, str_of(name), DNS_SRV, QUERY_MS, on_site, s);
}

enum err
ldap_srv_new(struct loop *l, const struct ldap_pool_options *o, ldap_srv_fn fn, void *arg,
	struct ldap_srv **out, const char **err_out)
{
	const struct dns_options d = { .servers = o->dns_servers,
		.servers_count = o->dns_servers_count,
		.trust_anchor = o->dns_trust_anchor };
	struct dns *dns = NULL;
	enum err e = dns_open(l, &d, &dns, err_out);
	if (e != ERR_OK)
		return e;
	struct ldap_srv *s = xcalloc(1, sizeof *s);
	s->loop = l;
	s->o = o;
	s->fn = fn;
	s->arg = arg;
	s->dns = dns;
	loop_timer_init(&s->timer, l, round_start, s);
	loop_timer_start(&s->timer, 0);
	*out = s;
	return ERR_OK;
}

void
ldap_srv_free(struct ldap_srv *s)
{
	if (s == NULL)
		return;
	loop_timer_stop(&s->timer);
	dns_cancel(s->site);
	dns_cancel(s->domain);
	for (size_t i = 0; i < s->targets_count; i++) {
		dns_cancel(s->targets[i].queries[0]);
		dns_cancel(s->targets[i].queries[1]);
	}
	dns_close(s->dns);
	free(s);
}

const char *
ldap_srv_error(const struct ldap_srv *s)
{
	return s->error;
}
