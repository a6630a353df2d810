#ifndef POSTROOM_REMOTE_DIALOG_H
#define POSTROOM_REMOTE_DIALOG_H

#include "delivery/remote/answer.h"

/* The SMTP client's state machine for one connection, without sockets: replies go in, commands come
 * out, and the owner does what dialog_phase says. RFC 5321 4, 1870, 2920, 3030, 3207, 3461, 4954,
 * 6152, 6531.
 *
 *   dialog_new ─▶ WAIT ─▶ (TLS ─▶ dialog_tls_done ─▶ WAIT) ─▶ READY ─ dialog_begin ─▶ WAIT ─▶ BODY
 *   BODY ─ dialog_body … dialog_body_end ─▶ WAIT ─▶ READY …   any ─▶ OVER
 *
 * After every call the owner sends what lies in dialog_output. */
struct dialog;

enum dialog_phase {
	DIALOG_WAIT,  /* a reply is due within dialog_timeout_ms */
	DIALOG_TLS,   /* send the output, then the TLS hand-shake */
	DIALOG_READY, /* for dialog_begin, or dialog_quit */
	DIALOG_BODY,  /* dialog_body wants more of the message */
	DIALOG_OVER,  /* close; dialog_failure says why, unless it was dialog_quit */
};

enum dialog_stage {
	DIALOG_STAGE_GREETING,
	DIALOG_STAGE_EHLO,
	DIALOG_STAGE_STARTTLS,
	DIALOG_STAGE_AUTH,
	DIALOG_STAGE_MAIL,
	DIALOG_STAGE_RCPT,
	DIALOG_STAGE_DATA,
	DIALOG_STAGE_BODY,
	DIALOG_STAGE_END,
	DIALOG_STAGE_QUIT, /* and RSET */
	DIALOG_STAGES
};

enum dialog_tls {
	DIALOG_TLS_NEVER,
	DIALOG_TLS_MAY,	 /* when it is offered and granted */
	DIALOG_TLS_MUST, /* else OVER with DIALOG_FAILED_TLS */
	DIALOG_TLS_DONE, /* from the first octet on (port 465) */
};

/* Why a connection is of no use. */
enum dialog_failed {
	DIALOG_FAILED_NOT,
	DIALOG_FAILED_HOST,  /* refused, hung up, talked nonsense: another host may do */
	DIALOG_FAILED_NEVER, /* says that it takes no mail at all (521, RFC 7504) */
	DIALOG_FAILED_LOOP,  /* greets with our own name */
	DIALOG_FAILED_TLS,   /* not offered or not granted, and it must be */
	DIALOG_FAILED_AUTH,  /* no mechanism, or refused */
};

/* The client's side of SASL, as far as dialog needs it. mechanisms: as the server lists them. */
struct dialog_sasl {
	/* ERR_OK with the mechanism (static) and its first response (p NULL: none); ERR_NOTFOUND:
	 * nothing that we may use; ERR_TEMP. */
	enum err (*start)(void *arg, struct str mechanisms, bool tls, const char **mechanism_out,
		struct str *response_out);
	/* challenge decoded. ERR_OK with the response; else the exchange is given up. */
	enum err (*step)(void *arg, struct str challenge, struct str *response_out);
	/* The server says yes: may we believe it? */
	bool (*complete)(void *arg);
	void *arg;
};

struct dialog_options {
	struct str hostname; /* what EHLO says; borrowed for the dialog's life, like sasl */
	enum dialog_tls tls;
	const struct dialog_sasl *sasl; /* NULL: no login */
	bool no_pipelining, no_chunking;
	int64_t timeout_ms[DIALOG_STAGES];
	/* One recipient's final word. passed: the server has the DSN parameters now. */
	void (*on_result)(void *arg, size_t i, const struct answer *a, bool passed);
	void *arg;
};

/* Copies o. */
struct dialog *
dialog_new(const struct dialog_options *o);
void
dialog_free(struct dialog *d);

enum dialog_phase
dialog_phase(const struct dialog *d);
struct buf *
dialog_output(struct dialog *d);
/* Takes whole lines from the front of in. Stops in front of anything behind the reply that leads to
 * DIALOG_TLS: octets there end the dialog. */
void
dialog_input(struct dialog *d, struct buf *in);
/* The hand-shake ended well, and what the policy asks of the certificate holds. */
void
dialog_tls_done(struct dialog *d);
/* The connection ended, or time ran out. text: of the failure. */
void
dialog_lost(struct dialog *d, const char *text);

/* One transaction; phase must be READY. r is borrowed until dialog_in_transaction is false. Results
 * may come inside this call (a message that this server cannot take). */
void
dialog_begin(struct dialog *d, const struct relay_request *r);
bool
dialog_in_transaction(const struct dialog *d);
/* The next octets of the message as they stand in the file. Phase BODY only. */
void
dialog_body(struct dialog *d, struct str bytes);
/* The message is whole; intact: its sum was right. If not, the end of data is not sent, and the
 * dialog is OVER. Phase BODY only. */
void
dialog_body_end(struct dialog *d, bool intact);
/* The end of data is out and its reply is not there yet: recipients without a result may have got
 * the message. Stays true when the connection is lost then. */
bool
dialog_unsure(const struct dialog *d);
/* QUIT; phase OVER once it was answered. */
void
dialog_quit(struct dialog *d);

enum dialog_stage
dialog_stage(const struct dialog *d);
int64_t
dialog_timeout_ms(const struct dialog *d);
/* Grows with each whole reply: the wait for the next one starts anew. */
uint64_t
dialog_progress(const struct dialog *d);
/* Why OVER; the answer says it as a server would, code 4xx or 5xx. */
enum dialog_failed
dialog_failure(const struct dialog *d, const struct answer **a_out);
/* The name in the greeting and the options of the last EHLO, for logs. */
struct str
dialog_peer_name(const struct dialog *d);

#endif
