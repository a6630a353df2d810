/* The capabilities before login; imap/gate.c asks. */
#include "imap/gate_capability.h"

#include "core/base/xalloc.h"
#include "core/gate/gate.h"

static bool
always(const struct gate_conn *c)
{
	(void)c;
	return true;
}

/* LOGIN runs as PLAIN. */
static bool
login_disabled(const struct gate_conn *c)
{
	return !gate_mechanism_offered(c, STR("PLAIN"));
}

static bool
some_mechanism(const struct gate_conn *c)
{
	const struct str_list *list = &gate_settings(c)->auth.sasl_mechanisms;
	for (size_t i = 0; i < list->n; i++)
		if (gate_mechanism_offered(c, list->v[i]))
			return true;
	return false;
}

static const struct {
	const char *token; /* one that ends in "=": once for each mechanism */
	bool (*on)(const struct gate_conn *c);
	const char *test; /* of tests/unit/test_gate.c */
} CAPABILITIES[] = {
	{ "IMAP4rev1", always, "test_before_login" },
	{ "LITERAL+", always, "test_logins" },
	{ "ID", always, "test_before_login" },
	{ "SASL-IR", some_mechanism, "test_logins" },
	{ "STARTTLS", gate_offers_tls, "test_starttls_injection" },
	{ "LOGINDISABLED", login_disabled, "test_no_password_without_tls" },
	{ "AUTH=", some_mechanism, "test_exchange" },
};

/* The password itself crosses the line. */
static bool
is_plaintext(struct str mechanism)
{
	return str_ieq(mechanism, STR("PLAIN")) || str_ieq(mechanism, STR("LOGIN"));
}

bool
gate_mechanism_known(const struct gate_conn *c, struct str mechanism)
{
	const struct str_list *list = &gate_settings(c)->auth.sasl_mechanisms;
	for (size_t i = 0; i < list->n; i++)
		if (str_ieq(list->v[i], mechanism))
			return true;
	return false;
}

bool
gate_mechanism_offered(const struct gate_conn *c, struct str mechanism)
{
	return gate_mechanism_known(c, mechanism) &&
	       (gate_is_secure(c) || !is_plaintext(mechanism));
}

static void
add_mechanisms(const struct gate_conn *c, const char *prefix, struct buf *out)
{
	const struct str_list *list = &gate_settings(c)->auth.sasl_mechanisms;
	for (size_t i = 0; i < list->n; i++)
		if (gate_mechanism_offered(c, list->v[i]))
			buf_addf(out, " %s%.*s", prefix, STR_FMT(list->v[i]));
}

void
gate_capabilities(const struct gate_conn *c, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(CAPABILITIES); i++) {
		const char *token = CAPABILITIES[i].token;
		if (!CAPABILITIES[i].on(c))
			continue;
		if (str_ends(str_of(token), STR("=")))
			add_mechanisms(c, token, out);
		else
			buf_addf(out, "%s%s", i == 0 ? "" : " ", token);
	}
}

const char *
gate_capability_token(size_t i)
{
	return i < ARRAY_LEN(CAPABILITIES) ? CAPABILITIES[i].token : NULL;
}

const char *
gate_capability_test(size_t i)
{
	return i < ARRAY_LEN(CAPABILITIES) ? CAPABILITIES[i].test : NULL;
}
