/* Content- fields of a part: types, parameters and the rest that BODYSTRUCTURE shows; called by
 * the MIME parser (for type and boundary) and by bodystructure.c and search.c. Invariant: as
 * much as can be read is kept; only a full arena is an error. */
#include "core/mail/content.h"

#include "core/mail/header.h"
#include "core/mail/token.h"

static enum err
params_grow(struct content_params *ps, size_t *cap, struct arena *a)
{
	if (ps->n < *cap)
		return ERR_OK;
	size_t want = *cap == 0 ? 4 : *cap * 2;
	struct content_param *v = arena_calloc(a, want, sizeof *v);

	if (v == NULL)
		return ERR_LIMIT;
	if (ps->n != 0)
		memcpy(v, ps->v, ps->n * sizeof *v);
	ps->v = v;
	*cap = want;
	return ERR_OK;
}

/* One "; name = value"; in begins behind the semicolon. ERR_SYNTAX: not one. */
static enum err
parse_param(struct str *in, struct arena *a, struct content_param *out)
{
	token_skip_cfws(in);
	out->name = token_mime(in);
	if (out->name.n == 0)
		return ERR_SYNTAX;
	token_skip_cfws(in);
	if (in->n == 0 || in->p[0] != '=')
		return ERR_SYNTAX;
	*in = str_from(*in, 1);
	token_skip_cfws(in);
	if (in->n != 0 && in->p[0] == '"')
		return token_quoted(in, a, &out->value);
	out->value = token_param_value(in);
	return ERR_OK;
}

static enum err
parse_params(struct str in, struct arena *a, struct content_params *out)
{
	size_t cap = 0;

	*out = (struct content_params){ 0 };
	for (;;) {
		struct content_param p;

		size_t semi = token_skip_to(in, ';');

		if (semi == in.n)
			break;
		in = str_from(in, semi + 1);
		enum err e = parse_param(&in, a, &p);

		if (e == ERR_SYNTAX)
			continue;
		if (e == ERR_OK)
			e = params_grow(out, &cap, a);
		if (e != ERR_OK)
			return e;
		out->v[out->n++] = p;
	}
	return content_params_join(out, a);
}

enum err
content_value_parse(struct str value, bool has_subtype, struct arena *a, struct str *type_out,
	struct str *subtype_out, struct content_params *params_out)
{
	struct str in = value;

	*params_out = (struct content_params){ 0 };
	if (has_subtype)
		*subtype_out = STR_EMPTY;
	token_skip_cfws(&in);
	*type_out = token_mime(&in);
	if (type_out->n == 0)
		return ERR_SYNTAX;
	token_skip_cfws(&in);
	if (has_subtype && in.n != 0 && in.p[0] == '/') {
		in = str_from(in, 1);
		token_skip_cfws(&in);
		*subtype_out = token_mime(&in);
	}
	return parse_params(in, a, params_out);
}

static enum err
set_type(struct content *c, struct str value, struct arena *a)
{
	if (c->type.n != 0)
		return ERR_OK;
	enum err e = content_value_parse(value, true, a, &c->type, &c->subtype, &c->params);

	return e == ERR_SYNTAX ? ERR_OK : e;
}

static enum err
set_disposition(struct content *c, struct str value, struct arena *a)
{
	if (c->disposition.n != 0)
		return ERR_OK;
	enum err e =
		content_value_parse(value, false, a, &c->disposition, NULL, &c->disposition_params);

	return e == ERR_SYNTAX ? ERR_OK : e;
}

/* The one token that value is; "8 bit" is none, while "base64;" is meant well. */
static struct str
encoding_token(struct str value)
{
	token_skip_cfws(&value);
	struct str t = token_mime(&value);

	token_skip_cfws(&value);
	return value.n == 0 || value.p[0] == ';' ? t : STR_EMPTY;
}

static enum err
set_encoding(struct content *c, struct str value)
{
	if (c->encoding.n == 0)
		c->encoding = encoding_token(value);
	return ERR_OK;
}

static enum err
set_text(struct str *field, struct str value, struct arena *a)
{
	if (field->p != NULL)
		return ERR_OK;
	if (str_chr(value, '\n') == value.n) {
		*field = str_trim(value);
		return ERR_OK;
	}
	struct buf b;

	buf_init(&b, value.n + 1);
	header_unfold(&b, value);
	enum err e = arena_str(a, buf_str(&b), field);

	buf_fini(&b);
	return e;
}

static enum err
set_languages(struct content *c, struct str value, struct arena *a)
{
	size_t cap = 1;

	if (c->languages != NULL)
		return ERR_OK;
	for (size_t i = 0; i < value.n; i++)
		cap += value.p[i] == ',';
	c->languages = arena_calloc(a, cap, sizeof *c->languages);
	if (c->languages == NULL)
		return ERR_LIMIT;
	while (value.n != 0) {
		token_skip_cfws(&value);
		struct str word = token_mime(&value);

		if (word.n != 0)
			c->languages[c->language_count++] = word;
		value = str_from(value, token_skip_to(value, ',') + 1);
	}
	return ERR_OK;
}

static enum err
set_field(struct content *c, const struct header_field *f, struct arena *a)
{
	struct str name = str_from(f->name, 8);

	if (str_ieq(name, STR("type")))
		return set_type(c, f->value, a);
	if (str_ieq(name, STR("transfer-encoding")))
		return set_encoding(c, f->value);
	if (str_ieq(name, STR("disposition")))
		return set_disposition(c, f->value, a);
	if (str_ieq(name, STR("id")))
		return set_text(&c->id, f->value, a);
	if (str_ieq(name, STR("description")))
		return set_text(&c->description, f->value, a);
	if (str_ieq(name, STR("md5")))
		return set_text(&c->md5, f->value, a);
	if (str_ieq(name, STR("location")))
		return set_text(&c->location, f->value, a);
	if (str_ieq(name, STR("language")))
		return set_languages(c, f->value, a);
	return ERR_OK;
}

enum err
content_parse(struct content *c, struct str header, struct arena *a)
{
	struct header_iter it;
	struct header_field f;

	*c = (struct content){ 0 };
	header_iter_init(&it, header);
	while (header_next(&it, &f)) {
		if (!str_istarts(f.name, STR("content-")))
			continue;
		f.value = str_sub(f.value, 0, CONTENT_FIELD_MAX);
		enum err e = set_field(c, &f, a);

		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}

enum mime_encoding
content_encoding(struct str value)
{
	struct str t = encoding_token(value);

	if (t.n == 0 || str_ieq(t, STR("7bit")))
		return MIME_ENC_7BIT;
	if (str_ieq(t, STR("8bit")))
		return MIME_ENC_8BIT;
	if (str_ieq(t, STR("binary")))
		return MIME_ENC_BINARY;
	if (str_ieq(t, STR("quoted-printable")))
		return MIME_ENC_QP;
	if (str_ieq(t, STR("base64")))
		return MIME_ENC_BASE64;
	return MIME_ENC_OTHER;
}
