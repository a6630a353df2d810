#ifndef POSTROOM_IMAP_MARK_H
#define POSTROOM_IMAP_MARK_H

#include "core/mail/transfer.h"

/* Where the last range of a decoded section ended: clients read large parts range by range, and a
 * decoder cannot begin in the middle. For imap/fetch/binary.c. */
struct binary_mark {
	uint64_t msg, off;  /* which section: the message's id, where in its file */
	uint64_t raw, made; /* stored octets taken, decoded octets they gave */
	struct transfer transfer;
};

#endif
