/* BODYSTRUCTURE and BODY text; called by the store once for each message. Invariant: no recursion;
 * the text has one balanced list for any table of parts. */
#include "core/mail/bodystructure.h"

#include "core/mail/content.h"
#include "core/mail/envelope.h"
#include "core/mail/imaptext.h"

/* Of the fields of one part; more is not shown. */
enum { SCRATCH_MAX = 16 * 1024 * 1024 };

struct writer {
	struct buf *out;
	const struct mime *m;
	struct str msg;
	struct arena *arena; /* of the part being written */
	bool extended;
};

static void
add_params(struct buf *out, const struct content_params *ps, bool default_charset)
{
	bool charset = !default_charset;

	for (size_t i = 0; i < ps->n; i++)
		charset |= str_ieq(ps->v[i].name, STR("charset"));
	if (ps->n == 0 && charset) {
		buf_addz(out, "NIL");
		return;
	}
	buf_addc(out, '(');
	for (size_t i = 0; i < ps->n; i++) {
		if (i != 0)
			buf_addc(out, ' ');
		imaptext_string(out, ps->v[i].name);
		buf_addc(out, ' ');
		imaptext_string(out, ps->v[i].value);
	}
	if (!charset) {
		if (ps->n != 0)
			buf_addc(out, ' ');
		buf_addz(out, "\"charset\" \"us-ascii\"");
	}
	buf_addc(out, ')');
}

/* " disposition language location" */
static void
add_extension(struct writer *w, const struct content *c)
{
	struct buf *out = w->out;

	if (c->disposition.n != 0) {
		buf_addz(out, " (");
		imaptext_string(out, c->disposition);
		buf_addc(out, ' ');
		add_params(out, &c->disposition_params, false);
		buf_addc(out, ')');
	} else {
		buf_addz(out, " NIL");
	}
	buf_addz(out, c->language_count == 0 ? " NIL" : " (");
	for (size_t i = 0; i < c->language_count; i++) {
		if (i != 0)
			buf_addc(out, ' ');
		imaptext_string(out, c->languages[i]);
	}
	if (c->language_count != 0)
		buf_addc(out, ')');
	buf_addc(out, ' ');
	imaptext_nstring(out, c->location);
}

/* The Content- fields of part i, into the arena, which forgets those of the part before. */
static enum err
read_content(struct writer *w, uint32_t i, struct content *c)
{
	const struct mime_part *p = &w->m->parts[i];

	*c = (struct content){ 0 };
	arena_reset(w->arena);
	if (!p->is_mime)
		return ERR_OK;
	return content_parse(c, mime_header(p, w->msg), w->arena);
}

/* "type subtype params". A container that is not one (no boundary, or below a limit) must not
 * be named as such: clients would expect what is inside. */
static void
add_type(struct buf *out, const struct mime_part *p, const struct content *c)
{
	bool multipart = str_ieq(c->type, STR("multipart"));
	bool message = str_ieq(c->type, STR("message")) &&
		       (str_ieq(c->subtype, STR("rfc822")) || str_ieq(c->subtype, STR("global")));

	if (p->kind == MIME_TEXT && (c->type.n == 0 || multipart)) {
		buf_addz(out, "\"text\" \"plain\" (\"charset\" \"us-ascii\")");
		return;
	}
	if (p->kind == MIME_LEAF && (multipart || message)) {
		buf_addz(out, "\"application\" \"octet-stream\" ");
	} else if (c->type.n == 0) {
		buf_addz(out, "\"message\" \"rfc822\" ");
	} else {
		imaptext_string(out, c->type);
		buf_addc(out, ' ');
		imaptext_string(out, c->subtype);
		buf_addc(out, ' ');
	}
	add_params(out, &c->params, p->kind == MIME_TEXT);
}

/* "(type subtype params id description encoding size" */
static void
add_basic(struct writer *w, const struct mime_part *p, const struct content *c)
{
	struct buf *out = w->out;

	buf_addc(out, '(');
	add_type(out, p, c);
	buf_addc(out, ' ');
	imaptext_nstring(out, c->id);
	buf_addc(out, ' ');
	imaptext_nstring(out, c->description);
	buf_addc(out, ' ');
	imaptext_string(out, c->encoding.n != 0 ? c->encoding : STR("7bit"));
	buf_addc(out, ' ');
	buf_addu(out, p->body_len);
}

static void
add_md5_and_extension(struct writer *w, const struct content *c)
{
	if (!w->extended)
		return;
	buf_addc(w->out, ' ');
	imaptext_nstring(w->out, c->md5);
	add_extension(w, c);
}

/* What comes before the parts inside part i; all of it when it has none. */
static enum err
open_part(struct writer *w, uint32_t i)
{
	const struct mime_part *p = &w->m->parts[i];
	struct content c;

	if (p->kind == MIME_MULTIPART) {
		buf_addc(w->out, '(');
		/* the grammar wants a part */
		if (p->child_count == 0)
			buf_addz(w->out,
				w->extended
					? "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL "
					  "\"7bit\" 0 0 NIL NIL NIL NIL)"
					: "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL "
					  "\"7bit\" 0 0)");
		return ERR_OK;
	}
	enum err e = read_content(w, i, &c);

	if (e != ERR_OK)
		return e;
	add_basic(w, p, &c);
	if (p->kind == MIME_MESSAGE && p->child_count != 0) {
		buf_addc(w->out, ' ');
		e = envelope_format(w->out, mime_header(&w->m->parts[i + 1], w->msg));
		buf_addc(w->out, ' ');
		return e;
	}
	if (p->kind == MIME_TEXT) {
		buf_addc(w->out, ' ');
		buf_addu(w->out, p->body_lines);
	}
	add_md5_and_extension(w, &c);
	buf_addc(w->out, ')');
	return ERR_OK;
}

/* What comes behind the parts inside part i. */
static enum err
close_part(struct writer *w, uint32_t i)
{
	const struct mime_part *p = &w->m->parts[i];
	struct content c;
	enum err e = read_content(w, i, &c);

	if (e != ERR_OK)
		return e;
	buf_addc(w->out, ' ');
	if (p->kind == MIME_MESSAGE) {
		buf_addu(w->out, p->body_lines);
		add_md5_and_extension(w, &c);
	} else {
		imaptext_string(w->out, c.subtype);
		if (w->extended) {
			buf_addc(w->out, ' ');
			add_params(w->out, &c.params, false);
			add_extension(w, &c);
		}
	}
	buf_addc(w->out, ')');
	return ERR_OK;
}

static bool
is_container(const struct mime_part *p)
{
	return p->kind == MIME_MULTIPART || (p->kind == MIME_MESSAGE && p->child_count != 0);
}

static enum err
write_all(struct writer *w)
{
	uint32_t i = 0;

	for (;;) {
		enum err e = open_part(w, i);

		if (e != ERR_OK)
			return e;
		if (w->m->parts[i].child_count != 0) {
			i++;
			continue;
		}
		if (is_container(&w->m->parts[i]))
			e = close_part(w, i);
		while (e == ERR_OK && w->m->parts[i].next == MIME_NONE) {
			i = w->m->parts[i].parent;
			if (i == MIME_NONE)
				return ERR_OK;
			e = close_part(w, i);
		}
		if (e != ERR_OK)
			return e;
		i = w->m->parts[i].next;
	}
}

enum err
bodystructure_format(struct buf *out, const struct mime *m, struct str msg, bool extended)
{
	struct writer w = { .out = out, .m = m, .msg = msg, .extended = extended };

	w.arena = arena_new(SCRATCH_MAX);
	enum err e = write_all(&w);

	arena_free(w.arena);
	return e == ERR_OK ? buf_check(out) : e;
}

/* --- BODY out of BODYSTRUCTURE ---------------------------------------------------------- */

/* Octets of the string or literal that s begins with; 0: none there. */
static size_t
string_length(struct str s)
{
	if (s.p[0] == '"') {
		for (size_t i = 1; i < s.n; i++) {
			if (s.p[i] == '\\')
				i++;
			else if (s.p[i] == '"')
				return i + 1;
		}
		return 0;
	}
	size_t end = str_chr(s, '}');
	uint64_t n;

	if (s.p[0] != '{' || s.n - end < 3 ||
		str_to_u64(str_sub(s, 1, end - 1), s.n, &n) != ERR_OK || n > s.n - end - 3)
		return 0;
	return end + 3 + n;
}

/* Octets of the one value (list, string, number, NIL) that s begins with; 0: none there. */
static size_t
value_length(struct str s)
{
	size_t i = 0, depth = 0;

	while (i < s.n) {
		struct str rest = str_from(s, i);

		if (s.p[i] == '"' || s.p[i] == '{') {
			size_t n = string_length(rest);

			if (n == 0)
				return 0;
			i += n;
		} else if (s.p[i] == '(') {
			depth++;
			i++;
		} else if (s.p[i] == ')') {
			if (depth == 0)
				return 0;
			depth--;
			i++;
		} else if (s.p[i] == ' ') {
			if (depth == 0)
				return 0;
			i++;
			continue;
		} else {
			while (i < s.n && ascii_is_alnum((unsigned char)s.p[i]))
				i++;
			if (rest.n == s.n - i)
				return 0;
		}
		if (depth == 0)
			return i;
	}
	return 0;
}

/* Copy n values with the spaces between them. */
static bool
copy_values(struct buf *out, struct str *in, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (i != 0) {
			if (in->n == 0 || in->p[0] != ' ')
				return false;
			buf_addc(out, ' ');
			*in = str_from(*in, 1);
		}
		size_t k = in->n != 0 ? value_length(*in) : 0;

		if (k == 0)
			return false;
		buf_add(out, str_sub(*in, 0, k));
		*in = str_from(*in, k);
	}
	return true;
}

/* Leave out values up to the ")" and copy that. */
static bool
drop_rest(struct buf *out, struct str *in)
{
	while (in->n != 0 && in->p[0] == ' ') {
		size_t k = value_length(str_from(*in, 1));

		if (k == 0)
			return false;
		*in = str_from(*in, k + 1);
	}
	if (in->n == 0 || in->p[0] != ')')
		return false;
	buf_addc(out, ')');
	*in = str_from(*in, 1);
	return true;
}

enum inside { IN_MULTIPART, IN_MESSAGE };

/* A part's own list, or its beginning when it holds others: then *opened and, in *what, which. */
static bool
convert_open(struct buf *out, struct str *in, bool *opened, enum inside *what)
{
	*opened = false;
	if (in->n < 2 || in->p[0] != '(')
		return false;
	buf_addc(out, '(');
	*in = str_from(*in, 1);
	if (in->p[0] == '(') {
		*opened = true;
		*what = IN_MULTIPART;
		return true;
	}
	if (!copy_values(out, in, 7))
		return false;
	if (in->n >= 2 && in->p[0] == ' ' && in->p[1] == '(') {
		*opened = true;
		*what = IN_MESSAGE;
	} else if (in->n < 2 || in->p[0] != ' ' || !ascii_is_digit((unsigned char)in->p[1])) {
		return drop_rest(out, in);
	}
	buf_addc(out, ' ');
	*in = str_from(*in, 1);
	if (!copy_values(out, in, 1))
		return false;
	if (!*opened)
		return drop_rest(out, in);
	if (in->n == 0 || in->p[0] != ' ')
		return false;
	buf_addc(out, ' ');
	*in = str_from(*in, 1);
	return true;
}

enum err
bodystructure_to_body(struct buf *out, struct str in)
{
	enum inside stack[MIME_DEPTH_MAX + 1];
	size_t depth = 0;

	for (;;) {
		bool opened;

		if (depth == sizeof stack / sizeof *stack ||
			!convert_open(out, &in, &opened, &stack[depth]))
			return ERR_CORRUPT;
		depth += opened;
		if (opened)
			continue;
		while (depth != 0 &&
			!(stack[depth - 1] == IN_MULTIPART && in.n != 0 && in.p[0] == '(')) {
			if (in.n == 0 || in.p[0] != ' ')
				return ERR_CORRUPT;
			buf_addc(out, ' ');
			in = str_from(in, 1);
			if (!copy_values(out, &in, 1) || !drop_rest(out, &in))
				return ERR_CORRUPT;
			depth--;
		}
		if (depth == 0)
			return in.n == 0 ? buf_check(out) : ERR_CORRUPT;
	}
}
