#ifndef POSTROOM_IMAP_SECTION_H
#define POSTROOM_IMAP_SECTION_H

#include "core/mail/header.h"
#include "core/store/message.h"
#include "imap/session/cold.h"
#include "imap/session/fields.h"
#include "imap/session/session.h"

/* BODY[...] and its old names: which octets, from where. */

/* Worked out once for each item of a FETCH. */
struct section_plan {
	struct str name; /* "BODY[HEADER.FIELDS (To)]<0>" */
	struct header_set fields;
	struct field_name_set kept_fields;
	bool kept; /* all fields asked for are in the index */
	bool needs_message, needs_file;
};
MUST_USE enum err
section_plan(struct section_plan *p, const struct fetch_item *item, struct arena *a);

/* How much of a message the disk is told of before its row comes. */
uint64_t
section_ahead(const struct fetch_item *item);

/* A message's file, open for one row. */
struct section_file {
	int fd; /* -1: none */
	uint64_t size;
	struct stream_file *shared; /* for what the stream sends later */
	/* Promised by a literal's header, not given to the stream yet. */
	uint64_t off, left;
	/* After ERR_BUSY: what is not in memory; with fd -1 its name. When the pool has read it,
	 * warm is set: the next read may wait, and after many rounds all may. */
	uint64_t cold_off, cold_len;
	unsigned rounds;
	bool warm;
	int code; /* errno of ERR_TEMP */
	/* Fields of a large header, which the pool selects: with ERR_BUSY what it is asked for,
	 * then what it found, which goes out as a long range does. */
	const struct header_set *select;
	bool negate, selected;
	struct buf text;
};
void
section_file_init(struct section_file *f);
/* ERR_NOTFOUND: the message is gone; ERR_CORRUPT: its size is not the entry's; ERR_TEMP; ERR_BUSY.
 */
MUST_USE enum err
section_file_open(struct section_file *f, struct imap_session *s, uint64_t msg, uint64_t size);
/* The same with a descriptor, which is taken. */
MUST_USE enum err
section_file_take(struct section_file *f, int fd, uint64_t size);
void
section_file_close(struct section_file *f);
/* cold_read of it. */
MUST_USE enum err
section_file_read(struct section_file *f, struct imap_session *s, char *to, size_t n, uint64_t off);

/* "BODY[1.2]<0> {12}" and the octets, to the session's output; of many octets only the header:
 * section_send gives them to the stream. ERR_BUSY: what was said is to be taken back. */
MUST_USE enum err
section_write(struct imap_session *s, const struct fetch_item *item, const struct section_plan *p,
	struct message *m, struct section_file *f);
/* What is left of a literal. ERR_OK: nothing any more; ERR_AGAIN: the stream is full; ERR_BUSY. */
MUST_USE enum err
section_send(struct imap_session *s, struct section_file *f);

#endif
