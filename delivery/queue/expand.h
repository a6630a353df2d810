#ifndef POSTROOM_QUEUE_EXPAND_H
#define POSTROOM_QUEUE_EXPAND_H

#include "core/authclient/socketmap.h"
#include "core/base/arena.h"
#include "core/base/buf.h"
#include "delivery/queue/domains.h"

/* From the address that a message was sent to to those that it is delivered to: aliases and groups
 * by the directory's map "alias-large" (which follows them to the end), by "domain" whether the
 * result is ours; and who hears of what cannot be delivered:
 *
 * - a group's owner (map "owner") becomes the envelope sender for all it leads to, so that a list's
 *   bounces reach who can mend it and not who wrote. Of groups inside each other the outermost
 *   counts: it was written to, and has no owner where it names none.
 * - what is forwarded to another server from a sender elsewhere gets a sender by SRS
 *   (core/mail/srs.h), where that is set; an address that SRS made leads back to its sender.
 *
 * A message without a sender (<>) keeps none. */
struct expander;

/* address: "unix:/run/postroom/directory". default_domain: for addresses without one; such an
 * address is ours in any case. d is borrowed. */
struct expander *
expander_new(struct loop *l, struct str address, struct str default_domain, struct domains *d);
/* Expansions that run are dropped without a call. */
void
expander_free(struct expander *x);

/* With queue.srs_domain and queue.srs_secret: copies. An empty domain: no SRS. */
void
expander_set_srs(struct expander *x, struct str domain, struct str secrets);

struct expand_final {
	struct str address;
	bool local;
	bool list;	 /* a group's owner is the sender */
	bool has_sender; /* sender instead of the message's */
	struct str sender;
};
/* ERR_OK: finals, at least one, no two equal. ERR_TEMP: the directory cannot say; ERR_DENIED: it
 * refuses (text says why); ERR_LIMIT: more than the maximum. All borrowed for the call. */
typedef void (*expand_fn)(
	void *arg, enum err e, const struct expand_final *finals, size_t count, struct str text);

struct expand_request;
/* sender: the message's, "" for <>. finals_max: more are ERR_LIMIT. fn is called once, from the
 * loop, never inside this call. */
struct expand_request *
expand_start(struct expander *x, struct str address, struct str sender, size_t finals_max,
	expand_fn fn, void *arg);
/* fn will not be called. */
void
expand_cancel(struct expand_request *r);

#endif
