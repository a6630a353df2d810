#ifndef POSTROOM_AUTH_WORKER_WIRE_H
#define POSTROOM_AUTH_WORKER_WIRE_H

#include "auth-ldap/backend/backend.h"
#include "auth-ldap/backend/kinds.h"
#include "core/base/arena.h"

/* What auth and its helper processes say to each other on <runtime_dir>/auth-worker: lines of tab
 * separated fields, ended by LF, escaped as core/authclient/wire.h says. One question at a time on
 * a connection.
 *
 *   helper, once:     HELLO  version
 *   auth:             ASK    id kind section title key=value …
 *                     keys: user password other service rip lip
 *   helper, any:      USER   id key=value …           a user (a list: many)
 *                     VALUE  id text                  a member, a sender, a domain
 *                     KEYS   id hash iterations salt stored server   in hex
 *   helper, last:     END    id err reason detail
 *
 * kind: "login" …; section: "sql"; err: err_name's word; reason: enum auth_reason's number. Both
 * ends are of one build: what is not understood ends the connection. */
enum { WORKER_VERSION = 1, WORKER_LINE_MAX = 65536 };

struct worker_question {
	uint32_t id;
	enum ask_kind kind;
	enum worker_kind section;
	struct str title;
	struct str user; /* as typed; empty: none */
	struct str password, other, service, remote_ip, local_ip;
};

/* A user as a passwd-file, PAM or a database knows it, before home and domain are settled. Lists
 * are comma separated. */
struct worker_user {
	struct str user, home, source, display_name, mail_host, quota;
	struct str aliases, services, networks;
	bool services_given;
	bool disabled;
	int64_t expires_sec;
};

enum worker_line { WORKER_HELLO, WORKER_USER, WORKER_VALUE, WORKER_KEYS, WORKER_END };
struct worker_answer {
	enum worker_line line;
	uint32_t id;
	struct worker_user user;
	struct str value;
	bool sha256;
	struct auth_scram scram;
	enum err err;
	enum auth_reason reason;
	struct str detail;
};

/* Each appends one line. */
void
worker_question_put(struct buf *out, const struct worker_question *q);
void
worker_answer_put(struct buf *out, const struct worker_answer *a);

/* line without its LF; strings lie in a. ERR_SYNTAX; ERR_LIMIT. */
MUST_USE enum err
worker_question_get(struct str line, struct arena *a, struct worker_question *out);
MUST_USE enum err
worker_answer_get(struct str line, struct arena *a, struct worker_answer *out);

#endif
