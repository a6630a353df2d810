/* The table of mechanisms and the one rule about who is offered which. The flags are those of the
 * auth protocol, by which Postfix's smtpd_sasl_security_options and Exim choose: SCRAM's exchange
 * can be searched for a weak password by who overheard it, hence "dictionary". */
#include "core/sasl/mechanism.h"

static const struct sasl_mechanism mechanisms[] = {
	{ "PLAIN", SASL_PASSWORD, true, "\tplaintext" },
	{ "LOGIN", SASL_PASSWORD, true, "\tplaintext" },
	{ "SCRAM-SHA-256", SASL_SCRAM, false, "\tdictionary\tmutual-auth" },
	{ "SCRAM-SHA-1", SASL_SCRAM, false, "\tdictionary\tmutual-auth" },
	{ "GSSAPI", SASL_GSSAPI, false, "\tmutual-auth" },
	{ "EXTERNAL", SASL_CERTIFICATE, false, "" },
	{ "OAUTHBEARER", SASL_TOKEN, true, "\tplaintext" },
	{ "XOAUTH2", SASL_TOKEN, true, "\tplaintext" },
};

const struct sasl_mechanism *
sasl_mechanism_find(struct str name)
{
	for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
		if (str_ieq(str_of(mechanisms[i].name), name))
			return &mechanisms[i];
	return NULL;
}

static bool
lists(const struct str_list *l, struct str name)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_ieq(l->v[i], name))
			return true;
	return false;
}

static const struct str_list *
narrowed(const struct settings *s, struct str service)
{
	static const struct str_list all = { NULL, 0 };
	if (str_eq(service, STR("imap")))
		return &s->imap.sasl_mechanisms;
	if (str_eq(service, STR("smtp")))
		return &s->smtp.sasl_mechanisms;
	return &all;
}

bool
sasl_offered_with_tls(const struct settings *s, const struct sasl_client *c, struct str mechanism)
{
	const struct sasl_mechanism *m = sasl_mechanism_find(mechanism);
	const struct str_list *own = narrowed(s, c->service);
	if (m == NULL || !lists(&s->auth.sasl_mechanisms, mechanism))
		return false;
	if (own->n > 0 && !lists(own, mechanism))
		return false;
	return m->family != SASL_CERTIFICATE || c->certificate;
}

bool
sasl_offered(const struct settings *s, const struct sasl_client *c, struct str mechanism)
{
	const struct sasl_mechanism *m = sasl_mechanism_find(mechanism);
	if (!sasl_offered_with_tls(s, c, mechanism))
		return false;
	return c->secured || (!m->plaintext && lists(&s->auth.sasl_without_tls, mechanism));
}
