/* Binds: the service account's, which makes a connection ready, and users', which are questions.
 * conn.c and wire.c call it. Invariants: a SASL bind is made of single messages that we send, never
 * by libldap's own loop, which would block; and an identity that is worth something never leaves
 * over a connection that others can read. */
#define LDAP_DEPRECATED 0
#include "auth-ldap/ldap/conn_impl.h"

#include <stdio.h>

#include "auth-ldap/ldap/gss.h"

enum {
	WHY_MAX = sizeof(((struct ldap_conn *)0)->why),
	CONTROLS_MAX = 8,
	BINDING_MAX = 64,
};

/* ---- the service account ---- */

static void
bind_send(struct ldap_conn *c, const char *dn, const char *mechanism, struct str secret)
{
	struct berval cred = { .bv_len = secret.n, .bv_val = (char *)(uintptr_t)secret.p };
	int rc = ldap_sasl_bind(c->ld, dn, mechanism, &cred, NULL, NULL, &c->setup_msgid);
	if (rc != LDAP_SUCCESS)
		conn_die(c, ldap_err2string(rc));
}

static void
simple_bind(struct ldap_conn *c)
{
	struct buf dn;
	buf_init(&dn, 4096);
	buf_add(&dn, c->o.bind_dn);
	bind_send(c, buf_z(&dn), LDAP_SASL_SIMPLE, c->o.bind_password);
	buf_fini(&dn);
}

static bool
is_private(const struct ldap_conn *c)
{
	return c->tls != NULL || c->o.target->local;
}

/* A token is ready, from the loop. */
static void
on_token(void *arg, enum err e, struct str token, bool last, const char *why)
{
	struct ldap_conn *c = arg;
	if (e != ERR_OK) {
		char text[WHY_MAX];
		(void)snprintf(text, sizeof text, "service account: %s", why);
		conn_die(c, text);
	} else {
		c->gss_last = last;
		bind_send(c, "", "GSSAPI", token);
	}
	conn_update(c);
}

static void
gssapi_bind(struct ldap_conn *c)
{
	unsigned char hash[BINDING_MAX];
	struct str binding = STR_EMPTY;
	size_t n = 0;
	if (c->o.gss == NULL) {
		conn_die(c, "service account: no Kerberos in this process");
		return;
	}
	if (c->tls != NULL && tls_server_end_point(c->tls, hash, sizeof hash, &n) == ERR_OK)
		binding = str_n(hash, n);
	c->gss_last = false;
	c->gss = gss_bind_start(c->o.gss, str_of(c->o.target->host), binding, on_token, c);
}

void
service_bind_start(struct ldap_conn *c)
{
	c->state = ST_BINDING;
	switch (c->o.method) {
	case LDAP_METHOD_NONE:
		conn_ready(c);
		return;
	case LDAP_METHOD_SIMPLE:
		if (c->o.bind_dn.n == 0)
			conn_ready(c);
		else
			simple_bind(c);
		return;
	case LDAP_METHOD_EXTERNAL:
		if (is_private(c))
			bind_send(c, "", "EXTERNAL", STR_EMPTY);
		else
			conn_die(c, "bind_method = external needs ldapi:// or TLS");
		return;
	case LDAP_METHOD_GSSAPI:
		if (is_private(c))
			gssapi_bind(c);
		else
			conn_die(c, "bind_method = gssapi needs TLS or ldapi://: no signing or "
				    "sealing is done here");
		return;
	}
}

/* "SASL bind in progress": the next step. */
static void
gssapi_more(struct ldap_conn *c, LDAPMessage *msg)
{
	struct berval *cred = NULL;
	(void)ldap_parse_sasl_bind_result(c->ld, msg, &cred, 0);
	if (c->gss_last)
		conn_die(c, "service account: the server asks for one step too many");
	else
		gss_bind_step(c->gss, cred != NULL ? str_n(cred->bv_val, cred->bv_len) : STR_EMPTY);
	ber_bvfree(cred);
}

/* The server's word, and which settings it is about. */
static void
service_refused(struct ldap_conn *c, const char *text)
{
	char why[WHY_MAX];
	switch (c->o.method) {
	case LDAP_METHOD_SIMPLE:
		(void)snprintf(why, sizeof why,
			"service account refused: %.120s (bind_dn %.*s, bind_password)", text,
			STR_FMT(str_sub(c->o.bind_dn, 0, 100)));
		break;
	case LDAP_METHOD_EXTERNAL:
		(void)snprintf(why, sizeof why,
			"service account refused: %.120s (bind_method external)", text);
		break;
	case LDAP_METHOD_GSSAPI:
	case LDAP_METHOD_NONE:
		(void)snprintf(why, sizeof why, "service account refused: %.220s", text);
		break;
	}
	conn_die(c, why);
}

void
service_bind_message(struct ldap_conn *c, LDAPMessage *msg)
{
	char text[WHY_MAX];
	if (ldap_msgtype(msg) != LDAP_RES_BIND || ldap_msgid(msg) != c->setup_msgid) {
		conn_die(c, "an answer that nobody asked for");
		return;
	}
	c->setup_msgid = -1; /* one answer each */
	int code = wire_result(c, msg, text, sizeof text);
	if (code == LDAP_SASL_BIND_IN_PROGRESS && c->gss != NULL) {
		gssapi_more(c, msg);
	} else if (code != LDAP_SUCCESS) {
		service_refused(c, text);
	} else if (c->gss != NULL && !c->gss_last) {
		/* It has not proved yet who it is. */
		conn_die(c, "service account: the server ended the Kerberos exchange early");
	} else {
		conn_ready(c);
	}
}

/* ---- users ---- */

int
user_bind_send(struct ldap_conn *c, struct ldap_op *op)
{
	/* "Tell what you know about the password": draft-behera-ldap-password-policy-10 6.1. */
	static LDAPControl policy = { .ldctl_oid = (char *)(uintptr_t)PPOLICY_OID };
	static LDAPControl *controls[] = { &policy, NULL };
	struct str password = buf_str(&op->password);
	struct berval cred = { .bv_len = password.n, .bv_val = (char *)(uintptr_t)password.p };
	return ldap_sasl_bind(c->ld, op->dn.p, LDAP_SASL_SIMPLE, &cred, controls, NULL, &op->msgid);
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

static size_t
list_controls(LDAPControl **from, struct ldap_control *out)
{
	size_t n = 0;
	for (; from != NULL && from[n] != NULL && n < CONTROLS_MAX; n++) {
		const struct berval *v = &from[n]->ldctl_value;
		out[n].oid = str_of(from[n]->ldctl_oid);
		out[n].value = v->bv_val != NULL ? str_n(v->bv_val, v->bv_len) : STR_EMPTY;
	}
	return n;
}

void
user_bind_message(struct ldap_conn *c, struct ldap_op *op, LDAPMessage *msg)
{
	struct ldap_control controls[CONTROLS_MAX];
	LDAPControl **got = NULL;
	char *diagnostic = NULL;
	int code = LDAP_OTHER;
	op->conn_id = c->id;
	op->code = wire_result(c, msg, op->text, sizeof op->text);
	op->err = bind_code(op->code);
	if (ldap_parse_result(c->ld, msg, &code, NULL, &diagnostic, NULL, &got, 0) ==
		LDAP_SUCCESS) {
		size_t n = list_controls(got, controls);
		op->facts = ldap_bind_facts_of(code, str_of(diagnostic), controls, n);
	} else {
		op->err = ERR_TEMP;
	}
	ldap_memfree(diagnostic);
	ldap_controls_free(got);
}
