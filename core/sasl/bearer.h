#ifndef POSTROOM_SASL_BEARER_H
#define POSTROOM_SASL_BEARER_H

#include "core/base/buf.h"

/* First messages of clients, as far as we read them ourselves. Pure functions over bytes that
 * nobody has vouched for. */

/* What an OAUTHBEARER or XOAUTH2 client sends. Borrows the message. */
struct bearer {
	struct str user; /* XOAUTH2's user; empty in OAUTHBEARER */
	struct str token;
};
/* "n,a=anna@example.org,\1host=…\1port=143\1auth=Bearer TOKEN\1\1". authzid_out gets a= with =2C
 * and =3D decoded. ERR_SYNTAX, also for a token with bytes that none may hold; ERR_LIMIT:
 * authzid_out is full. RFC 7628 3.1, RFC 5801 4, RFC 6750 2.1. */
MUST_USE enum err
bearer_parse(struct str message, struct bearer *out, struct buf *authzid_out);
/* "user=anna@example.org\1auth=Bearer TOKEN\1\1". */
MUST_USE enum err
xoauth2_parse(struct str message, struct bearer *out);

/* The name in a SCRAM client's first message, "n,a=boss,n=anna,r=nonce", with =2C and =3D decoded,
 * added to name_out. ERR_SYNTAX, also for channel binding, which we do not offer; ERR_LIMIT.
 * RFC 5802 5.1, 7. */
MUST_USE enum err
scram_name(struct str message, struct buf *name_out);

#endif
