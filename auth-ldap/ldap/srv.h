#ifndef POSTROOM_AUTH_LDAP_SRV_H
#define POSTROOM_AUTH_LDAP_SRV_H

#include "auth-ldap/ldap/pool.h"
#include "core/dns/dns.h"

/* Finding directory servers by DNS: SRV records (RFC 2782) of _ldap._tcp.SITE._sites.DOMAIN, where
 * a site is given, and of _ldap._tcp.DOMAIN; then the addresses of what they name. Asked again
 * when the answers' time to live is over, at least every hour and at most every 5 s. While DNS
 * fails, or says that there is no server any more, the last good answer stays.
 *
 * DNS without DNSSEC can be forged, so a target must lie in one of the allowed domains, and its
 * certificate must carry the target's name. */
struct ldap_srv;

struct ldap_found {
	struct ldap_target target; /* one for each address; host: the SRV target */
	unsigned priority;	   /* lower ones are better; those of the site best */
};
/* In the order in which they are to be used. list dies when fn returns. */
typedef void (*ldap_srv_fn)(void *arg, const struct ldap_found *list, size_t n);

/* Keeps the strings of o. fn is called from the loop whenever an answer came, with at least one
 * server. ERR_SYNTAX with text in err_out. */
MUST_USE enum err
ldap_srv_new(struct loop *l, const struct ldap_pool_options *o, ldap_srv_fn fn, void *arg,
	struct ldap_srv **out, const char **err_out);
/* Not inside fn. NULL is allowed. */
void
ldap_srv_free(struct ldap_srv *s);
/* Why there is no server yet, or why the answer is old; "" when all is well. */
const char *
ldap_srv_error(const struct ldap_srv *s);

/* ---- pure, public for tests ---- */

/* RFC 2782: by priority, and within one by chance according to weight. random: a number in
 * [0, below). */
void
ldap_srv_order(
	struct dns_record *v, size_t n, uint32_t (*random)(void *arg, uint32_t below), void *arg);
/* Is name one of the domains, or inside one? No domains: nothing is. */
bool
ldap_srv_allowed(const char *name, const struct str *domains, size_t n);

#endif
