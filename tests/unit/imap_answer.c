/* Reads responses; see imap_answer.h. Used by the model of a client (imap_model.c). */
#include "tests/unit/imap_answer.h"

enum { DEPTH_MAX = 300, LITERAL_MAX = 1 << 30 };

static bool
take_value(struct str s, size_t *at, unsigned depth);

static bool
take_quoted(struct str s, size_t *at)
{
	for (size_t i = *at + 1; i < s.n; i++) {
		char c = s.p[i];

		if (c == '"') {
			*at = i + 1;
			return true;
		}
		if (c == '\r' || c == '\n' || c == '\0')
			return false;
		if (c != '\\')
			continue;
		i++;
		if (i == s.n || (s.p[i] != '"' && s.p[i] != '\\'))
			return false;
	}
	return false;
}

/* At the "{": "{12}" CRLF and as many octets. */
static bool
take_literal(struct str s, size_t *at)
{
	struct str from = str_from(s, *at + 1), digits, rest;
	uint32_t n;

	if (!str_cut(from, '}', &digits, &rest) || str_to_u32(digits, LITERAL_MAX, &n) != ERR_OK ||
		!str_starts(rest, STR("\r\n")) || rest.n - 2 < n)
		return false;
	*at = (size_t)(rest.p + 2 + n - s.p);
	return true;
}

/* Values with one space between them up to the closing character; between two lists there may be
 * none. */
static bool
take_values(struct str s, size_t *at, char close, unsigned depth)
{
	while (*at < s.n && s.p[*at] != close) {
		if (!take_value(s, at, depth))
			return false;
		bool list_follows = *at < s.n && s.p[*at] == '(' && s.p[*at - 1] == ')';

		if (*at >= s.n || s.p[*at] == close || list_follows)
			continue;
		if (s.p[*at] != ' ' || *at + 1 >= s.n || s.p[*at + 1] == close)
			return false;
		(*at)++;
	}
	if (*at >= s.n)
		return false;
	(*at)++;
	return true;
}

/* Only behind these a "[" is more than a character of an atom. */
static bool
has_section(struct str atom)
{
	return str_eq(atom, STR("BODY[")) || str_eq(atom, STR("BINARY[")) ||
	       str_eq(atom, STR("BINARY.SIZE["));
}

static bool
take_atom(struct str s, size_t *at, unsigned depth)
{
	size_t from = *at;

	while (*at < s.n) {
		unsigned char c = (unsigned char)s.p[*at];

		if (c == ' ' || c == '(' || c == ')' || c == ']')
			break;
		if (c < ' ' || c >= 0x7f || c == '"' || c == '{')
			return false;
		(*at)++;
		/* BODY[HEADER.FIELDS (From)]<0> */
		if (has_section(str_sub(s, from, *at - from)) && !take_values(s, at, ']', depth))
			return false;
	}
	return *at > from;
}

static bool
take_value(struct str s, size_t *at, unsigned depth)
{
	if (*at >= s.n || depth > DEPTH_MAX)
		return false;
	switch (s.p[*at]) {
	case '(':
		(*at)++;
		return take_values(s, at, ')', depth + 1);
	case '"':
		return take_quoted(s, at);
	case '{':
		return take_literal(s, at);
	case '~':
		if (*at + 1 < s.n && s.p[*at + 1] == '{') {
			(*at)++;
			return take_literal(s, at);
		}
		break;
	}
	return take_atom(s, at, depth + 1);
}

bool
answer_value(struct str *rest, struct str *value_out)
{
	size_t at = 0;

	if (!take_value(*rest, &at, 0))
		return false;
	*value_out = str_sub(*rest, 0, at);
	if (at < rest->n && rest->p[at] == ' ')
		at++;
	*rest = str_from(*rest, at);
	return true;
}

struct str
answer_inside(struct str list)
{
	return list.n >= 2 ? str_sub(list, 1, list.n - 2) : STR_EMPTY;
}

/* The end of the response: of the first line that no literal follows. */
static enum err
find_end(struct str in, size_t *end_out)
{
	size_t at = 0;

	for (;;) {
		size_t from = at;

		at += str_chr(str_from(in, at), '\n');
		if (at == in.n)
			return ERR_AGAIN;
		at++;
		if (at - from < 2 || in.p[at - 2] != '\r')
			return ERR_SYNTAX;
		struct str line = str_sub(in, from, at - from - 2);
		size_t open = str_rchr(line, '{');
		uint32_t n;

		*end_out = at;
		if (line.n == 0 || line.p[line.n - 1] != '}' || open == line.n ||
			str_to_u32(str_sub(line, open + 1, line.n - open - 2), LITERAL_MAX, &n) !=
				ERR_OK)
			return ERR_OK;
		if (in.n - at < n)
			return ERR_AGAIN;
		at += n;
	}
}

static bool
is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	return s.n != 0;
}

static bool
is_status(struct str word)
{
	static const char *const words[] = { "OK", "NO", "BAD", "BYE", "PREAUTH" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (str_eq(word, str_of(words[i])))
			return true;
	return false;
}

static enum err
read_rest(struct answer *a)
{
	size_t at = 0;

	if (is_status(a->word)) {
		struct str text = a->rest;

		if (str_starts(text, STR("["))) {
			at = 1;
			if (!take_values(text, &at, ']', 0))
				return ERR_SYNTAX;
			a->code = str_sub(text, 1, at - 2);
			if (at >= text.n || text.p[at] != ' ')
				return ERR_SYNTAX;
			text = str_from(text, at + 1);
		}
		return is_text(text) ? ERR_OK : ERR_SYNTAX;
	}
	while (at < a->rest.n) {
		if (!take_value(a->rest, &at, 0))
			return ERR_SYNTAX;
		bool list_follows =
			at < a->rest.n && a->rest.p[at] == '(' && a->rest.p[at - 1] == ')';

		if (at == a->rest.n || list_follows)
			continue;
		if (a->rest.p[at] != ' ' || at + 1 == a->rest.n)
			return ERR_SYNTAX;
		at++;
	}
	return ERR_OK;
}

enum err
answer_read(struct str in, struct answer *out)
{
	size_t end = 0;
	enum err e = find_end(in, &end);
	struct str line, word, rest;

	*out = (struct answer){ .kind = ANSWER_UNTAGGED };
	if (e != ERR_OK)
		return e;
	out->whole = str_sub(in, 0, end);
	line = str_sub(in, 0, end - 2);
	if (str_starts(line, STR("+ "))) {
		out->kind = ANSWER_CONTINUE;
		out->rest = str_from(line, 2);
		return is_text(out->rest) ? ERR_OK : ERR_SYNTAX;
	}
	if (!str_cut(line, ' ', &out->tag, &rest) || out->tag.n == 0)
		return ERR_SYNTAX;
	out->kind = str_eq(out->tag, STR("*")) ? ANSWER_UNTAGGED : ANSWER_TAGGED;
	(void)str_cut(rest, ' ', &word, &out->rest);
	if (out->kind == ANSWER_UNTAGGED && word.n != 0 && ascii_is_digit(word.p[0])) {
		out->has_number = true;
		if (str_to_u32(word, UINT32_MAX, &out->number) != ERR_OK)
			return ERR_SYNTAX;
		(void)str_cut(out->rest, ' ', &word, &out->rest);
	}
	out->word = word;
	if (word.n == 0 || (out->kind == ANSWER_TAGGED && !is_status(word)))
		return ERR_SYNTAX;
	return read_rest(out);
}
