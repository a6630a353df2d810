#ifndef POSTROOM_QUEUE_ADMIN_IMPL_H
#define POSTROOM_QUEUE_ADMIN_IMPL_H

#include "core/event/stream.h"
#include "delivery/queue/admin.h"

/* A connection of the admin socket as its two files see it. */
struct change;

struct admin_conn {
	struct list link;
	struct admin *admin;
	struct queue *q;
	struct stream *stream;
	bool asked, over;
	struct buf verb, id;
	int64_t start_ms;
	/* HOLD, RELEASE, RETRY, DELETE */
	struct change *change;	 /* on its way to the disk */
	struct loop_timer again; /* while the message is busy */
	/* LIST and SHOW */
	struct loop_task step;
	struct buf ids;	     /* what is to be listed, SPOOL_NAME_LEN bytes each */
	size_t at;	     /* in ids */
	size_t listed;	     /* messages */
	struct arena *arena; /* the message whose recipients are being shown, or NULL */
	struct record r;
	uint32_t orig_at, rcpt_at, shown;
	bool all; /* SHOW: every recipient */
};

/* The last line, and the end of the connection once it has left. */
void
admin_finish(struct admin_conn *c, const char *word, const char *text);

/* admin_list.c */
void
admin_list(struct admin_conn *c);
void
admin_show(struct admin_conn *c);
/* Goes on; the step's task. */
void
admin_list_step(struct loop_task *t);

#endif
