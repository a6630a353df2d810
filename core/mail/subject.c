/* Base subjects; called by the store for SORT and THREAD. Invariant: each step drops octets or ends
 * the loop, and blobs are scanned once. */
#include "core/mail/subject.h"

#include "core/mail/charset.h"
#include "core/mail/encoded.h"

static bool
is_blank(char c)
{
	return ascii_is_space((unsigned char)c);
}

static struct str
trim_left(struct str s)
{
	while (s.n != 0 && is_blank(s.p[0]))
		s = str_from(s, 1);
	return s;
}

/* "[...]" and the blanks behind it; 0: none there. */
static size_t
blob_length(struct str s)
{
	size_t n = 1;

	if (s.n == 0 || s.p[0] != '[')
		return 0;
	while (n < s.n && s.p[n] != '[' && s.p[n] != ']')
		n++;
	if (n == s.n || s.p[n] != ']')
		return 0;
	for (n++; n < s.n && is_blank(s.p[n]); n++)
		;
	return n;
}

/* "re", "fw" or "fwd", blanks, a blob, ":"; 0: none there. */
static size_t
refwd_length(struct str s)
{
	struct str in = s;

	if (str_istarts(in, STR("fwd")))
		in = str_from(in, 3);
	else if (str_istarts(in, STR("fw")) || str_istarts(in, STR("re")))
		in = str_from(in, 2);
	else
		return 0;
	in = trim_left(in);
	in = str_from(in, blob_length(in));
	return in.n != 0 && in.p[0] == ':' ? s.n - in.n + 1 : 0;
}

/* Steps 3 to 5: leaders and blobs. */
static struct str
strip_leaders(struct str s, bool *reply)
{
	for (;;) {
		s = trim_left(s);
		struct str behind = s, last = s;

		for (size_t n; (n = blob_length(behind)) != 0;) {
			last = behind;
			behind = str_from(behind, n);
		}
		size_t refwd = refwd_length(behind);

		if (refwd == 0)
			/* blobs go as long as something is left */
			return behind.n != 0 ? behind : last;
		*reply = true;
		s = str_from(behind, refwd);
	}
}

static struct str
strip_trailers(struct str s, bool *reply)
{
	for (;;) {
		while (s.n != 0 && is_blank(s.p[s.n - 1]))
			s.n--;
		if (s.n < 5 || !str_ieq(str_from(s, s.n - 5), STR("(fwd)")))
			return s;
		s.n -= 5;
		*reply = true;
	}
}

static struct str
strip_all(struct str s, bool *reply)
{
	for (;;) {
		s = strip_trailers(s, reply);
		s = strip_leaders(s, reply);
		if (!str_istarts(s, STR("[fwd:")) || s.p[s.n - 1] != ']')
			return s;
		*reply = true;
		s = str_sub(s, 5, s.n - 6);
	}
}

enum { PLAIN_MAX = 500 };

/* As most are: printable ASCII without encoded words. One blank for several; 0: it is another. */
static size_t
copy_plain(char *out, struct str value)
{
	size_t n = 0;

	if (value.n > PLAIN_MAX)
		return 0;
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c < ' ' || c > '~' || (c == '?' && i != 0 && value.p[i - 1] == '='))
			return 0;
		if (c != ' ' || n == 0 || out[n - 1] != ' ')
			out[n++] = c;
	}
	return n;
}

/* Step 1: what is encoded is decoded, and every run of white space is one space. */
static struct str
decode(struct buf *text, struct str value)
{
	size_t n = 0;

	encoded_decode(text, value);
	char *p = text->mem != NULL ? text->mem + text->head : NULL;

	for (size_t i = 0; i < text->n; i++) {
		if (is_blank(p[i]) && n != 0 && p[n - 1] == ' ')
			continue;
		p[n++] = is_blank(p[i]) ? ' ' : p[i];
	}
	return str_n(p, n);
}

void
subject_base(struct buf *out, struct str value, bool *is_reply_out)
{
	struct buf text;
	char plain[PLAIN_MAX];
	size_t n = copy_plain(plain, value);
	bool reply = false;

	buf_init(&text, value.n * 4 + 16);
	charset_fold(out, strip_all(n != 0 ? str_n(plain, n) : decode(&text, value), &reply));
	buf_fini(&text);
	if (is_reply_out != NULL)
		*is_reply_out = reply;
}
