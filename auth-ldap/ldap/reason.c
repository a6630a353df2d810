/* What a server's answer to a bind means; see reason.h. ldap/bind.c calls it with the pieces of the
 * answer. Everything here is a server's word: nothing asserts, numbers have limits, and a text is
 * searched, never trusted further than to choose a reason for the log.
 *
 * after_right_password is true only where the server is known to look at the password first:
 * Active Directory for all of its sub-codes but 525, 52e and 775 (it tells 775 to anybody); slapd's
 * ppolicy and 389 DS for "password expired" (accountLocked is told before the password is looked
 * at); and every success. */
#include "auth-ldap/ldap/reason.h"

enum {
	/* RFC 4511 4.1.9 */
	RESULT_SUCCESS = 0,
	RESULT_CONSTRAINT_VIOLATION = 19,
	RESULT_NO_SUCH_OBJECT = 32,
	RESULT_INVALID_CREDENTIALS = 49,
	RESULT_INSUFFICIENT_ACCESS = 50,
	RESULT_UNWILLING = 53,
	NUMBER_MAX = 0x7fffffff,
};

/* draft-behera-ldap-password-policy-10 6.2 */
enum { PPOLICY_EXPIRED = 0, PPOLICY_LOCKED = 1, PPOLICY_MUST_CHANGE = 2 };

#define NETSCAPE_EXPIRED  "2.16.840.1.113730.3.4.4"
#define NETSCAPE_EXPIRING "2.16.840.1.113730.3.4.5"

/* ---- the control's BER ---- */

/* Cut one element with this tag off *in. ERR_NOTFOUND: another tag, nothing cut. */
static enum err
ber_cut(struct str *in, unsigned char tag, struct str *value_out)
{
	if (in->n < 2)
		return in->n == 0 ? ERR_NOTFOUND : ERR_SYNTAX;
	const unsigned char *p = (const unsigned char *)in->p;
	if (p[0] != tag)
		return ERR_NOTFOUND;
	size_t head = 2, n = p[1];
	if (n >= 0x80) {
		size_t octets = n & 0x7f;
		if (octets == 0 || octets > 4 || in->n < 2 + octets)
			return ERR_SYNTAX;
		n = 0;
		for (size_t i = 0; i < octets; i++)
			n = n << 8 | p[2 + i];
		head += octets;
	}
	if (n > in->n - head)
		return ERR_SYNTAX;
	*value_out = str_sub(*in, head, n);
	*in = str_from(*in, head + n);
	return ERR_OK;
}

/* A number that is not negative. */
static enum err
ber_number(struct str v, int64_t *out)
{
	const unsigned char *p = (const unsigned char *)v.p;
	int64_t n = 0;
	if (v.n == 0 || p[0] >= 0x80)
		return ERR_SYNTAX;
	for (size_t i = 0; i < v.n; i++) {
		n = n << 8 | p[i];
		if (n > NUMBER_MAX)
			return ERR_LIMIT;
	}
	*out = n;
	return ERR_OK;
}

static enum err
warning_parse(struct str in, struct ppolicy_answer *out)
{
	struct str v;
	enum err e = ber_cut(&in, 0x80, &v);
	if (e == ERR_OK)
		e = ber_number(v, &out->expires_sec);
	else if (e == ERR_NOTFOUND && (e = ber_cut(&in, 0x81, &v)) == ERR_OK)
		e = ber_number(v, &out->grace);
	if (e == ERR_OK && in.n > 0)
		return ERR_SYNTAX;
	return e == ERR_NOTFOUND ? ERR_SYNTAX : e;
}

enum err
ppolicy_parse(struct str ber, struct ppolicy_answer *out)
{
	struct str in, v;
	int64_t error = -1;
	*out = (struct ppolicy_answer){ .expires_sec = -1, .grace = -1, .error = -1 };
	enum err e = ber_cut(&ber, 0x30, &in);
	if (e != ERR_OK || ber.n > 0)
		return ERR_SYNTAX;
	e = ber_cut(&in, 0xa0, &v);
	if (e == ERR_OK)
		e = warning_parse(v, out);
	if (e != ERR_OK && e != ERR_NOTFOUND)
		return e;
	e = ber_cut(&in, 0x81, &v);
	if (e == ERR_OK)
		e = ber_number(v, &error);
	if (e != ERR_OK && e != ERR_NOTFOUND)
		return e;
	if (in.n > 0)
		return ERR_SYNTAX; /* elements of a later draft, or garbage */
	out->error = (int)error;
	return ERR_OK;
}

/* ---- texts ---- */

unsigned
ad_subcode(struct str diagnostic)
{
	static const char mark[] = ", data ";
	/* An OpenLDAP server's text may say "data" too: only behind AD's own words. */
	size_t at = str_ifind(diagnostic, STR("AcceptSecurityContext error"));
	struct str s = str_from(diagnostic, at);
	at = str_ifind(s, str_of(mark));
	s = str_from(s, at + sizeof mark - 1);
	unsigned code = 0;
	size_t n = 0;
	while (n < s.n && n < 4 && ascii_hex_value(s.p[n]) >= 0) {
		code = code << 4 | (unsigned)ascii_hex_value(s.p[n]);
		n++;
	}
	if (n == 0 || (n < s.n && (ascii_is_alnum(s.p[n]))))
		return 0;
	return code;
}

struct reason_row {
	unsigned key;
	const char *text;
	enum ldap_bind_reason reason;
	bool after_right_password;
};

/* Windows error codes, in hexadecimal as the text has them. */
static const struct reason_row subcodes[] = {
	{ 0x525, NULL, LDAP_BIND_UNKNOWN, false },
	{ 0x52e, NULL, LDAP_BIND_PASSWORD, false },
	{ 0x52f, NULL, LDAP_BIND_REFUSED, true }, /* account restriction */
	{ 0x530, NULL, LDAP_BIND_HOURS, true },
	{ 0x531, NULL, LDAP_BIND_WORKSTATION, true },
	{ 0x532, NULL, LDAP_BIND_PASSWORD_EXPIRED, true },
	{ 0x533, NULL, LDAP_BIND_DISABLED, true },
	{ 0x701, NULL, LDAP_BIND_ACCOUNT_EXPIRED, true },
	{ 0x773, NULL, LDAP_BIND_MUST_CHANGE, true },
	{ 0x775, NULL, LDAP_BIND_LOCKED, false },
};

/* What 389 DS and FreeIPA's plug-ins on it say with 19, 49 and 53: before they look at the
 * password, or nobody promises otherwise. */
static const struct reason_row texts[] = {
	{ 0, "password retry limit", LDAP_BIND_LOCKED, false },
	{ 0, "too many failed logins", LDAP_BIND_LOCKED, false },
	{ 0, "permanently locked", LDAP_BIND_LOCKED, false },
	{ 0, "account inactivated", LDAP_BIND_DISABLED, false },
	{ 0, "account inactivity limit", LDAP_BIND_DISABLED, false },
	{ 0, "principal) is expired", LDAP_BIND_ACCOUNT_EXPIRED, false },
};

static void
set_reason(struct ldap_bind_facts *f, enum ldap_bind_reason reason, bool after_right_password)
{
	f->reason = reason;
	f->after_right_password = after_right_password;
}

/* A refusal as the code and the text alone tell it. */
static void
from_result(struct ldap_bind_facts *f, int result, struct str diagnostic)
{
	unsigned code = result == RESULT_INVALID_CREDENTIALS ? ad_subcode(diagnostic) : 0;
	if (result == RESULT_NO_SUCH_OBJECT)
		set_reason(f, LDAP_BIND_UNKNOWN, false);
	else if (result == RESULT_CONSTRAINT_VIOLATION || result == RESULT_INSUFFICIENT_ACCESS ||
		 result == RESULT_UNWILLING)
		set_reason(f, LDAP_BIND_REFUSED, false);
	else
		set_reason(f, LDAP_BIND_PASSWORD, false);
	for (size_t i = 0; code != 0 && i < sizeof subcodes / sizeof *subcodes; i++)
		if (subcodes[i].key == code)
			set_reason(f, subcodes[i].reason, subcodes[i].after_right_password);
	if (result != RESULT_INVALID_CREDENTIALS && result != RESULT_CONSTRAINT_VIOLATION &&
		result != RESULT_UNWILLING)
		return;
	for (size_t i = 0; code == 0 && i < sizeof texts / sizeof *texts; i++)
		if (str_ifind(diagnostic, str_of(texts[i].text)) < diagnostic.n) {
			set_reason(f, texts[i].reason, false);
			return;
		}
}

/* ---- controls ---- */

/* 389 DS calls everything "locked" here, and is exact in its text. */
static bool
said_more(enum ldap_bind_reason r)
{
	return r == LDAP_BIND_DISABLED || r == LDAP_BIND_ACCOUNT_EXPIRED;
}

static void
from_ppolicy(struct ldap_bind_facts *f, const struct ppolicy_answer *a)
{
	if (a->expires_sec >= 0)
		f->expires_sec = a->expires_sec;
	if (a->grace >= 0)
		f->grace = (int)a->grace;
	if (a->error == PPOLICY_EXPIRED)
		set_reason(f, LDAP_BIND_PASSWORD_EXPIRED, true);
	else if (a->error == PPOLICY_LOCKED && !said_more(f->reason))
		set_reason(f, LDAP_BIND_LOCKED, f->bound);
	else if (a->error == PPOLICY_MUST_CHANGE)
		set_reason(f, LDAP_BIND_MUST_CHANGE, true);
	/* The others are about changes of a password. */
}

/* 389 DS's own, where the newer control did not say more. */
static void
from_netscape(struct ldap_bind_facts *f, const struct ldap_control *c)
{
	uint32_t seconds = 0;
	if (str_eq(c->oid, STR(NETSCAPE_EXPIRING)) && f->expires_sec < 0 &&
		str_to_u32(c->value, NUMBER_MAX, &seconds) == ERR_OK)
		f->expires_sec = seconds;
	if (!str_eq(c->oid, STR(NETSCAPE_EXPIRED)))
		return;
	if (f->reason == LDAP_BIND_FINE && f->grace < 0)
		set_reason(f, LDAP_BIND_MUST_CHANGE, true); /* bound, to change it */
	else if (f->reason == LDAP_BIND_PASSWORD)
		set_reason(f, LDAP_BIND_PASSWORD_EXPIRED, true);
}

struct ldap_bind_facts
ldap_bind_facts_of(int result, struct str diagnostic, const struct ldap_control *controls,
	size_t controls_count)
{
	struct ldap_bind_facts f = { .reason = LDAP_BIND_FINE,
		.after_right_password = true,
		.bound = result == RESULT_SUCCESS,
		.expires_sec = -1,
		.grace = -1 };
	if (!f.bound)
		from_result(&f, result, diagnostic);
	for (size_t i = 0; i < controls_count; i++) {
		struct ppolicy_answer a;
		if (str_eq(controls[i].oid, STR(PPOLICY_OID)) &&
			ppolicy_parse(controls[i].value, &a) == ERR_OK)
			from_ppolicy(&f, &a);
	}
	for (size_t i = 0; i < controls_count; i++)
		from_netscape(&f, &controls[i]);
	return f;
}

const char *
ldap_bind_reason_text(enum ldap_bind_reason r)
{
	switch (r) {
	case LDAP_BIND_FINE:
		return "fine";
	case LDAP_BIND_PASSWORD:
		return "password refused";
	case LDAP_BIND_UNKNOWN:
		return "no such user";
	case LDAP_BIND_LOCKED:
		return "account locked";
	case LDAP_BIND_DISABLED:
		return "account disabled";
	case LDAP_BIND_ACCOUNT_EXPIRED:
		return "account expired";
	case LDAP_BIND_PASSWORD_EXPIRED:
		return "password expired";
	case LDAP_BIND_MUST_CHANGE:
		return "password must be changed";
	case LDAP_BIND_HOURS:
		return "not at this time";
	case LDAP_BIND_WORKSTATION:
		return "not from this machine";
	case LDAP_BIND_REFUSED:
		return "refused by the server";
	}
	return "?";
}
