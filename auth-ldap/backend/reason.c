/* Why an answer is a "no": one table for the log, the client and the counting of guesses. */
#include "auth-ldap/backend/reason.h"

static const struct {
	const char *text, *code;
	bool guess;
} reasons[REASON_COUNT] = {
	[REASON_NONE] = { "", "", false },
	[REASON_UNKNOWN] = { "unknown user", "", true },
	[REASON_NAME] = { "not a name", "", true },
	[REASON_EMPTY] = { "empty name or password", "", true },
	[REASON_PASSWORD] = { "password refused", "", true },
	[REASON_REFUSED] = { "refused whatever the password", "", true },
	[REASON_AMBIGUOUS] = { "more than one entry matches", "", false },
	[REASON_ENTRY] = { "the entry cannot be used: logins are refused and mail waits until it "
			   "is corrected",
		"", false },
	[REASON_DOMAIN] = { "the user's domain is another backend's", "", false },
	[REASON_HOME] = { "home is another user's, inside or around one, or not below mail_root",
		"", false },
	[REASON_LOCKED] = { "account locked", "", true },
	[REASON_DISABLED] = { "account disabled", "CONTACTADMIN", false },
	[REASON_ACCOUNT_EXPIRED] = { "account expired", "CONTACTADMIN", false },
	[REASON_PASSWORD_EXPIRED] = { "password expired", "EXPIRED", false },
	[REASON_MUST_CHANGE] = { "password must be changed", "EXPIRED", false },
	[REASON_HOURS] = { "not at this time", "AUTHORIZATIONFAILED", false },
	[REASON_WORKSTATION] = { "not from this place", "AUTHORIZATIONFAILED", false },
	[REASON_SERVICE] = { "not allowed for this service", "AUTHORIZATIONFAILED", false },
	[REASON_NETWORK] = { "not allowed from this network", "AUTHORIZATIONFAILED", false },
	[REASON_AUTHZ] = { "may not act as another user", "AUTHORIZATIONFAILED", false },
	[REASON_BLOCKED] = { "too many failures before", "", false },
	[REASON_REMEMBERED] = { "the same wrong password again", "", true },
	[REASON_MECHANISM] = { "mechanism not on offer", "", false },
	[REASON_PROTOCOL] = { "malformed response", "", false },
	[REASON_LIMIT] = { "beyond the limits of depth or size", "", false },
	[REASON_LOOP] = { "stands for itself only", "", false },
	[REASON_DIRECTORY] = { "directory failed", "", false },
	[REASON_INTERNAL] = { "internal failure", "", false },
};

const char *
reason_text(enum auth_reason r)
{
	return reasons[r].text;
}

const char *
reason_code(enum auth_reason r)
{
	return reasons[r].code;
}

bool
reason_is_guess(enum auth_reason r)
{
	return reasons[r].guess;
}
