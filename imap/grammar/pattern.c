/* Patterns of LIST and LSUB; see pattern.h. Invariant: no backtracking, so that a pattern of stars
 * costs no more than its length. */
#include "imap/grammar/pattern.h"

enum { PATTERN_MAX = 1024, SEPARATOR = '/' };

static bool
is_inbox_pattern(struct str p)
{
	return str_istarts(p, STR("INBOX")) &&
	       (p.n == 5 || p.p[5] == SEPARATOR || p.p[5] == '*' || p.p[5] == '%');
}

/* states[j]: the first j characters of the pattern match what was read so far. */
static void
close_wildcards(bool *states, struct str pattern)
{
	for (size_t j = 0; j < pattern.n; j++)
		if (states[j] && (pattern.p[j] == '*' || pattern.p[j] == '%'))
			states[j + 1] = true;
}

static bool
matches(struct str pattern, struct str name, size_t any_case)
{
	bool now[PATTERN_MAX + 1], next[PATTERN_MAX + 1];

	memset(now, 0, pattern.n + 1);
	now[0] = true;
	close_wildcards(now, pattern);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		memset(next, 0, pattern.n + 1);
		for (size_t j = 0; j < pattern.n; j++) {
			char p = pattern.p[j];

			if (!now[j])
				continue;
			if (p == '*' || (p == '%' && c != SEPARATOR))
				next[j] = true;
			else if (p == c || (i < any_case && ascii_upper(p) == c))
				next[j + 1] = true;
		}
		close_wildcards(next, pattern);
		memcpy(now, next, pattern.n + 1);
	}
	return now[pattern.n];
}

bool
pattern_matches(struct str pattern, struct str name)
{
	if (pattern.n > PATTERN_MAX)
		return false;
	bool inbox = str_starts(name, STR("INBOX")) && (name.n == 5 || name.p[5] == SEPARATOR);

	return matches(pattern, name, inbox && is_inbox_pattern(pattern) ? 5 : 0);
}
