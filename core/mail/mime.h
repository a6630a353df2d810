#ifndef POSTROOM_MAIL_MIME_H
#define POSTROOM_MAIL_MIME_H

#include "core/base/arena.h"
#include "core/base/buf.h"

/* The MIME structure of one message: a flat table of parts, in the order of the message,
 * parents before their children. It holds offsets only, so it can be kept (mime_encode) and
 * FETCH BODY[1.2.MIME] never parses a message again. All sizes and offsets count stored octets,
 * whatever the line ends are. RFC 2045, 2046. */

enum { MIME_NONE = UINT32_MAX };

enum mime_kind {
	MIME_LEAF,	/* anything without parts of its own; also what lies below a limit */
	MIME_TEXT,	/* text/..., or no valid Content-Type: a multipart without boundary */
	MIME_MULTIPART, /* multipart/... with a boundary */
	MIME_MESSAGE,	/* message/rfc822, message/global: one child, the message's own root part */
};

enum mime_encoding {
	MIME_ENC_7BIT, /* also: none given */
	MIME_ENC_8BIT,
	MIME_ENC_BINARY,
	MIME_ENC_QP,
	MIME_ENC_BASE64,
	MIME_ENC_OTHER, /* unknown: not to be decoded */
};

struct mime_part {
	uint64_t header_off, header_len;   /* with the empty line */
	uint64_t body_off, body_len;	   /* without the line end before the next boundary */
	uint64_t header_lines, body_lines; /* line feeds in each */
	uint32_t parent;		   /* index, MIME_NONE for part 0 */
	uint32_t number;		   /* 1.. among the parts of a multipart; 0 for a root */
	uint32_t child_count;
	uint32_t next; /* next sibling, or MIME_NONE */
	enum mime_kind kind;
	enum mime_encoding encoding;
	bool is_mime; /* false: a root without MIME-Version and Content-Type: its Content-
		       * fields mean nothing */
	bool digest;  /* multipart/digest: parts without a type are messages */
};

struct mime {
	struct mime_part *parts; /* [0] is the message itself; dies with the arena, or with
				  * mime_fini */
	uint32_t n;
	uint32_t cap;
	bool cut; /* a limit was met: what lies below it is one opaque part */
};

struct mime_limits {
	uint32_t depth; /* of nesting; at most MIME_DEPTH_MAX */
	uint32_t parts;
};
enum { MIME_DEPTH_MAX = 100 };
/* 50 deep, 10,000 parts. */
extern const struct mime_limits mime_limits_default;

/* Parse msg (borrowed, e.g. a mapped file). Never fails: any bytes are a message. Time is
 * linear in msg.n. *m is made; end with mime_fini. */
void
mime_parse(struct mime *m, struct str msg, const struct mime_limits *limits);
void
mime_fini(struct mime *m);

/* The child of a MIME_MESSAGE, the first part of a multipart; MIME_NONE. */
uint32_t
mime_first_child(const struct mime *m, uint32_t i);

/* What BODY[...] names behind its part numbers. */
enum mime_want {
	MIME_WANT_BODY,	  /* BODY[], BODY[1.2] */
	MIME_WANT_HEADER, /* BODY[HEADER], BODY[1.2.HEADER] (also .FIELDS) */
	MIME_WANT_TEXT,	  /* BODY[TEXT], BODY[1.2.TEXT] */
	MIME_WANT_MIME,	  /* BODY[1.2.MIME] */
};
struct mime_range {
	uint64_t off, len;
	uint32_t part; /* index into the table; MIME_NONE for the empty part that BODYSTRUCTURE
			* shows in a multipart without parts */
};

/* path: "1.2", or "" for the message itself. ERR_NOTFOUND: no such part, or HEADER/TEXT of what is
 * no message, or MIME of the message itself; ERR_SYNTAX: no path. RFC 3501 6.4.5. */
MUST_USE enum err
mime_find(const struct mime *m, struct str path, enum mime_want want, struct mime_range *out);
/* The path of part i ("1.2"), "" for part 0. Roots of enclosed messages: a multipart has its
 * container's path (it is that one's TEXT), a single body the path behind which ".1" stands.
 * Appended. */
void
mime_path(struct buf *out, const struct mime *m, uint32_t i);

/* The compact form that the store keeps: about 12 octets a part, versioned. Appended. */
void
mime_encode(struct buf *out, const struct mime *m);
/* ERR_CORRUPT: not what mime_encode wrote for a message of msg_len octets (offsets outside,
 * wrong parents, octets left over). Ends with mime_fini in either case. */
MUST_USE enum err
mime_decode(struct mime *m, struct str in, uint64_t msg_len);

/* Slices of msg; clipped to it. */
static inline struct str
mime_header(const struct mime_part *p, struct str msg)
{
	return str_sub(msg, p->header_off, p->header_len);
}
static inline struct str
mime_body(const struct mime_part *p, struct str msg)
{
	return str_sub(msg, p->body_off, p->body_len);
}

#endif
