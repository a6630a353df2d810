#ifndef POSTROOM_LMTP_SESSION_H
#define POSTROOM_LMTP_SESSION_H

#include "core/authclient/userdb.h"
#include "core/base/cidr.h"
#include "core/event/listener.h"
#include "core/event/tls.h"
#include "core/role/role.h"
#include "core/store/deliver.h"
#include "delivery/lmtp/users.h"

/* What all LMTP sessions of a process share. */
struct lmtp_server {
	struct loop *loop;
	struct store *store;
	/* userdb_lookup of core/authclient on users; tests put their own here. */
	struct userdb_request *(*lookup)(
		struct userdb *u, struct str name, struct str service, userdb_fn fn, void *arg);
	void (*lookup_cancel)(struct userdb_request *r);
	struct userdb *users;
	struct user_cache *cache;

	/* Out of the settings. */
	struct str hostname;
	struct str mail_root; /* homes lie below it */
	char delimiter;	      /* of tags; NUL: none */
	bool tag_is_mailbox;  /* mail goes to the mailbox that the tag names, or INBOX */
	uint32_t tag_creates; /* it is made while the home has fewer mailboxes; 0: never */
	char separator;	      /* of its parts, as clients write names: '/' or '.' */
	uint64_t message_max_bytes;
	uint32_t recipients_max;
	int64_t command_timeout_ms;
	int64_t store_timeout_ms;
	unsigned connections_max;
	bool full_is_temporary;	     /* over quota: 452, not 552 */
	const struct cidr *networks; /* that may use TCP */
	size_t networks_count;
	uid_t queue_uid;     /* may send XDELIVERYID */
	struct tls_ctx *tls; /* NULL: none, and nothing is offered */

	/* The sessions. */
	struct list sessions;
	unsigned sessions_count;
	bool stopping;
	void (*on_idle)(void *arg); /* stopping, and the last session ended. NULL: none */
	void *on_idle_arg;
};

/* Greets, or refuses: TCP from outside the networks, too many connections. Takes fd; the session
 * frees itself. LISTEN_TLS_IMPLICIT: v->tls is there. */
void
lmtp_session_start(struct lmtp_server *v, int fd, const struct peer *peer, enum listen_tls tls);
/* Idle sessions are told 421 and closed; those that receive or deliver a message end after it. */
void
lmtp_server_stop(struct lmtp_server *v);

#endif
