/* Object ids; see objectid.h. Called by FETCH, SEARCH, SELECT, CREATE and STATUS. Invariant: the
 * text is a function of numbers that the store never gives twice within a home. */
#include "imap/session/objectid.h"

enum { DIGITS = 16 };

void
write_objectid(struct buf *out, enum object_kind kind, uint64_t id)
{
	static const char hex[] = "0123456789abcdef";
	char t[DIGITS + 3] = { '(', (char)kind };

	for (int i = 0; i < DIGITS; i++)
		t[2 + i] = hex[id >> (60 - 4 * i) & 15];
	t[DIGITS + 2] = ')';
	buf_add(out, str_n(t, sizeof t));
}

bool
objectid_parse(struct str s, enum object_kind kind, uint64_t *id_out)
{
	uint64_t id = 0;

	if (s.n != DIGITS + 1 || s.p[0] != (char)kind)
		return false;
	for (size_t i = 1; i < s.n; i++) {
		int c = s.p[i];

		if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
			return false;
		id = id << 4 | (uint64_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	*id_out = id;
	return true;
}

uint64_t
objectid_mailbox(uint32_t id, uint32_t uidvalidity)
{
	return (uint64_t)uidvalidity << 32 | id;
}
