#ifndef POSTROOM_TESTS_SMTP_FAKES_H
#define POSTROOM_TESTS_SMTP_FAKES_H

#include "core/base/buf.h"
#include "delivery/resolver/resolver.h"
#include "delivery/smtp/server.h"

/* The neighbours of an SMTP session, in one process and without threads: auth client, directory and
 * spool as their headers say, linked instead of the real ones. Every answer comes from the loop.
 *
 * The directory knows the domain ok.org; "known…@ok.org" is a mailbox there; "me@ok.org" and
 * "<user>@ok.org" may be sent as by <user>; "own@second.org" is a mailbox elsewhere. "list…@ok.org"
 * stands for others: everybody may post to list-open and list-alias, me@ok.org, anna,
 * own@second.org and partner@else.org to the others, and nobody can say who to list-temp. "temp…@…"
 * is a failure each time. Logins: PLAIN takes
 * "\0user\0good"; LOGIN asks twice. 192.0.2.0/24 is a network of ours. The DNS
 * knows what dns says. */
#define FAKES_SRS_SECRET "a secret of the tests" /* of srs.ok.org */
struct fake_record {
	const char *name;
	enum dns_type type;
	enum resolver_state state;
	const char *text; /* MX: with preference 10 */
};
struct fakes {
	struct loop *loop;
	struct smtp_server *server;
	/* what the neighbours do */
	enum err spool_state; /* of spool_take; ERR_BUSY: a slot comes at the next turn */
	bool slots_never;     /* with ERR_BUSY: it does not come */
	enum err commit_result;
	bool directory_away;
	bool directory_holds; /* it takes questions and answers when it is told to */
	bool auth_away;
	const struct fake_record *dns; /* ends with a name NULL; the rest is RESOLVER_NO_NAME */
	bool dns_silent;	       /* no answer until the time is over */
	unsigned dns_asked;
	/* what came of it */
	unsigned recipients_asked; /* of the directory */
	unsigned commits, slots_taken, slots_dropped;
	struct buf body;   /* of the last commit */
	struct buf rcpts;  /* of all commits, each with a newline */
	struct buf wishes; /* of the last commit: "ret envid" and a line "notify orcpt" each */
	struct buf sender;
	unsigned flags;	   /* of the last commit */
	struct buf output; /* what the client was sent */
	int client;	   /* the client's end, -1 when the server hung up */
};
extern struct fakes fakes;

/* A server with small limits and one policy without TLS; o may change options before. */
void
fakes_start(void (*o)(struct smtp_options *o));
void
fakes_stop(void);
/* What the directory holds is answered now, the last question first. */
void
fakes_directory_answers(void);
/* The auth service goes away under the login that is open. */
void
fakes_auth_dies(void);
/* A new connection to submission. */
void
fakes_connect(void);
/* … and to a listener for mail from other servers, from this address. */
void
fakes_connect_mx(const char *address);
/* Bytes from the client, in pieces of step (0: at once); then the loop runs until it is quiet. */
void
fakes_send(struct str bytes, size_t step);
/* The same without running the loop; at most what a socket holds (the rest is lost). */
void
fakes_put(struct str bytes);
/* The client ends its side; runs until the session is gone. */
void
fakes_end(void);
/* Runs the loop for about ms. */
void
fakes_run(int64_t ms);

#endif
