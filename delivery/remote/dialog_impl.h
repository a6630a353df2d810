#ifndef POSTROOM_REMOTE_DIALOG_IMPL_H
#define POSTROOM_REMOTE_DIALOG_IMPL_H

#include "delivery/remote/dialog.h"
#include "delivery/remote/lines.h"

/* What dialog.c (greeting to login) and transfer.c (transactions) share. */
enum dialog_state {
	STATE_GREETING,
	STATE_EHLO,
	STATE_HELO,
	STATE_STARTTLS,
	STATE_HANDSHAKE,
	STATE_AUTH,
	STATE_READY,
	STATE_MAIL,    /* the next reply is MAIL's */
	STATE_RCPT,    /* … that of recipient `at` */
	STATE_DATA,    /* … DATA's */
	STATE_BODY,    /* sending; with CHUNKING replies to chunks come meanwhile */
	STATE_END,     /* … that of the whole message */
	STATE_DISCARD, /* … that of an empty message that nobody gets */
	STATE_RSET,
	STATE_QUIT,
	STATE_OVER,
};

enum extension {
	EXT_PIPELINING = 1 << 0,
	EXT_SIZE = 1 << 1,
	EXT_8BITMIME = 1 << 2,
	EXT_SMTPUTF8 = 1 << 3,
	EXT_CHUNKING = 1 << 4,
	EXT_BINARYMIME = 1 << 5,
	EXT_STARTTLS = 1 << 6,
	EXT_AUTH = 1 << 7,
	EXT_DSN = 1 << 8,
};

enum { CHUNK_BYTES = 64 * 1024, CHUNKS_AHEAD = 4 };

struct dialog {
	struct dialog_options o;
	char *hostname;
	enum dialog_state state;
	struct answer answer;
	struct buf out;
	uint64_t progress;
	unsigned ext;
	uint64_t size_max; /* of the server; 0: it names none */
	char peer[RELAY_NAME_MAX + 1];
	char mechanisms[512];
	bool tls_done;
	bool ehlo_seen; /* the first line of EHLO's reply was read */
	enum dialog_failed failed;
	struct answer failure;

	const struct relay_request *r;
	bool answered[RELAY_RCPTS_MAX];
	bool accepted[RELAY_RCPTS_MAX];
	size_t accepted_count;
	size_t issued; /* recipients that were looked at for RCPT */
	size_t rcpts_sent, rcpts_replied;
	size_t at; /* whose RCPT is answered next */
	bool data_issued;
	bool mail_refused;
	bool bdat;
	bool ended; /* the end of data is written, its reply is due */
	bool unsure;
	unsigned chunks; /* BDATs without reply */
	bool refused;	 /* a chunk was; the rest is not sent */
	struct lines lines;
	struct buf chunk;
	struct buf pending; /* the first response, while its challenge is due */
};

/* OVER; the failure's answer is a, or made of text. */
void
dialog_fail(struct dialog *d, enum dialog_failed why, const struct answer *a);
void
dialog_fail_text(struct dialog *d, enum dialog_failed why, const char *status, const char *text);
/* A whole reply arrived in one of the states of a transaction. */
void
transfer_reply(struct dialog *d);

#endif
