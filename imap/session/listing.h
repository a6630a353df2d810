#ifndef POSTROOM_IMAP_LISTING_H
#define POSTROOM_IMAP_LISTING_H

#include "imap/session/session.h"

/* The lines that describe mailboxes: LIST and STATUS responses, for the commands of these names,
 * and for whoever has to tell of a mailbox unasked. */

enum {
	LINE_SUBSCRIBED = 1 << 0,
	/* A name that only leads to others is \NonExistent, for who knows that word, and else
	 * \Noselect. RFC 5258 3. */
	LINE_EXTENDED = 1 << 1,
	LINE_NO_CHILDREN = 1 << 2,	/* nothing of children is said */
	LINE_CHILD_SUBSCRIBED = 1 << 3, /* CHILDINFO; RFC 5258 3.5 */
	LINE_CHILD_SPECIAL_USE = 1 << 4,
};
struct list_line {
	struct str outer;	      /* session_outer_name */
	const struct mailbox_info *m; /* NULL: there is no such mailbox */
	unsigned flags;		      /* LINE_ */
	/* OLDNAME as the client wrote it, or as session_outer_name has it; both empty: none. RFC
	 * 9051 6.3.9.7, RFC 5465 5.4 */
	struct str old, old_name;
};
/* "* LIST (\HasNoChildren \Sent) "/" "Sent"" */
void
list_line_write(const struct imap_session *s, struct buf *out, const struct list_line *l);

/* With a prefix, all mailboxes are below INBOX for the client: sets has_children of INBOX. */
MUST_USE enum err
listing_children(const struct imap_session *s, struct txn *t, struct mailbox_info *m);

/* "* METADATA "Sent" (/private/comment "x"" so far, or with first false what follows; the caller
 * closes it by ")" CRLF. name: a mailbox of the store, or empty; value: p NULL is NIL. */
void
metadata_write(const struct imap_session *s, struct str name, struct str entry, struct str value,
	bool first);

/* What METADATA_USE is: "\Sent", with several a blank between them; p NULL: none. b holds it. */
struct str
metadata_use(unsigned uses, struct buf *b);

/* "* STATUS "Sent" (MESSAGES 2 SIZE 4711)"; items: STATUS_ of args_list.h. m is of this step, and
 * selectable. Who asked for HIGHESTMODSEQ calls session_condstore before. */
MUST_USE enum err
status_write(struct imap_session *s, struct txn *t, const struct mailbox_info *m, struct str name,
	unsigned items);

#endif
