/* Tokens of the IMAP grammar over one whole command; see parse.h. Called by the parsers of the
 * commands (args.c and the cmd_ files). Invariant: at <= in.n, and a byte is looked at only
 * below in.n, so no command can make a read run past its end. */
#include "imap/grammar/parse.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/store/entry.h"

enum { KEYWORDS_MAX = 256, KEYWORD_BYTES_MAX = 200, SETS_MAX = 32768 };

void
parser_init(struct parser *p, struct str command, struct arena *arena)
{
	*p = (struct parser){ .in = command, .arena = arena, .why = "syntax error" };
}

enum err
parse_fail(struct parser *p, const char *why)
{
	p->why = why;
	return ERR_SYNTAX;
}

enum err
parse_full(struct parser *p)
{
	p->why = "command too large";
	return ERR_LIMIT;
}

enum err
parse_add_str(struct parser *p, struct str **list, size_t *n, size_t max, struct str s)
{
	/* room doubles: 4, 8, 16 ... */
	if (*n >= max)
		return parse_full(p);
	if (*n == 0 || (*n >= 4 && (*n & (*n - 1)) == 0)) {
		struct str *more = arena_alloc(p->arena, (*n == 0 ? 4 : *n * 2) * sizeof *more);

		if (more == NULL)
			return parse_full(p);
		if (*n != 0)
			memcpy(more, *list, *n * sizeof *more);
		*list = more;
	}
	(*list)[(*n)++] = s;
	return ERR_OK;
}

bool
parse_accept(struct parser *p, char c)
{
	if (parse_peek(p) != (unsigned char)c)
		return false;
	p->at++;
	return true;
}

/* RFC 3501 9: atom-specials are ( ) { SP CTL % * " \ and ]. */
static bool
is_atom_char(int c)
{
	if (c <= ' ' || c >= 0x7f)
		return false;
	return !ascii_is_among(c, "(){%*\"\\]");
}

static bool
is_astring_char(int c)
{
	return c == ']' || is_atom_char(c);
}

static bool
is_tag_char(int c)
{
	return c != '+' && is_astring_char(c);
}

static bool
is_list_char(int c)
{
	return c == '%' || c == '*' || is_astring_char(c);
}

static struct str
run_of(struct parser *p, bool (*is)(int c))
{
	size_t from = p->at;

	while (p->at < p->in.n && is((unsigned char)p->in.p[p->at]))
		p->at++;
	return str_sub(p->in, from, p->at - from);
}

bool
parse_accept_word(struct parser *p, const char *word)
{
	size_t from = p->at;

	if (str_ieq(run_of(p, is_atom_char), str_of(word)))
		return true;
	p->at = from;
	return false;
}

enum err
parse_char(struct parser *p, char c)
{
	if (parse_accept(p, c))
		return ERR_OK;
	switch (c) {
	case ' ':
		return parse_fail(p, "space expected");
	case '(':
		return parse_fail(p, "( expected");
	case ')':
		return parse_fail(p, ") expected");
	case ']':
		return parse_fail(p, "] expected");
	}
	return parse_fail(p, "syntax error");
}

enum err
parse_sp(struct parser *p)
{
	return parse_char(p, ' ');
}

enum err
parse_end(struct parser *p)
{
	/* some clients put blanks behind the last argument */
	while (parse_accept(p, ' ')) {
	}
	(void)parse_accept(p, '\r');
	if (!parse_accept(p, '\n') || p->at != p->in.n)
		return parse_fail(p, "end of line expected");
	return ERR_OK;
}

enum err
parse_tag(struct parser *p, struct str *out)
{
	*out = run_of(p, is_tag_char);
	return out->n != 0 ? ERR_OK : parse_fail(p, "tag expected");
}

enum err
parse_atom(struct parser *p, struct str *out)
{
	*out = run_of(p, is_atom_char);
	return out->n != 0 ? ERR_OK : parse_fail(p, "atom expected");
}

static enum err
parse_literal(struct parser *p, bool nul, struct str *out)
{
	uint64_t n;

	p->at++; /* { */
	enum err e = parse_number64(p, &n);

	if (e != ERR_OK)
		return e;
	(void)parse_accept(p, '+');
	if (!parse_accept(p, '}'))
		return parse_fail(p, "bad literal");
	(void)parse_accept(p, '\r');
	if (!parse_accept(p, '\n') || n > p->in.n - p->at)
		return parse_fail(p, "bad literal");
	*out = str_sub(p->in, p->at, (size_t)n);
	p->at += (size_t)n;
	return !nul && str_has_nul(*out) ? parse_fail(p, "NUL in a literal") : ERR_OK;
}

static enum err
unescape(struct parser *p, struct str raw, struct str *out)
{
	char *to = arena_alloc(p->arena, raw.n);
	size_t n = 0;

	if (to == NULL)
		return parse_full(p);
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '\\')
			i++;
		to[n++] = raw.p[i];
	}
	*out = str_n(to, n);
	return ERR_OK;
}

static enum err
parse_quoted(struct parser *p, struct str *out)
{
	bool escaped = false;
	size_t from = ++p->at;

	for (; p->at < p->in.n; p->at++) {
		char c = p->in.p[p->at];

		if (c == '"')
			break;
		if (c == '\0' || c == '\r' || c == '\n')
			return parse_fail(p, "quoted string not ended");
		if (c != '\\')
			continue;
		escaped = true;
		p->at++;
		if (parse_peek(p) != '"' && parse_peek(p) != '\\')
			return parse_fail(p, "bad backslash in a quoted string");
	}
	if (p->at >= p->in.n)
		return parse_fail(p, "quoted string not ended");
	struct str raw = str_sub(p->in, from, p->at - from);

	p->at++;
	*out = raw;
	return escaped ? unescape(p, raw, out) : ERR_OK;
}

enum err
parse_string(struct parser *p, struct str *out)
{
	switch (parse_peek(p)) {
	case '"':
		return parse_quoted(p, out);
	case '{':
		return parse_literal(p, false, out);
	}
	return parse_fail(p, "string expected");
}

static enum err
string_or(struct parser *p, bool (*is)(int c), struct str *out)
{
	int c = parse_peek(p);

	if (c == '"' || c == '{')
		return parse_string(p, out);
	*out = run_of(p, is);
	return out->n != 0 ? ERR_OK : parse_fail(p, "string expected");
}

enum err
parse_astring(struct parser *p, struct str *out)
{
	return string_or(p, is_astring_char, out);
}

enum err
parse_list_mailbox(struct parser *p, struct str *out)
{
	return string_or(p, is_list_char, out);
}

enum err
parse_nstring(struct parser *p, struct str *out)
{
	if (parse_accept_word(p, "NIL")) {
		*out = (struct str){ NULL, 0 };
		return ERR_OK;
	}
	return parse_string(p, out);
}

enum err
parse_nstring8(struct parser *p, struct str *out)
{
	if (!parse_accept(p, '~'))
		return parse_nstring(p, out);
	if (parse_peek(p) != '{')
		return parse_fail(p, "literal expected");
	return parse_literal(p, true, out);
}

static bool
is_digit(int c)
{
	return ascii_is_digit(c);
}

enum err
parse_number64(struct parser *p, uint64_t *out)
{
	struct str digits = run_of(p, is_digit);

	/* RFC 9051 9: number64 is below 2^63 */
	if (str_to_u64(digits, INT64_MAX, out) != ERR_OK)
		return parse_fail(p, "number expected");
	return ERR_OK;
}

enum err
parse_number(struct parser *p, uint32_t *out)
{
	struct str digits = run_of(p, is_digit);

	if (str_to_u32(digits, UINT32_MAX, out) != ERR_OK)
		return parse_fail(p, "number expected");
	return ERR_OK;
}

enum err
parse_nz_number(struct parser *p, uint32_t *out)
{
	enum err e = parse_number(p, out);

	if (e != ERR_OK)
		return e;
	return *out != 0 ? ERR_OK : parse_fail(p, "number above 0 expected");
}

/* ---- sets ---- */

static enum err
parse_seq_number(struct parser *p, uint32_t *out)
{
	if (parse_accept(p, '*')) {
		*out = 0;
		return ERR_OK;
	}
	if (!ascii_is_digit(parse_peek(p)))
		return parse_fail(p, "message set expected");
	return parse_nz_number(p, out);
}

static enum err
grow_set(struct parser *p, struct seq_set *s, size_t *cap)
{
	if (s->n < *cap)
		return ERR_OK;
	size_t want = *cap == 0 ? 4 : *cap * 2;
	struct seq_range *r = want <= SETS_MAX ? arena_alloc(p->arena, want * sizeof *r) : NULL;

	if (r == NULL)
		return parse_full(p);
	if (s->n != 0)
		memcpy(r, s->r, s->n * sizeof *r);
	s->r = r;
	*cap = want;
	return ERR_OK;
}

enum err
parse_seq_set(struct parser *p, struct seq_set *out)
{
	size_t cap = 0;

	*out = (struct seq_set){ .saved = parse_accept(p, '$') };
	if (out->saved)
		return ERR_OK;
	do {
		struct seq_range r;
		enum err e = parse_seq_number(p, &r.lo);

		r.hi = r.lo;
		if (e == ERR_OK && parse_accept(p, ':'))
			e = parse_seq_number(p, &r.hi);
		if (e == ERR_OK)
			e = grow_set(p, out, &cap);
		if (e != ERR_OK)
			return e;
		out->r[out->n++] = r;
	} while (parse_accept(p, ','));
	return ERR_OK;
}

static int
by_lo(const void *a, const void *b)
{
	const struct seq_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

void
seq_set_resolve(struct seq_set *s, uint32_t largest)
{
	size_t n = 0;

	if (largest == 0)
		s->n = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct seq_range *r = &s->r[i];

		r->lo = r->lo == 0 ? largest : r->lo;
		r->hi = r->hi == 0 ? largest : r->hi;
		if (r->lo > r->hi) {
			uint32_t t = r->lo;

			r->lo = r->hi;
			r->hi = t;
		}
	}
	if (s->n > 1)
		qsort(s->r, s->n, sizeof *s->r, by_lo);
	for (size_t i = 0; i < s->n; i++) {
		struct seq_range r = s->r[i];

		if (n != 0 && r.lo <= s->r[n - 1].hi + (uint64_t)1) {
			if (r.hi > s->r[n - 1].hi)
				s->r[n - 1].hi = r.hi;
			continue;
		}
		s->r[n++] = r;
	}
	s->n = n;
}

bool
seq_set_has(const struct seq_set *s, uint32_t number)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->r[mid].hi < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->r[lo].lo <= number;
}

enum err
parse_partial_range(struct parser *p, struct partial_range *out)
{
	size_t from = p->at;
	uint32_t n[2];

	out->from_end = parse_peek(p) == '-';
	for (int i = 0; i < 2; i++) {
		if ((i != 0 && !parse_accept(p, ':')) || (out->from_end && !parse_accept(p, '-')))
			return parse_fail(p, "range expected");
		enum err e = parse_nz_number(p, &n[i]);

		if (e != ERR_OK)
			return e;
	}
	out->lo = n[0] < n[1] ? n[0] : n[1];
	out->hi = n[0] < n[1] ? n[1] : n[0];
	out->text = str_sub(p->in, from, p->at - from);
	return ERR_OK;
}

/* ---- flags ---- */

static const struct {
	const char *name;
	unsigned bit;
} system_flags[] = {
	{ "Answered", FLAG_ANSWERED },
	{ "Flagged", FLAG_FLAGGED },
	{ "Deleted", FLAG_DELETED },
	{ "Seen", FLAG_SEEN },
	{ "Draft", FLAG_DRAFT },
};

static enum err
parse_system_flag(struct parser *p, struct flag_list *out)
{
	for (size_t i = 0; i < ARRAY_LEN(system_flags); i++) {
		if (!parse_accept_word(p, system_flags[i].name))
			continue;
		out->system |= system_flags[i].bit;
		return ERR_OK;
	}
	return parse_fail(p, "unknown system flag");
}

static enum err
parse_keyword(struct parser *p, struct flag_list *out)
{
	struct str word;
	enum err e = parse_atom(p, &word);

	if (e != ERR_OK)
		return parse_fail(p, "flag expected");
	for (size_t i = 0; i < out->keywords_count; i++)
		if (str_ieq(out->keywords[i], word))
			return ERR_OK;
	if (word.n > KEYWORD_BYTES_MAX)
		return parse_fail(p, "keyword too long");
	if (out->keywords == NULL) {
		out->keywords = arena_calloc(p->arena, KEYWORDS_MAX, sizeof *out->keywords);
		if (out->keywords == NULL)
			return parse_full(p);
	}
	if (out->keywords_count == KEYWORDS_MAX)
		return parse_full(p);
	out->keywords[out->keywords_count++] = word;
	return ERR_OK;
}

static enum err
parse_flag(struct parser *p, struct flag_list *out)
{
	return parse_accept(p, '\\') ? parse_system_flag(p, out) : parse_keyword(p, out);
}

enum err
parse_flag_list(struct parser *p, struct flag_list *out)
{
	*out = (struct flag_list){ 0 };
	enum err e = parse_char(p, '(');

	if (e != ERR_OK || parse_accept(p, ')'))
		return e;
	do {
		e = parse_flag(p, out);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

enum err
parse_flags(struct parser *p, struct flag_list *out)
{
	if (parse_peek(p) == '(')
		return parse_flag_list(p, out);
	*out = (struct flag_list){ 0 };
	do {
		enum err e = parse_flag(p, out);

		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return ERR_OK;
}

/* ---- dates ---- */

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
	"Oct", "Nov", "Dec" };

const char *
month_name(unsigned month)
{
	return months[(month - 1) % 12];
}

int32_t
days_from_civil(int year, unsigned month, unsigned day)
{
	/* years begin in March, so that the leap day is the last one */
	int y = year - (month <= 2);
	int era = (y >= 0 ? y : y - 399) / 400;
	unsigned of_era = (unsigned)(y - era * 400);
	unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	unsigned day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;

	return era * 146097 + (int32_t)day_of_era - 719468;
}

void
civil_from_days(int32_t days, int *year_out, unsigned *month_out, unsigned *day_out)
{
	int z = days + 719468;
	int era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*day_out = doy - (153 * mp + 2) / 5 + 1;
	*month_out = mp < 10 ? mp + 3 : mp - 9;
	*year_out = (int)yoe + era * 400 + (*month_out <= 2);
}

static unsigned
days_in_month(int year, unsigned month)
{
	static const uint8_t days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Exactly n digits. */
static enum err
parse_digits(struct parser *p, size_t n, unsigned *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		int c = parse_peek(p);

		if (!ascii_is_digit(c))
			return parse_fail(p, "bad date");
		*out = *out * 10 + (unsigned)(c - '0');
		p->at++;
	}
	return ERR_OK;
}

static enum err
parse_month(struct parser *p, unsigned *out)
{
	struct str word = str_sub(p->in, p->at, 3);

	for (unsigned i = 0; i < 12; i++) {
		if (!str_ieq(word, str_of(months[i])))
			continue;
		p->at += 3;
		*out = i + 1;
		return ERR_OK;
	}
	return parse_fail(p, "bad date");
}

/* "-Feb-1994" behind the day. */
static enum err
parse_month_year(struct parser *p, unsigned day, int32_t *days_out)
{
	unsigned month, year;

	if (!parse_accept(p, '-') || parse_month(p, &month) != ERR_OK || !parse_accept(p, '-') ||
		parse_digits(p, 4, &year) != ERR_OK)
		return parse_fail(p, "bad date");
	if (day == 0 || day > days_in_month((int)year, month))
		return parse_fail(p, "bad date");
	*days_out = days_from_civil((int)year, month, day);
	return ERR_OK;
}

enum err
parse_date(struct parser *p, int32_t *days_out)
{
	bool quoted = parse_accept(p, '"');
	unsigned day, digit;
	enum err e = parse_digits(p, 1, &day);

	if (e == ERR_OK && ascii_is_digit(parse_peek(p))) {
		e = parse_digits(p, 1, &digit);
		day = e == ERR_OK ? day * 10 + digit : 0;
	}
	if (e == ERR_OK)
		e = parse_month_year(p, day, days_out);
	if (e == ERR_OK && quoted && !parse_accept(p, '"'))
		e = parse_fail(p, "bad date");
	return e;
}

static enum err
parse_zone(struct parser *p, int32_t *minutes_out)
{
	unsigned h, m;
	bool minus = parse_peek(p) == '-';

	if (!minus && parse_peek(p) != '+')
		return parse_fail(p, "bad date");
	p->at++;
	if (parse_digits(p, 2, &h) != ERR_OK || parse_digits(p, 2, &m) != ERR_OK || m > 59)
		return parse_fail(p, "bad date");
	*minutes_out = (int32_t)(h * 60 + m) * (minus ? -1 : 1);
	return ERR_OK;
}

enum err
parse_date_time(struct parser *p, int64_t *sec_out, int32_t *zone_min_out)
{
	unsigned day, h, m, s;
	int32_t days;

	if (!parse_accept(p, '"'))
		return parse_fail(p, "bad date");
	bool one_digit = parse_accept(p, ' ');

	if (parse_digits(p, one_digit ? 1 : 2, &day) != ERR_OK ||
		parse_month_year(p, day, &days) != ERR_OK || !parse_accept(p, ' ') ||
		parse_digits(p, 2, &h) != ERR_OK || !parse_accept(p, ':') ||
		parse_digits(p, 2, &m) != ERR_OK || !parse_accept(p, ':') ||
		parse_digits(p, 2, &s) != ERR_OK || !parse_accept(p, ' ') ||
		parse_zone(p, zone_min_out) != ERR_OK || !parse_accept(p, '"'))
		return parse_fail(p, "bad date");
	if (h > 23 || m > 59 || s > 60)
		return parse_fail(p, "bad date");
	*sec_out = (int64_t)days * 86400 + (int64_t)(h * 3600 + m * 60 + s) -
		   (int64_t)*zone_min_out * 60;
	return ERR_OK;
}
