/* The first messages of SCRAM, OAUTHBEARER and XOAUTH2; core/sasl/exchange.c calls them before
 * anybody else sees the bytes. Whatever is not plainly what the RFC says is refused whole. */
#include "core/sasl/bearer.h"

/* saslname: no NUL, no comma, "=" only as =2C or =3D. RFC 5802 7, RFC 5801 4. */
static enum err
decode_name(struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '\0' || c == ',')
			return ERR_SYNTAX;
		if (c == '=') {
			struct str code = str_sub(in, i + 1, 2);
			if (!str_eq(code, STR("2C")) && !str_eq(code, STR("3D")))
				return ERR_SYNTAX;
			c = code.p[0] == '2' ? ',' : '=';
			i += 2;
		}
		buf_addc(out, c);
	}
	return in.n == 0 ? ERR_SYNTAX : buf_check(out);
}

/* The two fields in front of the message, "n,a=boss,". Takes them off *in. */
static enum err
gs2_header(struct str *in, struct buf *authzid_out)
{
	struct str binding, authzid;
	if (!str_cut(*in, ',', &binding, in) || !str_cut(*in, ',', &authzid, in))
		return ERR_SYNTAX;
	if (!str_eq(binding, STR("n")) && !str_eq(binding, STR("y")))
		return ERR_SYNTAX;
	/* An empty a= is not in the grammar, but GNU SASL writes it. */
	if (authzid.n == 0 || str_eq(authzid, STR("a=")))
		return ERR_OK;
	if (!str_starts(authzid, STR("a=")))
		return ERR_SYNTAX;
	return decode_name(str_from(authzid, 2), authzid_out);
}

enum err
scram_name(struct str message, struct buf *name_out)
{
	struct str name, nonce, rest;
	struct buf authzid;
	if (str_has_nul(message))
		return ERR_SYNTAX;
	buf_init(&authzid, message.n + 1);
	enum err e = gs2_header(&message, &authzid);
	buf_fini(&authzid);
	if (e != ERR_OK)
		return e;
	if (!str_cut(message, ',', &name, &rest) || !str_starts(name, STR("n=")))
		return ERR_SYNTAX;
	(void)str_cut(rest, ',', &nonce, &rest);
	if (!str_starts(nonce, STR("r=")) || nonce.n == 2)
		return ERR_SYNTAX;
	return decode_name(str_from(name, 2), name_out);
}

/* "Bearer TOKEN"; the scheme in any case. b64token: RFC 6750 2.1. */
static enum err
credentials(struct str in, struct str *token_out)
{
	struct str scheme, token;
	if (!str_cut(in, ' ', &scheme, &token) || !str_ieq(scheme, STR("Bearer")))
		return ERR_SYNTAX;
	while (token.n > 0 && token.p[0] == ' ')
		token = str_from(token, 1);
	size_t n = 0;
	while (n < token.n &&
		(ascii_is_alnum(token.p[n]) || memchr("-._~+/", token.p[n], 6) != NULL))
		n++;
	if (n == 0)
		return ERR_SYNTAX;
	for (size_t i = n; i < token.n; i++)
		if (token.p[i] != '=')
			return ERR_SYNTAX;
	*token_out = token;
	return ERR_OK;
}

/* Pairs, each with \1 behind it, and one \1 more at the end. */
static enum err
pairs(struct str in, struct bearer *out)
{
	struct str pair, key, value;
	bool user = false;
	while (str_cut(in, '\1', &pair, &in)) {
		if (pair.n == 0)
			return in.n == 0 && out->token.n > 0 ? ERR_OK : ERR_SYNTAX;
		if (!str_cut(pair, '=', &key, &value) || str_has_nul(value))
			return ERR_SYNTAX;
		if (str_eq(key, STR("auth"))) {
			if (out->token.n > 0 || credentials(value, &out->token) != ERR_OK)
				return ERR_SYNTAX;
		} else if (str_eq(key, STR("user"))) {
			if (user)
				return ERR_SYNTAX;
			user = true;
			out->user = value;
		}
	}
	return ERR_SYNTAX;
}

enum err
bearer_parse(struct str message, struct bearer *out, struct buf *authzid_out)
{
	*out = (struct bearer){ .user = STR_EMPTY };
	enum err e = gs2_header(&message, authzid_out);
	if (e != ERR_OK)
		return e;
	if (message.n == 0 || message.p[0] != '\1')
		return ERR_SYNTAX;
	e = pairs(str_from(message, 1), out);
	out->user = STR_EMPTY;
	return e;
}

enum err
xoauth2_parse(struct str message, struct bearer *out)
{
	*out = (struct bearer){ .user = STR_EMPTY };
	enum err e = pairs(message, out);
	return e == ERR_OK && out->user.n == 0 ? ERR_SYNTAX : e;
}
