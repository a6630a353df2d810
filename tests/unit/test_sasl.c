/* core/sasl: what clients claim by PLAIN and LOGIN is taken down, and nothing else;
 * SCRAM's proofs are checked against the keys that were given; tokens are only carried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "core/sasl/bearer.h"
#include "core/sasl/exchange.h"
#include "core/sasl/login.h"

static const struct str mechanisms[] = { STR("PLAIN"), STR("LOGIN"), STR("SCRAM-SHA-256"),
	STR("SCRAM-SHA-1"), STR("EXTERNAL"), STR("OAUTHBEARER"), STR("XOAUTH2") };

static int
setup(void **state UNUSED)
{
	struct str missing;
	return sasl_exchange_setup(mechanisms, ARRAY_LEN(mechanisms), STR_EMPTY, &missing) == ERR_OK
		       ? 0
		       : -1;
}

static struct sasl_exchange *
begin(const char *mechanism, const char *service, struct str certificate)
{
	const struct sasl_options o = { .service = service, .certificate = certificate };
	struct sasl_exchange *s = NULL;
	assert_int_equal(sasl_exchange_new(str_of(mechanism), &o, &s), ERR_OK);
	return s;
}

static int
teardown(void **state UNUSED)
{
	sasl_exchange_teardown();
	return 0;
}

static void
test_offers(void **state UNUSED)
{
	struct settings *set = xcalloc(1, sizeof *set);
	const struct sasl_client clear = { .service = STR("imap") },
				 tls = { .service = STR("imap"), .secured = true },
				 smtp = { .service = STR("smtp"), .secured = true },
				 certified = { .service = STR("imap"),
					 .secured = true,
					 .certificate = true };
	struct str all[] = { STR("PLAIN"), STR("SCRAM-SHA-256"), STR("GSSAPI"), STR("EXTERNAL"),
		STR("XOAUTH2") };
	struct str safe[] = { STR("gssapi"), STR("XOAUTH2"), STR("PLAIN") },
		   one[] = { STR("PLAIN") };
	set->auth.sasl_mechanisms = (struct str_list){ all, ARRAY_LEN(all) };
	set->auth.sasl_without_tls = (struct str_list){ safe, ARRAY_LEN(safe) };
	set->smtp.sasl_mechanisms = (struct str_list){ one, 1 };
	assert_true(sasl_offered(set, &tls, STR("plain")));
	assert_false(sasl_offered(set, &clear, STR("PLAIN")));
	assert_true(sasl_offered_with_tls(set, &clear, STR("PLAIN")));
	assert_false(sasl_offered(set, &tls, STR("LOGIN")));
	assert_false(sasl_offered(set, &tls, STR("NTLM")));
	assert_true(sasl_offered(set, &tls, STR("SCRAM-SHA-256")));
	assert_false(sasl_offered(set, &clear, STR("SCRAM-SHA-256")));
	assert_false(sasl_offered(set, &smtp, STR("SCRAM-SHA-256")));
	assert_true(sasl_offered(set, &smtp, STR("PLAIN")));
	assert_true(sasl_offered(set, &clear, STR("GSSAPI")));
	/* A token is as good as a password, whatever the list says. */
	assert_false(sasl_offered(set, &clear, STR("XOAUTH2")));
	assert_false(sasl_offered(set, &tls, STR("EXTERNAL")));
	assert_true(sasl_offered(set, &certified, STR("EXTERNAL")));
	free(set);
}

static void
test_setup(void **state UNUSED)
{
	const struct sasl_options o = { .service = "imap" };
	struct sasl_exchange *s = NULL;
	assert_int_equal(sasl_exchange_new(STR("ANONYMOUS"), &o, &s), ERR_NOTFOUND);
	assert_int_equal(sasl_exchange_new(STR("PLAIN LOGIN"), &o, &s), ERR_NOTFOUND);
	assert_int_equal(sasl_exchange_new(STR_EMPTY, &o, &s), ERR_NOTFOUND);
	assert_int_equal(sasl_exchange_new(STR("EXTERNAL"), &o, &s), ERR_NOTFOUND);
	struct str missing;
	const struct str unknown[] = { STR("PLAIN"), STR("MAGIC") };
	assert_int_equal(sasl_exchange_setup(unknown, 2, STR_EMPTY, &missing), ERR_NOTFOUND);
	assert_true(str_eq(missing, STR("MAGIC")));
	/* What was there stays. */
	sasl_exchange_free(begin("LOGIN", "imap", STR_EMPTY));
}

static void
test_plain(void **state UNUSED)
{
	static const struct {
		struct str in;
		enum err want;
		const char *authzid, *name, *password;
	} table[] = {
		{ STR("\0anna\0pw"), ERR_OK, "", "anna", "pw" },
		{ STR("anna\0anna\0pw"), ERR_OK, "", "anna", "pw" },
		{ STR("boss\0anna\0pw"), ERR_OK, "boss", "anna", "pw" },
		{ STR("\0anna@example.org\0p w"), ERR_OK, "", "anna@example.org", "p w" },
		{ STR("\0 anna\0pw"), ERR_NOTFOUND, NULL, NULL, NULL },
		{ STR("\0anna\n\0pw"), ERR_NOTFOUND, NULL, NULL, NULL },
		{ STR(" b\0anna\0pw"), ERR_NOTFOUND, NULL, NULL, NULL },
		{ STR("\0)(uid=*\0pw"), ERR_OK, "", ")(uid=*", "pw" },
		{ STR("\0anna\0"), ERR_NOTFOUND, NULL, NULL, NULL },
		{ STR("\0\0pw"), ERR_NOTFOUND, NULL, NULL, NULL },
		{ STR("\0  \0pw"), ERR_NOTFOUND, NULL, NULL, NULL },
		{ STR("\0anna\0p\0w"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("\0anna"), ERR_SYNTAX, NULL, NULL, NULL },
		{ STR("anna"), ERR_SYNTAX, NULL, NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		for (int initial = 0; initial < 2; initial++) {
			struct sasl_exchange *s;
			struct str challenge;
			s = begin("plain", "imap", STR_EMPTY);
			if (!initial) {
				assert_int_equal(
					sasl_exchange_step(s, (struct str){ NULL, 0 }, &challenge),
					ERR_AGAIN);
				assert_int_equal(challenge.n, 0);
			}
			assert_int_equal(
				sasl_exchange_step(s, table[i].in, &challenge), table[i].want);
			if (table[i].want == ERR_OK) {
				const struct sasl_claim *c = sasl_exchange_claim(s);
				assert_true(str_eq(c->authzid, str_of(table[i].authzid)));
				assert_true(str_eq(c->name, str_of(table[i].name)));
				assert_true(str_eq(c->password, str_of(table[i].password)));
			}
			sasl_exchange_free(s);
		}
}

static void
test_login(void **state UNUSED)
{
	static const struct {
		struct str name, password;
		enum err want;
	} table[] = {
		{ STR("anna"), STR("pw"), ERR_OK },
		{ STR("an\0na"), STR("pw"), ERR_SYNTAX },
		{ STR("anna"), STR("p\0w"), ERR_SYNTAX },
		{ STR("anna"), STR(""), ERR_NOTFOUND },
		{ STR(""), STR("pw"), ERR_NOTFOUND },
		{ STR(" \v\f"), STR("pw"), ERR_NOTFOUND },
	};
	/* An empty initial response is as good as none. */
	static const struct str initial[] = { { NULL, 0 }, STR("") };
	for (size_t i = 0; i < ARRAY_LEN(table) * ARRAY_LEN(initial); i++) {
		const size_t row = i / ARRAY_LEN(initial);
		struct sasl_exchange *s;
		struct str challenge;
		s = begin("LOGIN", "smtp", STR_EMPTY);
		assert_int_equal(sasl_exchange_step(s, initial[i % ARRAY_LEN(initial)], &challenge),
			ERR_AGAIN);
		assert_true(str_eq(challenge, STR("Username:")));
		enum err e = sasl_exchange_step(s, table[row].name, &challenge);
		if (e == ERR_AGAIN) {
			assert_true(str_eq(challenge, STR("Password:")));
			e = sasl_exchange_step(s, table[row].password, &challenge);
		}
		assert_int_equal(e, table[row].want);
		if (e == ERR_OK) {
			assert_true(str_eq(sasl_exchange_claim(s)->name, STR("anna")));
			assert_true(str_eq(sasl_exchange_claim(s)->password, STR("pw")));
		}
		sasl_exchange_free(s);
	}
}

static void
test_limits(void **state UNUSED)
{
	struct buf b;
	struct sasl_exchange *s;
	struct str challenge;
	buf_init(&b, SASL_RESPONSE_MAX + 1);
	buf_add(&b, STR("\0a\0"));
	while (b.n < SASL_RESPONSE_MAX)
		buf_addc(&b, 'x');
	s = begin("PLAIN", "imap", STR_EMPTY);
	assert_int_equal(sasl_exchange_step(s, buf_str(&b), &challenge), ERR_OK);
	assert_int_equal(sasl_exchange_claim(s)->password.n, SASL_RESPONSE_MAX - 3);
	sasl_exchange_free(s);
	buf_addc(&b, 'x');
	s = begin("PLAIN", "imap", STR_EMPTY);
	assert_int_equal(sasl_exchange_step(s, buf_str(&b), &challenge), ERR_LIMIT);
	sasl_exchange_free(s);
	/* A name longer than the library's own limit. */
	buf_reset(&b);
	buf_add(&b, STR("\0"));
	while (b.n < 4000)
		buf_addc(&b, 'n');
	buf_add(&b, STR("\0pw"));
	s = begin("PLAIN", "imap", STR_EMPTY);
	assert_int_equal(sasl_exchange_step(s, buf_str(&b), &challenge), ERR_LIMIT);
	sasl_exchange_free(s);
	buf_fini(&b);
	sasl_exchange_free(NULL);
}

/* ---- SCRAM, from the client's side ---- */

struct scram {
	const EVP_MD *md;
	unsigned size;
	unsigned char salted[32], client_key[32], stored_key[32], server_key[32];
};

static void
hmac(const struct scram *c, const void *key, struct str text, unsigned char *out)
{
	unsigned n = c->size;
	assert_non_null(
		HMAC(c->md, key, (int)c->size, (const unsigned char *)text.p, text.n, out, &n));
}

static void
scram_prepare(struct scram *c, bool sha256, const char *password, int iterations)
{
	c->md = sha256 ? EVP_sha256() : EVP_sha1();
	c->size = sha256 ? 32 : 20;
	assert_int_equal(PKCS5_PBKDF2_HMAC(password, -1, (const unsigned char *)"saltsaltsaltsalt",
				 16, iterations, c->md, (int)c->size, c->salted),
		1);
	hmac(c, c->salted, STR("Client Key"), c->client_key);
	hmac(c, c->salted, STR("Server Key"), c->server_key);
	assert_int_equal(EVP_Digest(c->client_key, c->size, c->stored_key, NULL, c->md, NULL), 1);
}

/* The client's last message, and the signature that it expects, in base64. */
static void
scram_final(const struct scram *c, struct str server_first, struct buf *out, struct buf *expect)
{
	struct buf auth;
	unsigned char sig[32], proof[32];
	struct str nonce;
	(void)str_cut(server_first, ',', &nonce, &(struct str){ NULL, 0 });
	buf_init(&auth, 4096);
	buf_addf(&auth, "n=anna,r=abcdef,%.*s,c=biws,%.*s", STR_FMT(server_first), STR_FMT(nonce));
	hmac(c, c->stored_key, buf_str(&auth), sig);
	for (unsigned i = 0; i < c->size; i++)
		proof[i] = c->client_key[i] ^ sig[i];
	buf_reset(out);
	buf_addf(out, "c=biws,%.*s,p=", STR_FMT(nonce));
	base64_encode(out, str_n(proof, c->size));
	hmac(c, c->server_key, buf_str(&auth), sig);
	buf_reset(expect);
	buf_addz(expect, "v=");
	base64_encode(expect, str_n(sig, c->size));
	buf_fini(&auth);
}

static enum err
scram_run(bool sha256, const char *stored, const char *typed)
{
	struct scram server, client;
	struct str challenge;
	struct buf out, expect;
	buf_init(&out, 4096);
	buf_init(&expect, 4096);
	scram_prepare(&server, sha256, stored, 4096);
	scram_prepare(&client, sha256, typed, 4096);
	struct sasl_exchange *s =
		begin(sha256 ? "SCRAM-SHA-256" : "scram-sha-1", "imap", STR_EMPTY);
	assert_int_equal(sasl_exchange_step(s, (struct str){ NULL, 0 }, &challenge), ERR_AGAIN);
	assert_int_equal(challenge.n, 0);
	assert_int_equal(sasl_exchange_step(s, STR("n,,n=anna,r=abcdef"), &challenge), ERR_BUSY);
	assert_true(str_eq(sasl_exchange_claim(s)->name, STR("anna")));
	const struct sasl_keys keys = { .salt = STR("saltsaltsaltsalt"),
		.stored_key = str_n(server.stored_key, server.size),
		.server_key = str_n(server.server_key, server.size),
		.iterations = 4096 };
	assert_int_equal(sasl_exchange_keys(s, &keys, &challenge), ERR_AGAIN);
	assert_true(str_starts(challenge, STR("r=abcdef")));
	assert_true(str_ends(challenge, STR(",s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096")));
	scram_final(&client, challenge, &out, &expect);
	enum err e = sasl_exchange_step(s, buf_str(&out), &challenge);
	if (e == ERR_AGAIN) {
		assert_true(str_eq(challenge, buf_str(&expect)));
		e = sasl_exchange_step(s, STR_EMPTY, &challenge);
		assert_int_equal(e, ERR_OK);
		assert_true(str_eq(sasl_exchange_claim(s)->name, STR("anna")));
		assert_int_equal(sasl_exchange_claim(s)->authzid.n, 0);
		assert_int_equal(sasl_exchange_claim(s)->password.n, 0);
	}
	sasl_exchange_free(s);
	buf_fini(&out);
	buf_fini(&expect);
	return e;
}

static void
test_scram(void **state UNUSED)
{
	for (int sha256 = 0; sha256 < 2; sha256++) {
		assert_int_equal(scram_run(sha256, "pencil", "pencil"), ERR_OK);
		assert_int_equal(scram_run(sha256, "pencil", "pencill"), ERR_DENIED);
		assert_int_equal(scram_run(sha256, "pencil", ""), ERR_DENIED);
	}
}

static void
test_scram_names(void **state UNUSED)
{
	static const struct {
		struct str in;
		enum err want;
		const char *name;
	} table[] = {
		{ STR("n,,n=anna,r=x"), ERR_OK, "anna" },
		{ STR("y,,n=anna,r=x"), ERR_OK, "anna" },
		{ STR("n,a=boss,n=anna,r=x,ext=1"), ERR_OK, "anna" },
		{ STR("n,,n=a=2Cb=3Dc,r=x"), ERR_OK, "a,b=c" },
		{ STR("n,,n=a=2cb,r=x"), ERR_SYNTAX, NULL },
		{ STR("n,,n=a=,r=x"), ERR_SYNTAX, NULL },
		{ STR("n,,n=a=2,r=x"), ERR_SYNTAX, NULL },
		{ STR("n,,n=,r=x"), ERR_SYNTAX, NULL },
		{ STR("n,,n=an\0na,r=x"), ERR_SYNTAX, NULL },
		{ STR("n,,n=anna,r=x\0"), ERR_SYNTAX, NULL },
		{ STR("n,a=,n=anna,r=x"), ERR_OK, "anna" },
		{ STR("n,b=c,n=anna,r=x"), ERR_SYNTAX, NULL },
		{ STR("n,,m=must,n=anna,r=x"), ERR_SYNTAX, NULL },
		{ STR("n,,n=anna"), ERR_SYNTAX, NULL },
		{ STR("n,,n=anna,r="), ERR_SYNTAX, NULL },
		{ STR("p=tls-unique,,n=anna,r=x"), ERR_SYNTAX, NULL },
		{ STR("n=anna,r=x"), ERR_SYNTAX, NULL },
		{ STR(""), ERR_SYNTAX, NULL },
		{ STR(",,,,"), ERR_SYNTAX, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf name;
		buf_init(&name, 100);
		assert_int_equal(scram_name(table[i].in, &name), table[i].want);
		if (table[i].want == ERR_OK)
			assert_true(str_eq(buf_str(&name), str_of(table[i].name)));
		buf_fini(&name);
	}
}

static void
test_external(void **state UNUSED)
{
	struct str challenge;
	struct sasl_exchange *s = begin("EXTERNAL", "imap", STR("CN=Anna Berg,O=Example"));
	assert_int_equal(sasl_exchange_step(s, (struct str){ NULL, 0 }, &challenge), ERR_AGAIN);
	assert_int_equal(sasl_exchange_step(s, STR_EMPTY, &challenge), ERR_OK);
	assert_true(str_eq(sasl_exchange_claim(s)->name, STR("CN=Anna Berg,O=Example")));
	assert_int_equal(sasl_exchange_claim(s)->authzid.n, 0);
	sasl_exchange_free(s);
	s = begin("EXTERNAL", "imap", STR("CN=Anna Berg,O=Example"));
	assert_int_equal(sasl_exchange_step(s, STR("boss"), &challenge), ERR_OK);
	assert_true(str_eq(sasl_exchange_claim(s)->name, STR("CN=Anna Berg,O=Example")));
	assert_true(str_eq(sasl_exchange_claim(s)->authzid, STR("boss")));
	sasl_exchange_free(s);
	s = begin("EXTERNAL", "imap", STR("CN=Anna"));
	assert_int_not_equal(sasl_exchange_step(s, STR("bo\0ss"), &challenge), ERR_OK);
	sasl_exchange_free(s);
}

static void
test_tokens(void **state UNUSED)
{
	static const struct {
		const char *mechanism;
		struct str in;
		enum err want;
		const char *authzid, *token;
	} table[] = {
		{ "OAUTHBEARER",
			STR("n,a=anna@example.org,\1host=h\1port=143\1auth=Bearer a.b-c==\1\1"),
			ERR_BUSY, "anna@example.org", "a.b-c==" },
		{ "OAUTHBEARER", STR("n,,\1auth=bearer  tok\1\1"), ERR_BUSY, "", "tok" },
		{ "OAUTHBEARER", STR("y,a=a=2Cb,\1auth=Bearer tok\1\1"), ERR_BUSY, "a,b", "tok" },
		{ "OAUTHBEARER", STR("n,,\1auth=Bearer tok\1"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR("n,,\1auth=Bearer tok\1\1x"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR("n,,\1auth=Bearer tok\1auth=Bearer tok\1\1"), ERR_SYNTAX, NULL,
			NULL },
		{ "OAUTHBEARER", STR("n,,\1auth=Bearer t\0k\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR("n,,\1auth=Bearer t&k\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR("n,,\1auth=Bearer \1\1"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR("n,,\1auth=Bearer =\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR("n,,\1auth=Basic tok\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR("n,,\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR("p=x,,\1auth=Bearer tok\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "OAUTHBEARER", STR(""), ERR_SYNTAX, NULL, NULL },
		{ "XOAUTH2", STR("user=anna\1auth=Bearer tok\1\1"), ERR_BUSY, "anna", "tok" },
		{ "XOAUTH2", STR("user=\1auth=Bearer tok\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "XOAUTH2", STR("auth=Bearer tok\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "XOAUTH2", STR("user=a\1user=b\1auth=Bearer tok\1\1"), ERR_SYNTAX, NULL, NULL },
		{ "XOAUTH2", STR("user= a\1auth=Bearer tok\1\1"), ERR_NOTFOUND, NULL, NULL },
		{ "XOAUTH2", STR("user=anna\1\1"), ERR_SYNTAX, NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str challenge;
		struct sasl_exchange *s = begin(table[i].mechanism, "imap", STR_EMPTY);
		enum err e = sasl_exchange_step(s, table[i].in, &challenge);
		assert_int_equal(e, table[i].want);
		if (e == ERR_BUSY) {
			const struct sasl_claim *c = sasl_exchange_claim(s);
			assert_true(str_eq(c->authzid, str_of(table[i].authzid)));
			assert_true(str_eq(c->token, str_of(table[i].token)));
			assert_int_equal(sasl_exchange_token(s, STR("anna")), ERR_OK);
			assert_true(str_eq(c->name, STR("anna")));
		}
		sasl_exchange_free(s);
	}
}

static void
test_a_refused_token(void **state UNUSED)
{
	struct str challenge;
	struct sasl_exchange *s = begin("OAUTHBEARER", "imap", STR_EMPTY);
	assert_int_equal(sasl_exchange_step(s, (struct str){ NULL, 0 }, &challenge), ERR_AGAIN);
	assert_int_equal(
		sasl_exchange_step(s, STR("n,,\1auth=Bearer tok\1\1"), &challenge), ERR_BUSY);
	assert_int_equal(sasl_exchange_token_refused(s, STR("{}"), &challenge), ERR_AGAIN);
	assert_true(str_eq(challenge, STR("{}")));
	assert_int_equal(
		sasl_exchange_step(s, STR("n,,\1auth=Bearer tok\1\1"), &challenge), ERR_DENIED);
	sasl_exchange_free(s);
	s = begin("XOAUTH2", "imap", STR_EMPTY);
	assert_int_equal(
		sasl_exchange_step(s, STR("user=anna\1auth=Bearer tok\1\1"), &challenge), ERR_BUSY);
	assert_int_equal(sasl_exchange_token(s, STR(" ")), ERR_NOTFOUND);
	sasl_exchange_free(s);
}

/* ---- our own client against our own server ---- */

/* The whole exchange. server_knows: the password behind SCRAM's stored keys. */
static enum err
login_run(const char *mechanism, const char *typed, const char *server_knows, bool *complete_out)
{
	const struct sasl_login_options o = { .service = "smtp",
		.host = "mx.example.net",
		.user = STR("anna"),
		.password = str_of(typed) };
	struct sasl_exchange *s = begin(mechanism, "smtp", STR_EMPTY);
	struct sasl_login *l = NULL;
	struct scram c;
	struct str response, challenge = STR_EMPTY;
	const char *chosen = "";
	enum err server, client;

	scram_prepare(&c, strcmp(mechanism, "SCRAM-SHA-256") == 0, server_knows, 4096);
	const struct sasl_keys keys = { .salt = STR("saltsaltsaltsalt"),
		.stored_key = str_n(c.stored_key, c.size),
		.server_key = str_n(c.server_key, c.size),
		.iterations = 4096 };

	assert_int_equal(sasl_login_new(&o, &l), ERR_OK);
	assert_int_equal(sasl_login_start(l, mechanism, &chosen, &response), ERR_OK);
	assert_string_equal(chosen, mechanism);
	client = ERR_OK;
	server = sasl_exchange_step(s, response, &challenge);
	for (int i = 0; i < 6 && client == ERR_OK && server != ERR_OK; i++) {
		if (server == ERR_BUSY)
			server = sasl_exchange_keys(s, &keys, &challenge);
		if (server != ERR_AGAIN)
			break;
		client = sasl_login_step(l, challenge, &response);
		if (client == ERR_OK)
			server = sasl_exchange_step(s, response, &challenge);
	}
	*complete_out = sasl_login_complete(l);
	if (server == ERR_OK) {
		assert_true(str_eq(sasl_exchange_claim(s)->name, STR("anna")));
		assert_int_equal(sasl_exchange_claim(s)->authzid.n, 0);
	}
	sasl_login_free(l);
	sasl_exchange_free(s);
	return server;
}

static void
test_login_as_client(void **state UNUSED)
{
	static const char *const all[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1" };
	struct sasl_login *l = NULL;
	struct str response;
	const char *chosen;
	bool complete;

	assert_int_equal(sasl_login_setup(), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(login_run(all[i], "pass word", "pass word", &complete), ERR_OK);
		assert_true(complete);
	}
	/* one that does not know the password cannot make us believe that it does */
	assert_int_equal(login_run("SCRAM-SHA-256", "other", "pass word", &complete), ERR_DENIED);
	assert_false(complete);
	const struct sasl_login_options o = {
		.service = "smtp", .host = "x", .user = STR("u"), .password = STR("p")
	};

	assert_int_equal(sasl_login_new(&o, &l), ERR_OK);
	assert_int_equal(sasl_login_start(l, "NTLM ANONYMOUS", &chosen, &response), ERR_NOTFOUND);
	sasl_login_free(l);
	sasl_login_free(NULL);
	sasl_login_teardown();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_scram),
		cmocka_unit_test(test_scram_names),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_a_refused_token),
		cmocka_unit_test(test_login_as_client),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
