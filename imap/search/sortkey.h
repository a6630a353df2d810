#ifndef POSTROOM_IMAP_SORTKEY_H
#define POSTROOM_IMAP_SORTKEY_H

#include "core/store/entry.h"
#include "core/store/message.h"
#include "imap/grammar/args_search.h"

/* One message's key for SORT: octets that compare (memcmp) as the criteria say, so that sorting
 * knows nothing of mail. Texts are folded (i;unicode-casemap), and only their first
 * SORTKEY_TEXT_MAX octets count. All of it comes from the index. RFC 5256 2.2, 3; RFC 5957 3;
 * RFC 5255 4. */
enum { SORTKEY_TEXT_MAX = 900 };

struct sortkey {
	const struct sort_criterion *criteria; /* borrowed */
	size_t count;
	enum message_part part;		/* what the criteria look at */
	struct buf key;			/* of the last message */
	struct buf text, plain, folded; /* scratch */
};
void
sortkey_init(struct sortkey *k, const struct sort_criterion *criteria, size_t n);
void
sortkey_fini(struct sortkey *k);
/* Into k->key. m is not looked at with MESSAGE_NONE. ERR_CORRUPT, ERR_TEMP, ERR_LIMIT. */
MUST_USE enum err
sortkey_make(struct sortkey *k, const struct entry *e, struct message *m);

/* The time that SORT DATE and THREAD go by: Date, or INTERNALDATE where there is none. RFC 5256
 * 2.2. */
static inline int64_t
sortkey_date(const struct entry *e, const struct message *m)
{
	return m->has_sent ? m->sent_sec : e->internal_sec;
}

/* The subject of an ENVELOPE's text, raw, in scratch or borrowed from it. False: NIL, or no
 * envelope. */
bool
sortkey_subject(struct str envelope, struct buf *scratch, struct str *out);

#endif
