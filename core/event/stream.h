#ifndef POSTROOM_EVENT_STREAM_H
#define POSTROOM_EVENT_STREAM_H

#include "core/base/buf.h"
#include "core/event/loop.h"
#include "core/event/tls.h"

/* A connected non-blocking socket with buffered input and output, plain or
 * TLS, with back-pressure on both sides:
 * - input: reading stops while in_max bytes wait to be consumed;
 * - output: a producer asks stream_full and stops; on_drain calls it back
 *   when the queue fell below out_low.
 * Writes are queued and leave when the callback returned to the loop, so many
 * small adds become one packet. Callbacks never run inside a call to the
 * stream: they come from the loop only. */
struct stream;

struct stream_ops {
	/* More input lies in stream_in (or room came free and it is still there). */
	void (*on_read)(struct stream *s, void *arg);
	/* The queue fell from full to below out_low. May be NULL. */
	void (*on_drain)(struct stream *s, void *arg);
	/* Everything queued has left (the kernel took it). May be NULL. */
	void (*on_empty)(struct stream *s, void *arg);
	/* The TLS hand-shake ended well. May be NULL where TLS is never started. */
	void (*on_tls)(struct stream *s, void *arg);
	/* No more input will come: ERR_EOF the peer ended (its last bytes were given
	 * to on_read before; output still works), ERR_TEMP reset, TLS failure or other
	 * error, ERR_CORRUPT what came is not DEFLATE (stream_error says more; output is dead too).
	 * Called once; an owner that goes on writing after ERR_EOF hears ERR_TEMP when the output
	 * dies as well. */
	void (*on_end)(struct stream *s, void *arg, enum err why);
};

struct stream_options {
	size_t in_max_bytes;
	size_t out_low_bytes;  /* 16 KiB where 0 */
	size_t out_high_bytes; /* 64 KiB where 0: stream_full from here on */
	size_t out_max_bytes;  /* 16 MiB where 0: a write beyond is dropped and ends the stream */
};

/* Takes fd. ops are kept (static), arg borrowed until stream_free. */
struct stream *
stream_new(struct loop *l, int fd, const struct stream_ops *ops, void *arg,
	const struct stream_options *o);
/* Closes the fd at once; what is queued is lost. Allowed inside a callback. */
void
stream_free(struct stream *s);
/* Sends what is queued, then close_notify and FIN, then frees; at most linger_ms.
 * The owner forgets s at once; no callback comes any more. */
void
stream_close(struct stream *s, int64_t linger_ms);

/* What arrived; the owner consumes from its front with buf_consume. Ask anew each time: that
 * is how the stream notices that room came free. Wiped when given back (passwords). */
struct buf *
stream_in(struct stream *s);
/* Stop (and go on) reading. Starts enabled. */
void
stream_set_reading(struct stream *s, bool on);
/* Ask for on_read once more from the loop although nothing new arrived: after a
 * command that left pipelined input behind. */
void
stream_read_again(struct stream *s);

void
stream_write(struct stream *s, struct str bytes);
void
stream_writef(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* n bytes of a file from off, read when they are due; they do not count against
 * out_max_bytes. The stream takes its own reference to f. A file that turns out shorter
 * ends the stream. */
struct stream_file;
struct stream_file *
stream_file_new(int fd); /* takes fd */
struct stream_file *
stream_file_ref(struct stream_file *f);
void
stream_file_unref(struct stream_file *f);
int
stream_file_fd(const struct stream_file *f);
void
stream_write_file(struct stream *s, struct stream_file *f, uint64_t off, uint64_t n);
/* Bytes queued and not yet taken by the kernel. */
size_t
stream_queued(const struct stream *s);
bool
stream_full(const struct stream *s);
/* Half-close after the queue is empty (TLS: close_notify first). */
void
stream_shutdown(struct stream *s);

/* Hand-shake next, as soon as what is queued has left in clear. Input that already
 * arrived in clear is thrown away (STARTTLS injection, RFC 3207 6, RFC 9051 11.1). */
void
stream_start_tls_server(struct stream *s, struct tls_ctx *c);
void
stream_start_tls_client(struct stream *s, struct tls_ctx *c, struct str host);
/* The same, judging the certificate as p says (tls_new_client_peer). Borrows p. */
void
stream_start_tls_peer(struct stream *s, struct tls_ctx *c, const struct tls_peer *p);
/* DEFLATE in both directions from here on (RFC 4978), plain streams only, once: what is queued now
 * leaves as it is, all input that the stream has not read yet is taken as compressed. Inflates at
 * most 64 KiB for a callback, and only what in_max_bytes has room for. After some quiet seconds
 * most of its memory is given back. stream_bytes_in and _out count what is on the wire. */
void
stream_start_deflate(struct stream *s);
/* Three seconds; shorter for tests. */
void
stream_set_deflate_rest(int64_t ms);
/* What it takes at the moment; for tests. */
size_t
stream_deflate_memory(const struct stream *s);
/* NULL while in clear or before the hand-shake ended. */
const struct tls *
stream_tls(const struct stream *s);

/* Give back the memory of empty buffers: for idle sessions. */
void
stream_release_buffers(struct stream *s);
/* Plain streams with an empty queue: takes the fd out and frees s; unread input is
 * added to in_out. Returns the fd, owned by the caller. */
int
stream_detach(struct stream *s, struct buf *in_out);
int
stream_fd(const struct stream *s);
const char *
stream_error(const struct stream *s);
uint64_t
stream_bytes_in(const struct stream *s);
uint64_t
stream_bytes_out(const struct stream *s);

#endif
