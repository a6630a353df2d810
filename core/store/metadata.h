#ifndef POSTROOM_STORE_METADATA_H
#define POSTROOM_STORE_METADATA_H

#include "core/store/update.h"

/* Annotations of mailboxes and of the account: names such as "/private/comment" with values of any
 * octets, in a table of their own. They go with the mailbox's id: a rename keeps them, a deletion
 * takes them away; RENAME INBOX copies them. A change of a mailbox's raises its highestmodseq. RFC
 * 5464 4.1, RFC 7162 3.2. */
enum {
	METADATA_NAME_MAX = 400, /* lower case, as the caller makes it */
	METADATA_ACCOUNT = 0,	 /* in place of a mailbox's id */
};
/* Never a row with a value: it is the mailbox's special_use, as it says of a mailbox_info. RFC
 * 6154 4.
 */
#define METADATA_USE STR("/private/specialuse")

/* *value_out dies with the step. ERR_NOTFOUND. */
MUST_USE enum err
metadata_get(struct txn *t, uint32_t mailbox, struct str name, struct str *value_out);
/* In order, those whose name is prefix or begins with it. ERR_EOF: ended by fn. */
typedef enum err (*metadata_fn)(void *arg, struct str name, struct str value);
MUST_USE enum err
metadata_walk(struct txn *t, uint32_t mailbox, struct str prefix, metadata_fn fn, void *arg);

/* Changes: each update that sets or removes entries is the home's next version; 0: none was ever
 * made. Nothing is said of mailboxes that are gone, nor of all removals when there were hundreds.
 */
MUST_USE enum err
metadata_version(struct txn *t, uint64_t *out);
/* For the check: is this a row, of a version that the home has had? */
bool
metadata_row_good(struct str row, uint64_t version);
/* The entries that were set or removed by versions above after, mailbox by mailbox, the account's
 * first. Looks at all of the home's: ask metadata_version before. ERR_EOF: ended by fn. */
typedef enum err (*metadata_change_fn)(
	void *arg, uint32_t mailbox, struct str name, uint64_t version);
MUST_USE enum err
metadata_changes(struct txn *t, uint64_t after, metadata_change_fn fn, void *arg);

struct metadata_pair {
	struct str name;
	struct str value; /* p NULL: taken away */
};
struct metadata_args {
	struct str mailbox; /* full path; empty: the account's */
	const struct metadata_pair *pairs;
	size_t count;
	unsigned entries_max; /* of this mailbox, or the account */
	bool sets_use;	      /* METADATA_USE, which is not among the pairs */
	unsigned special_use;
};
/* All or none. r->version: of this change; 0 when there was nothing to change. ERR_NOTFOUND: no
 * such mailbox (a placeholder has them too); ERR_LIMIT: more than entries_max would be there. Of
 * uses: ERR_EXISTS: another mailbox has one; ERR_DENIED: INBOX, a placeholder and the account have
 * none. */
struct store_op *
store_set_metadata(struct home *h, const struct metadata_args *a, mailbox_done_fn done, void *arg);

#endif
