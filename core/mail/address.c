/* Address lists; called by envelope.c, search and smtp's From check. Invariant: an address list is
 * read once from front to back: what cannot be read ends at the next comma and is marked bad, and
 * unclosed quotes and comments end with the value, so the time is linear. */
#include "core/mail/address.h"

#include "core/mail/token.h"

void
address_iter_init(struct address_iter *it, struct str value)
{
	*it = (struct address_iter){ .rest = value };
	/* Texts are at most what they are made of, and a separator for each word. */
	buf_init(&it->text, value.n * 2 + 64);
}

void
address_iter_fini(struct address_iter *it)
{
	buf_fini(&it->text);
}

/* Strings are gathered in it->text, which may move: until the end of address_next they are kept as
 * offsets. */
struct span {
	size_t off, n;
	bool set;
};

struct work {
	struct address_iter *it;
	struct str in;
	struct span name, route, local, domain;
	unsigned words; /* of the phrase */
	bool bad, broken;
};

static struct span
span_begin(struct work *w)
{
	return (struct span){ .off = w->it->text.n, .set = true };
}

static void
span_end(struct work *w, struct span *s)
{
	s->n = w->it->text.n - s->off;
}

/* raw without escapes and line ends. */
static void
add_unescaped(struct work *w, struct str raw)
{
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '\n' || (c == '\r' && i + 1 < raw.n && raw.p[i + 1] == '\n'))
			continue;
		if (c == '\\' && i + 1 < raw.n)
			c = raw.p[++i];
		buf_addc(&w->it->text, c);
	}
}

static bool
at(const struct work *w, char c)
{
	return w->in.n != 0 && w->in.p[0] == c;
}

/* One word of a phrase or local part: atom (with dots if wanted) or quoted string. False: there
 * is none. */
static bool
add_word(struct work *w, bool dots)
{
	if (at(w, '"')) {
		add_unescaped(w, token_quoted_raw(&w->in));
		return true;
	}
	struct str atom = token_atom(&w->in, dots);

	buf_add(&w->it->text, atom);
	return atom.n != 0;
}

/* phrase / obs-phrase: words with one space between them. */
static struct span
parse_phrase(struct work *w)
{
	struct span s = span_begin(w);
	bool first = true;

	token_skip_cfws(&w->in);
	while (at(w, '"') || at(w, '.') || w->in.n != 0) {
		size_t before = w->it->text.n;

		if (!first)
			buf_addc(&w->it->text, ' ');
		if (!add_word(w, true)) {
			buf_truncate(&w->it->text, before);
			break;
		}
		first = false;
		w->words++;
		token_skip_cfws(&w->in);
	}
	span_end(w, &s);
	s.set = !first;
	return s;
}

/* local-part / obs-local-part: word *("." word). Comments met on the way: *comment. */
static struct span
parse_local(struct work *w, struct str *comment)
{
	struct span s = span_begin(w);
	bool any = false;

	for (;;) {
		any |= add_word(w, false);
		token_skip_comment(&w->in, comment);
		if (!at(w, '.'))
			break;
		any = true;
		buf_addc(&w->it->text, '.');
		w->in = str_from(w->in, 1);
		token_skip_comment(&w->in, comment);
	}
	span_end(w, &s);
	s.set = any;
	return s;
}

/* "@" domain; w->in is at the "@". */
static struct span
parse_domain(struct work *w, struct str *comment)
{
	struct span s = span_begin(w);

	w->in = str_from(w->in, 1);
	token_skip_comment(&w->in, comment);
	if (at(w, '[')) {
		size_t end = str_chr(w->in, ']');

		if (end == w->in.n)
			w->bad = true;
		add_unescaped(w, str_sub(w->in, 0, end + 1));
		w->in = str_from(w->in, end + 1);
		token_skip_comment(&w->in, comment);
	} else {
		for (;;) {
			struct str atom = token_atom(&w->in, false);

			buf_add(&w->it->text, atom);
			token_skip_comment(&w->in, comment);
			if (!at(w, '.'))
				break;
			buf_addc(&w->it->text, '.');
			w->in = str_from(w->in, 1);
			token_skip_comment(&w->in, comment);
		}
	}
	span_end(w, &s);
	s.set = s.n != 0;
	return s;
}

/* obs-route: "@a,@b:"; w->in is at the first "@". */
static struct span
parse_route(struct work *w)
{
	struct str comment;
	struct span s = span_begin(w);

	for (;;) {
		if (w->it->text.n != s.off)
			buf_addc(&w->it->text, ',');
		buf_addc(&w->it->text, '@');
		(void)parse_domain(w, &comment);
		while (at(w, ',')) {
			w->in = str_from(w->in, 1);
			token_skip_cfws(&w->in);
		}
		if (!at(w, '@'))
			break;
	}
	span_end(w, &s);
	if (at(w, ':'))
		w->in = str_from(w->in, 1);
	else
		w->bad = true;
	token_skip_cfws(&w->in);
	return s;
}

/* "<" ... ">"; w->in is at the "<". */
static void
parse_angle(struct work *w)
{
	struct str comment;

	w->in = str_from(w->in, 1);
	token_skip_cfws(&w->in);
	if (at(w, '@'))
		w->route = parse_route(w);
	if (!at(w, '>'))
		w->local = parse_local(w, &comment);
	if (at(w, '@'))
		w->domain = parse_domain(w, &comment);
	if (at(w, '>'))
		w->in = str_from(w->in, 1);
	else
		w->bad = w->broken = true;
	token_skip_cfws(&w->in);
}

/* addr-spec without angle brackets; the last comment is the name, an old custom. */
static void
parse_bare(struct work *w)
{
	struct str comment = { NULL, 0 };

	token_skip_comment(&w->in, &comment);
	w->local = parse_local(w, &comment);
	if (at(w, '@'))
		w->domain = parse_domain(w, &comment);
	token_skip_comment(&w->in, &comment);
	if (comment.p != NULL && comment.n != 0) {
		w->name = span_begin(w);
		add_unescaped(w, comment);
		span_end(w, &w->name);
	}
}

/* To the "," or, in a group, ";" that ends this address. What is skipped makes it bad. */
static void
finish_mailbox(struct work *w)
{
	while (w->in.n != 0 && !at(w, ',') && !(at(w, ';') && w->it->in_group)) {
		w->bad = true;
		if (at(w, '"')) {
			(void)token_quoted_raw(&w->in);
			continue;
		}
		size_t before = w->in.n;

		token_skip_cfws(&w->in);
		if (w->in.n == before)
			w->in = str_from(w->in, 1);
	}
	if (!w->local.set || !w->domain.set)
		w->bad = true;
}

static struct str
span_str(const struct work *w, const struct span *s)
{
	if (!s->set)
		return (struct str){ NULL, 0 };
	return str_sub(buf_str(&w->it->text), s->off, s->n);
}

static void
parse_one(struct work *w, struct address *out)
{
	struct str start = w->in;
	struct span phrase = parse_phrase(w);

	if (at(w, ':') && !w->it->in_group && phrase.set) {
		w->in = str_from(w->in, 1);
		w->it->in_group = true;
		w->local = phrase;
		out->kind = ADDRESS_GROUP_START;
		out->local = span_str(w, &w->local);
		return;
	}
	if (at(w, '<')) {
		w->name = phrase;
		if (phrase.n == 0)
			w->name.set = false;
		parse_angle(w);
	} else if (w->words > 1 && !at(w, '@')) {
		/* "All Staff": a name without an address */
		w->name = phrase;
	} else {
		w->in = start;
		parse_bare(w);
	}
	finish_mailbox(w);
	*out = (struct address){
		.kind = ADDRESS_MAILBOX,
		.name = span_str(w, &w->name),
		.route = span_str(w, &w->route),
		.local = span_str(w, &w->local),
		.domain = span_str(w, &w->domain),
		.bad = w->bad,
		.broken = w->broken,
	};
}

bool
address_next(struct address_iter *it, struct address *out)
{
	struct work w = { .it = it, .in = it->rest };

	*out = (struct address){ 0 };
	buf_reset(&it->text);
	token_skip_cfws(&w.in);
	while (at(&w, ',')) {
		w.in = str_from(w.in, 1);
		token_skip_cfws(&w.in);
	}
	it->rest = w.in;
	if (it->in_group && (w.in.n == 0 || at(&w, ';'))) {
		out->kind = ADDRESS_GROUP_END;
		out->bad = w.in.n == 0;
		it->in_group = false;
		it->rest = str_from(w.in, 1);
		return true;
	}
	if (w.in.n == 0)
		return false;
	parse_one(&w, out);
	it->rest = w.in;
	return true;
}

/* --- lists ------------------------------------------------------------------------------ */

static enum err
copy_str(struct arena *a, struct str *s)
{
	return s->p == NULL ? ERR_OK : arena_str(a, *s, s);
}

static enum err
add_copy(struct address_list *l, size_t *cap, const struct address *from, struct arena *a)
{
	if (l->n == *cap) {
		size_t want = *cap == 0 ? 4 : *cap * 2;
		struct address *v = arena_calloc(a, want, sizeof *v);

		if (v == NULL)
			return ERR_LIMIT;
		if (l->n != 0)
			memcpy(v, l->v, l->n * sizeof *v);
		l->v = v;
		*cap = want;
	}
	struct address *to = &l->v[l->n];
	struct str *strings[] = { &to->name, &to->route, &to->local, &to->domain };

	*to = *from;
	for (size_t i = 0; i < 4; i++) {
		enum err e = copy_str(a, strings[i]);

		if (e != ERR_OK)
			return e;
	}
	l->n++;
	return ERR_OK;
}

enum err
address_parse_list(struct str value, size_t max, struct arena *a, struct address_list *out)
{
	struct address_iter it;
	struct address addr;
	size_t cap = 0;
	enum err e = ERR_OK;

	*out = (struct address_list){ 0 };
	address_iter_init(&it, value);
	while (e == ERR_OK && address_next(&it, &addr)) {
		if (out->n == max) {
			out->cut = true;
			break;
		}
		e = add_copy(out, &cap, &addr, a);
	}
	address_iter_fini(&it);
	return e;
}
