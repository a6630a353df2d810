#ifndef POSTROOM_IMAP_URL_PART_H
#define POSTROOM_IMAP_URL_PART_H

#include "imap/session/session.h"

/* The octets that a URL of CATENATE names, read piece by piece: a range of a message's file, or
 * header fields that were picked. Its file stays open however long the client takes. */
struct url_part {
	int fd; /* -1: none */
	uint64_t off, left;
	struct buf fields; /* in place of a file */
	bool open;
};

/* In a pinned step. ERR_AGAIN: as session_read; ERR_NOTFOUND: the URL is bad, or what it names is
 * not there; ERR_LIMIT; ERR_TEMP; ERR_CORRUPT. RFC 4469 4, RFC 5092. */
MUST_USE enum err
url_part_open(struct imap_session *s, struct str url, struct url_part *out);
/* Up to max octets; part->left counts down. ERR_TEMP. */
MUST_USE enum err
url_part_read(struct url_part *part, char *to, size_t max, size_t *got_out);
/* Harmless when it is not open. */
void
url_part_close(struct url_part *part);

#endif
