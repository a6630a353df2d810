#ifndef POSTROOM_IMAP_ARGS_MAILBOX_H
#define POSTROOM_IMAP_ARGS_MAILBOX_H

#include "imap/grammar/parse.h"

/* Arguments of the commands about mailboxes, and of the small ones. Each parser
 * begins behind the command's name and the space, and ends before the line's end; what it
 * returns dies with the arena. */

/* One mailbox, or two for RENAME. */
struct args_names {
	struct str a, b;
};
MUST_USE enum err
parse_mailbox(struct parser *p, struct args_names *out);
MUST_USE enum err
parse_rename(struct parser *p, struct args_names *out);

/* SELECT or EXAMINE name [(CONDSTORE QRESYNC (...))]. RFC 7162 3.1.8. */
struct args_select {
	struct str mailbox;
	bool condstore;
	/* QRESYNC (uidvalidity modseq [known-uids] [(seqs uids)]), the sets without "*", sorted;
	 * match_ stands for the client's pairs of numbers. RFC 7162 3.2.5. */
	bool qresync, has_known;
	uint32_t uidvalidity;
	uint64_t modseq;
	struct seq_set known, match_seqs, match_uids;
};
MUST_USE enum err
parse_select(struct parser *p, struct args_select *out);

/* CREATE name [(USE (\Drafts \Sent))]: uses are names without the backslash. RFC 6154 5.3. */
struct args_create {
	struct str mailbox;
	struct str *uses;
	size_t uses_count;
	bool has_use;
};
MUST_USE enum err
parse_create(struct parser *p, struct args_create *out);

/* A set and a mailbox: COPY, MOVE. A set alone: UID EXPUNGE. */
struct args_copy {
	struct seq_set set;
	struct str mailbox;
};
MUST_USE enum err
parse_copy(struct parser *p, struct args_copy *out);
MUST_USE enum err
parse_uid_expunge(struct parser *p, struct args_copy *out);

/* ID: keys and values, in turns; NIL is none. RFC 2971 4. */
struct args_id {
	struct str *pairs;
	size_t pairs_count; /* of strings: two each */
};
MUST_USE enum err
parse_id(struct parser *p, struct args_id *out);

/* ENABLE: one or more names. RFC 5161 4. */
struct args_enable {
	struct str *names;
	size_t names_count;
};
MUST_USE enum err
parse_enable(struct parser *p, struct args_enable *out);

#endif
