#ifndef POSTROOM_AUTH_LDAP_GSS_H
#define POSTROOM_AUTH_LDAP_GSS_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* Kerberos for the service account's bind: the client side of SASL's GSSAPI mechanism (RFC 4752),
 * by MIT's library. It reads files and asks KDCs, so each step runs on a helper thread; the loop
 * only hands tokens to and fro. Tickets come from the keytab and live in memory; the library
 * renews them before they end. No file is written, no variable of the environment changed.
 *
 * No security layer is ever negotiated: the caller makes sure that the connection is TLS, or local
 * to this machine. */
struct ldap_gss;
struct gss_bind;

/* keytab: path of a file. principal: empty: the keytab's first. Copies both. ERR_SYNTAX with text
 * in err_out (static storage). */
MUST_USE enum err
ldap_gss_new(struct loop *l, struct str keytab, struct str principal, struct ldap_gss **out,
	const char **err_out);
/* Every gss_bind was cancelled or freed. A KDC that hangs holds nobody up: what waits for it ends
 * on its own. NULL is allowed. */
void
ldap_gss_free(struct ldap_gss *g);

/* The next token for the server, maybe empty; or why there is none. Both die when fn returns.
 * last: the server's success is all that is still to come. */
typedef void (*gss_fn)(void *arg, enum err e, struct str token, bool last, const char *why);

/* host: as the service's principal ldap/HOST has it. binding: the channel's (RFC 5929
 * tls-server-end-point: the hash alone); empty: none. fn is called once for this and once for each
 * step, never inside the call. */
struct gss_bind *
gss_bind_start(struct ldap_gss *g, struct str host, struct str binding, gss_fn fn, void *arg);
/* The server's answer to the token that fn got; only after fn. */
void
gss_bind_step(struct gss_bind *b, struct str token);
/* fn will not be called. refused: the server did not take what it got: the next bind starts with
 * new tickets. NULL is allowed. */
void
gss_bind_free(struct gss_bind *b, bool refused);

#endif
