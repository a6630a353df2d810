/* The capabilities before login; imap/gate/gate.c asks. */
#include "imap/gate/capability.h"

#include "core/base/xalloc.h"
#include "core/gate/gate.h"
#include "core/sasl/mechanism.h"

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
	{ "IMAP4rev2", always, "test_before_login" },
	{ "LITERAL+", always, "test_logins" },
	{ "ID", always, "test_before_login" },
	/* imap's: some clients decide by what they read first and never look again */
	{ "ENABLE", always, "test_for_after_login" },
	{ "IDLE", always, "test_for_after_login" },
	{ "SASL-IR", some_mechanism, "test_logins" },
	{ "STARTTLS", gate_offers_tls, "test_starttls_injection" },
	{ "LOGINDISABLED", login_disabled, "test_no_password_without_tls" },
	{ "AUTH=", some_mechanism, "test_exchange" },
};

static struct sasl_client
client_of(const struct gate_conn *c)
{
	return (struct sasl_client){ .service = STR("imap"),
		.secured = gate_is_secure(c),
		.certificate = gate_has_certificate(c) };
}

bool
gate_mechanism_known(const struct gate_conn *c, struct str mechanism)
{
	struct sasl_client client = client_of(c);
	return sasl_offered_with_tls(gate_settings(c), &client, mechanism);
}

bool
gate_mechanism_offered(const struct gate_conn *c, struct str mechanism)
{
	struct sasl_client client = client_of(c);
	return sasl_offered(gate_settings(c), &client, mechanism);
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
