/* Searches on a connection: encoded and decoded by libldap, out of memory. conn.c hands messages
 * in, the pool sends through ldap_conn_send. The invariant: an op is in the connection's flight
 * list exactly while an answer to it is due, and whatever a server sends for it is either in
 * op->arena, within its maximum, or an error of that op. */
#define LDAP_DEPRECATED 0
#include "auth-ldap/ldap/conn_impl.h"

#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"

enum {
	WHY_MAX = sizeof(((struct ldap_conn *)0)->why),
	ATTRS_MAX = 64,	       /* we ask for a handful by name */
	VALUES_MAX = 200000,   /* of one attribute; they are copied in one turn of the loop */
	URIS_MAX = 64,	       /* of one reference */
	REFERENCES_MAX = 1000, /* of one answer; 50 are followed */
};

/* ---- results ---- */

static enum err
search_code(struct ldap_op *op, int code)
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
	case LDAP_REFERRAL:
		op->referred = true;
		return ERR_TEMP;
	default: /* a foreign library's codes */
		return ERR_TEMP;
	}
}

int
wire_result(struct ldap_conn *c, LDAPMessage *msg, char *text, size_t text_size)
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

/* ---- entries ---- */

static bool
too_many(struct ldap_op *op, const char *what, int max)
{
	(void)snprintf(op->text, sizeof op->text, "the answer has more than %d %s", max, what);
	return false;
}

static bool
copy_values(struct ldap_op *op, const struct berval *values, struct ldap_attr *out)
{
	struct arena *a = op->arena;
	size_t n = 0;
	while (values != NULL && values[n].bv_val != NULL && n <= VALUES_MAX)
		n++;
	if (n > VALUES_MAX)
		return too_many(op, "values of one attribute", VALUES_MAX);
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

static bool
copy_attrs(struct ldap_conn *c, struct ldap_op *op, LDAPMessage *msg, BerElement *ber,
	struct ldap_entry *e)
{
	struct arena *a = op->arena;
	struct ldap_attr attrs[ATTRS_MAX];
	size_t n = 0;
	for (;;) {
		struct berval name = { 0 };
		struct berval *values = NULL;
		if (ldap_get_attribute_ber(c->ld, msg, ber, &name, &values) != LDAP_SUCCESS)
			return false;
		if (name.bv_val == NULL)
			break;
		bool ok = n < ATTRS_MAX &&
			  arena_str(a, str_n(name.bv_val, name.bv_len), &attrs[n].name) == ERR_OK &&
			  copy_values(op, values, &attrs[n]);
		ber_memfree(values);
		if (!ok)
			return false;
		n++;
	}
	e->attrs = arena_calloc(a, n > 0 ? n : 1, sizeof *e->attrs);
	if (e->attrs == NULL)
		return false;
	if (n > 0)
		memcpy(e->attrs, attrs, n * sizeof *attrs);
	e->attrs_count = n;
	return true;
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
		  copy_attrs(c, op, msg, ber, e);
	ber_free(ber, 0);
	if (!ok)
		return false;
	*op->entries_end = e;
	op->entries_end = &e->next;
	op->entries_count++;
	return true;
}

/* ---- references, pages ---- */

static bool
copy_reference(struct ldap_op *op, char **uris)
{
	size_t n = 0;
	while (uris != NULL && uris[n] != NULL && n < URIS_MAX)
		n++;
	struct ldap_reference *r = arena_calloc(op->arena, 1, sizeof *r);
	if (r == NULL || (r->uris = arena_calloc(op->arena, n + 1, sizeof *r->uris)) == NULL)
		return false;
	for (; r->count < n; r->count++)
		if (arena_str(op->arena, str_of(uris[r->count]), &r->uris[r->count]) != ERR_OK)
			return false;
	r->next = op->references;
	op->references = r;
	return true;
}

static bool
reference_message(struct ldap_conn *c, struct ldap_op *op, LDAPMessage *msg)
{
	char **uris = NULL;
	if (++op->references_count > REFERENCES_MAX)
		return too_many(op, "references", REFERENCES_MAX);
	if (ldap_parse_reference(c->ld, msg, &uris, NULL, 0) != LDAP_SUCCESS)
		return false;
	bool ok = copy_reference(op, uris);
	ldap_memvfree((void **)uris);
	return ok;
}

/* The cookie of the next page; empty: no page follows, or the server does not page. */
static bool
take_page(struct ldap_conn *c, struct ldap_op *op, LDAPControl **controls)
{
	struct berval cookie = { 0 };
	ber_int_t estimate = 0;
	LDAPControl *found = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
	op->page = STR_EMPTY;
	if (found == NULL || op->page_size <= 0) /* a page that nobody asked for has no next one */
		return true;
	if (ldap_parse_pageresponse_control(c->ld, found, &estimate, &cookie) != LDAP_SUCCESS)
		return false;
	bool ok = arena_str(op->arena, str_n(cookie.bv_val, cookie.bv_len), &op->page) == ERR_OK;
	ber_memfree(cookie.bv_val);
	return ok;
}

/* Referral URIs and controls that came with the end of a search. */
static bool
search_extras(struct ldap_conn *c, struct ldap_op *op, LDAPMessage *msg)
{
	char **uris = NULL;
	LDAPControl **controls = NULL;
	int code = 0;
	if (ldap_parse_result(c->ld, msg, &code, NULL, NULL, &uris, &controls, 0) != LDAP_SUCCESS)
		return false;
	bool ok = uris == NULL || copy_reference(op, uris);
	ok = ok && take_page(c, op, controls);
	ldap_memvfree((void **)uris);
	ldap_controls_free(controls);
	return ok;
}

static void
search_done(struct ldap_conn *c, struct ldap_op *op, LDAPMessage *msg)
{
	op->conn_id = c->id;
	op->code = wire_result(c, msg, op->text, sizeof op->text);
	op->err = search_code(op, op->code);
	if (search_extras(c, op, msg))
		return;
	op->err = ERR_TEMP;
	(void)snprintf(op->text, sizeof op->text, "the end of the answer is garbled or too large");
}

/* ---- messages ---- */

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
nobodys_message(struct ldap_conn *c, LDAPMessage *msg)
{
	char text[WHY_MAX];
	if (ldap_msgid(msg) != 0)
		return; /* abandoned */
	(void)wire_result(c, msg, text, sizeof text);
	conn_die(c, text); /* notice of disconnection, RFC 4511 4.4.1 */
}

/* The rest of op's answer, which may have no end, is of no use. */
static void
give_up(struct ldap_conn *c, struct ldap_op *op)
{
	op->err = ERR_TEMP;
	op->entries = NULL; /* a part is not an answer */
	op->entries_end = &op->entries;
	op->entries_count = 0;
	op->references = NULL;
	if (op->text[0] == '\0')
		(void)snprintf(op->text, sizeof op->text, "the answer is garbled or too large");
	ldap_conn_abandon(c, op);
	c->ops->on_done(c->arg, c, op);
}

void
wire_message(struct ldap_conn *c, LDAPMessage *msg)
{
	struct ldap_op *op = find_op(c, ldap_msgid(msg));
	int type = ldap_msgtype(msg);
	if (op == NULL) {
		nobodys_message(c, msg);
		return;
	}
	bool search = op->type == LDAP_OP_SEARCH, ok = true;
	if (search && type == LDAP_RES_SEARCH_ENTRY) {
		ok = copy_entry(c, op, msg);
	} else if (search && type == LDAP_RES_SEARCH_REFERENCE) {
		ok = reference_message(c, op, msg);
	} else if (type == (search ? (int)LDAP_RES_SEARCH_RESULT : (int)LDAP_RES_BIND)) {
		list_remove(&op->link);
		c->strays = 0;
		if (search)
			search_done(c, op, msg);
		else
			user_bind_message(c, op, msg);
		c->ops->on_done(c->arg, c, op);
	} else {
		conn_die(c, "an answer that nobody asked for");
	}
	if (!ok)
		give_up(c, op);
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

static int
search_send(struct ldap_conn *c, struct ldap_op *op)
{
	LDAPControl *page = NULL;
	if (op->page_size > 0) {
		struct berval cookie = { .bv_len = op->page.n,
			.bv_val = (char *)(uintptr_t)op->page.p };
		/* Not critical: a server that does not page sends all of it. */
		int rc = ldap_create_page_control(c->ld, op->page_size, &cookie, 0, &page);
		if (rc != LDAP_SUCCESS)
			return rc;
	}
	LDAPControl *controls[] = { page, NULL };
	int rc = ldap_search_ext(c->ld, op->base.p, scope_of(op->scope), op->filter.p, op->attrs, 0,
		page != NULL ? controls : NULL, NULL, NULL, op->size_limit, &op->msgid);
	if (page != NULL)
		ldap_control_free(page);
	return rc;
}

enum err
ldap_conn_send(struct ldap_conn *c, struct ldap_op *op)
{
	if (c->state == ST_DEAD)
		return ERR_TEMP;
	/* An empty password would be an unauthenticated bind (RFC 4513 5.1.2). */
	if (op->type == LDAP_OP_BIND && (op->password.n == 0 || op->dn.n == 0))
		return ERR_SYNTAX;
	int rc = op->type == LDAP_OP_BIND ? user_bind_send(c, op) : search_send(c, op);
	if (rc == LDAP_FILTER_ERROR || rc == LDAP_PARAM_ERROR || rc == LDAP_ENCODING_ERROR)
		return ERR_SYNTAX;
	op->sent_ms = clock_ms();
	list_push_back(&c->flight, &op->link);
	if (rc != LDAP_SUCCESS)
		conn_die(c, ldap_err2string(rc));
	return ERR_OK;
}
