#ifndef POSTROOM_SASL_EXCHANGE_H
#define POSTROOM_SASL_EXCHANGE_H

#include "core/sasl/mechanism.h"

/* The server side of SASL mechanisms (Cyrus SASL, and our own for tokens). The exchange takes down
 * what the client claims and checks proofs against what it is given; it asks nobody. When a step
 * returns ERR_OK the caller verifies sasl_exchange_claim by its own, asynchronous means before it
 * tells the client.
 *
 * One thread at a time for each exchange; different exchanges may be on different threads. */
struct sasl_exchange;

/* What the client claims. Dies with the exchange; wiped. */
struct sasl_claim {
	struct str authzid;  /* whom it wants to act as; empty: as itself */
	struct str name;     /* as typed; SASL_CERTIFICATE: the subject; SASL_GSSAPI: the principal,
				"anna@EXAMPLE.ORG"; SASL_TOKEN: what the examiner said. With ERR_OK
				never empty */
	struct str password; /* SASL_PASSWORD only, never empty then */
	struct str token;    /* SASL_TOKEN */
	bool own_realm;	     /* SASL_GSSAPI: the principal is of this machine's realm */
};

enum { SASL_RESPONSE_MAX = 16 * 1024 };

/* Once a process, before its cage and threads: loads the plug-ins; afterwards again with other
 * mechanisms. keytab: for GSSAPI, empty: none; copied. Changes nothing unless ERR_OK. ERR_TEMP:
 * the library refuses; ERR_NOTFOUND: a mechanism is none of ours or has no plug-in (its name in
 * missing_out). */
MUST_USE enum err
sasl_exchange_setup(
	const struct str *mechanisms, size_t count, struct str keytab, struct str *missing_out);
void
sasl_exchange_teardown(void);

struct sasl_options {
	const char *service;	/* "imap" */
	const char *hostname;	/* GSSAPI: the host in our principal; NULL: "localhost" */
	struct str certificate; /* EXTERNAL: the subject that TLS has verified */
};
/* Begin. Copies. ERR_NOTFOUND: no such mechanism, or EXTERNAL without a certificate; ERR_TEMP. */
MUST_USE enum err
sasl_exchange_new(struct str mechanism, const struct sasl_options *o, struct sasl_exchange **out);
/* NULL is allowed; the claim is wiped. */
void
sasl_exchange_free(struct sasl_exchange *s);
const struct sasl_mechanism *
sasl_exchange_mechanism(const struct sasl_exchange *s);
/* Steps may wait for files: run them on a thread. */
bool
sasl_exchange_blocks(const struct sasl_exchange *s);

/* The client's next response, decoded; response.p NULL: it gave no initial response (an empty
 * one is {"", 0}). ERR_OK: the claim is complete; ERR_AGAIN: send challenge_out (borrowed until the
 * next step) and come back; ERR_BUSY: first, SCRAM needs the keys of the claim's name
 * (sasl_exchange_keys), or the claim's token must be examined (sasl_exchange_token).
 * ERR_SYNTAX: not what the mechanism says, or a NUL inside a name or password; ERR_LIMIT: response
 * over SASL_RESPONSE_MAX; ERR_NOTFOUND: empty name, one with white space at an end, or empty
 * password (RFC 4513 5.1.2); ERR_DENIED: the proof or the ticket is wrong, or the client was
 * told why its token was refused; ERR_TEMP. RFC 4616; draft-murchison-sasl-login; RFC 5802; RFC
 * 4752; RFC 7628. */
MUST_USE enum err
sasl_exchange_step(struct sasl_exchange *s, struct str response, struct str *challenge_out);
const struct sasl_claim *
sasl_exchange_claim(const struct sasl_exchange *s);

/* Keys for SCRAM (RFC 5802 3), bytes. */
struct sasl_keys {
	struct str salt, stored_key, server_key;
	uint32_t iterations;
};
/* After ERR_BUSY: goes on with the keys; returns like a step. Copies, wiped. */
MUST_USE enum err
sasl_exchange_keys(
	struct sasl_exchange *s, const struct sasl_keys *keys, struct str *challenge_out);
/* After ERR_BUSY: the token is good and stands for name. Returns like a step. */
MUST_USE enum err
sasl_exchange_token(struct sasl_exchange *s, struct str name);
/* After ERR_BUSY: it is not. ERR_AGAIN: the client hears why (json, RFC 7628 3.2.2), and its answer
 * ends the exchange with ERR_DENIED. */
MUST_USE enum err
sasl_exchange_token_refused(struct sasl_exchange *s, struct str json, struct str *challenge_out);

#endif
