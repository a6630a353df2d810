#ifndef POSTROOM_AUTH_LDAP_OPTIONS_H
#define POSTROOM_AUTH_LDAP_OPTIONS_H

#include "auth-ldap/ldap/search.h"
#include "config/settings.h"

/* The options of ldap_pool_new for one directory section. Borrows s and d, which must outlive
 * the pool; gss is ldap_client_new's to add. Logs a warning for what lets passwords be read on
 * their way (verify = no, starttls = no to another machine). */
void
ldap_options_of(const struct settings *s, const struct settings_directory *d,
	struct ldap_pool_options *out);
/* The same for ldap_client_new: the pool, and what whole searches need. */
void
ldap_client_options_of(const struct settings *s, const struct settings_directory *d,
	struct ldap_client_options *out);

#endif
