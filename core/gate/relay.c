/* The relay of a logged-in TLS session; the gate makes one after the hand-over. Invariant: the
 * watcher's events follow from the fill of both sides, in update() only, and every byte that imap
 * wrote before it hung up is queued for the client before the end is reported. */
#include "core/gate/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/xalloc.h"

struct relay {
	struct stream *stream;
	relay_fn fn;
	void *arg;
	struct loop_io io;
	struct loop_timer stall;
	int64_t stall_ms;
	uint64_t stall_out; /* what had left when the timer began */
	int fd;
	bool client_ended; /* no more input comes from the stream */
	bool up_closed;	   /* nothing goes to imap any more */
	bool ended;	   /* fn was called */
};

/* One for all sessions of the process: what is read goes into a stream's queue at once. */
static char chunk[64 * 1024];

static void
relay_end(struct relay *r, bool clean)
{
	if (r->ended)
		return;
	r->ended = true;
	loop_timer_stop(&r->stall);
	loop_io_set(&r->io, 0);
	r->fn(r->arg, clean);
}

static void
stall_begin(struct relay *r)
{
	r->stall_out = stream_bytes_out(r->stream);
	loop_timer_start(&r->stall, r->stall_ms);
}

static void
on_stall(struct loop_timer *t)
{
	struct relay *r = t->arg;
	/* We read again only when the queue fell below the stream's low mark. */
	if ((r->io.events & LOOP_READ) != 0)
		return;
	if (stream_bytes_out(r->stream) == r->stall_out)
		relay_end(r, false);
	else
		stall_begin(r);
}

static void
update(struct relay *r)
{
	int events = 0;
	if (!stream_full(r->stream))
		events |= LOOP_READ;
	else if (!loop_timer_active(&r->stall))
		stall_begin(r);
	if (!r->up_closed && stream_in(r->stream)->n > 0)
		events |= LOOP_WRITE;
	loop_io_set(&r->io, events);
}

/* What the client sent, as far as imap's buffer has room. */
static void
push_up(struct relay *r)
{
	struct buf *in = stream_in(r->stream);
	while (in->n > 0 && !r->up_closed) {
		struct str s = buf_str(in);
		ssize_t n = send(r->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			/* imap closed; what it wrote before is still read to its end. */
			r->up_closed = true;
			break;
		}
		buf_consume(in, (size_t)n);
	}
	if (r->up_closed)
		buf_reset(in);
	if (r->client_ended && !r->up_closed) {
		r->up_closed = true;
		shutdown(r->fd, SHUT_WR);
	}
	stream_release_buffers(r->stream);
}

/* False: that was the end, and r may be gone. */
static bool
pull_down(struct relay *r)
{
	ssize_t n = recv(r->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n > 0) {
		stream_write(r->stream, str_n(chunk, (size_t)n));
		if ((size_t)n == sizeof(chunk))
			return true;
		/* last words leave together with the end, if it is there already */
		n = recv(r->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n > 0) {
			stream_write(r->stream, str_n(chunk, (size_t)n));
			return true;
		}
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	relay_end(r, true);
	return false;
}

static void
on_io(struct loop_io *io, int events)
{
	struct relay *r = io->arg;
	if ((events & LOOP_WRITE) != 0)
		push_up(r);
	if ((events & LOOP_READ) != 0 && !pull_down(r))
		return;
	update(r);
}

struct relay *
relay_new(struct loop *l, struct stream *s, int fd, int64_t stall_ms, relay_fn fn, void *arg)
{
	struct relay *r = xcalloc(1, sizeof(*r));
	r->stream = s;
	r->fd = fd;
	r->fn = fn;
	r->arg = arg;
	r->stall_ms = stall_ms;
	loop_io_init(&r->io, l, fd, on_io, r);
	loop_timer_init(&r->stall, l, on_stall, r);
	stream_release_buffers(s);
	update(r);
	return r;
}

void
relay_free(struct relay *r)
{
	loop_timer_stop(&r->stall);
	loop_io_set(&r->io, 0);
	close(r->fd);
	free(r);
}

void
relay_on_read(struct relay *r)
{
	push_up(r);
	update(r);
}

void
relay_on_drain(struct relay *r)
{
	update(r);
}

void
relay_on_empty(struct relay *r)
{
	stream_release_buffers(r->stream);
	update(r);
}

void
relay_on_end(struct relay *r, enum err why)
{
	if (why != ERR_EOF) {
		relay_end(r, false);
		return;
	}
	r->client_ended = true;
	push_up(r);
	update(r);
}
