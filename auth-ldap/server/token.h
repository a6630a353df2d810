#ifndef POSTROOM_AUTH_TOKEN_H
#define POSTROOM_AUTH_TOKEN_H

#include "config/settings.h"
#include "core/event/loop.h"

/* Examines bearer tokens: asks the token service that auth.oauth_introspection_url names (RFC
 * 7662), and remembers good ones for a short time, as a hash. Never logs a token. */
struct tokens;
struct token_request;

struct token_answer {
	enum err err;	    /* ERR_OK; ERR_DENIED: no good; ERR_TEMP: nobody can say */
	struct str name;    /* with ERR_OK: the login name */
	const char *status; /* with ERR_DENIED: "invalid_token" … (RFC 7628 3.2.2) */
	struct str detail;  /* for the log */
};
/* a is borrowed during the call. */
typedef void (*token_fn)(void *arg, const struct token_answer *a);

/* Keeps s. */
struct tokens *
tokens_new(struct loop *l, const struct settings *s);
/* Other settings; what is remembered is forgotten, and what is asked now will not be. */
void
tokens_reload(struct tokens *t, const struct settings *s);
/* Open requests are dropped without a call. NULL is allowed. */
void
tokens_free(struct tokens *t);

/* Exactly one call of fn, from the loop and never inside this call, or tokens_cancel. Copies. */
struct token_request *
tokens_examine(struct tokens *t, struct str token, token_fn fn, void *arg);
/* NULL is allowed. */
void
tokens_cancel(struct token_request *r);

/* What an answer of the token service says about a token; pure. name_out gets the login name.
 * ERR_OK; ERR_DENIED with status_out; ERR_SYNTAX: not an answer of RFC 7662 2.2. why_out: for the
 * log. */
struct buf;
MUST_USE enum err
token_answer_read(struct str json, const struct settings_auth *s, int64_t now_sec,
	struct buf *name_out, int64_t *expires_out, const char **status_out, const char **why_out);

#endif
