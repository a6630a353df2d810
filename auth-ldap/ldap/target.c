/* Where a directory server is: the URIs of the settings. Pure; ldap/pool.c calls it at start. Not
 * libldap's own parser, which would take what we do not use (a DN, a filter) for granted. */
#include <stdio.h>

#include "auth-ldap/ldap/conn.h"

/* "%2Frun%2Fldapi" */
static enum err
unescape_path(struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] != '%') {
			buf_addc(out, in.p[i]);
			continue;
		}
		unsigned v = 0;
		for (size_t k = 1; k <= 2; k++) {
			int ch = i + k < in.n ? ascii_lower((unsigned char)in.p[i + k]) : 0;
			if (!ascii_is_digit(ch) && !(ch >= 'a' && ch <= 'f'))
				return ERR_SYNTAX;
			v = v * 16 + (unsigned)(ascii_is_digit(ch) ? ch - '0' : ch - 'a' + 10);
		}
		if (v == 0)
			return ERR_SYNTAX;
		buf_addc(out, (char)v);
		i += 2;
	}
	return out->n > 0 && buf_str(out).p[0] == '/' ? ERR_OK : ERR_SYNTAX;
}

/* "host", "host:389", "[::1]:389" */
static enum err
split_host(struct str in, unsigned default_port, struct ldap_target *t)
{
	struct str host = in, port = STR_EMPTY;
	uint32_t number = default_port;
	if (str_starts(in, STR("["))) {
		size_t end = str_chr(in, ']');
		if (end == in.n)
			return ERR_SYNTAX;
		host = str_sub(in, 1, end - 1);
		port = str_from(in, end + 1);
		if (port.n > 0 && port.p[0] != ':')
			return ERR_SYNTAX;
		port = str_from(port, 1);
	} else {
		(void)str_cut(in, ':', &host, &port);
	}
	if (port.n > 0 && (str_to_u32(port, 65535, &number) != ERR_OK || number == 0))
		return ERR_SYNTAX;
	if (host.n == 0 || host.n >= sizeof t->host || str_has_nul(host))
		return ERR_SYNTAX;
	bool v6 = str_chr(host, ':') < host.n;
	(void)snprintf(t->host, sizeof t->host, "%.*s", STR_FMT(host));
	(void)snprintf(t->address, sizeof t->address, v6 ? "[%s]:%u" : "%s:%u", t->host, number);
	return ERR_OK;
}

enum err
ldap_target_parse(struct str uri, struct ldap_target *out)
{
	*out = (struct ldap_target){ 0 };
	if (uri.n >= sizeof out->uri)
		return ERR_SYNTAX;
	(void)snprintf(out->uri, sizeof out->uri, "%.*s", STR_FMT(uri));
	size_t at = str_find(uri, STR("://"));
	struct str scheme = str_sub(uri, 0, at), rest = str_from(uri, at + 3);
	if (rest.n > 0 && rest.p[rest.n - 1] == '/')
		rest.n--;
	if (rest.n == 0 || str_chr(rest, '/') < rest.n || str_chr(rest, '?') < rest.n)
		return ERR_SYNTAX;
	if (str_ieq(scheme, STR("ldapi"))) {
		struct buf b;
		buf_init(&b, sizeof out->address - 6);
		enum err e = unescape_path(rest, &b);
		if (e == ERR_OK)
			e = buf_check(&b);
		(void)snprintf(
			out->address, sizeof out->address, "unix:%.*s", STR_FMT(buf_str(&b)));
		(void)snprintf(out->host, sizeof out->host, "localhost");
		buf_fini(&b);
		out->local = true;
		return e;
	}
	out->tls = str_ieq(scheme, STR("ldaps"));
	if (!out->tls && !str_ieq(scheme, STR("ldap")))
		return ERR_SYNTAX;
	return split_host(rest, out->tls ? 636 : 389, out);
}
