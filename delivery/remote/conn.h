#ifndef POSTROOM_REMOTE_CONN_H
#define POSTROOM_REMOTE_CONN_H

#include "core/event/loop.h"
#include "core/event/tls.h"
#include "delivery/remote/dialog.h"

/* One connection to one server: connects, drives a dialog over a stream, and is kept for the next
 * message when the first is done. It has a user (a job) or is idle, never both. */
struct conn;

struct conn_login {
	struct str user, password;
	struct str mechanisms; /* those allowed, separated by blanks */
	bool plaintext;	       /* allowed without TLS */
};
/* Everything is kept until the connection is idle for the first time, or gone; but host, address
 * and hostname are copied. */
struct conn_options {
	struct loop *loop;
	struct str host;    /* for logs and SASL */
	struct str address; /* "192.0.2.7" */
	uint16_t port;
	struct str source; /* empty: any */
	struct str hostname;
	int64_t connect_timeout_ms, idle_ms;
	unsigned reuse_max;
	struct dialog_options dialog; /* timeouts, tls, no_…; the rest is set by conn */
	bool tls_implicit;
	struct tls_ctx *tls_ctx;
	struct tls_peer peer;
	const struct conn_login *login; /* NULL: none */
};

struct conn_message {
	const struct relay_request *request; /* borrowed until on_done or on_failed */
	int fd;				     /* borrowed */
};

struct conn_failure {
	enum dialog_failed why;
	const struct answer *answer;
	bool unsure;	 /* dialog_unsure */
	bool corrupt;	 /* the message cannot be read, or fails its sum */
	bool tls;	 /* the hand-shake failed */
	bool connected;	 /* the server was reached */
	bool idle_death; /* the connection was a kept one and said nothing about this message yet */
};

/* Callbacks come from the loop; within them the connection must not be freed. */
struct conn_user {
	void (*on_result)(void *arg, size_t i, const struct answer *a, bool passed);
	/* The transaction is over; the connection has no user any more. */
	void (*on_done)(void *arg);
	/* The connection is gone after this call. */
	void (*on_failed)(void *arg, const struct conn_failure *f);
};

/* key: what a kept connection is found by. pool: the list that it is in while it can be taken. */
struct conn *
conn_new(const struct conn_options *o, struct str key, struct list *pool,
	const struct conn_message *m, const struct conn_user *user, void *arg);
/* An idle connection of the key with its next message. NULL: there is none. */
struct conn *
conn_take(struct list *pool, struct str key, const struct conn_message *m,
	const struct conn_user *user, void *arg);
/* Cuts it, without callbacks. */
void
conn_free(struct conn *c);
/* The end of the message is out and nobody knows what became of it. */
bool
conn_unsure(const struct conn *c);
/* The connection whose link in the pool this is. */
struct conn *
conn_of(struct list *link);
/* Every connection of the pool ends politely. */
void
conn_close_idle(struct list *pool);

struct str
conn_host(const struct conn *c);
struct str
conn_address(const struct conn *c);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384 dane"; empty in clear. */
struct str
conn_tls(const struct conn *c);

#endif
