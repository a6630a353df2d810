#ifndef POSTROOM_IMAP_ARGS_SEARCH_H
#define POSTROOM_IMAP_ARGS_SEARCH_H

#include "imap/grammar/parse.h"

/* Arguments of SEARCH, SORT and THREAD. Each parser
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
	SEARCH_OLDER, /* size: seconds. RFC 5032 */
	SEARCH_YOUNGER,
	SEARCH_SAVEDBEFORE, /* day, in UTC. RFC 8514 4.3 */
	SEARCH_SAVEDON,
	SEARCH_SAVEDSINCE,
	SEARCH_MODSEQ,	/* size: at least. RFC 7162 3.1.5 */
	SEARCH_EMAILID, /* text: an id, maybe none of ours. RFC 8474 6 */
	SEARCH_THREADID,
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
	struct search_prepared *prepared; /* match.c's, and so is the next */
	unsigned cost;
};

enum { SEARCH_DEPTH_MAX = 50, SEARCH_KEYS_MAX = 4096 };

/* What RETURN asks for; none of them, and "RETURN ()", is RETURN_ALL. RFC 4731 3.1, 5182 2.1, 9394
 * 3.1. */
enum search_return {
	RETURN_MIN = 1 << 0,
	RETURN_MAX = 1 << 1,
	RETURN_ALL = 1 << 2,
	RETURN_COUNT = 1 << 3,
	RETURN_SAVE = 1 << 4,
	RETURN_PARTIAL = 1 << 5, /* never with RETURN_ALL */
};

/* RFC 5256 3, RFC 5957 3. */
enum sort_kind {
	SORT_ARRIVAL,
	SORT_CC,
	SORT_DATE,
	SORT_FROM,
	SORT_SIZE,
	SORT_SUBJECT,
	SORT_TO,
	SORT_DISPLAYFROM,
	SORT_DISPLAYTO,
};
struct sort_criterion {
	enum sort_kind kind;
	bool reverse;
};
enum { SORT_CRITERIA_MAX = 16 };

enum thread_algorithm { THREAD_ORDEREDSUBJECT, THREAD_REFERENCES };

struct args_search {
	bool has_return; /* the answer is ESEARCH */
	unsigned want;	 /* enum search_return */
	struct partial_range partial;
	struct sort_criterion sort[SORT_CRITERIA_MAX];
	size_t sort_count; /* 0: SEARCH, or THREAD */
	bool is_thread;
	enum thread_algorithm algorithm;
	struct str charset; /* empty: none given */
	bool has_modseq;    /* a MODSEQ key is among them */
	bool has_seqs;	    /* message numbers are among them; "$" is none */
	struct search_node root;
};
/* "RETURN (MIN SAVE) CHARSET UTF-8 SUBJECT x" */
MUST_USE enum err
parse_search(struct parser *p, struct args_search *out);
/* "RETURN (ALL) (REVERSE DATE) UTF-8 ALL" */
MUST_USE enum err
parse_sort(struct parser *p, struct args_search *out);
/* "REFERENCES UTF-8 ALL" */
MUST_USE enum err
parse_thread(struct parser *p, struct args_search *out);
/* The keys alone, up to the line's end; args_return.c calls it. */
MUST_USE enum err
parse_search_keys(struct parser *p, struct args_search *out);

#endif
