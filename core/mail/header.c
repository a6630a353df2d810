/* Header sections, scanned in place; called by everything that looks at fields (the parser,
 * envelopes, FETCH HEADER.FIELDS, SEARCH, smtp's From check). Invariant: every pass is linear in
 * the octets it is given, and never looks behind the empty line. */
#include "core/mail/header.h"

#include <stdlib.h>

void
header_iter_init(struct header_iter *it, struct str in)
{
	it->rest = in;
}

/* Length of the empty line that s begins with, 0 when it begins with something else. */
static size_t
empty_line(struct str s)
{
	if (s.n >= 1 && s.p[0] == '\n')
		return 1;
	if (s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n')
		return 2;
	return 0;
}

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

/* Octets of the field that s begins with: its line and the ones that continue it. */
static size_t
field_length(struct str s)
{
	size_t at = 0;

	for (;;) {
		const char *lf = memchr(s.p + at, '\n', s.n - at);

		if (lf == NULL)
			return s.n;
		at = (size_t)(lf - s.p) + 1;
		if (at == s.n || !is_wsp(s.p[at]))
			return at;
	}
}

static struct str
chop_line_end(struct str s)
{
	if (s.n != 0 && s.p[s.n - 1] == '\n') {
		s.n--;
		if (s.n != 0 && s.p[s.n - 1] == '\r')
			s.n--;
	}
	return s;
}

static void
split_field(struct str whole, struct header_field *out)
{
	struct str line = chop_line_end(whole);
	size_t first = str_chr(line, '\n');
	size_t colon = str_chr(str_sub(line, 0, first), ':');

	out->whole = whole;
	if (colon == first || colon == line.n) {
		out->name = STR_EMPTY;
		out->value = line;
		return;
	}
	out->name = str_n(line.p, colon);
	while (out->name.n != 0 && is_wsp(out->name.p[out->name.n - 1]))
		out->name.n--;
	out->value = str_from(line, colon + 1);
	while (out->value.n != 0 && ascii_is_space((unsigned char)out->value.p[0])) {
		out->value.p++;
		out->value.n--;
	}
}

bool
header_next(struct header_iter *it, struct header_field *out)
{
	if (it->rest.n == 0 || empty_line(it->rest) != 0)
		return false;
	size_t n = field_length(it->rest);

	split_field(str_sub(it->rest, 0, n), out);
	it->rest = str_from(it->rest, n);
	return true;
}

size_t
header_length(struct str msg)
{
	size_t at = 0;

	while (at < msg.n) {
		size_t end = empty_line(str_from(msg, at));

		if (end != 0)
			return at + end;
		const char *lf = memchr(msg.p + at, '\n', msg.n - at);

		if (lf == NULL)
			break;
		at = (size_t)(lf - msg.p) + 1;
	}
	return msg.n;
}

bool
header_find(struct str header, struct str name, unsigned n, struct header_field *out)
{
	struct header_iter it;

	header_iter_init(&it, header);
	while (header_next(&it, out))
		if (str_ieq(out->name, name) && n-- == 0)
			return true;
	return false;
}

unsigned
header_count(struct str header, struct str name)
{
	struct header_iter it;
	struct header_field f;
	unsigned n = 0;

	header_iter_init(&it, header);
	while (header_next(&it, &f))
		n += str_ieq(f.name, name);
	return n;
}

void
header_unfold(struct buf *out, struct str value)
{
	size_t begin = out->n;

	while (value.n != 0) {
		size_t lf = str_chr(value, '\n');
		struct str line = str_sub(value, 0, lf);

		value = str_from(value, lf + 1);
		if (line.n != 0 && lf != line.n + value.n && line.p[line.n - 1] == '\r')
			line.n--;
		buf_add(out, line);
	}
	while (out->n > begin && ascii_is_space((unsigned char)out->mem[out->head + out->n - 1]))
		buf_truncate(out, out->n - 1);
}

static int
icmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int d = ascii_lower((unsigned char)a.p[i]) - ascii_lower((unsigned char)b.p[i]);

		if (d != 0)
			return d;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

static int
compare_names(const void *a, const void *b)
{
	return icmp(*(const struct str *)a, *(const struct str *)b);
}

enum err
header_set_init(struct header_set *set, struct arena *a, const struct str *names, size_t n)
{
	*set = (struct header_set){ .names = arena_calloc(a, n + 1, sizeof *names), .n = n };
	if (set->names == NULL)
		return ERR_LIMIT;
	if (n != 0)
		memcpy(set->names, names, n * sizeof *names);
	qsort(set->names, n, sizeof *names, compare_names);
	return ERR_OK;
}

bool
header_set_has(const struct header_set *set, struct str name)
{
	return set->n != 0 &&
	       bsearch(&name, set->names, set->n, sizeof *set->names, compare_names) != NULL;
}

void
header_select(struct buf *out, struct str header, const struct header_set *set, bool negate)
{
	struct header_iter it;
	struct header_field f;
	bool open = false; /* the last line that was added has no line end */

	header_iter_init(&it, header);
	while (header_next(&it, &f)) {
		if (header_set_has(set, f.name) == negate)
			continue;
		buf_add(out, f.whole);
		open = f.whole.p[f.whole.n - 1] != '\n';
	}
	if (open)
		buf_addz(out, "\r\n");
	size_t n = empty_line(it.rest);

	buf_add(out, n != 0 ? str_sub(it.rest, 0, n) : STR("\r\n"));
}

bool
header_name_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 127 || name.p[i] == ':')
			return false;
	return name.n != 0;
}
