#ifndef POSTROOM_SASL_EXCHANGE_H
#define POSTROOM_SASL_EXCHANGE_H

#include "core/base/str.h"

/* The server side of SASL mechanisms (Cyrus SASL). The exchange takes down what the client
 * claims; nothing here decides whether the password is right. When a step returns ERR_OK the
 * caller verifies sasl_exchange_claim by its own, asynchronous means before it tells the client.
 * One thread only. */
struct sasl_exchange;

/* What the client claims. Dies with the exchange. */
struct sasl_claim {
	struct str authzid; /* whom it wants to act as; empty: as itself */
	struct str name;    /* as typed; never empty */
	struct str password;
};

enum { SASL_RESPONSE_MAX = 16 * 1024 };

/* Once a process, before its cage: loads the plug-ins. mechanisms: the only ones on offer,
 * e.g. {"PLAIN", "LOGIN"}; copied. ERR_TEMP: the library refuses; ERR_NOTFOUND: a mechanism
 * has no plug-in (its name in missing_out). */
MUST_USE enum err
sasl_exchange_setup(const struct str *mechanisms, size_t count, struct str *missing_out);
void
sasl_exchange_teardown(void);
/* True when mechanism (any case) is on offer. */
bool
sasl_exchange_offers(struct str mechanism);

/* Begin. service: "imap". ERR_NOTFOUND: mechanism not on offer; ERR_TEMP. */
MUST_USE enum err
sasl_exchange_new(struct str mechanism, const char *service, struct sasl_exchange **out);
/* NULL is allowed; the claim is wiped. */
void
sasl_exchange_free(struct sasl_exchange *s);

/* The client's next response, decoded; response.p NULL: it gave no initial response (an empty
 * one is {"", 0}). ERR_OK: the claim is complete; ERR_AGAIN: send challenge_out (borrowed until the
 * next step) and come back; ERR_SYNTAX: not what the mechanism says, or a NUL inside a name or
 * password; ERR_LIMIT: response over SASL_RESPONSE_MAX; ERR_DENIED: empty name, one with
 * white space at an end, or empty password (RFC 4513 5.1.2); ERR_TEMP. RFC 4616;
 * draft-murchison-sasl-login. */
MUST_USE enum err
sasl_exchange_step(struct sasl_exchange *s, struct str response, struct str *challenge_out);
const struct sasl_claim *
sasl_exchange_claim(const struct sasl_exchange *s);

#endif
