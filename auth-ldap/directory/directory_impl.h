#ifndef POSTROOM_AUTH_DIRECTORY_IMPL_H
#define POSTROOM_AUTH_DIRECTORY_IMPL_H

#include "auth-ldap/directory/directory.h"
#include "auth-ldap/directory/template.h"
#include "core/base/hmap.h"

/* What directory.c, expand.c and sections.c share. Not for others. */

/* One directory section. */
struct dir {
	const struct settings_directory *s;
	struct ldap_pool *pool;
	struct buf address_filter; /* template: mailbox_filter or alias_filter */
};

struct dirs {
	struct loop *loop;
	unsigned refs;
	const struct settings *settings;
	struct dir *v;
	size_t n;
	struct hmap homes; /* homes seen, and whose they are */
	struct loop_task release;
};

/* The first section from `from` on that is asked about domain; d->n when there is none. */
size_t
dirs_next(const struct dirs *d, size_t from, struct str domain);

bool
dir_lists_domain(const struct dir *dir, struct str domain);
/* May the section `at` say who a user of this domain is? Not where another one names the domain as
 * its own: who administers one directory must not become a user of another's. */
bool
dirs_own_domain(const struct dirs *d, size_t at, struct str domain);
/* A home belongs to the first user who was seen with it; false: it is another's. */
bool
dirs_claim_home(struct dirs *d, struct str path, struct str user);

/* The user's canonical name out of an entry: user_attribute, with the default domain where it has
 * none. ERR_NOTFOUND: no such attribute; ERR_DENIED: several values, or one that is no name. */
MUST_USE enum err
entry_user(
	const struct dirs *d, const struct dir *dir, const struct ldap_entry *e, struct name *out);

/* The expansion of an alias or group (expand.c). */
struct expansion;
struct expansion *
dir_expansion_start(struct dirs *d, const struct name *address, dir_fn fn, void *arg);
void
dir_expansion_cancel(struct expansion *x);

#endif
