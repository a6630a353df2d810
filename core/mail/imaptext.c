/* Strings of IMAP responses; called by envelope.c, bodystructure.c and imap. Invariant: what is
 * added is one complete string token, whatever octets it is made of. */
#include "core/mail/imaptext.h"

#include "core/mail/header.h"

static bool
fits_quotes(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x80 || c == '\r' || c == '\n' || c == 0)
			return false;
	}
	return true;
}

static void
add_quoted(struct buf *out, struct str s)
{
	size_t done = 0;

	buf_addc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '"' && s.p[i] != '\\')
			continue;
		buf_add(out, str_sub(s, done, i - done));
		buf_addc(out, '\\');
		done = i;
	}
	buf_add(out, str_from(s, done));
	buf_addc(out, '"');
}

void
imaptext_string(struct buf *out, struct str s)
{
	if (fits_quotes(s)) {
		add_quoted(out, s);
		return;
	}
	size_t nuls = 0;

	for (size_t i = 0; i < s.n; i++)
		nuls += s.p[i] == '\0';
	buf_addf(out, "{%zu}\r\n", s.n + 2 * nuls);
	while (s.n != 0) {
		size_t n = str_chr(s, '\0');

		buf_add(out, str_sub(s, 0, n));
		if (n < s.n)
			buf_addz(out, "\xef\xbf\xbd");
		s = str_from(s, n + 1);
	}
}

void
imaptext_nstring(struct buf *out, struct str s)
{
	if (s.p == NULL)
		buf_addz(out, "NIL");
	else
		imaptext_string(out, s);
}

void
imaptext_nstring_unfold(struct buf *out, struct str s)
{
	struct buf b;

	if (s.p == NULL || str_chr(s, '\n') == s.n) {
		imaptext_nstring(out, s.p != NULL ? str_trim(s) : s);
		return;
	}
	buf_init(&b, s.n + 1);
	header_unfold(&b, s);
	imaptext_string(out, buf_str(&b));
	buf_fini(&b);
}
