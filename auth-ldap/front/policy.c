/* Whether a known user may do what he asks for; see policy.h. front.c asks after every password
 * that was right, also when the answer came from memory. */
#include "auth-ldap/front/policy.h"

#include "core/base/cidr.h"
#include "core/base/xalloc.h"

/* Other names of a service. */
static struct str
service_name(struct str s)
{
	static const struct {
		struct str alias, name;
	} same[] = {
		{ { "submission", 10 }, { "smtp", 4 } },
		{ { "submissions", 11 }, { "smtp", 4 } },
		{ { "smtps", 5 }, { "smtp", 4 } },
		{ { "imaps", 5 }, { "imap", 4 } },
		{ { "delivery", 8 }, { "lmtp", 4 } },
	};
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (str_ieq(s, same[i].alias))
			return same[i].name;
	return s;
}

/* allowed_out: some entry allows by name; returns what the entries say of service. */
enum said { SAID_NOTHING, SAID_YES, SAID_NO };

static enum said
services_say(const struct auth_user *u, struct str service, bool *some_allowed_out)
{
	enum said said = SAID_NOTHING;
	*some_allowed_out = false;
	for (size_t i = 0; i < u->services_count; i++) {
		struct str s = str_trim(u->services[i]);
		bool no = s.n > 0 && s.p[0] == '!';
		bool same = str_ieq(service_name(no ? str_from(s, 1) : s), service);
		*some_allowed_out |= !no;
		if (same && no)
			return SAID_NO;
		if (same)
			said = SAID_YES;
	}
	return said;
}

static bool
service_allowed(const struct auth_user *u, struct str service)
{
	bool some_allowed;
	if (!u->services_given || service.n == 0)
		return true;
	enum said said = services_say(u, service_name(service), &some_allowed);
	if (said == SAID_NOTHING)
		return u->services_count > 0 && !some_allowed;
	return said == SAID_YES;
}

static bool
network_allowed(const struct auth_user *u, struct str address)
{
	struct cidr c;
	for (size_t i = 0; i < u->networks_count; i++)
		if (cidr_parse(str_trim(u->networks[i]), &c) == ERR_OK &&
			cidr_contains(&c, address))
			return true;
	return u->networks_count == 0;
}

enum auth_reason
policy_account(const struct auth_user *u, struct str service, int64_t now_sec)
{
	if (u->disabled)
		return REASON_DISABLED;
	if (u->expires_sec != 0 && u->expires_sec <= now_sec)
		return REASON_ACCOUNT_EXPIRED;
	return service_allowed(u, service) ? REASON_NONE : REASON_SERVICE;
}

enum auth_reason
policy_login(const struct auth_user *u, const struct auth_context *c, int64_t now_sec)
{
	enum auth_reason reason = policy_account(u, c->service, now_sec);
	if (reason == REASON_NONE && !network_allowed(u, c->remote_ip))
		return REASON_NETWORK;
	return reason;
}

enum auth_reason
policy_delivery(const struct auth_user *u)
{
	bool some_allowed;
	return services_say(u, STR("lmtp"), &some_allowed) == SAID_NO ? REASON_SERVICE
								      : REASON_NONE;
}
