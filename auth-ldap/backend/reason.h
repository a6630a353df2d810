#ifndef POSTROOM_AUTH_REASON_H
#define POSTROOM_AUTH_REASON_H

#include <stdbool.h>

/* Why an answer is not ERR_OK. The log says all of it; a client hears reason_code only, and only of
 * what the directory (or a policy) said about a login with the right password. */
enum auth_reason {
	REASON_NONE,
	REASON_UNKNOWN,	  /* no backend knows the name */
	REASON_NAME,	  /* not a name at all */
	REASON_EMPTY,	  /* empty name or password */
	REASON_PASSWORD,  /* refused, and no more is known */
	REASON_REFUSED,	  /* not (or not only) for the password: it may be right */
	REASON_AMBIGUOUS, /* more than one entry matches */
	REASON_ENTRY,	  /* the entry has no usable name, or another value that cannot be used */
	REASON_DOMAIN,	  /* another backend's domain */
	REASON_HOME,	  /* home of another user, or not below mail_root */
	REASON_LOCKED,	 /* the directory locked the account (often said for wrong passwords too) */
	REASON_DISABLED, /* the account is switched off */
	REASON_ACCOUNT_EXPIRED,
	REASON_PASSWORD_EXPIRED,
	REASON_MUST_CHANGE, /* the password is right but must be changed first */
	REASON_HOURS,	    /* not at this time of day */
	REASON_WORKSTATION, /* not from there, says the directory */
	REASON_SERVICE,	    /* not this service */
	REASON_NETWORK,	    /* not from this address */
	REASON_AUTHZ,	    /* may not act as that other user */
	REASON_BLOCKED,	    /* too many failures before */
	REASON_REMEMBERED,  /* the same wrong password again, refused from memory */
	REASON_MECHANISM,   /* not on offer here */
	REASON_PROTOCOL,    /* the client's part was malformed */
	REASON_LIMIT,	    /* a limit of depth or size */
	REASON_LOOP,	    /* an alias that stands for itself only */
	REASON_DIRECTORY,   /* no server answered, or not in time */
	REASON_INTERNAL,
	REASON_COUNT
};

/* "password refused": for the log and explanations. */
const char *
reason_text(enum auth_reason r);
/* What a client may hear after a right password: "EXPIRED", "CONTACTADMIN", "AUTHORIZATIONFAILED"
 * (RFC 5530); "" for the rest. */
const char *
reason_code(enum auth_reason r);
/* Counts as a guess of a password by whoever asked. */
bool
reason_is_guess(enum auth_reason r);

#endif
