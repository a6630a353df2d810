#ifndef POSTROOM_LMTP_COMMAND_H
#define POSTROOM_LMTP_COMMAND_H

#include "core/base/str.h"

/* One LMTP command line, parsed. RFC 5321 4.1, RFC 2033 4. */
enum lmtp_verb {
	LMTP_UNKNOWN, /* no verb that we know */
	LMTP_LHLO,
	LMTP_MAIL,
	LMTP_RCPT,
	LMTP_DATA,
	LMTP_BDAT, /* RFC 3030 2 */
	LMTP_RSET,
	LMTP_NOOP,
	LMTP_QUIT,
	LMTP_VRFY,
	LMTP_STARTTLS, /* RFC 3207 */
	LMTP_HELO,     /* HELO and EHLO are named, to be refused as RFC 2033 4.1 asks */
};

enum {
	LMTP_LINE_MAX = 4096,
	LMTP_PATH_MAX = 512, /* what smtp takes: 256 + "@" + 255 */
	LMTP_PARAMS_MAX = 16,
};

struct lmtp_param {
	struct str key;
	struct str value; /* empty when there was none */
};

struct lmtp_command {
	enum lmtp_verb verb;
	struct str arg; /* LHLO: the name; VRFY: what was asked; NOOP: anything */
	/* MAIL and RCPT: the address without "<", ">" and source route; quotes that the local
	 * part does not need are gone. Empty: "<>". */
	uint64_t chunk; /* BDAT: octets */
	bool last;	/* BDAT */
	char path[LMTP_PATH_MAX + 1];
	size_t path_len;
	bool utf8; /* the path is beyond ASCII: only after SMTPUTF8 (RFC 6531) */
	struct lmtp_param params[LMTP_PARAMS_MAX];
	size_t params_count;
};

/* line: without its CRLF; strings of out borrow it. ERR_SYNTAX: arguments that break the
 * grammar (out->verb is set); ERR_LIMIT: path or parameters over their limit. Bytes
 * beyond ASCII are UTF-8 without control characters, and stand only in paths. */
MUST_USE enum err
lmtp_command_parse(struct str line, struct lmtp_command *out);

static inline struct str
lmtp_command_path(const struct lmtp_command *c)
{
	return str_n(c->path, c->path_len);
}

/* The part of an address before the tag: "anna+lists@example.org" with '+' gives
 * "anna@example.org" in out (room for LMTP_PATH_MAX + 1). False: no tag there. */
bool
lmtp_address_without_tag(struct str address, char delimiter, char *out, size_t *len_out);
/* The tag itself, "lists", where the other is true. Borrowed. */
struct str
lmtp_address_tag(struct str address, char delimiter);

#endif
