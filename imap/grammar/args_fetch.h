#ifndef POSTROOM_IMAP_ARGS_FETCH_H
#define POSTROOM_IMAP_ARGS_FETCH_H

#include "imap/grammar/parse.h"

/* Arguments of FETCH and STORE. Each parser
 * begins behind the command's name and the space, and ends before the line's end; what it
 * returns dies with the arena. */

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
	FETCH_MODSEQ,	     /* RFC 7162 3.1.4.2 */
	FETCH_BINARY,	     /* BINARY[1.2], BINARY.PEEK[1.2]; RFC 3516 */
	FETCH_BINARY_SIZE,   /* BINARY.SIZE[1.2] */
	FETCH_SAVEDATE,	     /* RFC 8514 */
	FETCH_EMAILID,	     /* RFC 8474 */
	FETCH_THREADID,
	FETCH_PREVIEW, /* with LAZY or without: RFC 8970 */
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
	/* FETCH set items (CHANGEDSINCE n VANISHED): brings FETCH_MODSEQ into items. RFC 7162
	 * 3.1.4.1, 3.2.6. */
	bool has_changed_since, vanished;
	uint64_t changed_since;
	bool has_partial; /* UID FETCH set items (PARTIAL -1:-100) */
	struct partial_range partial;
};
MUST_USE enum err
parse_fetch(struct parser *p, struct args_fetch *out);
/* Only "(UID BODY.PEEK[])": items without a macro, for NOTIFY; no set. RFC 5465 8. */
MUST_USE enum err
parse_fetch_atts(struct parser *p, struct args_fetch *out);

/* ---- STORE ---- */

enum store_mode { STORE_SET, STORE_ADD, STORE_REMOVE };
struct args_store {
	struct seq_set set;
	enum store_mode mode;
	bool silent;
	bool conditional; /* STORE set (UNCHANGEDSINCE n) ...; RFC 7162 3.1.3 */
	uint64_t unchanged_since;
	struct flag_list flags;
};
MUST_USE enum err
parse_store(struct parser *p, struct args_store *out);

#endif
