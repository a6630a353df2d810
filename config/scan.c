/* The guard in front of libConfuse; see scan.h. One pass over the text by tokens; it knows just
 * enough grammar (name = value, name "title" { … }) to say what stands where. */
#include "config/scan.h"

#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/xalloc.h"

struct place {
	struct hmap_node node;
	struct buf key;
	unsigned line;
};

struct scan {
	const char *path;
	struct str text;
	size_t at;
	unsigned line;
	struct buf *clean, *err;
	struct hmap places;
	struct str section, title;
	unsigned section_line;	     /* 0: outside any */
	unsigned long_from, long_to; /* lines of the last text in quotes that has several */
	bool failed;
};

enum token { TOKEN_END, TOKEN_WORD, TOKEN_STRING, TOKEN_PUNCT };

static void
fail(struct scan *s, unsigned line, const char *what, struct str name)
{
	s->failed = true;
	buf_addf(s->err, "%s:%u: %s", s->path, line, what);
	if (name.n != 0)
		buf_addf(s->err, " \"%.*s\"", STR_FMT(name));
	if (s->long_from != 0)
		buf_addf(s->err,
			" (the text in quotes that begins in line %u ends in line %u: is a "
			"quote missing?)",
			s->long_from, s->long_to);
	buf_addc(s->err, '\n');
}

static int
peek(const struct scan *s, size_t ahead)
{
	return s->at + ahead < s->text.n ? (unsigned char)s->text.p[s->at + ahead] : -1;
}

/* One byte on; a comment's bytes become blanks. */
static void
advance(struct scan *s, bool blank)
{
	char c = s->text.p[s->at++];

	if (c == '\n')
		s->line++;
	buf_addc(s->clean, blank && c != '\n' ? ' ' : c);
}

static void
skip_comment(struct scan *s)
{
	unsigned from = s->line;

	if (peek(s, 0) == '/' && peek(s, 1) == '*') {
		advance(s, true);
		advance(s, true);
		while (peek(s, 0) >= 0 && !(peek(s, 0) == '*' && peek(s, 1) == '/'))
			advance(s, true);
		if (peek(s, 0) < 0) {
			fail(s, from, "comment is not closed", STR_EMPTY);
			return;
		}
		advance(s, true);
		advance(s, true);
		return;
	}
	while (peek(s, 0) >= 0 && peek(s, 0) != '\n')
		advance(s, true);
}

static void
skip_blank(struct scan *s)
{
	for (;;) {
		int c = peek(s, 0);
		if (c >= 0 && ascii_is_space(c))
			advance(s, false);
		else if (c == '#' || (c == '/' && (peek(s, 1) == '/' || peek(s, 1) == '*')))
			skip_comment(s);
		else
			return;
	}
}

static struct str
read_string(struct scan *s)
{
	int quote = peek(s, 0);
	unsigned from = s->line;

	advance(s, false);
	size_t start = s->at;

	while (peek(s, 0) >= 0 && peek(s, 0) != quote) {
		if (peek(s, 0) == '\\' && peek(s, 1) >= 0)
			advance(s, false);
		advance(s, false);
	}
	struct str body = str_sub(s->text, start, s->at - start);

	if (peek(s, 0) < 0) {
		fail(s, from, "string is not closed", STR_EMPTY);
		return body;
	}
	if (s->line != from) {
		s->long_from = from;
		s->long_to = s->line;
	}
	advance(s, false);
	return body;
}

static bool
is_word_byte(int c)
{
	return c > 0 && !ascii_is_space(c) && !ascii_is_among(c, "{}=,\"'#()+");
}

static enum token
next_token(struct scan *s, struct str *out)
{
	skip_blank(s);
	size_t start = s->at;
	int c = peek(s, 0);

	if (c < 0)
		return TOKEN_END;
	if (c == '"' || c == '\'') {
		*out = read_string(s);
		return TOKEN_STRING;
	}
	if (!is_word_byte(c)) {
		advance(s, false);
		if (c == '+' && peek(s, 0) == '=')
			advance(s, false);
		*out = str_sub(s->text, start, s->at - start);
		return TOKEN_PUNCT;
	}
	while (is_word_byte(peek(s, 0)))
		advance(s, false);
	*out = str_sub(s->text, start, s->at - start);
	return TOKEN_WORD;
}

static void
make_key(struct buf *b, struct str section, struct str title, struct str name)
{
	buf_init(b, 4096);
	buf_add(b, section);
	buf_addc(b, '\0');
	buf_add(b, title);
	buf_addc(b, '\0');
	buf_add(b, name);
}

static void
remember(struct scan *s, struct str name, unsigned line, const char *what)
{
	struct place *p = xcalloc(1, sizeof *p);

	make_key(&p->key, s->section, s->title, name);
	struct hmap_node *n = hmap_get(&s->places, buf_str(&p->key));

	if (n != NULL) {
		const struct place *first = CONTAINER_OF(n, struct place, node);
		s->failed = true;
		buf_addf(s->err, "%s:%u: %s \"%.*s\" is given twice, first in line %u\n", s->path,
			line, what, STR_FMT(name.n != 0 ? name : s->section), first->line);
		buf_fini(&p->key);
		free(p);
		return;
	}
	p->line = line;
	hmap_put(&s->places, &p->node, buf_str(&p->key));
}

/* Behind "name =": one word or string, or a list in braces. */
static void
skip_value(struct scan *s, struct str name, unsigned line)
{
	struct str t;
	enum token k = next_token(s, &t);

	if (k != TOKEN_PUNCT || !str_eq(t, STR("{")))
		return;
	do {
		k = next_token(s, &t);
		if (k == TOKEN_PUNCT && (str_eq(t, STR("=")) || str_eq(t, STR("{"))))
			break;
	} while (k != TOKEN_END && !(k == TOKEN_PUNCT && str_eq(t, STR("}"))));
	if (k == TOKEN_END || !str_eq(t, STR("}")))
		fail(s, line, "list is not closed:", name);
}

static void
open_section(struct scan *s, struct str name, struct str title, unsigned line)
{
	if (s->section_line != 0) {
		buf_addf(s->err, "%s:%u: section \"%.*s\" is not closed before this one\n", s->path,
			s->section_line, STR_FMT(s->section));
		s->failed = true;
	}
	s->section = name;
	s->title = title;
	s->section_line = line;
	remember(s, STR_EMPTY, line, "section");
}

static void
scan_word(struct scan *s, struct str name)
{
	unsigned line = s->line;
	struct str t, title = STR_EMPTY;
	enum token k = next_token(s, &t);

	if (k == TOKEN_STRING) {
		title = t;
		k = next_token(s, &t);
	}
	if (k == TOKEN_PUNCT && str_eq(t, STR("="))) {
		remember(s, name, line, "setting");
		skip_value(s, name, line);
	} else if (k == TOKEN_PUNCT && str_eq(t, STR("{"))) {
		open_section(s, name, title, line);
	} else if (k == TOKEN_PUNCT && str_eq(t, STR("+="))) {
		fail(s, line, "\"+=\" is not known here:", name);
		skip_value(s, name, line);
	} else {
		fail(s, line, "\"=\" or \"{\" is missing behind", name);
	}
}

/* Behind a value without quotes comes the rest of what was meant as one. */
static void
fail_unexpected(struct scan *s, struct str t)
{
	bool rest = !str_eq(t, STR("{")) && !str_eq(t, STR("}"));

	fail(s, s->line,
		rest ? "text with blanks or any of { } = \" , # stands in quotes, not so:"
		     : "unexpected",
		t);
}

static void
scan_text(struct scan *s)
{
	struct str t;

	for (;;) {
		switch (next_token(s, &t)) {
		case TOKEN_END:
			return;
		case TOKEN_WORD:
			scan_word(s, t);
			break;
		case TOKEN_STRING:
			fail(s, s->line, "a string where a name is due:", t);
			break;
		case TOKEN_PUNCT:
			if (str_eq(t, STR("}")) && s->section_line != 0) {
				s->section_line = 0;
				s->section = s->title = STR_EMPTY;
			} else {
				fail_unexpected(s, t);
			}
			break;
		}
		if (s->failed)
			return;
	}
}

enum err
scan_new(const char *path, struct str text, struct buf *clean_out, struct buf *err_out,
	struct scan **out)
{
	struct scan *s = xcalloc(1, sizeof *s);

	*s = (struct scan){ .path = path,
		.text = text,
		.line = 1,
		.clean = clean_out,
		.err = err_out,
		.section = STR_EMPTY,
		.title = STR_EMPTY };
	hmap_init(&s->places);
	*out = s;
	if (str_has_nul(text)) {
		fail(s, 1, "the file holds a NUL byte", STR_EMPTY);
		return ERR_SYNTAX;
	}
	scan_text(s);
	if (!s->failed && s->section_line != 0)
		fail(s, s->section_line, "section is not closed:", s->section);
	return s->failed ? ERR_SYNTAX : buf_check(clean_out);
}

void
scan_free(struct scan *s)
{
	if (s == NULL)
		return;
	for (struct hmap_node *n = hmap_next(&s->places, NULL), *next; n != NULL; n = next) {
		struct place *p = CONTAINER_OF(n, struct place, node);
		next = hmap_next(&s->places, n);
		buf_fini(&p->key);
		free(p);
	}
	hmap_fini(&s->places);
	free(s);
}

unsigned
scan_line(const struct scan *s, struct str section, struct str title, struct str name)
{
	struct buf key;

	make_key(&key, section, title, name);
	struct hmap_node *n = hmap_get(&s->places, buf_str(&key));

	buf_fini(&key);
	return n != NULL ? CONTAINER_OF(n, struct place, node)->line : 0;
}
