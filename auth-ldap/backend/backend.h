#ifndef POSTROOM_AUTH_BACKEND_H
#define POSTROOM_AUTH_BACKEND_H

#include "auth-ldap/backend/reason.h"
#include "auth-ldap/backend/trace.h"
#include "auth-ldap/backend/user.h"
#include "auth-ldap/name/name.h"
#include "core/event/loop.h"

/* A source of users and addresses: one section of the settings (a directory, a passwd-file, PAM, a
 * database). front/ asks them in their order and knows nothing about what is behind them; a
 * backend knows nothing of caches, penalties and sockets.
 *
 * Every question ends in exactly one call of its fn (a list in one for each user and one more),
 * from the loop and never inside ask, or in cancel. */

/* Who wants to know, for variables, policies and the log. Borrowed during the call that takes it;
 * a backend copies what it needs later. */
struct auth_context {
	struct str service;   /* "imap", "smtp", "lmtp"; empty: nobody in particular */
	struct str remote_ip; /* "192.0.2.7"; empty: unknown */
	struct str local_ip;
	struct str sid;
	bool secured; /* TLS, or the same machine */
	/* Kept until the question ends; NULL: no explanation wanted. A question with one is an
	 * administrator's: it is asked of the backends whatever the caches say, and counts against
	 * nobody. */
	struct trace *trace;
};

enum ask_kind {
	ASK_LOGIN,	 /* name, password: is it theirs? user */
	ASK_USER,	 /* name, a login name: who is it? user */
	ASK_ADDRESS,	 /* name, an address: whose mailbox is it? user */
	ASK_CERTIFICATE, /* other, the subject of a client's certificate (RFC 4514): user */
	ASK_SECRET,	 /* name: user, and secret when there is a usable one */
	ASK_MASTER,   /* other, where: may the user whom user.source names act for others? ERR_OK,
			 ERR_DENIED */
	ASK_DOMAIN,   /* name.domain: is it ours? value */
	ASK_MEMBERS,  /* name, an address; or other, a reference that this backend gave, with name
			 the  address that was asked about first: members, owner */
	ASK_CATCHALL, /* name: who gets what is sent to unknown addresses of name.domain? members */
	ASK_SENDER,   /* name, an address: who may send as it? value: users, comma separated; or
			 members, which are followed as those of ASK_MEMBERS are */
	ASK_TRANSPORT, /* name, an address: value, "smtp:[host]:port", "lmtp:…" */
	ASK_POST, /* name: a group's address, other: a sender's: may it post? ERR_OK, ERR_DENIED; or
		     ERR_OK with members: only those may. ERR_NOTFOUND: no such group */
	ASK_LIST, /* every user; then ERR_EOF, or ERR_TEMP when the list is not whole */
};

struct auth_question {
	enum ask_kind kind;
	const struct name *name; /* lower case, checked; may be NULL for the kinds that name none */
	struct str password;
	struct str other;
	bool people; /* ASK_MEMBERS: users stand for themselves, wherever their mail is forwarded */
	const struct auth_context *context; /* never NULL */
};

/* What an address stands for, one step. */
enum member_kind {
	MEMBER_USER,	/* value: a user's canonical address: an end */
	MEMBER_ADDRESS, /* value: an address that is to be asked about again, of all backends */
	MEMBER_FINAL,	/* value: an address that is not asked about again */
	MEMBER_REF, /* value: something that only this backend understands (a DN); case and blanks
		       behind commas make no other one */
	MEMBER_EVERYONE,   /* ASK_POST: whoever it is */
	MEMBER_EVERY_USER, /* ASK_POST: every user of any backend */
};
struct auth_member {
	enum member_kind kind;
	struct str value;
};

/* Keys of a SCRAM mechanism (RFC 5802 3), as they are kept. */
struct auth_scram {
	struct str salt, stored_key, server_key; /* bytes; empty: none for this hash */
	uint32_t iterations;
};
struct auth_secret {
	struct auth_scram sha1, sha256;
};

struct auth_answer {
	enum err err; /* ERR_OK; ERR_NOTFOUND: this backend does not know the name; ERR_DENIED;
			 ERR_TEMP: nobody can say; ERR_EOF */
	/* All of the rest is borrowed during the call. */
	enum auth_reason reason;
	struct str detail;	      /* the server's text, or the DNs that matched; for the log */
	const struct auth_user *user; /* with ERR_OK; with ERR_DENIED when it is known */
	struct str value;
	struct str owner; /* ASK_MEMBERS: envelope sender for a group's mail; empty: none */
	const struct auth_member *members;
	size_t members_count;
	const struct auth_secret *secret;
	/* With ERR_NOTFOUND, of ASK_TRANSPORT and expand.h: the address is known, and its mail
	 * stays here, or it stands for itself only. */
	bool known;
	/* Of walk.h with ERR_TEMP: who failed; those asked before it did not know the name. */
	const struct backend *failed;
	int64_t password_expires_sec; /* from now; -1: unknown. ASK_LOGIN with ERR_OK */
	int grace_logins;	      /* left; -1: not in grace */
	struct str check;	      /* front_login with ERR_OK: what front_check takes later */
};
typedef void (*auth_fn)(void *arg, const struct auth_answer *a);

struct backend;
struct backend_request;

struct backend_ops {
	/* Copies what it needs of q. A kind that the backend cannot answer is ERR_NOTFOUND. */
	struct backend_request *(*ask)(
		struct backend *b, const struct auth_question *q, auth_fn fn, void *arg);
	void (*cancel)(struct backend_request *r);
	/* Lines of `postroom auth status`: "name key=value …\n". */
	void (*status)(struct backend *b, struct buf *out);
	/* No request is left. */
	void (*free)(struct backend *b);
};

/* Embedded at the head of each kind. */
struct backend {
	const struct backend_ops *ops;
	const char *kind;	   /* "directory", "passwd-file", "pam", "sql" */
	struct str title;	   /* of its section */
	const struct str *domains; /* the only ones it is asked about; none: any */
	size_t domains_count;
	/* Further domains of login names only. */
	const struct str *login_domains;
	size_t login_domains_count;
	struct str netbios; /* logins with this name->netbios are asked of it alone; empty: none */
	/* Limits of an address that this one knows: addresses in the end, and steps to them; 0: the
	 * front's own. */
	size_t expansion_max;
	unsigned depth_max;
	/* What an answer about a user depends on beside the name (for cache keys). */
	bool by_service, by_remote_ip, by_local_ip;
};

/* Is b to be asked about n? login: the question begins with a login name (ASK_LOGIN, ASK_USER,
 * ASK_SECRET), so that login_domains and netbios count. */
bool
backend_takes(const struct backend *b, const struct name *n, bool login);

#endif
