#ifndef POSTROOM_STORE_MESSAGE_H
#define POSTROOM_STORE_MESSAGE_H

#include "core/store/store.h"

/* What the index knows about a message, so that its file is opened for its text only. All
 * str die with the step. Texts are in IMAP format, ready to copy; they may hold literals. */
struct message {
	uint64_t id;
	uint64_t size;
	uint64_t header_size; /* octets of the header, with the empty line */
	int64_t sent_sec;     /* Date:, UTC; 0 and has_sent false when there is no usable one */
	int32_t sent_zone_min;
	bool has_sent;
	/* private */
	struct txn *txn;
	struct str record, cache;
	bool cache_read;
};

/* One MIME part: offsets into the message's file. The parts stand in depth-first order;
 * part 0 is the message itself. */
enum part_kind {
	PART_LEAF,
	PART_MULTIPART,
	PART_MESSAGE, /* message/rfc822: its one child is the message inside */
};
struct message_part {
	uint32_t index;
	uint32_t parent; /* index; own index for part 0 */
	uint32_t number; /* among its parent's children, from 1 */
	enum part_kind kind;
	uint64_t header_off, header_len; /* with the empty line that ends it */
	uint64_t body_off, body_len;
};

/* ERR_NOTFOUND: no such message (expunged everywhere); ERR_CORRUPT. */
MUST_USE enum err
message_get(struct txn *t, uint64_t id, struct message *out);
/* "(date subject from ...)". RFC 3501 7.4.2. */
MUST_USE enum err
message_envelope(struct message *m, struct str *out);
/* BODYSTRUCTURE's text, or BODY's when not extended. */
MUST_USE enum err
message_bodystructure(struct message *m, bool extended, struct str *out);

/* Header fields kept in the index: those that common clients list mailboxes with. True:
 * message_header_fields answers for this name without opening the file. */
bool
message_field_kept(struct str name);
/* The raw field lines kept ("Subject: x\r\n", folded as received), in the order of the header:
 * a run of whole fields. */
MUST_USE enum err
message_fields(struct message *m, struct str *out);
/* Next field of such a run: name, the value behind the colon (raw, without the last line end),
 * and the whole lines. False at the end. */
bool
message_field_next(
	struct str *run, struct str *name_out, struct str *value_out, struct str *lines_out);
/* The value of the first field of this name, unfolded not; ERR_NOTFOUND: the message has
 * none. Only for kept names. */
MUST_USE enum err
message_field(struct message *m, struct str name, struct str *value_out);

/* The part by its IMAP path, e.g. {1, 2} for "1.2"; n 0: the message itself. The rules of
 * RFC 3501 6.4.5: in a message/rfc822 the path goes on with the inner message's parts; a
 * part 1 of a message that is not multipart is its body. ERR_NOTFOUND. */
MUST_USE enum err
message_part_find(struct message *m, const uint32_t *path, size_t n, struct message_part *out);
MUST_USE enum err
message_part_get(struct message *m, uint32_t index, struct message_part *out);
/* Number of parts, 0 when unknown. */
uint32_t
message_part_count(struct message *m);

/* The message's file, read-only. h need not be pinned. *fd_out is owned by the caller.
 * ERR_NOTFOUND: gone (answer EXPUNGEISSUED); ERR_TEMP. */
MUST_USE enum err
message_open(struct home *h, uint64_t id, int *fd_out);

#endif
