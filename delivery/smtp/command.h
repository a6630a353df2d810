#ifndef POSTROOM_SMTP_COMMAND_H
#define POSTROOM_SMTP_COMMAND_H

#include "core/base/buf.h"
#include "delivery/smtp/reply.h"
#include "delivery/spool/format.h"

/* One SMTP command line, parsed. Pure functions over bytes; everything borrows the line. */

#define SMTP_VERBS(X) \
	X(HELO)       \
	X(EHLO)       \
	X(STARTTLS)   \
	X(AUTH)       \
	X(MAIL) X(RCPT) X(DATA) X(BDAT) X(RSET) X(NOOP) X(VRFY) X(EXPN) X(HELP) X(QUIT) X(XCLIENT)
#define SMTP_VERB_NAME(v) VERB_##v,
enum smtp_verb { SMTP_VERBS(SMTP_VERB_NAME) VERB_UNKNOWN };

/* A path: "<anna@example.org>", "<>", "<\"a b\"@[192.0.2.1]>", "<Postmaster>". */
struct smtp_path {
	bool null;	  /* <> */
	bool utf8;	  /* something is beyond ASCII: only with SMTPUTF8 (RFC 6531 3.3) */
	struct str local; /* as written, quotes too */
	/* "" for one without; "[192.0.2.1]" for a literal; of U-labels the A-labels, which lie in
	 * ascii: such a path is not to be copied */
	struct str domain;
	char ascii[256];
};

enum smtp_body { BODY_NONE, BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME };

struct smtp_cmd {
	enum smtp_verb verb;
	struct str arg; /* HELO: the name; AUTH: the mechanism; XCLIENT, VRFY …: the rest */
	struct smtp_path path; /* MAIL, RCPT */
	/* MAIL */
	uint64_t size;
	bool has_size;
	enum smtp_body body;
	enum spool_ret ret;
	struct str envid; /* xtext; empty: none */
	bool smtputf8;
	/* RCPT */
	unsigned notify;  /* enum spool_notify */
	struct str orcpt; /* xtext; empty: none. May be UTF-8, allowed with SMTPUTF8 alone */
	/* AUTH: initial response, still base64 ("=": empty) */
	struct str initial;
	bool has_initial;
	/* BDAT */
	uint64_t chunk;
	bool last;
};

/* line: without its line end. REPLY_OK, or the reply that refuses it; out->verb is set either way
 * (VERB_UNKNOWN: none of ours). RFC 5321 4.1, RFC 1870, RFC 6152, RFC 4954 5, RFC 3030, RFC 6531:
 * whether RCPT's path may be UTF-8 is for the caller, who knows what MAIL said. */
enum smtp_reply
smtp_command_parse(struct str line, struct smtp_cmd *out);
const char *
smtp_verb_name(enum smtp_verb v);

/* wishes.c: RET and ENVID of MAIL, NOTIFY and ORCPT of RCPT (RFC 3461 4), each once.
 * REPLY_BAD_SYNTAX; REPLY_BAD_PARAMETER: none of these. */
enum smtp_reply
smtp_wish_of_mail(struct str key, struct str value, struct smtp_cmd *out);
enum smtp_reply
smtp_wish_of_rcpt(struct str key, struct str value, struct smtp_cmd *out);
/* An ORCPT with UTF-8 in it, "utf-8;ä@example.org", as any server can be told: "utf-8;\x{E4}@…"
 * (RFC 6533 3). Appended. */
void
smtp_orcpt_ascii(struct str in, struct buf *out);
/* At least one octet of xtext (RFC 3461 4); printable: no other octets are hidden in it, either. */
bool
smtp_xtext_valid(struct str s, bool printable);

/* The path at the front of *in, "<…>" with it; *in moves behind. Source routes ("<@a,@b:c@d>") are
 * read and dropped (RFC 5321 C). Limits: local part 64, domain 255 octets (in A-labels). UTF-8
 * without control characters is taken, in U-labels only what IDNA2008 has. ERR_SYNTAX. RFC
 * 5321 4.1.2, RFC 6531 3.3. */
MUST_USE enum err
smtp_path_parse(struct str *in, struct smtp_path *out);
/* The address to look up and to store: quotes that are not needed taken off, domain in A-labels and
 * lower case; default_domain behind one without. Appended; nothing for <>. */
void
smtp_path_address(const struct smtp_path *p, struct str default_domain, struct buf *out);
/* A domain name (letters, digits, hyphens, at most 255) or an address literal. */
bool
smtp_domain_valid(struct str domain);
/* The same with a dot in it, or an address literal. */
bool
smtp_domain_full(struct str domain);

#endif
