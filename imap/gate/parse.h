#ifndef POSTROOM_IMAP_GATE_PARSE_H
#define POSTROOM_IMAP_GATE_PARSE_H

#include "core/base/buf.h"

/* The little of IMAP's grammar that a client needs before login. Pure functions over bytes that
 * nobody has vouched for; everything they give out borrows its input. */

/* Where the first command of some input ends, literals included. */
struct gate_frame {
	size_t end;	     /* ERR_OK: bytes of the command with its CRLF; ERR_LIMIT: of what has
			      * come of it, up to the literal */
	size_t literal_at;   /* ERR_AGAIN: the client waits for "+" before it sends what begins
			      * here; 0: it does not */
	bool in_literal;     /* ERR_AGAIN: the end of input lies in or behind a literal */
	bool literal_coming; /* ERR_LIMIT: the client sends it without asking ("{n+}") */
};

/* ERR_OK; ERR_AGAIN: it has not all come; ERR_LIMIT: a literal over literal_max_bytes. A line
 * may end in LF alone. RFC 3501 4.3, RFC 7888 4. */
MUST_USE enum err
gate_frame(struct str in, size_t literal_max_bytes, struct gate_frame *out);

struct gate_command {
	struct str tag;
	struct str name; /* the command's word, any case */
	struct str args; /* behind the space after it, without the CRLF; literals inside */
	bool has_args;
};

/* One framed command. ERR_SYNTAX: tag is empty when not even that was there. RFC 3501 9. */
MUST_USE enum err
gate_command(struct str bytes, struct gate_command *out);

/* Consume an astring (atom, quoted, literal) from the front of *args; its value is appended to
 * out. ERR_SYNTAX: something else, or a NUL; ERR_LIMIT: out is full. */
MUST_USE enum err
gate_astring(struct str *args, struct buf *out);
/* The same, or the atom NIL: nil_out. */
MUST_USE enum err
gate_nastring(struct str *args, struct buf *out, bool *nil_out);
/* Consume one space. ERR_SYNTAX. */
MUST_USE enum err
gate_space(struct str *args);

/* ID's argument: NIL, or up to 30 pairs; atoms count as strings. fn gets each pair, may be NULL.
 * ERR_SYNTAX. RFC 2971 3.3. */
MUST_USE enum err
gate_id_list(struct str args, void (*fn)(void *arg, struct str key, struct str value), void *arg);

#endif
