#ifndef POSTROOM_SENDMAIL_TALK_H
#define POSTROOM_SENDMAIL_TALK_H

#include <stdio.h>

#include "core/base/buf.h"

/* SMTP with postroom-smtp over its unix socket, blocking: sendmail has nothing else to do. */
struct talk;

/* Where the socket is, and how long to try while the server starts. */
struct talk_options {
	const char *socket; /* path */
	int wait_sec;
	bool verbose; /* every line on standard error */
};

/* All functions below return an exit code of sysexits.h: EX_OK, or why not, said on standard
 * error. */

/* Connects, and again until wait_sec are over while nobody is there, the server is busy, or no
 * descriptor is left. With
 * greet the greeting and EHLO are done, too. EX_TEMPFAIL, EX_NOPERM. */
MUST_USE int
talk_open(const struct talk_options *o, bool greet, struct talk **out);
/* With a QUIT. NULL is allowed for both. */
void
talk_close(struct talk *t);
void
talk_drop(struct talk *t);

/* What EHLO said. domain: of addresses without one, empty: unknown; size: of a message, 0: any. */
struct str
talk_domain(const struct talk *t);
uint64_t
talk_size_max(const struct talk *t);
bool
talk_offers(const struct talk *t, const char *keyword);

struct talk_message {
	struct str sender;			 /* "" for none */
	const char *body, *ret, *envid, *notify; /* NULL: not given. RFC 6152, RFC 3461 */
	const struct str *recipients;
	size_t recipients_count;
	struct str header; /* its empty line included */
	FILE *text;	   /* whose octets from where it stands to its end are the rest */
	uint64_t text_size;
};
/* Sends it to all recipients, or to nobody: EX_NOUSER (one of them is unknown), EX_UNAVAILABLE
 * (refused), EX_DATAERR (the message or an address), EX_TEMPFAIL, EX_IOERR. */
MUST_USE int
talk_send(struct talk *t, const struct talk_message *m);

/* Carries octets between standard input and output and the server until one of them ends. */
MUST_USE int
talk_relay(struct talk *t);

#endif
