/* Arguments of GETMETADATA and SETMETADATA; see args_metadata.h. Called through the command table,
 * and by LIST's. */
#include "imap/grammar/args_metadata.h"

/* Two parts or more for what can be set; "/private" alone can be looked below. RFC 5464 3.2. */
static bool
is_entry_name(struct str s)
{
	if (s.n < 2 || s.n > 400 || s.p[0] != '/' || s.p[s.n - 1] == '/')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= 0x19 || c >= 0x7f || c == '*' || c == '%' ||
			(c == '/' && i + 1 < s.n && s.p[i + 1] == '/'))
			return false;
	}
	return true;
}

static enum err
parse_entry(struct parser *p, struct str *out)
{
	struct str name;
	enum err e = parse_astring(p, &name);

	if (e != ERR_OK)
		return e;
	if (!is_entry_name(name))
		return parse_fail(p, "bad entry name");
	char *lower = arena_alloc(p->arena, name.n);

	if (lower == NULL)
		return parse_full(p);
	for (size_t i = 0; i < name.n; i++)
		lower[i] = (char)ascii_lower(name.p[i]);
	*out = str_n(lower, name.n);
	return ERR_OK;
}

static enum err
add_entry(struct parser *p, struct str **names, size_t *count)
{
	struct str name;
	enum err e = parse_entry(p, &name);

	return e == ERR_OK ? parse_add_str(p, names, count, METADATA_ENTRIES_MAX, name) : e;
}

enum err
parse_metadata_names(struct parser *p, struct str **names, size_t *count)
{
	if (!parse_accept(p, '('))
		return add_entry(p, names, count);
	do {
		enum err e = add_entry(p, names, count);

		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

static enum err
parse_depth(struct parser *p, struct args_metadata *out)
{
	enum err e = parse_sp(p);

	if (e != ERR_OK)
		return e;
	if (parse_accept_word(p, "0"))
		out->depth = 0;
	else if (parse_accept_word(p, "1"))
		out->depth = 1;
	else if (parse_accept_word(p, "INFINITY"))
		out->depth = METADATA_DEPTH_INFINITY;
	else
		return parse_fail(p, "DEPTH is 0, 1 or infinity");
	return ERR_OK;
}

/* Behind "(": "MAXSIZE 1024 DEPTH 1) " */
static enum err
parse_options(struct parser *p, struct args_metadata *out)
{
	enum err e;

	do {
		if (parse_accept_word(p, "MAXSIZE")) {
			out->has_maxsize = true;
			e = parse_sp(p);
			if (e == ERR_OK)
				e = parse_number(p, &out->maxsize);
		} else if (parse_accept_word(p, "DEPTH")) {
			e = parse_depth(p, out);
		} else {
			e = parse_fail(p, "unknown GETMETADATA option");
		}
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	e = parse_char(p, ')');
	return e == ERR_OK ? parse_sp(p) : e;
}

/* Options stand here: a parenthesis, and no name of an entry in it. */
static bool
at_options(const struct parser *p)
{
	struct str rest = str_from(p->in, p->at);

	return str_istarts(rest, STR("(MAXSIZE ")) || str_istarts(rest, STR("(DEPTH "));
}

enum err
parse_getmetadata(struct parser *p, struct args_metadata *out)
{
	enum err e = ERR_OK;

	*out = (struct args_metadata){ .depth = 0 };
	if (parse_accept(p, '('))
		e = parse_options(p, out);
	if (e == ERR_OK)
		e = parse_astring(p, &out->mailbox);
	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK && at_options(p)) {
		p->at++;
		e = parse_options(p, out);
	}
	return e == ERR_OK ? parse_metadata_names(p, &out->names, &out->names_count) : e;
}

enum err
parse_setmetadata(struct parser *p, struct args_metadata *out)
{
	*out = (struct args_metadata){ .depth = 0 };
	enum err e = parse_astring(p, &out->mailbox);

	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_char(p, '(');
	if (e != ERR_OK)
		return e;
	do {
		struct str value;

		e = add_entry(p, &out->names, &out->names_count);
		if (e == ERR_OK)
			e = parse_sp(p);
		if (e == ERR_OK)
			e = parse_nstring8(p, &value);
		if (e == ERR_OK)
			e = parse_add_str(
				p, &out->values, &out->values_count, METADATA_ENTRIES_MAX, value);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}
