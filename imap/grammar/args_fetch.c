/* Arguments of FETCH and STORE; see args_fetch.h. Called through the command table. */
#include "imap/grammar/args_fetch.h"

#include "core/base/xalloc.h"

enum { ITEMS_MAX = 100, PARTS_MAX = 100, FIELDS_MAX = 1000 };

/* "(Subject From)" */
static enum err
parse_header_list(struct parser *p, struct section *s)
{
	enum err e = parse_char(p, '(');

	while (e == ERR_OK) {
		struct str name;

		e = parse_astring(p, &name);
		if (e == ERR_OK)
			e = parse_add_str(p, &s->fields, &s->fields_count, FIELDS_MAX, name);
		if (e == ERR_OK && !parse_accept(p, ' '))
			return parse_char(p, ')');
	}
	return e;
}

static enum err
parse_section_text(struct parser *p, struct section *s)
{
	bool fields = false;

	if (parse_accept_word(p, "HEADER")) {
		s->kind = SECTION_HEADER;
	} else if (parse_accept_word(p, "HEADER.FIELDS")) {
		s->kind = SECTION_FIELDS;
		fields = true;
	} else if (parse_accept_word(p, "HEADER.FIELDS.NOT")) {
		s->kind = SECTION_FIELDS_NOT;
		fields = true;
	} else if (parse_accept_word(p, "TEXT")) {
		s->kind = SECTION_TEXT;
	} else if (s->path.n != 0 && parse_accept_word(p, "MIME")) {
		s->kind = SECTION_MIME;
	} else {
		return parse_fail(p, "unknown section");
	}
	if (!fields)
		return ERR_OK;
	enum err e = parse_sp(p);

	return e == ERR_OK ? parse_header_list(p, s) : e;
}

/* "1.2.HEADER.FIELDS (Subject)" between the brackets. */
static enum err
parse_section(struct parser *p, struct section *s)
{
	size_t from = p->at, parts = 0;

	while (ascii_is_digit(parse_peek(p))) {
		uint32_t n;
		enum err e = parse_nz_number(p, &n);

		if (e != ERR_OK)
			return e;
		if (++parts > PARTS_MAX)
			return parse_full(p);
		s->path = str_sub(p->in, from, p->at - from);
		if (!parse_accept(p, '.'))
			return ERR_OK;
		if (!ascii_is_digit(parse_peek(p)))
			return parse_section_text(p, s);
	}
	return parse_peek(p) == ']' ? ERR_OK : parse_section_text(p, s);
}

/* "<0.1000>" behind a section. */
static enum err
parse_octets(struct parser *p, struct fetch_item *item)
{
	if (!parse_accept(p, '<'))
		return ERR_OK;
	item->partial = true;
	enum err e = parse_number64(p, &item->off);

	if (e == ERR_OK)
		e = parse_accept(p, '.') ? parse_number64(p, &item->len)
					 : parse_fail(p, ". expected");
	if (e == ERR_OK && item->len == 0)
		e = parse_fail(p, "number above 0 expected");
	if (e == ERR_OK && !parse_accept(p, '>'))
		e = parse_fail(p, "> expected");
	return e;
}

static const struct {
	const char *name;
	enum fetch_kind kind;
} fetch_names[] = {
	{ "UID", FETCH_UID },
	{ "FLAGS", FETCH_FLAGS },
	{ "INTERNALDATE", FETCH_INTERNALDATE },
	{ "RFC822.SIZE", FETCH_SIZE },
	{ "ENVELOPE", FETCH_ENVELOPE },
	{ "BODYSTRUCTURE", FETCH_BODYSTRUCTURE },
	{ "RFC822.HEADER", FETCH_RFC822_HEADER },
	{ "RFC822.TEXT", FETCH_RFC822_TEXT },
	{ "RFC822", FETCH_RFC822 },
	{ "MODSEQ", FETCH_MODSEQ },
	{ "SAVEDATE", FETCH_SAVEDATE },
	{ "EMAILID", FETCH_EMAILID },
	{ "THREADID", FETCH_THREADID },
	{ "PREVIEW", FETCH_PREVIEW },
};

static enum err
add_item(struct parser *p, struct args_fetch *out, const struct fetch_item *item)
{
	if (out->items_count == ITEMS_MAX)
		return parse_full(p);
	out->items[out->items_count++] = *item;
	return ERR_OK;
}

static enum err
parse_body_item(struct parser *p, struct fetch_item *item)
{
	item->kind = FETCH_BODY;
	if (!parse_accept(p, '['))
		return item->peek ? parse_fail(p, "[ expected") : ERR_OK;
	item->kind = FETCH_SECTION;
	enum err e = parse_section(p, &item->section);

	if (e == ERR_OK)
		e = parse_char(p, ']');
	return e == ERR_OK ? parse_octets(p, item) : e;
}

/* Part numbers only: what names headers or text is not there for BINARY. RFC 3516 4.2. */
static enum err
parse_binary_item(struct parser *p, struct fetch_item *item)
{
	enum err e = parse_char(p, '[');

	if (e == ERR_OK)
		e = parse_section(p, &item->section);
	if (e == ERR_OK && item->section.kind != SECTION_ALL)
		return parse_fail(p, "part number expected");
	if (e == ERR_OK)
		e = parse_char(p, ']');
	return e == ERR_OK && item->kind == FETCH_BINARY ? parse_octets(p, item) : e;
}

/* What RFC822 and its kin mean in sections; they keep their own names in the answer. */
static void
set_old_section(struct fetch_item *item)
{
	if (item->kind == FETCH_RFC822_HEADER) {
		item->section.kind = SECTION_HEADER;
		item->peek = true;
	} else if (item->kind == FETCH_RFC822_TEXT) {
		item->section.kind = SECTION_TEXT;
	}
}

/* '[' ends an atom here although it is an atom's character elsewhere. */
static bool
accept_body(struct parser *p, const char *word)
{
	size_t n = strlen(word);
	struct str s = str_from(p->in, p->at);

	if (!str_ieq(str_sub(s, 0, n), str_n(word, n)))
		return false;
	if (s.n > n && s.p[n] != '[' && s.p[n] != ' ' && s.p[n] != ')' && s.p[n] != '\r' &&
		s.p[n] != '\n')
		return false;
	p->at += n;
	return true;
}

/* BINARY and its kin; false: something else. */
static bool
accept_binary(struct parser *p, struct fetch_item *item)
{
	if (accept_body(p, "BINARY.SIZE")) {
		item->kind = FETCH_BINARY_SIZE;
		item->peek = true;
		return true;
	}
	item->peek = accept_body(p, "BINARY.PEEK");
	item->kind = FETCH_BINARY;
	return item->peek || accept_body(p, "BINARY");
}

/* What may stand behind PREVIEW: previews are made when messages come in, so that LAZY changes
 * nothing. Another parenthesis is FETCH's own. RFC 8970 3.1. */
static enum err
parse_preview_modifiers(struct parser *p)
{
	if (!str_istarts(str_from(p->in, p->at), STR(" (LAZY")))
		return ERR_OK;
	p->at += 2;
	do {
		if (!parse_accept_word(p, "LAZY"))
			return parse_fail(p, "unknown PREVIEW modifier");
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

static enum err
parse_fetch_att(struct parser *p, struct args_fetch *out)
{
	struct fetch_item item = { .peek = false };
	enum err binary;

	if (accept_binary(p, &item)) {
		binary = parse_binary_item(p, &item);
		return binary == ERR_OK ? add_item(p, out, &item) : binary;
	}
	if (accept_body(p, "BODY.PEEK"))
		item.peek = true;
	if (item.peek || accept_body(p, "BODY")) {
		enum err e = parse_body_item(p, &item);

		return e == ERR_OK ? add_item(p, out, &item) : e;
	}
	for (size_t i = 0; i < ARRAY_LEN(fetch_names); i++) {
		if (!parse_accept_word(p, fetch_names[i].name))
			continue;
		item.kind = fetch_names[i].kind;
		set_old_section(&item);
		enum err e = item.kind == FETCH_PREVIEW ? parse_preview_modifiers(p) : ERR_OK;

		return e == ERR_OK ? add_item(p, out, &item) : e;
	}
	return parse_fail(p, "unknown FETCH item");
}

static bool
parse_fetch_macro(struct parser *p, struct args_fetch *out)
{
	static const enum fetch_kind macro[] = { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE,
		FETCH_ENVELOPE, FETCH_BODY };
	size_t n = 0;

	if (parse_accept_word(p, "FAST"))
		n = 3;
	else if (parse_accept_word(p, "ALL"))
		n = 4;
	else if (parse_accept_word(p, "FULL"))
		n = 5;
	for (size_t i = 0; i < n; i++)
		out->items[out->items_count++] = (struct fetch_item){ .kind = macro[i] };
	return n != 0;
}

/* Behind "(". */
static enum err
parse_fetch_list(struct parser *p, struct args_fetch *out)
{
	do {
		enum err e = parse_fetch_att(p, out);

		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

static enum err
parse_fetch_items(struct parser *p, struct args_fetch *out)
{
	if (parse_fetch_macro(p, out))
		return ERR_OK;
	return parse_accept(p, '(') ? parse_fetch_list(p, out) : parse_fetch_att(p, out);
}

enum err
parse_fetch_atts(struct parser *p, struct args_fetch *out)
{
	*out = (struct args_fetch){ 0 };
	enum err e = parse_char(p, '(');

	if (e != ERR_OK)
		return e;
	out->items = arena_calloc(p->arena, ITEMS_MAX, sizeof *out->items);
	return out->items != NULL ? parse_fetch_list(p, out) : parse_full(p);
}

static enum err
parse_fetch_modifier(struct parser *p, struct args_fetch *out)
{
	enum err e;

	if (parse_accept_word(p, "VANISHED")) {
		out->vanished = true;
		return ERR_OK;
	}
	if (parse_accept_word(p, "PARTIAL")) {
		if (out->has_partial)
			return parse_fail(p, "PARTIAL given twice");
		out->has_partial = true;
		e = parse_sp(p);
		return e == ERR_OK ? parse_partial_range(p, &out->partial) : e;
	}
	if (!parse_accept_word(p, "CHANGEDSINCE"))
		return parse_fail(p, "unknown FETCH modifier");
	if (out->has_changed_since)
		return parse_fail(p, "CHANGEDSINCE given twice");
	out->has_changed_since = true;
	e = parse_sp(p);
	return e == ERR_OK ? parse_number64(p, &out->changed_since) : e;
}

/* "(CHANGEDSINCE 12 VANISHED PARTIAL 1:100)" */
static enum err
parse_fetch_modifiers(struct parser *p, struct args_fetch *out)
{
	enum err e = parse_char(p, '(');

	if (e != ERR_OK)
		return e;
	do {
		e = parse_fetch_modifier(p, out);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	e = parse_char(p, ')');
	if (e == ERR_OK && out->vanished && !out->has_changed_since)
		return parse_fail(p, "VANISHED needs CHANGEDSINCE");
	if (e != ERR_OK || !out->has_changed_since)
		return e;
	for (size_t i = 0; i < out->items_count; i++)
		if (out->items[i].kind == FETCH_MODSEQ)
			return ERR_OK;
	return add_item(p, out, &(struct fetch_item){ .kind = FETCH_MODSEQ });
}

enum err
parse_fetch(struct parser *p, struct args_fetch *out)
{
	*out = (struct args_fetch){ 0 };
	enum err e = parse_seq_set(p, &out->set);

	if (e == ERR_OK)
		e = parse_sp(p);
	if (e != ERR_OK)
		return e;
	out->items = arena_calloc(p->arena, ITEMS_MAX, sizeof *out->items);
	if (out->items == NULL)
		return parse_full(p);
	e = parse_fetch_items(p, out);
	if (e == ERR_OK && parse_accept(p, ' '))
		e = parse_fetch_modifiers(p, out);
	return e;
}

/* ---- STORE ---- */

/* Behind the parenthesis: "UNCHANGEDSINCE 12) " */
static enum err
parse_store_modifiers(struct parser *p, struct args_store *out)
{
	enum err e;

	if (!parse_accept_word(p, "UNCHANGEDSINCE"))
		return parse_fail(p, "unknown STORE modifier");
	out->conditional = true;
	e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_number64(p, &out->unchanged_since);
	if (e == ERR_OK)
		e = parse_char(p, ')');
	return e == ERR_OK ? parse_sp(p) : e;
}

enum err
parse_store(struct parser *p, struct args_store *out)
{
	*out = (struct args_store){ 0 };
	enum err e = parse_seq_set(p, &out->set);

	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK && parse_accept(p, '('))
		e = parse_store_modifiers(p, out);
	if (e != ERR_OK)
		return e;
	if (parse_accept(p, '+'))
		out->mode = STORE_ADD;
	else if (parse_accept(p, '-'))
		out->mode = STORE_REMOVE;
	if (parse_accept_word(p, "FLAGS.SILENT"))
		out->silent = true;
	else if (!parse_accept_word(p, "FLAGS"))
		return parse_fail(p, "FLAGS expected");
	e = parse_sp(p);
	return e == ERR_OK ? parse_flags(p, &out->flags) : e;
}
