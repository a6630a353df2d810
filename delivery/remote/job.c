/* Jobs; see job.h. server.c makes them. Invariants: one on_end; a recipient that had its result is
 * never offered to another server; after the end of data went out to one server, no other is tried
 * until queue says so; credentials go only to the host that their section names. */
#include "delivery/remote/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/cidr.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc.h"

enum { NAMES_MAX = 40, KEY_MAX_BYTES = 1024 };

struct job {
	struct list link;
	struct job_world *w;
	const struct settings *s; /* as they were when it came */
	const struct job_ops *ops;
	void *arg;
	struct arena *memory;
	struct relay_request request;
	int fd;
	int64_t started_ms;
	struct loop_task start;

	const struct settings_relay *section;
	struct route route;
	struct tls_plan plan;
	char key[KEY_MAX_BYTES];
	struct conn_login login;
	struct buf mechanisms;

	struct finder *finder;
	struct route_host *hosts;
	size_t hosts_count, at_host; /* at_host: the one that is tried, plus one */
	size_t at_address;
	bool hosts_secure, implicit;
	unsigned tries;
	bool clear;	/* the hand-shake failed here: once more without TLS */
	bool permanent; /* no failure so far may pass */

	struct conn *conn;
	bool answered[RELAY_RCPTS_MAX];
	struct relay_rcpt rcpts[RELAY_RCPTS_MAX]; /* of this try */
	size_t map[RELAY_RCPTS_MAX];		  /* their places in the request */
	struct relay_request part;
	struct str names[NAMES_MAX];
	char below[RELAY_NAME_MAX + 2]; /* "." and the route's host */

	struct answer last; /* the newest failure */
	char host[RELAY_NAME_MAX + 1], address[64], tls[128];
};

static void
next_address(struct job *j);
static void
next_host(struct job *j);

struct list *
job_link(struct job *j)
{
	return &j->link;
}

struct job *
job_of(struct list *link)
{
	return CONTAINER_OF(link, struct job, link);
}

uint64_t
job_id(const struct job *j)
{
	return j->request.id;
}

void
job_free(struct job *j)
{
	list_remove(&j->link);
	loop_task_cancel(&j->start);
	conn_free(j->conn);
	finder_free(j->finder);
	buf_fini(&j->mechanisms);
	arena_free(j->memory);
	free(j->hosts);
	if (j->fd >= 0)
		(void)close(j->fd);
	free(j);
}

/* ---- the end ---- */

static bool
all_answered(const struct job *j)
{
	for (size_t i = 0; i < j->request.rcpts_count; i++)
		if (!j->answered[i])
			return false;
	return true;
}

/* j is gone afterwards. */
static void
end(struct job *j, enum err how)
{
	struct relay_end e = { .id = j->request.id,
		.how = how,
		.code = how == ERR_OK ? 250 : j->last.code,
		.status = how == ERR_OK ? STR("2.0.0") : str_of(j->last.status),
		.text = how == ERR_OK ? STR_EMPTY : answer_text(&j->last),
		.host = str_of(j->host),
		.address = str_of(j->address),
		.tls = str_of(j->tls),
		.own = j->last.own };

	log_event(how == ERR_OK ? LVL_INFO : LVL_WARN, "relay.job", log_s("qid", j->request.qid),
		log_s("route", j->request.route), log_s("section", j->request.section),
		log_z("host", j->host), log_z("addr", j->address), log_z("tls", j->tls),
		log_n("rcpts", (int64_t)j->request.rcpts_count), log_e("res", how),
		log_s("reason", e.text), log_n("ms", loop_now_ms(j->w->loop) - j->started_ms));
	j->ops->on_end(j->arg, j, &e);
	job_free(j);
}

static void
end_text(struct job *j, enum err how, unsigned code, const char *status, const char *text)
{
	answer_set(&j->last, code, status, text);
	end(j, how);
}

/* Everything was tried. */
static void
give_up(struct job *j)
{
	bool never = j->permanent && j->last.code / 100 == 5;

	if (!never && j->last.code / 100 != 4) {
		j->last.code = 451;
		j->last.status[0] = '4';
	}
	end(j, never ? ERR_DENIED : ERR_TEMP);
}

/* ---- one connection ---- */

static void
on_result(void *arg, size_t i, const struct answer *a, bool passed)
{
	struct job *j = arg;
	size_t place = j->map[i];
	const struct relay_result r = { .id = j->request.id,
		.index = (uint32_t)place,
		.code = a->code,
		.status = str_of(a->status),
		.text = answer_text(a),
		.host = a->own ? STR_EMPTY : conn_host(j->conn),
		.address = a->own ? STR_EMPTY : conn_address(j->conn),
		.dsn_passed = passed };

	j->answered[place] = true;
	log_event(LVL_INFO, "relay.rcpt", log_s("qid", j->request.qid),
		log_s("to", j->request.rcpts[place].address), log_s("host", conn_host(j->conn)),
		log_n("code", a->code), log_s("status", r.status), log_s("reply", r.text));
	j->ops->on_result(j->arg, &r);
}

static void
note_conn(struct job *j)
{
	(void)snprintf(j->host, sizeof j->host, "%.*s", STR_FMT(conn_host(j->conn)));
	(void)snprintf(j->address, sizeof j->address, "%.*s", STR_FMT(conn_address(j->conn)));
	(void)snprintf(j->tls, sizeof j->tls, "%.*s", STR_FMT(conn_tls(j->conn)));
}

static void
on_done(void *arg)
{
	struct job *j = arg;

	note_conn(j);
	j->conn = NULL;
	end(j, all_answered(j) ? ERR_OK : ERR_TEMP);
}

static void
lookup(struct job *j);

static void
on_failed(void *arg, const struct conn_failure *f)
{
	struct job *j = arg;

	note_conn(j);
	j->conn = NULL;
	j->last = *f->answer;
	if (f->why != DIALOG_FAILED_NEVER && f->why != DIALOG_FAILED_LOOP)
		j->permanent = false;
	log_event(LVL_INFO, "relay.failed", log_s("qid", j->request.qid), log_z("host", j->host),
		log_z("addr", j->address), log_z("tls", j->tls), log_n("code", f->answer->code),
		log_s("reason", answer_text(f->answer)));
	if (all_answered(j)) {
		end(j, ERR_OK);
	} else if (f->corrupt) {
		end_text(j, ERR_CORRUPT, 451, "4.3.0", "the message is damaged");
	} else if (f->unsure) {
		j->permanent = false;
		give_up(j);
	} else if (f->idle_death) {
		lookup(j);
	} else if (f->tls && j->plan.level == LEVEL_MAY && !j->clear &&
		   (j->section == NULL || !j->section->tls_implicit)) {
		j->clear = true;
		j->at_address--;
		next_address(j);
	} else {
		j->clear = false;
		next_address(j);
	}
}

static const struct conn_user conn_user = {
	.on_result = on_result, .on_done = on_done, .on_failed = on_failed
};

/* The recipients without a result, for the next server. */
static struct conn_message
message_of(struct job *j)
{
	size_t n = 0;

	for (size_t i = 0; i < j->request.rcpts_count; i++)
		if (!j->answered[i]) {
			j->rcpts[n] = j->request.rcpts[i];
			j->map[n++] = i;
		}
	j->part = j->request;
	j->part.rcpts = j->rcpts;
	j->part.rcpts_count = n;
	return (struct conn_message){ .request = &j->part, .fd = j->fd };
}

static void
add_name(struct job *j, struct tls_peer *p, struct str name)
{
	if (name.n != 0 && p->names_count < NAMES_MAX)
		j->names[p->names_count++] = name;
}

/* What the plan asks of the certificate. */
static void
judge(struct job *j, struct conn_options *o, struct str host, const struct finder_peer *peer)
{
	bool dane = peer != NULL && peer->tlsa_count != 0 &&
		    (j->plan.level == LEVEL_DANE || j->plan.level == LEVEL_DANE_ONLY);

	o->peer.sni = dane ? str_of(peer->base) : host;
	o->peer.names = j->names;
	o->dialog.tls = j->clear ? DIALOG_TLS_NEVER : DIALOG_TLS_MAY;
	if (dane) {
		o->dialog.tls = DIALOG_TLS_MUST;
		o->peer.check = TLS_CHECK_DANE;
		o->peer.tlsa = peer->tlsa;
		o->peer.tlsa_count = peer->tlsa_count;
		o->peer.dane_only = j->plan.level == LEVEL_DANE_ONLY;
		add_name(j, &o->peer, host);
		add_name(j, &o->peer, str_of(j->route.host));
	} else if (j->plan.level == LEVEL_VERIFY || j->plan.level == LEVEL_SECURE) {
		bool secure = j->plan.level == LEVEL_SECURE && j->route.mx;
		o->dialog.tls = DIALOG_TLS_MUST;
		o->peer.check = TLS_CHECK_NAME;
		(void)snprintf(j->below, sizeof j->below, ".%s", j->route.host);
		add_name(j, &o->peer, secure ? str_of(j->route.host) : host);
		if (secure)
			add_name(j, &o->peer, str_of(j->below));
		for (size_t i = 0; j->plan.names != NULL && i < j->plan.names->n; i++)
			add_name(j, &o->peer, j->plan.names->v[i]);
	} else if (j->plan.level == LEVEL_ENCRYPT) {
		o->dialog.tls = DIALOG_TLS_MUST;
	} else if (j->plan.level == LEVEL_NONE) {
		o->dialog.tls = DIALOG_TLS_NEVER;
	}
	if (j->section != NULL && j->section->tls_implicit) {
		o->tls_implicit = true;
		o->dialog.tls = DIALOG_TLS_DONE;
	}
}

static void
set_timeouts(const struct settings_outbound *s, int64_t *ms)
{
	ms[DIALOG_STAGE_GREETING] = s->greeting_timeout;
	ms[DIALOG_STAGE_EHLO] = s->helo_timeout;
	ms[DIALOG_STAGE_STARTTLS] = s->helo_timeout;
	ms[DIALOG_STAGE_AUTH] = s->helo_timeout;
	ms[DIALOG_STAGE_MAIL] = s->mail_timeout;
	ms[DIALOG_STAGE_RCPT] = s->rcpt_timeout;
	ms[DIALOG_STAGE_DATA] = s->data_timeout;
	ms[DIALOG_STAGE_BODY] = s->body_timeout;
	ms[DIALOG_STAGE_END] = s->end_timeout;
	ms[DIALOG_STAGE_QUIT] = s->quit_timeout;
}

static void
connect_to(struct job *j, struct str host, const char *address, bool ipv6,
	const struct finder_peer *peer)
{
	const struct settings_outbound *s = &j->s->outbound;
	struct conn_message m = message_of(j);
	struct conn_options o = { .loop = j->w->loop,
		.host = host,
		.address = str_of(address),
		.port = j->route.port != 0 ? j->route.port : (uint16_t)s->port,
		.source = ipv6 ? s->source_ipv6 : s->source_ipv4,
		.hostname = j->w->hostname,
		.connect_timeout_ms = s->connect_timeout,
		.idle_ms = s->idle_timeout,
		.reuse_max = (unsigned)s->reuse_max,
		.dialog = { .no_pipelining = !s->pipelining, .no_chunking = !s->chunking },
		.tls_ctx = j->w->tls_ctx,
		.login = j->login.user.n != 0 ? &j->login : NULL };

	set_timeouts(s, o.dialog.timeout_ms);
	judge(j, &o, host, peer);
	j->tries++;
	j->conn = conn_new(&o, str_of(j->key), &j->w->idle, &m, &conn_user, j);
}

/* ---- from one address to the next ---- */

static const char *
host_name(const struct job *j)
{
	return j->hosts[j->at_host - 1].name;
}

/* A domain of somebody else's must not lead us to servers that trust this machine. */
static bool
refused(const struct job *j, const char *address)
{
	const struct str_list *l = &j->s->outbound.refused_networks;
	struct cidr net;

	for (size_t i = 0; j->route.mx && i < l->n; i++)
		if (cidr_parse(l->v[i], &net) == ERR_OK && cidr_contains(&net, str_of(address)))
			return true;
	return false;
}

static void
next_address(struct job *j)
{
	const struct finder_peer *p = finder_peer_result(j->finder);
	const struct finder_address *a;

	if (j->tries >= j->s->outbound.tries_max + (j->clear ? 1 : 0)) {
		give_up(j);
		return;
	}
	if (j->route.literal) {
		if (j->at_address++ == 0)
			connect_to(j, str_of(j->route.host), j->route.host,
				str_chr(str_of(j->route.host), ':') < strlen(j->route.host), NULL);
		else
			give_up(j);
		return;
	}
	while (j->at_address < p->n && refused(j, p->v[j->at_address].text)) {
		answer_set(&j->last, 550, "5.4.4",
			"the DNS names an address that no mail server may have");
		(void)snprintf(j->host, sizeof j->host, "%s", host_name(j));
		(void)snprintf(j->address, sizeof j->address, "%s", p->v[j->at_address].text);
		j->at_address++;
	}
	if (j->at_address >= p->n) {
		next_host(j);
		return;
	}
	a = &p->v[j->at_address++];
	connect_to(j, str_of(host_name(j)), a->text, a->ipv6, p);
}

/* It is tried, and none of its addresses is. */
static void
note_host(struct job *j)
{
	(void)snprintf(j->host, sizeof j->host, "%s", host_name(j));
	j->address[0] = j->tls[0] = '\0';
}

static void
on_addresses(void *arg)
{
	struct job *j = arg;
	const struct finder_peer *p = finder_peer_result(j->finder);

	j->at_address = 0;
	j->clear = false;
	if (p->err != ERR_OK) {
		j->last = p->answer;
		j->permanent &= p->err == ERR_NOTFOUND;
		note_host(j);
		next_host(j);
		return;
	}
	if (j->plan.level == LEVEL_DANE_ONLY && p->tlsa_count == 0) {
		answer_set(&j->last, 451, "4.7.5",
			"TLS by DANE is required, and the server has no signed TLSA records");
		note_host(j);
		j->permanent = false;
		next_host(j);
		return;
	}
	next_address(j);
}

static void
next_host(struct job *j)
{
	bool dane = (j->plan.level == LEVEL_DANE || j->plan.level == LEVEL_DANE_ONLY) &&
		    j->hosts_secure;

	/* hosts whose names lead nowhere cost time too */
	if (j->at_host >= (size_t)j->s->outbound.tries_max && j->at_host < j->hosts_count)
		j->permanent = false;
	if (j->at_host >= j->hosts_count || j->at_host >= (size_t)j->s->outbound.tries_max) {
		give_up(j);
		return;
	}
	j->at_host++;
	finder_addresses(j->finder, str_of(host_name(j)), dane,
		j->route.port != 0 ? j->route.port : (uint16_t)j->s->outbound.port, on_addresses,
		j);
}

static void
set_hosts(struct job *j, const struct route_host *v, size_t n, bool secure)
{
	free(j->hosts);
	j->hosts = xcalloc(n != 0 ? n : 1, sizeof *v);
	memcpy(j->hosts, v, n * sizeof *v);
	j->hosts_count = n;
	j->hosts_secure = secure;
	j->at_host = 0;
	next_host(j);
}

static void
on_hosts(void *arg)
{
	struct job *j = arg;
	const struct finder_hosts *h = finder_hosts_result(j->finder);

	if (h->err != ERR_OK) {
		j->last = h->answer;
		end(j, h->err);
		return;
	}
	j->implicit = h->implicit;
	set_hosts(j, h->v, h->n, h->secure);
}

static void
lookup(struct job *j)
{
	struct route_host one = { 0 };

	j->tries = 0;
	j->permanent = true;
	j->clear = false;
	j->at_address = 0;
	if (j->route.literal) {
		next_address(j);
	} else if (j->route.mx) {
		finder_hosts(j->finder, str_of(j->route.host), on_hosts, j);
	} else {
		(void)snprintf(one.name, sizeof one.name, "%s", j->route.host);
		set_hosts(j, &one, 1, true); /* the settings name it */
	}
}

/* ---- the beginning ---- */

static enum err
plan(struct job *j)
{
	struct str route = j->request.route;

	if (j->request.section.n != 0) {
		j->section = route_section(j->s, j->request.section);
		if (j->section == NULL)
			return ERR_NOTFOUND;
		if (j->section->host.n != 0)
			route = j->section->host;
	}
	if (route_parse(route, &j->route) != ERR_OK)
		return ERR_SYNTAX;
	j->plan = route_tls_plan(j->s, j->section, &j->route);
	/* What older settings asked of TLS is no connection for a job of newer ones. */
	(void)snprintf(j->key, sizeof j->key, "%p|%.*s|%.*s", (const void *)j->s, STR_FMT(route),
		STR_FMT(j->request.section));
	if (j->section == NULL || j->section->host.n == 0 || j->section->username.n == 0)
		return ERR_OK;
	for (size_t i = 0; i < j->section->sasl_mechanisms.n; i++)
		buf_addf(&j->mechanisms, "%s%.*s", i != 0 ? " " : "",
			STR_FMT(j->section->sasl_mechanisms.v[i]));
	j->login = (struct conn_login){ .user = j->section->username,
		.password = j->section->password,
		.mechanisms = buf_str(&j->mechanisms),
		.plaintext = j->section->plaintext_login };
	return ERR_OK;
}

static void
on_start(struct loop_task *t)
{
	struct job *j = t->arg;
	struct conn_message m;

	switch (plan(j)) {
	case ERR_OK:
		break;
	case ERR_NOTFOUND:
		end_text(j, ERR_SYNTAX, 451, "4.3.5", "there is no such relay section");
		return;
	default:
		end_text(j, ERR_SYNTAX, 550, "5.1.2", "this is neither a domain nor a host");
		return;
	}
	m = message_of(j);
	j->conn = conn_take(&j->w->idle, str_of(j->key), &m, &conn_user, j);
	if (j->conn == NULL)
		lookup(j);
}

static bool
lists(const struct str_list *l, struct str word)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i], word))
			return true;
	return false;
}

struct job *
job_new(struct job_world *w, struct str payload, int fd, const struct job_ops *ops, void *arg)
{
	struct job *j = xcalloc(1, sizeof *j);
	const struct str_list *kinds = &w->settings->outbound.addresses;
	struct str copy = STR_EMPTY;
	enum err e;

	j->w = w;
	j->s = w->settings;
	j->ops = ops;
	j->arg = arg;
	j->fd = fd;
	j->started_ms = loop_now_ms(w->loop);
	list_init(&j->link);
	buf_init(&j->mechanisms, 1024);
	loop_task_init(&j->start, w->loop, on_start, j);
	j->memory = arena_new(2 * IPC_PAYLOAD_MAX);
	e = arena_str(j->memory, payload, &copy);
	if (e == ERR_OK)
		e = relay_request_decode(copy, j->memory, &j->request);
	answer_set(&j->last, 451, "4.4.1", "no server was tried");
	const struct finder_options o = { .dns = w->dns,
		.loop = w->loop,
		.timeout_ms = j->s->outbound.dns_timeout,
		.self = w->hostname,
		.ipv4 = lists(kinds, STR("ipv4")),
		.ipv6 = lists(kinds, STR("ipv6")),
		.ipv6_first = str_eq(kinds->v[0], STR("ipv6")) };

	j->finder = finder_new(&o);
	if (e != ERR_OK) { /* the caller decoded it before */
		job_free(j);
		return NULL;
	}
	loop_task_queue(&j->start);
	return j;
}

void
job_cancel(struct job *j)
{
	if (j->conn != NULL && conn_unsure(j->conn))
		return;
	end_text(j, ERR_TEMP, 451, "4.3.0", "cancelled");
}
