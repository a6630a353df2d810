/* Growable buffer with a maximum; see buf.h. Invariant: head + n <= cap, n <= max. */
#include "core/base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

void
buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max = max_bytes };
}

void
buf_init_secret(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max = max_bytes, .secret = true };
}

static void
give_back(struct buf *b, char *mem, size_t n)
{
	if (b->secret && mem != NULL)
		explicit_bzero(mem, n);
	free(mem);
}

void
buf_fini(struct buf *b)
{
	give_back(b, b->mem, b->cap);
	b->mem = NULL;
	b->head = b->n = b->cap = 0;
}

void
buf_reset(struct buf *b)
{
	if (b->secret && b->mem != NULL)
		explicit_bzero(b->mem, b->cap);
	b->head = b->n = 0;
	b->over = false;
}

void
buf_release(struct buf *b)
{
	buf_fini(b);
	b->over = false;
}

enum err
buf_check(const struct buf *b)
{
	return b->over ? ERR_LIMIT : ERR_OK;
}

/* Make n bytes free behind the content; false above the maximum. */
static bool
grow(struct buf *b, size_t n)
{
	if (n > b->max - b->n)
		return false;
	if (b->mem != NULL && b->cap - b->head - b->n >= n)
		return true;
	if (b->mem != NULL && b->head >= b->n && b->cap - b->n >= n) {
		memmove(b->mem, b->mem + b->head, b->n);
		if (b->secret)
			explicit_bzero(b->mem + b->head, b->n);
		b->head = 0;
		return true;
	}
	size_t cap = b->cap < 64 ? 64 : b->cap;

	while (cap < b->n + n)
		cap *= 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	char *mem = xmalloc(cap);

	if (b->n != 0)
		memcpy(mem, b->mem + b->head, b->n);
	give_back(b, b->mem, b->cap);
	b->mem = mem;
	b->head = 0;
	b->cap = cap;
	return true;
}

void
buf_add(struct buf *b, struct str s)
{
	if (s.n == 0 || b->over)
		return;
	if (!grow(b, s.n)) {
		b->over = true;
		return;
	}
	memcpy(b->mem + b->head + b->n, s.p, s.n);
	b->n += s.n;
}

void
buf_addz(struct buf *b, const char *z)
{
	buf_add(b, str_of(z));
}

void
buf_addc(struct buf *b, char c)
{
	buf_add(b, str_n(&c, 1));
}

void
buf_add_utf8(struct buf *b, uint32_t c)
{
	char u[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = n - 1; i > 0; i--) {
		u[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	u[0] = (char)(lead[n] | c);
	buf_add(b, str_n(u, n));
}

void
buf_add_shown(struct buf *b, struct str s)
{
	bool utf8 = str_is_utf8(s);
	size_t control = 0; /* so many bytes of one follow */

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		struct str rest = str_from(s, i);

		if (control == 0 && utf8 && c == 0xc2 && (unsigned char)rest.p[1] < 0xa0)
			control = 2;
		else if (control == 0 && (str_starts(rest, STR("\xe2\x80\xa8")) ||
						 str_starts(rest, STR("\xe2\x80\xa9"))))
			control = 3;
		if (control > 0 || c < ' ' || c == 0x7f || (c >= 0x80 && !utf8))
			buf_addf(b, "\\x%02x", c);
		else
			buf_addc(b, (char)c);
		control -= control > 0;
	}
}

void
buf_addu(struct buf *b, uint64_t v)
{
	char tmp[20];
	size_t at = sizeof tmp;

	do {
		tmp[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	buf_add(b, str_n(tmp + at, sizeof tmp - at));
}

void
buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;

	if (b->over)
		return;
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof small, fmt, again);
	va_end(again);

	assert(n >= 0);
	if ((size_t)n > b->max - b->n)
		b->over = true;
	else if ((size_t)n < sizeof small)
		buf_add(b, str_n(small, (size_t)n));
	if (b->secret)
		explicit_bzero(small, sizeof small);
	if (b->over || (size_t)n < sizeof small)
		return;
	/* vsnprintf writes a NUL behind, which may lie one past the maximum */
	char *tmp = xmalloc((size_t)n + 1);

	(void)vsnprintf(tmp, (size_t)n + 1, fmt, ap);
	buf_add(b, str_n(tmp, (size_t)n));
	if (b->secret)
		explicit_bzero(tmp, (size_t)n);
	free(tmp);
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_addv(b, fmt, ap);
	va_end(ap);
}

char *
buf_reserve(struct buf *b, size_t n)
{
	return grow(b, n) ? b->mem + b->head + b->n : NULL;
}

void
buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->head - b->n);
	b->n += n;
}

size_t
buf_room(const struct buf *b)
{
	return b->max - b->n;
}

void
buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->n);
	b->head += n;
	b->n -= n;
	if (b->n == 0)
		b->head = 0;
}

void
buf_truncate(struct buf *b, size_t n)
{
	assert(n <= b->n);
	b->n = n;
}

const char *
buf_z(struct buf *b)
{
	bool fits = grow(b, 1);

	assert(fits);
	b->mem[b->head + b->n] = '\0';
	return b->mem + b->head;
}
