#ifndef POSTROOM_MAIL_ADDRESS_H
#define POSTROOM_MAIL_ADDRESS_H

#include "core/base/arena.h"
#include "core/base/buf.h"

/* Address lists of header fields, obsolete forms included. RFC 5322 3.4, 4.4. */

enum address_kind {
	ADDRESS_MAILBOX,
	ADDRESS_GROUP_START, /* local holds the group's name */
	ADDRESS_GROUP_END,
};

struct address {
	enum address_kind kind;
	/* Unquoted, comments dropped; p NULL: not there. */
	struct str name;  /* display name, or the comment of "a@b (Name)"; still with RFC 2047
			   * words */
	struct str route; /* "@a,@b" */
	struct str local;
	struct str domain; /* "[192.0.2.1]" too */
	bool bad;	   /* something was missing or left over */
	bool broken;	   /* the angle brackets do not hold an address */
};
struct address_list {
	struct address *v;
	size_t n;
	bool cut; /* there were more than max */
};

/* One address after the other, for long lists. */
struct address_iter {
	struct str rest;
	bool in_group;
	bool group_ends; /* the next call returns the end of the group */
	struct buf text; /* what the last address's strings may live in */
};
/* value: a field's value, folded or not; must outlive the iterator. Ends with
 * address_iter_fini. */
void
address_iter_init(struct address_iter *it, struct str value);
/* False at the end. out's strings die with the next call. */
bool
address_next(struct address_iter *it, struct address *out);
void
address_iter_fini(struct address_iter *it);

/* Parse a field's value (folded or not). Never a syntax error: what cannot be read becomes an
 * address with `bad` set. max: addresses at most. Strings are borrowed from value or live in
 * a. ERR_LIMIT: the arena is full. Linear time. */
MUST_USE enum err
address_parse_list(struct str value, size_t max, struct arena *a, struct address_list *out);

/* One bare "local@domain" as in SMTP and settings, quoted local parts and address literals
 * allowed: no comment, no space, no NUL. Borrows. ERR_SYNTAX. RFC 5321 4.1.2, 6531 (UTF-8). */
MUST_USE enum err
address_split(struct str addr, struct str *local_out, struct str *domain_out);
/* "First.Last+tag@EXAMPLE.com" -> "First.Last+tag@example.com"; quoted local parts are unquoted
 * when they need no quotes. Appended. ERR_SYNTAX as above, ERR_LIMIT. */
MUST_USE enum err
address_normalise(struct buf *out, struct str addr);
/* "user+tag" -> "user", "tag"; tag empty and false when there is no delimiter (or nothing before
 * it). */
bool
address_split_tag(struct str local, char delimiter, struct str *user_out, struct str *tag_out);
/* local as it must be written in an address: quoted if it is no dot-atom. Appended. */
void
address_add_local(struct buf *out, struct str local);

#endif
