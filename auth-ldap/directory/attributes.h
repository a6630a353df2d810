#ifndef POSTROOM_AUTH_DIRECTORY_ATTRIBUTES_H
#define POSTROOM_AUTH_DIRECTORY_ATTRIBUTES_H

#include "config/settings.h"

/* What the values of attributes mean. Pure functions over bytes of a directory. A value that is not
 * understood is ERR_SYNTAX, never a guess. */

/* When does the account end? Unix seconds; 0: never; never less than 1 otherwise. format as the
 * setting expiry_format: "days" ("-1": never), "seconds", "filetime" ("0" and
 * "9223372036854775807": never), "generalized-time" (RFC 4517 3.3.13), "auto". */
MUST_USE enum err
expiry_parse(struct str value, struct str format, int64_t *sec_out);

/* Do the values of enabled_attribute say that the account is off? No value: it is on. */
MUST_USE enum err
enabled_parse(const struct str *values, size_t count, const struct str_list *enabled,
	const struct str_list *disabled, bool *disabled_out);

/* The next word of a value that is a list with commas or blanks; empty at its end. */
struct str
word_take(struct str *rest);
/* "imap", "!smtp": letters, digits and "-". */
bool
service_ok(struct str word);

/* The address in a value of mail or proxyAddresses: without "smtp:" in any case; empty where
 * another prefix says that it is none ("X500:…", "sip:…"). */
struct str
address_value(struct str value);

#endif
