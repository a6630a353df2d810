#ifndef POSTROOM_IMAP_COLD_H
#define POSTROOM_IMAP_COLD_H

#include "core/mail/header.h"
#include "imap/session/session.h"

/* Message files as commands read them: on the loop what is in memory, while a thread of the pool
 * brings in what is not. `wait`: what the pool has brought in a moment ago may have gone again; it
 * is read all the same then. */

/* As message_open. ERR_BUSY: the name is not in memory. code_out, here and below: with ERR_TEMP the
 * errno, for cold_complain; else it stays as it is. */
MUST_USE enum err
cold_open(struct imap_session *s, uint64_t msg, bool wait, int *fd_out, int *code_out);
/* n octets at off. ERR_BUSY: some are not in memory; ERR_CORRUPT: the file ends before; ERR_TEMP.
 */
MUST_USE enum err
cold_read(
	struct imap_session *s, int fd, bool wait, char *to, size_t n, uint64_t off, int *code_out);
/* Are n octets at off in memory? For what the kernel reads itself. At most COLD_LOOK_BYTES. */
enum { COLD_LOOK_BYTES = 128 * 1024 };
bool
cold_is_there(const struct imap_session *s, int fd, uint64_t off, size_t n);
/* The log line for a message's file that cannot be given. code: errno of ERR_TEMP; 0: it was not
 * the file that failed, but its home. */
void
cold_complain(struct imap_session *s, uint64_t msg, enum err e, int code);

/* What the pool is asked for: len octets at off of a message's file. */
struct cold_want {
	uint64_t msg;
	int fd; /* -1: to be opened; borrowed */
	uint64_t off, len;
	/* The octets are a header, of which these fields are wanted, or all others; borrowed. NULL:
	 * it is only read. */
	const struct header_set *select;
	bool negate;
};
/* A header beyond this is not gone through on the loop. */
enum { COLD_SELECT_BYTES = 256 * 1024 };
/* Of one command: the first want is read, the disk is told of those ahead, which will be wanted
 * soon. session_resume is called when it is over, unless cold_forget came first. */
struct cold;
enum { COLD_AHEAD_MAX = 16 };
struct cold *
cold_start(struct imap_session *s, const struct cold_want *first, const struct cold_want *ahead,
	size_t ahead_count);
/* False while it is under way. */
bool
cold_is_over(const struct cold *c);
/* Once it is over; frees it. *fd_out: opened for the first want, which came without, owned by the
 * caller; else -1. text_out, which may be NULL: what was selected, owned, when that was asked for.
 * ERR_NOTFOUND: the file is gone; ERR_CORRUPT: it ends too early; ERR_TEMP; ERR_LIMIT. */
MUST_USE enum err
cold_end(struct cold *c, int *fd_out, struct buf *text_out, int *code_out);
/* No call comes; frees it now or when it is over. NULL is allowed. */
void
cold_forget(struct cold *c);

#endif
