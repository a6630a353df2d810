#ifndef POSTROOM_SASL_MECHANISM_H
#define POSTROOM_SASL_MECHANISM_H

#include "config/settings.h"

/* The mechanisms that we know, one row each, and where each is on offer. Pure functions: the auth
 * service, the gate and smtp decide by the same ones. */
enum sasl_family {
	SASL_PASSWORD,	  /* the password itself: PLAIN, LOGIN */
	SASL_SCRAM,	  /* a proof against stored keys (RFC 5802, RFC 7677) */
	SASL_GSSAPI,	  /* a Kerberos ticket (RFC 4752) */
	SASL_CERTIFICATE, /* EXTERNAL (RFC 4422 A): TLS has said who it is */
	SASL_TOKEN,	  /* OAUTHBEARER (RFC 7628), XOAUTH2 */
};

struct sasl_mechanism {
	const char *name;
	enum sasl_family family;
	bool plaintext;	   /* who reads the line can log in later: never without TLS */
	const char *flags; /* of its MECH line in the auth protocol, e.g. "\tplaintext" */
};

/* Any case. NULL: none of ours. */
const struct sasl_mechanism *
sasl_mechanism_find(struct str name);

/* A client, as far as it matters for what it is offered. */
struct sasl_client {
	struct str service; /* "imap", "smtp" */
	bool secured;	    /* TLS, or nobody can listen, or plaintext_login */
	bool certificate;   /* it showed one that was verified */
};
/* On offer to this client: in auth.sasl_mechanisms, in the service's own list where there is one,
 * and good enough for the line. */
bool
sasl_offered(const struct settings *s, const struct sasl_client *c, struct str mechanism);
/* It would be, with TLS. */
bool
sasl_offered_with_tls(const struct settings *s, const struct sasl_client *c, struct str mechanism);

#endif
