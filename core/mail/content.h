#ifndef POSTROOM_MAIL_CONTENT_H
#define POSTROOM_MAIL_CONTENT_H

#include "core/base/arena.h"
#include "core/mail/mime.h"

/* The Content- fields of one part: types, parameters, disposition. RFC 2045 5, 2183, 2231,
 * 2557, 1864, 3282. */

struct content_param {
	struct str name;  /* as written: "charset", "filename*0*" */
	struct str value; /* unquoted, as written otherwise (RFC 2231 forms are kept) */
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

/* The value of a parameter, RFC 2231 continuations and charsets put together and made UTF-8,
 * RFC 2047 words in it decoded (not allowed there, but common). ERR_NOTFOUND, ERR_LIMIT. */
MUST_USE enum err
content_param_get(
	const struct content_params *ps, struct str name, struct arena *a, struct str *out);

enum mime_encoding
content_encoding(struct str value);

#endif
