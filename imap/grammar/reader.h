#ifndef POSTROOM_IMAP_READER_H
#define POSTROOM_IMAP_READER_H

#include "core/base/buf.h"
#include "imap/grammar/args_append.h"

/* Finds the end of a command in what arrived, and decides about every literal before a
 * continuation is sent: the parser sees whole commands only. Works in place on the stream's
 * input: as long as it says READ_MORE, the command's bytes stay there. */
struct reader_limits {
	size_t line_max;      /* the command without its literals */
	size_t literal_max;   /* all literals of a command together, APPEND's messages aside */
	uint64_t message_max; /* APPEND's message */
	uint64_t swallow_max; /* bytes of a refused command that are read and dropped */
};

struct reader {
	size_t scanned;	       /* bytes at the front that belong to the command for certain */
	size_t searched;       /* no line end in [scanned, searched) */
	size_t line_bytes;     /* of the lines in [0, scanned) */
	size_t literal_bytes;  /* of the literals in [0, scanned) and literal_left */
	uint64_t literal_left; /* octets of the current literal that did not arrive yet */
	uint64_t swallowed;
	bool swallowing;
	bool refused_message;	 /* what is swallowed is an APPEND's message */
	bool no_message;	 /* whatever comes, it is no APPEND that could be done */
	const char *wrong;	 /* … and what is wrong with it; NULL: that shows at its end */
	unsigned looks;		 /* how often that was asked, from the command's beginning on */
	enum append_place place; /* an APPEND's next text is awaited: where it begins */
	char tag[64];		 /* of a refused command; "" where there was none to see */
};

enum read_event {
	READ_MORE,     /* nothing whole is there */
	READ_COMMAND,  /* n bytes at the front are a command, or the last text of an APPEND */
	READ_CONTINUE, /* a synchronising literal fits: send "+", call again */
	READ_MESSAGE,  /* n bytes at the front are a text of an APPEND or REPLACE (args_append.h) up
			  to octets of a message; consume them, then the octets follow, which the
			  caller takes, then call again for the next text */
	READ_TOO_LARGE, /* the command was dropped; answer with tag: BAD, nothing follows */
	READ_TOO_BIG,	/* the same for an APPEND's message: NO [TOOBIG] */
	READ_WRONG, /* the same for an APPEND whose client waits to go on with it: BAD with why */
	READ_FATAL, /* more than swallow_max was sent: BYE */
};

struct read_result {
	size_t n;
	uint64_t literal; /* READ_MESSAGE: size */
	bool sync;	  /* READ_MESSAGE: the client waits for a continuation */
	const char *why;  /* READ_WRONG; static */
};

/* Also when an APPEND was answered before its end. */
void
reader_init(struct reader *r);
/* Looks at in; only for a command that is refused it consumes. After READ_COMMAND and
 * READ_MESSAGE the caller consumes n bytes and the next call starts anew. */
enum read_event
reader_step(
	struct reader *r, const struct reader_limits *l, struct buf *in, struct read_result *out);

/* "…{12+}" CRLF (or "…~{12+}", the "~" is not looked at) at the end of line: size and kind.
 * ERR_NOTFOUND: no literal header there; ERR_LIMIT: more digits than a number64 has. RFC 3501 4.3,
 * RFC 7888. */
MUST_USE enum err
literal_header(struct str line, uint64_t *size_out, bool *sync_out);

#endif
