/* Arguments of LIST, LSUB and STATUS; see args_list.h. Called through the command table. */
#include "imap/grammar/args_list.h"

#include "core/base/xalloc.h"
#include "imap/grammar/args_metadata.h"

enum { PATTERNS_MAX = 1000 };

struct word {
	const char *name;
	unsigned bit;
};

static bool
accept_word(struct parser *p, const struct word *words, size_t n, unsigned *bits)
{
	for (size_t i = 0; i < n; i++)
		if (parse_accept_word(p, words[i].name)) {
			*bits |= words[i].bit;
			return true;
		}
	return false;
}

/* ---- STATUS ---- */

enum err
parse_status_items(struct parser *p, unsigned *items_out)
{
	static const struct word items[] = {
		{ "MESSAGES", STATUS_MESSAGES },
		{ "RECENT", STATUS_RECENT },
		{ "UIDNEXT", STATUS_UIDNEXT },
		{ "UIDVALIDITY", STATUS_UIDVALIDITY },
		{ "UNSEEN", STATUS_UNSEEN },
		{ "HIGHESTMODSEQ", STATUS_HIGHESTMODSEQ },
		{ "SIZE", STATUS_SIZE },
		{ "DELETED", STATUS_DELETED },
		{ "DELETED-STORAGE", STATUS_DELETED_STORAGE },
		{ "APPENDLIMIT", STATUS_APPENDLIMIT },
		{ "MAILBOXID", STATUS_MAILBOXID },
	};
	enum err e = parse_char(p, '(');

	*items_out = 0;
	if (e != ERR_OK)
		return e;
	do {
		if (!accept_word(p, items, ARRAY_LEN(items), items_out))
			return parse_fail(p, "unknown STATUS item");
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

enum err
parse_status(struct parser *p, struct args_status *out)
{
	*out = (struct args_status){ .items = 0 };
	enum err e = parse_astring(p, &out->mailbox);

	if (e == ERR_OK)
		e = parse_sp(p);
	return e == ERR_OK ? parse_status_items(p, &out->items) : e;
}

/* ---- LIST ---- */

/* "(SUBSCRIBED RECURSIVEMATCH)"; "()" is allowed. RFC 5258 3.1. */
static enum err
parse_select_options(struct parser *p, struct args_list *out)
{
	static const struct word options[] = {
		{ "SUBSCRIBED", LIST_SUBSCRIBED },
		{ "REMOTE", LIST_REMOTE },
		{ "RECURSIVEMATCH", LIST_RECURSIVEMATCH },
		{ "SPECIAL-USE", LIST_SPECIAL_USE },
	};
	enum err e = parse_char(p, '(');

	if (e != ERR_OK)
		return e;
	out->extended = true;
	if (parse_accept(p, ')'))
		return parse_sp(p);
	do {
		if (!accept_word(p, options, ARRAY_LEN(options), &out->select))
			return parse_fail(p, "unknown LIST option");
	} while (parse_accept(p, ' '));
	if ((out->select & LIST_RECURSIVEMATCH) != 0 &&
		(out->select & (LIST_SUBSCRIBED | LIST_SPECIAL_USE)) == 0)
		return parse_fail(p, "RECURSIVEMATCH needs something to match");
	e = parse_char(p, ')');
	return e == ERR_OK ? parse_sp(p) : e;
}

static enum err
parse_return_option(struct parser *p, struct args_list *out)
{
	static const struct word options[] = {
		{ "SUBSCRIBED", LIST_SUBSCRIBED },
		{ "CHILDREN", LIST_CHILDREN },
		{ "SPECIAL-USE", LIST_SPECIAL_USE },
	};

	if (accept_word(p, options, ARRAY_LEN(options), &out->returns))
		return ERR_OK;
	if (parse_accept_word(p, "METADATA")) {
		out->returns |= LIST_METADATA;
		enum err e = parse_sp(p);

		return e == ERR_OK ? parse_metadata_names(p, &out->entries, &out->entries_count)
				   : e;
	}
	if (!parse_accept_word(p, "STATUS"))
		return parse_fail(p, "unknown LIST option");
	out->returns |= LIST_STATUS;
	enum err e = parse_sp(p);

	return e == ERR_OK ? parse_status_items(p, &out->status) : e;
}

/* " RETURN (CHILDREN)"; RFC 5258 3.2. */
static enum err
parse_returns(struct parser *p, struct args_list *out)
{
	if (!parse_accept_word(p, "RETURN"))
		return parse_fail(p, "RETURN expected");
	enum err e = parse_sp(p);

	if (e == ERR_OK)
		e = parse_char(p, '(');
	out->extended = true;
	if (e != ERR_OK || parse_accept(p, ')'))
		return e;
	do {
		e = parse_return_option(p, out);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

static enum err
parse_pattern(struct parser *p, struct args_list *out)
{
	struct str pattern;
	enum err e = parse_list_mailbox(p, &pattern);

	if (e == ERR_OK)
		e = parse_add_str(p, &out->patterns, &out->patterns_count, PATTERNS_MAX, pattern);
	return e;
}

/* "*", or "(INBOX Drafts Sent/%)" */
static enum err
parse_patterns(struct parser *p, struct args_list *out)
{
	if (!parse_accept(p, '('))
		return parse_pattern(p, out);
	out->extended = true;
	do {
		enum err e = parse_pattern(p, out);

		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

enum err
parse_list(struct parser *p, struct args_list *out)
{
	enum err e = ERR_OK;

	*out = (struct args_list){ .select = 0 };
	if (parse_peek(p) == '(')
		e = parse_select_options(p, out);
	if (e == ERR_OK)
		e = parse_astring(p, &out->reference);
	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_patterns(p, out);
	if (e != ERR_OK || !parse_accept(p, ' '))
		return e;
	return parse_returns(p, out);
}

enum err
parse_lsub(struct parser *p, struct args_list *out)
{
	*out = (struct args_list){ .select = 0 };
	enum err e = parse_astring(p, &out->reference);

	if (e == ERR_OK)
		e = parse_sp(p);
	return e == ERR_OK ? parse_pattern(p, out) : e;
}
