/* Which relay section takes a recipient's mail, by the settings alone; see settings.h. Asked by the
 * queue's routes and by smtp, so that both say the same. */
#include "config/settings.h"

/* How well pattern fits: 0 not at all, else the longer the better. "*" is every domain. */
static size_t
fit(struct str pattern, struct str domain)
{
	if (str_ieq(pattern, domain))
		return SIZE_MAX;
	if (str_eq(pattern, STR("*")))
		return 1;
	return pattern.n > 1 && pattern.p[0] == '.' && domain.n > pattern.n &&
			       str_ieq(str_from(domain, domain.n - pattern.n), pattern)
		       ? pattern.n
		       : 0;
}

static size_t
best_fit(const struct str_list *l, struct str domain)
{
	size_t best = 0;

	for (size_t i = 0; i < l->n; i++) {
		size_t n = fit(l->v[i], domain);
		best = n > best ? n : best;
	}
	return best;
}

/* The section whose domains, or sender_domains, fit best. */
static const struct settings_relay *
section_for(const struct settings *s, struct str domain, bool sender)
{
	const struct settings_relay *best = NULL;
	size_t most = 0;

	for (size_t i = 0; domain.n != 0 && i < s->relays_count; i++) {
		const struct settings_relay *x = &s->relays[i];
		size_t n = best_fit(sender ? &x->sender_domains : &x->domains, domain);
		if (n > most) {
			most = n;
			best = x;
		}
	}
	return best;
}

const struct settings_relay *
settings_relay_named(const struct settings *s, struct str title)
{
	for (size_t i = 0; title.n != 0 && i < s->relays_count; i++)
		if (str_eq(s->relays[i].title, title))
			return &s->relays[i];
	return NULL;
}

const struct settings_relay *
settings_relay_for(const struct settings *s, struct str domain, struct str sender_domain)
{
	const struct settings_relay *x = section_for(s, domain, false);

	if (x == NULL)
		x = section_for(s, sender_domain, true);
	return x != NULL ? x : settings_relay_named(s, s->outbound.smarthost);
}
