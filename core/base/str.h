#ifndef POSTROOM_BASE_STR_H
#define POSTROOM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/err.h"

/* A borrowed run of bytes; may hold NUL, need not end in one. {NULL, 0} and
 * {"", 0} are both empty. Never owns. */
struct str {
	const char *p;
	size_t n;
};

#define STR(lit)  ((struct str){ "" lit "", sizeof(lit) - 1 })
#define STR_EMPTY ((struct str){ "", 0 })
/* For printf's "%.*s". */
#define STR_FMT(s) (int)(s).n, (s).p

static inline struct str
str_of(const char *z)
{
	return (struct str){ z, z != NULL ? strlen(z) : 0 };
}

static inline struct str
str_n(const void *p, size_t n)
{
	return (struct str){ (const char *)p, n };
}

/* ASCII only; the C library's ctype depends on the locale and is banned. */
static inline bool
ascii_is_digit(int c)
{
	return c >= '0' && c <= '9';
}
static inline bool
ascii_is_alpha(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool
ascii_is_alnum(int c)
{
	return ascii_is_digit(c) || ascii_is_alpha(c);
}
/* 0 to 15, of either case; -1: no hexadecimal digit. */
static inline int
ascii_hex_value(int c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
static inline bool
ascii_is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
/* One of the bytes of set. NUL never is, although strchr finds it behind every set. */
static inline bool
ascii_is_among(int c, const char *set)
{
	return c > 0 && strchr(set, c) != NULL;
}
static inline int
ascii_lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}
static inline int
ascii_upper(int c)
{
	return c >= 'a' && c <= 'z' ? c - 32 : c;
}

bool
str_eq(struct str a, struct str b);
/* Equal without regard to ASCII case. */
bool
str_ieq(struct str a, struct str b);
bool
str_starts(struct str s, struct str prefix);
bool
str_istarts(struct str s, struct str prefix);
bool
str_ends(struct str s, struct str suffix);
/* Bytewise order, shorter first: for sorting. */
int
str_cmp(struct str a, struct str b);

/* Index of the first (last) c in s, or s.n when there is none. */
size_t
str_chr(struct str s, char c);
size_t
str_rchr(struct str s, char c);
/* Index of the first needle in s, or s.n; the second without ASCII case. */
size_t
str_find(struct str s, struct str needle);
size_t
str_ifind(struct str s, struct str needle);

/* At most n bytes of s from offset from; clipped to s. */
struct str
str_sub(struct str s, size_t from, size_t n);
/* s from offset from to its end; clipped. */
struct str
str_from(struct str s, size_t from);
/* Without ASCII white space at both ends. */
struct str
str_trim(struct str s);
/* Split s at the first c. True and head, tail set (tail behind c); false and
 * head_out = s, tail_out empty when there is no c. */
bool
str_cut(struct str s, char c, struct str *head_out, struct str *tail_out);

/* Decimal digits only, no sign, no space. ERR_SYNTAX, or ERR_LIMIT above max. */
MUST_USE enum err
str_to_u64(struct str s, uint64_t max, uint64_t *out);
MUST_USE enum err
str_to_u32(struct str s, uint32_t max, uint32_t *out);

/* True when s is well-formed UTF-8 (RFC 3629): no surrogates, no overlong. */
bool
str_is_utf8(struct str s);
/* True when a byte of s is >= 0x80. */
bool
str_has_8bit(struct str s);
bool
str_has_nul(struct str s);

/* A NUL-ended copy; returned owned, free(). For fixed-size things of ours. */
char *
str_dup(struct str s);

#endif
