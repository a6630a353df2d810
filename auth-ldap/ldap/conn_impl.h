#ifndef POSTROOM_AUTH_LDAP_CONN_IMPL_H
#define POSTROOM_AUTH_LDAP_CONN_IMPL_H

#include <ldap.h>

#include "auth-ldap/ldap/conn.h"
#include "core/event/connect.h"

/* What conn.c (states, bytes), wire.c (searches) and bind.c (who we are, and who a user is) share.
 * The only place outside them where libldap's types are seen. */
enum conn_state {
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
	enum conn_state state;
	struct connecting *connecting;
	LDAP *ld; /* owns fd */
	int fd;
	struct tls *tls;
	struct loop_io io;
	struct loop_timer deadline; /* of the stages before ST_READY */
	struct loop_task task;	    /* flush, or report death */
	struct buf in, out;
	bool in_eof;
	size_t frame_left; /* bytes of this message that libldap has not read */
	unsigned strays;   /* messages that nobody waited for, since the last answer */
	int setup_msgid;
	struct gss_bind *gss; /* in ST_BINDING, by Kerberos */
	bool gss_last;	      /* the server's success is all that is due */
	struct list flight;
	int64_t heard_ms;
	uint64_t id;
	bool was_ready;
	char why[256];
	bool busy; /* inside a callback: freeing waits */
	bool freed;
};

/* conn.c */

/* why is copied. on_dead comes from the loop, later. */
void
conn_die(struct ldap_conn *c, const char *why);
/* Connected, encrypted, identified. */
void
conn_ready(struct ldap_conn *c);
/* After something was done outside the connection's own callbacks. */
void
conn_update(struct ldap_conn *c);

/* wire.c */

/* An answer, or a part of one, to an op. */
void
wire_message(struct ldap_conn *c, LDAPMessage *msg);
/* The result code of msg, and text for the log. */
int
wire_result(struct ldap_conn *c, LDAPMessage *msg, char *text, size_t text_size);

/* bind.c */

/* Begin to be the service account; ends in conn_ready or conn_die. */
void
service_bind_start(struct ldap_conn *c);
/* The answer to the message that it sent. */
void
service_bind_message(struct ldap_conn *c, LDAPMessage *msg);
/* libldap's code. */
int
user_bind_send(struct ldap_conn *c, struct ldap_op *op);
/* Fills the answer of op. */
void
user_bind_message(struct ldap_conn *c, struct ldap_op *op, LDAPMessage *msg);

#endif
