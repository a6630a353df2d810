/* Pieces of responses; see write.h. Called by the commands and by sync.c. Invariant: whatever
 * comes from a message, a client or the index leaves as a quoted string or a literal, never
 * raw. */
#include "imap/session/write.h"

#include "core/mail/imaptext.h"
#include "core/mail/utf7.h"
#include "imap/grammar/parse.h"

char *
put_number(char *p, uint64_t v)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	memcpy(p, digits + at, sizeof digits - at);
	return p + (sizeof digits - at);
}

char *
put_str(char *p, struct str s)
{
	memcpy(p, s.p, s.n);
	return p + s.n;
}

void
write_number(struct buf *out, uint64_t v)
{
	char tmp[20];

	buf_add(out, str_n(tmp, (size_t)(put_number(tmp, v) - tmp)));
}

void
write_fetch_begin(struct buf *out, uint32_t seq)
{
	char tmp[PUT_MAX];
	char *p = put_str(tmp, STR("* "));

	p = put_number(p, seq);
	p = put_str(p, STR(" FETCH ("));
	buf_add(out, str_n(tmp, (size_t)(p - tmp)));
}

/* The text of every set of system flags, with \Recent as the sixth bit. */
static struct str
system_flags_text(unsigned flags)
{
	static char text[64][64];
	static uint8_t len[64];
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ FLAG_ANSWERED, "\\Answered" },
		{ FLAG_FLAGGED, "\\Flagged" },
		{ FLAG_DELETED, "\\Deleted" },
		{ FLAG_SEEN, "\\Seen" },
		{ FLAG_DRAFT, "\\Draft" },
		{ FLAG_ALL + 1, "\\Recent" },
	};

	if (flags != 0 && len[flags] == 0) {
		size_t n = 0;

		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			if ((flags & names[i].bit) == 0)
				continue;
			size_t add = strlen(names[i].name);

			if (n != 0)
				text[flags][n++] = ' ';
			memcpy(text[flags] + n, names[i].name, add);
			n += add;
		}
		len[flags] = (uint8_t)n;
	}
	return str_n(text[flags], len[flags]);
}

char *
put_system_flags(char *p, uint32_t flags, bool recent)
{
	*p++ = '(';
	p = put_str(p, system_flags_text((flags & FLAG_ALL) | (recent ? FLAG_ALL + 1u : 0)));
	*p++ = ')';
	return p;
}

void
write_flags(struct buf *out, const struct entry *e, bool recent, const struct keywords *k)
{
	struct str system = system_flags_text((e->flags & FLAG_ALL) | (recent ? FLAG_ALL + 1u : 0));
	bool first = system.n == 0;

	buf_addc(out, '(');
	buf_add(out, system);
	for (uint64_t bits = e->keywords; bits != 0; bits &= bits - 1) {
		unsigned bit = (unsigned)__builtin_ctzll(bits);

		if (bit >= k->count || k->name[bit].n == 0)
			continue;
		if (!first)
			buf_addc(out, ' ');
		buf_add(out, k->name[bit]);
		first = false;
	}
	buf_addc(out, ')');
}

static void
put2(char *p, unsigned v)
{
	p[0] = (char)('0' + v / 10 % 10);
	p[1] = (char)('0' + v % 10);
}

/* "21-Nov-2026" of a day; one day is remembered, as messages come in runs. */
static const char *
day_text(int32_t days)
{
	static int32_t last = INT32_MIN;
	static char text[11];

	if (days != last) {
		int year;
		unsigned month, day;

		civil_from_days(days, &year, &month, &day);
		put2(text, day);
		text[2] = text[6] = '-';
		memcpy(text + 3, month_name(month), 3);
		put2(text + 7, (unsigned)year / 100);
		put2(text + 9, (unsigned)year % 100);
		last = days;
	}
	return text;
}

/* The first and the last second that four digits of a year can say. */
static const int64_t first_sec = -62167219200, last_sec = 253402300799;

char *
put_internal_date(char *t, int64_t sec, int32_t zone_min)
{
	int64_t local = sec + (int64_t)zone_min * 60;

	/* years 0000 to 9999, whatever the record says, and a leap second behind them */
	if (local < first_sec)
		local = first_sec;
	if (local > last_sec)
		local = last_sec;
	int64_t days = local / 86400 - (local % 86400 < 0);
	unsigned of_day = (unsigned)(local - days * 86400);
	unsigned zone = (unsigned)(zone_min < 0 ? -zone_min : zone_min);

	t[0] = '"';
	memcpy(t + 1, day_text((int32_t)days), 11);
	t[12] = ' ';
	put2(t + 13, of_day / 3600);
	t[15] = ':';
	put2(t + 16, of_day / 60 % 60);
	t[18] = ':';
	put2(t + 19, of_day % 60);
	t[21] = ' ';
	t[22] = zone_min < 0 ? '-' : '+';
	put2(t + 23, zone / 60);
	put2(t + 25, zone % 60);
	t[27] = '"';
	return t + 28;
}

void
write_internal_date(struct buf *out, int64_t sec, int32_t zone_min)
{
	char t[PUT_MAX];

	buf_add(out, str_n(t, (size_t)(put_internal_date(t, sec, zone_min) - t)));
}

void
write_mailbox(struct buf *out, struct str name)
{
	struct buf utf7;

	buf_init(&utf7, 8192);
	if (utf7_from_utf8(&utf7, name) == ERR_OK)
		imaptext_string(out, buf_str(&utf7));
	else
		buf_addz(out, "\"\"");
	buf_fini(&utf7);
}

void
write_utf8_quoted(struct buf *out, struct str s)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, s.p[i]);
	}
	buf_addc(out, '"');
}

void
write_astring(struct buf *out, struct str s)
{
	struct parser p;
	struct str atom;

	parser_init(&p, s, NULL);
	if (s.n != 0 && parse_atom(&p, &atom) == ERR_OK && atom.n == s.n && !str_ieq(s, STR("NIL")))
		buf_add(out, s);
	else
		imaptext_string(out, s);
}

void
write_string(struct buf *out, struct str s, bool utf8)
{
	if (!utf8 && str_has_8bit(s)) {
		imaptext_string(out, s);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, s.p[i]);
	}
	buf_addc(out, '"');
}
