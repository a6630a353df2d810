/* Borrowed byte strings; see str.h. Nothing here allocates but str_dup. */
#include "core/base/str.h"

#include "core/base/xalloc.h"

bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static bool
same_fold(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ascii_lower((unsigned char)a[i]) != ascii_lower((unsigned char)b[i]))
			return false;
	return true;
}

bool
str_ieq(struct str a, struct str b)
{
	return a.n == b.n && same_fold(a.p, b.p, a.n);
}

bool
str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_n(s.p, prefix.n), prefix);
}

bool
str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && same_fold(s.p, prefix.p, prefix.n);
}

bool
str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_from(s, s.n - suffix.n), suffix);
}

int
str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n != 0 ? memcmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

size_t
str_chr(struct str s, char c)
{
	const char *at = s.n != 0 ? memchr(s.p, c, s.n) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

size_t
str_rchr(struct str s, char c)
{
	const char *at = s.n != 0 ? memrchr(s.p, c, s.n) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

size_t
str_find(struct str s, struct str needle)
{
	if (needle.n == 0)
		return 0;
	const char *at = s.n != 0 ? memmem(s.p, s.n, needle.p, needle.n) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

size_t
str_ifind(struct str s, struct str needle)
{
	if (needle.n == 0)
		return 0;
	for (size_t i = 0; i + needle.n <= s.n; i++)
		if (same_fold(s.p + i, needle.p, needle.n))
			return i;
	return s.n;
}

struct str
str_sub(struct str s, size_t from, size_t n)
{
	if (from >= s.n)
		return STR_EMPTY;
	if (n > s.n - from)
		n = s.n - from;
	return str_n(s.p + from, n);
}

struct str
str_from(struct str s, size_t from)
{
	return str_sub(s, from, SIZE_MAX);
}

struct str
str_trim(struct str s)
{
	while (s.n != 0 && ascii_is_space((unsigned char)s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n != 0 && ascii_is_space((unsigned char)s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
str_cut(struct str s, char c, struct str *head_out, struct str *tail_out)
{
	size_t at = str_chr(s, c);

	*head_out = str_n(s.p, at);
	if (at == s.n) {
		*tail_out = STR_EMPTY;
		return false;
	}
	*tail_out = str_from(s, at + 1);
	return true;
}

enum err
str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_digit((unsigned char)s.p[i]))
			return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t d = (uint64_t)(s.p[i] - '0');
		if (v > (UINT64_MAX - d) / 10 || v * 10 + d > max)
			return ERR_LIMIT;
		v = v * 10 + d;
	}
	*out = v;
	return ERR_OK;
}

enum err
str_to_u32(struct str s, uint32_t max, uint32_t *out)
{
	uint64_t v;
	enum err e = str_to_u64(s, max, &v);

	if (e == ERR_OK)
		*out = (uint32_t)v;
	return e;
}

/* Length of the sequence that starts at p, 0 when it is not well formed. */
static size_t
utf8_step(const unsigned char *p, size_t n)
{
	unsigned char c = p[0];
	size_t need = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (need == 0 || need > n)
		return 0;
	for (size_t i = 1; i < need; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
		(c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
		return 0;
	return need;
}

bool
str_is_utf8(struct str s)
{
	for (size_t i = 0; i < s.n;) {
		size_t step = utf8_step((const unsigned char *)s.p + i, s.n - i);
		if (step == 0)
			return false;
		i += step;
	}
	return true;
}

bool
str_has_8bit(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

bool
str_has_nul(struct str s)
{
	return str_chr(s, '\0') != s.n;
}

char *
str_dup(struct str s)
{
	char *z = xmalloc(s.n + 1);

	if (s.n != 0)
		memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	return z;
}
