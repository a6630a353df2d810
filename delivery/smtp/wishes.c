/* The parameters of MAIL and RCPT by which senders say what they want to hear of a message (DSN,
 * RFC 3461 4). Called by command.c. Invariant: what is kept is printable ASCII of a bounded length
 * (but for an ORCPT in UTF-8, until smtp_orcpt_ascii), so that it can stand in other servers'
 * commands as it is. */
#include "core/base/xalloc.h"
#include "core/mail/idn.h"
#include "delivery/smtp/command.h"

static int
hex_value(int c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
smtp_xtext_valid(struct str s, bool printable)
{
	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i], high, low;
		if (c < 33 || c > 126 || c == '=')
			return false;
		if (c != '+')
			continue;
		high = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
		low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		if (printable && (high * 16 + low < 32 || high * 16 + low > 126))
			return false;
		i += 2;
	}
	return s.n > 0;
}

/* A list of words without repetition, or NEVER alone. */
static enum smtp_reply
notify(struct str value, unsigned *out)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {
		{ "NEVER", SPOOL_NOTIFY_NEVER },
		{ "SUCCESS", SPOOL_NOTIFY_SUCCESS },
		{ "FAILURE", SPOOL_NOTIFY_FAILURE },
		{ "DELAY", SPOOL_NOTIFY_DELAY },
	};
	bool more = true;

	if (*out != 0)
		return REPLY_BAD_SYNTAX;
	while (more) {
		struct str word;
		size_t i = 0;
		more = str_cut(value, ',', &word, &value);
		while (i < ARRAY_LEN(words) && !str_ieq(word, str_of(words[i].word)))
			i++;
		if (i == ARRAY_LEN(words) || (*out & words[i].bit) != 0)
			return REPLY_BAD_SYNTAX;
		*out |= words[i].bit;
	}
	return spool_notify_valid(*out) ? REPLY_OK : REPLY_BAD_SYNTAX;
}

/* An address of RFC 6533 3, whose letters beyond ASCII stand as they are. */
static bool
unitext_valid(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 33 || c == 127 || c == '+' || c == '=')
			return false;
	}
	return s.n > 0 && str_is_utf8(s);
}

/* The octets of xtext that smtp_xtext_valid took. */
static void
xtext_decode(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '+') {
			buf_addc(out, s.p[i]);
			continue;
		}
		buf_addc(out, (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2])));
		i += 2;
	}
}

/* xtext of an address in UTF-8, as Postfix writes it, under rfc822. */
static bool
utf8_xtext_valid(struct str s)
{
	struct buf b;
	bool valid;

	if (!smtp_xtext_valid(s, false))
		return false;
	buf_init(&b, SPOOL_ORCPT_MAX);
	xtext_decode(s, &b);
	valid = str_has_8bit(buf_str(&b)) && str_is_utf8(buf_str(&b)) &&
		!idn_has_controls(buf_str(&b));
	for (size_t i = 0; valid && i < b.n; i++)
		valid = (unsigned char)buf_str(&b).p[i] >= 32 && buf_str(&b).p[i] != 127;
	buf_fini(&b);
	return valid;
}

/* "rfc822;Otto@example.net", RFC 3461 4.2. */
static enum smtp_reply
orcpt(struct str value, struct str *out)
{
	struct str type, address;

	if (out->n != 0 || value.n > SPOOL_ORCPT_MAX || !str_cut(value, ';', &type, &address) ||
		type.n == 0)
		return REPLY_BAD_SYNTAX;
	if (!smtp_xtext_valid(address, true) && !utf8_xtext_valid(address) &&
		!(str_ieq(type, STR("utf-8")) && str_has_8bit(address) && unitext_valid(address)))
		return REPLY_BAD_SYNTAX;
	for (size_t i = 0; i < type.n; i++) {
		if (!ascii_is_alnum(type.p[i]) && type.p[i] != '-')
			return REPLY_BAD_SYNTAX;
	}
	*out = value;
	return REPLY_OK;
}

/* What xtext or a command could not hold, and what begins such an escape itself. RFC 6533 3 */
static bool
stands_for_itself(unsigned char c)
{
	return c > 32 && c < 127 && c != '+' && c != '=' && c != '\\';
}

static void
add_unicode(struct str in, bool escape_all, struct buf *out)
{
	while (in.n != 0) {
		unsigned char first = (unsigned char)in.p[0];
		size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
		uint32_t c = first & (n == 1 ? 0x7fU : 0xffU >> (n + 1));
		for (size_t i = 1; i < n && i < in.n; i++)
			c = c << 6 | ((unsigned char)in.p[i] & 0x3f);
		if (n == 1 && (!escape_all || stands_for_itself(first)))
			buf_addc(out, in.p[0]);
		else
			buf_addf(out, "\\x{%X}", (unsigned)c);
		in = str_from(in, n);
	}
}

void
smtp_orcpt_ascii(struct str in, struct buf *out)
{
	struct str type, address;
	struct buf b;

	if (!str_cut(in, ';', &type, &address) || smtp_xtext_valid(address, true) ||
		!smtp_xtext_valid(address, false)) {
		add_unicode(in, false, out);
		return;
	}
	buf_init(&b, SPOOL_ORCPT_MAX);
	xtext_decode(address, &b);
	buf_addz(out, "utf-8;");
	add_unicode(buf_str(&b), true, out);
	buf_fini(&b);
}

enum smtp_reply
smtp_wish_of_mail(struct str key, struct str value, struct smtp_cmd *out)
{
	if (str_ieq(key, STR("RET"))) {
		if (out->ret != SPOOL_RET_NONE)
			return REPLY_BAD_SYNTAX;
		if (str_ieq(value, STR("FULL")))
			out->ret = SPOOL_RET_FULL;
		else if (str_ieq(value, STR("HDRS")))
			out->ret = SPOOL_RET_HDRS;
		return out->ret != SPOOL_RET_NONE ? REPLY_OK : REPLY_BAD_SYNTAX;
	}
	if (str_ieq(key, STR("ENVID"))) {
		if (out->envid.n != 0 || value.n > SPOOL_ENVID_MAX ||
			!smtp_xtext_valid(value, true))
			return REPLY_BAD_SYNTAX;
		out->envid = value;
		return REPLY_OK;
	}
	return REPLY_BAD_PARAMETER;
}

enum smtp_reply
smtp_wish_of_rcpt(struct str key, struct str value, struct smtp_cmd *out)
{
	if (str_ieq(key, STR("NOTIFY")))
		return notify(value, &out->notify);
	if (str_ieq(key, STR("ORCPT")))
		return orcpt(value, &out->orcpt);
	return REPLY_BAD_PARAMETER;
}
