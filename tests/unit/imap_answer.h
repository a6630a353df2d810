#ifndef POSTROOM_TESTS_IMAP_ANSWER_H
#define POSTROOM_TESTS_IMAP_ANSWER_H

#include "core/base/str.h"

/* What a server says, read strictly: one response at a time, whole, with the literals in it. RFC
 * 9051 9, response; RFC 3501 9. Everything borrows from the input. */
enum answer_kind {
	ANSWER_CONTINUE, /* "+ ..." */
	ANSWER_UNTAGGED,
	ANSWER_TAGGED,
};

struct answer {
	struct str whole; /* with its last CRLF */
	enum answer_kind kind;
	struct str tag;
	bool has_number; /* "* 12 EXISTS" */
	uint32_t number;
	struct str word; /* "EXISTS", "OK", as it was sent */
	struct str rest; /* behind the word and a space, without the CRLF */
	struct str code; /* of OK, NO, BAD, BYE: between the brackets; empty: none */
};

/* The response at the front of in. ERR_AGAIN: it is not whole yet; ERR_SYNTAX: no response looks
 * so: an octet that may not be there, parentheses that do not match, a quoted string or literal
 * that is wrong, two spaces, a text that is empty. */
MUST_USE enum err
answer_read(struct str in, struct answer *out);
/* Takes one value from the front of rest, and the space behind it: an atom with what stands in its
 * brackets, a quoted string, a literal, or a list with its parentheses. False: nothing is left. */
bool
answer_value(struct str *rest, struct str *value_out);
/* The text of a list without its parentheses. */
struct str
answer_inside(struct str list);

#endif
