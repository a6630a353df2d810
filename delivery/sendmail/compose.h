#ifndef POSTROOM_SENDMAIL_COMPOSE_H
#define POSTROOM_SENDMAIL_COMPOSE_H

#include "core/base/arena.h"
#include "core/base/buf.h"

/* What sendmail does to a message before it is sent: pure functions over bytes. Date, Message-ID
 * and Bcc are smtp's part. */

/* Standard input on its way to a file: LF becomes CR LF, what is CR LF stays, a last line without
 * an end gets one, "From " lines of mailboxes in front of the header go, and unless dot_is_text a
 * line of one dot ends the message. */
struct compose_lines {
	bool dot_is_text;
	bool ended; /* the dot came: the rest is not read */
	bool has_nul;
	bool in_line;	 /* a line's first octets went out already */
	bool past_from;	 /* the first line that is none of a mailbox's was seen */
	bool skipping;	 /* inside a "From " line */
	struct buf held; /* the beginning of a line, or a CR, that decides what it is */
};
void
compose_lines_init(struct compose_lines *l, bool dot_is_text);
void
compose_lines_fini(struct compose_lines *l);
/* Appends what is known by now; out has no maximum that a piece could reach. */
void
compose_lines_feed(struct compose_lines *l, struct str piece, struct buf *out);
/* The input is over. */
void
compose_lines_end(struct compose_lines *l, struct buf *out);

/* Where the header of a message ends. fields: octets of its fields; body: where the body begins,
 * behind the empty line, or at the first line that is no field: the header then has no end of its
 * own. The rest of text may be cut off. */
struct compose_split {
	size_t fields, body;
};
struct compose_split
compose_split(struct str text);

/* Addresses, as they go into <>: each once, without regard to case. */
struct compose_list {
	struct arena *arena;
	struct str *v; /* free() */
	size_t n, room;
};
/* text: a list of RFC 5322 3.4, obsolete forms too; groups stand for their members. ERR_SYNTAX: an
 * address that cannot be read, or with octets that no command may hold; ERR_LIMIT: the arena. */
MUST_USE enum err
compose_add_list(struct compose_list *l, struct str text);
/* -t: To, Cc and Bcc of the header, or Resent-To, Resent-Cc and Resent-Bcc where one of these is
 * there. Errors as above. */
MUST_USE enum err
compose_add_header(struct compose_list *l, struct str header);

/* "From: name <address>\r\n" where the header has none; encoded by RFC 2047 where it must be. */
void
compose_from(struct str header, struct str name, struct str address, struct buf *out);

#endif
