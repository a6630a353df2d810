/* Which backend is asked about a name; the same rule for all kinds. Called by front/. */
#include "auth-ldap/backend/backend.h"

static bool
lists(const struct str *domains, size_t count, struct str domain)
{
	for (size_t i = 0; i < count; i++)
		if (str_ieq(domains[i], domain))
			return true;
	return false;
}

bool
backend_takes(const struct backend *b, const struct name *n, bool login)
{
	if (n->netbios.n > 0)
		return login && str_ieq(b->netbios, n->netbios);
	if (b->domains_count == 0 || lists(b->domains, b->domains_count, n->domain))
		return true;
	return login && lists(b->login_domains, b->login_domains_count, n->domain);
}
