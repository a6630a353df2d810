#ifndef POSTROOM_IMAP_ROW_H
#define POSTROOM_IMAP_ROW_H

#include "imap/fetch/binary.h"
#include "imap/fetch/section.h"
#include "imap/session/changed.h"
#include "imap/session/rows.h"

/* One message's FETCH answer. Rows of entries and cached texts come from the index alone; a
 * message's file is opened only for BODY[...] beyond the kept header fields, and its octets go from
 * the file to the socket (section.c), or through a decoder (binary.c), then last in their row. */

/* Items that are only numbers, flags and dates: so many at most go into a row in one piece. */
enum { PLAIN_ITEMS_MAX = 8 };

/* A running FETCH, in the command's arena. */
struct fetch_state {
	struct uidset uids;
	struct uidset seen; /* got \Seen by this command */
	struct walk walk;
	struct walk look;	    /* for messages without \Seen */
	struct section_plan *plans; /* one an item */
	bool needs_message, needs_file, marks_seen, has_uid, has_flags, has_modseq;
	struct changed changed; /* CHANGEDSINCE */
	struct uidset asked;	/* VANISHED: as the client wrote it; then what of it is gone */
	size_t vanished_left;
	struct binary binary; /* of the row that is being written */
	bool unknown_encoding;
	bool missing;
	bool plain;	   /* numbers, flags and dates only */
	uint32_t last_uid; /* and its sequence number: the next UID's is one more */
	uint32_t last_seq;
};

/* "* 12 FETCH (...)" to the session's output; with BINARY, without its end: binary_waiting.
 * ERR_NOTFOUND: the message is gone, nothing was said; other errors: what was said is to be taken
 * back, or the session is dead. */
MUST_USE enum err
fetch_row_write(struct imap_session *s, struct cmd *c, struct fetch_state *st, struct rows *rows,
	const struct entry *entry);

#endif
