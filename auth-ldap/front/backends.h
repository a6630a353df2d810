#ifndef POSTROOM_AUTH_BACKENDS_H
#define POSTROOM_AUTH_BACKENDS_H

#include "auth-ldap/backend/backend.h"
#include "auth-ldap/front/homes.h"
#include "config/settings.h"

/* The backends of one generation of the settings, in the order in which they are asked. Counted:
 * a request holds one, so that a reload lets it end with what it began with. */
struct backends {
	struct loop *loop;
	const struct settings *settings;
	struct backend **v;
	size_t n;
	/* Some backend's answers about users depend on these (for the keys of the cache). */
	bool by_service, by_remote_ip, by_local_ip;
	struct workers *workers; /* NULL: no backend needs helper processes */
	unsigned refs;
	struct homes homes; /* those seen */
	struct loop_task release;
};

/* Makes the backends that the settings name. Keeps s. ERR_SYNTAX with text in err_out. */
MUST_USE enum err
backends_new(struct loop *l, const struct settings *s, struct backends **out, struct buf *err_out);
/* The same around n backends that are there already; takes v[i]. */
struct backends *
backends_of(struct loop *l, const struct settings *s, struct backend *const *v, size_t n);
struct backends *
backends_ref(struct backends *b);
/* The last one frees it, from the loop. */
void
backends_unref(struct backends *b);
/* The same at once: at the end of the process, when no loop will run any more, and for what nobody
 * has asked yet. */
void
backends_close(struct backends *b);

/* The first one from `from` on that is asked about domain (empty, a bare name: only those that
 * list no domains); b->n when there is none. */
size_t
backends_next(const struct backends *b, size_t from, struct str domain);
/* May backend `at` say who a user of this domain is? Not where another one names the domain as its
 * own: who administers one directory must not become a user of another's. */
bool
backends_own_domain(const struct backends *b, size_t at, struct str domain);
/* By title; NULL when there is none. */
struct backend *
backends_find(const struct backends *b, struct str title);

#endif
