/* Routes of recipients; see route.h. Called by the attempts. Invariants: what the directory could
 * not say is ROUTE_LATER, never a guess; a route that is made out of an address or of the
 * directory's answer is a name or an address and a port, never an address of a refused network. */
#include "delivery/queue/route.h"

#include <stdlib.h>

#include "core/authclient/socketmap.h"
#include "core/base/buf.h"
#include "core/base/cidr.h"
#include "core/base/xalloc.h"
#include "delivery/relay/relay.h"

enum { DOMAIN_MAX = 255, REPLY_MAX = 65536 };

struct router {
	struct socketmap *map;
	const struct settings *s;
	char *hostname;
	struct list requests;
	struct domains *domains; /* borrowed */
	struct buf text;	 /* of the answer that was given last */
};

struct route_request {
	struct list link;
	struct router *r;
	struct socketmap_request *lookup;
	struct buf address, sender;
	route_fn fn;
	void *arg;
};

static const struct route_answer answer_local = { .kind = ROUTE_LOCAL };
static const struct route_answer answer_loop = { .kind = ROUTE_NEVER,
	.code = 554,
	.status = "5.4.6",
	.text = "The route of this address leads back to this server" };
static const struct route_answer answer_bad = { .kind = ROUTE_NEVER,
	.code = 550,
	.status = "5.1.2",
	.text = "This is no domain that mail can be sent to" };
static const struct route_answer answer_refused = { .kind = ROUTE_NEVER,
	.code = 550,
	.status = "5.4.4",
	.text = "No mail server may have that address" };
static const struct route_answer answer_later = { .kind = ROUTE_LATER,
	.code = 451,
	.status = "4.4.3",
	.text = "The directory cannot say where this address leads" };
static const struct route_answer answer_off = { .kind = ROUTE_LATER,
	.code = 451,
	.status = "4.3.5",
	.text = "Mail to other servers is switched off here (outbound.enabled)" };
static const struct route_answer answer_transport = { .kind = ROUTE_LATER,
	.code = 451,
	.status = "4.3.5",
	.text = "The directory names a transport that is not understood" };

static struct route_answer
relay_to(struct str route, struct str section)
{
	return (struct route_answer){ .kind = ROUTE_RELAY, .route = route, .section = section };
}

static struct str
domain_of(struct str address)
{
	return str_from(address, str_rchr(address, '@') + 1);
}

/* ---- settings ---- */

static bool
domain_valid(struct str d)
{
	if (d.n == 0 || d.n > DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < d.n; i++) {
		int c = (unsigned char)d.p[i];
		if (!ascii_is_alnum(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	return true;
}

/* user@[192.0.2.1]: somebody's mail must not reach servers that trust this machine. */
static struct route_answer
literal_route(const struct router *r, struct str domain)
{
	const struct str_list *l = &r->s->outbound.refused_networks;
	struct str inner = str_sub(domain, 1, domain.n - 2);
	struct cidr net;

	if (str_istarts(inner, STR("IPv6:")))
		inner = str_from(inner, 5);
	/* A name in brackets would be looked up later, and lead wherever its DNS says. */
	if (str_chr(inner, '/') < inner.n || cidr_parse(inner, &net) != ERR_OK)
		return answer_bad;
	for (size_t i = 0; i < l->n; i++) {
		if (cidr_parse(l->v[i], &net) == ERR_OK && cidr_contains(&net, inner))
			return answer_refused;
	}
	return relay_to(domain, STR_EMPTY);
}

/* "smtp:[host]:25", "[host]", "host": does it name us, at the port of mail? */
static bool
names_us(const struct router *r, struct str route)
{
	struct str host = route, port = STR_EMPTY;

	if (host.n != 0 && host.p[0] == '[') {
		size_t close = str_chr(host, ']');
		port = str_from(host, close + 1);
		host = str_sub(host, 1, close - 1);
	} else if (str_chr(host, ':') < host.n) {
		port = str_from(host, str_chr(host, ':'));
		host = str_sub(host, 0, str_chr(host, ':'));
	}
	if (str_ends(host, STR(".")))
		host.n--;
	return str_ieq(host, str_of(r->hostname)) && (port.n == 0 || str_eq(port, STR(":25")));
}

static struct route_answer
section_route(const struct router *r, const struct settings_relay *x, struct str domain)
{
	if (x->host.n == 0 && domain.n != 0 && domain.p[0] == '[') {
		struct route_answer a = literal_route(r, domain);
		a.section = x->title;
		return a;
	}
	if (x->host.n == 0)
		return domain_valid(domain) ? relay_to(domain, x->title) : answer_bad;
	return names_us(r, x->host) ? answer_loop : relay_to(STR_EMPTY, x->title);
}

/* Of a domain that is not ours. */
static struct route_answer
foreign_route(const struct router *r, struct str address, struct str sender)
{
	struct str domain = domain_of(address);
	const struct settings_relay *x = settings_relay_for(r->s, domain, domain_of(sender));

	if (x != NULL)
		return section_route(r, x, domain);
	if (domain.n > 2 && domain.p[0] == '[' && domain.p[domain.n - 1] == ']')
		return literal_route(r, domain);
	if (!domain_valid(domain))
		return answer_bad;
	return names_us(r, domain) ? answer_loop : relay_to(domain, STR_EMPTY);
}

static bool
is_route(struct str v)
{
	for (size_t i = 0; i < v.n; i++) {
		int c = (unsigned char)v.p[i];
		if (!ascii_is_alnum(c) && str_chr(STR("-_.:[]"), (char)c) == 6)
			return false;
	}
	return v.n != 0 && v.n <= RELAY_ROUTE_MAX;
}

/* Delivery here, in Postfix's words. Another server's LMTP is not: the mail would lie in a mailbox
 * where nobody looks. */
static bool
is_here(struct str kind, struct str hop)
{
	return str_eq(kind, STR("local")) || str_eq(kind, STR("virtual")) ||
	       (str_eq(kind, STR("lmtp")) && (hop.n == 0 || str_starts(hop, STR("unix:"))));
}

/* The map's "smtp:[host]:port", "smtp:host", "relay:host", "local:", "error:text". */
static struct route_answer
transport_route(struct router *r, struct str value, struct str address)
{
	struct str kind, hop;

	if (value.n != 0 && value.p[0] == '[') {
		kind = STR("smtp");
		hop = value;
	} else if (!str_cut(value, ':', &kind, &hop)) {
		return answer_transport;
	}
	if (is_here(kind, hop) || str_eq(value, STR(":")))
		return answer_local;
	if (str_eq(kind, STR("error"))) {
		buf_reset(&r->text);
		buf_addf(&r->text, "The directory refuses mail for this address: %.*s",
			STR_FMT(hop));
		return (struct route_answer){
			.kind = ROUTE_NEVER, .code = 550, .status = "5.7.1", .text = buf_z(&r->text)
		};
	}
	if (!str_eq(kind, STR("smtp")) && !str_eq(kind, STR("relay")) &&
		!str_eq(kind, STR("esmtp")))
		return answer_transport;
	if (hop.n == 0)
		hop = domain_of(address);
	if (!is_route(hop))
		return answer_transport;
	if (names_us(r, hop))
		return answer_loop;
	buf_reset(&r->text);
	buf_add(&r->text, hop);
	return relay_to(buf_str(&r->text), STR_EMPTY);
}

/* ---- the directory ---- */

static void
request_free(struct route_request *q)
{
	if (q->lookup != NULL)
		socketmap_cancel(q->lookup);
	list_remove(&q->link);
	buf_fini(&q->address);
	buf_fini(&q->sender);
	free(q);
}

/* The answer may borrow from the request. */
static void
finish(struct route_request *q, const struct route_answer *a)
{
	q->fn(q->arg, a);
	request_free(q);
}

static void
on_transport(void *arg, enum err e, struct str value)
{
	struct route_request *q = arg;
	struct route_answer a = answer_later;

	q->lookup = NULL;
	if (e == ERR_OK)
		a = transport_route(q->r, value, buf_str(&q->address));
	else if (e == ERR_NOTFOUND)
		a = answer_local;
	finish(q, &a);
}

/* True: the answer comes later. */
static bool
ask_transport(struct route_request *q)
{
	if (q->r->s->outbound.transports)
		q->lookup = socketmap_lookup(
			q->r->map, STR("transport"), buf_str(&q->address), on_transport, q);
	return q->lookup != NULL;
}

static void
on_domain(void *arg, enum err e, struct str value)
{
	struct route_request *q = arg;
	struct str address = buf_str(&q->address);
	struct route_answer a = answer_later;

	(void)value;
	q->lookup = NULL;
	switch (domains_learn(q->r->domains, domain_of(address), e)) {
	case DOMAIN_OURS:
		if (router_enabled(q->r) && ask_transport(q))
			return;
		a = answer_local;
		break;
	case DOMAIN_OTHERS:
		a = router_enabled(q->r) ? foreign_route(q->r, address, buf_str(&q->sender))
					 : answer_off;
		break;
	case DOMAIN_UNKNOWN:
		if (!router_enabled(q->r))
			a = answer_local; /* lmtp asks for itself */
		break;
	}
	finish(q, &a);
}

static struct route_request *
request_new(struct router *r, struct str address, struct str sender, route_fn fn, void *arg)
{
	struct route_request *q = xcalloc(1, sizeof(*q));

	q->r = r;
	q->fn = fn;
	q->arg = arg;
	buf_init(&q->address, 4096);
	buf_init(&q->sender, 4096);
	buf_add(&q->address, address);
	buf_add(&q->sender, sender);
	list_push_back(&r->requests, &q->link);
	return q;
}

/* What needs no question. */
static enum err
find_known(struct router *r, struct str address, struct str sender, struct route_answer *out)
{
	struct str domain = domain_of(address);
	const struct settings_relay *x;
	enum domain_is is;

	*out = answer_local;
	if (r->s == NULL)
		return ERR_OK;
	if (router_null_client(r)) {
		x = settings_relay_named(r->s, r->s->outbound.smarthost);
		*out = x == NULL || str_rchr(address, '@') == address.n
			       ? answer_bad
			       : section_route(r, x, domain);
		return ERR_OK;
	}
	if (str_rchr(address, '@') == address.n)
		return ERR_OK; /* a name of our own */
	if (domain.n == 0 || domain.n > DOMAIN_MAX) {
		*out = answer_bad;
		return ERR_OK;
	}
	is = domains_known(r->domains, domain);
	if (is == DOMAIN_UNKNOWN ||
		(is == DOMAIN_OURS && router_enabled(r) && r->s->outbound.transports))
		return ERR_AGAIN;
	if (is == DOMAIN_OTHERS)
		*out = router_enabled(r) ? foreign_route(r, address, sender) : answer_off;
	return ERR_OK;
}

enum err
route_find(struct router *r, struct str address, struct str sender, struct route_answer *out,
	route_fn fn, void *arg, struct route_request **request)
{
	enum err e = find_known(r, address, sender, out);
	struct route_request *q;
	bool known;

	*request = NULL;
	if (e != ERR_AGAIN)
		return e;
	q = request_new(r, address, sender, fn, arg);
	known = domains_known(r->domains, domain_of(address)) != DOMAIN_UNKNOWN;
	if (known)
		(void)ask_transport(q);
	else
		q->lookup =
			socketmap_lookup(r->map, STR("domain"), domain_of(address), on_domain, q);
	if (q->lookup == NULL) { /* no key of a map: the directory has no such address */
		*out = known ? answer_local : answer_bad;
		request_free(q);
		return ERR_OK;
	}
	*request = q;
	return ERR_AGAIN;
}

void
route_cancel(struct route_request *q)
{
	request_free(q);
}

/* ---- the router ---- */

struct router *
router_new(struct loop *l, struct str directory_address, struct str hostname,
	const struct settings *s, struct domains *d)
{
	struct router *r = xcalloc(1, sizeof(*r));

	r->s = s;
	r->domains = d;
	r->map = socketmap_new(l, directory_address, REPLY_MAX);
	r->hostname = str_dup(hostname);
	list_init(&r->requests);
	buf_init(&r->text, 4096);
	return r;
}

void
router_set(struct router *r, const struct settings *s)
{
	r->s = s;
}

bool
router_enabled(const struct router *r)
{
	return r->s != NULL && r->s->outbound.enabled;
}

bool
router_null_client(const struct router *r)
{
	return router_enabled(r) && r->s->outbound.null_client;
}

void
router_free(struct router *r)
{
	LIST_FOREACH (l, &r->requests)
		request_free(CONTAINER_OF(l, struct route_request, link));
	socketmap_free(r->map);
	buf_fini(&r->text);
	free(r->hostname);
	free(r);
}
