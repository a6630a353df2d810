#ifndef POSTROOM_IMAP_ROW_H
#define POSTROOM_IMAP_ROW_H

#include "imap/fetch/binary.h"
#include "imap/fetch/section.h"
#include "imap/session/changed.h"
#include "imap/session/rows.h"

/* One message's FETCH answer. Rows of entries and cached texts come from the index alone; a
 * message's file is opened only for BODY[...] beyond the kept header fields, and its octets go from
 * the file to the socket (section.c), or through a decoder (binary.c), then last in their row. A
 * row takes as many steps as its output and the disk want. */

/* Items that are only numbers, flags and dates: so many at most go into a row in one piece. */
enum { PLAIN_ITEMS_MAX = 8 };
/* Messages of one command that the log names when they cannot be given; then their number. */
enum { TROUBLES_LOGGED = 16 };

/* The row that is being written. */
struct fetch_row {
	bool active;
	bool left;    /* some of it has left: it cannot be taken back */
	bool first;   /* nothing was said but its beginning */
	size_t begin; /* in the step's output, unless left */
	size_t at;    /* the item to go on with */
	struct entry entry;
	struct section_file file;
	struct cold *cold; /* the pool reads */
};

/* A running FETCH, in the command's arena. */
struct fetch_state {
	struct uidset uids;
	struct uidset seen; /* got \Seen by this command */
	struct walk walk;
	struct walk look;	    /* for messages without \Seen */
	struct walk ahead;	    /* what the disk was told of */
	uint64_t ahead_bytes;	    /* of each message */
	struct section_plan *plans; /* one an item */
	bool needs_message, needs_file, marks_seen, has_uid, has_flags, has_modseq;
	struct changed changed; /* CHANGEDSINCE */
	struct uidset asked;	/* VANISHED: as the client wrote it; then what of it is gone */
	size_t vanished_left;
	struct fetch_row row;
	struct binary binary; /* of the row */
	bool unknown_encoding;
	bool missing;		      /* expunged since the view was made */
	bool gone, damaged, failed;   /* messages that the index has, and that cannot be given */
	unsigned long troubles_count; /* of those three */
	bool plain;		      /* numbers, flags and dates only */
	uint32_t last_uid;	      /* and its sequence number: the next UID's is one more */
	uint32_t last_seq;
};

void
fetch_row_init(struct fetch_row *r);
void
fetch_row_fini(struct fetch_row *r);
/* "* 12 FETCH (...)" to the session's output, or more of the row that is active: entry is not
 * looked at then. ERR_OK: it is over; where the message could not be given, st says so, the log
 * names its file, and nothing was said, or as little as had left. ERR_AGAIN: the step is full.
 * ERR_BUSY: the pool reads, and will run the command again. Otherwise the session is dead. */
MUST_USE enum err
fetch_row_write(struct imap_session *s, struct cmd *c, struct fetch_state *st, struct rows *rows,
	const struct entry *entry, int64_t began);
/* The active row cannot go on: ended, taken back, or the session is dead. */
void
fetch_row_drop(struct imap_session *s, struct cmd *c, struct fetch_state *st);

#endif
