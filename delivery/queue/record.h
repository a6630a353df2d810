#ifndef POSTROOM_QUEUE_RECORD_H
#define POSTROOM_QUEUE_RECORD_H

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "delivery/spool/format.h"

/* What queue.mdb holds of one message: who it was sent to and what became of each final
 * recipient. The place of a recipient in rcpts is part of its delivery id, so recipients are only
 * ever added at the end, and never removed or moved. */
enum rcpt_state {
	RCPT_WAITING = 0,
	RCPT_DELIVERED = 1,
	RCPT_FAILED = 2,   /* for good; the sender was not told yet */
	RCPT_REPORTED = 3, /* for good; the report is in the queue, or there is nobody to tell */
};

/* A report of success (NOTIFY=SUCCESS): none is wanted, or the next hop owes it. */
enum rcpt_success { SUCCESS_NONE = 0, SUCCESS_DUE = 1, SUCCESS_DONE = 2 };

/* One recipient of the envelope. */
struct record_orig {
	struct str address;
	bool expanded; /* its final recipients are in rcpts */
	bool told;     /* the sender knows that it waits */
	bool list;     /* a list with a sender of its own: for the sender it was delivered */
	uint16_t attempts;
	int64_t next_ms;	   /* when not expanded: ask the directory again then */
	unsigned notify;	   /* enum spool_notify, as the sender said */
	struct str orcpt;	   /* xtext as received; empty: none */
	enum rcpt_success success; /* of an address that stands for several, or of a list */
};

/* One recipient after expansion. */
struct record_rcpt {
	struct str address;
	uint32_t orig;	 /* index of the first envelope recipient that led here */
	uint32_t sender; /* 0: the message's; n: senders[n - 1]; see record_sender */
	enum rcpt_state state;
	bool told;    /* the sender knows that it waits */
	bool list;    /* reached through a list: ENVID, RET and ORCPT ended there */
	bool relayed; /* delivered to another server, not to a mailbox */
	uint16_t attempts;
	int64_t next_ms;	   /* waiting: the next try */
	int64_t last_ms;	   /* the last try; 0: none */
	unsigned notify;	   /* enum spool_notify, as it came through the expansion */
	enum rcpt_success success; /* delivered: is a report about it owed? */
	struct str reply;	   /* of the last try, "451 4.3.0 text"; empty before it */
	struct str host;	   /* who said so; empty: we did */
	struct str host_address;
};

struct record {
	struct str id;
	struct str sender; /* "" for <> */
	struct str sid;
	int64_t received_ms;
	uint64_t size;
	unsigned flags; /* enum spool_flag */
	enum spool_ret ret;
	struct str envid;    /* xtext as received; empty: none */
	bool held;	     /* by hand: no attempts until it is released */
	bool done;	     /* nothing is left to do: only the slot's file may still be there */
	struct str *senders; /* others than sender that recipients have */
	uint32_t senders_count, senders_room;
	struct record_orig *origs;
	uint32_t origs_count;
	struct record_rcpt *rcpts;
	uint32_t rcpts_count;
	uint32_t rcpts_room; /* allocated */
};

enum { RECORD_MAX = 256 * 1024 * 1024 };

/* Appends; ends with a CRC32C. ERR_LIMIT: out is full. */
MUST_USE enum err
record_encode(const struct record *r, struct buf *out);
/* Strings are copied into a. ERR_CORRUPT: not one of ours, or damaged; ERR_LIMIT: a is full. */
MUST_USE enum err
record_decode(struct str bytes, struct arena *a, struct record *out);

/* Wall time of the earliest next step, 0 where a report is owed; INT64_MAX when nothing waits. */
int64_t
record_next_ms(const struct record *r);
/* Waits that would end after latest_ms end now; see queue_latest_ms. */
void
record_limit_waits(struct record *r, int64_t latest_ms);
/* Append a final recipient with the message's sender and what the envelope recipient has of NOTIFY;
 * address and the table live in a. Returns NULL: a is full. */
struct record_rcpt *
record_add_rcpt(struct record *r, struct arena *a, struct str address, uint32_t orig);
/* Give a recipient an envelope sender of its own ("" for <>). ERR_LIMIT: a is full. */
MUST_USE enum err
record_set_sender(struct record *r, struct arena *a, struct record_rcpt *c, struct str sender);
/* The envelope sender for a recipient. */
struct str
record_sender(const struct record *r, const struct record_rcpt *c);
/* "00000193a4c1b2d3.9f8e7d6c5b4a3210.12": accept time, queue id, place (core/store/deliver.h). */
enum { DELIVERY_ID_SIZE = 48 };
void
record_delivery_id(const struct record *r, uint32_t index, char out[DELIVERY_ID_SIZE]);

#endif
