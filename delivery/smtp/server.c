/* The sessions of one worker together: policies, limits of connections, the orderly end. Called by
 * main.c. */
#include "delivery/smtp/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "delivery/smtp/proxy.h"
#include "delivery/smtp/session.h"

static const struct smtp_policy policies[] = {
	{ .protocol = "submission",
		.require_tls = true,
		.require_auth = true,
		.check_sender = true,
		.normalise_newline = true },
	{ .protocol = "submission",
		.implicit_tls = true,
		.require_tls = true,
		.require_auth = true,
		.check_sender = true,
		.normalise_newline = true },
	{ .protocol = "smtp", .mx = true },
	{ .protocol = "smtp", .mx = true, .no_starttls = true },
	{ .protocol = "sendmail", .local = true, .no_starttls = true, .normalise_newline = true },
};

const struct smtp_policy *
smtp_policy_find(struct str protocol, enum listen_tls tls)
{
	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (str_eq(protocol, str_of(policies[i].protocol)) &&
			policies[i].implicit_tls == (tls == LISTEN_TLS_IMPLICIT) &&
			policies[i].no_starttls == (tls == LISTEN_TLS_NONE))
			return &policies[i];
	return NULL;
}

/* A connection of a load balancer before it said whose it is. */
struct unnamed {
	struct list link;
	struct smtp_server *server;
	const struct smtp_policy *policy;
	struct proxy_wait *wait;
};

static void
drop_unnamed(struct smtp_server *v)
{
	LIST_FOREACH (l, &v->unnamed) {
		struct unnamed *u = CONTAINER_OF(l, struct unnamed, link);
		proxy_wait_cancel(u->wait);
		list_remove(&u->link);
		free(u);
		v->count--;
	}
}

static void
on_stopped(struct loop_task *t)
{
	struct smtp_server *v = t->arg;

	v->stopped(v->stopped_arg);
}

struct smtp_server *
smtp_server_new(const struct smtp_options *o, const struct smtp_peers *peers)
{
	struct smtp_server *v = xcalloc(1, sizeof(*v));

	v->o = *o;
	v->peers = *peers;
	list_init(&v->sessions);
	list_init(&v->unnamed);
	hmap_init(&v->addresses);
	v->rates = rates_new(peers->loop, o->counts);
	buf_init(&v->scratch, 256 * 1024);
	loop_task_init(&v->stopped_task, peers->loop, on_stopped, v);
	if (v->peers.tls != NULL)
		(void)tls_ctx_ref(v->peers.tls);
	return v;
}

void
smtp_server_free(struct smtp_server *v)
{
	v->room = NULL;
	v->stopping = false;
	drop_unnamed(v);
	LIST_FOREACH (l, &v->sessions)
		session_free(CONTAINER_OF(l, struct smtp_session, link));
	loop_task_cancel(&v->stopped_task);
	if (v->peers.tls != NULL)
		tls_ctx_unref(v->peers.tls);
	hmap_fini(&v->addresses);
	rates_free(v->rates);
	buf_fini(&v->scratch);
	free(v);
}

void
smtp_server_set_options(struct smtp_server *v, const struct smtp_options *o)
{
	v->o.settings = o->settings;
	v->o.connections_per_address = o->connections_per_address;
	v->o.errors_max = o->errors_max;
	v->o.hops_max = o->hops_max;
	v->o.mx_login = o->mx_login;
	v->o.postmaster = o->postmaster;
	v->o.helo_fqdn = o->helo_fqdn;
	v->o.sender_fqdn = o->sender_fqdn;
	v->o.pipelining_check = o->pipelining_check;
	v->o.greet_delay_ms = o->greet_delay_ms;
	v->o.rates = o->rates;
	v->o.relay_networks = o->relay_networks;
	v->o.relay_networks_count = o->relay_networks_count;
	v->o.proxy_networks = o->proxy_networks;
	v->o.proxy_networks_count = o->proxy_networks_count;
	v->o.xclient_networks = o->xclient_networks;
	v->o.xclient_networks_count = o->xclient_networks_count;
	v->o.xclient_login = o->xclient_login;
	v->o.command_timeout_ms = o->command_timeout_ms;
	v->o.data_timeout_ms = o->data_timeout_ms;
	v->o.login_timeout_ms = o->login_timeout_ms;
}

void
smtp_server_set_tls(struct smtp_server *v, struct tls_ctx *tls)
{
	if (v->peers.tls != NULL)
		tls_ctx_unref(v->peers.tls);
	v->peers.tls = tls != NULL ? tls_ctx_ref(tls) : NULL;
}

bool
smtp_server_has_room(const struct smtp_server *v)
{
	return !v->stopping && v->count < v->o.connections_max;
}

void
smtp_server_on_room(struct smtp_server *v, void (*fn)(void *arg), void *arg)
{
	v->room = fn;
	v->room_arg = arg;
}

unsigned
smtp_server_count(const struct smtp_server *v)
{
	return v->count;
}

static bool
in_networks(const struct cidr *networks, size_t n, const char *addr)
{
	for (size_t i = 0; i < n; i++)
		if (cidr_contains(&networks[i], str_of(addr)))
			return true;
	return false;
}

/* By XCLIENT; the limits are for those behind it. */
static bool
speaks_for_others(const struct smtp_server *v, const char *addr)
{
	return in_networks(v->o.xclient_networks, v->o.xclient_networks_count, addr);
}

/* The counter of a client's place, NULL above the limit. */
static struct smtp_address *
address_enter(struct smtp_server *v, const struct peer *peer)
{
	char place[CIDR_PLACE_SIZE];
	struct hmap_node *n;
	struct smtp_address *a;

	cidr_place(peer->addr, place);
	n = hmap_get(&v->addresses, str_of(place));
	a = n != NULL ? CONTAINER_OF(n, struct smtp_address, node) : NULL;
	if (!speaks_for_others(v, peer->addr) &&
		((a != NULL && a->count >= v->o.connections_per_address) ||
			counts_get(v->o.counts, str_of(place)) >= v->o.connections_per_address))
		return NULL;
	if (a == NULL) {
		a = xcalloc(1, sizeof(*a));
		memcpy(a->text, place, sizeof(a->text));
		hmap_put(&v->addresses, &a->node, str_of(a->text));
	}
	a->count++;
	counts_add(v->o.counts, str_of(a->text));
	return a;
}

static void
address_leave(struct smtp_server *v, struct smtp_address *a)
{
	counts_remove(v->o.counts, str_of(a->text));
	if (--a->count > 0)
		return;
	hmap_remove(&v->addresses, &a->node);
	free(a);
}

/* Says why in clear where the client reads clear text, and closes. */
static void
turn_away(int fd, const struct peer *peer, const struct smtp_policy *policy, enum smtp_reply r)
{
	struct buf b;

	buf_init(&b, 512);
	smtp_reply_format(&b, r, STR_EMPTY);
	if (!policy->implicit_tls && send(fd, b.mem + b.head, b.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		buf_reset(&b); /* the client is gone already */
	buf_fini(&b);
	close(fd);
	log_event(LVL_WARN, "smtp.connect", log_z("peer", peer->addr), log_z("res", "deny"),
		log_z("reason", smtp_reply_row(r)->reason));
}

bool
server_is_named(const struct smtp_server *v, const struct smtp_policy *policy, const char *addr)
{
	return policy->local ||
	       (policy->mx && in_networks(v->o.relay_networks, v->o.relay_networks_count, addr));
}

static bool
may_send_locally(const struct smtp_server *v, uid_t uid)
{
	bool may = v->o.local_everybody || uid == 0;

	for (size_t i = 0; i < v->o.local_uids_count && !may; i++)
		may = v->o.local_uids[i] == uid;
	return may;
}

bool
server_may_xclient(const struct smtp_server *v, const struct smtp_policy *policy, const char *addr)
{
	return !policy->local && speaks_for_others(v, addr);
}

/* REPLY_OK, or why the client's address may not connect now. */
static enum smtp_reply
too_fast(struct smtp_server *v, const struct peer *peer, const struct smtp_policy *policy)
{
	char place[CIDR_PLACE_SIZE];

	if (server_is_named(v, policy, peer->addr) || speaks_for_others(v, peer->addr))
		return REPLY_OK;
	cidr_place(peer->addr, place);
	if (rates_over(v->rates, RATE_ERRORS, str_of(place), v->o.rates.errors))
		return REPLY_TOO_MANY_ERRORS;
	if (policy->mx &&
		!rates_take(v->rates, RATE_CONNECTIONS, str_of(place), v->o.rates.connections))
		return REPLY_FAST_CONNECTIONS;
	return REPLY_OK;
}

enum smtp_reply
server_new_peer(struct smtp_server *v, struct smtp_session *s, const struct peer *peer)
{
	enum smtp_reply r = too_fast(v, peer, s->policy);
	struct smtp_address *a;
	char place[CIDR_PLACE_SIZE];

	if (r != REPLY_OK)
		return r;
	cidr_place(peer->addr, place);
	if (!str_eq(str_of(place), str_of(s->address->text))) {
		a = address_enter(v, peer);
		if (a == NULL)
			return REPLY_TOO_MANY_CONNECTIONS;
		address_leave(v, s->address);
		s->address = a;
	}
	s->peer = *peer;
	return REPLY_OK;
}

static void
accept_client(
	struct smtp_server *v, int fd, const struct peer *peer, const struct smtp_policy *policy)
{
	enum smtp_reply fast = too_fast(v, peer, policy);
	struct smtp_address *a;

	if (fast != REPLY_OK) {
		turn_away(fd, peer, policy, fast);
		return;
	}
	if (v->stopping || (policy->implicit_tls && v->peers.tls == NULL)) {
		turn_away(fd, peer, policy, REPLY_CLOSING);
		return;
	}
	a = address_enter(v, peer);
	if (a == NULL) {
		turn_away(fd, peer, policy, REPLY_TOO_MANY_CONNECTIONS);
		return;
	}
	session_start(v, fd, peer, policy)->address = a;
}

static void
one_less(struct smtp_server *v)
{
	v->count--;
	if (v->stopping && v->count == 0)
		loop_task_queue(&v->stopped_task);
	else if (v->room != NULL && v->count + 1 == v->o.connections_max)
		v->room(v->room_arg);
}

void
server_session_gone(struct smtp_server *v, struct smtp_session *s)
{
	list_remove(&s->link);
	address_leave(v, s->address);
	one_less(v);
}

static void
on_proxy(void *arg, int fd, const struct peer *peer, const char *why)
{
	struct unnamed *u = arg;
	struct smtp_server *v = u->server;

	list_remove(&u->link);
	if (fd >= 0)
		accept_client(v, fd, peer, u->policy);
	else
		log_event(LVL_WARN, "smtp.connect", log_z("peer", peer->addr), log_z("res", "deny"),
			log_z("reason", why));
	free(u);
	one_less(v);
}

void
smtp_server_accept(
	struct smtp_server *v, int fd, const struct peer *peer, const struct smtp_policy *policy)
{
	struct unnamed *u;

	if (policy->local) {
		struct peer user = *peer;
		(void)snprintf(user.addr, sizeof(user.addr), "uid:%lu", (unsigned long)peer->uid);
		if (may_send_locally(v, peer->uid))
			accept_client(v, fd, &user, policy);
		else
			turn_away(fd, &user, policy, REPLY_LOCAL_DENIED);
		return;
	}
	if (v->stopping ||
		!in_networks(v->o.proxy_networks, v->o.proxy_networks_count, peer->addr)) {
		accept_client(v, fd, peer, policy);
		return;
	}
	u = xcalloc(1, sizeof(*u));
	u->server = v;
	u->policy = policy;
	list_push_back(&v->unnamed, &u->link);
	v->count++;
	u->wait = proxy_wait_new(v->peers.loop, fd, peer, v->o.proxy_timeout_ms, on_proxy, u);
}

void
smtp_server_stop(struct smtp_server *v, void (*done)(void *arg), void *arg)
{
	v->stopping = true;
	v->stopped = done;
	v->stopped_arg = arg;
	drop_unnamed(v);
	LIST_FOREACH (l, &v->sessions)
		session_stop(CONTAINER_OF(l, struct smtp_session, link));
	if (v->count == 0)
		loop_task_queue(&v->stopped_task);
}
