#ifndef POSTROOM_RELAY_RELAY_H
#define POSTROOM_RELAY_RELAY_H

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/event/loop.h"

/* The channel between queue and relay: the seqpacket socket `relay` in the runtime folder, served
 * by postroom-relay, only for queue's user. Fields of core/event/ipc.h in the order of the structs
 * below.
 *
 *   queue ─ JOB (one message, one route, up to RELAY_RCPTS_MAX recipients, one read-only fd) ─▶
 * relay queue ─ CANCEL (id) ───────────────────────────────────────────────────────────────────▶
 * relay queue ◀─ RCPT (one recipient's final word, as soon as it is known; at most one for each) ─
 * relay queue ◀─ END (once for each JOB; nothing about this id follows) ──────────────────────────
 * relay
 *
 * When the channel ends, what relay was doing for it ends as well; queue must take recipients
 * without a result as not delivered, though any of them may have been (a lost reply). */
enum relay_msg {
	RELAY_MSG_JOB = 1,
	RELAY_MSG_CANCEL, /* u64 id; an END follows, perhaps with results before it */
	RELAY_MSG_RCPT,
	RELAY_MSG_END,
};

enum {
	RELAY_RCPTS_MAX = 100,	 /* what every server takes, RFC 5321 4.5.3.1.8 */
	RELAY_ADDRESS_MAX = 512, /* what smtp takes: 256 + "@" + 255 */
	RELAY_ORCPT_MAX = 500,	 /* RFC 3461 4.2 */
	RELAY_ENVID_MAX = 100,	 /* RFC 3461 4.4 */
	RELAY_ROUTE_MAX = 300,
	RELAY_NAME_MAX = 255,
	RELAY_TEXT_MAX = 480,
	RELAY_STATUS_MAX = 11, /* "5.7.999" and the like */
};

enum relay_flag {
	/* The message has octets above 127, or was BODY=8BITMIME. Neither this nor RELAY_SMTPUTF8
	 * fails a message that is 7-bit all the same: the octets are looked at as they leave. */
	RELAY_8BIT = 1 << 0,
	RELAY_SMTPUTF8 = 1 << 1, /* header or an address needs SMTPUTF8 */
	RELAY_BINARY = 1 << 2,	 /* BODY=BINARYMIME: lines mean nothing, only BDAT can carry it */
};
enum relay_ret { RELAY_RET_NONE, RELAY_RET_FULL, RELAY_RET_HDRS };
/* RFC 3461 4.1; 0: NOTIFY was not given. */
enum relay_notify {
	RELAY_NOTIFY_NEVER = 1 << 0,
	RELAY_NOTIFY_SUCCESS = 1 << 1,
	RELAY_NOTIFY_FAILURE = 1 << 2,
	RELAY_NOTIFY_DELAY = 1 << 3,
};

struct relay_rcpt {
	struct str address; /* "otto@example.net" */
	unsigned notify;    /* enum relay_notify */
	struct str orcpt;   /* "rfc822;Otto@example.net", xtext as received; empty: none */
};

/* A message for one route. What queue says with a JOB. */
struct relay_request {
	uint64_t id;	   /* unique on the channel */
	struct str qid;	   /* queue id, for logs */
	struct str sender; /* "" for <> */
	unsigned flags;	   /* enum relay_flag */
	uint64_t body_off; /* in the file */
	uint64_t body_len;
	uint32_t body_crc; /* CRC32C: a message that fails it is not delivered */
	enum relay_ret ret;
	struct str envid; /* xtext as received; empty: none */
	/* Where to: "example.net" (its MX, else its address), "example.net:2525" (the same at
	 * another port), "[mx.example.net]", "[192.0.2.7]:2525", "[2001:db8::1]" (no MX). Names in
	 * ASCII (A-labels). May be
	 * empty where section names a `relay` section with a host of its own. */
	struct str route;
	struct str section; /* a `relay "…"` section; empty: none */
	struct relay_rcpt *rcpts;
	size_t rcpts_count; /* 1 to RELAY_RCPTS_MAX */
};

/* One recipient's result. code 2xx: the next hop took it. 4xx: later (452 4.5.3 beside others that
 * were taken: the server takes no more at once, so try that one soon); 5xx: never. */
struct relay_result {
	uint64_t id;
	uint32_t index;	    /* in rcpts */
	unsigned code;	    /* 200 to 599 */
	struct str status;  /* "2.1.5", never empty */
	struct str text;    /* printable; of the peer's last line, or ours */
	struct str host;    /* name of the server that said so; empty: relay itself said it */
	struct str address; /* its address */
	bool dsn_passed;    /* 2xx: that server has NOTIFY and the rest now, RFC 3461 5.2.2 */
};

struct relay_end {
	uint64_t id;
	/* ERR_OK: every recipient had its result. Of the others:
	 * ERR_TEMP: no server of the route could be used, or the connection was lost, or cancelled:
	 *   later; says something about the route, not about the message.
	 * ERR_DENIED: this route never works (no such domain, null MX, loops back to us):
	 * permanent. ERR_BUSY: too many jobs: soon. ERR_CORRUPT: the message cannot be read, or
	 * fails its sum: nothing was delivered. ERR_SYNTAX: relay does not understand the route, or
	 * knows no such section. */
	enum err how;
	unsigned code;	   /* as if a server had said it: 451, 556 …; 250 with ERR_OK */
	struct str status; /* "4.4.1", "5.1.10" … */
	struct str text;
	struct str host;    /* the last server that was tried; empty: none */
	struct str address; /* its address */
	struct str tls;	    /* "TLSv1.3 TLS_AES_256_GCM_SHA384 dane"; empty: in clear */
	bool own;	    /* no server said text: it is about the one that was tried, if any */
};

/* Can address be a job's? Else relay_submit says ERR_LIMIT. */
bool
relay_address_valid(struct str address);

/* Encoders append; ERR_LIMIT: a field is over its limit, or out full. Decoders borrow in, which
 * must be the whole payload; ERR_SYNTAX; ERR_LIMIT: a is full. Addresses and the rest hold no
 * control characters and no space, texts no control characters: that is checked here, both ways. */
MUST_USE enum err
relay_request_encode(const struct relay_request *r, struct buf *out);
MUST_USE enum err
relay_request_decode(struct str in, struct arena *a, struct relay_request *out);
MUST_USE enum err
relay_result_encode(const struct relay_result *r, struct buf *out);
MUST_USE enum err
relay_result_decode(struct str in, struct relay_result *out);
MUST_USE enum err
relay_end_encode(const struct relay_end *e, struct buf *out);
MUST_USE enum err
relay_end_decode(struct str in, struct relay_end *out);

/* Queue's half. It connects when the first job comes, again after a loss (with back-off). */
struct relay_client;

/* path: of the socket; copied. */
struct relay_client *
relay_client_new(struct loop *l, const char *path);
/* Jobs are forgotten, without callbacks. */
void
relay_client_free(struct relay_client *c);

/* The caller owns it, and keeps it from relay_submit until on_end or relay_cancel. */
struct relay_job {
	struct relay_request
		request; /* id is set by relay_submit; borrowed during that call only */
	/* Strings of r and e die when these return. Both may submit and cancel. */
	void (*on_rcpt)(struct relay_job *j, const struct relay_result *r);
	/* Once; j is the caller's again. ERR_EOF: relay went away. */
	void (*on_end)(struct relay_job *j, const struct relay_end *e);
	void *arg;
	/* private */
	struct list link;
	uint64_t seen[2]; /* recipients that had a result */
};

/* Takes fd (read-only). Callbacks come from the loop, never inside this call. ERR_TEMP: relay
 * cannot be reached at the moment, or the channel is full; ERR_LIMIT, ERR_SYNTAX: the request is
 * beyond the limits above. Other than ERR_OK: fd is closed, j untouched, no callback. */
MUST_USE enum err
relay_submit(struct relay_client *c, struct relay_job *j, int fd);
/* No callback comes any more; the message may be delivered all the same. */
void
relay_cancel(struct relay_client *c, struct relay_job *j);
/* It is to end as soon as it is certain what became of it: on_end comes soon, ERR_TEMP where
 * nothing was sent yet; a server that has the whole message is waited for. */
void
relay_finish(struct relay_client *c, struct relay_job *j);
/* Jobs without an end yet. */
size_t
relay_client_jobs(const struct relay_client *c);

#endif
