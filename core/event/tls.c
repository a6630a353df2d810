/* TLS by OpenSSL 3, the only file that sees it; see tls.h. Streams call it, and auth-ldap beneath
 * libldap. Invariant: no tickets, no session cache, no renegotiation, no prompt for a passphrase,
 * and a client without the `insecure` setting never goes on with a certificate it did not verify.
 */
#include "core/event/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"
#include "core/event/loop.h"

/* TLS 1.2: forward secrecy only, authenticated ciphers first. CBC comes last, for what speaks TLS
 * 1.2 and nothing better (Windows 7 and 8.1, OS X 10.10, iOS 8); with encrypt-then-MAC where the
 * client has it (RFC 7366). No CCM: half of it has tags of 64 bits, and no mail client needs it. */
#define CIPHERS                                                                  \
	"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:" \
	"!aNULL:!PSK:!AESCCM"

/* What a client of TLS 1.3 may choose of. No finite fields: one hand-shake in ffdhe8192 costs a
 * server as much as 200 in a curve, and the client next to nothing (CVE-2002-20001). */
#define SERVER_GROUPS "X25519:P-256:X448:P-384:P-521"

struct tls_ctx {
	SSL_CTX *ssl;
	unsigned refs;
};

struct tls {
	SSL *ssl;
	struct tls_ctx *ctx;
	int wants;
	bool dead;
	bool closed; /* our close_notify was sent */
	enum tls_check check;
	char error[200];
	char description[96];
};

static _Thread_local char ctx_error[200];

static void
library_error(char *out, size_t size, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	(void)snprintf(out, size, "%s%s%s", what, reason != NULL ? ": " : "",
		reason != NULL ? reason : "");
	ERR_clear_error();
}

/* A key with a passphrase is refused instead of asked for. */
static int
no_passphrase(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static BIO *
bio_of(struct str pem)
{
	return BIO_new_mem_buf(pem.p, (int)pem.n);
}

static enum err
use_chain(SSL_CTX *ssl, struct str pem)
{
	BIO *b = bio_of(pem);
	X509 *leaf = b != NULL ? PEM_read_bio_X509_AUX(b, NULL, no_passphrase, NULL) : NULL;
	X509 *more = NULL;
	bool ok = leaf != NULL && SSL_CTX_use_certificate(ssl, leaf) == 1;

	while (ok && (more = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)) != NULL) {
		ok = SSL_CTX_add0_chain_cert(ssl, more) == 1;
		if (!ok)
			X509_free(more);
	}
	X509_free(leaf);
	BIO_free(b);
	if (ok)
		ERR_clear_error(); /* the end of the file is an error of the reader's */
	return ok ? ERR_OK : ERR_SYNTAX;
}

/* NULL, or what is wrong. */
static const char *
use_key(SSL_CTX *ssl, struct str pem)
{
	BIO *b = bio_of(pem);
	EVP_PKEY *key = b != NULL ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;
	const char *wrong = NULL;

	if (key == NULL)
		wrong = "private key: none that can be read (PEM, without a passphrase)";
	else if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
		wrong = "the key does not belong to the certificate";
	EVP_PKEY_free(key);
	BIO_free(b);
	return wrong;
}

static enum err
use_authorities(SSL_CTX *ssl, struct str pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	BIO *b;
	X509 *x;
	size_t n = 0;

	if (pem.n == 0)
		return SSL_CTX_set_default_verify_paths(ssl) == 1 ? ERR_OK : ERR_SYNTAX;
	b = bio_of(pem);
	while (b != NULL && (x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)) != NULL) {
		if (X509_STORE_add_cert(store, x) == 1)
			n++;
		X509_free(x);
	}
	BIO_free(b);
	ERR_clear_error();
	return n != 0 ? ERR_OK : ERR_SYNTAX;
}

static enum err
set_policy(SSL_CTX *ssl, int min_version)
{
	int version = min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;

	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
	(void)SSL_CTX_set_dh_auto(ssl, 1);
	if (SSL_CTX_set_num_tickets(ssl, 0) != 1 ||
		SSL_CTX_set_min_proto_version(ssl, version) != 1 ||
		SSL_CTX_set_cipher_list(ssl, CIPHERS) != 1)
		return ERR_SYNTAX;
	return ERR_OK;
}

static enum err
finish_ctx(SSL_CTX *ssl, const char *wrong, struct tls_ctx **out, const char **err_out)
{
	if (wrong != NULL) {
		library_error(ctx_error, sizeof ctx_error, wrong);
		*err_out = ctx_error;
		SSL_CTX_free(ssl);
		return ERR_SYNTAX;
	}
	*out = xcalloc(1, sizeof **out);
	(*out)->ssl = ssl;
	(*out)->refs = 1;
	return ERR_OK;
}

/* The check goes on whatever it finds; tls_peer_subject asks for its result. */
static int
note_only(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static enum err
ask_client(SSL_CTX *ssl, struct str ca_pem)
{
	BIO *b;
	X509 *x;

	if (ca_pem.n == 0)
		return ERR_OK;
	if (use_authorities(ssl, ca_pem) != ERR_OK)
		return ERR_SYNTAX;
	b = bio_of(ca_pem);
	while (b != NULL && (x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)) != NULL) {
		(void)SSL_CTX_add_client_CA(ssl, x);
		X509_free(x);
	}
	BIO_free(b);
	ERR_clear_error();
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, note_only);
	return ERR_OK;
}

enum err
tls_ctx_new_server(const struct tls_server_options *o, struct tls_ctx **out, const char **err_out)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
	char groups[] = SERVER_GROUPS; /* the library's macro wants no constant */
	const char *wrong = NULL;

	if (ssl == NULL || set_policy(ssl, o->min_version) != ERR_OK)
		wrong = "TLS library";
	else if (use_chain(ssl, o->certificate_pem) != ERR_OK)
		wrong = "certificate: none that can be read (PEM)";
	else
		wrong = use_key(ssl, o->key_pem);
	if (wrong == NULL && ask_client(ssl, o->client_ca_pem) != ERR_OK)
		wrong = "CA certificates for clients: none that can be read";
	/* a library that lacks one of them (a FIPS provider) keeps its own list */
	if (wrong == NULL && SSL_CTX_set1_groups_list(ssl, groups) != 1)
		ERR_clear_error();
	return finish_ctx(ssl, wrong, out, err_out);
}

static bool
unix_time(const ASN1_TIME *t, int64_t *out)
{
	struct tm tm;

	if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*out = (int64_t)timegm(&tm);
	return true;
}

static bool
names_host(X509 *x, struct str host)
{
	char *z;
	bool yes;

	if (host.n == 0)
		return false;
	z = str_dup(host);
	yes = X509_check_ip_asc(x, z, 0) == 1 || X509_check_host(x, host.p, host.n, 0, NULL) == 1;
	free(z);
	return yes;
}

enum err
tls_certificate_read(struct str pem, struct str host, struct tls_certificate *out)
{
	BIO *b = bio_of(pem);
	X509 *x = b != NULL ? PEM_read_bio_X509_AUX(b, NULL, no_passphrase, NULL) : NULL;
	bool ok = x != NULL && unix_time(X509_get0_notBefore(x), &out->begins_sec) &&
		  unix_time(X509_get0_notAfter(x), &out->ends_sec);

	if (ok)
		out->names_host = names_host(x, host);
	X509_free(x);
	BIO_free(b);
	ERR_clear_error();
	return ok ? ERR_OK : ERR_SYNTAX;
}

/* Who does not judge the certificate needs no chain: OpenSSL would look for one all the same,
 * verify its signatures, and read the whole folder of the system's CAs at each hand-shake that
 * found none. */
static int
check_chain(X509_STORE_CTX *store, void *arg)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

	(void)arg;
	if (ssl != NULL && SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE)
		return 1;
	return X509_verify_cert(store);
}

enum err
tls_ctx_new_client(const struct tls_client_options *o, struct tls_ctx **out, const char **err_out)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
	const char *wrong = NULL;

	if (ssl == NULL || set_policy(ssl, o->min_version) != ERR_OK)
		wrong = "TLS library";
	else if (use_authorities(ssl, o->ca_pem) != ERR_OK)
		wrong = "CA certificates: none that can be read";
	else if (o->certificate_pem.n != 0 && use_chain(ssl, o->certificate_pem) != ERR_OK)
		wrong = "certificate: none that can be read (PEM)";
	else if (o->certificate_pem.n != 0)
		wrong = use_key(ssl, o->key_pem);
	if (ssl != NULL) {
		SSL_CTX_set_verify(ssl, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_cert_verify_callback(ssl, check_chain, NULL);
	}
	if (wrong == NULL && o->dane && SSL_CTX_dane_enable(ssl) != 1)
		wrong = "TLS library";
	if (wrong == NULL && o->read_ahead) {
		SSL_CTX_set_read_ahead(ssl, 1);
		/* or each record would cost a buffer made, wiped and freed: 11,000 instructions */
		(void)SSL_CTX_clear_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	}
	return finish_ctx(ssl, wrong, out, err_out);
}

struct tls_ctx *
tls_ctx_ref(struct tls_ctx *c)
{
	c->refs++;
	return c;
}

void
tls_ctx_unref(struct tls_ctx *c)
{
	if (c == NULL || --c->refs != 0)
		return;
	SSL_CTX_free(c->ssl);
	free(c);
}

static struct tls *
tls_new(struct tls_ctx *c, int fd)
{
	struct tls *t = xcalloc(1, sizeof *t);

	t->ctx = tls_ctx_ref(c);
	t->ssl = SSL_new(c->ssl);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1) {
		library_error(t->error, sizeof t->error, "TLS library");
		t->dead = true;
	}
	return t;
}

struct tls *
tls_new_server(struct tls_ctx *c, int fd)
{
	struct tls *t = tls_new(c, fd);

	if (!t->dead)
		SSL_set_accept_state(t->ssl);
	return t;
}

/* The certificate must carry host, an address or a name. RFC 6125 6.4. */
static bool
expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	unsigned char raw[16];

	if (inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
	       SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
		       (void *)(uintptr_t)host) == 1; /* the macro casts the const away */
}

struct tls *
tls_new_client(struct tls_ctx *c, int fd, struct str host)
{
	struct tls *t = tls_new(c, fd);
	char *name = str_dup(host);

	/* without a name to compare nothing would be verified: never go on so */
	if (!t->dead && !expect_host(t->ssl, name) && SSL_get_verify_mode(t->ssl) != 0) {
		library_error(t->error, sizeof t->error, "host name");
		t->dead = true;
	}
	free(name);
	if (!t->dead)
		SSL_set_connect_state(t->ssl);
	t->check = SSL_get_verify_mode(t->ssl) != 0 ? TLS_CHECK_NAME : TLS_CHECK_NONE;
	t->wants = LOOP_WRITE; /* the client speaks first */
	return t;
}

static bool
set_sni(SSL *ssl, const char *name)
{
	unsigned char raw[16];

	if (name[0] == '\0' || inet_pton(AF_INET, name, raw) == 1 ||
		inet_pton(AF_INET6, name, raw) == 1)
		return true;
	return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
		       (void *)(uintptr_t)name) == 1;
}

/* One of the names that the certificate may carry. */
static bool
add_name(SSL *ssl, struct str name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	char *z = str_dup(name);
	unsigned char raw[16];
	bool ok;

	if (inet_pton(AF_INET, z, raw) == 1 || inet_pton(AF_INET6, z, raw) == 1)
		ok = X509_VERIFY_PARAM_set1_ip_asc(param, z) == 1;
	else
		ok = name.n != 0 && X509_VERIFY_PARAM_add1_host(param, z, 0) == 1;
	free(z);
	return ok;
}

/* How many of the records can be used; below 0: the library fails. */
static int
use_tlsa(SSL *ssl, const struct tls_peer *p, const char *base)
{
	int usable = 0;

	if (SSL_dane_enable(ssl, base) <= 0)
		return -1;
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	for (size_t i = 0; i < p->tlsa_count; i++) {
		const struct tls_tlsa *r = &p->tlsa[i];
		if (r->usage != 2 && r->usage != 3)
			continue; /* RFC 7672 3.1.3 */
		int rc = SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching,
			(const unsigned char *)r->data.p, r->data.n);
		if (rc > 0)
			usable++;
		ERR_clear_error();
	}
	return usable;
}

static bool
judge(struct tls *t, const struct tls_peer *p, const char *sni)
{
	bool ok = true;

	t->check = p->check;
	if (p->check == TLS_CHECK_DANE) {
		int usable = use_tlsa(t->ssl, p, sni);
		if (usable < 0)
			return false;
		if (usable == 0 && p->dane_only) {
			(void)snprintf(t->error, sizeof t->error, "%s",
				"DANE is required, and no TLSA record can be used");
			t->dead = true;
			return true;
		}
		if (usable == 0)
			t->check = TLS_CHECK_NONE;
	}
	if (t->check == TLS_CHECK_NONE) {
		SSL_set_verify(t->ssl, SSL_VERIFY_NONE, NULL);
		return true;
	}
	SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
	X509_VERIFY_PARAM_set_hostflags(
		SSL_get0_param(t->ssl), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* without a name to compare every certificate of any CA would do */
	if (p->names_count == 0 && t->check == TLS_CHECK_NAME)
		return false;
	for (size_t i = 0; ok && i < p->names_count; i++)
		ok = add_name(t->ssl, p->names[i]);
	return ok;
}

struct tls *
tls_new_client_peer(struct tls_ctx *c, int fd, const struct tls_peer *p)
{
	struct tls *t = tls_new(c, fd);
	char *sni = str_dup(p->sni);

	if (!t->dead && (!judge(t, p, sni) || !set_sni(t->ssl, sni))) {
		library_error(t->error, sizeof t->error, "what the certificate must show");
		t->dead = true;
	}
	free(sni);
	if (!t->dead)
		SSL_set_connect_state(t->ssl);
	t->wants = LOOP_WRITE;
	return t;
}

enum tls_check
tls_checked(const struct tls *t)
{
	return t->check;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	tls_ctx_unref(t->ctx);
	free(t);
}

static enum err
fail(struct tls *t, const char *what)
{
	long verify = SSL_get_verify_result(t->ssl);

	t->dead = true;
	if (verify != X509_V_OK && !SSL_is_init_finished(t->ssl)) {
		(void)snprintf(t->error, sizeof t->error, "%s: certificate: %s", what,
			X509_verify_cert_error_string(verify));
		ERR_clear_error();
	} else {
		library_error(t->error, sizeof t->error, what);
	}
	return ERR_TEMP;
}

/* What a call that did not succeed means. */
static enum err
explain(struct tls *t, int rc, const char *what)
{
	int saved = errno;

	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		t->wants = LOOP_READ;
		return ERR_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->wants = LOOP_WRITE;
		return ERR_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return ERR_EOF;
	case SSL_ERROR_SYSCALL:
		if (ERR_peek_error() != 0)
			return fail(t, what);
		t->dead = true;
		(void)snprintf(t->error, sizeof t->error, "%s: %s", what,
			saved != 0 ? strerrordesc_np(saved) : "the connection ended");
		return ERR_TEMP;
	default:
		return fail(t, what);
	}
}

static void
begin(void)
{
	ERR_clear_error();
	errno = 0;
}

enum err
tls_handshake(struct tls *t)
{
	int rc;

	if (t->dead)
		return ERR_TEMP;
	begin();
	rc = SSL_do_handshake(t->ssl);
	if (rc == 1)
		return ERR_OK;
	enum err e = explain(t, rc, "hand-shake");

	if (e != ERR_EOF)
		return e;
	t->dead = true;
	(void)snprintf(t->error, sizeof t->error, "hand-shake: the peer ended it");
	return ERR_TEMP;
}

enum err
tls_read(struct tls *t, void *p, size_t n, size_t *got_out)
{
	int rc;

	*got_out = 0;
	if (t->dead)
		return ERR_TEMP;
	begin();
	rc = SSL_read_ex(t->ssl, p, n, got_out);
	return rc == 1 ? ERR_OK : explain(t, rc, "read");
}

enum err
tls_write(struct tls *t, const void *p, size_t n, size_t *put_out)
{
	int rc;

	*put_out = 0;
	if (t->dead)
		return ERR_TEMP;
	begin();
	rc = SSL_write_ex(t->ssl, p, n, put_out);
	return rc == 1 ? ERR_OK : explain(t, rc, "write");
}

enum err
tls_shutdown(struct tls *t)
{
	int rc;

	if (t->dead || t->closed || !SSL_is_init_finished(t->ssl))
		return ERR_OK;
	begin();
	rc = SSL_shutdown(t->ssl);
	if (rc >= 0) {
		t->closed = true;
		return ERR_OK;
	}
	return explain(t, rc, "shutdown");
}

int
tls_wants(const struct tls *t)
{
	return t->wants != 0 ? t->wants : LOOP_READ;
}

size_t
tls_pending(const struct tls *t)
{
	return t->dead ? 0 : (size_t)SSL_pending(t->ssl);
}

bool
tls_unread(const struct tls *t)
{
	return !t->dead && SSL_has_pending(t->ssl) == 1;
}

const char *
tls_error(const struct tls *t)
{
	return t->error;
}

const char *
tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *
tls_cipher(const struct tls *t)
{
	const char *name = SSL_get_cipher_name(t->ssl);

	return name != NULL ? name : "";
}

const char *
tls_description(const struct tls *t)
{
	/* written anew at each call, always with the same content once the hand-shake is over */
	struct tls *own = (struct tls *)(uintptr_t)t;

	(void)snprintf(
		own->description, sizeof own->description, "%s %s", tls_version(t), tls_cipher(t));
	return own->description;
}

enum err
tls_peer_subject(const struct tls *t, struct buf *out)
{
	X509 *x = SSL_get0_peer_certificate(t->ssl);
	BIO *b;
	char *text = NULL;
	long n;

	if (!SSL_is_server(t->ssl) || x == NULL || SSL_get_verify_result(t->ssl) != X509_V_OK)
		return ERR_NOTFOUND;
	b = BIO_new(BIO_s_mem());
	if (b == NULL || X509_NAME_print_ex(b, X509_get_subject_name(x), 0,
				 XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0)
		n = 0;
	else
		n = BIO_get_mem_data(b, &text);
	if (n > 0)
		buf_add(out, str_n(text, (size_t)n));
	BIO_free(b);
	ERR_clear_error();
	return n > 0 ? buf_check(out) : ERR_NOTFOUND;
}

enum err
tls_server_end_point(const struct tls *t, unsigned char *out, size_t size, size_t *n_out)
{
	const X509 *x = SSL_is_server(t->ssl) ? SSL_get_certificate(t->ssl)
					      : SSL_get0_peer_certificate(t->ssl);
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int digest = NID_undef;

	if (x == NULL ||
		X509_get_signature_info((X509 *)(uintptr_t)x, &digest, NULL, NULL, NULL) != 1 ||
		digest == NID_undef) {
		ERR_clear_error();
		return ERR_NOTFOUND;
	}
	if (digest == NID_md5 || digest == NID_sha1)
		digest = NID_sha256;
	const EVP_MD *md = EVP_get_digestbynid(digest);

	if (md == NULL || X509_digest(x, md, hash, &n) != 1) {
		ERR_clear_error();
		return ERR_NOTFOUND;
	}
	if (n > size)
		return ERR_LIMIT;
	memcpy(out, hash, n);
	*n_out = n;
	return ERR_OK;
}
