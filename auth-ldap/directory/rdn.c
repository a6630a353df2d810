/* The first part of a DN, and a key under which the spellings of a DN meet. Used by member_batch.c
 * on DNs that directories hold. Pure functions over bytes. */
#include "auth-ldap/directory/rdn.h"

enum { DN_MAX = RDN_KEY_MAX / 2 };

static int
hex_value(int c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
rdn_split(struct str dn, struct str *type, struct buf *value, struct str *parent)
{
	size_t at = str_chr(dn, '='), i, end = 0;
	*type = str_trim(str_sub(dn, 0, at));
	for (i = 0; i < type->n; i++)
		if (!ascii_is_alnum(type->p[i]) && type->p[i] != '-')
			return false;
	for (i = at + 1; i < dn.n && dn.p[i] == ' ';)
		i++;
	if (type->n == 0 || i >= dn.n || dn.p[i] == '#')
		return false;
	for (; i < dn.n && dn.p[i] != ','; i++) {
		char c = dn.p[i];
		if (c == '+' || c == '"' || c == ';' || c == '\0')
			return false;
		if (c == '\\') {
			int high = i + 1 < dn.n ? hex_value((unsigned char)dn.p[i + 1]) : -1;
			int low = i + 2 < dn.n ? hex_value((unsigned char)dn.p[i + 2]) : -1;
			if (i + 1 >= dn.n)
				return false;
			c = high >= 0 && low >= 0 ? (char)(high * 16 + low) : dn.p[i + 1];
			i += high >= 0 && low >= 0 ? 2 : 1;
			buf_addc(value, c);
			end = value->n;
			continue;
		}
		buf_addc(value, c);
		if (c != ' ')
			end = value->n;
	}
	buf_truncate(value, end);
	*parent = str_from(dn, i + 1);
	return value->n > 0 && parent->n > 0 && buf_check(value) == ERR_OK;
}

void
dn_add_folded(struct buf *out, struct str dn)
{
	bool escaped = false,
	     comma = true; /* the byte before: "\\" that escapes; the end of a part */
	for (size_t i = 0; i < dn.n; i++) {
		char c = dn.p[i];
		if (c == ' ' && comma)
			continue;
		buf_addc(out, (char)ascii_lower((unsigned char)c));
		comma = c == ',' && !escaped;
		escaped = c == '\\' && !escaped;
	}
}

bool
rdn_key(struct str dn, struct buf *key, size_t *siblings_bytes, struct buf *value)
{
	struct str type, parent;
	buf_reset(key);
	buf_reset(value);
	if (dn.n > DN_MAX || !rdn_split(dn, &type, value, &parent))
		return false;
	dn_add_folded(key, type);
	buf_addc(key, ',');
	dn_add_folded(key, parent);
	*siblings_bytes = key->n;
	buf_addc(key, '\0');
	buf_add(key, buf_str(value)); /* as it is: some directories tell case apart */
	return buf_check(key) == ERR_OK;
}
