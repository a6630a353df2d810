/* Parsers of the auth, auth-userdb and directory sockets. Their servers call them with what any
 * local process may send; every line is taken whole or refused. */
#include "auth-ldap/server/proto.h"

#include "core/authclient/wire.h"

static bool
number(struct str *rest, uint32_t *out)
{
	struct str field;
	return wire_next(rest, &field) && str_to_u32(field, UINT32_MAX, out) == ERR_OK;
}

static bool
value_of(struct str field, struct str key, struct str *out)
{
	if (!str_starts(field, key))
		return false;
	*out = str_from(field, key.n);
	return true;
}

static enum err
auth_request_line(struct str rest, struct auth_line *out)
{
	struct str field;
	if (!number(&rest, &out->id) || !wire_next(&rest, &out->mechanism) || out->mechanism.n == 0)
		return ERR_SYNTAX;
	bool service = false;
	while (wire_next(&rest, &field)) {
		if (str_eq(field, STR("secured")) || str_starts(field, STR("secured=")))
			out->secured = true;
		else if (str_eq(field, STR("nologin")))
			out->nologin = true;
		else if (str_eq(field, STR("valid-client-cert")))
			out->valid_certificate = true;
		else if (value_of(field, STR("service="), &out->service))
			service = out->service.n > 0;
		else if (!value_of(field, STR("session="), &out->session) &&
			 !value_of(field, STR("lip="), &out->local) &&
			 !value_of(field, STR("rip="), &out->remote) &&
			 !value_of(field, STR("cert_username="), &out->certificate))
			(void)value_of(field, STR("resp="), &out->response);
	}
	return service ? ERR_OK : ERR_SYNTAX;
}

enum err
auth_line_parse(struct str line, struct auth_line *out)
{
	struct str verb, rest = line;
	*out = (struct auth_line){ .verb = AUTH_OTHER };
	if (line.p == NULL || !wire_next(&rest, &verb))
		return ERR_SYNTAX;
	if (str_eq(verb, STR("VERSION"))) {
		out->verb = AUTH_VERSION;
		return number(&rest, &out->major) && number(&rest, &out->minor) ? ERR_OK
										: ERR_SYNTAX;
	}
	if (str_eq(verb, STR("CPID"))) {
		out->verb = AUTH_CPID;
		return number(&rest, &out->id) ? ERR_OK : ERR_SYNTAX;
	}
	if (str_eq(verb, STR("AUTH"))) {
		out->verb = AUTH_AUTH;
		return auth_request_line(rest, out);
	}
	if (str_eq(verb, STR("CANCEL"))) {
		out->verb = AUTH_CANCEL;
		return number(&rest, &out->id) ? ERR_OK : ERR_SYNTAX;
	}
	if (str_eq(verb, STR("CONT"))) {
		out->verb = AUTH_CONT;
		if (!number(&rest, &out->id))
			return ERR_SYNTAX;
		out->response = STR_EMPTY;
		(void)wire_next(&rest, &out->response);
	}
	return ERR_OK;
}

static enum userdb_verb
userdb_verb_of(struct str verb)
{
	static const struct {
		const char *name;
		enum userdb_verb verb;
	} table[] = {
		{ "VERSION", USERDB_VERSION },
		{ "USER", USERDB_USER },
		{ "PASS", USERDB_PASS },
		{ "LIST", USERDB_LIST },
		{ "REQUEST", USERDB_REQUEST },
		{ "CHECK", USERDB_CHECK },
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (str_eq(verb, str_of(table[i].name)))
			return table[i].verb;
	return USERDB_OTHER;
}

enum err
userdb_line_parse(struct str line, struct userdb_line *out)
{
	struct str verb, field, rest = line;
	bool ok = true;
	*out = (struct userdb_line){ .verb = USERDB_OTHER };
	if (line.p == NULL || !wire_next(&rest, &verb))
		return ERR_SYNTAX;
	out->verb = userdb_verb_of(verb);
	switch (out->verb) {
	case USERDB_VERSION:
		return number(&rest, &out->major) && number(&rest, &out->minor) ? ERR_OK
										: ERR_SYNTAX;
	case USERDB_USER:
	case USERDB_PASS:
	case USERDB_CHECK:
		ok = number(&rest, &out->id) && wire_next(&rest, &out->name);
		break;
	case USERDB_LIST:
		ok = number(&rest, &out->id);
		break;
	case USERDB_REQUEST:
		ok = number(&rest, &out->id) && number(&rest, &out->client_pid) &&
		     number(&rest, &out->client_id) && wire_next(&rest, &out->cookie) &&
		     out->cookie.n > 0;
		break;
	case USERDB_OTHER:
		break;
	}
	while (ok && wire_next(&rest, &field)) {
		struct str age;
		if (value_of(field, STR("max_age="), &age))
			ok = str_to_u32(age, UINT32_MAX, &out->max_age_ms) == ERR_OK;
		else if (!value_of(field, STR("service="), &out->service) &&
			 !value_of(field, STR("user="), &out->user))
			(void)value_of(field, STR("rip="), &out->remote);
	}
	return ok ? ERR_OK : ERR_SYNTAX;
}

enum err
netstring_parse(struct str in, size_t max_bytes, struct str *payload_out, size_t *size_out)
{
	size_t n = 0, digits = 0;
	while (digits < in.n && ascii_is_digit((unsigned char)in.p[digits])) {
		if (digits > 0 && n == 0)
			return ERR_SYNTAX; /* a leading zero */
		n = n * 10 + (size_t)(in.p[digits] - '0');
		digits++;
		if (n > max_bytes)
			return ERR_LIMIT;
	}
	if (digits == in.n)
		return ERR_AGAIN;
	if (digits == 0 || in.p[digits] != ':')
		return ERR_SYNTAX;
	size_t start = digits + 1;
	if (in.n - start < n + 1)
		return ERR_AGAIN;
	if (in.p[start + n] != ',')
		return ERR_SYNTAX;
	*payload_out = str_sub(in, start, n);
	*size_out = start + n + 1;
	return ERR_OK;
}

void
netstring_reply(struct buf *out, const char *status, struct str text)
{
	buf_addu(out, strlen(status) + 1 + text.n);
	buf_addc(out, ':');
	buf_addz(out, status);
	buf_addc(out, ' ');
	buf_add(out, text);
	buf_addc(out, ',');
}
