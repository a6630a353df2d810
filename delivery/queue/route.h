#ifndef POSTROOM_QUEUE_ROUTE_H
#define POSTROOM_QUEUE_ROUTE_H

#include "config/settings.h"
#include "core/event/loop.h"
#include "delivery/queue/domains.h"

/* Where one recipient's mail goes now: into a mailbox here, to another server, or nowhere. In this
 * order:
 *
 *   outbound.null_client        everything to the section outbound.smarthost names
 *   a domain of ours            the directory's map "transport" (mailHost) where it has an answer
 *                               and outbound.transports is on, else lmtp
 *   relay "x" { domains }       the section that names the recipient's domain, else the longest
 *                               ".example.net" that it is below
 *   relay "x" { sender_domains }  the same for the domain of the envelope sender
 *   outbound.smarthost          that section
 *   user@[192.0.2.1]            that address, unless outbound.refused_networks has it
 *   anything else               the domain's MX
 *
 * What the directory says of a domain is believed as domains.h says. */
struct router;
struct route_request;

enum route_kind {
	ROUTE_LOCAL,
	ROUTE_RELAY, /* route, section: as in delivery/relay/relay.h */
	ROUTE_NEVER, /* code, status and text say why */
	ROUTE_LATER, /* the directory cannot say; the same */
};
struct route_answer {
	enum route_kind kind;
	struct str route, section;
	unsigned code;
	const char *status, *text;
};
/* a and its strings die when this returns. */
typedef void (*route_fn)(void *arg, const struct route_answer *a);

/* s: lives as long as the router, or until router_set; NULL: everything is local, and nobody is
 * asked. With outbound.enabled = no what is not ours (taken when it was on) is ROUTE_LATER.
 * hostname: ours; a route there is a loop. Strings are copied; d is borrowed. */
struct router *
router_new(struct loop *l, struct str directory_address, struct str hostname,
	const struct settings *s, struct domains *d);
void
router_set(struct router *r, const struct settings *s);
/* Requests are dropped without a call. */
void
router_free(struct router *r);
/* May mail to other servers be taken at all? */
bool
router_enabled(const struct router *r);

/* Is everything another server's, so that no address stands for others here? */
bool
router_null_client(const struct router *r);

/* sender: the envelope's, "" for <>. ERR_OK: *out says it at once, its strings live until the next
 * call of anything here; ERR_AGAIN: fn is called once, from the loop, unless *request is cancelled.
 */
MUST_USE enum err
route_find(struct router *r, struct str address, struct str sender, struct route_answer *out,
	route_fn fn, void *arg, struct route_request **request);
void
route_cancel(struct route_request *q);

#endif
