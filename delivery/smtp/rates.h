#ifndef POSTROOM_SMTP_RATES_H
#define POSTROOM_SMTP_RATES_H

#include "core/event/counts.h"
#include "core/event/loop.h"

/* How often something happened within the last minute (50 to 60 s), of one place (cidr_place) or
 * one user, in all workers together. What was refused is not counted: whoever is too fast gets as
 * much as the limit says, no more and no less. */
struct rates;

enum rate_kind {
	RATE_CONNECTIONS, /* of an address */
	RATE_ERRORS,
	RATE_MESSAGES,
	RATE_RECIPIENTS,
	RATE_USER_MESSAGES, /* of a user */
	RATE_USER_RECIPIENTS,
};

/* counts: of all workers; NULL: this one's only; kept. */
struct rates *
rates_new(struct loop *l, struct counts *counts);
void
rates_free(struct rates *r);
/* One more of who. False: limit of them came within the minute already. limit 0: always true. */
bool
rates_take(struct rates *r, enum rate_kind kind, struct str who, unsigned limit);
/* Would rates_take say no? Nothing is counted. */
bool
rates_over(const struct rates *r, enum rate_kind kind, struct str who, unsigned limit);
/* The 50 to 60 s go by. For tests. */
void
rates_forget(struct rates *r);

#endif
