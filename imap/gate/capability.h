#ifndef POSTROOM_IMAP_GATE_CAPABILITY_H
#define POSTROOM_IMAP_GATE_CAPABILITY_H

#include "core/base/buf.h"

/* What is said about the server before login. One const table: token, when, and the test that
 * proves it; imap has its own for after login. */
struct gate_conn;

/* Appends "IMAP4rev1 LITERAL+ …" for this client as it is now. RFC 3501 6.1.1. */
void
gate_capabilities(const struct gate_conn *c, struct buf *out);

/* The mechanism (any case) is on offer to this client now: AUTH= names it. core/sasl/mechanism.h */
bool
gate_mechanism_offered(const struct gate_conn *c, struct str mechanism);
/* It would be, with TLS. */
bool
gate_mechanism_known(const struct gate_conn *c, struct str mechanism);

/* The table's rows; NULL at the end. tests/unit/test_gate.c fails when the test of a token is not
 * among those that ran to their end. */
const char *
gate_capability_token(size_t i);
const char *
gate_capability_test(size_t i);

#endif
