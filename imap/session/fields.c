/* The table behind field_name_set_has; see fields.h. */
#include "imap/session/fields.h"

enum { SEEDS_MAX = 64 };

static bool
fill(struct field_name_set *s, const struct str *names, size_t n, unsigned seed)
{
	*s = (struct field_name_set){ .names = names, .seed = seed };
	for (size_t i = 0; i < n; i++) {
		uint8_t *slot = &s->slot[field_name_hash(seed, names[i])];

		if (*slot != 0 && !str_ieq(names[*slot - 1], names[i]))
			return false;
		*slot = (uint8_t)(i + 1);
	}
	return true;
}

void
field_name_set_init(struct field_name_set *s, const struct str *names, size_t n)
{
	bool unique = false;

	for (unsigned seed = 0; n < 255 && !unique && seed < SEEDS_MAX; seed++)
		unique = fill(s, names, n, seed);
	s->unique = unique;
}
