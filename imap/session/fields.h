#ifndef POSTROOM_IMAP_FIELDS_H
#define POSTROOM_IMAP_FIELDS_H

#include "core/base/arena.h"

/* Walking the header fields that the index keeps, fast: 100,000 messages have a million of them. A
 * run is what message_fields gives: whole fields, each line ended, nothing else. */
struct field_name_set {
	const struct str *names;
	uint8_t slot[256]; /* 1 + index into names by hash; 0: none */
	unsigned seed;	   /* of the hash */
	bool unique;	   /* no two names share a slot: slot answers alone */
};
/* Keeps names. */
void
field_name_set_init(struct field_name_set *s, const struct str *names, size_t n);

/* The next field of the run: its name, where the value begins, and all its octets. False at the end
 * or where the run is none. */
static inline bool
field_next(struct str *run, struct str *name_out, struct str *value_out, struct str *whole_out)
{
	const char *p = run->p, *end = p + run->n;
	const char *eol = run->n != 0 ? memchr(p, '\n', run->n) : NULL;

	while (eol != NULL && eol + 1 < end && (eol[1] == ' ' || eol[1] == '\t'))
		eol = memchr(eol + 1, '\n', (size_t)(end - eol - 1));
	if (run->n == 0)
		return false;
	const char *stop = eol != NULL ? eol + 1 : end;
	const char *colon = memchr(p, ':', (size_t)(stop - p));

	if (colon == NULL)
		return false;
	*whole_out = str_n(p, (size_t)(stop - p));
	*value_out = str_n(colon + 1, (size_t)(stop - colon - 1));
	while (colon > p && (colon[-1] == ' ' || colon[-1] == '\t'))
		colon--;
	*name_out = str_n(p, (size_t)(colon - p));
	*run = str_n(stop, (size_t)(end - stop));
	return true;
}

static inline unsigned
field_name_hash(unsigned seed, struct str name)
{
	if (name.n == 0)
		return 0;
	unsigned first = (unsigned char)name.p[0] | 0x20u;
	unsigned last = (unsigned char)name.p[name.n - 1] | 0x20u;

	return (unsigned)(name.n * 37 + first * (5 + 2 * seed) + last * (11 + 6 * seed)) & 255;
}

/* Only with unique. */
static inline bool
field_name_set_has(const struct field_name_set *s, struct str name)
{
	unsigned i = s->slot[field_name_hash(s->seed, name)];

	return i != 0 && str_ieq(s->names[i - 1], name);
}

#endif
