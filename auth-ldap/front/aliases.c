/* Aliases of the settings; see aliases.h. Called by expand.c, which follows them. */
#include "auth-ldap/front/aliases.h"

const struct settings_alias *
alias_find(const struct settings *s, const struct name *n, bool *needs_domain_out)
{
	const struct settings_alias *by_local = NULL;

	for (size_t i = 0; i < s->aliases_count; i++) {
		const struct settings_alias *a = &s->aliases[i];
		*needs_domain_out = false;
		if (str_ieq(a->title, n->address))
			return a;
		if (by_local == NULL && str_ieq(a->title, n->local))
			by_local = a;
	}
	*needs_domain_out = by_local != NULL;
	return by_local;
}

void
alias_target(struct str to, const struct name *n, struct buf *out)
{
	buf_add(out, to);
	if (str_chr(to, '@') == to.n && n->domain.n > 0)
		buf_addf(out, "@%.*s", STR_FMT(n->domain));
}
