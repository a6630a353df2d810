/* Text reduced to one line; see gist.h. Called by preview.c. Invariant: what stands in out from
 * start on is well-formed UTF-8 of at most max characters without control characters, no white
 * space at its ends, whatever came. */
#include "core/mail/gist.h"

#include "core/base/xalloc.h"

enum {
	HTML_TEXT,
	HTML_OPEN, /* behind "<" */
	HTML_NAME,
	HTML_REST,   /* of a tag */
	HTML_MARKUP, /* <!doctype>, <?xml> */
	HTML_COMMENT,
	HTML_ENTITY,
	HTML_RAW,     /* inside script, style, title */
	HTML_RAW_END, /* behind "</" there */
};

struct cp_range {
	uint32_t lo, hi;
};

static bool
in_ranges(uint32_t cp, const struct cp_range *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (cp >= r[i].lo && cp <= r[i].hi)
			return true;
	return false;
}

static bool
is_white(uint32_t cp)
{
	static const struct cp_range white[] = { { 0x85, 0x85 }, { 0xa0, 0xa0 }, { 0x1680, 0x1680 },
		{ 0x2000, 0x200a }, { 0x2028, 0x2029 }, { 0x202f, 0x202f }, { 0x205f, 0x205f },
		{ 0x3000, 0x3000 } };

	if (cp <= ' ')
		return cp == ' ' || (cp >= '\t' && cp <= '\r');
	return cp >= 0x85 && in_ranges(cp, white, ARRAY_LEN(white));
}

/* Controls, and what is not seen: soft hyphens, marks of direction, fillers, noncharacters. */
static bool
is_ignored(uint32_t cp)
{
	static const struct cp_range ignored[] = { { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x34f, 0x34f },
		{ 0x61c, 0x61c }, { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f },
		{ 0x200b, 0x200b }, { 0x200e, 0x200f }, { 0x202a, 0x202e }, { 0x2060, 0x206f },
		{ 0x2800, 0x2800 }, { 0x3164, 0x3164 }, { 0xfdd0, 0xfdef }, { 0xfeff, 0xfeff },
		{ 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0xe0000, 0xe00ff } };

	return cp < ' ' || (cp & 0xfffe) == 0xfffe ||
	       (cp >= 0x7f && in_ranges(cp, ignored, ARRAY_LEN(ignored)));
}

/* Belongs to the character in front of it. */
static bool
is_extender(uint32_t cp)
{
	static const struct cp_range extenders[] = { { 0x300, 0x36f }, { 0x483, 0x489 },
		{ 0x591, 0x5bd }, { 0x5bf, 0x5bf }, { 0x5c1, 0x5c2 }, { 0x610, 0x61a },
		{ 0x64b, 0x65f }, { 0x900, 0x903 }, { 0x93a, 0x93c }, { 0x93e, 0x94f },
		{ 0x981, 0x983 }, { 0x9bc, 0x9cd }, { 0xa01, 0xa03 }, { 0xa3c, 0xa4d },
		{ 0xabc, 0xacd }, { 0xb3c, 0xb57 }, { 0xbbe, 0xbcd }, { 0xc3c, 0xc56 },
		{ 0xcbc, 0xcd6 }, { 0xd3b, 0xd4d }, { 0xe31, 0xe31 }, { 0xe34, 0xe3a },
		{ 0xe47, 0xe4e }, { 0xeb1, 0xeb1 }, { 0xeb4, 0xebc }, { 0x1ab0, 0x1aff },
		{ 0x1dc0, 0x1dff }, { 0x200c, 0x200d }, { 0x20d0, 0x20ff }, { 0x3099, 0x309a },
		{ 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0x1f3fb, 0x1f3ff } };

	return cp >= 0x300 && in_ranges(cp, extenders, ARRAY_LEN(extenders));
}

void
gist_init(struct gist *g, struct buf *out, unsigned max_chars, bool keep_quotes)
{
	*g = (struct gist){
		.out = out,
		.start = out->n,
		.cluster = out->n,
		.max = max_chars,
		.keep_quotes = keep_quotes,
	};
}

/* There is no room for cp: what it belongs to goes too. */
static void
fill_up(struct gist *g, bool belongs)
{
	g->full = true;
	if (!belongs)
		return;
	buf_truncate(g->out, g->cluster);
	while (g->out->n > g->start && buf_str(g->out).p[g->out->n - 1] == ' ')
		buf_truncate(g->out, g->out->n - 1);
}

static void
put(struct gist *g, uint32_t cp)
{
	bool nothing = g->out->n == g->start;

	if (g->full)
		return;
	if (is_white(cp)) {
		g->space = !nothing;
		g->joined = false;
		return;
	}
	/* A joiner joins letters; strings of them and of spaces fill the previews of other
	 * programs. */
	if (is_ignored(cp) || ((cp == 0x200c || cp == 0x200d) && (nothing || g->space)))
		return;
	bool belongs = !g->space && !nothing && (g->joined || is_extender(cp));

	if (g->chars + (g->space ? 2 : 1) > g->max) {
		fill_up(g, belongs);
		return;
	}
	if (g->space) {
		buf_addc(g->out, ' ');
		g->chars++;
		g->space = false;
	}
	if (!belongs)
		g->cluster = g->out->n;
	buf_add_utf8(g->out, cp);
	g->chars++;
	g->joined = cp == 0x200d;
}

/* The next character of *s; what is no UTF-8 is U+FFFD and one octet. */
static uint32_t
next_cp(struct str *s)
{
	const unsigned char *p = (const unsigned char *)s->p;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t cp;

	if (p[0] >= 0x80 && (n > s->n || !str_is_utf8(str_sub(*s, 0, n)))) {
		*s = str_from(*s, 1);
		return 0xfffd;
	}
	cp = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++)
		cp = cp << 6 | (p[i] & 0x3fu);
	*s = str_from(*s, n);
	return cp;
}

/* ---- plain text ---- */

void
gist_plain(struct gist *g, struct str utf8)
{
	while (utf8.n != 0 && !g->full) {
		uint32_t cp = next_cp(&utf8);

		if (cp == '\n') {
			g->in_line = g->in_quote = false;
		} else if (!g->in_line && !is_white(cp)) {
			g->in_line = true;
			g->in_quote = cp == '>' && !g->keep_quotes;
		}
		if (!g->in_quote)
			put(g, cp);
	}
}

/* ---- HTML ---- */

static bool
is_named(const struct gist *g, const char *const *names, size_t n)
{
	struct str name = str_n(g->name, g->name_n);

	for (size_t i = 0; i < n; i++)
		if (str_eq(name, str_of(names[i])))
			return true;
	return false;
}

static void
put_html(struct gist *g, uint32_t cp)
{
	if (g->quote_depth == 0 || g->keep_quotes)
		put(g, cp);
}

/* A tag has ended. */
static void
on_tag(struct gist *g)
{
	static const char *const raw[] = { "script", "style", "title", "textarea", "template" };
	static const char *const block[] = { "address", "article", "aside", "blockquote", "br",
		"center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form", "h1",
		"h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "option",
		"p", "pre", "section", "table", "tbody", "td", "th", "thead", "tr", "ul" };

	g->state = HTML_TEXT;
	if (!g->closing && is_named(g, raw, ARRAY_LEN(raw))) {
		memset(g->raw, 0, sizeof g->raw);
		memcpy(g->raw, g->name, g->name_n);
		g->state = HTML_RAW;
	}
	if (is_named(g, block, ARRAY_LEN(block)))
		put(g, ' ');
	if (!str_eq(str_n(g->name, g->name_n), STR("blockquote")))
		return;
	if (!g->closing)
		g->quote_depth++;
	else if (g->quote_depth != 0)
		g->quote_depth--;
}

/* What numbers 128 to 159 are meant to be. */
static uint32_t
numbered(uint32_t cp)
{
	static const uint16_t windows[32] = { 0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020,
		0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f, 0x90, 0x2018,
		0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153,
		0x9d, 0x17e, 0x178 };

	if (cp >= 0x80 && cp <= 0x9f)
		return windows[cp - 0x80];
	return cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff) ? 0xfffd : cp;
}

static bool
entity_number(struct str s, uint32_t *out)
{
	bool hex = s.n > 1 && (s.p[1] == 'x' || s.p[1] == 'X');
	uint32_t v = 0;

	s = str_from(s, hex ? 2 : 1);
	for (size_t i = 0; i < s.n; i++) {
		int c = ascii_lower((unsigned char)s.p[i]);

		if (!ascii_is_digit(c) && !(hex && c >= 'a' && c <= 'f'))
			return false;
		v = v * (hex ? 16 : 10) + (uint32_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
		if (v > 0x10ffff)
			v = 0x110000;
	}
	*out = numbered(v);
	return s.n != 0;
}

static bool
entity_value(struct str s, uint32_t *out)
{
	static const struct {
		const char *name;
		uint32_t cp;
	} known[] = { { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' },
		{ "apos", '\'' }, { "nbsp", 0xa0 }, { "iexcl", 0xa1 }, { "cent", 0xa2 },
		{ "pound", 0xa3 }, { "yen", 0xa5 }, { "sect", 0xa7 }, { "copy", 0xa9 },
		{ "laquo", 0xab }, { "shy", 0xad }, { "reg", 0xae }, { "deg", 0xb0 },
		{ "middot", 0xb7 }, { "raquo", 0xbb }, { "frac12", 0xbd }, { "iquest", 0xbf },
		{ "Agrave", 0xc0 }, { "Aacute", 0xc1 }, { "Acirc", 0xc2 }, { "Atilde", 0xc3 },
		{ "Auml", 0xc4 }, { "Aring", 0xc5 }, { "AElig", 0xc6 }, { "Ccedil", 0xc7 },
		{ "Egrave", 0xc8 }, { "Eacute", 0xc9 }, { "Iacute", 0xcd }, { "Ntilde", 0xd1 },
		{ "Oacute", 0xd3 }, { "Ouml", 0xd6 }, { "times", 0xd7 }, { "Oslash", 0xd8 },
		{ "Uacute", 0xda }, { "Uuml", 0xdc }, { "szlig", 0xdf }, { "agrave", 0xe0 },
		{ "aacute", 0xe1 }, { "acirc", 0xe2 }, { "atilde", 0xe3 }, { "auml", 0xe4 },
		{ "aring", 0xe5 }, { "aelig", 0xe6 }, { "ccedil", 0xe7 }, { "egrave", 0xe8 },
		{ "eacute", 0xe9 }, { "ecirc", 0xea }, { "euml", 0xeb }, { "igrave", 0xec },
		{ "iacute", 0xed }, { "icirc", 0xee }, { "iuml", 0xef }, { "ntilde", 0xf1 },
		{ "ograve", 0xf2 }, { "oacute", 0xf3 }, { "ocirc", 0xf4 }, { "otilde", 0xf5 },
		{ "ouml", 0xf6 }, { "oslash", 0xf8 }, { "ugrave", 0xf9 }, { "uacute", 0xfa },
		{ "ucirc", 0xfb }, { "uuml", 0xfc }, { "oelig", 0x153 }, { "ensp", 0x2002 },
		{ "emsp", 0x2003 }, { "thinsp", 0x2009 }, { "zwnj", 0x200c }, { "zwj", 0x200d },
		{ "lrm", 0x200e }, { "rlm", 0x200f }, { "ndash", 0x2013 }, { "mdash", 0x2014 },
		{ "lsquo", 0x2018 }, { "rsquo", 0x2019 }, { "sbquo", 0x201a }, { "ldquo", 0x201c },
		{ "rdquo", 0x201d }, { "bdquo", 0x201e }, { "bull", 0x2022 }, { "hellip", 0x2026 },
		{ "lsaquo", 0x2039 }, { "rsaquo", 0x203a }, { "euro", 0x20ac }, { "trade", 0x2122 },
		{ "larr", 0x2190 }, { "rarr", 0x2192 } };

	if (s.n != 0 && s.p[0] == '#')
		return entity_number(s, out);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(s, str_of(known[i].name))) {
			*out = known[i].cp;
			return true;
		}
	return false;
}

/* The entity ended; true when the octet that ended it is its own. */
static bool
on_entity(struct gist *g, uint32_t cp)
{
	uint32_t value;

	g->state = HTML_TEXT;
	if (entity_value(str_n(g->name, g->name_n), &value)) {
		put_html(g, value);
		return cp == ';';
	}
	put_html(g, '&');
	for (size_t i = 0; i < g->name_n; i++)
		put_html(g, (unsigned char)g->name[i]);
	return false;
}

static bool
is_name_cp(uint32_t cp)
{
	return cp < 0x80 && ascii_is_alnum((int)cp);
}

static void
add_name(struct gist *g, uint32_t cp)
{
	/* one that is longer is none of ours: kept so that it stays unequal */
	if (g->name_n < sizeof g->name)
		g->name[g->name_n++] = (char)ascii_lower((int)cp);
}

static void
html_open(struct gist *g, uint32_t cp)
{
	g->name_n = 0;
	g->quote = 0;
	g->dashes = 0;
	if (cp == '/' && !g->closing) {
		g->closing = true;
	} else if (cp < 0x80 && ascii_is_alpha((int)cp)) {
		g->state = HTML_NAME;
		add_name(g, cp);
	} else if (cp == '!' || cp == '?' || g->closing) {
		g->state = cp == '>' ? HTML_TEXT : HTML_MARKUP;
	} else {
		g->state = HTML_TEXT;
		put_html(g, '<');
		put_html(g, cp);
	}
}

static void
html_rest(struct gist *g, uint32_t cp)
{
	g->state = HTML_REST;
	if (g->quote != 0) {
		if (cp == (unsigned char)g->quote)
			g->quote = 0;
	} else if (cp == '"' || cp == '\'') {
		g->quote = (char)cp;
	} else if (cp == '>') {
		on_tag(g);
	}
}

/* "<!--" makes a comment of it. */
static void
html_markup(struct gist *g, uint32_t cp)
{
	if (cp == '>')
		g->state = HTML_TEXT;
	else if (cp == '-' && g->dashes < 2)
		g->state = ++g->dashes == 2 ? HTML_COMMENT : HTML_MARKUP;
	else
		g->dashes = 3;
}

static void
html_raw_end(struct gist *g, uint32_t cp)
{
	if (g->name_n == 0 && cp == '/' && !g->closing) {
		g->closing = true;
	} else if (g->closing && is_name_cp(cp)) {
		add_name(g, cp);
	} else if (g->closing && g->name_n == strlen(g->raw) &&
		   memcmp(g->name, g->raw, g->name_n) == 0) {
		g->quote = 0;
		html_rest(g, cp);
	} else {
		g->state = HTML_RAW;
	}
}

static void
html_text(struct gist *g, uint32_t cp)
{
	g->name_n = 0;
	if (cp == '<') {
		g->state = HTML_OPEN;
		g->closing = false;
	} else if (cp == '&') {
		g->state = HTML_ENTITY;
	} else {
		put_html(g, cp);
	}
}

static void
html_cp(struct gist *g, uint32_t cp)
{
	switch (g->state) {
	case HTML_OPEN:
		html_open(g, cp);
		return;
	case HTML_NAME:
		if (is_name_cp(cp))
			add_name(g, cp);
		else
			html_rest(g, cp);
		return;
	case HTML_REST:
		html_rest(g, cp);
		return;
	case HTML_MARKUP:
		html_markup(g, cp);
		return;
	case HTML_COMMENT:
		if (cp == '>' && g->dashes >= 2)
			g->state = HTML_TEXT;
		g->dashes = cp == '-' ? g->dashes + 1 : 0;
		return;
	case HTML_RAW:
		g->name_n = 0;
		g->closing = false;
		if (cp == '<')
			g->state = HTML_RAW_END;
		return;
	case HTML_RAW_END:
		html_raw_end(g, cp);
		return;
	case HTML_ENTITY:
		if ((is_name_cp(cp) || (cp == '#' && g->name_n == 0)) &&
			g->name_n < sizeof g->name) {
			g->name[g->name_n++] = (char)cp;
			return;
		}
		if (!on_entity(g, cp))
			html_text(g, cp);
		return;
	default:
		html_text(g, cp);
	}
}

void
gist_html(struct gist *g, struct str utf8)
{
	while (utf8.n != 0 && !g->full)
		html_cp(g, next_cp(&utf8));
}
