/* MX, addresses and TLSA records; see finder.h. job.c owns one for each job. Invariants: a failure
 * of the DNS is never taken for "there is none"; TLSA records count only where DNSSEC vouches for
 * them and for everything that led there. */
#include "delivery/remote/finder.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/rand.h"
#include "core/base/xalloc.h"

enum { TLSA_BYTES_MAX = 64 * 1024 };

struct finder {
	struct finder_options o;
	struct dns_query *mx, *a, *aaaa, *tlsa;
	struct finder_hosts hosts;
	struct finder_peer peer;
	struct finder_address found[2][FINDER_ADDRESSES_MAX]; /* IPv4, IPv6 */
	size_t found_count[2];
	enum err found_err[2];
	bool insecure; /* an answer about addresses came without DNSSEC */
	bool dane;
	bool second; /* TLSA was asked at the CNAME's end, now at its beginning */
	char host[RELAY_NAME_MAX + 1];
	char canonical[RELAY_NAME_MAX + 1];
	uint16_t port;
	void (*fn)(void *arg);
	void *arg;
};

struct finder *
finder_new(const struct finder_options *o)
{
	struct finder *f = xcalloc(1, sizeof *f);

	f->o = *o;
	buf_init(&f->peer.tlsa_data, TLSA_BYTES_MAX);
	return f;
}

void
finder_free(struct finder *f)
{
	if (f == NULL)
		return;
	dns_cancel(f->mx);
	dns_cancel(f->a);
	dns_cancel(f->aaaa);
	dns_cancel(f->tlsa);
	buf_fini(&f->peer.tlsa_data);
	free(f);
}

const struct finder_hosts *
finder_hosts_result(const struct finder *f)
{
	return &f->hosts;
}

const struct finder_peer *
finder_peer_result(const struct finder *f)
{
	return &f->peer;
}

/* ---- hosts ---- */

static void
hosts_fail(struct finder *f, enum err e, unsigned code, const char *status, const char *text)
{
	f->hosts.err = e;
	answer_set(&f->hosts.answer, code, status, text);
}

static void
take_mx(struct finder *f, const struct dns_answer *a)
{
	struct finder_hosts *h = &f->hosts;
	bool loop;

	for (size_t i = 0; i < a->count && h->n < ROUTE_HOSTS_MAX; i++) {
		struct route_host *v = &h->v[h->n];
		if (a->records[i].name[0] == '\0')
			continue;
		(void)snprintf(v->name, sizeof v->name, "%s", a->records[i].name);
		v->preference = a->records[i].priority;
		v->shuffle = rand_u64();
		h->n++;
	}
	if (h->n == 0) { /* RFC 7505 */
		hosts_fail(f, ERR_DENIED, 556, "5.1.10", "the domain says that it takes no mail");
		return;
	}
	h->n = route_order(h->v, h->n, f->o.self, &loop);
	if (h->n == 0)
		hosts_fail(f, ERR_DENIED, 554, "5.4.6", "the domain's mail is to come to us");
}

static void
on_mx(void *arg, const struct dns_answer *a)
{
	struct finder *f = arg;
	struct finder_hosts *h = &f->hosts;
	char text[300];

	f->mx = NULL;
	h->err = ERR_OK;
	h->secure = a->secure;
	if (a->err == ERR_OK) {
		take_mx(f, a);
	} else if (a->err != ERR_NOTFOUND) {
		(void)snprintf(text, sizeof text, "DNS: %s", a->text);
		hosts_fail(f, ERR_TEMP, 451, "4.4.3", text);
	} else if (a->no_such_name) {
		hosts_fail(f, ERR_DENIED, 550, "5.1.2", "no such domain");
	} else if (a->bad != 0) {
		hosts_fail(f, ERR_DENIED, 550, "5.4.4", "the domain's MX records name no host");
	} else { /* the domain itself, RFC 5321 5.1 */
		h->implicit = true;
		h->n = 1;
		(void)snprintf(h->v[0].name, sizeof h->v[0].name, "%s", f->host);
	}
	f->fn(f->arg);
}

void
finder_hosts(struct finder *f, struct str domain, void (*fn)(void *arg), void *arg)
{
	memset(&f->hosts, 0, sizeof f->hosts);
	f->fn = fn;
	f->arg = arg;
	(void)snprintf(f->host, sizeof f->host, "%.*s", STR_FMT(domain));
	f->mx = dns_ask(f->o.dns, domain, DNS_MX, f->o.timeout_ms, on_mx, f);
}

/* ---- addresses ---- */

static void
peer_fail(struct finder *f, enum err e, const char *status, const char *text)
{
	f->peer.err = e;
	answer_set(&f->peer.answer, e == ERR_TEMP ? 451 : 550, status, text);
}

static void
take_tlsa(struct finder *f, const struct dns_answer *a)
{
	struct finder_peer *p = &f->peer;
	size_t at[FINDER_TLSA_MAX];

	for (size_t i = 0; i < a->count && p->tlsa_count < FINDER_TLSA_MAX; i++) {
		const struct dns_record *r = &a->records[i];
		if (r->data.n > buf_room(&p->tlsa_data))
			continue;
		at[p->tlsa_count] = p->tlsa_data.n;
		buf_add(&p->tlsa_data, r->data);
		p->tlsa[p->tlsa_count++] = (struct tls_tlsa){ .usage = r->usage,
			.selector = r->selector,
			.matching = r->matching,
			.data.n = r->data.n };
	}
	/* only now does nothing move any more */
	for (size_t i = 0; i < p->tlsa_count; i++)
		p->tlsa[i].data = str_sub(buf_str(&p->tlsa_data), at[i], p->tlsa[i].data.n);
}

static void
ask_tlsa(struct finder *f, const char *base);

static void
on_tlsa(void *arg, const struct dns_answer *a)
{
	struct finder *f = arg;
	char text[300];

	f->tlsa = NULL;
	if (a->err == ERR_OK && a->secure) {
		take_tlsa(f, a);
	} else if (a->err == ERR_NOTFOUND && a->secure && a->bad > 0) {
		/* what cannot be read is a record that cannot be used, and obliges. RFC 7672 2.2 */
		f->peer.tlsa[0] = (struct tls_tlsa){ .usage = 255 };
		f->peer.tlsa_count = 1;
	} else if (a->err == ERR_TEMP) {
		/* somebody may hide the records: never go on without them. RFC 7672 2.1 */
		(void)snprintf(text, sizeof text, "DNS: TLSA records: %s", a->text);
		peer_fail(f, ERR_TEMP, "4.7.5", text);
	} else if (!f->second && strcmp(f->canonical, f->host) != 0) {
		f->second = true;
		ask_tlsa(f, f->host);
		return;
	}
	f->fn(f->arg);
}

static void
ask_tlsa(struct finder *f, const char *base)
{
	char name[RELAY_NAME_MAX + 32];

	(void)snprintf(f->peer.base, sizeof f->peer.base, "%s", base);
	(void)snprintf(name, sizeof name, "_%u._tcp.%s", (unsigned)f->port, base);
	f->tlsa = dns_ask(f->o.dns, str_of(name), DNS_TLSA, f->o.timeout_ms, on_tlsa, f);
}

static void
add_found(struct finder *f, size_t kind)
{
	for (size_t i = 0; i < f->found_count[kind] && f->peer.n < FINDER_ADDRESSES_MAX; i++)
		f->peer.v[f->peer.n++] = f->found[kind][i];
}

/* Both kinds are answered. */
static void
addresses_done(struct finder *f)
{
	if (f->a != NULL || f->aaaa != NULL)
		return;
	add_found(f, f->o.ipv6_first ? 1 : 0);
	add_found(f, f->o.ipv6_first ? 0 : 1);
	if (f->peer.n == 0 && (f->found_err[0] == ERR_TEMP || f->found_err[1] == ERR_TEMP))
		peer_fail(f, ERR_TEMP, "4.4.3", "DNS: the server's address cannot be found out");
	else if (f->peer.n == 0)
		peer_fail(f, ERR_NOTFOUND, "5.4.4", "the server's name has no address");
	else if (f->dane && !f->insecure) {
		ask_tlsa(f, f->canonical);
		return;
	}
	f->fn(f->arg);
}

static void
take_addresses(struct finder *f, size_t kind, const struct dns_answer *a)
{
	size_t first = a->count > 1 ? (size_t)(rand_u64() % a->count) : 0;

	f->found_err[kind] = a->err;
	if (a->err != ERR_OK)
		return;
	f->insecure |= !a->secure;
	if (a->name[0] != '\0')
		(void)snprintf(f->canonical, sizeof f->canonical, "%s", a->name);
	if (str_ends(str_of(f->canonical), STR(".")))
		f->canonical[strlen(f->canonical) - 1] = '\0';
	for (size_t i = 0; i < a->count && f->found_count[kind] < FINDER_ADDRESSES_MAX; i++) {
		struct finder_address *v = &f->found[kind][f->found_count[kind]++];
		(void)snprintf(
			v->text, sizeof v->text, "%.47s", a->records[(first + i) % a->count].name);
		v->ipv6 = kind == 1;
	}
}

static void
on_a(void *arg, const struct dns_answer *a)
{
	struct finder *f = arg;

	f->a = NULL;
	take_addresses(f, 0, a);
	addresses_done(f);
}

static void
on_aaaa(void *arg, const struct dns_answer *a)
{
	struct finder *f = arg;

	f->aaaa = NULL;
	take_addresses(f, 1, a);
	addresses_done(f);
}

void
finder_addresses(struct finder *f, struct str host, bool dane, uint16_t port, void (*fn)(void *arg),
	void *arg)
{
	struct buf keep = f->peer.tlsa_data;

	memset(&f->peer, 0, sizeof f->peer);
	f->peer.tlsa_data = keep;
	buf_reset(&f->peer.tlsa_data);
	f->found_count[0] = f->found_count[1] = 0;
	f->found_err[0] = f->found_err[1] = ERR_NOTFOUND;
	f->insecure = f->second = false;
	f->dane = dane;
	f->port = port;
	f->fn = fn;
	f->arg = arg;
	(void)snprintf(f->host, sizeof f->host, "%.*s", STR_FMT(host));
	(void)snprintf(f->canonical, sizeof f->canonical, "%s", f->host);
	if (f->o.ipv4)
		f->a = dns_ask(f->o.dns, host, DNS_A, f->o.timeout_ms, on_a, f);
	if (f->o.ipv6)
		f->aaaa = dns_ask(f->o.dns, host, DNS_AAAA, f->o.timeout_ms, on_aaaa, f);
}
