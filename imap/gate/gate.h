#ifndef POSTROOM_IMAP_GATE_H
#define POSTROOM_IMAP_GATE_H

#include "core/gate/gate.h"

/* IMAP before login: CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN, AUTHENTICATE. RFC 3501 6.1,
 * 6.2; RFC 2971; RFC 4959; RFC 5530; RFC 7888. */
extern const struct gate_protocol imap_gate_protocol;

#endif
