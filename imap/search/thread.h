#ifndef POSTROOM_IMAP_THREAD_H
#define POSTROOM_IMAP_THREAD_H

#include "core/base/buf.h"

/* Messages into threads, in pieces of a step; knows nothing of the store. Ids and subjects come as
 * keyed 64-bit hashes (hash_bytes), so a sender can neither choose collisions nor make a chain
 * that costs more than its length: of one message the last THREAD_REFS_MAX references count, what
 * would need more than a limit of steps to be known to be no loop (no mail does) is not linked, and
 * references to messages that are not there are left out once they are many more than the
 * messages. Some 150 octets a message. RFC 5256 3, THREAD. */
enum { THREAD_REFS_MAX = 1000 };

struct thread;

struct thread *
thread_new(size_t messages);
void
thread_free(struct thread *t); /* NULL is allowed */

struct thread_message {
	uint32_t uid;
	uint64_t msg;	      /* handed back by thread_root */
	int64_t date;	      /* of equal ones, the first added is the first */
	uint64_t own;	      /* hash of its Message-ID; 0: it has none */
	const uint64_t *refs; /* hashes of the references, oldest first */
	size_t refs_count;
	/* Hash of the base subject, 0: it is empty; reply: a reply or forward. ORDEREDSUBJECT must
	 * know it; else what is known here is not asked for later. */
	bool knows_subject, reply;
	uint64_t subject;
};
/* It will be added soon, but not now: the memory that it needs is fetched meanwhile. */
void
thread_expect(const struct thread *t, const struct thread_message *m);
/* *cost grows by the links that were looked at. ERR_LIMIT: more than thread_new was told. */
MUST_USE enum err
thread_add(struct thread *t, const struct thread_message *m, size_t *cost);

/* REFERENCES, behind the last thread_add: thread_link until true, then for each root 0 to
 * thread_roots - 1 its subject, then thread_gather until true. */
bool
thread_link(struct thread *t, size_t budget);
size_t
thread_roots(const struct thread *t);
/* The message whose subject is wanted; 0: it is known. */
uint64_t
thread_root(const struct thread *t, size_t root);
void
thread_set_subject(struct thread *t, size_t root, uint64_t subject, bool reply);
bool
thread_gather(struct thread *t, size_t budget);
/* ORDEREDSUBJECT, behind the last thread_add: until true. */
bool
thread_by_subject(struct thread *t, size_t budget);

/* The answer, a number after the other: brackets that close behind the one before, brackets that
 * open, the number; 0: none, at the end. Where none closes, a space stands first. False: it is
 * over. */
struct thread_piece {
	uint32_t closes, opens;
	uint32_t uid;
};
bool
thread_next(struct thread *t, struct thread_piece *out);

#endif
