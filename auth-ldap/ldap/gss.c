/* The service account's Kerberos; see gss.h. ldap/bind.c drives it, token by token. The only file
 * that sees GSS-API.
 *
 * Invariants: a gss_bind is either the loop's or, between pool_submit and on_stepped, the helper
 * thread's; the loop touches `freed` and nothing else of it meanwhile. ldap_gss's strings never
 * change, and threads read `generation` only by the copy in their own gss_bind. */
#include "auth-ldap/ldap/gss.h"

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/event/pool.h"

enum {
	THREADS = 2, /* one may hang on a KDC for a while */
	TOKEN_MAX = 128 * 1024,
	BINDING_MAX = 128,
	WHY_MAX = 300,
	LAYER_NONE = 1, /* RFC 4752 3.1 */
	FRESH_MS = 300000,
};

struct ldap_gss {
	struct pool *pool;
	uint64_t number; /* of the process's ldap_gss: tickets of an earlier one are still there */
	char *keytab;	 /* "FILE:/…" */
	char *principal;
	unsigned generation; /* of the tickets */
	int64_t generation_ms;
	unsigned jobs;
	bool freed;
	struct loop_task end;
};

/* Jobs on helper threads, of all ldap_gss. The loop's. */
static unsigned jobs_running;

enum step { STEP_CONTEXT, STEP_LAYER, STEP_DONE };

struct gss_bind {
	struct pool_job job;
	struct ldap_gss *gss;
	gss_fn fn;
	void *arg;
	char service[300]; /* "ldap@host" */
	char ccache[64];
	struct buf binding, in, out;
	enum step step;
	gss_cred_id_t cred;
	gss_name_t name;
	gss_ctx_id_t context;
	enum err err;
	char why[WHY_MAX];
	bool busy;
	atomic_bool freed; /* nobody waits: the helper thread has nothing more to do */
};

/* ---- on the helper thread ---- */

static void
explain(struct gss_bind *b, const char *what, OM_uint32 major, OM_uint32 minor)
{
	OM_uint32 more = 0, ignored;
	gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
	/* The mechanism's own text says more than the general one, where there is any. */
	bool own = minor != 0;
	(void)gss_display_status(&ignored, own ? minor : major,
		own ? GSS_C_MECH_CODE : GSS_C_GSS_CODE, GSS_C_NO_OID, &more, &text);
	(void)snprintf(b->why, sizeof b->why, "%s: %.*s", what, (int)text.length,
		text.value != NULL ? (const char *)text.value : "");
	(void)gss_release_buffer(&ignored, &text);
	b->err = ERR_TEMP;
}

static bool
import_name(struct gss_bind *b, const char *text, gss_OID type, gss_name_t *out)
{
	OM_uint32 minor;
	gss_buffer_desc in = { strlen(text), (void *)(uintptr_t)text };
	OM_uint32 major = gss_import_name(&minor, &in, type, out);
	if (GSS_ERROR(major))
		explain(b, text, major, minor);
	return !GSS_ERROR(major);
}

static bool
acquire(struct gss_bind *b)
{
	OM_uint32 minor;
	gss_name_t self = GSS_C_NO_NAME;
	gss_key_value_element_desc where[] = { { "client_keytab", b->gss->keytab },
		{ "ccache", b->ccache } };
	const gss_key_value_set_desc store = { 2, where };
	gss_OID_set_desc mechanisms = { 1, (gss_OID)(uintptr_t)gss_mech_krb5 };
	if (b->gss->principal[0] != '\0' &&
		!import_name(b, b->gss->principal, (gss_OID)(uintptr_t)GSS_KRB5_NT_PRINCIPAL_NAME,
			&self))
		return false;
	OM_uint32 major = gss_acquire_cred_from(&minor, self, GSS_C_INDEFINITE, &mechanisms,
		GSS_C_INITIATE, &store, &b->cred, NULL, NULL);
	if (GSS_ERROR(major))
		explain(b, "no ticket by the keytab", major, minor);
	OM_uint32 ignored;
	(void)gss_release_name(&ignored, &self);
	return !GSS_ERROR(major);
}

static void
keep_out(struct gss_bind *b, gss_buffer_desc *token)
{
	OM_uint32 ignored;
	buf_reset(&b->out);
	buf_add(&b->out, str_n(token->value, token->length));
	if (buf_check(&b->out) != ERR_OK) {
		(void)snprintf(b->why, sizeof b->why, "the token is too large");
		b->err = ERR_TEMP;
	}
	(void)gss_release_buffer(&ignored, token);
}

static void
context_step(struct gss_bind *b)
{
	OM_uint32 minor;
	struct str binding = buf_str(&b->binding), got = buf_str(&b->in);
	struct gss_channel_bindings_struct cb = { 0 };
	cb.application_data = (gss_buffer_desc){ binding.n, (void *)(uintptr_t)binding.p };
	gss_buffer_desc in = { got.n, (void *)(uintptr_t)got.p }, token = GSS_C_EMPTY_BUFFER;
	/* Neither integrity nor confidentiality is asked for: Active Directory refuses a context
	 * that could sign inside TLS. */
	OM_uint32 major = gss_init_sec_context(&minor, b->cred, &b->context, b->name,
		(gss_OID)(uintptr_t)gss_mech_krb5, GSS_C_MUTUAL_FLAG | GSS_C_SEQUENCE_FLAG, 0,
		binding.n > 0 ? &cb : GSS_C_NO_CHANNEL_BINDINGS,
		b->context != GSS_C_NO_CONTEXT ? &in : GSS_C_NO_BUFFER, NULL, &token, NULL, NULL);
	if (GSS_ERROR(major)) {
		explain(b, "Kerberos", major, minor);
		return;
	}
	if ((major & GSS_S_CONTINUE_NEEDED) == 0)
		b->step = STEP_LAYER;
	keep_out(b, &token);
}

/* The server offers security layers; the answer is: none, and no other identity. RFC 4752 3.1 */
static void
layer_step(struct gss_bind *b)
{
	OM_uint32 minor, ignored;
	struct str got = buf_str(&b->in);
	gss_buffer_desc in = { got.n, (void *)(uintptr_t)got.p }, offer = GSS_C_EMPTY_BUFFER,
			token = GSS_C_EMPTY_BUFFER;
	OM_uint32 major = gss_unwrap(&minor, b->context, &in, &offer, NULL, NULL);
	if (GSS_ERROR(major)) {
		explain(b, "what the server sent is not its own", major, minor);
		return;
	}
	bool ok = offer.length == 4 && (((const unsigned char *)offer.value)[0] & LAYER_NONE) != 0;
	(void)gss_release_buffer(&ignored, &offer);
	if (!ok) {
		(void)snprintf(b->why, sizeof b->why,
			"the server demands signing or sealing, also inside TLS");
		b->err = ERR_TEMP;
		return;
	}
	static char none[4] = { LAYER_NONE, 0, 0, 0 };
	gss_buffer_desc answer = { sizeof none, none };
	major = gss_wrap(&minor, b->context, 0, GSS_C_QOP_DEFAULT, &answer, NULL, &token);
	if (GSS_ERROR(major)) {
		explain(b, "Kerberos", major, minor);
		return;
	}
	b->step = STEP_DONE;
	keep_out(b, &token);
}

static void
run(struct pool_job *j)
{
	struct gss_bind *b = CONTAINER_OF(j, struct gss_bind, job);
	if (b->freed)
		return; /* many may have given up behind one that waits for a KDC */
	if (b->name == GSS_C_NO_NAME &&
		(!import_name(b, b->service, GSS_C_NT_HOSTBASED_SERVICE, &b->name) || !acquire(b)))
		return;
	switch (b->step) {
	case STEP_CONTEXT:
		context_step(b);
		return;
	case STEP_LAYER:
		layer_step(b);
		return;
	case STEP_DONE:
		(void)snprintf(b->why, sizeof b->why, "one step too many");
		b->err = ERR_TEMP;
		return;
	}
}

/* ---- on the loop ---- */

static void
bind_destroy(struct gss_bind *b)
{
	OM_uint32 ignored;
	if (b->context != GSS_C_NO_CONTEXT)
		(void)gss_delete_sec_context(&ignored, &b->context, GSS_C_NO_BUFFER);
	(void)gss_release_name(&ignored, &b->name);
	(void)gss_release_cred(&ignored, &b->cred);
	buf_fini(&b->binding);
	buf_fini(&b->in);
	buf_fini(&b->out);
	free(b);
}

static void
gss_destroy(struct ldap_gss *g)
{
	loop_task_cancel(&g->end);
	pool_free(g->pool);
	free(g->keytab);
	free(g->principal);
	free(g);
}

static void
on_end(struct loop_task *t)
{
	gss_destroy(t->arg);
}

static void
on_stepped(struct pool_job *j)
{
	struct gss_bind *b = CONTAINER_OF(j, struct gss_bind, job);
	struct ldap_gss *g = b->gss;
	g->jobs--;
	jobs_running--;
	b->busy = false;
	if (!b->freed) {
		b->fn(b->arg, b->err, buf_str(&b->out), b->step == STEP_DONE, b->why);
		return;
	}
	bind_destroy(b);
	if (g->freed && g->jobs == 0)
		loop_task_queue(&g->end); /* the pool cannot end inside its own call */
}

static void
submit(struct gss_bind *b)
{
	b->busy = true;
	b->gss->jobs++;
	jobs_running++;
	pool_submit(b->gss->pool, &b->job);
}

struct gss_bind *
gss_bind_start(struct ldap_gss *g, struct str host, struct str binding, gss_fn fn, void *arg)
{
	struct gss_bind *b = xcalloc(1, sizeof *b);
	b->job = (struct pool_job){ .run = run, .done = on_stepped, .class = POOL_COMMIT };
	b->gss = g;
	b->fn = fn;
	b->arg = arg;
	(void)snprintf(b->service, sizeof b->service, "ldap@%.*s", STR_FMT(host));
	(void)snprintf(b->ccache, sizeof b->ccache, "MEMORY:postroom-%llu-%u",
		(unsigned long long)g->number, g->generation);
	buf_init(&b->binding, BINDING_MAX);
	buf_init_secret(&b->in, TOKEN_MAX);
	buf_init_secret(&b->out, TOKEN_MAX);
	if (binding.n > 0) {
		buf_addz(&b->binding, "tls-server-end-point:");
		buf_add(&b->binding, binding);
	}
	b->cred = GSS_C_NO_CREDENTIAL;
	b->name = GSS_C_NO_NAME;
	b->context = GSS_C_NO_CONTEXT;
	submit(b);
	return b;
}

void
gss_bind_step(struct gss_bind *b, struct str token)
{
	buf_reset(&b->in);
	buf_add(&b->in, token);
	if (buf_check(&b->in) != ERR_OK)
		buf_reset(&b->in); /* the library will call it defective */
	submit(b);
}

void
gss_bind_free(struct gss_bind *b, bool refused)
{
	if (b == NULL)
		return;
	/* Old tickets stay in memory to the end of the process: not at each refusal. */
	if (refused && (b->gss->generation == 0 || clock_ms() - b->gss->generation_ms > FRESH_MS)) {
		b->gss->generation++;
		b->gss->generation_ms = clock_ms();
	}
	if (b->busy)
		b->freed = true;
	else
		bind_destroy(b);
}

/* The process ends while a thread waits for a KDC: the library's own end would pull its memory away
 * from under that thread. */
static void
on_process_end(int status, void *arg UNUSED)
{
	if (jobs_running > 0) {
		(void)fflush(NULL);
		_exit(status);
	}
}

enum err
ldap_gss_new(struct loop *l, struct str keytab, struct str principal, struct ldap_gss **out,
	const char **err_out)
{
	if (keytab.n == 0 || keytab.p[0] != '/' || str_has_nul(keytab) || str_has_nul(principal)) {
		*err_out = "bind_method = gssapi needs bind_keytab, an absolute path";
		return ERR_SYNTAX;
	}
	static bool prepared;
	if (!prepared)
		prepared = on_exit(on_process_end, NULL) == 0;
	static uint64_t numbers;
	struct ldap_gss *g = xcalloc(1, sizeof *g);
	struct buf b;
	g->number = ++numbers;
	buf_init(&b, keytab.n + 16);
	buf_addz(&b, "FILE:");
	buf_add(&b, keytab);
	g->keytab = str_dup(buf_str(&b));
	buf_fini(&b);
	g->principal = str_dup(principal);
	g->pool = pool_new(l, THREADS);
	loop_task_init(&g->end, l, on_end, g);
	*out = g;
	return ERR_OK;
}

void
ldap_gss_free(struct ldap_gss *g)
{
	if (g == NULL)
		return;
	g->freed = true;
	if (g->jobs == 0)
		gss_destroy(g);
}
