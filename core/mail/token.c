/* Lexical pieces of structured fields; called by the address, content, date and message-id
 * parsers. Invariant: each call moves forward or returns something empty, and no octet is looked
 * at twice by the same call. */
#include "core/mail/token.h"

/* From "(" to behind its ")"; the whole rest when it is not closed. */
static size_t
comment_length(struct str s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return s.n;
}

void
token_skip_comment(struct str *in, struct str *comment_out)
{
	size_t i = 0;

	while (i < in->n) {
		if (ascii_is_space((unsigned char)in->p[i])) {
			i++;
			continue;
		}
		if (in->p[i] != '(')
			break;
		size_t n = comment_length(str_from(*in, i));

		*comment_out = str_sub(*in, i + 1, n - 1);
		if (n >= 2 && in->p[i + n - 1] == ')')
			comment_out->n = n - 2;
		i += n;
	}
	*in = str_from(*in, i);
}

void
token_skip_cfws(struct str *in)
{
	struct str comment;

	token_skip_comment(in, &comment);
}

static struct str
take(struct str *in, size_t n)
{
	struct str s = str_sub(*in, 0, n);

	*in = str_from(*in, n);
	return s;
}

bool
token_is_atext(unsigned char c)
{
	return ascii_is_alnum(c) || c >= 0x80 || ascii_is_among(c, "!#$%&'*+-/=?^_`{|}~");
}

struct str
token_atom(struct str *in, bool dots)
{
	size_t n = 0;

	while (n < in->n && (token_is_atext((unsigned char)in->p[n]) || (dots && in->p[n] == '.')))
		n++;
	return take(in, n);
}

static bool
is_token(unsigned char c)
{
	return ascii_is_alnum(c) || c >= 0x80 ||
	       (c > ' ' && c != 127 && !ascii_is_among(c, "()<>@,;:\\\"/[]?="));
}

struct str
token_mime(struct str *in)
{
	size_t n = 0;

	while (n < in->n && is_token((unsigned char)in->p[n]))
		n++;
	return take(in, n);
}

struct str
token_param_value(struct str *in)
{
	size_t n = 0;

	while (n < in->n && !ascii_is_space((unsigned char)in->p[n]) && in->p[n] != ';' &&
		in->p[n] != '"')
		n++;
	return take(in, n);
}

struct str
token_quoted_raw(struct str *in)
{
	size_t i = 1;

	while (i < in->n && in->p[i] != '"')
		i += in->p[i] == '\\' ? 2 : 1;
	struct str raw = str_sub(*in, 1, i - 1);

	*in = str_from(*in, i + 1);
	return raw;
}

enum err
token_quoted(struct str *in, struct arena *a, struct str *out)
{
	struct str raw = token_quoted_raw(in);
	size_t n = 0;

	*out = raw;
	if (str_chr(raw, '\\') == raw.n && str_chr(raw, '\n') == raw.n)
		return ERR_OK;
	char *p = arena_alloc(a, raw.n);

	if (p == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '\n' || (c == '\r' && i + 1 < raw.n && raw.p[i + 1] == '\n'))
			continue;
		if (c == '\\' && i + 1 < raw.n)
			c = raw.p[++i];
		p[n++] = c;
	}
	*out = str_n(p, n);
	return ERR_OK;
}

size_t
token_skip_to(struct str in, char c)
{
	size_t i = 0;

	while (i < in.n && in.p[i] != c) {
		struct str rest = str_from(in, i);

		if (in.p[i] == '(') {
			i += comment_length(rest);
		} else if (in.p[i] == '"') {
			(void)token_quoted_raw(&rest);
			i = in.n - rest.n;
		} else {
			i++;
		}
	}
	return i;
}
