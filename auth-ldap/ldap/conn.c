/* One connection to a directory server. ldap/pool.c opens it, sends searches or binds, and gets the
 * answers.
 *
 * libldap would block in connects and in its TLS hand-shake (SPIKES: Debian builds it on GnuTLS),
 * and allows one half-sent request only. So the socket is ours: our layer under libldap reads from
 * and writes to two buffers, and this file moves bytes between them and the socket or the TLS
 * connection. The invariant: libldap never sees a socket that could make it wait, and a handle is
 * thrown away at the first error, because a second use could make it connect anew, anonymously. */
#define LDAP_DEPRECATED 0
#include "auth-ldap/ldap/conn.h"

#include <errno.h>
#include <ldap.h>
#include <openldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/event/connect.h"

enum {
	IN_MAX = 64 * 1024,	    /* taken from the socket in one callback */
	OUT_MAX = 8 * 1024 * 1024,  /* requests not yet sent; the pool sends fewer */
	PDU_MAX = 16 * 1024 * 1024, /* one entry */
	REASON_MAX = 256,
};

enum state {
	ST_CONNECTING, /* connect_start runs */
	ST_STARTTLS,   /* the extended operation was sent */
	ST_HANDSHAKE,
	ST_BINDING, /* as the service account */
	ST_READY,
	ST_DEAD, /* on_dead is due, or was called */
};

struct ldap_conn {
	struct loop *loop;
	struct ldap_conn_options o;
	const struct ldap_conn_ops *ops;
	void *arg;
	enum state state;
	struct connecting *connecting;
	LDAP *ld; /* owns fd */
	int fd;
	struct tls *tls;
	struct loop_io io;
	struct loop_timer deadline; /* of the stages before ST_READY */
	struct loop_task task;	    /* flush, or report death */
	struct buf in, out;
	bool in_eof;
	int setup_msgid;
	struct list flight;
	int64_t heard_ms;
	uint64_t id;
	bool was_ready;
	char why[REASON_MAX];
	bool busy; /* inside a callback: freeing waits */
	bool freed;
};

static void
conn_update(struct ldap_conn *c);

void
ldap_conn_setup(void)
{
	/* Neither ldap.conf nor the environment may change what the settings say. */
	setenv("LDAPNOINIT", "1", 1);
}

/* ---- death ---- */

static void
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
	if (opt == LBER_SB_OPT_DATA_READY && c->in.n > 0)
		return 1;
	return LBER_SBIOD_CTRL_NEXT(d, opt, arg);
}

static ber_slen_t
layer_read(Sockbuf_IO_Desc *d, void *p, ber_len_t n)
{
	struct ldap_conn *c = d->sbiod_pvt;
	if (c->in.n == 0) {
		if (c->in_eof || c->state == ST_DEAD)
			return 0;
		errno = EAGAIN;
		return -1;
	}
	size_t take = n < c->in.n ? n : c->in.n;
	memcpy(p, buf_str(&c->in).p, take);
	buf_consume(&c->in, take);
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
	if (c->out.n == 0)
		buf_release(&c->out); /* passwords of binds */
}

/* Take what arrived, up to IN_MAX. ERR_AGAIN: nothing more for now; ERR_OK: there may be more. */
static enum err
fill_in(struct ldap_conn *c)
{
	/* Before StartTLS ended nothing is read ahead of the one answer that is due: bytes behind
	 * it must not be taken for ones that came encrypted. */
	size_t room = c->state == ST_STARTTLS ? 4096 : IN_MAX;
	while (c->in.n < room) {
		size_t got = 0;
		char *p = buf_reserve(&c->in, room - c->in.n);
		if (c->tls != NULL) {
			enum err e = tls_read(c->tls, p, room - c->in.n, &got);
			if (e != ERR_OK)
				return e;
		} else {
			ssize_t n = recv(c->fd, p, room - c->in.n, MSG_DONTWAIT);
			if (n < 0)
				return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_TEMP;
			if (n == 0)
				return ERR_EOF;
			got = (size_t)n;
		}
		buf_commit(&c->in, got);
	}
	return ERR_OK;
}

/* ---- answers ---- */

static enum err
search_code(const struct ldap_op *op, int code)
{
	switch (code) {
	case LDAP_SUCCESS:
		return ERR_OK;
	case LDAP_SIZELIMIT_EXCEEDED:
		return ERR_LIMIT;
	case LDAP_NO_SUCH_OBJECT:
	case LDAP_INVALID_DN_SYNTAX: /* a member value that is no DN */
		/* A base that is not there is a mistake in the settings, never "no such user". */
		return op->scope == SCOPE_BASE ? ERR_NOTFOUND : ERR_TEMP;
	default: /* a foreign library's codes */
		return ERR_TEMP;
	}
}

static enum err
bind_code(int code)
{
	switch (code) {
	case LDAP_SUCCESS:
		return ERR_OK;
	case LDAP_INVALID_CREDENTIALS:
	case LDAP_NO_SUCH_OBJECT:
	case LDAP_INVALID_DN_SYNTAX:
	case LDAP_INAPPROPRIATE_AUTH:
	case LDAP_INSUFFICIENT_ACCESS:
	case LDAP_CONSTRAINT_VIOLATION:
	case LDAP_UNWILLING_TO_PERFORM:
		return ERR_DENIED;
	default: /* busy, unavailable, "stronger authentication required": nobody checked */
		return ERR_TEMP;
	}
}

/* The result code and diagnostic of msg. */
static int
result_of(struct ldap_conn *c, LDAPMessage *msg, char *text, size_t text_size)
{
	int code = LDAP_OTHER;
	char *diagnostic = NULL;
	if (ldap_parse_result(c->ld, msg, &code, NULL, &diagnostic, NULL, NULL, 0) != LDAP_SUCCESS)
		code = LDAP_PROTOCOL_ERROR;
	bool some = diagnostic != NULL && diagnostic[0] != '\0';
	(void)snprintf(text, text_size, "%s%s%s", ldap_err2string(code), some ? ": " : "",
		some ? diagnostic : "");
	ldap_memfree(diagnostic);
	return code;
}

static bool
copy_values(struct arena *a, const struct berval *values, struct ldap_attr *out)
{
	size_t n = 0;
	while (values != NULL && values[n].bv_val != NULL)
		n++;
	out->values = arena_calloc(a, n > 0 ? n : 1, sizeof *out->values);
	if (out->values == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		if (arena_str(a, str_n(values[i].bv_val, values[i].bv_len), &out->values[i]) !=
			ERR_OK)
			return false;
	out->count = n;
	return true;
}

enum { ATTRS_MAX = 64 }; /* we ask for a handful by name */

static bool
copy_attrs(struct ldap_conn *c, struct arena *a, LDAPMessage *msg, BerElement *ber,
	struct ldap_entry *e)
{
	e->attrs = arena_calloc(a, ATTRS_MAX, sizeof *e->attrs);
	if (e->attrs == NULL)
		return false;
	for (;;) {
		struct berval name = { 0 };
		struct berval *values = NULL;
		if (ldap_get_attribute_ber(c->ld, msg, ber, &name, &values) != LDAP_SUCCESS)
			return false;
		if (name.bv_val == NULL)
			return true;
		struct ldap_attr *at = &e->attrs[e->attrs_count];
		bool ok = e->attrs_count < ATTRS_MAX &&
			  arena_str(a, str_n(name.bv_val, name.bv_len), &at->name) == ERR_OK &&
			  copy_values(a, values, at);
		ber_memfree(values);
		if (!ok)
			return false;
		e->attrs_count++;
	}
}

/* False: over the arena's maximum, or no entry. */
static bool
copy_entry(struct ldap_conn *c, struct ldap_op *op, LDAPMessage *msg)
{
	BerElement *ber = NULL;
	struct berval dn;
	struct ldap_entry *e = arena_calloc(op->arena, 1, sizeof *e);
	if (e == NULL || ldap_get_dn_ber(c->ld, msg, &ber, &dn) != LDAP_SUCCESS)
		return false;
	bool ok = arena_str(op->arena, str_n(dn.bv_val, dn.bv_len), &e->dn) == ERR_OK &&
		  copy_attrs(c, op->arena, msg, ber, e);
	ber_free(ber, 0);
	if (!ok)
		return false;
	*op->entries_end = e;
	op->entries_end = &e->next;
	op->entries_count++;
	return true;
}

static struct ldap_op *
find_op(struct ldap_conn *c, int msgid)
{
	LIST_FOREACH (l, &c->flight) {
		struct ldap_op *op = CONTAINER_OF(l, struct ldap_op, link);
		if (op->msgid == msgid)
			return op;
	}
	return NULL;
}

static void
op_message(struct ldap_conn *c, LDAPMessage *msg)
{
	struct ldap_op *op = find_op(c, ldap_msgid(msg));
	int type = ldap_msgtype(msg);
	if (op == NULL) {
		if (ldap_msgid(msg) == 0) {
			char text[REASON_MAX];
			(void)result_of(c, msg, text, sizeof text);
			conn_die(c, text); /* notice of disconnection, RFC 4511 4.4.1 */
		}
		return; /* abandoned */
	}
	if (type == LDAP_RES_SEARCH_ENTRY && op->type == LDAP_OP_SEARCH) {
		if (op->err == ERR_OK && !copy_entry(c, op, msg)) {
			op->err = ERR_TEMP;
			(void)snprintf(op->text, sizeof op->text, "the answer is too large");
		}
		return;
	}
	if (type == LDAP_RES_SEARCH_REFERENCE)
		return; /* never followed */
	const int want =
		op->type == LDAP_OP_BIND ? (int)LDAP_RES_BIND : (int)LDAP_RES_SEARCH_RESULT;
	if (type != want) {
		conn_die(c, "an answer that nobody asked for");
		return;
	}
	list_remove(&op->link);
	if (op->err == ERR_OK) {
		op->code = result_of(c, msg, op->text, sizeof op->text);
		op->err =
			op->type == LDAP_OP_BIND ? bind_code(op->code) : search_code(op, op->code);
	}
	c->ops->on_done(c->arg, c, op);
}

static void
conn_ready(struct ldap_conn *c)
{
	loop_timer_stop(&c->deadline);
	c->state = ST_READY;
	c->ops->on_ready(c->arg, c);
}

static void
service_bind(struct ldap_conn *c)
{
	if (c->o.bind_dn.n == 0) {
		conn_ready(c);
		return;
	}
	c->state = ST_BINDING;
	struct buf dn;
	buf_init(&dn, 4096);
	buf_add(&dn, c->o.bind_dn);
	struct berval cred = { .bv_len = c->o.bind_password.n,
		.bv_val = (char *)(uintptr_t)c->o.bind_password.p };
	int rc = ldap_sasl_bind(
		c->ld, buf_z(&dn), LDAP_SASL_SIMPLE, &cred, NULL, NULL, &c->setup_msgid);
	buf_fini(&dn);
	if (rc != LDAP_SUCCESS)
		conn_die(c, ldap_err2string(rc));
}

static void
handshake_step(struct ldap_conn *c)
{
	enum err e = tls_handshake(c->tls);
	if (e == ERR_OK)
		service_bind(c);
	else if (e != ERR_AGAIN)
		conn_die(c,
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
setup_message(struct ldap_conn *c, LDAPMessage *msg)
{
	char text[REASON_MAX], why[REASON_MAX + 40];
	if (ldap_msgid(msg) != c->setup_msgid) {
		conn_die(c, "an answer that nobody asked for");
		return;
	}
	int code = result_of(c, msg, text, sizeof text);
	bool tls = c->state == ST_STARTTLS;
	if (code != LDAP_SUCCESS) {
		(void)snprintf(why, sizeof why, "%s: %s",
			tls ? "StartTLS refused" : "service account refused", text);
		conn_die(c, why);
	} else if (!tls) {
		conn_ready(c);
	} else if (c->in.n > 0) {
		conn_die(c, "bytes in clear behind the StartTLS answer");
	} else {
		start_handshake(c);
	}
}

/* Let libldap decode what lies in c->in. */
static void
decode(struct ldap_conn *c)
{
	while (c->in.n > 0 && c->state != ST_DEAD && !c->freed) {
		struct timeval now = { 0 };
		LDAPMessage *msg = NULL;
		int rc = ldap_result(c->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &now, &msg);
		if (rc == 0)
			break; /* the rest of a message is still to come */
		if (rc < 0) {
			conn_die(c, "what the server sent is no LDAP");
			break;
		}
		if (c->state == ST_READY)
			op_message(c, msg);
		else
			setup_message(c, msg);
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
	if (c->in.n == 0)
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
static void
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
		if (c->state != ST_DEAD && c->tls != NULL && tls_pending(c->tls) > 0)
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
		service_bind(c);
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

static int
scope_of(enum ldap_scope s)
{
	switch (s) {
	case SCOPE_SUB:
		return LDAP_SCOPE_SUBTREE;
	case SCOPE_BASE:
		return LDAP_SCOPE_BASE;
	case SCOPE_ONE:
		return LDAP_SCOPE_ONELEVEL;
	}
	return LDAP_SCOPE_SUBTREE;
}

enum err
ldap_conn_send(struct ldap_conn *c, struct ldap_op *op)
{
	int rc;
	if (c->state == ST_DEAD)
		return ERR_TEMP;
	if (op->type == LDAP_OP_BIND) {
		struct str password = buf_str(&op->password);
		struct berval cred = { .bv_len = password.n,
			.bv_val = (char *)(uintptr_t)password.p };
		/* An empty password would be an unauthenticated bind (RFC 4513 5.1.2). */
		if (password.n == 0 || op->dn.n == 0)
			return ERR_SYNTAX;
		rc = ldap_sasl_bind(
			c->ld, op->dn.p, LDAP_SASL_SIMPLE, &cred, NULL, NULL, &op->msgid);
	} else {
		rc = ldap_search_ext(c->ld, op->base.p, scope_of(op->scope), op->filter.p,
			op->attrs, 0, NULL, NULL, NULL, op->size_limit, &op->msgid);
	}
	if (rc == LDAP_FILTER_ERROR || rc == LDAP_PARAM_ERROR || rc == LDAP_ENCODING_ERROR)
		return ERR_SYNTAX;
	op->sent_ms = clock_ms();
	list_push_back(&c->flight, &op->link);
	if (rc != LDAP_SUCCESS)
		conn_die(c, ldap_err2string(rc));
	return ERR_OK;
}

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

const struct ldap_attr *
ldap_entry_attr(const struct ldap_entry *e, struct str name)
{
	for (size_t i = 0; i < e->attrs_count; i++) {
		struct str base, options;
		(void)str_cut(e->attrs[i].name, ';', &base, &options);
		if (str_ieq(base, name) && e->attrs[i].count > 0)
			return &e->attrs[i];
	}
	return NULL;
}
