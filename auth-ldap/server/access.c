/* Who may connect by TCP. Called by the three servers at each accept; connections are rare, so the
 * networks are read out of the settings each time and a reload needs no care. */
#include "auth-ldap/server/access.h"

#include "core/base/cidr.h"
#include "core/base/log.h"

bool
access_allowed(const struct settings *s, const struct peer *peer, const char *socket)
{
	struct cidr net;
	if (peer->is_unix)
		return true;
	for (size_t i = 0; i < s->auth.networks.n; i++)
		if (cidr_parse(s->auth.networks.v[i], &net) == ERR_OK &&
			cidr_contains(&net, str_of(peer->addr)))
			return true;
	log_event(LVL_WARN, "auth.accept", log_z("res", "deny"), log_z("socket", socket),
		log_z("rip", peer->addr), log_z("reason", "not in auth.networks"));
	return false;
}
