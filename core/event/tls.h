#ifndef POSTROOM_EVENT_TLS_H
#define POSTROOM_EVENT_TLS_H

#include "core/base/str.h"

/* TLS over a non-blocking socket: OpenSSL 3 behind two types. */
struct tls_ctx; /* certificates and policy, shared and counted */
struct tls;	/* one connection */

struct tls_server_options {
	struct str certificate_pem; /* chain, leaf first; kept by copy */
	struct str key_pem;	    /* RSA or ECDSA */
	int min_version;	    /* 12 or 13 */
	/* Clients are asked for a certificate of one of these, but may have none; one that is not
	 * verified ends nothing, and tls_peer_subject knows none. Empty: they are not asked. */
	struct str client_ca_pem;
};
/* No tickets, no session cache, no finite fields in TLS 1.3, buffers released while idle (14 KiB a
 * connection, SPIKES.md 5). ERR_SYNTAX with text in err_out (static or thread storage). */
MUST_USE enum err
tls_ctx_new_server(const struct tls_server_options *o, struct tls_ctx **out, const char **err_out);

/* What clients will say of a server's certificate, whoever signed it. */
struct tls_certificate {
	int64_t begins_sec, ends_sec; /* Unix time */
	bool names_host;	      /* RFC 6125 6.4 */
};
/* The first certificate of pem, and whether it names host (a domain or an address; empty: no).
 * ERR_SYNTAX: there is none that can be read. RFC 5280 4.1.2.5. */
MUST_USE enum err
tls_certificate_read(struct str pem, struct str host, struct tls_certificate *out);

struct tls_client_options {
	struct str ca_pem;	    /* empty: the system's store */
	struct str certificate_pem; /* optional client certificate */
	struct str key_pem;
	int min_version;
	bool insecure;	 /* no certificate check: a setting that says so aloud */
	bool read_ahead; /* for few connections with many records: take all that the socket has at
			    once, then tls_unread counts, not tls_pending alone; and keep the
			    buffers, 33 KiB a connection */
	bool dane;	 /* tls_new_client_peer may ask for TLS_CHECK_DANE */
};
MUST_USE enum err
tls_ctx_new_client(const struct tls_client_options *o, struct tls_ctx **out, const char **err_out);
struct tls_ctx *
tls_ctx_ref(struct tls_ctx *c);
void
tls_ctx_unref(struct tls_ctx *c);

/* A connection over fd (borrowed, non-blocking). host: the name or address that
 * the server's certificate must carry (client side, RFC 6125), and SNI. */
struct tls *
tls_new_server(struct tls_ctx *c, int fd);
struct tls *
tls_new_client(struct tls_ctx *c, int fd, struct str host);
/* How a client judges the server's certificate. */
enum tls_check {
	TLS_CHECK_NONE, /* not at all: opportunistic TLS (RFC 7435) */
	TLS_CHECK_NAME, /* by the CAs, and it carries one of the names */
	TLS_CHECK_DANE, /* by TLSA records of DANE-TA and DANE-EE, RFC 7672 3.1 */
};
struct tls_tlsa {
	uint8_t usage, selector, matching; /* RFC 6698 2.1 */
	struct str data;
};
struct tls_peer {
	struct str sni; /* empty: none */
	enum tls_check check;
	const struct str *names; /* host names, addresses, or ".example.net" for what lies below
				    it; for TLS_CHECK_DANE those that DANE-TA compares */
	size_t names_count;
	const struct tls_tlsa *tlsa;
	size_t tlsa_count;
	bool dane_only; /* TLS_CHECK_DANE: without a usable record the hand-shake fails */
};
/* The same with one judgement for each connection, whatever `insecure` says. TLS_CHECK_DANE
 * without a usable record (RFC 7671 5: usage 0 and 1, unknown numbers, broken data) becomes
 * TLS_CHECK_NONE unless dane_only: ask tls_checked. Borrows p. */
struct tls *
tls_new_client_peer(struct tls_ctx *c, int fd, const struct tls_peer *p);
/* By what the certificate is or was judged. */
enum tls_check
tls_checked(const struct tls *t);
void
tls_free(struct tls *t);

/* Each step: ERR_OK; ERR_AGAIN and tls_wants says LOOP_READ or LOOP_WRITE;
 * ERR_EOF (close_notify, or the socket ended); ERR_TEMP with tls_error. */
MUST_USE enum err
tls_handshake(struct tls *t);
MUST_USE enum err
tls_read(struct tls *t, void *p, size_t n, size_t *got_out);
MUST_USE enum err
tls_write(struct tls *t, const void *p, size_t n, size_t *put_out);
/* Sends close_notify once; does not wait for the peer's. */
MUST_USE enum err
tls_shutdown(struct tls *t);
/* Before the first step: LOOP_WRITE for a client, LOOP_READ for a server. */
int
tls_wants(const struct tls *t);
/* Bytes already decrypted: a read returns them though the fd stays quiet. */
size_t
tls_pending(const struct tls *t);
/* With read_ahead: bytes were taken off the socket that no event will announce, perhaps too few for
 * a read to return any. */
bool
tls_unread(const struct tls *t);
/* Why the last step failed, for the log. Dies with the next call on t. */
const char *
tls_error(const struct tls *t);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384"; dies with t. */
const char *
tls_description(const struct tls *t);
/* The channel binding tls-server-end-point: the hash of the server's certificate, by the hash of
 * its own signature, SHA-256 where that is weaker (RFC 5929 4.1). Both ends may ask once the
 * hand-shake is over. ERR_NOTFOUND: no certificate, or a signature without one hash (Ed25519);
 * ERR_LIMIT: size below 64 and too small. */
MUST_USE enum err
tls_server_end_point(const struct tls *t, unsigned char *out, size_t size, size_t *n_out);
const char *
tls_version(const struct tls *t);
const char *
tls_cipher(const struct tls *t);
/* The subject of the client's certificate, if one came and was verified, added to out:
 * "CN=Anna Berg,O=Example" (RFC 4514, UTF-8). ERR_NOTFOUND; ERR_LIMIT: out is full. */
struct buf;
MUST_USE enum err
tls_peer_subject(const struct tls *t, struct buf *out);

#endif
