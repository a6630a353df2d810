/* One connection to a directory server. ldap/pool.c opens it, sends searches or binds, and gets the
 * answers.
 *
 * libldap would block in connects and in its TLS hand-shake (SPIKES: Debian builds it on GnuTLS),
 * and allows one half-sent request only. So the socket is ours: our layer under libldap reads from
 * and writes to two buffers, and this file moves bytes between them and the socket or the TLS
 * connection. The invariant: libldap never sees a socket that could make it wait, and a handle is
 * thrown away at the first error, because a second use could make it connect anew, anonymously. */
#define LDAP_DEPRECATED 0
#include "auth-ldap/ldap/conn_impl.h"
#include "auth-ldap/ldap/frame.h"

#include <errno.h>
#include <openldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth-ldap/ldap/gss.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"

enum {
	IN_MAX = 64 * 1024,	    /* taken from the socket in one callback */
	READ_MAX = 16 * 1024,	    /* at a time: a record of TLS */
	OUT_MAX = 8 * 1024 * 1024,  /* requests not yet sent; the pool sends fewer */
	PDU_MAX = 16 * 1024 * 1024, /* one entry */
	WHY_MAX = sizeof(((struct ldap_conn *)0)->why),
	STRAYS_MAX = 50000, /* answers to abandoned questions, in a row */
	LOST_MS = 3000,	    /* bytes that the server's machine did not take */
	KEEP_MAX = 1024,    /* of an empty buffer */
};

void
ldap_conn_setup(void)
{
	/* Neither ldap.conf nor the environment may change what the settings say. */
	setenv("LDAPNOINIT", "1", 1);
}

/* ---- death ---- */

void
conn_die(struct ldap_conn *c, const char *why)
{
	if (c->state == ST_DEAD)
		return;
	c->was_ready = c->state == ST_READY;
	c->state = ST_DEAD;
	(void)snprintf(c->why, sizeof c->why, "%s", why);
	if (c->connecting != NULL) {
		connect_cancel(c->connecting);
		c->connecting = NULL;
	}
	gss_bind_free(c->gss, true);
	c->gss = NULL;
	loop_timer_stop(&c->deadline);
	if (c->fd >= 0)
		loop_io_set(&c->io, 0);
	loop_task_queue(&c->task);
}

static void
conn_destroy(struct ldap_conn *c)
{
	if (c->connecting != NULL)
		connect_cancel(c->connecting);
	gss_bind_free(c->gss, false);
	loop_timer_stop(&c->deadline);
	loop_task_cancel(&c->task);
	if (c->fd >= 0)
		loop_io_set(&c->io, 0);
	while (ldap_conn_take(c) != NULL)
		;
	tls_free(c->tls);
	c->tls = NULL;
	c->state = ST_DEAD; /* our layer takes the unbind request and drops it */
	if (c->ld != NULL)
		ldap_unbind_ext(c->ld, NULL, NULL);
	else if (c->fd >= 0)
		close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

void
ldap_conn_free(struct ldap_conn *c)
{
	if (c == NULL)
		return;
	if (c->busy) {
		c->freed = true;
		c->state = ST_DEAD;
		return;
	}
	conn_destroy(c);
}

/* End of a callback: false when c is gone. */
static bool
conn_leave(struct ldap_conn *c)
{
	c->busy = false;
	if (!c->freed)
		return true;
	conn_destroy(c);
	return false;
}

/* ---- our layer under libldap: memory only ---- */

static int
layer_setup(Sockbuf_IO_Desc *d, void *arg)
{
	d->sbiod_pvt = arg;
	return 0;
}

static int
layer_remove(Sockbuf_IO_Desc *d)
{
	d->sbiod_pvt = NULL;
	return 0;
}

static int
layer_ctrl(Sockbuf_IO_Desc *d, int opt, void *arg)
{
	const struct ldap_conn *c = d->sbiod_pvt;
	if (opt == LBER_SB_OPT_DATA_READY && c->in.n > 0 && c->frame_left > 0)
		return 1;
	return LBER_SBIOD_CTRL_NEXT(d, opt, arg);
}

static ber_slen_t
layer_read(Sockbuf_IO_Desc *d, void *p, ber_len_t n)
{
	struct ldap_conn *c = d->sbiod_pvt;
	size_t take = c->in.n < c->frame_left ? c->in.n : c->frame_left;
	if (take == 0) {
		if (c->in_eof || c->state == ST_DEAD)
			return 0;
		errno = EAGAIN;
		return -1;
	}
	if (take > n)
		take = n;
	memcpy(p, buf_str(&c->in).p, take);
	buf_consume(&c->in, take);
	c->frame_left -= take;
	return (ber_slen_t)take;
}

static ber_slen_t
layer_write(Sockbuf_IO_Desc *d, void *p, ber_len_t n)
{
	struct ldap_conn *c = d->sbiod_pvt;
	if (c->state == ST_DEAD)
		return (ber_slen_t)n;
	if (buf_room(&c->out) < n) {
		errno = EIO;
		return -1;
	}
	buf_add(&c->out, str_n(p, n));
	loop_task_queue(&c->task);
	return (ber_slen_t)n;
}

static int
layer_close(Sockbuf_IO_Desc *d UNUSED)
{
	return 0;
}

static Sockbuf_IO layer = { layer_setup, layer_remove, layer_ctrl, layer_read, layer_write,
	layer_close };

static bool
handle_new(struct ldap_conn *c)
{
	const int version = LDAP_VERSION3;
	ber_len_t pdu_max = PDU_MAX;
	Sockbuf *sb = NULL;
	if (ldap_init_fd(c->fd, LDAP_PROTO_TCP, NULL, &c->ld) != LDAP_SUCCESS) {
		c->ld = NULL;
		return false;
	}
	ldap_set_option(c->ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	ldap_set_option(c->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	ldap_set_option(c->ld, LDAP_OPT_RESTART, LDAP_OPT_OFF);
	if (ldap_get_option(c->ld, LDAP_OPT_SOCKBUF, &sb) != LDAP_OPT_SUCCESS || sb == NULL)
		return false;
	ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &pdu_max);
	return ber_sockbuf_add_io(sb, &layer, LBER_SBIOD_LEVEL_TRANSPORT, c) == 0;
}

/* ---- moving bytes ---- */

static void
flush_out(struct ldap_conn *c)
{
	if (c->out.n == 0)
		return;
	while (c->out.n > 0 && c->state != ST_DEAD) {
		struct str s = buf_str(&c->out);
		size_t put = 0;
		if (c->tls != NULL) {
			enum err e = tls_write(c->tls, s.p, s.n, &put);
			if (e == ERR_AGAIN)
				break;
			if (e != ERR_OK) {
				conn_die(c, tls_error(c->tls));
				return;
			}
		} else {
			ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
			if (n < 0 && (errno == EAGAIN || errno == EINTR))
				break;
			if (n < 0) {
				conn_die(c, strerror(errno));
				return;
			}
			put = (size_t)n;
		}
		buf_consume(&c->out, put);
	}
	/* passwords of binds */
	if (c->out.n == 0 && c->out.cap > KEEP_MAX)
		buf_release(&c->out);
	else if (c->out.n == 0)
		buf_reset(&c->out);
}

/* Take what arrived, up to IN_MAX. ERR_AGAIN: nothing more for now; ERR_OK: there may be more. */
static enum err
fill_in(struct ldap_conn *c)
{
	/* Before StartTLS ended nothing is read ahead of the one answer that is due: bytes behind
	 * it must not be taken for ones that came encrypted. */
	size_t room = c->state == ST_STARTTLS ? 4096 : IN_MAX;
	while (c->in.n < room) {
		/* most answers are short: no room is made for the longest in every connection */
		static _Thread_local char scratch[READ_MAX];
		size_t got = 0, asked = room - c->in.n < READ_MAX ? room - c->in.n : READ_MAX;
		if (c->tls != NULL) {
			enum err e = tls_read(c->tls, scratch, asked, &got);
			if (e != ERR_OK)
				return e;
		} else {
			ssize_t n = recv(c->fd, scratch, asked, MSG_DONTWAIT);
			if (n < 0)
				return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_TEMP;
			if (n == 0)
				return ERR_EOF;
			got = (size_t)n;
		}
		buf_add(&c->in, str_n(scratch, got));
		/* What the socket has beyond that, it will announce. */
		if (c->tls != NULL ? !tls_unread(c->tls) : got < asked)
			return ERR_AGAIN;
	}
	return ERR_OK;
}

/* ---- stages ---- */

void
conn_ready(struct ldap_conn *c)
{
	loop_timer_stop(&c->deadline);
	gss_bind_free(c->gss, false);
	c->gss = NULL;
	c->state = ST_READY;
	c->ops->on_ready(c->arg, c);
}

/* What went wrong, and which settings it is about. */
static void
handshake_failed(struct ldap_conn *c, const char *what)
{
	char why[WHY_MAX];
	if (strstr(what, "certificate:") != NULL)
		(void)snprintf(why, sizeof why,
			"%.120s (wanted: one for %.60s, by an authority in ca)", what,
			c->o.target->host);
	else if (strstr(what, "wrong version number") != NULL || strstr(what, "ended") != NULL)
		(void)snprintf(why, sizeof why, "%.120s (does it speak TLS on this port?)", what);
	else
		(void)snprintf(why, sizeof why, "%s", what);
	conn_die(c, why);
}

static void
handshake_step(struct ldap_conn *c)
{
	enum err e = tls_handshake(c->tls);
	if (e == ERR_OK)
		service_bind_start(c);
	else if (e != ERR_AGAIN)
		handshake_failed(c,
			e == ERR_EOF ? "the server ended the TLS hand-shake" : tls_error(c->tls));
}

static void
start_handshake(struct ldap_conn *c)
{
	c->state = ST_HANDSHAKE;
	c->tls = tls_new_client(c->o.tls, c->fd, str_of(c->o.target->host));
	handshake_step(c);
}

static void
starttls_message(struct ldap_conn *c, LDAPMessage *msg)
{
	char text[WHY_MAX], why[WHY_MAX + 40];
	if (ldap_msgid(msg) != c->setup_msgid || ldap_msgtype(msg) != LDAP_RES_EXTENDED) {
		conn_die(c, "an answer that nobody asked for");
		return;
	}
	if (wire_result(c, msg, text, sizeof text) != LDAP_SUCCESS) {
		(void)snprintf(why, sizeof why, "StartTLS refused: %s", text);
		conn_die(c, why);
	} else if (c->in.n > 0) {
		conn_die(c, "bytes in clear behind the StartTLS answer");
	} else {
		start_handshake(c);
	}
}

/* At the begin of a message: may libldap have it? False: not now, or the connection died. */
static bool
next_frame(struct ldap_conn *c)
{
	struct frame f;
	enum err e = frame_read(buf_str(&c->in), PDU_MAX, &f);
	if (e == ERR_AGAIN)
		return false;
	if (e != ERR_OK)
		conn_die(c, e == ERR_LIMIT ? "a message of the server is too large"
					   : "what the server sent is no LDAP");
	else if (f.id == 0) /* RFC 4511 4.4.1; no other one is defined */
		conn_die(c, "the server announced the end of the connection");
	c->frame_left = f.size;
	return c->state != ST_DEAD;
}

/* Let libldap decode what lies in c->in. */
static void
decode(struct ldap_conn *c)
{
	while (c->in.n > 0 && c->state != ST_DEAD && !c->freed) {
		struct timeval now = { 0 };
		LDAPMessage *msg = NULL;
		if (c->frame_left == 0 && !next_frame(c))
			break;
		int rc = ldap_result(c->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &now, &msg);
		if (rc < 0) {
			conn_die(c, "what the server sent is no LDAP");
			break;
		}
		if (rc == 0 && c->frame_left > 0)
			break; /* the rest of a message is still to come */
		if (rc == 0) {
			/* Nobody waits for it. Some come behind an abandoned question; a server
			 * that goes on and on is cut off. */
			if (++c->strays > STRAYS_MAX)
				conn_die(c, "answers that nobody asked for");
			continue;
		}
		if (c->state == ST_READY)
			wire_message(c, msg);
		else if (c->state == ST_BINDING)
			service_bind_message(c, msg);
		else
			starttls_message(c, msg);
		ldap_msgfree(msg);
		if (c->state == ST_HANDSHAKE)
			break;
	}
}

static void
on_input(struct ldap_conn *c)
{
	enum err e = fill_in(c);
	if (c->in.n > 0) {
		c->heard_ms = clock_ms();
		decode(c);
	}
	if (c->state == ST_DEAD || c->freed)
		return;
	if (e == ERR_OK)
		loop_task_queue(&c->task); /* more may be decrypted already */
	else if (e == ERR_EOF)
		conn_die(c, "the server ended the connection");
	else if (e == ERR_TEMP)
		conn_die(c, c->tls != NULL ? tls_error(c->tls) : strerror(errno));
	if (c->in.n == 0 && c->in.cap > KEEP_MAX)
		buf_release(&c->in);
}

static void
on_io(struct loop_io *io, int events UNUSED)
{
	struct ldap_conn *c = io->arg;
	c->busy = true;
	if (c->state == ST_HANDSHAKE) {
		handshake_step(c);
	} else if (c->state != ST_DEAD) {
		on_input(c);
		flush_out(c);
	}
	if (conn_leave(c))
		conn_update(c);
}

/* Watch what the state and the buffers ask for. */
void
conn_update(struct ldap_conn *c)
{
	int events = 0;
	switch (c->state) {
	case ST_CONNECTING:
	case ST_DEAD:
		break;
	case ST_HANDSHAKE:
		events = tls_wants(c->tls);
		break;
	case ST_STARTTLS:
	case ST_BINDING:
	case ST_READY:
		events = LOOP_READ;
		if (c->out.n > 0)
			events |= c->tls != NULL ? tls_wants(c->tls) : LOOP_WRITE;
		break;
	}
	if (c->fd >= 0)
		loop_io_set(&c->io, events);
}

static void
on_task(struct loop_task *t)
{
	struct ldap_conn *c = t->arg;
	c->busy = true;
	if (c->state == ST_DEAD) {
		c->ops->on_dead(c->arg, c, c->was_ready, c->why);
	} else if (c->state != ST_HANDSHAKE && c->state != ST_CONNECTING) {
		flush_out(c);
		/* Decrypted bytes that no event will announce. */
		if (c->state != ST_DEAD && c->tls != NULL && tls_unread(c->tls))
			on_input(c);
	}
	if (conn_leave(c))
		conn_update(c);
}

static void
on_deadline(struct loop_timer *t)
{
	struct ldap_conn *c = t->arg;
	static const char *const stage[] = { "no connection", "no answer to StartTLS",
		"no end of the TLS hand-shake", "no answer to the service account's bind" };
	conn_die(c, c->state <= ST_BINDING ? stage[c->state] : "silent");
}

static void
on_connected(void *arg, int fd, enum err e, const char *text)
{
	struct ldap_conn *c = arg;
	c->connecting = NULL;
	if (fd < 0) {
		conn_die(c, text != NULL ? text : err_name(e));
		return;
	}
	c->fd = fd;
	connect_watch_peer(fd, LOST_MS);
	loop_io_init(&c->io, c->loop, fd, on_io, c);
	if (!handle_new(c)) {
		conn_die(c, "libldap refused the socket");
		return;
	}
	c->busy = true;
	loop_timer_start(&c->deadline, c->o.setup_ms);
	if (c->o.target->tls) {
		start_handshake(c);
	} else if (c->o.starttls && !c->o.target->local) {
		c->state = ST_STARTTLS;
		int rc = ldap_extended_operation(
			c->ld, LDAP_EXOP_START_TLS, NULL, NULL, NULL, &c->setup_msgid);
		if (rc != LDAP_SUCCESS)
			conn_die(c, ldap_err2string(rc));
	} else {
		service_bind_start(c);
	}
	if (conn_leave(c))
		conn_update(c);
}

struct ldap_conn *
ldap_conn_open(struct loop *l, const struct ldap_conn_options *o, const struct ldap_conn_ops *ops,
	void *arg)
{
	static uint64_t last_id;
	struct ldap_conn *c = xcalloc(1, sizeof *c);
	c->id = ++last_id;
	c->loop = l;
	c->o = *o;
	c->ops = ops;
	c->arg = arg;
	c->fd = -1;
	list_init(&c->flight);
	buf_init(&c->in, IN_MAX);
	buf_init_secret(&c->out, OUT_MAX);
	loop_timer_init(&c->deadline, l, on_deadline, c);
	loop_task_init(&c->task, l, on_task, c);
	/* connect_start has the deadline itself; ours stands behind it, a little later. */
	loop_timer_start(&c->deadline, o->connect_ms + 100);
	c->connecting =
		connect_start(l, str_of(o->target->address), o->connect_ms, on_connected, c);
	return c;
}

/* ---- questions ---- */

void
ldap_conn_abandon(struct ldap_conn *c, struct ldap_op *op)
{
	list_remove(&op->link);
	if (c->state == ST_READY && ldap_abandon_ext(c->ld, op->msgid, NULL, NULL) != LDAP_SUCCESS)
		conn_die(c, "abandon failed");
}

struct ldap_op *
ldap_conn_take(struct ldap_conn *c)
{
	if (list_empty(&c->flight))
		return NULL;
	struct ldap_op *op = CONTAINER_OF(c->flight.next, struct ldap_op, link);
	list_remove(&op->link);
	return op;
}

uint64_t
ldap_conn_id(const struct ldap_conn *c)
{
	return c->id;
}

int64_t
ldap_conn_heard_ms(const struct ldap_conn *c)
{
	return c->heard_ms;
}

const char *
ldap_conn_tls(const struct ldap_conn *c)
{
	return c->tls != NULL ? tls_description(c->tls) : "";
}
