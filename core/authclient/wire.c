/* Lines, fields and escapes of the Dovecot auth and master protocols; called by the clients of
 * this folder with bytes that another process sent. */
#include "core/authclient/wire.h"

#include "core/authclient/auth.h"

static const char ESCAPED[] = { '\0', '\001', '\t', '\r', '\n' };
static const char NAMES[] = { '0', '1', 't', 'r', 'n' };

void
wire_escape(struct buf *out, struct str field)
{
	size_t from = 0;
	for (size_t i = 0; i < field.n; i++) {
		const char *at = memchr(ESCAPED, field.p[i], sizeof(ESCAPED));
		if (at == NULL)
			continue;
		buf_add(out, str_sub(field, from, i - from));
		buf_addc(out, '\001');
		buf_addc(out, NAMES[at - ESCAPED]);
		from = i + 1;
	}
	buf_add(out, str_from(field, from));
}

enum err
wire_unescape(struct buf *out, struct str field)
{
	while (field.n > 0) {
		size_t plain = str_chr(field, '\001');
		buf_add(out, str_sub(field, 0, plain));
		if (plain == field.n)
			break;
		if (plain + 1 == field.n)
			return ERR_SYNTAX;
		const char *at = memchr(NAMES, field.p[plain + 1], sizeof(NAMES));
		if (at == NULL)
			return ERR_SYNTAX;
		buf_addc(out, ESCAPED[at - NAMES]);
		field = str_from(field, plain + 2);
	}
	return buf_check(out);
}

bool
wire_next(struct str *rest, struct str *field_out)
{
	if (rest->p == NULL)
		return false;
	if (!str_cut(*rest, '\t', field_out, rest))
		*rest = (struct str){ NULL, 0 };
	return true;
}

enum err
wire_line(const struct buf *in, size_t max_bytes, struct str *line_out)
{
	struct str all = buf_str(in);
	size_t n = str_chr(str_sub(all, 0, max_bytes + 1), '\n');
	if (n > max_bytes)
		return ERR_LIMIT;
	if (n == all.n)
		return ERR_AGAIN;
	*line_out = str_sub(all, 0, n);
	if (str_has_nul(*line_out) || str_chr(*line_out, '\r') < n)
		return ERR_SYNTAX;
	return ERR_OK;
}

enum err
auth_field(struct str fields, const char *name, struct buf *out)
{
	struct str field, key, value;
	buf_reset(out);
	while (wire_next(&fields, &field)) {
		if (!str_cut(field, '=', &key, &value))
			continue;
		if (str_eq(key, str_of(name)))
			return wire_unescape(out, value) == ERR_OK ? ERR_OK : ERR_LIMIT;
	}
	return ERR_NOTFOUND;
}
