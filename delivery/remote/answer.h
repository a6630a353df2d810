#ifndef POSTROOM_REMOTE_ANSWER_H
#define POSTROOM_REMOTE_ANSWER_H

#include "delivery/relay/relay.h"

/* One reply of a server, line by line: "250-first" CRLF "250 2.1.5 last" CRLF. RFC 5321 4.2, RFC
 * 2034. */
enum { ANSWER_LINE_MAX = 2048, ANSWER_LINES_MAX = 200 };

struct answer {
	unsigned code;			   /* 200 to 599 */
	char status[RELAY_STATUS_MAX + 1]; /* "5.1.1"; made from the code when there was none */
	char text[RELAY_TEXT_MAX + 1];	   /* all lines, joined by a blank and cut; printable */
	size_t text_len;
	unsigned lines;
	bool open; /* lines came, the last one is still missing */
	bool own;  /* made here: no server said it */
};

void
answer_init(struct answer *a);
/* Take the next line (without its end). ERR_AGAIN: more lines follow; ERR_OK: whole, the next line
 * begins a new one; ERR_SYNTAX: no reply; ERR_LIMIT: over ANSWER_LINES_MAX lines. */
MUST_USE enum err
answer_add(struct answer *a, struct str line);
/* Made here, not by a server: 451, "4.4.1", "connection lost". */
void
answer_set(struct answer *a, unsigned code, const char *status, const char *text);
static inline bool
answer_is(const struct answer *a, unsigned hundreds)
{
	return a->code / 100 == hundreds;
}
static inline struct str
answer_text(const struct answer *a)
{
	return str_n(a->text, a->text_len);
}

#endif
