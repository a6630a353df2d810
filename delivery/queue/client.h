#ifndef POSTROOM_QUEUE_CLIENT_H
#define POSTROOM_QUEUE_CLIENT_H

#include "core/event/loop.h"
#include "delivery/queue/record.h"
#include "delivery/queue/reply.h"

/* The LMTP client: up to a number of connections to one server, kept open, one transaction at a
 * time on each. Transactions beyond that wait their turn, first come first served. RFC 2033. */
struct clients;

struct clients_options {
	struct str address; /* "unix:/run/postroom/lmtp" */
	struct str hostname;
	unsigned connections_max;
	int64_t command_timeout_ms; /* for each reply */
	int64_t data_timeout_ms;    /* for each reply after the data */
	int64_t idle_ms;	    /* an unused connection is closed after this */
};

struct client_rcpt {
	struct str address;
	char delivery_id[DELIVERY_ID_SIZE];
	/* private */
	bool answered;
	bool left_out; /* this server cannot take it; no RCPT was sent */
};

/* One transaction. The caller owns it and keeps it until on_end, or until client_cancel. */
struct client_job {
	struct str sender;
	struct str qid; /* for logs of the client */
	bool eight_bit;
	bool binary;   /* only BDAT can carry it */
	bool smtputf8; /* the message needs it; what the addresses need is seen here */
	uint64_t body_len;
	uint32_t body_crc; /* CRC32C; the message is not delivered when it differs */
	/* n bytes of the body from off. */
	enum err (*read)(void *arg, uint64_t off, void *p, size_t n);
	struct client_rcpt *rcpts;
	size_t rcpts_count;
	/* The result for one recipient, as its line arrives; each once at most. */
	void (*on_rcpt)(void *arg, size_t i, const struct reply *r);
	/* ERR_OK: every recipient had its result, but for those that the server put off because
	 * there were too many in one transaction (452 4.5.3; others were taken): try them at
	 * once. ERR_TEMP: the server could not be reached or went
	 * away (text says how); those without result are as before, though any of them may have
	 * been delivered. ERR_CORRUPT: the body could not be read or fails its sum, nothing was
	 * delivered. */
	void (*on_end)(void *arg, enum err how, const char *text);
	void *arg;
	/* private */
	struct list link;
	struct client *client;
};

struct clients *
clients_new(struct loop *l, const struct clients_options *o);
/* Connections are closed, jobs forgotten. */
void
clients_free(struct clients *c);
void
clients_submit(struct clients *c, struct client_job *j);
/* Neither callback comes any more; a transaction on its way is cut. */
void
clients_cancel(struct client_job *j);
/* Close connections that are not in use. */
void
clients_close_idle(struct clients *c);

#endif
