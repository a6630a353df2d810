#ifndef POSTROOM_IMAP_ARGS_H
#define POSTROOM_IMAP_ARGS_H

#include "imap/parse.h"

/* Arguments of the commands with a grammar of their own. Each parser begins behind the command's
 * name and the space, and ends before the line's end; what it returns dies with the arena. */

/* "a1 APPEND Drafts (\Draft) " up to the message's literal header, the tag included: used by
 * the reader to know the message, and by the command. */
struct args_append {
	struct str tag;
	struct str mailbox; /* as the client wrote it */
	struct flag_list flags;
	bool has_date;
	int64_t date_sec;
	int32_t date_zone_min;
	/* filled in by the session */
	uint64_t literal;
	bool sync;
};
MUST_USE enum err
parse_append_prefix(struct parser *p, struct args_append *out);

/* ---- FETCH ---- */

enum fetch_kind {
	FETCH_UID,
	FETCH_FLAGS,
	FETCH_INTERNALDATE,
	FETCH_SIZE,
	FETCH_ENVELOPE,
	FETCH_BODY, /* the structure without extension data */
	FETCH_BODYSTRUCTURE,
	FETCH_SECTION,	     /* BODY[...], BODY.PEEK[...] */
	FETCH_RFC822,	     /* BODY[] under its old name */
	FETCH_RFC822_HEADER, /* BODY.PEEK[HEADER] */
	FETCH_RFC822_TEXT,   /* BODY[TEXT] */
};

enum section_kind {
	SECTION_ALL, /* BODY[], BODY[1.2] */
	SECTION_HEADER,
	SECTION_FIELDS,
	SECTION_FIELDS_NOT,
	SECTION_TEXT,
	SECTION_MIME,
};

struct section {
	enum section_kind kind;
	struct str path; /* "1.2"; empty: the message itself */
	struct str *fields;
	size_t fields_count;
};

struct fetch_item {
	enum fetch_kind kind;
	bool peek;
	bool partial; /* <off.len> */
	uint64_t off, len;
	struct section section;
};

struct args_fetch {
	struct seq_set set;
	struct fetch_item *items;
	size_t items_count;
};
MUST_USE enum err
parse_fetch(struct parser *p, struct args_fetch *out);

/* ---- STORE ---- */

enum store_mode { STORE_SET, STORE_ADD, STORE_REMOVE };
struct args_store {
	struct seq_set set;
	enum store_mode mode;
	bool silent;
	struct flag_list flags;
};
MUST_USE enum err
parse_store(struct parser *p, struct args_store *out);

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

/* ---- the others ---- */

enum {
	STATUS_MESSAGES = 1 << 0,
	STATUS_RECENT = 1 << 1,
	STATUS_UIDNEXT = 1 << 2,
	STATUS_UIDVALIDITY = 1 << 3,
	STATUS_UNSEEN = 1 << 4,
};
struct args_status {
	struct str mailbox;
	unsigned items;
};
MUST_USE enum err
parse_status(struct parser *p, struct args_status *out);

/* One mailbox, or two for RENAME, or a reference and a pattern for LIST and LSUB. */
struct args_names {
	struct str a, b;
	bool special_use_only; /* LIST (SPECIAL-USE) ...; RFC 6154 3 */
};
MUST_USE enum err
parse_mailbox(struct parser *p, struct args_names *out);
MUST_USE enum err
parse_rename(struct parser *p, struct args_names *out);
MUST_USE enum err
parse_list(struct parser *p, struct args_names *out);
MUST_USE enum err
parse_lsub(struct parser *p, struct args_names *out);

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
