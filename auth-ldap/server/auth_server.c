/* The auth socket: the Dovecot auth client protocol 1.x, for our gate and smtp and for Postfix and
 * Exim unchanged. One connection carries many logins, each of them login.c's.
 *
 * Invariants: a login is known by (cookie of its connection, its number) and can be asked about
 * once, within 60 s, while its connection lives; nothing that one connection sends touches another.
 */
#include <stdlib.h>
#include <unistd.h>

#include "auth-ldap/server/login.h"
#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/sasl/mechanism.h"

static bool
on_version(struct auth_conn *c, const struct auth_line *line)
{
	c->has_version = line->major == 1;
	c->minor = line->minor;
	if (!c->has_version)
		log_event(LVL_WARN, "auth.client", log_z("res", "deny"),
			log_n("version", line->major), log_z("reason", "unknown version"));
	return c->has_version;
}

/* False: the client broke the protocol. */
static bool
on_line(struct auth_conn *c, const struct auth_line *line)
{
	struct login *l;
	switch (line->verb) {
	case AUTH_VERSION:
		return on_version(c, line);
	case AUTH_CPID:
		if (c->has_pid)
			return false;
		c->has_pid = true;
		c->pid = line->id;
		return true;
	case AUTH_AUTH:
		return c->has_version && c->has_pid && login_start(c, line);
	case AUTH_CONT:
		l = login_find(c, line->id);
		/* One that ended while the client's line was on its way. */
		if (l == NULL || l->state != LOGIN_CLIENT)
			return true;
		login_continue(l, line->response);
		return true;
	case AUTH_CANCEL:
		l = login_find(c, line->id);
		if (l != NULL)
			login_free(l);
		return true;
	case AUTH_OTHER:
		return true;
	}
	return false;
}

static void
auth_conn_end(struct conn *base)
{
	struct auth_conn *c = CONTAINER_OF(base, struct auth_conn, c);
	struct hmap_node *n;
	while ((n = hmap_next(&c->logins, NULL)) != NULL)
		login_free(CONTAINER_OF(n, struct login, node));
	hmap_fini(&c->logins);
	hmap_remove(&c->c.service->auth_conns, &c->by_cookie);
	loop_timer_stop(&c->expire);
	loop_task_cancel(&c->hang_up);
	conn_close(&c->c);
	free(c);
}

static enum err
auth_take(struct conn *base, struct buf *in, size_t *used_out)
{
	struct auth_conn *c = CONTAINER_OF(base, struct auth_conn, c);
	struct str text;
	struct auth_line line;
	enum err e = wire_line(in, AUTH_LINE_MAX, &text);
	if (e != ERR_OK)
		return e;
	e = auth_line_parse(text, &line);
	if (e == ERR_OK && !on_line(c, &line))
		e = ERR_SYNTAX;
	*used_out = text.n + 1;
	return e;
}

static bool
auth_busy(struct conn *base)
{
	return CONTAINER_OF(base, struct auth_conn, c)->active > 0;
}

static const struct conn_kind auth_kind = {
	.socket = "auth",
	.broken = "not the auth protocol",
	.in_max_bytes = AUTH_LINE_MAX + 1024,
	.take = auth_take,
	.busy = auth_busy,
	.end = auth_conn_end,
};

static void
on_hang_up(struct loop_task *t)
{
	struct auth_conn *c = t->arg;
	auth_conn_end(&c->c);
}

static void
on_expire(struct loop_timer *t)
{
	struct auth_conn *c = t->arg;
	LIST_FOREACH (n, &c->verified) {
		struct login *l = CONTAINER_OF(n, struct login, link);
		int64_t left = l->start_ms + c->c.service->verify_ms - clock_ms();
		if (left > 0) {
			loop_timer_start(&c->expire, left);
			return;
		}
		login_free(l);
	}
}

static void
write_mechanisms(struct auth_conn *c)
{
	const struct str_list *m = &c->c.service->settings->auth.sasl_mechanisms;
	for (size_t i = 0; i < m->n; i++) {
		const struct sasl_mechanism *row = sasl_mechanism_find(m->v[i]);
		/* Others' word about certificates does not count. */
		if (row == NULL || (row->family == SASL_CERTIFICATE && !c->c.own))
			continue;
		stream_writef(c->c.stream, "MECH\t%s%s\n", row->name, row->flags);
	}
}

static void
write_greeting(struct auth_conn *c)
{
	stream_write(c->c.stream, STR("VERSION\t1\t2\n"));
	write_mechanisms(c);
	stream_writef(c->c.stream, "SPID\t%d\nCUID\t%u\nCOOKIE\t%s\nDONE\n", (int)getpid(),
		++c->c.service->last_cuid, c->cookie);
}

void
auth_server_accept(void *arg, int fd, const struct peer *peer)
{
	struct service *s = arg;
	struct auth_conn *c = xcalloc(1, sizeof *c);
	if (!conn_open(&c->c, s, fd, peer, &auth_kind)) {
		free(c);
		return;
	}
	unsigned char cookie[AUTH_COOKIE_BYTES];
	struct buf hex;
	rand_bytes(cookie, sizeof cookie);
	buf_init(&hex, sizeof c->cookie);
	hex_encode(&hex, str_n(cookie, sizeof cookie));
	memcpy(c->cookie, buf_str(&hex).p, 2 * AUTH_COOKIE_BYTES);
	buf_fini(&hex);
	hmap_put(&s->auth_conns, &c->by_cookie, str_n(c->cookie, 2 * AUTH_COOKIE_BYTES));
	hmap_init(&c->logins);
	list_init(&c->verified);
	loop_timer_init(&c->expire, s->loop, on_expire, c);
	loop_task_init(&c->hang_up, s->loop, on_hang_up, c);
	write_greeting(c);
}

void
auth_server_reload(struct service *s)
{
	for (struct hmap_node *n = hmap_next(&s->auth_conns, NULL); n != NULL;
		n = hmap_next(&s->auth_conns, n)) {
		struct auth_conn *c = CONTAINER_OF(n, struct auth_conn, by_cookie);
		/* Exim may be root's too; an older client would not expect this. */
		if (c->c.own && c->minor >= 2)
			write_mechanisms(c);
	}
}

enum err
auth_server_verify(struct service *s, struct str cookie, uint32_t client_pid, uint32_t request_id,
	struct verified *out)
{
	struct hmap_node *n = hmap_get(&s->auth_conns, cookie);
	if (n == NULL)
		return ERR_NOTFOUND;
	struct auth_conn *c = CONTAINER_OF(n, struct auth_conn, by_cookie);
	struct login *l = c->pid == client_pid ? login_find(c, request_id) : NULL;
	if (l == NULL || l->state != LOGIN_VERIFIED || clock_ms() - l->start_ms > s->verify_ms)
		return ERR_NOTFOUND;
	buf_add(&out->user, buf_str(&l->user));
	buf_add(&out->home, buf_str(&l->home));
	buf_add(&out->quota, buf_str(&l->quota));
	buf_add(&out->check, buf_str(&l->check));
	login_free(l);
	return buf_check(&out->user) == ERR_OK ? buf_check(&out->home) : ERR_LIMIT;
}
