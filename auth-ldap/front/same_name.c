/* Where nobody may be asked who a name is; see same_name.h. login.c counts failures by it, and
 * fake_keys.c makes one salt for it.
 *
 * Invariant: no directory is asked, so that a name that nobody has is treated like any other. */
#include "auth-ldap/front/same_name.h"

#include "core/mail/charset.h"

/* Of logins with this netbios name that have no domain: as section_domain_default says. */
static struct str
netbios_domain(const struct settings *s, struct str netbios)
{
	struct str own = s->auth.default_domain;
	for (size_t i = 0; i < s->directories_count; i++) {
		const struct settings_directory *d = &s->directories[i];
		bool listed = d->domains.n == 0;
		if (!str_ieq(d->netbios_domain, netbios))
			continue;
		for (size_t k = 0; k < d->domains.n; k++)
			listed |= str_ieq(d->domains.v[k], own);
		return listed ? own : d->domains.v[0];
	}
	return own;
}

/* A directory may find one user by many spellings of other scripts: with wide letters, without
 * accents, with a blank that is none of ASCII's behind. */
static void
loosen(struct name *n)
{
	struct name loose;
	struct buf b;
	buf_init(&b, 4 * NAME_MAX_BYTES);
	enum err e = charset_loose(&b, n->local);
	if (e == ERR_OK && n->domain.n > 0) {
		buf_addc(&b, '@');
		buf_add(&b, n->domain);
	}
	if (e == ERR_OK && buf_check(&b) == ERR_OK &&
		name_parse(buf_str(&b), STR_EMPTY, &loose) == ERR_OK)
		name_copy(n, &loose);
	buf_fini(&b);
}

enum err
same_name(const struct settings *s, struct str typed, struct name *out)
{
	struct name n;
	enum err e = name_parse_login(typed, s->auth.default_domain, out);
	if (e == ERR_OK && out->netbios.n > 0) {
		e = name_parse(out->user, netbios_domain(s, out->netbios), &n);
		if (e == ERR_OK)
			name_copy(out, &n);
	}
	if (e == ERR_OK && str_has_8bit(out->local))
		loosen(out);
	return e;
}
