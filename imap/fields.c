/* The table behind field_name_set_has; see fields.h. */
#include "imap/fields.h"

void
field_name_set_init(struct field_name_set *s, const struct str *names, size_t n)
{
	*s = (struct field_name_set){ .names = names, .unique = n < 255 };
	for (size_t i = 0; i < n && s->unique; i++) {
		uint8_t *slot = &s->slot[field_name_hash(names[i])];

		if (*slot != 0 && !str_ieq(names[*slot - 1], names[i]))
			s->unique = false;
		*slot = (uint8_t)(i + 1);
	}
}
