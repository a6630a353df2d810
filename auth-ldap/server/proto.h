#ifndef POSTROOM_AUTH_PROTO_H
#define POSTROOM_AUTH_PROTO_H

#include "core/base/buf.h"

/* What peers may say on our sockets; pure functions over bytes. */

enum {
	AUTH_LINE_MAX = 32 * 1024, /* 16 KiB of response in base64, and parameters */
	SOCKETMAP_REQUEST_MAX = 8 * 1024,
	SOCKETMAP_REPLY_MAX = 100000, /* Postfix 3.7 refuses more */
	SOCKETMAP_LARGE_MAX = 4 * 1024 * 1024,
};

enum auth_verb {
	AUTH_VERSION,
	AUTH_CPID,
	AUTH_AUTH,
	AUTH_CONT,
	AUTH_CANCEL,
	AUTH_OTHER, /* unknown: ignored, as the protocol says */
};

/* A line of the Dovecot auth client protocol 1.x, without its LF. Strings point into the line and
 * are still escaped (wire_unescape). */
struct auth_line {
	enum auth_verb verb;
	uint32_t major, minor; /* VERSION */
	uint32_t id;	       /* AUTH, CONT, CANCEL: the request; CPID: the process */
	struct str mechanism;  /* AUTH */
	struct str service, session, local, remote;
	bool secured;
	bool nologin;		/* no REQUEST will follow */
	bool valid_certificate; /* the client's was verified */
	struct str certificate; /* cert_username=: its subject (RFC 4514) */
	struct str response;	/* AUTH: of resp=, p is NULL without it; CONT; in base64 */
};
/* "AUTH\t7\tPLAIN\tservice=imap\tresp=AGFubmEAcHc=". ERR_SYNTAX: a known verb without what it must
 * have. */
MUST_USE enum err
auth_line_parse(struct str line, struct auth_line *out);

enum userdb_verb {
	USERDB_VERSION,
	USERDB_USER,
	USERDB_PASS,
	USERDB_LIST,
	USERDB_REQUEST,
	USERDB_CHECK,
	USERDB_OTHER,
};

/* A line of the Dovecot master protocol 1.x. */
struct userdb_line {
	enum userdb_verb verb;
	uint32_t major, minor;
	uint32_t id;
	struct str name;		/* USER, PASS; CHECK: the check= of REQUEST's answer */
	struct str service;		/* USER, PASS, LIST, CHECK */
	struct str user;		/* CHECK: user=, canonical */
	uint32_t max_age_ms;		/* CHECK: max_age=, of a remembered answer */
	struct str remote;		/* USER, PASS: rip= */
	uint32_t client_pid, client_id; /* REQUEST */
	struct str cookie;
};
MUST_USE enum err
userdb_line_parse(struct str line, struct userdb_line *out);

/* The first netstring of in: "17:alias a@b.example," ERR_AGAIN: not whole; ERR_SYNTAX;
 * ERR_LIMIT: longer than max_bytes. size_out: bytes of the whole netstring, to consume. */
MUST_USE enum err
netstring_parse(struct str in, size_t max_bytes, struct str *payload_out, size_t *size_out);
/* Appended to out: the reply "status text" as a netstring. */
void
netstring_reply(struct buf *out, const char *status, struct str text);

#endif
