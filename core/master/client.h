#ifndef POSTROOM_MASTER_CLIENT_H
#define POSTROOM_MASTER_CLIENT_H

#include "config/settings.h"

/* Blocking connections of admin commands to the sockets of a running server, and the protocol of
 * `auth-admin` and `queue-admin`: one request a connection, a line of fields separated by tabs and
 * escaped like those of the auth protocol (core/authclient/wire.h). The answer is any number of
 *   STEP <tab> text, or what the request brings (delivery/queue/admin.h)
 * and one last line
 *   OK <tab> text | NOTFOUND | DENY <tab> reason | TEMP <tab> reason | SYNTAX <tab> reason */

enum { CLIENT_WAIT_SEC = 60, CLIENT_REPLY_MAX = 16 * 1024 * 1024 };

/* runtime_dir/name. The descriptor, or -1 with errno. */
int
client_connect(const struct settings *s, const char *name);
/* An answer, on stdout, with the end of its last line. */
void
client_print(const struct buf *answer);
/* What an administrator may want to know of an errno of client_connect; empty, or behind it. */
const char *
client_hint(int code);
/* False: the connection broke, errno says how. */
bool
client_send(int fd, struct str bytes);
/* More of the answer into in; false at the end, or after CLIENT_WAIT_SEC of silence. */
bool
client_receive(int fd, struct buf *in);

struct admin_request {
	const char *socket;	  /* "queue-admin"; NULL: "auth-admin" */
	const char *verb;	  /* "LOOKUP" */
	const struct str *fields; /* unescaped */
	size_t fields_count;
	bool quiet; /* steps are not shown */
	/* A line that is neither STEP nor the last, fields still escaped; borrowed. May be NULL. */
	void (*on_line)(void *arg, struct str line);
	void *arg;
};
/* Asks, shows the steps on stderr as they come, and adds the last line's text to out. Returns the
 * exit status: 0 OK, 1 NOTFOUND, EXIT_UNAVAILABLE DENY, EXIT_TEMPFAIL TEMP or no answer, EXIT_USAGE
 * SYNTAX; what is no OK has its line on stderr. -1: there is no such socket for this user, and
 * nothing was said. */
int
admin_ask(const struct settings *s, const struct admin_request *r, struct buf *out);

#endif
