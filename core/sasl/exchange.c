/* The one place that knows Cyrus SASL (and, for the keytab and the names of principals, GSSAPI).
 * The auth service calls it for each login. The checkpass callback cannot wait for a directory, so
 * it only takes the name and the password down and says yes; a success of the library's therefore
 * means "the claim is complete" for passwords, and "the proof is right" for SCRAM, GSSAPI and
 * EXTERNAL.
 *
 * Nothing is read from /etc/sasl2: every option comes from our callbacks, and lookups of
 * properties end in a plug-in of ours that knows the keys that the exchange was given, and nobody
 * else: the library's own would open /etc/sasldb2. */
#include "core/sasl/exchange.h"

#include <gssapi/gssapi_krb5.h>
#include <pthread.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "core/sasl/bearer.h"
#include "core/sasl/library.h"

enum {
	CLAIM_MAX = SASL_RESPONSE_MAX + 1,
	LOGIN_NAME_MAX_BYTES = 1000,
	LOGIN_PASSWORD_MAX_BYTES = 1024, /* what the library takes */
	SCRAM_NAME_MAX_BYTES = 1000,	 /* the library takes 1,023 */
	KEY_MAX = 1024,
};

struct sasl_exchange {
	sasl_conn_t *conn;	      /* NULL: SASL_TOKEN */
	sasl_callback_t callbacks[4]; /* kept by conn */
	const struct sasl_mechanism *mechanism;
	bool xoauth2;
	bool login; /* LOGIN: its responses are bare strings, name and password */
	bool login_named;
	bool started;
	bool captured;
	bool refused;	 /* the token was: the client knows */
	bool wants_keys; /* SCRAM, before the first step */
	bool proven;	 /* SCRAM: the client's proof was right, our signature is out */
	enum err failed; /* from inside a callback */
	struct buf name, password, authzid, token;
	struct buf first;  /* SCRAM's first message, while the keys are fetched */
	struct buf secret; /* the keys as RFC 5803 writes them */
	struct sasl_claim claim;
};

static bool initialized;

static int
on_getopt(void *context UNUSED, const char *plugin UNUSED, const char *option, const char **result,
	unsigned *len)
{
	static const struct {
		const char *name, *value;
	} options[] = {
		{ "auxprop_plugin", "postroom" },
		{ "pwcheck_method", "postroom" },
		{ "canon_user_plugin", "INTERNAL" },
		{ "log_level", "2" },
	};
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strcmp(option, options[i].name) == 0) {
			*result = options[i].value;
			if (len != NULL)
				*len = (unsigned)strlen(options[i].value);
			return SASL_OK;
		}
	return SASL_FAIL;
}

static int
on_checkpass(sasl_conn_t *conn UNUSED, void *context, const char *user UNUSED, const char *pass,
	unsigned pass_len, struct propctx *props UNUSED)
{
	struct sasl_exchange *s = context;
	buf_reset(&s->password);
	buf_add(&s->password, str_n(pass, pass_len));
	s->captured = true;
	return SASL_OK;
}

static int
on_proxy_policy(sasl_conn_t *conn UNUSED, void *context UNUSED, const char *requested UNUSED,
	unsigned requested_len UNUSED, const char *auth UNUSED, unsigned auth_len UNUSED,
	const char *realm UNUSED, unsigned realm_len UNUSED, struct propctx *props UNUSED)
{
	/* Who may act as whom is decided after the password was verified. */
	return SASL_OK;
}

/* The library trims white space, and takes some names that begin with it for empty ones. */
static bool
name_ok(struct str name)
{
	return name.n > 0 && (unsigned char)name.p[0] > ' ' &&
	       (unsigned char)name.p[name.n - 1] > ' ';
}

/* Sees both identities as the client sent them, before the library trims blanks. */
static int
on_canon_user(sasl_conn_t *conn UNUSED, void *context, const char *in, unsigned in_len,
	unsigned flags, const char *realm UNUSED, char *out, unsigned out_max, unsigned *out_len)
{
	struct sasl_exchange *s = context;
	if (!name_ok(str_n(in, in_len)))
		s->failed = ERR_NOTFOUND;
	if (in_len > out_max)
		s->failed = ERR_LIMIT;
	if (s->failed != ERR_OK)
		return SASL_BADPARAM;
	struct str name = str_n(in, in_len);
	/* What was asked for the keys of one must not be proven for another. */
	if ((flags & SASL_CU_AUTHID) != 0 && s->mechanism->family == SASL_SCRAM &&
		!str_eq(name, buf_str(&s->name))) {
		s->failed = ERR_SYNTAX;
		return SASL_BADPARAM;
	}
	if ((flags & SASL_CU_AUTHID) != 0) {
		buf_reset(&s->name);
		buf_add(&s->name, name);
	}
	if ((flags & SASL_CU_AUTHZID) != 0) {
		buf_reset(&s->authzid);
		buf_add(&s->authzid, name);
	}
	memcpy(out, in, in_len);
	*out_len = in_len;
	return SASL_OK;
}

/* Called for each identity of every login; only SCRAM's has something to find. */
static int
keys_lookup(void *context UNUSED, sasl_server_params_t *params, unsigned flags,
	const char *user UNUSED, unsigned user_len UNUSED)
{
	sasl_callback_ft fn;
	void *arg = NULL;
	if ((flags & SASL_AUXPROP_AUTHZID) != 0 ||
		params->utils->getcallback(params->utils->conn, SASL_CB_SERVER_USERDB_CHECKPASS,
			&fn, &arg) != SASL_OK ||
		arg == NULL)
		return SASL_OK;
	struct sasl_exchange *s = arg;
	const struct propval *p = params->utils->prop_get(params->propctx);
	for (; s->secret.n > 0 && p != NULL && p->name != NULL; p++)
		if (strcmp(p->name, "*authPassword") == 0 && p->values == NULL)
			(void)params->utils->prop_set(
				params->propctx, p->name, buf_str(&s->secret).p, (int)s->secret.n);
	return SASL_OK;
}

static int
keys_plugin(const sasl_utils_t *utils UNUSED, int max_version, int *version_out,
	sasl_auxprop_plug_t **plug_out, const char *name UNUSED)
{
	static char plugin_name[] = "postroom";
	static sasl_auxprop_plug_t plugin = { .auxprop_lookup = keys_lookup, .name = plugin_name };
	if (max_version < SASL_AUXPROP_PLUG_VERSION)
		return SASL_BADVERS;
	*version_out = SASL_AUXPROP_PLUG_VERSION;
	*plug_out = &plugin;
	return SASL_OK;
}

static void *
mutex_new(void)
{
	pthread_mutex_t *m = xcalloc(1, sizeof *m);
	(void)pthread_mutex_init(m, NULL);
	return m;
}

static int
mutex_lock(void *m)
{
	return pthread_mutex_lock(m) == 0 ? SASL_OK : SASL_FAIL;
}

static int
mutex_unlock(void *m)
{
	return pthread_mutex_unlock(m) == 0 ? SASL_OK : SASL_FAIL;
}

static void
mutex_free(void *m)
{
	(void)pthread_mutex_destroy(m);
	free(m);
}

static bool
library_has(const char *mechanism)
{
	const char **all = sasl_global_listmech();
	for (; all != NULL && *all != NULL; all++)
		if (str_ieq(str_of(*all), str_of(mechanism)))
			return true;
	return false;
}

static enum err
library_start(void)
{
	static const char *wanted[] = { "libplain.", "liblogin.", "libscram.", "libgssapiv2.",
		NULL };
	static const sasl_callback_t global[] = {
		{ SASL_CB_GETOPT, (sasl_callback_fn)(void *)on_getopt, NULL },
		{ SASL_CB_LOG, (sasl_callback_fn)(void *)sasl_library_log, NULL },
		{ SASL_CB_GETCONFPATH, (sasl_callback_fn)(void *)sasl_library_confpath, NULL },
		{ SASL_CB_VERIFYFILE, (sasl_callback_fn)(void *)sasl_library_verify_file, wanted },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	if (initialized)
		return ERR_OK;
	/* The cage lets nobody write a replay cache. A ticket that is sent again is no use without
	 * its session key, which the exchange's last message needs. */
	(void)setenv("KRB5RCACHENAME", "none:", 1);
	sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
	if (sasl_auxprop_add_plugin("postroom", keys_plugin) != SASL_OK ||
		sasl_server_init(global, "postroom") != SASL_OK)
		return ERR_TEMP;
	initialized = true;
	return ERR_OK;
}

enum err
sasl_exchange_setup(
	const struct str *mechanisms, size_t count, struct str keytab, struct str *missing_out)
{
	enum err e = library_start();
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < count; i++) {
		const struct sasl_mechanism *m = sasl_mechanism_find(mechanisms[i]);
		if (m == NULL || (m->family != SASL_TOKEN && !library_has(m->name))) {
			*missing_out = mechanisms[i];
			return ERR_NOTFOUND;
		}
	}
	if (keytab.n > 0) {
		char *path = str_dup(keytab);
		OM_uint32 rc = krb5_gss_register_acceptor_identity(path);
		free(path);
		if (rc != GSS_S_COMPLETE)
			return ERR_TEMP;
	}
	return ERR_OK;
}

void
sasl_exchange_teardown(void)
{
	if (initialized)
		sasl_server_done();
	initialized = false;
}

/* The library's side of a new exchange. */
static enum err
conn_new(struct sasl_exchange *s, const struct sasl_options *o)
{
	static const sasl_security_properties_t no_layers = { .max_ssf = 0 };
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_SERVER_USERDB_CHECKPASS, (sasl_callback_fn)(void *)on_checkpass, s },
		{ SASL_CB_PROXY_POLICY, (sasl_callback_fn)(void *)on_proxy_policy, s },
		{ SASL_CB_CANON_USER, (sasl_callback_fn)(void *)on_canon_user, s },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	memcpy(s->callbacks, callbacks, sizeof callbacks);
	/* The name of this machine is given, or the library would ask the resolver. */
	if (sasl_server_new(o->service, o->hostname != NULL ? o->hostname : "localhost", NULL, NULL,
		    NULL, s->callbacks, 0, &s->conn) != SASL_OK ||
		sasl_setprop(s->conn, SASL_SEC_PROPS, &no_layers) != SASL_OK)
		return ERR_TEMP;
	if (s->mechanism->family != SASL_CERTIFICATE)
		return ERR_OK;
	char *subject = str_dup(o->certificate);
	int rc = sasl_setprop(s->conn, SASL_AUTH_EXTERNAL, subject);
	free(subject);
	return rc == SASL_OK ? ERR_OK : ERR_TEMP;
}

enum err
sasl_exchange_new(struct str mechanism, const struct sasl_options *o, struct sasl_exchange **out)
{
	const struct sasl_mechanism *m = sasl_mechanism_find(mechanism);
	if (!initialized || m == NULL)
		return ERR_NOTFOUND;
	if (m->family == SASL_CERTIFICATE && (o->certificate.n == 0 || str_has_nul(o->certificate)))
		return ERR_NOTFOUND;
	struct sasl_exchange *s = xcalloc(1, sizeof *s);
	s->mechanism = m;
	s->login = str_eq(str_of(m->name), STR("LOGIN"));
	s->xoauth2 = str_eq(str_of(m->name), STR("XOAUTH2"));
	s->wants_keys = m->family == SASL_SCRAM;
	buf_init_secret(&s->name, CLAIM_MAX);
	buf_init_secret(&s->authzid, CLAIM_MAX);
	buf_init_secret(&s->password, CLAIM_MAX);
	buf_init_secret(&s->token, CLAIM_MAX);
	buf_init_secret(&s->first, CLAIM_MAX);
	buf_init_secret(&s->secret, 4 * KEY_MAX);
	enum err e = m->family == SASL_TOKEN ? ERR_OK : conn_new(s, o);
	if (e != ERR_OK) {
		sasl_exchange_free(s);
		return e;
	}
	*out = s;
	return ERR_OK;
}

void
sasl_exchange_free(struct sasl_exchange *s)
{
	if (s == NULL)
		return;
	if (s->conn != NULL)
		sasl_dispose(&s->conn);
	buf_fini(&s->name);
	buf_fini(&s->authzid);
	buf_fini(&s->password);
	buf_fini(&s->token);
	buf_fini(&s->first);
	buf_fini(&s->secret);
	free(s);
}

const struct sasl_mechanism *
sasl_exchange_mechanism(const struct sasl_exchange *s)
{
	return s->mechanism;
}

bool
sasl_exchange_blocks(const struct sasl_exchange *s)
{
	return s->mechanism->family == SASL_GSSAPI;
}

/* The whole principal: the library strips the realm when it is this machine's. */
static enum err
peer_principal(struct sasl_exchange *s)
{
	gss_buffer_desc in = GSS_C_EMPTY_BUFFER, text = GSS_C_EMPTY_BUFFER;
	gss_name_t name = GSS_C_NO_NAME, full = GSS_C_NO_NAME;
	OM_uint32 minor, ignored;
	s->claim.own_realm = str_chr(buf_str(&s->name), '@') == s->name.n;
	/* Without an authorisation identity the library repeats the name. */
	if (str_eq(buf_str(&s->authzid), buf_str(&s->name)))
		buf_reset(&s->authzid);
	if (!s->claim.own_realm)
		return ERR_OK;
	in.length = s->name.n;
	in.value = (void *)(uintptr_t)buf_str(&s->name).p;
	bool ok = gss_import_name(&minor, &in, GSS_C_NT_USER_NAME, &name) == GSS_S_COMPLETE &&
		  gss_canonicalize_name(&minor, name, (gss_OID)(uintptr_t)gss_mech_krb5, &full) ==
			  GSS_S_COMPLETE &&
		  gss_display_name(&minor, full, &text, NULL) == GSS_S_COMPLETE;
	if (ok) {
		buf_reset(&s->name);
		buf_add(&s->name, str_n(text.value, text.length));
	}
	(void)gss_release_buffer(&ignored, &text);
	(void)gss_release_name(&ignored, &full);
	(void)gss_release_name(&ignored, &name);
	return ok ? ERR_OK : ERR_TEMP;
}

/* The library says OK: is the claim one that may be asked about? */
static enum err
claim_check(struct sasl_exchange *s)
{
	if (s->mechanism->family == SASL_PASSWORD && (!s->captured || s->password.n == 0)) {
		s->claim.name = buf_str(&s->name); /* for the log */
		return ERR_NOTFOUND;
	}
	if (s->mechanism->family == SASL_GSSAPI) {
		enum err e = peer_principal(s);
		if (e != ERR_OK)
			return e;
	}
	if (s->name.n == 0)
		return ERR_NOTFOUND;
	if (buf_check(&s->name) != ERR_OK || buf_check(&s->password) != ERR_OK ||
		buf_check(&s->authzid) != ERR_OK)
		return ERR_LIMIT;
	s->claim.name = buf_str(&s->name);
	s->claim.password = buf_str(&s->password);
	s->claim.authzid = buf_str(&s->authzid);
	if (str_has_nul(s->claim.name) || str_has_nul(s->claim.password) ||
		str_has_nul(s->claim.authzid))
		return ERR_SYNTAX;
	if (str_eq(s->claim.authzid, s->claim.name))
		s->claim.authzid = STR_EMPTY;
	return ERR_OK;
}

/* What LOGIN's plug-in does not do well: it cuts a name at a NUL and goes on, and it forgets the
 * memory with the password when the library then refuses the name. */
static enum err
login_check(struct sasl_exchange *s, struct str response)
{
	if (str_has_nul(response))
		return ERR_SYNTAX;
	if (s->login_named)
		return response.n <= LOGIN_PASSWORD_MAX_BYTES ? ERR_OK : ERR_LIMIT;
	s->login_named = true;
	if (!name_ok(response))
		return ERR_NOTFOUND;
	return response.n <= LOGIN_NAME_MAX_BYTES ? ERR_OK : ERR_LIMIT;
}

/* The library's turn. */
static enum err
library_step(struct sasl_exchange *s, struct str response, struct str *challenge_out)
{
	const char *out = NULL;
	unsigned out_len = 0;
	int rc;
	if (!s->started)
		rc = sasl_server_start(s->conn, s->mechanism->name, response.p,
			(unsigned)response.n, &out, &out_len);
	else
		rc = sasl_server_step(s->conn, response.p != NULL ? response.p : "",
			(unsigned)response.n, &out, &out_len);
	s->started = true;
	if (s->failed != ERR_OK)
		return s->failed;
	switch (rc) {
	case SASL_OK:
		return claim_check(s);
	case SASL_CONTINUE:
		*challenge_out = str_n(out, out_len);
		return ERR_AGAIN;
	case SASL_BADPROT:
	case SASL_BADPARAM:
		return ERR_SYNTAX;
	case SASL_BUFOVER:
		return ERR_LIMIT;
	case SASL_NOMECH:
	case SASL_NOMEM:
	case SASL_UNAVAIL:
		return ERR_TEMP;
	default: /* a foreign library's codes: all others mean no */
		return ERR_DENIED;
	}
}

/* SCRAM's first message: whose keys are needed? */
static enum err
scram_first(struct sasl_exchange *s, struct str response)
{
	enum err e = scram_name(response, &s->name);
	if (e != ERR_OK)
		return e;
	s->claim.name = buf_str(&s->name);
	if (!name_ok(s->claim.name))
		return ERR_NOTFOUND;
	if (s->name.n > SCRAM_NAME_MAX_BYTES)
		return ERR_LIMIT;
	buf_add(&s->first, response);
	return ERR_BUSY;
}

static enum err
token_first(struct sasl_exchange *s, struct str response)
{
	struct bearer b;
	enum err e =
		s->xoauth2 ? xoauth2_parse(response, &b) : bearer_parse(response, &b, &s->authzid);
	if (e != ERR_OK)
		return e;
	if (b.user.n > 0)
		buf_add(&s->authzid, b.user);
	if (s->authzid.n > 0 && !name_ok(buf_str(&s->authzid)))
		return ERR_NOTFOUND;
	buf_add(&s->token, b.token);
	s->claim.token = buf_str(&s->token);
	s->claim.authzid = buf_str(&s->authzid);
	/* For the log, until somebody knows better. */
	s->claim.name = s->claim.authzid;
	return ERR_BUSY;
}

enum err
sasl_exchange_step(struct sasl_exchange *s, struct str response, struct str *challenge_out)
{
	*challenge_out = STR_EMPTY;
	if (response.n > SASL_RESPONSE_MAX)
		return ERR_LIMIT;
	/* Exim always has an initial response, an empty one when its client gave none; LOGIN begins
	 * with a question. */
	if (s->login && !s->started && response.n == 0)
		response = (struct str){ NULL, 0 };
	if (s->login && response.p != NULL) {
		enum err e = login_check(s, response);
		if (e != ERR_OK)
			return e;
	}
	if (s->refused)
		return ERR_DENIED;
	if (s->mechanism->family != SASL_TOKEN && !s->wants_keys) {
		/* The library takes anything for the "yes" to the server's signature. */
		if (s->proven && response.n > 0)
			return ERR_SYNTAX;
		enum err e = library_step(s, response, challenge_out);
		s->proven = s->mechanism->family == SASL_SCRAM && e == ERR_AGAIN;
		return e;
	}
	/* Both begin with the client's word. */
	if (response.p == NULL)
		return ERR_AGAIN;
	if (s->first.n > 0 || s->token.n > 0)
		return ERR_SYNTAX; /* asked for nothing */
	return s->wants_keys ? scram_first(s, response) : token_first(s, response);
}

/* "SCRAM-SHA-256$4096:SALT$STOREDKEY:SERVERKEY". RFC 5803 2 */
static enum err
write_keys(struct sasl_exchange *s, const struct sasl_keys *k)
{
	if (k->salt.n > KEY_MAX || k->stored_key.n > KEY_MAX || k->server_key.n > KEY_MAX)
		return ERR_LIMIT;
	buf_addf(&s->secret, "%s$%u:", s->mechanism->name, k->iterations);
	base64_encode(&s->secret, k->salt);
	buf_addc(&s->secret, '$');
	base64_encode(&s->secret, k->stored_key);
	buf_addc(&s->secret, ':');
	base64_encode(&s->secret, k->server_key);
	return buf_check(&s->secret);
}

enum err
sasl_exchange_keys(struct sasl_exchange *s, const struct sasl_keys *keys, struct str *challenge_out)
{
	*challenge_out = STR_EMPTY;
	if (!s->wants_keys || s->first.n == 0)
		return ERR_SYNTAX;
	s->wants_keys = false;
	enum err e = write_keys(s, keys);
	return e != ERR_OK ? e : library_step(s, buf_str(&s->first), challenge_out);
}

enum err
sasl_exchange_token(struct sasl_exchange *s, struct str name)
{
	buf_reset(&s->name);
	buf_add(&s->name, name);
	if (!name_ok(name))
		return ERR_NOTFOUND;
	return claim_check(s);
}

enum err
sasl_exchange_token_refused(struct sasl_exchange *s, struct str json, struct str *challenge_out)
{
	s->refused = true;
	*challenge_out = json;
	return ERR_AGAIN;
}

const struct sasl_claim *
sasl_exchange_claim(const struct sasl_exchange *s)
{
	return &s->claim;
}
