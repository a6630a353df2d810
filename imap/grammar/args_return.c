/* What stands before the keys of SEARCH, SORT and THREAD; see args_search.h. Called through the
 * table. */
#include "core/base/xalloc.h"
#include "imap/grammar/args_search.h"

static enum err
parse_option(struct parser *p, struct args_search *out)
{
	static const struct {
		const char *name;
		unsigned bit;
	} options[] = {
		{ "MIN", RETURN_MIN },
		{ "MAX", RETURN_MAX },
		{ "ALL", RETURN_ALL },
		{ "COUNT", RETURN_COUNT },
		{ "SAVE", RETURN_SAVE },
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (!parse_accept_word(p, options[i].name))
			continue;
		out->want |= options[i].bit;
		return ERR_OK;
	}
	if (!parse_accept_word(p, "PARTIAL"))
		return parse_fail(p, "unknown return option");
	if ((out->want & RETURN_PARTIAL) != 0)
		return parse_fail(p, "PARTIAL stands twice");
	out->want |= RETURN_PARTIAL;
	enum err e = parse_sp(p);

	return e == ERR_OK ? parse_partial_range(p, &out->partial) : e;
}

/* "RETURN (...) ", or nothing. */
static enum err
parse_return(struct parser *p, struct args_search *out)
{
	enum err e;

	*out = (struct args_search){ .charset = STR_EMPTY };
	if (parse_accept_word(p, "RETURN")) {
		out->has_return = true;
		e = parse_sp(p);
		if (e == ERR_OK)
			e = parse_char(p, '(');
		if (e != ERR_OK)
			return e;
		if (parse_peek(p) != ')') {
			do
				e = parse_option(p, out);
			while (e == ERR_OK && parse_accept(p, ' '));
		}
		if (e == ERR_OK)
			e = parse_char(p, ')');
		if (e == ERR_OK)
			e = parse_sp(p);
		if (e != ERR_OK)
			return e;
	}
	if ((out->want & RETURN_PARTIAL) != 0 && (out->want & RETURN_ALL) != 0)
		return parse_fail(p, "PARTIAL and ALL exclude each other");
	if (out->want == 0)
		out->want = RETURN_ALL;
	return ERR_OK;
}

/* The charset and the space behind it. */
static enum err
parse_charset(struct parser *p, struct args_search *out)
{
	enum err e = parse_astring(p, &out->charset);

	if (e == ERR_OK && out->charset.n == 0)
		e = parse_fail(p, "charset expected");
	return e == ERR_OK ? parse_sp(p) : e;
}

enum err
parse_search(struct parser *p, struct args_search *out)
{
	enum err e = parse_return(p, out);

	if (e == ERR_OK && parse_accept_word(p, "CHARSET")) {
		e = parse_sp(p);
		if (e == ERR_OK)
			e = parse_charset(p, out);
	}
	return e == ERR_OK ? parse_search_keys(p, out) : e;
}

static enum err
parse_criterion(struct parser *p, struct args_search *out)
{
	static const struct {
		const char *name;
		enum sort_kind kind;
	} kinds[] = {
		{ "ARRIVAL", SORT_ARRIVAL },
		{ "CC", SORT_CC },
		{ "DATE", SORT_DATE },
		{ "DISPLAYFROM", SORT_DISPLAYFROM },
		{ "DISPLAYTO", SORT_DISPLAYTO },
		{ "FROM", SORT_FROM },
		{ "SIZE", SORT_SIZE },
		{ "SUBJECT", SORT_SUBJECT },
		{ "TO", SORT_TO },
	};
	struct sort_criterion c = { .reverse = parse_accept_word(p, "REVERSE") };
	enum err e = c.reverse ? parse_sp(p) : ERR_OK;
	struct str word;

	if (e == ERR_OK)
		e = parse_atom(p, &word);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!str_ieq(word, str_of(kinds[i].name)))
			continue;
		if (out->sort_count == SORT_CRITERIA_MAX)
			return parse_full(p);
		c.kind = kinds[i].kind;
		out->sort[out->sort_count++] = c;
		return ERR_OK;
	}
	return parse_fail(p, "unknown sort key");
}

enum err
parse_sort(struct parser *p, struct args_search *out)
{
	enum err e = parse_return(p, out);

	if (e == ERR_OK)
		e = parse_char(p, '(');
	if (e != ERR_OK)
		return e;
	do
		e = parse_criterion(p, out);
	while (e == ERR_OK && parse_accept(p, ' '));
	if (e == ERR_OK)
		e = parse_char(p, ')');
	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_charset(p, out);
	return e == ERR_OK ? parse_search_keys(p, out) : e;
}

enum err
parse_thread(struct parser *p, struct args_search *out)
{
	*out = (struct args_search){ .want = RETURN_ALL, .is_thread = true };
	if (parse_accept_word(p, "REFERENCES"))
		out->algorithm = THREAD_REFERENCES;
	else if (parse_accept_word(p, "ORDEREDSUBJECT"))
		out->algorithm = THREAD_ORDEREDSUBJECT;
	else
		return parse_fail(p, "unknown threading algorithm");
	enum err e = parse_sp(p);

	if (e == ERR_OK)
		e = parse_charset(p, out);
	return e == ERR_OK ? parse_search_keys(p, out) : e;
}
