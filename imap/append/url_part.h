#ifndef POSTROOM_IMAP_URL_PART_H
#define POSTROOM_IMAP_URL_PART_H

#include "imap/session/cold.h"

/* The octets that a URL of CATENATE names, read piece by piece: a range of a message's file, or
 * header fields that were picked. Its file stays open however long the client takes. */
struct url_part {
	int fd;	      /* -1: none */
	uint64_t msg; /* 0: not looked for yet */
	struct mime_range range;
	uint64_t off, left;
	struct buf fields; /* in place of a file */
	bool open;
	struct cold *cold; /* the pool reads */
	int code;	   /* errno of ERR_TEMP */
	bool warm;	   /* it has read what comes next */
	bool selected;	   /* it selects the fields */
};

/* In a pinned step; part is closed before the first call. ERR_AGAIN: as session_read; ERR_BUSY: the
 * pool reads, and will run the command again, to call this again; ERR_NOTFOUND: the URL is bad, or
 * what it names is not there; ERR_LIMIT; ERR_TEMP; ERR_CORRUPT. RFC 4469 4, RFC 5092. */
MUST_USE enum err
url_part_open(struct imap_session *s, struct str url, struct url_part *part);
/* Up to max octets; part->left counts down. ERR_BUSY as above; ERR_TEMP; ERR_CORRUPT. */
MUST_USE enum err
url_part_read(struct imap_session *s, struct url_part *part, char *to, size_t max, size_t *got_out);
/* Harmless when it is not open. */
void
url_part_close(struct url_part *part);

#endif
