#ifndef POSTROOM_IMAP_ARGS_SEARCH_H
#define POSTROOM_IMAP_ARGS_SEARCH_H

#include "imap/grammar/parse.h"

/* Arguments of SEARCH. Each parser
 * begins behind the command's name and the space, and ends before the line's end; what it
 * returns dies with the arena. */

/* ---- SEARCH ---- */

enum search_kind {
	SEARCH_AND, /* first and its next ones; empty: all */
	SEARCH_OR,  /* first, first->next */
	SEARCH_NOT, /* first */
	SEARCH_SEQ,
	SEARCH_UID,
	SEARCH_FLAG_SET, /* flag */
	SEARCH_FLAG_UNSET,
	SEARCH_RECENT,
	SEARCH_OLD,
	SEARCH_NEW,
	SEARCH_KEYWORD, /* text */
	SEARCH_UNKEYWORD,
	SEARCH_BEFORE, /* day, by INTERNALDATE */
	SEARCH_ON,
	SEARCH_SINCE,
	SEARCH_SENTBEFORE, /* day, by the Date field */
	SEARCH_SENTON,
	SEARCH_SENTSINCE,
	SEARCH_LARGER, /* size */
	SEARCH_SMALLER,
	SEARCH_HEADER, /* field, text: SUBJECT, FROM, TO, CC, BCC too */
	SEARCH_BODY,   /* text */
	SEARCH_TEXT,
};

struct search_node {
	enum search_kind kind;
	struct search_node *first, *next;
	struct seq_set set;
	unsigned flag;
	struct str field;
	struct str text;
	int32_t day;
	uint64_t size;
	struct search_prepared *prepared; /* cmd_search.c's */
};

enum { SEARCH_DEPTH_MAX = 50, SEARCH_KEYS_MAX = 4096 };

struct args_search {
	struct str charset; /* empty: none given */
	struct search_node root;
};
MUST_USE enum err
parse_search(struct parser *p, struct args_search *out);

#endif
