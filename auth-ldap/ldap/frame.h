#ifndef POSTROOM_AUTH_LDAP_FRAME_H
#define POSTROOM_AUTH_LDAP_FRAME_H

#include "core/base/str.h"

/* The outside of an LDAP message from a server (RFC 4511 4.1.1): "30 len 02 n id op …". libldap
 * gets whole messages only after this look at them: it keeps memory of some that it refuses, and
 * would let a notice of disconnection with a long text leak. */
struct frame {
	size_t size; /* of the whole message */
	uint32_t id; /* 0: the server was not asked, RFC 4511 4.4 */
	uint8_t op;  /* its tag: 0x61 bind, 0x64 entry, 0x65 done, 0x73 reference, 0x78 extended,
			0x79 intermediate */
};

/* in: bytes from the begin of a message. ERR_AGAIN: too few to say; ERR_LIMIT: larger than
 * max_bytes; ERR_SYNTAX: no message, or one that no question of ours is answered by. */
MUST_USE enum err
frame_read(struct str in, size_t max_bytes, struct frame *out);

#endif
