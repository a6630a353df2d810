#ifndef POSTROOM_SMTP_DOMAIN_H
#define POSTROOM_SMTP_DOMAIN_H

#include "delivery/resolver/resolver.h"

/* What the DNS says of a mail domain or a host: MX, A and AAAA are asked side by side. */
struct domain;

enum domain_state {
	DOMAIN_FOUND,	/* it has an MX or an address */
	DOMAIN_NULL_MX, /* it says that it takes no mail (RFC 7505) */
	DOMAIN_UNKNOWN, /* neither MX nor address */
	DOMAIN_TEMP,	/* nobody knows */
};
typedef void (*domain_fn)(void *arg, enum domain_state s);

/* The name that is asked about, in A-labels, in out (255 octets); STR_EMPTY: said is a literal, or
 * nothing that the DNS could know. */
struct str
domain_name(struct str said, struct buf *out);
/* name: as domain_name gives it. fn is called once, from the loop, after timeout_ms at the latest.
 */
struct domain *
domain_ask(struct resolver_client *r, struct str name, int64_t timeout_ms, domain_fn fn, void *arg);
/* fn will not be called. NULL is allowed. */
void
domain_cancel(struct domain *d);

#endif
