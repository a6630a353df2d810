#ifndef POSTROOM_MAIL_SEARCH_H
#define POSTROOM_MAIL_SEARCH_H

#include "core/mail/mime.h"

/* SEARCH on a message's text: substrings without regard to case, on decoded text.
 * RFC 3501 6.4.4, RFC 5051. */
struct search_key {
	struct buf folded;
};

/* needle: UTF-8 (see charset_to_utf8_strict). ERR_LIMIT: longer than 64 KiB. An empty needle is
 * found in everything that exists. */
MUST_USE enum err
search_key_init(struct search_key *k, struct str needle);
void
search_key_fini(struct search_key *k);

/* In plain UTF-8 text. */
bool
search_text(const struct search_key *k, struct str utf8);
/* In a raw header value: encoded words are decoded. */
bool
search_value(const struct search_key *k, struct str value);
/* In any field called name of a header section (HEADER, SUBJECT, FROM, ...); an empty needle: is
 * there such a field? */
bool
search_header(const struct search_key *k, struct str header, struct str name);
/* In what parts hold of text (BODY); with_header: in every header too, the message's, those of its
 * parts and of enclosed messages (TEXT). m: the table of msg. RFC 9051 6.4.4. */
bool
search_body(const struct search_key *k, const struct mime *m, struct str msg, bool with_header);

#endif
