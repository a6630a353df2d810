/* The meaning of values: times, on and off, lists of services, addresses with prefixes. Called by
 * entry.c.
 *
 * Invariant: whatever is not plainly understood is ERR_SYNTAX, so that its owner is refused and not
 * let in. */
#include "auth-ldap/directory/attributes.h"

#include "core/base/xalloc.h"

/* ---- times ---- */

static const int64_t day_sec = 86400;

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	int64_t y = year - 1;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + before[month - 1] + day - 1;
	return days + (leap && month > 2 ? 1 : 0) - 719162;
}

/* n digits at the start of s; s behind them. */
static enum err
take_digits(struct str *s, size_t n, int64_t *out)
{
	uint64_t v;
	enum err e = s->n >= n ? str_to_u64(str_sub(*s, 0, n), 9999, &v) : ERR_SYNTAX;
	if (e == ERR_OK) {
		*out = (int64_t)v;
		*s = str_from(*s, n);
	}
	return e;
}

/* "Z", "+0200", "-08": how far local time is ahead, in seconds. */
static enum err
take_zone(struct str s, int64_t *out)
{
	int64_t hours = 0, minutes = 0;
	*out = 0;
	if (str_eq(s, STR("Z")))
		return ERR_OK;
	if (s.n == 0 || (s.p[0] != '+' && s.p[0] != '-'))
		return ERR_SYNTAX;
	bool west = s.p[0] == '-';
	s = str_from(s, 1);
	if (take_digits(&s, 2, &hours) != ERR_OK || hours > 23 ||
		(s.n > 0 && take_digits(&s, 2, &minutes) != ERR_OK) || minutes > 59 || s.n > 0)
		return ERR_SYNTAX;
	*out = (hours * 60 + minutes) * (west ? -60 : 60);
	return ERR_OK;
}

static bool
starts_with_digits(struct str s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (i >= s.n || !ascii_is_digit((unsigned char)s.p[i]))
			return false;
	return true;
}

/* "20271231235959Z", "202712312359.5+0100". A fraction is dropped. */
static enum err
generalized_time(struct str s, int64_t *out)
{
	static const int lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t year, month, day, hour, minute = 0, second = 0, zone;
	if (take_digits(&s, 4, &year) != ERR_OK || take_digits(&s, 2, &month) != ERR_OK ||
		take_digits(&s, 2, &day) != ERR_OK || take_digits(&s, 2, &hour) != ERR_OK)
		return ERR_SYNTAX;
	if (starts_with_digits(s, 2) && take_digits(&s, 2, &minute) != ERR_OK)
		return ERR_SYNTAX;
	if (starts_with_digits(s, 2) && take_digits(&s, 2, &second) != ERR_OK)
		return ERR_SYNTAX;
	if (s.n > 1 && (s.p[0] == '.' || s.p[0] == ',') && starts_with_digits(str_from(s, 1), 1))
		for (s = str_from(s, 1); starts_with_digits(s, 1);)
			s = str_from(s, 1);
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] ||
		hour > 23 || minute > 59 || second > 60 || take_zone(s, &zone) != ERR_OK)
		return ERR_SYNTAX;
	if (month == 2 && day == 29 && days_of(year, 3, 1) - days_of(year, 2, 1) != 29)
		return ERR_SYNTAX;
	*out = days_of(year, month, day) * day_sec + hour * 3600 + minute * 60 + second - zone;
	return ERR_OK;
}

static enum err
filetime(uint64_t v, int64_t *out, bool *never)
{
	*never = v == 0 || v == INT64_MAX;
	*out = (int64_t)(v / 10000000) - 11644473600;
	return ERR_OK;
}

/* By the size of the number; what could be two things is none. */
static enum err
number_of_any_kind(uint64_t v, int64_t *out, bool *never)
{
	if (v >= 1000000000000000)
		return filetime(v, out, never);
	*out = (int64_t)v;
	if (v >= 100000000 && v < 100000000000)
		return ERR_OK;
	*out *= day_sec;
	return v > 0 && v < 1000000 ? ERR_OK : ERR_SYNTAX;
}

static enum err
number_parse(struct str value, struct str format, int64_t *out, bool *never)
{
	uint64_t v;
	bool any = str_eq(format, STR("auto"));
	if ((any || str_eq(format, STR("days"))) && str_eq(value, STR("-1"))) {
		*never = true;
		return ERR_OK;
	}
	if (str_to_u64(value, INT64_MAX, &v) != ERR_OK)
		return ERR_SYNTAX;
	if (str_eq(format, STR("filetime")))
		return filetime(v, out, never);
	if (any)
		return number_of_any_kind(v, out, never);
	bool days = str_eq(format, STR("days"));
	if (v > (uint64_t)(INT64_MAX / day_sec))
		return ERR_SYNTAX;
	*out = (int64_t)v * (days ? day_sec : 1);
	return days || str_eq(format, STR("seconds")) ? ERR_OK : ERR_SYNTAX;
}

enum err
expiry_parse(struct str value, struct str format, int64_t *sec_out)
{
	bool never = false;
	int64_t sec = 0;
	bool any = str_eq(format, STR("auto"));
	enum err e = ERR_SYNTAX;
	if (any || str_eq(format, STR("generalized-time")))
		e = generalized_time(value, &sec);
	if (e != ERR_OK && !str_eq(format, STR("generalized-time")))
		e = number_parse(value, format, &sec, &never);
	if (e != ERR_OK)
		return ERR_SYNTAX;
	*sec_out = never ? 0 : (sec < 1 ? 1 : sec);
	return ERR_OK;
}

/* ---- on and off ---- */

/* Whole numbers as directories write flags: "514", "-2147483646". */
static bool
flags_of(struct str value, uint64_t *out)
{
	bool negative = value.n > 1 && value.p[0] == '-';
	if (str_to_u64(str_from(value, negative), INT64_MAX, out) != ERR_OK)
		return false;
	if (negative)
		*out = 0 - *out;
	return true;
}

/* bit_rule_out: the list has a rule "bit:N", and value is a number. */
static bool
listed(struct str value, const struct str_list *list, bool *bit_rule_out)
{
	uint64_t flags, bit;
	bool number = flags_of(value, &flags);
	for (size_t i = 0; i < list->n; i++) {
		struct str rule = list->v[i];
		if (str_starts(rule, STR("bit:"))) {
			if (str_to_u64(str_from(rule, 4), INT64_MAX, &bit) != ERR_OK || !number)
				continue;
			*bit_rule_out = true;
			if ((flags & bit) != 0)
				return true;
		} else if (str_ieq(rule, value) || str_eq(rule, STR("*"))) {
			return true;
		}
	}
	return false;
}

enum err
enabled_parse(const struct str *values, size_t count, const struct str_list *enabled,
	const struct str_list *disabled, bool *disabled_out)
{
	bool understood = true;
	*disabled_out = false;
	for (size_t i = 0; i < count; i++) {
		bool by_bits = false, ignored = false;
		if (listed(values[i], disabled, &by_bits)) {
			*disabled_out = true;
			return ERR_OK;
		}
		understood &= by_bits || listed(values[i], enabled, &ignored);
	}
	return understood ? ERR_OK : ERR_SYNTAX;
}

/* ---- words and addresses ---- */

struct str
word_take(struct str *rest)
{
	while (rest->n > 0 && (ascii_is_space((unsigned char)rest->p[0]) || rest->p[0] == ','))
		*rest = str_from(*rest, 1);
	size_t n = 0;
	while (n < rest->n && !ascii_is_space((unsigned char)rest->p[n]) && rest->p[n] != ',')
		n++;
	struct str word = str_sub(*rest, 0, n);
	*rest = str_from(*rest, n);
	return word;
}

bool
service_ok(struct str word)
{
	if (word.n > 0 && word.p[0] == '!')
		word = str_from(word, 1);
	for (size_t i = 0; i < word.n; i++)
		if (!ascii_is_alnum((unsigned char)word.p[i]) && word.p[i] != '-')
			return false;
	return word.n > 0 && word.n <= 64;
}

struct str
address_value(struct str value)
{
	struct str prefix, rest;
	if (!str_cut(value, ':', &prefix, &rest))
		return value;
	return str_ieq(prefix, STR("smtp")) ? rest : STR_EMPTY;
}
