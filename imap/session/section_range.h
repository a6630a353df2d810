#ifndef POSTROOM_IMAP_SECTION_RANGE_H
#define POSTROOM_IMAP_SECTION_RANGE_H

#include "core/store/message.h"
#include "imap/grammar/args_fetch.h"

/* The octets that a section names in a message of size octets; of header fields, the header.
 * ERR_NOTFOUND: there is no such part; ERR_CORRUPT: the index says what cannot be. RFC 3501 6.4.5.
 */
MUST_USE enum err
section_range(const struct section *sec, struct message *m, uint64_t size, struct mime_range *out);

/* The same, and how these octets are encoded: the message itself, multiparts and enclosed messages
 * are not (RFC 2045 6.4), nor are headers. */
MUST_USE enum err
section_find(const struct section *sec, struct message *m, uint64_t size, struct mime_range *out,
	enum mime_encoding *encoding_out);

#endif
