#ifndef POSTROOM_IMAP_ARGS_LIST_H
#define POSTROOM_IMAP_ARGS_LIST_H

#include "imap/grammar/parse.h"

/* Arguments of LIST, LSUB and STATUS. Each parser begins behind the command's name and the space,
 * and ends before the line's end; what it returns dies with the arena. */

/* RFC 9051 6.3.11; RECENT: RFC 3501; HIGHESTMODSEQ: RFC 7162 3.1.7; SIZE: RFC 8438; DELETED and
 * DELETED-STORAGE: RFC 9208 4.1.4; APPENDLIMIT: RFC 7889 3. */
enum {
	STATUS_MESSAGES = 1 << 0,
	STATUS_RECENT = 1 << 1,
	STATUS_UIDNEXT = 1 << 2,
	STATUS_UIDVALIDITY = 1 << 3,
	STATUS_UNSEEN = 1 << 4,
	STATUS_HIGHESTMODSEQ = 1 << 5,
	STATUS_SIZE = 1 << 6,
	STATUS_DELETED = 1 << 7,
	STATUS_DELETED_STORAGE = 1 << 8,
	STATUS_APPENDLIMIT = 1 << 9,
	STATUS_MAILBOXID = 1 << 10, /* RFC 8474 4.3 */
};
/* "(MESSAGES SIZE)" as a bit set. */
MUST_USE enum err
parse_status_items(struct parser *p, unsigned *items_out);

struct args_status {
	struct str mailbox;
	unsigned items;
};
MUST_USE enum err
parse_status(struct parser *p, struct args_status *out);

enum {
	LIST_SUBSCRIBED = 1 << 0,
	LIST_REMOTE = 1 << 1,
	LIST_RECURSIVEMATCH = 1 << 2,
	LIST_SPECIAL_USE = 1 << 3,
	LIST_CHILDREN = 1 << 4,
	LIST_STATUS = 1 << 5,
	LIST_METADATA = 1 << 6,
};
/* LIST (SUBSCRIBED) "" ("%" "Work/%") RETURN (CHILDREN STATUS (MESSAGES)). RFC 5258 6, RFC 5819 4,
 * RFC 6154 3. RECURSIVEMATCH alone is ERR_SYNTAX. */
struct args_list {
	struct str reference;
	struct str *patterns; /* one or more */
	size_t patterns_count;
	unsigned select, returns; /* LIST_ */
	bool extended;		  /* anything that plain LIST does not have */
	unsigned status;	  /* STATUS_, with LIST_STATUS in returns */
	struct str *entries;	  /* with LIST_METADATA; RFC 9590 */
	size_t entries_count;
};
MUST_USE enum err
parse_list(struct parser *p, struct args_list *out);
/* Reference and pattern only. */
MUST_USE enum err
parse_lsub(struct parser *p, struct args_list *out);

#endif
