#ifndef POSTROOM_IMAP_ARGS_METADATA_H
#define POSTROOM_IMAP_ARGS_METADATA_H

#include "imap/grammar/parse.h"

/* Arguments of GETMETADATA and SETMETADATA. Names are given in lower case; what is returned dies
 * with the arena. RFC 5464 5. */
enum { METADATA_ENTRIES_MAX = 100, METADATA_DEPTH_INFINITY = 2 };

struct args_metadata {
	struct str mailbox; /* empty: the server */
	struct str *names;
	struct str *values; /* SETMETADATA: as many; p NULL: NIL */
	size_t names_count, values_count;
	bool has_maxsize;
	uint32_t maxsize;
	unsigned depth; /* 0, 1, METADATA_DEPTH_INFINITY */
};
/* "/shared/comment", or "(/shared/comment /private/comment)". */
MUST_USE enum err
parse_metadata_names(struct parser *p, struct str **names, size_t *count);
/* The options in front of the mailbox, as in the grammar, or behind it, as in the examples. */
MUST_USE enum err
parse_getmetadata(struct parser *p, struct args_metadata *out);
MUST_USE enum err
parse_setmetadata(struct parser *p, struct args_metadata *out);

#endif
