#ifndef POSTROOM_SMTP_CLIENT_NAME_H
#define POSTROOM_SMTP_CLIENT_NAME_H

#include "delivery/resolver/resolver.h"

/* The name of a client's address that leads back to it: PTR, then A or AAAA of the first
 * CLIENT_NAMES_MAX names at once. RFC 8601 2.7.3 (iprev). */
enum { CLIENT_NAMES_MAX = 5 };

enum client_state {
	CLIENT_UNASKED,
	CLIENT_PENDING,
	CLIENT_CONFIRMED,
	CLIENT_NO_PTR,
	CLIENT_UNCONFIRMED, /* it has names, and none of them leads back */
	CLIENT_TEMP,	    /* nobody knows */
};

struct client_name;

/* name: "" unless CLIENT_CONFIRMED; dies when fn returns. fn is called once, from the loop, after
 * timeout_ms at the latest. */
struct client_name *
client_name_ask(struct loop *l, struct resolver_client *r, struct str address, int64_t timeout_ms,
	void (*fn)(void *arg, enum client_state s, const char *name), void *arg);
/* fn will not be called. NULL is allowed. */
void
client_name_cancel(struct client_name *n);

#endif
