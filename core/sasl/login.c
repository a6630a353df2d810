/* The client's side of Cyrus SASL; see login.h. relay calls it for smarthosts. Nothing is read from
 * /etc/sasl2. Invariant: one exchange, one server: name and password leave only in the responses of
 * the mechanism that was chosen. */
#include "core/sasl/login.h"

#include <sasl/sasl.h>
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/sasl/library.h"

struct sasl_login {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[4];
	char *user;
	sasl_secret_t *secret;
	size_t secret_size;
	bool complete;
};

static bool initialized;

static int
on_simple(void *context, int id, const char **result, unsigned *len)
{
	const struct sasl_login *l = context;

	/* act as ourselves: no authorisation identity of its own */
	*result = id == SASL_CB_AUTHNAME ? l->user : "";
	if (len != NULL)
		*len = (unsigned)strlen(*result);
	return SASL_OK;
}

static int
on_secret(sasl_conn_t *conn UNUSED, void *context, int id, sasl_secret_t **out)
{
	struct sasl_login *l = context;

	if (id != SASL_CB_PASS)
		return SASL_BADPARAM;
	*out = l->secret;
	return SASL_OK;
}

enum err
sasl_login_setup(void)
{
	static const char *wanted[] = { "libplain.", "liblogin.", "libscram.", NULL };
	static const sasl_callback_t global[] = {
		{ SASL_CB_LOG, (sasl_callback_fn)(void *)sasl_library_log, NULL },
		{ SASL_CB_GETCONFPATH, (sasl_callback_fn)(void *)sasl_library_confpath, NULL },
		{ SASL_CB_VERIFYFILE, (sasl_callback_fn)(void *)sasl_library_verify_file, wanted },
		{ SASL_CB_LIST_END, NULL, NULL },
	};

	if (!initialized && sasl_client_init(global) != SASL_OK)
		return ERR_TEMP;
	initialized = true;
	return ERR_OK;
}

void
sasl_login_teardown(void)
{
	if (initialized)
		(void)sasl_client_done();
	initialized = false;
}

enum err
sasl_login_new(const struct sasl_login_options *o, struct sasl_login **out)
{
	static const sasl_security_properties_t properties = { .max_ssf = 0,
		.security_flags = SASL_SEC_NOANONYMOUS };
	struct sasl_login *l;

	if (!initialized || str_has_nul(o->user) || str_has_nul(o->password))
		return ERR_TEMP;
	l = xcalloc(1, sizeof *l);
	l->user = str_dup(o->user);
	l->secret_size = sizeof(sasl_secret_t) + o->password.n;
	l->secret = xcalloc(1, l->secret_size);
	l->secret->len = o->password.n;
	memcpy(l->secret->data, o->password.p, o->password.n);
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_USER, (sasl_callback_fn)(void *)on_simple, l },
		{ SASL_CB_AUTHNAME, (sasl_callback_fn)(void *)on_simple, l },
		{ SASL_CB_PASS, (sasl_callback_fn)(void *)on_secret, l },
		{ SASL_CB_LIST_END, NULL, NULL },
	};

	memcpy(l->callbacks, callbacks, sizeof callbacks);
	if (sasl_client_new(o->service, o->host, NULL, NULL, l->callbacks, 0, &l->conn) !=
			SASL_OK ||
		sasl_setprop(l->conn, SASL_SEC_PROPS, &properties) != SASL_OK) {
		sasl_login_free(l);
		return ERR_TEMP;
	}
	*out = l;
	return ERR_OK;
}

void
sasl_login_free(struct sasl_login *l)
{
	if (l == NULL)
		return;
	if (l->conn != NULL)
		sasl_dispose(&l->conn);
	explicit_bzero(l->secret, l->secret_size);
	free(l->secret);
	free(l->user);
	free(l);
}

enum err
sasl_login_start(struct sasl_login *l, const char *mechanisms, const char **mechanism_out,
	struct str *response_out)
{
	const char *data = NULL;
	unsigned n = 0;
	int rc = sasl_client_start(l->conn, mechanisms, NULL, &data, &n, mechanism_out);

	if (rc == SASL_NOMECH)
		return ERR_NOTFOUND;
	if (rc != SASL_OK && rc != SASL_CONTINUE)
		return ERR_TEMP;
	l->complete = rc == SASL_OK;
	*response_out = str_n(data, n);
	return ERR_OK;
}

enum err
sasl_login_step(struct sasl_login *l, struct str challenge, struct str *response_out)
{
	const char *data = NULL;
	unsigned n = 0;
	int rc;

	if (l->complete && challenge.n == 0) {
		*response_out = STR_EMPTY;
		return ERR_OK;
	}
	rc = sasl_client_step(l->conn, challenge.p, (unsigned)challenge.n, NULL, &data, &n);
	if (rc != SASL_OK && rc != SASL_CONTINUE)
		return ERR_DENIED;
	l->complete = rc == SASL_OK;
	*response_out = data != NULL ? str_n(data, n) : STR_EMPTY;
	return ERR_OK;
}

bool
sasl_login_complete(const struct sasl_login *l)
{
	return l->complete;
}
