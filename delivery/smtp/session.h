#ifndef POSTROOM_SMTP_SESSION_H
#define POSTROOM_SMTP_SESSION_H

#include "core/base/arena.h"
#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/event/stream.h"
#include "delivery/smtp/command.h"
#include "delivery/smtp/dots.h"
#include "delivery/smtp/header.h"
#include "delivery/smtp/lookup.h"
#include "delivery/smtp/rates.h"
#include "delivery/smtp/server.h"

/* Inside delivery/smtp: the session that session.c (life, lines), session_auth.c, session_mail.c
 * (MAIL, RCPT), session_check.c (the DNS) and session_data.c (DATA, BDAT, the end of a message)
 * share.
 *
 * Rule for all of them: an entry from the loop (stream, timer, lookup, spool, auth) ends with
 * session_update, which runs what can run, sets the timer, and frees a session that is CLOSED;
 * nothing touches s behind it. */
enum smtp_state {
	SMTP_HANDSHAKE, /* TLS; nothing is read */
	SMTP_GREET,	/* the greeting waits for those who talk before it */
	SMTP_COMMAND,
	SMTP_AUTH, /* the next line is an answer to 334 */
	SMTP_WAIT, /* somebody is being asked; input stays where it is */
	SMTP_DATA,
	SMTP_BDAT,
	SMTP_CLOSED,
};

struct smtp_tx_lookup {
	struct smtp_session *session;
	struct lookup *lookup; /* NULL: answered */
	enum smtp_reply no;
};

/* One message from MAIL to its end. All strings die with the arena. */
struct smtp_tx {
	struct arena *arena; /* NULL: none begun */
	struct str sender;
	enum spool_ret ret;
	struct str envid;
	struct spool_rcpt *rcpts;
	size_t rcpts_count, rcpts_room;
	unsigned rcpts_refused;
	int64_t dns_lost_ms;	/* waited for answers about recipients' domains that never came */
	uint64_t declared_size; /* SIZE of MAIL; 0: unknown */
	bool declared_8bit;
	bool smtputf8; /* MAIL had SMTPUTF8 */
	bool binary;   /* BODY=BINARYMIME */
	bool asked;    /* the directory, about a recipient */
	int64_t begun_ms;
	/* content */
	struct spool_writer *writer;
	bool content;		/* DATA or BDAT began */
	bool broken;		/* a BDAT chunk was refused: 503 until RSET */
	enum smtp_reply reject; /* REPLY_OK: none so far; decided at the end of the data */
	struct dots dots;
	struct buf header; /* until its end came */
	bool header_done;
	bool has_8bit;
	bool ended;
	uint64_t size;
	struct header_facts facts;
	struct smtp_tx_lookup lookups[HEADER_FROM_MAX + 1];
	unsigned lookups_count, lookups_pending;
	/* BDAT */
	uint64_t chunk_left;
	bool chunk_last;
};

struct smtp_session {
	struct list link;
	struct smtp_server *server;
	const struct smtp_policy *policy;
	struct stream *stream;
	struct peer peer;
	char client_name[256];	      /* that XCLIENT gave; else "" */
	struct checks *checks;	      /* what the DNS says of a stranger; NULL: not asked */
	struct smtp_address *address; /* counts this place's connections */
	char place[CIDR_PLACE_SIZE];  /* whose events per minute */
	char sid[RAND_ID_SIZE];
	enum smtp_state state;
	bool tls;
	bool named;	     /* one of smtp.relay_networks on an mx listener; a local one */
	bool may_xclient;    /* from one of smtp.xclient_networks */
	char first_addr[64]; /* who connected, whatever XCLIENT said later */
	bool eof;	     /* the client sends no more */
	bool esmtp;
	bool more;     /* input stands behind the line that is run */
	bool swallow;  /* the rest of a line that was too long */
	bool stopping; /* 421 when the message is done */
	char helo[256];
	struct buf user;    /* login name, "" before AUTH */
	struct buf subject; /* of the client's certificate, verified */
	unsigned errors, failed_logins, messages;
	int64_t started_ms;
	int64_t moved_ms; /* last progress */
	int64_t armed_ms; /* when the timer fires; 0: not started */
	uint64_t moved_bytes;
	struct loop_timer timer;
	/* who is being asked in SMTP_WAIT */
	struct auth_request *auth;
	enum smtp_reply auth_late; /* answers the next line of an exchange that is over */
	struct lookup *lookup;
	struct posting *posting;
	struct room_question *room;
	struct domain *rcpt_domain;    /* … of which the DNS is asked */
	int64_t rcpt_domain_ms;	       /* … since then */
	struct str asked, asked_orcpt; /* address the lookup is about, in the arena */
	unsigned asked_notify;	       /* what RCPT said with it */
	bool asked_postmaster;	       /* … which stands in for an unknown postmaster */
	struct lookup *asked_ahead;    /* … that was begun before; NULL: none was */
	struct smtp_ahead *ahead;      /* RCPTs behind it; NULL: none */
	struct spool_waiter slot_waiter;
	bool waiting_slot, committing;
	int64_t slot_deadline_ms;
	struct smtp_tx tx;
};

struct smtp_address {
	struct hmap_node node;
	unsigned count;
	char text[CIDR_PLACE_SIZE]; /* the place */
};

struct smtp_server {
	struct smtp_options o;
	struct smtp_peers peers;
	struct list sessions;
	struct list unnamed; /* connections that owe their PROXY header; they count */
	unsigned count;
	struct hmap addresses;
	struct rates *rates;
	struct buf scratch; /* decoded bytes of one piece */
	void (*room)(void *arg);
	void *room_arg;
	bool stopping;
	void (*stopped)(void *arg);
	void *stopped_arg;
	struct loop_task stopped_task;
};

/* session.c */
struct smtp_session *
session_start(
	struct smtp_server *v, int fd, const struct peer *peer, const struct smtp_policy *policy);
void
session_update(struct smtp_session *s);
/* Writes a reply; refusals are logged with what and its value, and counted. */
void
session_reply(struct smtp_session *s, enum smtp_reply r, const char *what, struct str value);
/* The same with more behind the reply's text. */
void
session_reply_more(struct smtp_session *s, enum smtp_reply r, struct str more, const char *what,
	struct str value);
/* Writes r and closes after it left. */
void
session_close(struct smtp_session *s, enum smtp_reply r);
void
session_set_state(struct smtp_session *s, enum smtp_state state);
/* Shutdown: now, or after the message. */
void
session_stop(struct smtp_session *s);
void
session_free(struct smtp_session *s);
/* A user of ours, or a program or device in a network of ours: its messages are completed, and
 * later relayed. */
bool
session_trusted(const struct smtp_session *s);
/* May AUTH be used here at all? */
bool
session_may_login(const struct smtp_session *s);
/* An unknown server or program: the checks of their behaviour are for it. */
bool
session_stranger(const struct smtp_session *s);
/* Are the sender, From and Sender to be the user's own? */
bool
session_checks_sender(const struct smtp_session *s);

/* session_auth.c */
void
session_auth(struct smtp_session *s, const struct smtp_cmd *c);
void
session_auth_line(struct smtp_session *s, struct str line);
/* EHLO's line " PLAIN LOGIN …" for this client as it is now; empty: nothing is on offer. */
void
session_mechanisms(const struct smtp_session *s, struct buf *out);

/* The greeting; commands follow. */
void
session_greet(struct smtp_session *s);

/* session_xclient.c */
void
session_xclient(struct smtp_session *s, const struct smtp_cmd *c);
/* EHLO's line, where it is for this client. */
void
session_xclient_offer(struct smtp_session *s);

/* session_mail.c */
void
session_mail(struct smtp_session *s, const struct smtp_cmd *c);
void
session_rcpt(struct smtp_session *s, const struct smtp_cmd *c);
/* Forget the message; its slot is dropped. */
void
session_reset(struct smtp_session *s);

/* One more recipient of the client's share per minute. */
bool
session_rcpt_in_time(struct smtp_session *s);
/* RCPT (s->asked) beyond the checks: asked of the directory, or answered. */
void
session_ask_recipient(struct smtp_session *s);

/* RCPT's reply; a recipient that is taken joins the message. */
void
session_recipient_done(struct smtp_session *s, enum smtp_reply r);

/* session_data.c */
void
session_data(struct smtp_session *s);
void
session_bdat(struct smtp_session *s, const struct smtp_cmd *c);
/* Eat what lies in the stream; false: nothing more can be done now. */
bool
session_content(struct smtp_session *s);
/* The wait for a slot is over its time. */
void
session_slot_timeout(struct smtp_session *s);

/* server.c */
/* Does a connection from addr by this policy come from a network of ours? */
bool
server_is_named(const struct smtp_server *v, const struct smtp_policy *policy, const char *addr);
/* May a connection of this address use XCLIENT? */
bool
server_may_xclient(const struct smtp_server *v, const struct smtp_policy *policy, const char *addr);
/* s is peer's from now on, and counts as such. Anything but REPLY_OK: the limits are against it. */
enum smtp_reply
server_new_peer(struct smtp_server *v, struct smtp_session *s, const struct peer *peer);
void
server_session_gone(struct smtp_server *v, struct smtp_session *s);

#endif
