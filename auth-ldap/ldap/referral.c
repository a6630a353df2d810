/* Where references may lead; see search.h. search.c asks for the pool of each URL that a server
 * named. Invariants: only hosts of the settings are ever spoken to, and never with less TLS than
 * the directory's own servers, since they are sent the service account's password. */
#include <stdio.h>
#include <stdlib.h>

#include "auth-ldap/ldap/search_impl.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

bool
referral_host_allowed(const struct str *hosts, size_t count, struct str host)
{
	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	for (size_t i = 0; i < count; i++) {
		struct str h = hosts[i];
		if (str_ieq(h, host))
			return true;
		/* "*.example.org": one or more labels in front */
		struct str suffix = str_from(h, 1);
		if (str_starts(h, STR("*.")) && host.n > suffix.n &&
			str_ieq(str_from(host, host.n - suffix.n), suffix))
			return true;
	}
	return false;
}

/* Nothing of this directory is asked in clear, so nothing is elsewhere. */
static bool
demands_tls(const struct ldap_pool_options *o)
{
	if (o->starttls || o->srv_ldaps_port != 0)
		return true;
	for (size_t i = 0; i < o->uris_count; i++) {
		struct ldap_target t;
		if (ldap_target_parse(o->uris[i], &t) == ERR_OK && !t.tls && !t.local)
			return false;
	}
	return o->uris_count > 0;
}

static struct referral_pool *
referral_new(struct ldap_client *c, const struct ldap_target *t)
{
	struct referral_pool *r = xcalloc(1, sizeof *r);
	struct ldap_pool_options o = c->o.pool;
	const char *why = "";
	(void)snprintf(r->uri, sizeof r->uri, "%s", t->uri);
	r->uri_str = str_of(r->uri);
	o.uris = &r->uri_str;
	o.uris_count = 1;
	o.srv_domain = STR_EMPTY;
	o.starttls = demands_tls(&c->o.pool);
	o.binds_min = 0;
	if (ldap_pool_new(c->loop, &o, &r->pool, &why) == ERR_OK) {
		log_event(LVL_INFO, "auth.referral", log_s("directory", o.name),
			log_z("uri", r->uri));
		return r;
	}
	log_event(LVL_WARN, "auth.referral", log_s("directory", o.name), log_z("uri", r->uri),
		log_z("reason", why));
	free(r);
	return NULL;
}

static enum err
target_of(const struct ldap_url *url, struct ldap_target *out)
{
	char uri[sizeof out->uri];
	int n = snprintf(uri, sizeof uri, "%.*s://%.*s", STR_FMT(url->scheme), STR_FMT(url->host));
	if (n < 0 || (size_t)n >= sizeof uri)
		return ERR_SYNTAX;
	for (char *p = uri; *p != '\0'; p++)
		*p = (char)ascii_lower((unsigned char)*p);
	return ldap_target_parse(str_of(uri), out);
}

enum err
referral_pool(struct ldap_client *c, const struct ldap_url *url, struct ldap_pool **out)
{
	struct ldap_target t;
	if (!c->o.referrals)
		return ERR_DENIED;
	if (url->host.n == 0) {
		*out = c->pool;
		return ERR_OK;
	}
	if (target_of(url, &t) != ERR_OK || t.local ||
		!referral_host_allowed(
			c->o.referral_hosts, c->o.referral_hosts_count, str_of(t.host)))
		return ERR_DENIED;
	for (size_t i = 0; i < REFERRAL_POOLS_MAX; i++) {
		if (c->referrals[i] == NULL)
			c->referrals[i] = referral_new(c, &t);
		else if (strcmp(c->referrals[i]->uri, t.uri) != 0)
			continue;
		if (c->referrals[i] == NULL)
			return ERR_TEMP;
		*out = c->referrals[i]->pool;
		return ERR_OK;
	}
	return ERR_LIMIT;
}

void
referral_pools_free(struct ldap_client *c)
{
	for (size_t i = 0; i < REFERRAL_POOLS_MAX && c->referrals[i] != NULL; i++) {
		ldap_pool_free(c->referrals[i]->pool);
		free(c->referrals[i]);
	}
}
