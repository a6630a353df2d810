/* RFC 2231: parameter values in pieces and with charsets; called by content.c and by whoever wants
 * a parameter's text. Invariant: pieces are joined only when they begin at 0 and none is missing;
 * everything else stays in the list as it was written. */
#include <stdlib.h>

#include "core/mail/charset.h"
#include "core/mail/content.h"
#include "core/mail/encoded.h"
#include "core/mail/token.h"

struct piece {
	struct str base;
	struct str value;
	size_t at;	/* place in the list */
	uint32_t index; /* SINGLE: "name*" */
	bool extended;
};
enum { SINGLE = UINT32_MAX, INDEX_MAX = 9999 };

static bool
parse_name(const struct content_param *p, struct piece *out)
{
	struct str head, tail;

	if (!str_cut(p->name, '*', &head, &tail) || head.n == 0)
		return false;
	*out = (struct piece){ .base = head, .value = p->value, .index = SINGLE };
	if (tail.n == 0) {
		out->extended = true;
		return true;
	}
	out->extended = tail.p[tail.n - 1] == '*';
	if (out->extended)
		tail.n--;
	return str_to_u32(tail, INDEX_MAX, &out->index) == ERR_OK;
}

static int
compare_pieces(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	size_t n = x->base.n < y->base.n ? x->base.n : y->base.n;

	for (size_t i = 0; i < n; i++) {
		int d = ascii_lower((unsigned char)x->base.p[i]) -
			ascii_lower((unsigned char)y->base.p[i]);

		if (d != 0)
			return d;
	}
	if (x->base.n != y->base.n)
		return x->base.n < y->base.n ? -1 : 1;
	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* How many pieces from v on belong together as 0, 1, 2, ...; 0 when they do not. */
static size_t
run_length(const struct piece *v, size_t n)
{
	size_t k = 0;

	while (k < n && str_ieq(v[k].base, v[0].base) && v[k].index == k)
		k++;
	return k;
}

static bool
must_escape(unsigned char c)
{
	return c <= ' ' || c >= 127 || ascii_is_among(c, "*'%()<>@,;:\\\"/[]?=");
}

static void
add_piece(struct buf *b, const struct piece *p, bool extended)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < p->value.n; i++) {
		unsigned char c = (unsigned char)p->value.p[i];

		if (!extended || p->extended || !must_escape(c)) {
			buf_addc(b, (char)c);
			continue;
		}
		buf_addc(b, '%');
		buf_addc(b, hex[c >> 4]);
		buf_addc(b, hex[c & 15]);
	}
}

static enum err
join_run(const struct piece *v, size_t n, struct arena *a, struct content_param *out)
{
	bool extended = false;
	size_t bytes = v[0].base.n + 1;
	struct buf b;

	for (size_t i = 0; i < n; i++) {
		extended |= v[i].extended;
		bytes += v[i].value.n * 3;
	}
	buf_init(&b, bytes + 4);
	buf_add(&b, v[0].base);
	if (extended)
		buf_addc(&b, '*');
	size_t name_len = b.n;

	/* "*0" without charset, but a later piece has escapes: RFC 2231 wants the quotes */
	if (extended && !v[0].extended)
		buf_addz(&b, "''");
	for (size_t i = 0; i < n; i++)
		add_piece(&b, &v[i], extended);
	struct str s;
	enum err e = arena_str(a, buf_str(&b), &s);

	buf_fini(&b);
	if (e == ERR_OK)
		*out = (struct content_param){ str_sub(s, 0, name_len), str_from(s, name_len) };
	return e;
}

/* Take the pieces out of the list, in sorted order; plain ones close ranks. */
static enum err
join_all(struct content_params *ps, struct piece *v, size_t n, struct arena *a)
{
	struct content_param *joined = arena_calloc(a, n, sizeof *joined);
	size_t joined_n = 0, kept = 0;

	if (joined == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n;) {
		size_t run = run_length(v + i, n - i);

		if (run == 0) {
			i++;
			continue;
		}
		enum err e = join_run(v + i, run, a, &joined[joined_n]);

		if (e != ERR_OK)
			return e;
		joined_n++;
		for (size_t k = 0; k < run; k++)
			ps->v[v[i + k].at].name = STR_EMPTY;
		i += run;
	}
	for (size_t i = 0; i < ps->n; i++)
		if (ps->v[i].name.n != 0)
			ps->v[kept++] = ps->v[i];
	for (size_t i = 0; i < joined_n; i++)
		ps->v[kept++] = joined[i];
	ps->n = kept;
	return ERR_OK;
}

enum err
content_params_join(struct content_params *ps, struct arena *a)
{
	size_t n = 0;

	for (size_t i = 0; i < ps->n; i++)
		n += str_chr(ps->v[i].name, '*') != ps->v[i].name.n;
	if (n == 0)
		return ERR_OK;
	struct piece *v = arena_calloc(a, n, sizeof *v);

	if (v == NULL)
		return ERR_LIMIT;
	n = 0;
	for (size_t i = 0; i < ps->n; i++)
		if (parse_name(&ps->v[i], &v[n]) && v[n].index != SINGLE)
			v[n++].at = i;
	if (n == 0)
		return ERR_OK;
	qsort(v, n, sizeof *v, compare_pieces);
	return join_all(ps, v, n, a);
}

/* "charset'language'a%20b" to UTF-8. */
static void
decode_extended(struct buf *out, struct str value)
{
	struct str charset, rest, text;
	struct buf raw;

	if (!str_cut(value, '\'', &charset, &rest) || !str_cut(rest, '\'', &rest, &text)) {
		charset = STR_EMPTY;
		text = value;
	}
	buf_init(&raw, text.n + 1);
	for (size_t i = 0; i < text.n; i++) {
		int hi = text.p[i] == '%' && text.n - i > 2 ? ascii_hex_value(text.p[i + 1]) : -1;
		int lo = hi >= 0 ? ascii_hex_value(text.p[i + 2]) : -1;

		if (lo >= 0) {
			buf_addc(&raw, (char)(hi * 16 + lo));
			i += 2;
		} else {
			buf_addc(&raw, text.p[i]);
		}
	}
	charset_to_utf8(out, charset, buf_str(&raw));
	buf_fini(&raw);
}

enum err
content_param_get(
	const struct content_params *ps, struct str name, struct arena *a, struct str *out)
{
	const struct content_param *plain = NULL, *extended = NULL;

	for (size_t i = 0; i < ps->n; i++) {
		struct str n = ps->v[i].name;

		if (plain == NULL && str_ieq(n, name))
			plain = &ps->v[i];
		if (extended == NULL && n.n == name.n + 1 && n.p[name.n] == '*' &&
			str_istarts(n, name))
			extended = &ps->v[i];
	}
	const struct content_param *p = extended != NULL ? extended : plain;

	if (p == NULL)
		return ERR_NOTFOUND;
	struct buf b;

	buf_init(&b, p->value.n * 4 + 16);
	if (extended != NULL)
		decode_extended(&b, p->value);
	else
		encoded_decode(&b, p->value);
	enum err e = buf_check(&b);

	if (e == ERR_OK)
		e = arena_str(a, buf_str(&b), out);
	buf_fini(&b);
	return e;
}
