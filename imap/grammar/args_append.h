#ifndef POSTROOM_IMAP_ARGS_APPEND_H
#define POSTROOM_IMAP_ARGS_APPEND_H

#include "imap/grammar/parse.h"

/* Arguments of APPEND. Each parser
 * begins behind the command's name and the space, and ends before the line's end; what it
 * returns dies with the arena. */

/* "a1 APPEND Drafts (\Draft) " up to the message's literal header, the tag included: used by
 * the reader to know the message, and by the command. */
struct args_append {
	struct str tag;
	struct str mailbox; /* as the client wrote it */
	struct flag_list flags;
	bool has_date;
	int64_t date_sec;
	int32_t date_zone_min;
	/* filled in by the session */
	uint64_t literal;
	bool sync;
};
MUST_USE enum err
parse_append_prefix(struct parser *p, struct args_append *out);

#endif
