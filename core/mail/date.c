/* Dates of messages and of IMAP; called by the store (sent date at delivery), imap and the roles
 * that write Received and Date fields. Invariant: the calendar is our own (proleptic Gregorian,
 * years 0 to 9999), so neither locale nor time zone of the process changes a result. */
#include "core/mail/date.h"

#include <time.h>

#include "core/base/xalloc.h"
#include "core/mail/token.h"

static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
	"Sep", "Oct", "Nov", "Dec" };
static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

/* The first and the last second that four digits of a year can say. */
static const int64_t first_sec = -62167219200, last_sec = 253402300799;

static int64_t
sayable(int64_t sec)
{
	if (sec < first_sec)
		return first_sec;
	return sec < last_sec ? sec : last_sec;
}

/* Days since 1970-01-01 of a civil date; month from 1. The year begins in March inside, so that
 * the leap day is its last. */
static int64_t
days_from_civil(int64_t year, int month, int day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t yoe = year - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

static void
civil_from_days(int64_t days, int64_t *year, int *month, int *day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2);
}

static int
days_in_month(int64_t year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* The month that s is the name of, 0: none. */
static int
month_of(struct str s)
{
	for (int i = 0; i < 12; i++)
		if (str_ieq(s, str_n(month_names[i], 3)))
			return i + 1;
	return 0;
}

/* A run of digits, at least min and at most max of them, off the front. */
static bool
take_number(struct str *in, size_t min, size_t max, int *out)
{
	size_t n = 0;
	int v = 0;

	while (n < in->n && n < max && ascii_is_digit((unsigned char)in->p[n]))
		v = v * 10 + (in->p[n++] - '0');
	if (n < min || (n < in->n && ascii_is_digit((unsigned char)in->p[n])))
		return false;
	*in = str_from(*in, n);
	*out = v;
	return true;
}

static struct str
take_word(struct str *in)
{
	size_t n = 0;

	while (n < in->n && ascii_is_alpha((unsigned char)in->p[n]))
		n++;
	struct str w = str_sub(*in, 0, n);

	*in = str_from(*in, n);
	return w;
}

static bool
take_char(struct str *in, char c)
{
	if (in->n == 0 || in->p[0] != c)
		return false;
	*in = str_from(*in, 1);
	return true;
}

struct fields {
	int year, month, day, hour, minute, second, zone;
};

static enum err
to_unix(const struct fields *f, int64_t *out)
{
	if (f->month < 1 || f->day < 1 || f->day > days_in_month(f->year, f->month) ||
		f->hour > 23 || f->minute > 59 || f->second > 60)
		return ERR_SYNTAX;
	int64_t local = days_from_civil(f->year, f->month, f->day) * 86400 + f->hour * 3600 +
			f->minute * 60 + f->second;

	/* a leap second at the end of 9999 */
	*out = sayable(local) - f->zone * 60;
	return ERR_OK;
}

/* "+0100"; false: not that. */
static bool
take_offset(struct str *in, int *minutes_out)
{
	int v;
	struct str s = *in;
	bool minus = s.n != 0 && s.p[0] == '-';

	if (!minus && (s.n == 0 || s.p[0] != '+'))
		return false;
	s = str_from(s, 1);
	if (!take_number(&s, 4, 4, &v) || v % 100 > 59 || v / 100 > 23)
		return false;
	*minutes_out = (v / 100 * 60 + v % 100) * (minus ? -1 : 1);
	*in = s;
	return true;
}

/* Unknown and military zones count as -0000. RFC 5322 4.3. */
static int
zone_of(struct str name)
{
	static const struct {
		char name[4];
		int minutes;
	} zones[] = { { "EST", -300 }, { "EDT", -240 }, { "CST", -360 }, { "CDT", -300 },
		{ "MST", -420 }, { "MDT", -360 }, { "PST", -480 }, { "PDT", -420 } };

	for (size_t i = 0; i < ARRAY_LEN(zones); i++)
		if (str_ieq(name, str_n(zones[i].name, 3)))
			return zones[i].minutes;
	return 0;
}

static bool
parse_day(struct str *in, struct fields *f)
{
	struct str before;

	token_skip_cfws(in);
	before = *in;
	if (take_word(in).n != 0) {
		token_skip_cfws(in);
		(void)take_char(in, ',');
		token_skip_cfws(in);
	} else {
		*in = before;
	}
	if (!take_number(in, 1, 2, &f->day))
		return false;
	token_skip_cfws(in);
	(void)take_char(in, '-');
	f->month = month_of(take_word(in));
	token_skip_cfws(in);
	(void)take_char(in, '-');
	size_t digits = in->n;

	if (f->month == 0 || !take_number(in, 2, 4, &f->year))
		return false;
	digits -= in->n;
	if (digits == 3 || (digits == 2 && f->year >= 50))
		f->year += 1900;
	else if (digits == 2)
		f->year += 2000;
	return true;
}

static bool
parse_time(struct str *in, struct fields *f)
{
	token_skip_cfws(in);
	if (!take_number(in, 1, 2, &f->hour))
		return false;
	token_skip_cfws(in);
	if (!take_char(in, ':') && !take_char(in, '.'))
		return false;
	token_skip_cfws(in);
	if (!take_number(in, 1, 2, &f->minute))
		return false;
	token_skip_cfws(in);
	if (take_char(in, ':') || take_char(in, '.')) {
		token_skip_cfws(in);
		if (!take_number(in, 1, 2, &f->second))
			return false;
		token_skip_cfws(in);
	}
	return true;
}

enum err
date_parse(struct str value, int64_t *unix_out, int *zone_minutes_out)
{
	struct fields f = { 0 };

	if (!parse_day(&value, &f) || !parse_time(&value, &f))
		return ERR_SYNTAX;
	if (!take_offset(&value, &f.zone))
		f.zone = zone_of(take_word(&value));
	*zone_minutes_out = f.zone;
	return to_unix(&f, unix_out);
}

void
date_format(struct buf *out, int64_t unix_sec, int zone_minutes)
{
	int64_t local = sayable(unix_sec + zone_minutes * 60);
	int64_t days = floor_div(local, 86400), year;
	int64_t sec = local - days * 86400;
	int month, day, zone = zone_minutes < 0 ? -zone_minutes : zone_minutes;

	civil_from_days(days, &year, &month, &day);
	int64_t weekday = ((days + 4) % 7 + 7) % 7;

	buf_addf(out, "%s, %02d %s %04lld %02d:%02d:%02d %c%02d%02d", day_names[weekday], day,
		month_names[month - 1], (long long)year, (int)(sec / 3600), (int)(sec / 60 % 60),
		(int)(sec % 60), zone_minutes < 0 ? '-' : '+', zone / 60, zone % 60);
}

static bool
parse_imap_day(struct str *in, struct fields *f, size_t min_digits)
{
	return take_number(in, min_digits, 2, &f->day) && take_char(in, '-') &&
	       (f->month = month_of(take_word(in))) != 0 && take_char(in, '-') &&
	       take_number(in, 4, 4, &f->year);
}

enum err
date_parse_imap(struct str in, int64_t *unix_out)
{
	struct fields f = { 0 };
	bool space = take_char(&in, ' ');

	if (!parse_imap_day(&in, &f, space ? 1 : 2) || (space && f.day > 9) ||
		!take_char(&in, ' ') || !take_number(&in, 2, 2, &f.hour) || !take_char(&in, ':') ||
		!take_number(&in, 2, 2, &f.minute) || !take_char(&in, ':') ||
		!take_number(&in, 2, 2, &f.second) || !take_char(&in, ' ') ||
		!take_offset(&in, &f.zone) || in.n != 0)
		return ERR_SYNTAX;
	return to_unix(&f, unix_out);
}

void
date_format_imap(struct buf *out, int64_t unix_sec)
{
	int64_t utc = sayable(unix_sec);
	int64_t days = floor_div(utc, 86400), sec = utc - days * 86400, year;
	int month, day;

	civil_from_days(days, &year, &month, &day);
	buf_addf(out, "%02d-%s-%04lld %02d:%02d:%02d +0000", day, month_names[month - 1],
		(long long)year, (int)(sec / 3600), (int)(sec / 60 % 60), (int)(sec % 60));
}

enum err
date_parse_imap_day(struct str in, int64_t *day_out)
{
	struct fields f = { 0 };
	int64_t t;

	if (!parse_imap_day(&in, &f, 1) || in.n != 0 || to_unix(&f, &t) != ERR_OK)
		return ERR_SYNTAX;
	*day_out = floor_div(t, 86400);
	return ERR_OK;
}

int64_t
date_day(int64_t unix_sec, int zone_minutes)
{
	return floor_div(unix_sec + zone_minutes * 60, 86400);
}

int
date_local_zone(int64_t unix_sec)
{
	time_t t = (time_t)unix_sec;
	struct tm tm;

	return localtime_r(&t, &tm) != NULL ? (int)(tm.tm_gmtoff / 60) : 0;
}
