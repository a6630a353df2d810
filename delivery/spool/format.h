#ifndef POSTROOM_SPOOL_FORMAT_H
#define POSTROOM_SPOOL_FORMAT_H

#include "core/base/arena.h"
#include "core/base/buf.h"

/* The file of a spool slot:
 *
 *   0                    front block, SPOOL_FRONT_SIZE bytes: the fixed part (below), then the
 *                        envelope record when it fits, zeros to the block's end
 *   SPOOL_FRONT_SIZE     the message, CR LF line ends, body_len bytes
 *   behind it            the envelope record when it did not fit into the front block
 *
 * Fixed part, little endian:
 *   0 magic "PRSLOT1\n"   8 u32 version (1)   12 u32 flags (enum spool_flag)
 *  16 u64 body_len       24 u64 record_off   32 u32 record_len
 *  36 u32 CRC32C of the body                40 u32 CRC32C of the record
 *  44 u32 CRC32C of the fixed part's bytes 0..43
 * Record: fields of u8 tag, u32 length, bytes. Tags from 0x80 on may be skipped by a reader
 * that does not know them; other unknown tags are ERR_CORRUPT. A recipient's NOTIFY and ORCPT
 * stand behind its address.
 *
 * Why a block in front: its place is known whatever the file's length is, so slots may be
 * made longer than what comes into them (an overwrite syncs in half the time of an append); one
 * read of one block gives the envelope of nearly every message; and a small message is one
 * pwritev of front block and body. Nothing orders the two on the disk: the three sums decide,
 * and the record carries the slot's name, so that stale blocks of another slot never pass. */
enum {
	SPOOL_NAME_LEN = 16, /* the queue id: lower-case hex, the file's name */
	SPOOL_FRONT_SIZE = 4096,
	SPOOL_FIXED_SIZE = 48,
	SPOOL_RECORD_MAX = 64 * 1024 * 1024,
	SPOOL_ENVID_MAX = 100, /* RFC 3461 4.4 */
	SPOOL_ORCPT_MAX = 500, /* RFC 3461 4.2 */
};

enum spool_flag {
	SPOOL_8BITMIME = 1 << 0, /* BODY=8BITMIME, or 8-bit bytes in the message */
	SPOOL_SMTPUTF8 = 1 << 1,
	SPOOL_BINARY = 1 << 2, /* BODY=BINARYMIME */
	SPOOL_REPORT = 1 << 3, /* made by queue: counts only together with its record */
	SPOOL_DOUBLE = 1 << 4, /* … about a report: if that fails, too, nobody hears of it */
};

/* What a sender wants to hear, RFC 3461 4.1; 0: NOTIFY was not given. The same bits as
 * enum relay_notify. */
enum spool_notify {
	SPOOL_NOTIFY_NEVER = 1 << 0,
	SPOOL_NOTIFY_SUCCESS = 1 << 1,
	SPOOL_NOTIFY_FAILURE = 1 << 2,
	SPOOL_NOTIFY_DELAY = 1 << 3,
};
/* RFC 3461 4.3. The same values as enum relay_ret. */
enum spool_ret { SPOOL_RET_NONE, SPOOL_RET_FULL, SPOOL_RET_HDRS };

static inline bool
spool_notify_valid(unsigned notify)
{
	return notify <= 15 && ((notify & SPOOL_NOTIFY_NEVER) == 0 || notify == SPOOL_NOTIFY_NEVER);
}

struct spool_rcpt {
	struct str address;
	unsigned notify;  /* enum spool_notify */
	struct str orcpt; /* "rfc822;Otto@example.net", xtext as received; empty: none */
};

/* The envelope of one message. Strings are borrowed (encode) or die with the arena (decode). */
struct spool_envelope {
	struct str name;      /* queue id */
	struct str sender;    /* "anna@example.org", "" for <> */
	struct str auth_user; /* login name, "" when none */
	struct str sid;	      /* session that brought it */
	struct str client;    /* its address, "" for mail made here */
	int64_t received_ms;  /* since 1970 */
	unsigned flags;	      /* enum spool_flag */
	enum spool_ret ret;
	struct str envid;		/* ENVID, xtext as received; empty: none */
	const struct spool_rcpt *rcpts; /* as accepted at RCPT, in that order, at least one */
	size_t rcpts_count;
};

/* What the fixed part says. */
struct spool_fixed {
	unsigned flags;
	uint64_t body_len;
	uint64_t record_off;
	uint32_t record_len;
	uint32_t body_crc;
	uint32_t record_crc;
};

/* True for the name of a slot: exactly SPOOL_NAME_LEN lower-case hex digits. */
bool
spool_name_valid(struct str name);

/* Appends the record of e. ERR_LIMIT: out is full. */
MUST_USE enum err
spool_record_encode(const struct spool_envelope *e, struct buf *out);
/* The record, after its sum was verified; strings are copied into a. ERR_CORRUPT; ERR_LIMIT: a
 * is full. flags is not in the record: the caller sets it. */
MUST_USE enum err
spool_record_decode(struct str record, struct arena *a, struct spool_envelope *out);

/* out gets SPOOL_FIXED_SIZE bytes. */
void
spool_fixed_encode(const struct spool_fixed *f, char *out);
/* ERR_NOTFOUND: no magic, the slot was never committed; ERR_CORRUPT: sum, version or lengths. */
MUST_USE enum err
spool_fixed_decode(struct str bytes, struct spool_fixed *out);

#endif
