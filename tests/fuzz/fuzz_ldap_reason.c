/* Fuzzes what a server says about a bind: first byte the result code, then a control's value up to
 * a line feed, then the diagnostic. What is parsed can be written again and means the same; only a
 * success or one of the known sub-codes is ever told to a client. */
#include <stdlib.h>

#include "auth-ldap/ldap/reason.h"
#include "core/base/buf.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void
add_number(struct buf *b, int tag, int64_t v)
{
	buf_addc(b, (char)tag);
	buf_addc(b, 5);
	buf_addc(b, 0);
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_addc(b, (char)(v >> shift & 0xff));
}

static void
check_control(struct str ber)
{
	struct ppolicy_answer a, again;
	if (ppolicy_parse(ber, &a) != ERR_OK)
		return;
	CHECK(a.expires_sec >= -1 && a.grace >= -1 && (a.expires_sec < 0 || a.grace < 0));
	struct buf b, in;
	buf_init(&b, 64);
	buf_init(&in, 64);
	if (a.expires_sec >= 0 || a.grace >= 0) {
		buf_addc(&in, (char)0xa0);
		buf_addc(&in, 7);
		add_number(&in, a.expires_sec >= 0 ? 0x80 : 0x81,
			a.expires_sec >= 0 ? a.expires_sec : a.grace);
	}
	if (a.error >= 0)
		add_number(&in, 0x81, a.error);
	buf_addc(&b, 0x30);
	buf_addc(&b, (char)in.n);
	buf_add(&b, buf_str(&in));
	CHECK(ppolicy_parse(buf_str(&b), &again) == ERR_OK);
	CHECK(a.expires_sec == again.expires_sec && a.grace == again.grace &&
		a.error == again.error);
	buf_fini(&in);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size), ber, text;
	if (in.n == 0)
		return 0;
	int result = data[0];
	(void)str_cut(str_from(in, 1), '\n', &ber, &text);
	check_control(ber);
	unsigned code = ad_subcode(text);
	CHECK(code <= 0xffff);
	const struct ldap_control c[] = { { STR(PPOLICY_OID), ber },
		{ STR("2.16.840.1.113730.3.4.5"), ber } };
	struct ldap_bind_facts f = ldap_bind_facts_of(result, text, NULL, 0);
	CHECK(f.bound == (result == 0) && (f.reason == LDAP_BIND_FINE) == (result == 0));
	CHECK(!f.after_right_password || result == 0 ||
		(result == 49 && code >= 0x52f && code <= 0x773));
	f = ldap_bind_facts_of(result, text, c, 2);
	CHECK(f.bound == (result == 0));
	CHECK(result == 0 || f.reason != LDAP_BIND_FINE);
	CHECK(result == 0 || f.reason != LDAP_BIND_LOCKED || !f.after_right_password);
	CHECK(ldap_bind_reason_text(f.reason)[0] != '?');
	return 0;
}
