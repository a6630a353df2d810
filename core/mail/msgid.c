/* Message ids; called by the store (threading) and imap. Invariant: *rest only moves forward, so a
 * list of any length is read once. */
#include "core/mail/msgid.h"

#include "core/mail/token.h"

/* Where the id that s begins with (behind its "<") ends: at ">", or at what cannot be in one. */
static size_t
id_end(struct str s)
{
	size_t i = 0;

	while (i < s.n && s.p[i] != '>' && s.p[i] != '<') {
		struct str rest = str_from(s, i);

		if (s.p[i] == '"') {
			(void)token_quoted_raw(&rest);
			i = s.n - rest.n;
		} else {
			i++;
		}
	}
	return i;
}

/* raw: between the brackets. White space and comments around the parts are dropped, quotes taken
 * off. ERR_SYNTAX: no id. */
static enum err
clean_id(struct str raw, struct arena *a, struct str *out)
{
	char *p = arena_alloc(a, raw.n + 1);
	size_t n = 0;
	bool at = false;

	if (p == NULL)
		return ERR_LIMIT;
	token_skip_cfws(&raw);
	while (raw.n != 0) {
		struct str piece = str_sub(raw, 0, 1);

		if (raw.p[0] == '"') {
			enum err e = token_quoted(&raw, a, &piece);

			if (e != ERR_OK)
				return e;
		} else {
			at |= raw.p[0] == '@' && n != 0 && raw.n > 1;
			raw = str_from(raw, 1);
		}
		if (piece.n != 0)
			memcpy(p + n, piece.p, piece.n);
		n += piece.n;
		token_skip_cfws(&raw);
	}
	*out = str_n(p, n);
	return at ? ERR_OK : ERR_SYNTAX;
}

enum err
msgid_next(struct str *rest, struct arena *a, struct str *id_out)
{
	for (;;) {
		size_t open = str_chr(*rest, '<');

		if (open == rest->n) {
			*rest = STR_EMPTY;
			return ERR_NOTFOUND;
		}
		*rest = str_from(*rest, open + 1);
		size_t end = id_end(*rest);
		struct str raw = str_sub(*rest, 0, end);
		bool closed = end < rest->n && rest->p[end] == '>';

		*rest = str_from(*rest, end);
		if (!closed)
			continue;
		enum err e = clean_id(raw, a, id_out);

		if (e != ERR_SYNTAX)
			return e;
	}
}
