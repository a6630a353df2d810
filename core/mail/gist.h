#ifndef POSTROOM_MAIL_GIST_H
#define POSTROOM_MAIL_GIST_H

#include "core/base/buf.h"

/* Text reduced to one line of at most so many characters, from pieces of plain text or HTML. For
 * preview.c. */
struct gist {
	struct buf *out;
	size_t start;	     /* of the text in out */
	unsigned chars, max; /* characters so far */
	size_t cluster;	     /* where the last character with its marks begins in out */
	bool space;	     /* white space came, and nothing behind it */
	bool joined;	     /* the last one was a joiner: what follows belongs to it */
	bool full;
	bool keep_quotes;
	/* plain text */
	bool in_line, in_quote;
	/* HTML */
	unsigned state;
	char name[12]; /* of the tag that is being read, or of the entity */
	size_t name_n;
	char raw[12]; /* script, style, title: whose end is awaited */
	bool closing;
	char quote;
	unsigned dashes;
	unsigned quote_depth;
};

/* Appends to out. keep_quotes: "> " lines and <blockquote> are text too. */
void
gist_init(struct gist *g, struct buf *out, unsigned max_chars, bool keep_quotes);
/* UTF-8, whole characters; what is none becomes U+FFFD. Do not mix the two. */
void
gist_plain(struct gist *g, struct str utf8);
void
gist_html(struct gist *g, struct str utf8);
static inline bool
gist_full(const struct gist *g)
{
	return g->full;
}

#endif
