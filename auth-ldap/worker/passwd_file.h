#ifndef POSTROOM_AUTH_PASSWD_FILE_H
#define POSTROOM_AUTH_PASSWD_FILE_H

#include "auth-ldap/worker/worker.h"

/* The lines of a passwd-file, indexed: "user:{SCHEME}hash:uid:gid:gecos:home:shell:key=value …".
 * uid, gid and shell are of no use here; fields at the end may be missing; "#" begins a comment.
 * A user without a domain is one of default_domain. A line that is not understood, all lines of a
 * user who stands there twice, and an alias that two users claim, count for nobody. */
struct passwd_table;

/* Told of each line that does not count. */
typedef void (*passwd_bad_fn)(void *arg, unsigned line, const char *why);

/* Takes text's content. ERR_LIMIT: too many lines. */
MUST_USE enum err
passwd_table_new(struct buf *text, struct str default_domain, struct str default_scheme,
	passwd_bad_fn bad, void *arg, struct passwd_table **out);
void
passwd_table_free(struct passwd_table *t);
size_t
passwd_table_users(const struct passwd_table *t);
/* By name, then by alias. out's strings lie in t. ERR_NOTFOUND; ERR_DENIED: ambiguous. */
MUST_USE enum err
passwd_table_find(const struct passwd_table *t, const struct name *n, struct account *out);
/* Some user or alias is of this domain. */
bool
passwd_table_has_domain(const struct passwd_table *t, struct str domain);
/* The user behind *cursor (0 at first), which moves on. False: no more. */
bool
passwd_table_next(const struct passwd_table *t, size_t *cursor, struct account *out);

#endif
