#ifndef POSTROOM_IMAP_PARSE_H
#define POSTROOM_IMAP_PARSE_H

#include "core/base/arena.h"

/* Tokens of the IMAP grammar, read from one whole command: the line, the literals inside and
 * the last CRLF, as imap/grammar/reader.h collected it, e.g. "a1 LOGIN {3}\r\njoe \"x\"\r\n".
 * Every function consumes what it names and nothing behind it. ERR_SYNTAX: p->why says what
 * was expected, for the BAD; ERR_LIMIT: the command's arena is full or a nesting is too deep.
 * Strings borrow from the input, or from the arena where a quoted one held a backslash.
 * RFC 3501 9; RFC 7888. */
struct parser {
	struct str in;
	size_t at;
	struct arena *arena;
	const char *why; /* static storage */
};

void
parser_init(struct parser *p, struct str command, struct arena *arena);
/* Sets p->why; returns ERR_SYNTAX. */
enum err
parse_fail(struct parser *p, const char *why);
/* The same for what is over a limit; returns ERR_LIMIT. */
enum err
parse_full(struct parser *p);
/* Appends s to a list in the arena that holds *n of at most max. ERR_LIMIT. */
MUST_USE enum err
parse_add_str(struct parser *p, struct str **list, size_t *n, size_t max, struct str s);

/* The next byte, or -1 at the end. */
static inline int
parse_peek(const struct parser *p)
{
	return p->at < p->in.n ? (unsigned char)p->in.p[p->at] : -1;
}
/* True and consumed when the next byte is c. */
bool
parse_accept(struct parser *p, char c);
/* True and consumed when the next atom is word (upper case, a letter's case is ignored). */
bool
parse_accept_word(struct parser *p, const char *word);
MUST_USE enum err
parse_char(struct parser *p, char c);
MUST_USE enum err
parse_sp(struct parser *p);
/* CRLF, or LF alone, and nothing behind it. */
MUST_USE enum err
parse_end(struct parser *p);

MUST_USE enum err
parse_tag(struct parser *p, struct str *out);
MUST_USE enum err
parse_atom(struct parser *p, struct str *out);
MUST_USE enum err
parse_astring(struct parser *p, struct str *out);
/* Quoted or literal; no NUL. */
MUST_USE enum err
parse_string(struct parser *p, struct str *out);
/* A string, or NIL: out->p is NULL. */
MUST_USE enum err
parse_nstring(struct parser *p, struct str *out);
/* The same, or literal8, in which NUL may stand. RFC 3516 4.4. */
MUST_USE enum err
parse_nstring8(struct parser *p, struct str *out);
/* A pattern of LIST: an astring in which % and * may stand. */
MUST_USE enum err
parse_list_mailbox(struct parser *p, struct str *out);

MUST_USE enum err
parse_number(struct parser *p, uint32_t *out);
/* The same above 0. */
MUST_USE enum err
parse_nz_number(struct parser *p, uint32_t *out);
MUST_USE enum err
parse_number64(struct parser *p, uint64_t *out);

/* A set of sequence numbers or UIDs as it was written; 0 stands for "*". */
struct seq_range {
	uint32_t lo, hi;
};
struct seq_set {
	struct seq_range *r;
	size_t n;
	bool saved; /* "$", the last saved search result: r is empty. RFC 5182 2.1. Whoever
		     * cannot take it refuses the set. */
};
MUST_USE enum err
parse_seq_set(struct parser *p, struct seq_set *out);
/* "*" becomes largest (of the mailbox; 0 when that is empty), each range is turned the right
 * way, all are sorted and merged in place. "*:N" and "N:*" hold the largest always. A set in
 * an empty mailbox becomes empty. RFC 3501 9, seq-range. */
void
seq_set_resolve(struct seq_set *s, uint32_t largest);
/* On a resolved set. */
bool
seq_set_has(const struct seq_set *s, uint32_t n);
/* "1:500", or "-1:-100" from the end: the lo-th to hi-th of what was found, lo <= hi, both
 * above 0. RFC 9394 4. */
struct partial_range {
	uint32_t lo, hi;
	bool from_end;
	struct str text; /* as written, for the answer */
};
MUST_USE enum err
parse_partial_range(struct parser *p, struct partial_range *out);
/* Flags that a client may set; \Recent is the server's. */
struct flag_list {
	unsigned system;      /* enum msg_flag */
	struct str *keywords; /* as written; no two alike but for case */
	size_t keywords_count;
};
/* "(\Seen $Forwarded)"; an unknown system flag is ERR_SYNTAX. */
MUST_USE enum err
parse_flag_list(struct parser *p, struct flag_list *out);
/* The same without parentheses allowed: STORE 1 FLAGS \Seen \Deleted. */
MUST_USE enum err
parse_flags(struct parser *p, struct flag_list *out);

/* 1-Feb-1994, quoted or not, as days since 1970-01-01. */
MUST_USE enum err
parse_date(struct parser *p, int32_t *days_out);
/* " 1-Feb-1994 12:00:00 +0100" quoted, as seconds since 1970-01-01T00:00:00Z and the zone. */
MUST_USE enum err
parse_date_time(struct parser *p, int64_t *sec_out, int32_t *zone_min_out);
/* Days since 1970-01-01 of a day of the Gregorian calendar; month 1 to 12. */
int32_t
days_from_civil(int year, unsigned month, unsigned day);
void
civil_from_days(int32_t days, int *year_out, unsigned *month_out, unsigned *day_out);
/* "Jan" for 1. */
const char *
month_name(unsigned month);

#endif
