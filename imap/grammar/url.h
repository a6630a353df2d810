#ifndef POSTROOM_IMAP_URL_H
#define POSTROOM_IMAP_URL_H

#include "imap/grammar/args_fetch.h"

/* The URLs of messages that CATENATE takes: paths of the user's own mailboxes, absolute, e.g.
 * "/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.2.MIME/;PARTIAL=0.1024", or relative to the
 * selected one: "Drafts/;UID=20" stands beside it, ";UID=20" is in it. URLs that name a server, and
 * such with an access key (URLAUTH), are none of these. RFC 5092 7, 11; RFC 4469 3. */
struct message_url {
	struct str mailbox; /* UTF-8, decoded; not checked further; empty: the selected one */
	bool relative;
	uint32_t uidvalidity; /* 0: not given */
	uint32_t uid;
	struct section section; /* SECTION_ALL without a path where none is given */
	bool partial;
	uint64_t off, len; /* len 0: to the end */
};
/* Memory of a. ERR_SYNTAX; ERR_LIMIT: the arena is full. */
MUST_USE enum err
message_url_parse(struct str url, struct arena *a, struct message_url *out);

#endif
