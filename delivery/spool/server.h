#ifndef POSTROOM_SPOOL_SERVER_H
#define POSTROOM_SPOOL_SERVER_H

#include "core/event/ipc.h"
#include "delivery/spool/spool.h"

/* The spool as queue sees it: <dir>/slots holds a file for every slot given out and every message
 * that waits; <dir>/corrupt what failed its sums with state in queue.mdb. Files are made and synced
 * in batches on the pool, of done messages' files where these may be used again, and unlinked there
 * too. Lock: one process per dir (flock on <dir>/lock). */
struct spool_server;

struct spool_server_options {
	const char *dir;	/* copied */
	unsigned ahead;		/* slots_ahead: made ahead for each connected worker */
	unsigned held_max;	/* slots one worker may hold; 0: 4096 */
	uint64_t reserve_bytes; /* below this much free space no slots are given out */
	uint32_t preallocate;	/* bytes of zeros written into a new slot; 0: 16 KiB */
};

struct spool_server_ops {
	/* A slot holds a message from now on: smtp acknowledged it, or its worker died and the
	 * header and body verify (adopted: synced here). Called once a name. Read it by spool_open.
	 */
	void (*on_message)(void *arg, struct str name, bool adopted);
};

/* Creates the folders (0700). ERR_BUSY: another process has the lock; ERR_TEMP, text in err_out
 * (static or thread storage). */
MUST_USE enum err
spool_server_new(struct loop *l, struct pool *p, const struct spool_server_options *o,
	const struct spool_server_ops *ops, void *arg, struct spool_server **out,
	const char **err_out);
/* Closes every channel. Unused slots are removed. */
void
spool_server_free(struct spool_server *s);
/* A connection accepted on `slots`; takes fd. The caller checked the peer's uid. */
void
spool_server_add(struct spool_server *s, int fd);
/* A slot for a message that queue itself makes. ERR_BUSY: none at hand, ask again soon. Commit's
 * ERR_OK means on_message is not called: the caller knows the name. The reserve may be used. */
MUST_USE enum err
spool_server_take(struct spool_server *s, struct spool_writer **out);
/* True while free space is below the reserve. */
bool
spool_server_full(const struct spool_server *s);

/* Slots of workers that ended which could not be read yet; they are tried again. */
size_t
spool_server_unread(const struct spool_server *s);

/* At start, before any spool_server_add: every name in slots/ (also never used ones). For a name
 * that queue.mdb does not list call spool_adopt: it was accepted only if that says ERR_OK. */
MUST_USE enum err
spool_scan(struct spool_server *s, void (*fn)(void *arg, struct str name), void *arg);
/* Verify header and body and sync the file. ERR_OK: it is a message; otherwise the slot has been
 * removed (ERR_NOTFOUND: never committed, ERR_CORRUPT: torn), or ERR_TEMP: could not be read, left
 * alone. Blocking: at start only. */
MUST_USE enum err
spool_adopt(struct spool_server *s, struct str name);

/* A message in its slot. Everything dies with spool_message_close. */
struct spool_message {
	struct spool_envelope envelope;
	struct spool_fixed fixed;
	int fd; /* read-only; the body is at [body_off, body_off + body_len) */
	uint64_t body_off;
	uint64_t body_len;
	struct arena *memory;
};
/* Reads and verifies the header (not the body). ERR_NOTFOUND: no such file or never committed;
 * ERR_CORRUPT; ERR_TEMP. */
MUST_USE enum err
spool_open(struct spool_server *s, struct str name, struct spool_message **out);
void
spool_message_close(struct spool_message *m);
/* Reads the whole body and compares its sum. Blocking (1 ms a MiB): run it on the pool, or sum
 * while sending (crc32c of core/base/codec.h against fixed.body_crc). ERR_CORRUPT, ERR_TEMP. */
MUST_USE enum err
spool_body_check(const struct spool_message *m);
/* Message n bytes from off of the body, exactly. ERR_TEMP, ERR_CORRUPT (file too short). */
MUST_USE enum err
spool_body_read(const struct spool_message *m, uint64_t off, void *p, size_t n);

/* The message is done: its file goes away soon, on the pool. Not synced: a slot that comes back
 * after a power cut is known by queue.mdb (keep a name's state until then or let the store's
 * delivery ids catch the repeat). */
void
spool_remove(struct spool_server *s, struct str name);
/* The same, but its file becomes an empty slot, of zeros and under a new name, if there are not
 * enough of these and nobody has it open any more. A lease shows that, so that a worker or relay
 * that kept a descriptor reaches into nobody's mail. */
void
spool_reuse(struct spool_server *s, struct str name);
/* Move to corrupt/. Blocking rename. */
MUST_USE enum err
spool_quarantine(struct spool_server *s, struct str name);

#endif
