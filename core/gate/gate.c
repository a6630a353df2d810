/* The gate's connections, from accept to the hand-over and the relay behind it. Used by
 * imap/gate/gate.c through struct gate_protocol. Invariants: before the acknowledgement nothing of
 * the client is imap's, after it the gate writes no byte of its own; input that the protocol did
 * not consume goes along with the offer and nowhere else. */
#include "core/gate/gate.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cidr.h"
#include "core/base/clock.h"
#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/event/stream.h"
#include "core/gate/handover.h"
#include "core/gate/relay.h"

enum {
	LINGER_MS = 10000,	 /* for the last words to a client before login */
	REFUSED_MAX = 8,	 /* of one address, that are told why behind TLS */
	RELAY_LINGER_MS = 60000, /* for what imap wrote before it hung up */
	TAG_MAX = 1024,
	SUBJECT_MAX = 1000,
	LISTENERS_MAX = 64,
};

enum conn_state {
	CONN_HANDSHAKE,	 /* TLS comes first */
	CONN_TALK,	 /* the protocol takes commands */
	CONN_LOGIN,	 /* auth works */
	CONN_CHALLENGED, /* the client's turn in a SASL exchange */
	CONN_READY,	 /* logged in; our output leaves before the offer */
	CONN_OFFER,	 /* imap decides */
	CONN_RELAY,
};

struct gate_address {
	struct hmap_node node;
	char text[CIDR_PLACE_SIZE]; /* cidr_place */
	int64_t count;
	int64_t refused; /* of count: those that only hear that it is too many */
};

/* What only a client before login needs: given back at the hand-over. */
struct prelogin {
	struct loop_timer timer;
	struct peer peer;
	void *session;
	struct auth_request *auth;
	struct handover_offer *offer;
	struct auth_ticket ticket;
	struct buf tag, user;
	struct buf subject; /* of the client's certificate */
	int relay_fd;	    /* our end of the socketpair, while the offer is out */
	size_t offered_bytes;
	int64_t login_ms;
	enum listen_tls listen_tls;
};

struct gate_conn {
	struct gate *gate;
	struct list link;
	struct stream *stream;
	struct gate_address *address;
	struct prelogin *pre; /* NULL in CONN_RELAY */
	struct relay *relay;
	enum conn_state state;
	bool tls;
	bool client_ended;
	bool hanging_up;
	bool refused;
	char sid[RAND_ID_SIZE];
};

struct gate_listener {
	struct gate *gate;
	struct listener *listener;
	enum listen_tls tls;
};

struct gate {
	struct gate_options o;
	struct auth_client *auth;
	struct handover_client *handover;
	struct gate_listener listeners[LISTENERS_MAX];
	size_t listener_count;
	struct list conns;
	int64_t conn_count, conn_max;
	struct hmap addresses;
	bool accepting;
	void (*stopped)(void *arg); /* not NULL: stopping */
	void *stopped_arg;
};

static void
gate_accepting(struct gate *g, bool on)
{
	if (g->accepting == on)
		return;
	g->accepting = on;
	for (size_t i = 0; i < g->listener_count; i++)
		listener_set_accepting(g->listeners[i].listener, on);
}

static void
address_leave(struct gate *g, struct gate_address *a, bool refused)
{
	if (refused)
		a->refused--;
	else
		counts_remove(g->o.counts, str_of(a->text));
	if (--a->count > 0)
		return;
	hmap_remove(&g->addresses, &a->node);
	free(a);
}

/* refused_out: the address (IPv6: its /64) has all the connections that it may have, in all gates
 * together, or here. NULL: and even so many that are told so. */
static struct gate_address *
address_enter(struct gate *g, const char *text, bool *refused_out)
{
	char place[CIDR_PLACE_SIZE];
	cidr_place(text, place);
	struct hmap_node *n = hmap_get(&g->addresses, str_of(place));
	struct gate_address *a = n != NULL ? CONTAINER_OF(n, struct gate_address, node) : NULL;
	int64_t limit = g->o.settings->imap.connections_per_address;
	*refused_out = (a != NULL && a->count - a->refused >= limit) ||
		       (int64_t)counts_get(g->o.counts, str_of(place)) >= limit;
	if (*refused_out && a != NULL && a->refused >= REFUSED_MAX)
		return NULL;
	if (a == NULL) {
		a = xcalloc(1, sizeof(*a));
		memcpy(a->text, place, sizeof(a->text));
		hmap_put(&g->addresses, &a->node, str_of(a->text));
	}
	a->count++;
	if (*refused_out)
		a->refused++;
	else
		counts_add(g->o.counts, str_of(a->text));
	return a;
}

static void
prelogin_free(struct gate_conn *c)
{
	struct prelogin *p = c->pre;
	if (p == NULL)
		return;
	c->pre = NULL;
	loop_timer_stop(&p->timer);
	if (p->auth != NULL)
		auth_request_cancel(p->auth);
	if (p->offer != NULL)
		handover_offer_cancel(p->offer);
	if (p->session != NULL)
		c->gate->o.protocol->close(p->session);
	if (p->relay_fd >= 0)
		close(p->relay_fd);
	buf_fini(&p->tag);
	buf_fini(&p->user);
	buf_fini(&p->subject);
	free(p);
}

static void
conn_free(struct gate_conn *c)
{
	struct gate *g = c->gate;
	prelogin_free(c);
	if (c->relay != NULL)
		relay_free(c->relay);
	if (c->stream != NULL)
		stream_free(c->stream);
	list_remove(&c->link);
	address_leave(g, c->address, c->refused);
	free(c);
	g->conn_count--;
	if (g->stopped == NULL && g->conn_count < g->conn_max)
		gate_accepting(g, true);
	if (g->stopped != NULL && g->conn_count == 0)
		g->stopped(g->stopped_arg);
}

/* The output leaves in its own time, without us. */
static void
conn_close(struct gate_conn *c, int64_t linger_ms)
{
	stream_close(c->stream, linger_ms);
	c->stream = NULL;
	conn_free(c);
}

/* After every call into the protocol: what it asked for with gate_hang_up, or what is over by
 * itself. c may be gone afterwards. */
static void
conn_settle(struct gate_conn *c)
{
	bool idle = c->state == CONN_TALK || c->state == CONN_CHALLENGED;
	if (c->hanging_up || (c->client_ended && idle && gate_listening(c)))
		conn_close(c, LINGER_MS);
}

static void
conn_input(struct gate_conn *c)
{
	if (gate_listening(c) && stream_in(c->stream)->n > 0)
		c->gate->o.protocol->input(c->pre->session, stream_in(c->stream));
	if (gate_listening(c) && stream_in(c->stream)->n == 0)
		stream_release_buffers(c->stream);
	conn_settle(c);
}

static void
conn_leave(struct gate_conn *c, bool stopping)
{
	if (c->pre->session != NULL)
		c->gate->o.protocol->leave(c->pre->session, stopping);
	conn_close(c, LINGER_MS);
}

static void
on_login_timeout(struct loop_timer *t)
{
	struct gate_conn *c = t->arg;
	log_event(LVL_INFO, "gate.timeout", log_z("sid", c->sid), log_z("rip", c->pre->peer.addr));
	conn_leave(c, false);
}

/* The relay. */

static void
on_relay_end(void *arg, bool clean)
{
	struct gate_conn *c = arg;
	const char *why = clean ? "" : stream_error(c->stream);
	if (!clean && why[0] == '\0')
		why = "the client reads nothing";
	log_event(LVL_INFO, "gate.end", log_z("sid", c->sid),
		log_n("in", (int64_t)stream_bytes_in(c->stream)),
		log_n("out", (int64_t)stream_bytes_out(c->stream)), log_z("reason", why));
	if (clean)
		conn_close(c, RELAY_LINGER_MS);
	else
		conn_free(c);
}

static void
relay_begin(struct gate_conn *c)
{
	int fd = c->pre->relay_fd;
	c->pre->relay_fd = -1;
	buf_consume(stream_in(c->stream), c->pre->offered_bytes);
	prelogin_free(c);
	c->state = CONN_RELAY;
	c->relay = relay_new(c->gate->o.loop, c->stream, fd,
		c->gate->o.settings->imap.write_timeout, on_relay_end, c);
	stream_set_reading(c->stream, true);
	if (c->client_ended)
		relay_on_end(c->relay, ERR_EOF);
}

/* The hand-over. */

static void
login_failed(struct gate_conn *c, enum auth_fail why, struct str reason)
{
	struct prelogin *p = c->pre;
	log_event(LVL_INFO, "gate.login", log_z("sid", c->sid), log_z("res", "fail"),
		log_z("rip", p->peer.addr), log_z("reason", auth_fail_name(why)),
		log_n("ms", clock_ms() - p->login_ms));
	c->state = CONN_TALK;
	stream_set_reading(c->stream, true);
	c->gate->o.protocol->failed(p->session, why, reason);
	if (c->gate->stopped != NULL) {
		conn_leave(c, true);
		return;
	}
	if (!c->hanging_up)
		stream_read_again(c->stream);
	conn_settle(c);
}

static void
on_handed_over(void *arg, enum err e)
{
	struct gate_conn *c = arg;
	struct prelogin *p = c->pre;
	p->offer = NULL;
	log_event(e == ERR_OK ? LVL_DEBUG : LVL_WARN, "gate.handover", log_z("sid", c->sid),
		log_s("user", buf_str(&p->user)), log_e("res", e),
		log_n("ms", clock_ms() - p->login_ms));
	if (e != ERR_OK) {
		if (p->relay_fd >= 0)
			close(p->relay_fd);
		p->relay_fd = -1;
		loop_timer_start(&p->timer, c->gate->o.settings->imap.login_timeout);
		login_failed(c, AUTH_FAIL_TEMP, STR_EMPTY);
		return;
	}
	if (c->tls) {
		relay_begin(c);
		return;
	}
	/* imap holds the client's socket: ours goes without a word. */
	struct buf rest;
	buf_init_secret(&rest, HANDOVER_INPUT_MAX * 2);
	int fd = stream_detach(c->stream, &rest);
	c->stream = NULL;
	close(fd);
	buf_fini(&rest);
	conn_free(c);
}

/* The fd that goes to imap: one end of a new pair for TLS, else the client's socket. */
static int
handover_fd(struct gate_conn *c)
{
	int pair[2];
	if (!c->tls)
		return fcntl(stream_fd(c->stream), F_DUPFD_CLOEXEC, 0);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	c->pre->relay_fd = pair[0];
	return pair[1];
}

static void
conn_offer(struct gate_conn *c)
{
	struct prelogin *p = c->pre;
	const struct tls *tls = stream_tls(c->stream);
	struct buf *in = stream_in(c->stream);
	struct handover_login l = {
		.sid = str_of(c->sid),
		.tag = buf_str(&p->tag),
		.ticket = p->ticket,
		.tls = c->tls,
		.tls_description = tls != NULL ? str_of(tls_description(tls)) : STR_EMPTY,
		.remote_addr = str_of(p->peer.addr),
		.local_addr = str_of(p->peer.local_addr),
		.remote_port = p->peer.port,
		.local_port = p->peer.local_port,
		.input = str_sub(buf_str(in), 0, HANDOVER_INPUT_MAX),
	};
	int fd = handover_fd(c);
	c->state = CONN_OFFER;
	p->offered_bytes = l.input.n;
	loop_timer_stop(&p->timer);
	if (fd >= 0)
		p->offer = handover_offer_start(
			c->gate->handover, &l, buf_str(&p->user), fd, on_handed_over, c);
	if (p->offer == NULL)
		on_handed_over(c, ERR_TEMP);
}

/* auth's answers. */

static void
on_auth_continue(void *arg, struct auth_request *r, struct str challenge)
{
	struct gate_conn *c = arg;
	(void)r;
	c->state = CONN_CHALLENGED;
	stream_set_reading(c->stream, true);
	c->gate->o.protocol->challenge(c->pre->session, challenge);
	stream_read_again(c->stream);
	conn_settle(c);
}

static void
on_auth_ok(void *arg, struct auth_request *r, struct str user, struct str fields,
	const struct auth_ticket *ticket)
{
	struct gate_conn *c = arg;
	struct prelogin *p = c->pre;
	(void)r;
	(void)fields;
	p->auth = NULL;
	p->ticket = *ticket;
	buf_reset(&p->user);
	buf_add(&p->user, user);
	log_event(LVL_INFO, "gate.login", log_z("sid", c->sid), log_z("res", "ok"),
		log_s("user", user), log_z("rip", p->peer.addr), log_n("tls", c->tls),
		log_n("ms", clock_ms() - p->login_ms));
	c->state = CONN_READY;
	/* imap's output must not overtake ours on a shared socket. */
	if (stream_queued(c->stream) == 0)
		conn_offer(c);
}

static void
on_auth_fail(void *arg, struct auth_request *r, enum auth_fail why, struct str reason)
{
	struct gate_conn *c = arg;
	(void)r;
	c->pre->auth = NULL;
	login_failed(c, why, reason);
}

static const struct auth_ops AUTH_OPS = {
	.on_continue = on_auth_continue,
	.on_ok = on_auth_ok,
	.on_fail = on_auth_fail,
};

enum err
gate_login(struct gate_conn *c, struct str tag, struct str mechanism, bool has_initial,
	struct str initial)
{
	struct prelogin *p = c->pre;
	struct auth_login l = {
		.mechanism = mechanism,
		.service = str_of(c->gate->o.protocol->service),
		.session = str_of(c->sid),
		.local_addr = str_of(p->peer.local_addr),
		.remote_addr = str_of(p->peer.addr),
		.local_port = p->peer.local_port,
		.remote_port = p->peer.port,
		.secured = gate_is_secure(c),
		.has_initial = has_initial,
		.initial = initial,
		.certificate = buf_str(&p->subject),
	};
	buf_reset(&p->tag);
	buf_add(&p->tag, tag);
	if (buf_check(&p->tag) != ERR_OK)
		return ERR_LIMIT;
	p->auth = auth_request_start(c->gate->auth, &l, &AUTH_OPS, c);
	if (p->auth == NULL)
		return ERR_LIMIT;
	p->login_ms = clock_ms();
	c->state = CONN_LOGIN;
	stream_set_reading(c->stream, false);
	return ERR_OK;
}

enum err
gate_respond(struct gate_conn *c, struct str response)
{
	enum err e = auth_request_continue(c->pre->auth, response);
	if (e != ERR_OK)
		return e;
	c->state = CONN_LOGIN;
	stream_set_reading(c->stream, false);
	return ERR_OK;
}

void
gate_abort(struct gate_conn *c)
{
	auth_request_cancel(c->pre->auth);
	c->pre->auth = NULL;
	c->state = CONN_TALK;
}

/* The client's stream. */

static void
conn_open(struct gate_conn *c)
{
	if (c->refused) {
		stream_write(c->stream, str_of(c->gate->o.protocol->too_many));
		stream_close(c->stream, LINGER_MS);
		c->stream = NULL;
		conn_free(c);
		return;
	}
	c->state = CONN_TALK;
	if (c->pre->session == NULL)
		c->pre->session = c->gate->o.protocol->open(c);
	conn_settle(c);
}

static void
on_read(struct stream *s, void *arg)
{
	struct gate_conn *c = arg;
	(void)s;
	if (c->relay != NULL)
		relay_on_read(c->relay);
	else
		conn_input(c);
}

static void
on_drain(struct stream *s, void *arg)
{
	struct gate_conn *c = arg;
	(void)s;
	if (c->relay != NULL)
		relay_on_drain(c->relay);
	else
		conn_input(c);
}

static void
on_empty(struct stream *s, void *arg)
{
	struct gate_conn *c = arg;
	(void)s;
	if (c->relay != NULL)
		relay_on_empty(c->relay);
	else if (c->state == CONN_READY)
		conn_offer(c);
}

static void
on_tls(struct stream *s, void *arg)
{
	struct gate_conn *c = arg;
	c->tls = true;
	if (tls_peer_subject(stream_tls(s), &c->pre->subject) != ERR_OK)
		buf_reset(&c->pre->subject);
	log_event(LVL_DEBUG, "gate.tls", log_z("sid", c->sid),
		log_z("tls", tls_description(stream_tls(s))),
		log_s("certificate", buf_str(&c->pre->subject)));
	conn_open(c);
}

static void
on_end(struct stream *s, void *arg, enum err why)
{
	struct gate_conn *c = arg;
	c->client_ended = true;
	if (c->relay != NULL) {
		relay_on_end(c->relay, why);
		return;
	}
	if (why == ERR_EOF && c->state != CONN_HANDSHAKE) {
		/* Half-closed, maybe: a login on its way is still answered. */
		conn_settle(c);
		return;
	}
	log_event(LVL_INFO, "gate.broken", log_z("sid", c->sid), log_z("rip", c->pre->peer.addr),
		log_z("reason", stream_error(s)));
	conn_free(c);
}

static const struct stream_ops STREAM_OPS = {
	.on_read = on_read,
	.on_drain = on_drain,
	.on_empty = on_empty,
	.on_tls = on_tls,
	.on_end = on_end,
};

static struct gate_conn *
conn_new(struct gate *g, int fd, const struct peer *peer, struct gate_address *address,
	enum listen_tls tls)
{
	struct gate_conn *c = xcalloc(1, sizeof(*c));
	struct prelogin *p = xcalloc(1, sizeof(*p));
	c->gate = g;
	c->pre = p;
	c->address = address;
	rand_id(c->sid);
	p->peer = *peer;
	p->relay_fd = -1;
	p->listen_tls = tls;
	buf_init(&p->tag, TAG_MAX);
	buf_init(&p->user, 1024);
	buf_init(&p->subject, SUBJECT_MAX);
	loop_timer_init(&p->timer, g->o.loop, on_login_timeout, c);
	loop_timer_start(&p->timer, g->o.settings->imap.login_timeout);
	list_push_back(&g->conns, &c->link);
	struct stream_options o = { .in_max_bytes = g->o.protocol->in_max_bytes };
	c->stream = stream_new(g->o.loop, fd, &STREAM_OPS, c, &o);
	return c;
}

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	struct gate_listener *l = arg;
	struct gate *g = l->gate;
	if (l->tls == LISTEN_TLS_IMPLICIT && g->o.tls == NULL) {
		close(fd);
		return;
	}
	bool refused;
	struct gate_address *a = address_enter(g, peer->addr, &refused);
	if (refused)
		log_event(LVL_WARN, "gate.refused", log_z("rip", peer->addr),
			log_z("reason", "connections_per_address"),
			log_n("limit", g->o.settings->imap.connections_per_address));
	if (a == NULL) {
		close(fd);
		return;
	}
	struct gate_conn *c = conn_new(g, fd, peer, a, l->tls);
	c->refused = refused;
	log_event(LVL_DEBUG, "gate.connect", log_z("sid", c->sid), log_z("rip", peer->addr),
		log_n("rport", peer->port), log_n("lport", peer->local_port));
	if (++g->conn_count >= g->conn_max)
		gate_accepting(g, false);
	if (l->tls == LISTEN_TLS_IMPLICIT) {
		c->state = CONN_HANDSHAKE;
		stream_start_tls_server(c->stream, g->o.tls);
	} else {
		conn_open(c);
	}
}

/* What the protocol asks. */

void
gate_write(struct gate_conn *c, struct str bytes)
{
	stream_write(c->stream, bytes);
}

void
gate_writef(struct gate_conn *c, const char *fmt, ...)
{
	struct buf b;
	va_list ap;
	buf_init(&b, 8192);
	va_start(ap, fmt);
	buf_addv(&b, fmt, ap);
	va_end(ap);
	stream_write(c->stream, buf_str(&b));
	buf_fini(&b);
}

void
gate_hang_up(struct gate_conn *c)
{
	c->hanging_up = true;
}

bool
gate_listening(const struct gate_conn *c)
{
	return (c->state == CONN_TALK || c->state == CONN_CHALLENGED) && !c->hanging_up &&
	       !stream_full(c->stream);
}

void
gate_start_tls(struct gate_conn *c)
{
	c->state = CONN_HANDSHAKE;
	stream_start_tls_server(c->stream, c->gate->o.tls);
}

bool
gate_has_tls(const struct gate_conn *c)
{
	return c->tls;
}

bool
gate_offers_tls(const struct gate_conn *c)
{
	return !c->tls && c->gate->o.tls != NULL && c->pre->listen_tls != LISTEN_TLS_NONE;
}

bool
gate_is_secure(const struct gate_conn *c)
{
	struct str addr = str_of(c->pre->peer.addr);
	return c->tls || c->pre->peer.is_unix || str_starts(addr, STR("127.")) ||
	       str_starts(addr, STR("::ffff:127.")) || str_eq(addr, STR("::1")) ||
	       c->gate->o.settings->imap.plaintext_login;
}

bool
gate_has_certificate(const struct gate_conn *c)
{
	return c->pre->subject.n > 0;
}

const char *
gate_sid(const struct gate_conn *c)
{
	return c->sid;
}

const struct settings *
gate_settings(const struct gate_conn *c)
{
	return c->gate->o.settings;
}

/* The process. */

struct gate *
gate_new(const struct gate_options *o)
{
	struct gate *g = xcalloc(1, sizeof(*g));
	struct rlimit files;
	g->o = *o;
	if (g->o.tls != NULL)
		tls_ctx_ref(g->o.tls);
	g->accepting = true;
	list_init(&g->conns);
	hmap_init(&g->addresses);
	/* A TLS session holds two fds. */
	g->conn_max = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > 1024
			      ? (int64_t)(files.rlim_cur - 512) / 2
			      : 256;
	g->auth = auth_client_new(o->loop, o->auth_address);
	g->handover = handover_client_new(o->loop, o->handover_path, o->handover_workers);
	return g;
}

void
gate_listen(struct gate *g, int fd, enum listen_tls tls)
{
	if (g->listener_count == LISTENERS_MAX) {
		close(fd);
		return;
	}
	struct gate_listener *l = &g->listeners[g->listener_count++];
	l->gate = g;
	l->tls = tls;
	l->listener = listener_new(g->o.loop, fd, on_accept, l);
}

void
gate_reload(struct gate *g, const struct settings *settings, struct tls_ctx *tls)
{
	g->o.settings = settings;
	if (tls == NULL)
		return;
	if (g->o.tls != NULL)
		tls_ctx_unref(g->o.tls);
	g->o.tls = tls_ctx_ref(tls);
}

void
gate_stop(struct gate *g, void (*done)(void *arg), void *arg)
{
	gate_accepting(g, false);
	g->stopped = done;
	g->stopped_arg = arg;
	g->conn_count++; /* the end is not before this loop's */
	LIST_FOREACH (n, &g->conns) {
		struct gate_conn *c = CONTAINER_OF(n, struct gate_conn, link);
		if (c->state != CONN_RELAY && c->state != CONN_OFFER)
			conn_leave(c, true);
	}
	if (--g->conn_count == 0)
		g->stopped(g->stopped_arg);
}

void
gate_free(struct gate *g)
{
	if (g == NULL)
		return;
	g->stopped = NULL;
	for (size_t i = 0; i < g->listener_count; i++)
		listener_free(g->listeners[i].listener);
	g->listener_count = 0;
	LIST_FOREACH (n, &g->conns)
		conn_free(CONTAINER_OF(n, struct gate_conn, link));
	handover_client_free(g->handover);
	auth_client_free(g->auth);
	if (g->o.tls != NULL)
		tls_ctx_unref(g->o.tls);
	hmap_fini(&g->addresses);
	free(g);
}
