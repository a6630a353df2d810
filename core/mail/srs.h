#ifndef POSTROOM_MAIL_SRS_H
#define POSTROOM_MAIL_SRS_H

#include "core/base/buf.h"

/* The Sender Rewriting Scheme, in the forms of libsrs2 and postsrsd: a foreign sender of forwarded
 * mail becomes an address of ours, so that SPF at the next server looks at us, and a bounce to it
 * finds its way back.
 *
 *   ben@far.example                      SRS0=hash=TT=far.example=ben@ours.example
 *   SRS0=xxxx=TT=a.example=ben@b.example SRS1=hash=b.example==xxxx=TT=a.example=ben@ours.example
 *   SRS1=xxxx=b.example==…@c.example     SRS1=hash=b.example==…@ours.example
 *
 * TT: day in base 32, modulo 1024. hash: the first octets of HMAC-SHA1 over the rest in lower case,
 * in base 64, compared without regard to case, because servers on the way may fold it. Secrets of
 * different servers differ, so only these read their own addresses; the length of the hash is ours
 * to choose, too. */

enum {
	SRS_DAYS = 21,	     /* an address of ours is read for as long */
	SRS_LOCAL_MAX = 250, /* longer local parts are not made */
	SRS_SECRET_MIN = 16,
};

struct srs {
	struct str domain;  /* of our addresses; empty: none are made or read */
	struct str secrets; /* one a line, white space around it cut: the first signs, all are
			       read */
};

/* A secret that is too short, or none: ERR_SYNTAX. */
MUST_USE enum err
srs_check_secrets(struct str secrets);
/* Is address one of the forms above, in our domain? */
bool
srs_is_ours(const struct srs *s, struct str address);
/* sender, "local@domain", as it is sent on. Appended. ERR_SYNTAX: no such address; ERR_LIMIT: it
 * would be longer than others take. */
MUST_USE enum err
srs_forward(const struct srs *s, struct str sender, int64_t now_sec, struct buf *out);
/* The sender, or forwarder, that an address of ours stands for. Appended. ERR_SYNTAX: no address of
 * ours; ERR_DENIED: the hash is wrong; ERR_EOF: too old. */
MUST_USE enum err
srs_reverse(const struct srs *s, struct str address, int64_t now_sec, struct buf *out);

#endif
