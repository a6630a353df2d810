#ifndef POSTROOM_MAIL_CONTENT_H
#define POSTROOM_MAIL_CONTENT_H

#include "core/base/arena.h"
#include "core/mail/mime.h"

/* The Content- fields of one part: types, parameters, disposition. RFC 2045 5, 2183, 2231,
 * 2557, 1864, 3282. */

/* Octets of one field that are looked at; more is left out. */
enum { CONTENT_FIELD_MAX = 64 * 1024 };

struct content_param {
	struct str name;  /* as written: "charset"; "filename*" for an RFC 2231 value */
	struct str value; /* unquoted; continuations are put together (RFC 2231 3), charset,
			   * language and percent signs stay ("utf-8''a%20b") */
};
struct content_params {
	struct content_param *v;
	size_t n;
};

struct content {
	struct str type, subtype; /* as written; empty type: no Content-Type field */
	struct content_params params;
	struct str encoding;			   /* as written; empty: none */
	struct str id, description, md5, location; /* unfolded; p NULL: none */
	struct str disposition;			   /* empty: none */
	struct content_params disposition_params;
	struct str *languages;
	size_t language_count;
};

/* Parse a part's header section. Strings are borrowed from header or live in a. A field that
 * is there twice counts once (the first). ERR_LIMIT: the arena is full. */
MUST_USE enum err
content_parse(struct content *c, struct str header, struct arena *a);

/* One "type/subtype; name=value" or, has_subtype false, "attachment; filename=x". Tolerant:
 * what cannot be read ends the list. ERR_SYNTAX: no token at the start; ERR_LIMIT. */
MUST_USE enum err
content_value_parse(struct str value, bool has_subtype, struct arena *a, struct str *type_out,
	struct str *subtype_out, struct content_params *params_out);

/* The value of a parameter as UTF-8: RFC 2231 decoded, and RFC 2047 words too (not allowed there,
 * but common). ERR_NOTFOUND, ERR_LIMIT. */
MUST_USE enum err
content_param_get(
	const struct content_params *ps, struct str name, struct arena *a, struct str *out);

/* Put the continuations in *ps together: "name*0*" and "name*1" become "name*". What does not
 * fit stays as it is. content_value_parse has done it. ERR_LIMIT. RFC 2231 3, 4.1, 6. */
MUST_USE enum err
content_params_join(struct content_params *ps, struct arena *a);

enum mime_encoding
content_encoding(struct str value);

#endif
