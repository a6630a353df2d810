/* core/event/tls: how a client judges certificates, one judgement for each connection: not at all,
 * by name, by TLSA records; and which connections keep their buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"
#include "core/event/tls.h"
#include "tests/unit/tls_pem.h"

/* SHA-256 of the test certificate's public key, and of the certificate. */
#define KEY_HASH  "ef0235698bd8c3f7622b3b0ce7949b85163757d7396da2b30f87af2b2001736d"
#define CERT_HASH "8aa233e392ce9980023ba257f7661bf4be30395a4f7454be7592e715b203e050"

static struct str
bytes(const char *hex, char out[32])
{
	for (size_t i = 0; i < 32; i++) {
		unsigned v = 0;
		for (size_t k = 0; k < 2; k++) {
			char c = hex[i * 2 + k];
			v = v * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
		}
		out[i] = (char)v;
	}
	return str_n(out, 32);
}

/* Both hand-shakes; what the client's said. */
static enum err
talk(struct tls_ctx *cc, struct tls_ctx *sc, const struct tls_peer *p, enum tls_check *checked_out)
{
	enum err client = ERR_AGAIN, server = ERR_AGAIN;
	struct tls *c, *s;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	c = tls_new_client_peer(cc, fds[0], p);
	s = tls_new_server(sc, fds[1]);
	for (int i = 0; i < 20 && (client == ERR_AGAIN || server == ERR_AGAIN); i++) {
		if (client == ERR_AGAIN)
			client = tls_handshake(c);
		if (server == ERR_AGAIN)
			server = tls_handshake(s);
		if (client == ERR_TEMP)
			break;
	}
	*checked_out = tls_checked(c);
	tls_free(c);
	tls_free(s);
	(void)close(fds[0]);
	(void)close(fds[1]);
	return client;
}

static void
test_judgements(void **state)
{
	static const struct str localhost[] = { { "mx.example.net", 14 }, { "localhost", 9 } };
	static const struct str other[] = { { "mx.example.net", 14 } };
	static const struct str address[] = { { "127.0.0.1", 9 } };
	char key[32], cert[32], wrong[32] = { 1 };
	const struct tls_tlsa tlsa[] = {
		{ 3, 1, 1, bytes(KEY_HASH, key) },   /* 0: the key */
		{ 3, 0, 1, bytes(CERT_HASH, cert) }, /* 1: the certificate */
		{ 3, 1, 1, str_n(wrong, 32) },	     /* 2: another key */
		{ 2, 0, 1, bytes(CERT_HASH, cert) }, /* 3: an authority that is none */
		{ 1, 1, 1, bytes(KEY_HASH, key) },   /* 4: not for SMTP */
		{ 3, 1, 1, STR("short") },	     /* 5: broken */
		{ 3, 1, 9, STR("?") },		     /* 6: unknown */
	};
	const struct {
		enum tls_check check;
		const struct str *names;
		size_t names_count, first, count;
		bool trusted; /* the CA is known */
		enum err result;
		enum tls_check checked;
	} rows[] = {
		{ TLS_CHECK_NONE, NULL, 0, 0, 0, false, ERR_OK, TLS_CHECK_NONE },
		{ TLS_CHECK_NAME, localhost, 2, 0, 0, true, ERR_OK, TLS_CHECK_NAME },
		{ TLS_CHECK_NAME, address, 1, 0, 0, true, ERR_OK, TLS_CHECK_NAME },
		{ TLS_CHECK_NAME, localhost, 2, 0, 0, false, ERR_TEMP, TLS_CHECK_NAME },
		{ TLS_CHECK_NAME, other, 1, 0, 0, true, ERR_TEMP, TLS_CHECK_NAME },
		{ TLS_CHECK_NAME, NULL, 0, 0, 0, true, ERR_TEMP, TLS_CHECK_NAME },
		{ TLS_CHECK_DANE, other, 1, 0, 1, false, ERR_OK, TLS_CHECK_DANE },
		{ TLS_CHECK_DANE, other, 1, 1, 1, false, ERR_OK, TLS_CHECK_DANE },
		{ TLS_CHECK_DANE, other, 1, 2, 1, true, ERR_TEMP, TLS_CHECK_DANE },
		/* one that matches is enough */
		{ TLS_CHECK_DANE, other, 1, 1, 2, false, ERR_OK, TLS_CHECK_DANE },
		{ TLS_CHECK_DANE, other, 1, 3, 1, false, ERR_TEMP, TLS_CHECK_DANE },
		/* nothing usable: encrypted, not judged */
		{ TLS_CHECK_DANE, other, 1, 4, 3, false, ERR_OK, TLS_CHECK_NONE },
		{ TLS_CHECK_DANE, other, 1, 0, 0, false, ERR_OK, TLS_CHECK_NONE },
	};
	const struct tls_server_options so = { .certificate_pem = STR(TEST_CERTIFICATE),
		.key_pem = STR(TEST_KEY),
		.min_version = 12 };
	struct tls_ctx *server, *knows, *knows_not;
	const char *why = "";

	(void)state;
	assert_int_equal(tls_ctx_new_server(&so, &server, &why), ERR_OK);
	struct tls_client_options co = {
		.ca_pem = STR(TEST_CERTIFICATE), .min_version = 12, .dane = true
	};
	assert_int_equal(tls_ctx_new_client(&co, &knows, &why), ERR_OK);
	co.ca_pem = STR_EMPTY;
	assert_int_equal(tls_ctx_new_client(&co, &knows_not, &why), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct tls_peer p = { .sni = STR("mx.example.net"),
			.check = rows[i].check,
			.names = rows[i].names,
			.names_count = rows[i].names_count,
			.tlsa = tlsa + rows[i].first,
			.tlsa_count = rows[i].count };
		enum tls_check checked;
		enum err e = talk(rows[i].trusted ? knows : knows_not, server, &p, &checked);

		if (e != rows[i].result || checked != rows[i].checked)
			fail_msg("row %zu: %s, %d", i, err_name(e), (int)checked);
	}
	tls_ctx_unref(server);
	tls_ctx_unref(knows);
	tls_ctx_unref(knows_not);
}

/* A context that was not made for DANE never goes on without the check. */
static void
test_without_dane(void **state)
{
	const struct tls_client_options co = { .ca_pem = STR(TEST_CERTIFICATE), .min_version = 12 };
	const struct tls_peer p = { .sni = STR("localhost"), .check = TLS_CHECK_DANE };
	struct tls_ctx *ctx;
	const char *why = "";
	int fds[2];

	(void)state;
	assert_int_equal(tls_ctx_new_client(&co, &ctx, &why), ERR_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	struct tls *t = tls_new_client_peer(ctx, fds[0], &p);

	assert_int_equal(tls_handshake(t), ERR_TEMP);
	tls_free(t);
	tls_ctx_unref(ctx);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* The sanitizers' own allocator leaves mallinfo empty. */
extern size_t
__sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t
in_use(void)
{
	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

static void
pass(struct tls *from, struct tls *to)
{
	char text[16];
	size_t n;

	assert_int_equal(tls_write(from, "ping", 4, &n), ERR_OK);
	assert_int_equal(tls_read(to, text, sizeof text, &n), ERR_OK);
	assert_int_equal(n, 4);
}

/* What a client and its server hold after a record each way. */
static size_t
held(struct tls_ctx *sc, bool read_ahead)
{
	const struct tls_client_options co = {
		.ca_pem = STR(TEST_CERTIFICATE), .min_version = 12, .read_ahead = read_ahead
	};
	enum err ce = ERR_AGAIN, se = ERR_AGAIN;
	struct tls_ctx *cc;
	const char *why = "";
	int fds[2];

	assert_int_equal(tls_ctx_new_client(&co, &cc, &why), ERR_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	size_t before = in_use();
	struct tls *c = tls_new_client(cc, fds[0], STR("localhost"));
	struct tls *s = tls_new_server(sc, fds[1]);

	for (int i = 0; i < 20 && (ce == ERR_AGAIN || se == ERR_AGAIN); i++) {
		ce = ce == ERR_AGAIN ? tls_handshake(c) : ce;
		se = se == ERR_AGAIN ? tls_handshake(s) : se;
	}
	assert_int_equal(ce, ERR_OK);
	assert_int_equal(se, ERR_OK);
	pass(c, s);
	pass(s, c);
	size_t after = in_use();
	tls_free(c);
	tls_free(s);
	tls_ctx_unref(cc);
	(void)close(fds[0]);
	(void)close(fds[1]);
	return after - before;
}

static void
test_certificate_read(void **state)
{
	static const struct {
		const char *host;
		bool named;
	} rows[] = { { "localhost", true }, { "LocalHost", true }, { "127.0.0.1", true },
		{ "mail.example.org", false }, { "127.0.0.2", false }, { "host", false },
		{ "", false } };
	struct tls_certificate c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
			tls_certificate_read(STR(TEST_CERTIFICATE), str_of(rows[i].host), &c),
			ERR_OK);
		assert_int_equal(c.begins_sec, 1795249091); /* 2026-11-21 08:18:11 */
		assert_int_equal(c.ends_sec, 4948849091);   /* 2126-10-28 08:18:11 */
		assert_int_equal(c.names_host, rows[i].named);
	}
	assert_int_equal(tls_certificate_read(STR(TEST_KEY), STR("localhost"), &c), ERR_SYNTAX);
	assert_int_equal(tls_certificate_read(STR_EMPTY, STR("localhost"), &c), ERR_SYNTAX);
}

/* Connections with many records keep their buffers, those of many idle clients do not. */
static void
test_buffers(void **state)
{
	const struct tls_server_options so = { .certificate_pem = STR(TEST_CERTIFICATE),
		.key_pem = STR(TEST_KEY),
		.min_version = 12 };
	struct tls_ctx *sc;
	const char *why = "";

	(void)state;
	assert_int_equal(tls_ctx_new_server(&so, &sc, &why), ERR_OK);
	(void)held(sc, false); /* what the library makes once */
	size_t released = held(sc, false), kept = held(sc, true);

	if (kept < released + (size_t)2 * 16 * 1024)
		fail_msg("%zu bytes kept, %zu otherwise", kept, released);
	tls_ctx_unref(sc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judgements),
		cmocka_unit_test(test_without_dane),
		cmocka_unit_test(test_certificate_read),
		cmocka_unit_test(test_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
