/* The one place that knows Cyrus SASL. The auth service calls it for each login. The checkpass
 * callback cannot wait for a directory, so it only takes the name and the password down and says
 * yes; a success of the library's therefore means "the claim is complete", nothing more.
 *
 * Nothing is read from /etc/sasl2: every option comes from our callbacks, and lookups of
 * properties end in a plug-in of ours that knows nobody, because the library's own would open
 * /etc/sasldb2. */
#include "core/sasl/exchange.h"

#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { CLAIM_MAX = SASL_RESPONSE_MAX + 1, LOGIN_NAME_MAX_BYTES = 1000 };

struct sasl_exchange {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[4]; /* kept by conn */
	char mechanism[32];
	bool login; /* LOGIN: its responses are bare strings, name and password */
	bool login_named;
	bool started;
	bool captured;
	enum err failed; /* from inside a callback */
	struct buf name, password, authzid;
	struct sasl_claim claim;
};

/* Cyrus asks by name, again and again, and keeps the pointers. */
static char mech_list[512];
static bool initialized;

typedef int (*callback_fn)(void);

static int
on_getopt(void *context UNUSED, const char *plugin UNUSED, const char *option, const char **result,
	unsigned *len)
{
	static const struct {
		const char *name, *value;
	} options[] = {
		{ "mech_list", mech_list },
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
on_log(void *context UNUSED, int level, const char *message)
{
	/* Levels from SASL_LOG_TRACE on may hold secrets. */
	if (level < SASL_LOG_TRACE && message != NULL)
		log_event(LVL_DEBUG, "sasl.library", log_n("level", level), log_z("text", message));
	return SASL_OK;
}

static int
on_confpath(void *context UNUSED, char **path)
{
	static char nowhere[] = "/nonexistent";
	*path = nowhere;
	return SASL_OK;
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
		s->failed = ERR_DENIED;
	if (in_len > out_max)
		s->failed = ERR_LIMIT;
	if (s->failed != ERR_OK)
		return SASL_BADPARAM;
	struct str name = str_n(in, in_len);
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

static int
nobody_lookup(void *context UNUSED, sasl_server_params_t *params UNUSED, unsigned flags UNUSED,
	const char *user UNUSED, unsigned user_len UNUSED)
{
	return SASL_OK;
}

static int
nobody_plugin(const sasl_utils_t *utils UNUSED, int max_version, int *version_out,
	sasl_auxprop_plug_t **plug_out, const char *name UNUSED)
{
	static char plugin_name[] = "postroom";
	static sasl_auxprop_plug_t plugin = { .auxprop_lookup = nobody_lookup,
		.name = plugin_name };
	if (max_version < SASL_AUXPROP_PLUG_VERSION)
		return SASL_BADVERS;
	*version_out = SASL_AUXPROP_PLUG_VERSION;
	*plug_out = &plugin;
	return SASL_OK;
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

enum err
sasl_exchange_setup(const struct str *mechanisms, size_t count, struct str *missing_out)
{
	static const sasl_callback_t global[] = {
		{ SASL_CB_GETOPT, (callback_fn)(void *)on_getopt, NULL },
		{ SASL_CB_LOG, (callback_fn)(void *)on_log, NULL },
		{ SASL_CB_GETCONFPATH, (callback_fn)(void *)on_confpath, NULL },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	struct buf list;
	buf_init(&list, sizeof mech_list - 1);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_addc(&list, ' ');
		buf_add(&list, mechanisms[i]);
	}
	enum err e = buf_check(&list);
	memcpy(mech_list, buf_str(&list).p, list.n);
	mech_list[list.n] = '\0';
	buf_fini(&list);
	if (e != ERR_OK)
		return e;
	if (!initialized) {
		if (sasl_auxprop_add_plugin("postroom", nobody_plugin) != SASL_OK ||
			sasl_server_init(global, "postroom") != SASL_OK)
			return ERR_TEMP;
		initialized = true;
	}
	for (size_t i = 0; i < count; i++) {
		char z[32];
		if (mechanisms[i].n == 0 || mechanisms[i].n >= sizeof z) {
			*missing_out = mechanisms[i];
			return ERR_NOTFOUND;
		}
		memcpy(z, mechanisms[i].p, mechanisms[i].n);
		z[mechanisms[i].n] = '\0';
		if (!library_has(z)) {
			*missing_out = mechanisms[i];
			return ERR_NOTFOUND;
		}
	}
	return ERR_OK;
}

void
sasl_exchange_teardown(void)
{
	if (initialized)
		sasl_server_done();
	initialized = false;
	mech_list[0] = '\0';
}

bool
sasl_exchange_offers(struct str mechanism)
{
	struct str rest = str_of(mech_list), one;
	while (rest.n > 0) {
		(void)str_cut(rest, ' ', &one, &rest);
		if (str_ieq(one, mechanism))
			return true;
	}
	return false;
}

enum err
sasl_exchange_new(struct str mechanism, const char *service, struct sasl_exchange **out)
{
	if (!initialized || mechanism.n == 0 || !sasl_exchange_offers(mechanism))
		return ERR_NOTFOUND;
	struct sasl_exchange *s = xcalloc(1, sizeof *s);
	if (mechanism.n >= sizeof s->mechanism) {
		free(s);
		return ERR_NOTFOUND;
	}
	for (size_t i = 0; i < mechanism.n; i++)
		s->mechanism[i] = (char)ascii_upper(mechanism.p[i]);
	s->login = str_eq(str_of(s->mechanism), STR("LOGIN"));
	buf_init_secret(&s->name, CLAIM_MAX);
	buf_init_secret(&s->authzid, CLAIM_MAX);
	buf_init_secret(&s->password, CLAIM_MAX);
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_SERVER_USERDB_CHECKPASS, (callback_fn)(void *)on_checkpass, s },
		{ SASL_CB_PROXY_POLICY, (callback_fn)(void *)on_proxy_policy, s },
		{ SASL_CB_CANON_USER, (callback_fn)(void *)on_canon_user, s },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	memcpy(s->callbacks, callbacks, sizeof callbacks);
	/* The name of this machine is given, or the library would ask the resolver. */
	if (sasl_server_new(service, "localhost", NULL, NULL, NULL, s->callbacks, 0, &s->conn) !=
		SASL_OK) {
		sasl_exchange_free(s);
		return ERR_TEMP;
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
	free(s);
}

/* The library says OK: is the claim one that may be asked about? */
static enum err
claim_check(struct sasl_exchange *s)
{
	if (!s->captured || s->name.n == 0 || s->password.n == 0)
		return ERR_DENIED;
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
		return ERR_OK;
	s->login_named = true;
	if (!name_ok(response))
		return ERR_DENIED;
	return response.n <= LOGIN_NAME_MAX_BYTES ? ERR_OK : ERR_LIMIT;
}

enum err
sasl_exchange_step(struct sasl_exchange *s, struct str response, struct str *challenge_out)
{
	const char *out = NULL;
	unsigned out_len = 0;
	int rc;
	*challenge_out = STR_EMPTY;
	if (response.n > SASL_RESPONSE_MAX)
		return ERR_LIMIT;
	if (s->login && response.p != NULL) {
		enum err e = login_check(s, response);
		if (e != ERR_OK)
			return e;
	}
	if (!s->started)
		rc = sasl_server_start(
			s->conn, s->mechanism, response.p, (unsigned)response.n, &out, &out_len);
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
	case SASL_NOMECH:
		return ERR_NOTFOUND;
	case SASL_BADPROT:
	case SASL_BADPARAM:
		return ERR_SYNTAX;
	case SASL_BUFOVER:
		return ERR_LIMIT;
	case SASL_NOMEM:
	case SASL_UNAVAIL:
		return ERR_TEMP;
	default: /* a foreign library's codes: all others mean no */
		return ERR_DENIED;
	}
}

const struct sasl_claim *
sasl_exchange_claim(const struct sasl_exchange *s)
{
	return &s->claim;
}
