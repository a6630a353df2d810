#ifndef POSTROOM_IMAP_SECTION_H
#define POSTROOM_IMAP_SECTION_H

#include "core/mail/header.h"
#include "core/store/message.h"
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

/* A message's file, open for one row. */
struct section_file {
	int fd;
	uint64_t size;
	struct stream_file *shared; /* for what the stream sends later */
};
void
section_file_init(struct section_file *f);
/* ERR_NOTFOUND: the message is gone; ERR_CORRUPT: its size is not the entry's. */
MUST_USE enum err
section_file_open(struct section_file *f, struct home *h, uint64_t msg, uint64_t size);
void
section_file_close(struct section_file *f);

/* "BODY[1.2]<0> {12}" and the octets, to the session's output. Large ones go by the stream. */
MUST_USE enum err
section_write(struct imap_session *s, const struct fetch_item *item, const struct section_plan *p,
	struct message *m, struct section_file *f);

#endif
