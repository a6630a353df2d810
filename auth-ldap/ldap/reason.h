#ifndef POSTROOM_AUTH_LDAP_REASON_H
#define POSTROOM_AUTH_LDAP_REASON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/str.h"

/* Why a directory refused a bind, or what it said beside its yes: from the result code, the
 * password policy control (draft-behera-ldap-password-policy-10, as OpenLDAP and 389 DS send it),
 * 389 DS's older controls, and the sub-codes in Active Directory's diagnostics. Pure functions over
 * bytes that a server sent. */

enum ldap_bind_reason {
	LDAP_BIND_FINE,
	LDAP_BIND_PASSWORD, /* wrong password, or no more is said */
	LDAP_BIND_UNKNOWN,  /* no such user (AD 525, noSuchObject) */
	LDAP_BIND_LOCKED,
	LDAP_BIND_DISABLED,
	LDAP_BIND_ACCOUNT_EXPIRED,
	LDAP_BIND_PASSWORD_EXPIRED,
	LDAP_BIND_MUST_CHANGE,
	LDAP_BIND_HOURS,       /* not at this time */
	LDAP_BIND_WORKSTATION, /* not from this machine */
	LDAP_BIND_REFUSED,     /* by a rule of the server's that it does not explain */
};

struct ldap_bind_facts {
	enum ldap_bind_reason reason;
	/* The directory says this only to somebody who sent the right password: such a reason may
	 * be told to the client. False: it may be what a stranger gets for any guess. */
	bool after_right_password;
	/* Usable although reason is not LDAP_BIND_FINE: the bind itself succeeded (must change;
	 * expired without grace on servers that let such binds in for the change only). */
	bool bound;
	int64_t expires_sec; /* until the password ends; -1: not said */
	int grace;	     /* logins left with the expired password; -1: not said */
};

/* A control of the answer. */
struct ldap_control {
	struct str oid;
	struct str value; /* empty: none */
};

/* result: the LDAP result code; diagnostic: the server's text; controls: the answer's. */
struct ldap_bind_facts
ldap_bind_facts_of(int result, struct str diagnostic, const struct ldap_control *controls,
	size_t controls_count);

/* The control's value, BER of PasswordPolicyResponseValue. out's fields that are not in it are -1.
 * ERR_SYNTAX: not that; ERR_LIMIT: a number beyond 2^31-1. */
struct ppolicy_answer {
	int64_t expires_sec;
	int64_t grace;
	int error; /* 0 passwordExpired, 1 accountLocked, 2 changeAfterReset, … 8 */
};
MUST_USE enum err
ppolicy_parse(struct str ber, struct ppolicy_answer *out);
/* "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 52e, v3839" →
 * 0x52e; 0: none in it. */
unsigned
ad_subcode(struct str diagnostic);

/* "password expired", for the log. */
const char *
ldap_bind_reason_text(enum ldap_bind_reason r);

#define PPOLICY_OID "1.3.6.1.4.1.42.2.27.8.5.1"

#endif
