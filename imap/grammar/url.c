/* URLs of messages; see url.h. Called by CATENATE and by the fuzz target. Invariant: what is
 * decoded is decoded once, piece by piece, after the pieces were told apart. */
#include "imap/grammar/url.h"

/* "%20" and its kind; NUL has no place in a URL. */
static enum err
decode(struct str in, struct arena *a, struct str *out)
{
	char *to = arena_alloc(a, in.n + 1);
	size_t n = 0;

	if (to == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < in.n; i++) {
		int c = (unsigned char)in.p[i];

		if (c == '%') {
			int hi = in.n - i > 2 ? ascii_hex_value(in.p[i + 1]) : -1;
			int lo = hi >= 0 ? ascii_hex_value(in.p[i + 2]) : -1;

			if (lo < 0)
				return ERR_SYNTAX;
			c = hi * 16 + lo;
			i += 2;
		}
		if (c == 0)
			return ERR_SYNTAX;
		to[n++] = (char)c;
	}
	*out = str_n(to, n);
	return ERR_OK;
}

static bool
accept_text(struct str *s, const char *text)
{
	struct str want = str_of(text);

	if (!str_istarts(*s, want))
		return false;
	*s = str_from(*s, want.n);
	return true;
}

static enum err
take_number(struct str *s, uint64_t max, uint64_t *out)
{
	size_t n = 0;

	while (n < s->n && ascii_is_digit(s->p[n]))
		n++;
	enum err e = str_to_u64(str_sub(*s, 0, n), max, out);

	*s = str_from(*s, n);
	return e == ERR_OK ? ERR_OK : ERR_SYNTAX;
}

static enum err
take_nz32(struct str *s, uint32_t *out)
{
	uint64_t v = 0;
	enum err e = take_number(s, UINT32_MAX, &v);

	*out = (uint32_t)v;
	return e == ERR_OK && v == 0 ? ERR_SYNTAX : e;
}

/* The name of a section is what FETCH has between its brackets. */
static enum err
parse_section_name(struct str name, struct arena *a, struct section *out)
{
	static const char head[] = "1 BODY[";
	size_t n = sizeof head - 1;
	struct args_fetch fetch;
	struct parser p;
	char *text = arena_alloc(a, n + name.n + 1);

	if (text == NULL)
		return ERR_LIMIT;
	memcpy(text, head, n);
	memcpy(text + n, name.p, name.n);
	text[n + name.n] = ']';
	parser_init(&p, str_n(text, n + name.n + 1), a);
	enum err e = parse_fetch(&p, &fetch);

	if (e != ERR_OK)
		return e;
	if (p.at != p.in.n || fetch.items_count != 1 || fetch.items[0].kind != FETCH_SECTION ||
		fetch.items[0].partial)
		return ERR_SYNTAX;
	*out = fetch.items[0].section;
	return ERR_OK;
}

static enum err
take_section(struct str *s, struct arena *a, struct message_url *out)
{
	size_t n = str_find(*s, STR("/;"));
	struct str name;
	enum err e = decode(str_sub(*s, 0, n), a, &name);

	if (n == 0)
		e = ERR_SYNTAX;
	*s = str_from(*s, n);
	return e == ERR_OK ? parse_section_name(name, a, &out->section) : e;
}

static enum err
take_partial(struct str *s, struct message_url *out)
{
	out->partial = true;
	enum err e = take_number(s, INT64_MAX, &out->off);

	if (e == ERR_OK && accept_text(s, ".")) {
		e = take_number(s, INT64_MAX, &out->len);
		if (e == ERR_OK && out->len == 0)
			e = ERR_SYNTAX;
	}
	return e;
}

/* A path that begins with a word and a colon has a scheme. RFC 3986 4.2. */
static bool
has_scheme(struct str path)
{
	return str_chr(path, ':') < str_chr(path, '/');
}

/* "/Drafts;UIDVALIDITY=3/" up to ";UID=". */
static enum err
take_mailbox(struct str *s, struct arena *a, struct message_url *out)
{
	size_t n = str_chr(*s, ';');
	struct str name = str_sub(*s, 0, n);
	enum err e = ERR_OK;

	*s = str_from(*s, n);
	out->relative = name.n == 0 || name.p[0] != '/';
	if (name.n == 0)
		return ERR_OK;
	if (accept_text(s, ";UIDVALIDITY=")) {
		e = take_nz32(s, &out->uidvalidity);
		if (e == ERR_OK && !accept_text(s, "/"))
			e = ERR_SYNTAX;
	} else if (str_ends(name, STR("/"))) {
		name.n--;
	} else {
		e = ERR_SYNTAX;
	}
	if (e == ERR_OK && out->relative && (name.n == 0 || has_scheme(name)))
		e = ERR_SYNTAX;
	if (e == ERR_OK && !out->relative && (name.n < 2 || name.p[1] == '/'))
		e = ERR_SYNTAX;
	return e == ERR_OK ? decode(str_from(name, out->relative ? 0 : 1), a, &out->mailbox) : e;
}

enum err
message_url_parse(struct str url, struct arena *a, struct message_url *out)
{
	struct str s = url;

	*out = (struct message_url){ .uid = 0 };
	enum err e = take_mailbox(&s, a, out);

	if (e == ERR_OK && !accept_text(&s, ";UID="))
		e = ERR_SYNTAX;
	if (e == ERR_OK)
		e = take_nz32(&s, &out->uid);
	if (e == ERR_OK && accept_text(&s, "/;SECTION="))
		e = take_section(&s, a, out);
	if (e == ERR_OK && accept_text(&s, "/;PARTIAL="))
		e = take_partial(&s, out);
	return e == ERR_OK && s.n != 0 ? ERR_SYNTAX : e;
}
