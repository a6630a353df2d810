/* The keys of SEARCH, SORT and THREAD into a tree; see args_search.h. Called by args_return.c.
 * Depth and number of the keys are limited here, so that what walks the tree may recurse. */
#include "imap/grammar/args_search.h"

#include "core/base/xalloc.h"
#include "core/store/entry.h"

enum { OBJECTID_MAX = 255 };

/* What stands behind a key. */
enum key_args {
	ARGS_NONE,
	ARGS_FIELD_GIVEN, /* a string; the field's name comes from the table */
	ARGS_FIELD,	  /* field and string */
	ARGS_STRING,
	ARGS_ATOM,
	ARGS_OBJECTID,
	ARGS_DATE,
	ARGS_SIZE,
	ARGS_SECONDS, /* above 0 */
	ARGS_MODSEQ,
	ARGS_UIDS,
	ARGS_UID_AFTER,
	ARGS_UID_BEFORE,
	ARGS_ONE_KEY,
	ARGS_TWO_KEYS,
};

static const struct search_name {
	const char *name;
	enum search_kind kind;
	enum key_args args;
	unsigned flag;
	const char *field;
} search_names[] = {
	{ "ALL", SEARCH_AND, ARGS_NONE, 0, NULL },
	{ "ANSWERED", SEARCH_FLAG_SET, ARGS_NONE, FLAG_ANSWERED, NULL },
	{ "BCC", SEARCH_HEADER, ARGS_FIELD_GIVEN, 0, "Bcc" },
	{ "BEFORE", SEARCH_BEFORE, ARGS_DATE, 0, NULL },
	{ "BODY", SEARCH_BODY, ARGS_STRING, 0, NULL },
	{ "CC", SEARCH_HEADER, ARGS_FIELD_GIVEN, 0, "Cc" },
	{ "DELETED", SEARCH_FLAG_SET, ARGS_NONE, FLAG_DELETED, NULL },
	{ "DRAFT", SEARCH_FLAG_SET, ARGS_NONE, FLAG_DRAFT, NULL },
	{ "EMAILID", SEARCH_EMAILID, ARGS_OBJECTID, 0, NULL },
	{ "FLAGGED", SEARCH_FLAG_SET, ARGS_NONE, FLAG_FLAGGED, NULL },
	{ "FROM", SEARCH_HEADER, ARGS_FIELD_GIVEN, 0, "From" },
	{ "HEADER", SEARCH_HEADER, ARGS_FIELD, 0, NULL },
	{ "KEYWORD", SEARCH_KEYWORD, ARGS_ATOM, 0, NULL },
	{ "LARGER", SEARCH_LARGER, ARGS_SIZE, 0, NULL },
	{ "MODSEQ", SEARCH_MODSEQ, ARGS_MODSEQ, 0, NULL },
	{ "NEW", SEARCH_NEW, ARGS_NONE, 0, NULL },
	{ "NOT", SEARCH_NOT, ARGS_ONE_KEY, 0, NULL },
	{ "OLD", SEARCH_OLD, ARGS_NONE, 0, NULL },
	{ "OLDER", SEARCH_OLDER, ARGS_SECONDS, 0, NULL },
	{ "ON", SEARCH_ON, ARGS_DATE, 0, NULL },
	{ "OR", SEARCH_OR, ARGS_TWO_KEYS, 0, NULL },
	{ "RECENT", SEARCH_RECENT, ARGS_NONE, 0, NULL },
	{ "SAVEDATESUPPORTED", SEARCH_AND, ARGS_NONE, 0, NULL }, /* as ALL: every mailbox has it */
	{ "SAVEDBEFORE", SEARCH_SAVEDBEFORE, ARGS_DATE, 0, NULL },
	{ "SAVEDON", SEARCH_SAVEDON, ARGS_DATE, 0, NULL },
	{ "SAVEDSINCE", SEARCH_SAVEDSINCE, ARGS_DATE, 0, NULL },
	{ "SEEN", SEARCH_FLAG_SET, ARGS_NONE, FLAG_SEEN, NULL },
	{ "SENTBEFORE", SEARCH_SENTBEFORE, ARGS_DATE, 0, NULL },
	{ "SENTON", SEARCH_SENTON, ARGS_DATE, 0, NULL },
	{ "SENTSINCE", SEARCH_SENTSINCE, ARGS_DATE, 0, NULL },
	{ "SINCE", SEARCH_SINCE, ARGS_DATE, 0, NULL },
	{ "SMALLER", SEARCH_SMALLER, ARGS_SIZE, 0, NULL },
	{ "SUBJECT", SEARCH_HEADER, ARGS_FIELD_GIVEN, 0, "Subject" },
	{ "TEXT", SEARCH_TEXT, ARGS_STRING, 0, NULL },
	{ "THREADID", SEARCH_THREADID, ARGS_OBJECTID, 0, NULL },
	{ "TO", SEARCH_HEADER, ARGS_FIELD_GIVEN, 0, "To" },
	{ "UID", SEARCH_UID, ARGS_UIDS, 0, NULL },
	{ "UIDAFTER", SEARCH_UID, ARGS_UID_AFTER, 0, NULL },
	{ "UIDBEFORE", SEARCH_UID, ARGS_UID_BEFORE, 0, NULL },
	{ "UNANSWERED", SEARCH_FLAG_UNSET, ARGS_NONE, FLAG_ANSWERED, NULL },
	{ "UNDELETED", SEARCH_FLAG_UNSET, ARGS_NONE, FLAG_DELETED, NULL },
	{ "UNDRAFT", SEARCH_FLAG_UNSET, ARGS_NONE, FLAG_DRAFT, NULL },
	{ "UNFLAGGED", SEARCH_FLAG_UNSET, ARGS_NONE, FLAG_FLAGGED, NULL },
	{ "UNKEYWORD", SEARCH_UNKEYWORD, ARGS_ATOM, 0, NULL },
	{ "UNSEEN", SEARCH_FLAG_UNSET, ARGS_NONE, FLAG_SEEN, NULL },
	{ "YOUNGER", SEARCH_YOUNGER, ARGS_SECONDS, 0, NULL },
};

struct search_parser {
	struct parser *p;
	unsigned depth;
	unsigned keys;
	bool has_modseq, has_seqs;
};

static enum err
parse_key(struct search_parser *sp, struct search_node *out);

static enum err
new_key(struct search_parser *sp, struct search_node **out)
{
	*out = sp->keys < SEARCH_KEYS_MAX ? arena_calloc(sp->p->arena, 1, sizeof **out) : NULL;
	if (*out == NULL) {
		sp->p->why = "too many search keys";
		return ERR_LIMIT;
	}
	sp->keys++;
	return parse_key(sp, *out);
}

/* Keys separated by blanks up to the parenthesis or the line's end. */
static enum err
parse_keys(struct search_parser *sp, struct search_node *out)
{
	struct search_node **at = &out->first;

	out->kind = SEARCH_AND;
	do {
		enum err e = new_key(sp, at);

		if (e != ERR_OK)
			return e;
		at = &(*at)->next;
	} while (parse_accept(sp->p, ' '));
	return ERR_OK;
}

static enum err
parse_subkeys(struct search_parser *sp, struct search_node *out, unsigned n)
{
	struct search_node **at = &out->first;

	for (unsigned i = 0; i < n; i++) {
		enum err e = parse_sp(sp->p);

		if (e == ERR_OK)
			e = new_key(sp, at);
		if (e != ERR_OK)
			return e;
		at = &(*at)->next;
	}
	return ERR_OK;
}

static enum err
parse_field(struct parser *p, struct search_node *out)
{
	enum err e = parse_astring(p, &out->field);

	if (e == ERR_OK)
		e = parse_sp(p);
	return e == ERR_OK ? parse_astring(p, &out->text) : e;
}

static enum err
parse_seconds(struct parser *p, uint64_t *out)
{
	uint32_t n;
	enum err e = parse_nz_number(p, &n);

	*out = e == ERR_OK ? n : 0;
	return e;
}

/* Whether an id like this was ever given is not asked here. RFC 8474 7. */
static enum err
parse_objectid(struct parser *p, struct str *out)
{
	enum err e = parse_atom(p, out);

	for (size_t i = 0; e == ERR_OK && i < out->n; i++)
		if (!ascii_is_alnum(out->p[i]) && out->p[i] != '_' && out->p[i] != '-')
			e = parse_fail(p, "object id expected");
	if (e == ERR_OK && out->n > OBJECTID_MAX)
		e = parse_fail(p, "object id is too long");
	return e;
}

/* [entry-name SP entry-type SP] number: modseqs are not kept by flag, so the name narrows nothing.
 * RFC 7162 3.1.5. */
static enum err
parse_modseq(struct search_parser *sp, uint64_t *out)
{
	struct parser *p = sp->p;
	struct str name;

	sp->has_modseq = true;
	if (parse_peek(p) != '"')
		return parse_number64(p, out);
	enum err e = parse_string(p, &name);

	if (e == ERR_OK && !str_istarts(name, STR("/flags/")))
		e = parse_fail(p, "unknown entry name");
	if (e == ERR_OK)
		e = parse_sp(p);
	if (e != ERR_OK)
		return e;
	if (!parse_accept_word(p, "ALL") && !parse_accept_word(p, "PRIV") &&
		!parse_accept_word(p, "SHARED"))
		return parse_fail(p, "entry type expected");
	e = parse_sp(p);
	return e == ERR_OK ? parse_number64(p, out) : e;
}

/* UIDAFTER and UIDBEFORE as a set of UIDs; empty where none can be. RFC 9738 3.2. */
static enum err
parse_uid_side(struct parser *p, bool after, struct seq_set *out)
{
	uint32_t uid;
	enum err e = parse_nz_number(p, &uid);

	*out = (struct seq_set){ .r = arena_calloc(p->arena, 1, sizeof *out->r) };
	if (e == ERR_OK && out->r == NULL)
		return parse_full(p);
	if (e != ERR_OK || uid == (after ? UINT32_MAX : 1))
		return e;
	out->r[0] = after ? (struct seq_range){ uid + 1, UINT32_MAX }
			  : (struct seq_range){ 1, uid - 1 };
	out->n = 1;
	return ERR_OK;
}

static enum err
parse_key_args(struct search_parser *sp, const struct search_name *name, struct search_node *out)
{
	struct parser *p = sp->p;

	out->kind = name->kind;
	out->flag = name->flag;
	if (name->field != NULL)
		out->field = str_of(name->field);
	if (name->args == ARGS_NONE)
		return ERR_OK;
	if (name->args == ARGS_ONE_KEY || name->args == ARGS_TWO_KEYS)
		return parse_subkeys(sp, out, name->args == ARGS_ONE_KEY ? 1 : 2);
	enum err e = parse_sp(p);

	if (e != ERR_OK)
		return e;
	switch (name->args) {
	case ARGS_FIELD_GIVEN:
	case ARGS_STRING:
		return parse_astring(p, &out->text);
	case ARGS_FIELD:
		return parse_field(p, out);
	case ARGS_ATOM:
		return parse_atom(p, &out->text);
	case ARGS_OBJECTID:
		return parse_objectid(p, &out->text);
	case ARGS_DATE:
		return parse_date(p, &out->day);
	case ARGS_SIZE:
		return parse_number64(p, &out->size);
	case ARGS_SECONDS:
		return parse_seconds(p, &out->size);
	case ARGS_MODSEQ:
		return parse_modseq(sp, &out->size);
	case ARGS_UIDS:
		return parse_seq_set(p, &out->set);
	case ARGS_UID_AFTER:
	case ARGS_UID_BEFORE:
		return parse_uid_side(p, name->args == ARGS_UID_AFTER, &out->set);
	case ARGS_NONE:
	case ARGS_ONE_KEY:
	case ARGS_TWO_KEYS:
		break;
	}
	return ERR_BUG;
}

static enum err
parse_named_key(struct search_parser *sp, struct search_node *out)
{
	struct str word;
	enum err e = parse_atom(sp->p, &word);

	if (e != ERR_OK)
		return parse_fail(sp->p, "search key expected");
	for (size_t i = 0; i < ARRAY_LEN(search_names); i++)
		if (str_ieq(word, str_of(search_names[i].name)))
			return parse_key_args(sp, &search_names[i], out);
	return parse_fail(sp->p, "unknown search key");
}

static enum err
parse_key(struct search_parser *sp, struct search_node *out)
{
	int c = parse_peek(sp->p);
	enum err e;

	if (++sp->depth > SEARCH_DEPTH_MAX) {
		sp->p->why = "search keys nested too deep";
		return ERR_LIMIT;
	}
	if (ascii_is_digit(c) || c == '*' || c == '$') {
		out->kind = SEARCH_SEQ;
		e = parse_seq_set(sp->p, &out->set);
		sp->has_seqs = sp->has_seqs || !out->set.saved;
	} else if (parse_accept(sp->p, '(')) {
		e = parse_keys(sp, out);
		if (e == ERR_OK)
			e = parse_char(sp->p, ')');
	} else {
		e = parse_named_key(sp, out);
	}
	sp->depth--;
	return e;
}

enum err
parse_search_keys(struct parser *p, struct args_search *out)
{
	struct search_parser sp = { .p = p };
	enum err e = parse_keys(&sp, &out->root);

	out->has_modseq = sp.has_modseq;
	out->has_seqs = sp.has_seqs;
	return e;
}
