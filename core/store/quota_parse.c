/* A limit as directories write it; see quota.h. Called by imap and lmtp when they hear who a user
 * is. Pure: needs nothing of the store. */
#include "core/store/quota.h"

static unsigned
shift_of(int suffix)
{
	switch (suffix) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	case 'T':
		return 40;
	}
	return 0;
}

/* "2G", "2GB", "100": unit is the shift of a number alone. */
static enum err
parse_amount(struct str s, unsigned unit, uint64_t *out)
{
	unsigned shift = unit;

	s = str_trim(s);
	if (s.n > 1 && ascii_upper(s.p[s.n - 1]) == 'B') {
		s.n--;
		shift = 0;
	}
	if (s.n > 1 && shift_of(ascii_upper(s.p[s.n - 1])) != 0) {
		shift = shift_of(ascii_upper(s.p[s.n - 1]));
		s.n--;
	}
	enum err e = str_to_u64(s, UINT64_MAX >> shift, out);

	*out <<= e == ERR_OK ? shift : 0;
	return e;
}

static enum err
parse_named(struct str piece, struct quota_limit *out)
{
	struct str name, value;

	/* Dovecot's "*:bytes=1G" behind what the auth service writes */
	if (str_eq(piece, STR("*")))
		return ERR_OK;
	if (!str_cut(piece, '=', &name, &value))
		return parse_amount(piece, 0, &out->bytes);
	if (str_ieq(name, STR("bytes")))
		return parse_named(value, out);
	if (str_ieq(name, STR("storage")))
		return parse_amount(value, 10, &out->bytes);
	if (str_ieq(name, STR("messages")))
		return parse_amount(value, 0, &out->messages);
	return ERR_SYNTAX;
}

/* "2097152S" or "1000C" */
static enum err
parse_maildir(struct str piece, struct quota_limit *out)
{
	int kind = piece.n > 1 ? ascii_upper(piece.p[piece.n - 1]) : 0;
	struct str number = str_sub(piece, 0, piece.n - (piece.n > 0));

	if (kind == 'S')
		return parse_amount(number, 0, &out->bytes);
	return kind == 'C' ? parse_amount(number, 0, &out->messages) : ERR_SYNTAX;
}

static bool
is_maildir(struct str s)
{
	int last = s.n > 1 ? ascii_upper(s.p[s.n - 1]) : 0;

	return last == 'S' || last == 'C';
}

enum err
quota_parse(struct str text, struct quota_limit *out)
{
	struct quota_limit q = { 0, 0 };
	struct str rest = str_trim(text), piece;
	bool maildir = is_maildir(rest);
	enum err e = ERR_OK;

	if (str_starts(rest, STR("*:")))
		rest = str_from(rest, 2);
	/* what the auth service writes in front is not a Maildir++ word's */
	if (maildir && str_starts(rest, STR("bytes=")))
		rest = str_from(rest, 6);
	while (e == ERR_OK && rest.n > 0) {
		(void)str_cut(rest, maildir ? ',' : ':', &piece, &rest);
		e = maildir ? parse_maildir(str_trim(piece), &q) : parse_named(piece, &q);
	}
	*out = e == ERR_OK ? q : (struct quota_limit){ 0, 0 };
	return e;
}
