#ifndef POSTROOM_LMTP_SESSION_IMPL_H
#define POSTROOM_LMTP_SESSION_IMPL_H

#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/event/stream.h"
#include "delivery/lmtp/command.h"
#include "delivery/lmtp/dot.h"
#include "delivery/lmtp/session.h"

/* A session as its own files see it: session.c (life, commands), session_rcpt.c (MAIL, RCPT)
 * and session_data.c (DATA, delivery). */
enum session_state {
	SESSION_COMMAND, /* reads commands */
	SESSION_TLS,	 /* waits for the hand-shake */
	SESSION_DATA,	 /* reads the message */
	SESSION_DELIVER, /* waits for the store; reads nothing */
	SESSION_CLOSING, /* its end is decided; nothing touches it after this */
};

enum rcpt_stage {
	RCPT_LOOKUP_WHOLE, /* asking for the address as given */
	RCPT_LOOKUP_BARE,  /* asking without the tag */
	RCPT_ACCEPTED,
	RCPT_REFUSED,
};

struct rcpt {
	struct list link;
	struct session *session;
	struct userdb_request *request;
	enum rcpt_stage stage;
	enum err why;  /* refused */
	bool replied;  /* to RCPT */
	bool answered; /* after the data: result is there */
	enum err result;
	struct home *home;
	struct home_wait wait; /* for its index, where room is asked about */
	char *mailbox;	       /* that the tag names; NULL: INBOX */
	char delivery_id[DELIVERY_ID_MAX + 1];
	size_t address_len;
	char address[]; /* NUL-ended */
};

struct session {
	struct list link;
	struct lmtp_server *server;
	struct stream *stream;
	struct loop_timer timer;
	enum session_state state;
	struct peer peer;
	char sid[RAND_ID_SIZE];
	char lhlo[256];
	enum listen_tls tls_mode;
	bool tls;     /* it is on */
	bool greeted; /* LHLO seen */
	bool eof;
	bool skip_line; /* the rest of an over-long line is thrown away */
	unsigned errors;

	/* The transaction. */
	bool mail;
	bool smtputf8; /* MAIL said it */
	bool binary;   /* … BODY=BINARYMIME: BDAT only, and kept as base64 where it must be */
	bool ask_room; /* MAIL said XROOM: recipients are asked about, nothing is delivered */
	uint64_t size; /* SIZE of MAIL */
	char sender[LMTP_PATH_MAX + 1];
	struct list rcpts;
	uint32_t rcpts_count; /* in the list: accepted, or not decided yet */
	uint32_t rcpts_accepted;
	uint32_t rcpts_pending;
	struct dot_decoder dot;
	bool bdat; /* the message comes, or came, in chunks */
	bool chunk_last;
	uint64_t chunk_left;
	const char *chunk_refused; /* the reply to this chunk and those that follow; NULL: none */
	struct body *body;
	enum err body_result;
	struct rcpt **targets; /* accepted ones, in order, while delivering */
	uint32_t targets_count;
	uint32_t targets_said; /* replies written */
	struct deliver *deliver;
	int64_t data_ms;
};

static inline struct rcpt *
rcpt_of(struct list *l)
{
	return CONTAINER_OF(l, struct rcpt, link);
}

/* session.c */

/* One line; CRLF is added. */
void
lmtp_reply(struct session *s, const char *line);
/* A refused command. False: that was one too many, s is gone. */
bool
lmtp_refuse(struct session *s, const char *line);
/* Forget the transaction, whatever its state. */
void
lmtp_transaction_reset(struct session *s);
/* s is gone afterwards. */
void
lmtp_session_end(struct session *s, bool linger);
/* The timer by the state. */
void
lmtp_watch_time(struct session *s);

/* session_rcpt.c: commands return false when s is gone. */

bool
lmtp_command_mail(struct session *s, const struct lmtp_command *c);
/* What can be said against a RCPT before anybody is asked; NULL: nothing. id_out: the value of
 * XDELIVERYID, or empty. */
const char *
lmtp_rcpt_objection(const struct session *s, const struct lmtp_command *c, struct str *id_out);
bool
lmtp_command_rcpt(struct session *s, const struct lmtp_command *c);
void
lmtp_rcpt_free(struct rcpt *r);

/* session_data.c */

bool
lmtp_command_data(struct session *s);
/* False also when s must not be touched now: it is gone, or goes on later. */
bool
lmtp_command_bdat(struct session *s, const struct lmtp_command *c);
/* Takes what the stream holds of the message; at its end it is delivered. s may be gone. */
void
lmtp_data_next(struct session *s);

#endif
