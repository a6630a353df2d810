#ifndef POSTROOM_QUEUE_OWED_H
#define POSTROOM_QUEUE_OWED_H

#include "delivery/queue/record.h"

/* Who is to be told what of a message, by what its sender asked for with NOTIFY (RFC 3461 4.1, 5.2)
 * and by what became of its recipients. Pure functions over records.
 *
 * Nobody asked for anything: failures and delays are told. Aliases: what is asked for an address
 * that stands for one other goes on to that one. For one that stands for several, success is told
 * at once ("expanded"), the rest goes on. A list, which sends under an address of its own, ends it:
 * for the sender the message was delivered, and the list hears of its members. 5.2.7 */
enum action {
	ACTION_NONE,
	ACTION_FAILED,
	ACTION_DELAYED,
	ACTION_DELIVERED,
	ACTION_RELAYED, /* to a server that makes no reports of success */
	ACTION_EXPANDED,
};

/* o stands for count final recipients, which are added next. */
void
owed_expanded(struct record_orig *o, size_t count, bool list);
/* What comes down to one of those; twice: c was there already, by another address. */
void
owed_inherit(struct record_rcpt *c, const struct record_orig *o, size_t count, bool twice);
/* Delivered. relayed: to another server; passed: which reports from now on. */
void
owed_delivered(struct record_rcpt *c, bool relayed, bool passed);
/* What the next hop is told about a recipient: its NOTIFY, and its ORCPT in out (emptied first;
 * nothing: none). 5.2.1 */
unsigned
owed_pass_on(const struct record *r, const struct record_rcpt *c, struct buf *out);

/* One report. */
struct owed {
	struct str to;	 /* borrows the record, or postmaster */
	uint32_t sender; /* 0: the message's; else of lists' recipients, record_rcpt.sender */
	bool twice;	 /* about a report that failed: to postmaster */
	bool delays;	 /* also of those that wait and whose sender was not told */
};
/* The next report that is owed. postmaster: who gets what cannot be told to the sender of a report;
 * empty: nobody. delays: the time for a notice has come. False: none. */
bool
owed_next(const struct record *r, struct str postmaster, bool delays, struct owed *out);
/* What it says of an envelope recipient or a final one; ACTION_NONE: nothing. */
enum action
owed_orig(const struct record *r, const struct owed *w, uint32_t i);
enum action
owed_rcpt(const struct record *r, const struct owed *w, uint32_t i);
/* It is in the queue. */
void
owed_mark(struct record *r, const struct owed *w);
/* What nobody is to be told of counts as told; failures among it are logged. True: r changed. */
bool
owed_settle(struct record *r, struct str postmaster);
/* Somebody waits whose sender would be told of the delay. */
bool
owed_delays(const struct record *r);

#endif
