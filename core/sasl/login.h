#ifndef POSTROOM_SASL_LOGIN_H
#define POSTROOM_SASL_LOGIN_H

#include "core/base/str.h"

/* The client's side of SASL mechanisms (Cyrus SASL): we log in at somebody else's server. PLAIN,
 * LOGIN, SCRAM. RFC 4422, 4616, 5802, 7677. */
struct sasl_login;

/* Once a process, before its cage: loads the plug-ins. ERR_TEMP. */
MUST_USE enum err
sasl_login_setup(void);
void
sasl_login_teardown(void);

struct sasl_login_options {
	const char *service; /* "smtp" */
	const char *host;    /* the server's name */
	struct str user, password;
};
/* Copies. ERR_TEMP: the library refuses. */
MUST_USE enum err
sasl_login_new(const struct sasl_login_options *o, struct sasl_login **out);
/* NULL is allowed; the password is wiped. */
void
sasl_login_free(struct sasl_login *l);
/* Begin with the best of mechanisms ("SCRAM-SHA-256 PLAIN"). response_out: p NULL where the
 * mechanism has no initial response; it and mechanism_out die with the next call. ERR_NOTFOUND:
 * none of them will do; ERR_TEMP. */
MUST_USE enum err
sasl_login_start(struct sasl_login *l, const char *mechanisms, const char **mechanism_out,
	struct str *response_out);
/* The server's challenge, decoded. ERR_OK: answer response_out (it may be empty); ERR_DENIED: the
 * challenge is wrong, SCRAM: the server does not know our password. */
MUST_USE enum err
sasl_login_step(struct sasl_login *l, struct str challenge, struct str *response_out);
/* All was said that the mechanism has to say: a server that agrees before that has not proved what
 * the mechanism makes it prove. */
bool
sasl_login_complete(const struct sasl_login *l);

#endif
