#ifndef POSTROOM_MAIL_TOKEN_H
#define POSTROOM_MAIL_TOKEN_H

#include "core/base/arena.h"

/* Lexical pieces of structured fields, taken off the front of *in. Folds count as white space;
 * 8-bit octets as text. An unclosed comment, quote or literal ends where the value ends, so that
 * nothing is ever scanned twice. RFC 5322 3.2, RFC 2045 5.1. */

/* May c be in an atom? 8-bit octets may. RFC 5322 3.2.3, RFC 6532 3.2. */
bool
token_is_atext(unsigned char c);

/* Comments (nested, escapes) and white space. */
void
token_skip_cfws(struct str *in);
/* The same; comment_out: the inside of the last comment seen (raw, with escapes and folds),
 * unchanged when there was none. */
void
token_skip_comment(struct str *in, struct str *comment_out);
/* A run of atext (and 8-bit), with dots when dots is set; may be empty. */
struct str
token_atom(struct str *in, bool dots);
/* A MIME token; may be empty. */
struct str
token_mime(struct str *in);
/* An unquoted parameter value: tolerant, up to white space, ';' or '"'. */
struct str
token_param_value(struct str *in);
/* "a \"b\"": without quotes, escapes and line ends. *in begins at the quote. ERR_LIMIT. Borrows if
 * it can, else lives in a. */
MUST_USE enum err
token_quoted(struct str *in, struct arena *a, struct str *out);
/* The raw inside of a quoted string; *in begins at the quote and moves behind the closing one. */
struct str
token_quoted_raw(struct str *in);
/* Offset of the next c outside quotes and comments, or in.n. */
size_t
token_skip_to(struct str in, char c);

#endif
