/* Fuzzes what postroom-auth makes of its clients' bytes: the lines of the auth and master
 * protocols, and the mechanisms' responses. The first byte chooses; whatever comes, what a parser
 * accepted stays inside the line, and a name that was accepted is harmless in a filter, a DN and a
 * path. */
#include <stdlib.h>

#include "auth-ldap/name/name.h"
#include "auth-ldap/name/template.h"
#include "auth-ldap/server/proto.h"
#include "core/authclient/wire.h"
#include "core/base/codec.h"
#include "core/sasl/exchange.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void
inside(struct str part, struct str line)
{
	CHECK(part.n == 0 || (part.p >= line.p && part.p + part.n <= line.p + line.n));
	CHECK(str_chr(part, '\t') == part.n);
}

enum {
	INPUT_MAX = 4096,  /* longer lines teach nothing new, and cost executions */
	EXCHANGES_MAX = 4, /* of one input: each sets the library up anew */
};

/* RFC 4515 and RFC 4514: none of their special bytes may stand in an escaped value. */
static void
check_name(struct str raw)
{
	struct name n;
	struct buf b;
	buf_init(&b, 64 * 1024);
	escape_filter(&b, raw);
	for (size_t i = 0; i < b.n; i++) {
		char c = buf_str(&b).p[i];
		CHECK(c != '*' && c != '(' && c != ')' && c != '\0' && (c & 0x80) == 0);
	}
	buf_reset(&b);
	escape_dn(&b, raw);
	for (size_t i = 0; i < b.n; i++) {
		char c = buf_str(&b).p[i];
		CHECK(c > ' ' && strchr(",+\"<>;=#", c) == NULL && (c & 0x80) == 0);
	}
	buf_reset(&b);
	if (name_parse(raw, STR("example.org"), &n) == ERR_OK) {
		CHECK(n.address.n == n.local.n + 1 + n.domain.n);
		buf_addz(&b, "/mail/");
		if (template_expand(&b, STR("%{domain}/%{local}"), &n, TEMPLATE_PATH) == ERR_OK)
			CHECK(home_is_safe(buf_str(&b), STR("/mail")));
		/* What was accepted is accepted again, and is the same. */
		struct name again;
		CHECK(name_parse(n.address, STR_EMPTY, &again) == ERR_OK);
		CHECK(str_eq(again.address, n.address));
	}
	buf_fini(&b);
}

/* Any mechanism, with any responses. Keys and tokens are always there, and never right. */
static void
exchange(const char *mechanism, struct str in)
{
	const struct sasl_options o = { .service = "imap", .certificate = STR("CN=anna") };
	const struct sasl_keys keys = { .salt = STR("salt"),
		.stored_key = STR("stored"),
		.server_key = STR("server"),
		.iterations = 4096 };
	struct sasl_exchange *s;
	struct str part, challenge;
	enum err e = ERR_AGAIN;
	CHECK(sasl_exchange_new(str_of(mechanism), &o, &s) == ERR_OK);
	enum sasl_family family = sasl_exchange_mechanism(s)->family;
	const struct sasl_claim *c = sasl_exchange_claim(s);
	for (int steps = 0; e == ERR_AGAIN && steps < 4; steps++) {
		(void)str_cut(in, '\n', &part, &in);
		e = sasl_exchange_step(s, part, &challenge);
		if (e == ERR_BUSY && family == SASL_SCRAM) {
			CHECK(c->name.n > 0 && !str_has_nul(c->name));
			check_name(c->name);
			e = sasl_exchange_keys(s, &keys, &challenge);
		} else if (e == ERR_BUSY) {
			CHECK(c->token.n > 0 && !str_has_nul(c->token) && !str_has_8bit(c->token));
			e = sasl_exchange_token(s, STR("anna"));
		}
	}
	CHECK(e != ERR_OK || family != SASL_SCRAM);
	if (e == ERR_OK) {
		CHECK(c->name.n > 0 && (c->password.n > 0) == (family == SASL_PASSWORD));
		CHECK(!str_has_nul(c->name) && !str_has_nul(c->password));
		CHECK(!str_has_nul(c->authzid));
		check_name(c->name);
	}
	sasl_exchange_free(s);
}

static void
auth_lines(struct buf *in)
{
	struct str text;
	struct auth_line line;
	struct buf decoded;
	int exchanges = 0;
	while (wire_line(in, AUTH_LINE_MAX, &text) == ERR_OK) {
		if (auth_line_parse(text, &line) == ERR_OK) {
			inside(line.mechanism, text);
			inside(line.service, text);
			inside(line.session, text);
			inside(line.response, text);
			buf_init_secret(&decoded, SASL_RESPONSE_MAX);
			if (line.response.p != NULL && exchanges < EXCHANGES_MAX &&
				base64_decode(&decoded, line.response) == ERR_OK) {
				exchange("PLAIN", buf_str(&decoded));
				exchanges++;
			}
			buf_fini(&decoded);
		}
		buf_consume(in, text.n + 1);
	}
}

static void
userdb_lines(struct buf *in)
{
	struct str text;
	struct userdb_line line;
	struct buf name;
	while (wire_line(in, AUTH_LINE_MAX, &text) == ERR_OK) {
		if (userdb_line_parse(text, &line) == ERR_OK) {
			inside(line.name, text);
			inside(line.cookie, text);
			buf_init(&name, AUTH_LINE_MAX);
			if (wire_unescape(&name, line.name) == ERR_OK)
				check_name(buf_str(&name));
			buf_fini(&name);
		}
		buf_consume(in, text.n + 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct buf in;
	if (!ready) {
		const struct str mechanisms[] = { STR("PLAIN"), STR("LOGIN"), STR("SCRAM-SHA-256"),
			STR("EXTERNAL"), STR("OAUTHBEARER"), STR("XOAUTH2") };
		struct str missing;
		CHECK(sasl_exchange_setup(mechanisms, 6, STR_EMPTY, &missing) == ERR_OK);
		ready = true;
	}
	if (size < 1 || size > INPUT_MAX)
		return 0;
	buf_init(&in, 1024 * 1024);
	buf_add(&in, str_n(data + 1, size - 1));
	switch (data[0] % 9) {
	case 0:
		auth_lines(&in);
		break;
	case 1:
		userdb_lines(&in);
		break;
	case 2:
		exchange("PLAIN", buf_str(&in));
		break;
	case 3:
		exchange("LOGIN", buf_str(&in));
		break;
	case 5:
		exchange("SCRAM-SHA-256", buf_str(&in));
		break;
	case 6:
		exchange("OAUTHBEARER", buf_str(&in));
		break;
	case 7:
		exchange("XOAUTH2", buf_str(&in));
		break;
	case 8:
		exchange("EXTERNAL", buf_str(&in));
		break;
	default:
		check_name(buf_str(&in));
		break;
	}
	buf_fini(&in);
	return 0;
}
