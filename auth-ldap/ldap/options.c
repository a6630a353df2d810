/* From a directory section of the settings to the options of its pool; whoever makes the pool of a
 * section calls it. Nothing is checked here: config/check.c and ldap_pool_new do. */
#include "auth-ldap/ldap/options.h"

#include "core/base/log.h"

static bool
is_local(const struct ldap_target *t)
{
	return t->local || str_eq(str_of(t->host), STR("localhost")) ||
	       str_eq(str_of(t->host), STR("::1")) || str_starts(str_of(t->host), STR("127."));
}

static void
warn(const struct settings_directory *d, const char *uri, const char *reason)
{
	log_event(LVL_WARN, "auth.directory", log_s("directory", d->title), log_z("uri", uri),
		log_z("reason", reason));
}

static void
warn_of_clear(const struct settings_directory *d)
{
	static const char clear[] = "starttls = no: passwords cross the network in clear";
	if (!d->verify)
		warn(d, "", "verify = no: whoever is on the way can read passwords");
	if (d->starttls)
		return;
	if (d->srv_domain.n > 0 && d->srv_ldaps_port == 0)
		warn(d, "", clear);
	for (size_t i = 0; i < d->uris.n; i++) {
		struct ldap_target t;
		if (ldap_target_parse(d->uris.v[i], &t) == ERR_OK && !t.tls && !is_local(&t))
			warn(d, t.uri, clear);
	}
}

static enum ldap_bind_method
method_of(struct str word)
{
	if (str_eq(word, STR("external")))
		return LDAP_METHOD_EXTERNAL;
	if (str_eq(word, STR("gssapi")))
		return LDAP_METHOD_GSSAPI;
	return str_eq(word, STR("none")) ? LDAP_METHOD_NONE : LDAP_METHOD_SIMPLE;
}

void
ldap_options_of(
	const struct settings *s, const struct settings_directory *d, struct ldap_pool_options *out)
{
	*out = (struct ldap_pool_options){
		.name = d->title,
		.uris = d->uris.v,
		.uris_count = d->uris.n,
		.srv_domain = d->srv_domain,
		.srv_site = d->srv_site,
		.srv_targets = d->srv_targets.v,
		.srv_targets_count = d->srv_targets.n,
		.srv_ldaps_port = (unsigned)d->srv_ldaps_port,
		.dns_servers = s->dns_servers.v,
		.dns_servers_count = s->dns_servers.n,
		.dns_trust_anchor = s->dns_trust_anchor,
		.starttls = d->starttls,
		.verify = d->verify,
		.ca_pem = d->ca,
		.client_certificate_pem = d->client_certificate,
		.client_key_pem = d->client_key,
		.tls_min_version = str_eq(d->tls_min_version, STR("1.3")) ? 13 : 12,
		.method = method_of(d->bind_method),
		.bind_dn = d->bind_dn,
		.bind_password = d->bind_password,
		.connect_ms = d->connect_timeout,
		.setup_ms = d->setup_timeout,
		.search_ms = d->search_timeout,
		.bind_ms = d->bind_timeout,
		.failback_ms = d->failback_after,
		.binds_min = (unsigned)d->bind_connections_min,
		.binds_max = (unsigned)d->bind_connections_max,
		.bind_idle_ms = d->bind_idle_timeout,
		.bind_queue_max = (unsigned)d->bind_queue_max,
	};
	warn_of_clear(d);
}

void
ldap_client_options_of(const struct settings *s, const struct settings_directory *d,
	struct ldap_client_options *out)
{
	*out = (struct ldap_client_options){ .keytab = d->bind_keytab,
		.principal = d->bind_principal,
		.page_size = (int)d->page_size,
		.referrals = d->referrals,
		.referral_hosts = d->referral_hosts.v,
		.referral_hosts_count = d->referral_hosts.n };
	ldap_options_of(s, d, &out->pool);
}
