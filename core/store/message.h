#ifndef POSTROOM_STORE_MESSAGE_H
#define POSTROOM_STORE_MESSAGE_H

#include "core/mail/mime.h"
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
	uint64_t thread; /* never 0; RFC 8474 5.2 */
	/* private */
	struct txn *txn;
	struct str record, cache;
	bool cache_read;
};

/* ERR_NOTFOUND: no such message (expunged everywhere); ERR_CORRUPT. */
MUST_USE enum err
message_get(struct txn *t, uint64_t id, struct message *out);
/* Many messages in one read step, by ids that mostly ascend: what lies side by side is read side by
 * side. Begin, get, end within one step. Errors as message_get. */
struct message_scan {
	struct txn *txn;
	struct kv_cursor *cursor;
	uint64_t at; /* the key under the cursor */
	struct str row;
	bool placed;
};
MUST_USE enum err
message_scan_begin(struct message_scan *s, struct txn *t);
MUST_USE enum err
message_scan_get(struct message_scan *s, uint64_t id, struct message *out);
void
message_scan_end(struct message_scan *s);
/* Several at once, which takes much less time than one after the other: the memory of them all is
 * fetched side by side. part: what is looked at then. One that is not there (ERR_NOTFOUND from
 * message_get) has the id 0. */
enum message_part { MESSAGE_NONE, MESSAGE_DATE, MESSAGE_ENVELOPE, MESSAGE_FIELDS };
enum { MESSAGE_SOME_MAX = 16 };
MUST_USE enum err
message_scan_some(struct message_scan *s, const uint64_t *ids, size_t n, enum message_part part,
	struct message *out);

/* "(date subject from ...)". RFC 3501 7.4.2. */
MUST_USE enum err
message_envelope(struct message *m, struct str *out);
/* BODYSTRUCTURE's text; BODY's is made of it by core/mail's bodystructure_to_body. */
MUST_USE enum err
message_bodystructure(struct message *m, struct str *out);
/* The beginning of its text: UTF-8, one line, at most 200 characters, empty where there is none.
 * RFC 8970. */
MUST_USE enum err
message_preview(struct message *m, struct str *out);
/* The table of parts with byte offsets; out is made, end with mime_fini. */
MUST_USE enum err
message_mime(struct message *m, struct mime *out);

/* Header fields kept in the index: those that common clients list mailboxes with. True:
 * message_header_fields answers for this name without opening the file. */
bool
message_field_kept(struct str name);
/* The raw field lines kept ("Subject: x\r\n", folded as received), in the order of the header:
 * a run of whole fields, for header_select and header_find (core/mail/header.h). */
MUST_USE enum err
message_fields(struct message *m, struct str *out);
/* The value of the first field of this name, unfolded not; ERR_NOTFOUND: the message has
 * none. Only for kept names. */
MUST_USE enum err
message_field(struct message *m, struct str name, struct str *value_out);

/* The message's file, read-only. h need not be pinned. *fd_out is owned by the caller.
 * ERR_NOTFOUND: gone (answer EXPUNGEISSUED); ERR_AGAIN, without wait: the name has to be read from
 * a disk first, which is a pool thread's work (message_path); ERR_TEMP with errno. */
MUST_USE enum err
message_open(struct home *h, uint64_t id, bool wait, int *fd_out);
/* Where that file lies. ERR_LIMIT. */
enum { MESSAGE_PATH_MAX = 1100 };
MUST_USE enum err
message_path(const struct home *h, uint64_t id, char out[MESSAGE_PATH_MAX]);
/* Of a message's file, on pool threads: reads len octets at off, so that they are in memory.
 * ERR_CORRUPT: the file ends before; ERR_TEMP with errno. */
MUST_USE enum err
message_warm(int fd, uint64_t off, uint64_t len);
/* The same octets, mapped and safe to look at; end with message_unmap. */
MUST_USE enum err
message_map(int fd, uint64_t off, uint64_t len, struct str *out);
void
message_unmap(struct str octets);

#endif
