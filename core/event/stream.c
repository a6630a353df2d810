/* A buffered, non-blocking socket, plain or TLS; see stream.h. Every protocol of ours stands on it.
 * Invariants: callbacks run from the loop only; what was queued before TLS was asked for leaves in
 * clear and nothing after it does; no clear byte that came before the hand-shake is ever given to
 * the owner; what was queued before COMPRESS leaves as it is. update() alone derives the watched
 * events from the state. */
#include "core/event/stream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "core/event/deflate.h"
#include "core/event/outq.h"

enum {
	READ_BYTES = 32 * 1024,
	READ_BUDGET = 64 * 1024,   /* a callback, then others get their turn */
	WRITE_BUDGET = 256 * 1024, /* the same */
	PACK_BUDGET = 64 * 1024,   /* of text to compress: about a millisecond */
	PACK_READS = 4,		   /* in a row that bring no text */
	PACK_REST_MS = 3000,	   /* quiet for so long: its memory is given back */
	SHORT_RECORD = 8 * 1024,
	IN_KEEP_BYTES = 4096,
	OUT_LOW = 16 * 1024,
	OUT_HIGH = 64 * 1024,
	OUT_MAX = 16 * 1024 * 1024,
};

enum stream_state {
	STREAM_CLEAR,
	STREAM_TLS_SOON, /* the clear part of the queue leaves first */
	STREAM_HANDSHAKE,
	STREAM_TLS,
	STREAM_DEAD, /* the owner was told, or is about to be */
};

/* COMPRESS: what it takes beside the stream itself. */
struct packer {
	struct deflate *deflate;
	struct buf out;	   /* compressed, not yet taken by the kernel */
	size_t plain_left; /* of the queue, to leave as it is */
	size_t packed;	   /* text that the last send_packed took from the queue */
	struct loop_timer rest;
	bool timing, active;
};

struct stream {
	struct loop_io io;
	struct loop_timer linger;
	struct loop_task task;
	const struct stream_ops *ops;
	void *arg;
	struct stream_options o;
	struct buf in;
	struct outq out;
	struct packer *packer; /* NULL: not compressed */
	size_t clear_left;     /* STREAM_TLS_SOON: bytes to leave in clear */
	struct tls *tls_next;  /* STREAM_TLS_SOON */
	struct tls *tls;       /* from the hand-shake on */
	int read_wants;	       /* what a TLS read or write waits for */
	int write_wants;
	enum stream_state state;
	bool reading;
	bool in_eof;
	bool in_stalled; /* no room: reading rests until the owner consumed */
	bool told_eof;
	bool told_dead;
	bool corrupt; /* why it is dead */
	bool again;   /* stream_read_again */
	bool was_full;
	bool had_output;
	bool write_blocked;
	bool shut_wanted;
	bool shut_done;
	bool closing; /* the owner is gone */
	bool *freed;  /* set while a callback runs */
	uint64_t bytes_in;
	uint64_t bytes_out;
	char error[160];
};

static int64_t pack_rest_ms = PACK_REST_MS;

/* Where everything is read first: READ_BYTES. */
static char *
scratch(const struct stream *s)
{
	return loop_room(s->io.loop, LOOP_ROOM_STREAM, READ_BYTES);
}

/* Octets that wait to leave. */
static size_t
pending(const struct stream *s)
{
	return s->out.bytes + (s->packer != NULL ? s->packer->out.n : 0);
}

static void
update(struct stream *s)
{
	int events = 0;

	if (s->state == STREAM_DEAD) {
		loop_io_set(&s->io, 0);
		return;
	}
	if (s->state == STREAM_HANDSHAKE) {
		loop_io_set(&s->io, tls_wants(s->tls));
		return;
	}
	s->in_stalled = s->reading && !s->in_eof && !s->closing && buf_room(&s->in) == 0;
	if (s->closing)
		events |= s->shut_done && !s->in_eof ? LOOP_READ : 0;
	else if (s->reading && !s->in_eof && !s->in_stalled && s->state != STREAM_TLS_SOON)
		events |= s->read_wants;
	/* decrypted bytes that no event of the socket announces */
	if (events != 0 && !s->closing && s->tls != NULL && tls_pending(s->tls) != 0)
		loop_task_queue(&s->task);
	if (events != 0 && !s->closing && s->packer != NULL && deflate_pending(s->packer->deflate))
		loop_task_queue(&s->task);
	if (s->write_blocked)
		events |= s->write_wants;
	loop_io_set(&s->io, events);
}

/* The socket is of no more use; the owner is told from the loop. */
static void
die(struct stream *s, const char *why)
{
	if (s->state == STREAM_DEAD)
		return;
	(void)snprintf(s->error, sizeof s->error, "%s", why);
	s->state = STREAM_DEAD;
	outq_clear(&s->out);
	if (s->packer != NULL)
		buf_reset(&s->packer->out);
	loop_task_queue(&s->task);
}

/* Runs one of the owner's callbacks; false when the stream is gone or no longer the owner's. */
static bool
tell(struct stream *s, void (*fn)(struct stream *, void *))
{
	bool gone = false;

	if (fn == NULL || s->closing)
		return !s->closing;
	s->freed = &gone;
	fn(s, s->arg);
	if (gone)
		return false;
	s->freed = NULL;
	return !s->closing;
}

static bool
tell_end(struct stream *s, enum err why)
{
	bool gone = false;

	if (s->closing)
		return false;
	s->freed = &gone;
	s->ops->on_end(s, s->arg, why);
	if (gone)
		return false;
	s->freed = NULL;
	return !s->closing;
}

static enum err
read_socket(struct stream *s, size_t want, size_t *got_out)
{
	ssize_t n;

	do
		n = recv(s->io.fd, scratch(s), want, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		*got_out = (size_t)n;
		return ERR_OK;
	}
	if (n == 0)
		return ERR_EOF;
	if (errno == EAGAIN)
		return ERR_AGAIN;
	die(s, strerrordesc_np(errno));
	return ERR_TEMP;
}

static void
packer_works(struct packer *p)
{
	p->active = p->timing;
	if (p->timing)
		return;
	p->timing = true;
	loop_timer_start(&p->rest, pack_rest_ms);
}

/* Compressed input: what one read brings is inflated piece by piece, as the owner has room for it,
 * so that a few octets which stand for many cost the memory of one piece. */
static enum err
read_packed(struct stream *s, size_t want, size_t *got_out)
{
	struct packer *p = s->packer;

	packer_works(p);
	for (int i = 0; i < PACK_READS; i++) {
		enum err e = deflate_read(p->deflate, scratch(s), want, got_out);

		if (e == ERR_CORRUPT) {
			s->corrupt = true;
			die(s, "bad compressed data");
			return ERR_TEMP;
		}
		if (e == ERR_OK)
			return ERR_OK;
		size_t got = 0;

		e = read_socket(s, READ_BYTES, &got);
		if (e != ERR_OK)
			return e;
		s->bytes_in += got;
		deflate_feed(p->deflate, str_n(scratch(s), got));
	}
	/* the others get their turn; what was fed is announced by update() */
	return ERR_AGAIN;
}

/* ERR_OK with bytes, ERR_AGAIN, ERR_EOF, ERR_TEMP. */
static enum err
read_some(struct stream *s, size_t want, size_t *got_out)
{
	*got_out = 0;
	if (s->tls != NULL) {
		enum err e = tls_read(s->tls, scratch(s), want, got_out);
		s->read_wants = e == ERR_AGAIN ? tls_wants(s->tls) : LOOP_READ;
		if (e == ERR_TEMP)
			die(s, tls_error(s->tls));
		return e;
	}
	return s->packer != NULL ? read_packed(s, want, got_out) : read_socket(s, want, got_out);
}

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Read what there is, within the budget; true when something came. */
static bool
fill(struct stream *s)
{
	size_t budget = READ_BUDGET;
	bool came = false;

	while (s->reading && !s->in_eof && budget != 0 && buf_room(&s->in) != 0) {
		size_t want = smaller(smaller(READ_BYTES, buf_room(&s->in)), budget);
		size_t got;
		enum err e = read_some(s, want, &got);
		if (e == ERR_EOF)
			s->in_eof = true;
		if (e != ERR_OK)
			return came;
		buf_add(&s->in, str_n(scratch(s), got));
		if (got <= IN_KEEP_BYTES) /* short input may hold a password */
			explicit_bzero(scratch(s), got);
		s->bytes_in += s->packer == NULL ? got : 0;
		budget -= got;
		came = true;
		/* a short read emptied the socket; what follows raises an event */
		if (s->tls == NULL ? got < want : got < SHORT_RECORD && tls_pending(s->tls) == 0)
			return true;
	}
	return came;
}

/* Input, then its callbacks. False: do not touch s any more. */
static bool
handle_input(struct stream *s)
{
	bool came = false;

	if (s->state == STREAM_CLEAR || s->state == STREAM_TLS)
		came = fill(s);
	if (came || (s->again && !s->told_dead)) {
		s->again = false;
		if (!tell(s, s->ops->on_read))
			return false;
		if (s->in.n == 0 && s->in.cap > IN_KEEP_BYTES)
			buf_release(&s->in);
	}
	if (s->in_eof && !s->told_eof && s->state != STREAM_DEAD) {
		s->told_eof = true;
		return tell_end(s, ERR_EOF);
	}
	return true;
}

/* The front of the queue, compressed; what was queued last is flushed with it. */
static enum err
send_packed(struct stream *s, size_t *sent_out)
{
	struct packer *p = s->packer;
	struct str piece;

	p->packed = 0;
	if (p->out.n == 0) {
		enum err e = outq_front(&s->out, &piece);

		if (e != ERR_OK) {
			die(s, "a file is shorter than promised");
			return e;
		}
		packer_works(p);
		deflate_add(p->deflate, piece, piece.n == s->out.bytes, &p->out);
		p->packed = piece.n;
		outq_consume(&s->out, piece.n);
		if (p->out.n == 0)
			return ERR_OK;
	}
	struct str out = buf_str(&p->out);
	ssize_t n = send(s->io.fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);

	s->write_wants = LOOP_WRITE;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return ERR_AGAIN;
	if (n < 0) {
		die(s, strerrordesc_np(errno));
		return ERR_TEMP;
	}
	buf_consume(&p->out, (size_t)n);
	*sent_out = (size_t)n;
	return ERR_OK;
}

/* Send from the front of the queue. ERR_OK: something left; ERR_AGAIN; ERR_TEMP. */
static enum err
send_some(struct stream *s, size_t budget, size_t *sent_out)
{
	enum err e;

	if (s->packer != NULL && s->packer->plain_left == 0)
		return send_packed(s, sent_out);
	if (s->tls == NULL) {
		if (s->state == STREAM_TLS_SOON)
			budget = smaller(budget, s->clear_left);
		if (s->packer != NULL)
			budget = smaller(budget, s->packer->plain_left);
		e = outq_send_plain(&s->out, s->io.fd, budget, s->closing, sent_out);
		s->write_wants = LOOP_WRITE;
		if (e == ERR_CORRUPT)
			die(s, "a file is shorter than promised");
		else if (e != ERR_OK && e != ERR_AGAIN)
			die(s, strerrordesc_np(errno));
		return e;
	}
	struct str piece;

	e = outq_front(&s->out, &piece);
	if (e != ERR_OK) {
		die(s, "a file is shorter than promised");
		return e;
	}
	e = tls_write(s->tls, piece.p, piece.n, sent_out);
	s->write_wants = e == ERR_AGAIN ? tls_wants(s->tls) : LOOP_WRITE;
	if (e == ERR_OK)
		outq_consume(&s->out, *sent_out);
	else if (e != ERR_AGAIN)
		die(s, e == ERR_EOF ? "the peer closed TLS" : tls_error(s->tls));
	return e;
}

static void
flush(struct stream *s)
{
	size_t budget = s->packer != NULL ? PACK_BUDGET : WRITE_BUDGET;

	s->write_blocked = false;
	while (pending(s) != 0 && s->state != STREAM_DEAD && s->state != STREAM_HANDSHAKE) {
		size_t sent = 0;
		enum err e;
		if (s->state == STREAM_TLS_SOON && s->clear_left == 0)
			return;
		e = budget != 0 ? send_some(s, budget, &sent) : ERR_AGAIN;
		if (e == ERR_AGAIN)
			s->write_blocked = true;
		if (e != ERR_OK)
			return;
		s->bytes_out += sent;
		if (s->state == STREAM_TLS_SOON)
			s->clear_left -= sent;
		if (s->packer != NULL && s->packer->plain_left != 0)
			s->packer->plain_left -= sent;
		else if (s->packer != NULL)
			budget -= smaller(budget, s->packer->packed);
		budget -= smaller(budget, sent);
	}
}

static void
half_close(struct stream *s)
{
	if (!s->shut_wanted || s->shut_done || pending(s) != 0 || s->state == STREAM_HANDSHAKE ||
		s->state == STREAM_DEAD)
		return;
	if (s->tls != NULL) {
		enum err e = tls_shutdown(s->tls);
		s->write_wants = tls_wants(s->tls);
		if (e == ERR_AGAIN) {
			s->write_blocked = true;
			return;
		}
	}
	(void)shutdown(s->io.fd, SHUT_WR);
	s->shut_done = true;
}

/* Output, then its callbacks. False: do not touch s any more. */
static bool
handle_output(struct stream *s)
{
	flush(s);
	half_close(s);
	if (s->state == STREAM_DEAD)
		return true;
	if (s->was_full && s->out.bytes < s->o.out_low_bytes) {
		s->was_full = false;
		if (!tell(s, s->ops->on_drain))
			return false;
	}
	if (s->had_output && pending(s) == 0) {
		s->had_output = false;
		if (!tell(s, s->ops->on_empty))
			return false;
	}
	return true;
}

static bool
handle_tls(struct stream *s)
{
	enum err e;

	if (s->state == STREAM_TLS_SOON && s->clear_left == 0) {
		s->state = STREAM_HANDSHAKE;
		s->tls = s->tls_next;
		s->tls_next = NULL;
	}
	if (s->state != STREAM_HANDSHAKE)
		return true;
	e = tls_handshake(s->tls);
	if (e == ERR_AGAIN)
		return true;
	if (e != ERR_OK) {
		die(s, tls_error(s->tls));
		return true;
	}
	s->state = STREAM_TLS;
	s->read_wants = LOOP_READ;
	/* the client's first command may have come in the packet that ended the hand-shake */
	loop_task_queue(&s->task);
	return tell(s, s->ops->on_tls);
}

/* The owner is gone: send the rest, FIN, then read away what still comes, because closing with
 * unread input would make the kernel reset the connection and lose our last words. */
static void
run_closing(struct stream *s)
{
	bool was_shut = s->shut_done;
	ssize_t n = 1;

	if (s->state != STREAM_DEAD && s->state != STREAM_HANDSHAKE) {
		s->shut_wanted = true;
		flush(s);
		half_close(s);
	}
	if (s->state == STREAM_DEAD || s->state == STREAM_HANDSHAKE) {
		stream_free(s);
		return;
	}
	/* the peer's end is not there a moment after ours */
	if (s->shut_done && (was_shut || s->in_eof)) {
		for (int i = 0; i < 4 && n > 0; i++)
			n = recv(s->io.fd, scratch(s), READ_BYTES, 0);
		if (s->in_eof || n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			stream_free(s);
			return;
		}
	}
	update(s);
}

static void
run(struct stream *s)
{
	if (s->closing) {
		run_closing(s);
		return;
	}
	if (s->state != STREAM_DEAD && (!handle_output(s) || !handle_tls(s) || !handle_input(s))) {
		return;
	}
	if (s->state == STREAM_DEAD && !s->told_dead) {
		s->told_dead = true;
		update(s);
		(void)tell_end(s, s->corrupt ? ERR_CORRUPT : ERR_TEMP);
		return;
	}
	update(s);
}

static void
on_io(struct loop_io *io, int events)
{
	(void)events;
	run(io->arg);
}

static void
on_task(struct loop_task *t)
{
	run(t->arg);
}

static void
on_linger(struct loop_timer *t)
{
	stream_free(t->arg);
}

struct stream *
stream_new(struct loop *l, int fd, const struct stream_ops *ops, void *arg,
	const struct stream_options *o)
{
	struct stream *s = xcalloc(1, sizeof *s);

	s->ops = ops;
	s->arg = arg;
	s->o = *o;
	if (s->o.out_low_bytes == 0)
		s->o.out_low_bytes = OUT_LOW;
	if (s->o.out_high_bytes == 0)
		s->o.out_high_bytes = OUT_HIGH;
	if (s->o.out_max_bytes == 0)
		s->o.out_max_bytes = OUT_MAX;
	s->reading = true;
	s->read_wants = LOOP_READ;
	s->write_wants = LOOP_WRITE;
	buf_init_secret(&s->in, o->in_max_bytes);
	outq_init(&s->out);
	loop_io_init(&s->io, l, fd, on_io, s);
	loop_timer_init(&s->linger, l, on_linger, s);
	loop_task_init(&s->task, l, on_task, s);
	update(s);
	return s;
}

/* Everything but the fd. */
static void
fini(struct stream *s)
{
	if (s->freed != NULL)
		*s->freed = true;
	loop_timer_stop(&s->linger);
	loop_task_cancel(&s->task);
	loop_io_set(&s->io, 0);
	tls_free(s->tls);
	tls_free(s->tls_next);
	outq_clear(&s->out);
	buf_fini(&s->in);
	if (s->packer == NULL)
		return;
	loop_timer_stop(&s->packer->rest);
	deflate_free(s->packer->deflate);
	buf_fini(&s->packer->out);
	free(s->packer);
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	fini(s);
	/* the gate may still hold a socket that it handed over */
	loop_io_forget(&s->io);
	(void)close(s->io.fd);
	free(s);
}

void
stream_close(struct stream *s, int64_t linger_ms)
{
	const int on = 1;

	if (s == NULL)
		return;
	s->closing = true;
	/* the last words, close_notify and FIN in one packet */
	if (s->state == STREAM_TLS)
		(void)setsockopt(s->io.fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
	buf_release(&s->in);
	loop_timer_start(&s->linger, linger_ms);
	loop_task_queue(&s->task);
}

struct buf *
stream_in(struct stream *s)
{
	if (s->in_stalled)
		loop_task_queue(&s->task);
	return &s->in;
}

void
stream_set_reading(struct stream *s, bool on)
{
	if (s->reading == on)
		return;
	s->reading = on;
	/* TLS may hold decrypted bytes that no event announces */
	loop_task_queue(&s->task);
}

void
stream_read_again(struct stream *s)
{
	s->again = true;
	loop_task_queue(&s->task);
}

static void
queued(struct stream *s)
{
	s->had_output = true;
	if (s->out.bytes >= s->o.out_high_bytes)
		s->was_full = true;
	if (!s->write_blocked)
		loop_task_queue(&s->task);
}

void
stream_write(struct stream *s, struct str bytes)
{
	if (s->state == STREAM_DEAD || bytes.n == 0)
		return;
	if (bytes.n > s->o.out_max_bytes || s->out.mem_bytes > s->o.out_max_bytes - bytes.n) {
		die(s, "the peer reads too slowly");
		return;
	}
	outq_add(&s->out, bytes);
	queued(s);
}

void
stream_writef(struct stream *s, const char *fmt, ...)
{
	char small[512];
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(small, sizeof small, fmt, ap);
	assert(n >= 0);
	if ((size_t)n < sizeof small) {
		stream_write(s, str_n(small, (size_t)n));
	} else {
		char *large = xmalloc((size_t)n + 1);
		(void)vsnprintf(large, (size_t)n + 1, fmt, again);
		stream_write(s, str_n(large, (size_t)n));
		free(large);
	}
	va_end(again);
	va_end(ap);
}

void
stream_write_file(struct stream *s, struct stream_file *f, uint64_t off, uint64_t n)
{
	if (s->state == STREAM_DEAD || n == 0)
		return;
	outq_add_file(&s->out, f, off, n);
	queued(s);
}

size_t
stream_queued(const struct stream *s)
{
	return pending(s);
}

bool
stream_full(const struct stream *s)
{
	return s->out.bytes >= s->o.out_high_bytes;
}

void
stream_shutdown(struct stream *s)
{
	s->shut_wanted = true;
	loop_task_queue(&s->task);
}

static void
start_tls(struct stream *s, struct tls *t)
{
	assert(s->tls == NULL && s->state != STREAM_HANDSHAKE);
	if (s->state == STREAM_DEAD) {
		tls_free(t);
		return;
	}
	buf_release(&s->in);
	s->tls_next = t;
	s->clear_left = s->out.bytes;
	s->state = STREAM_TLS_SOON;
	loop_task_queue(&s->task);
	update(s);
}

void
stream_start_tls_server(struct stream *s, struct tls_ctx *c)
{
	/* the reply that invites the client has not left yet, so whatever lies in the kernel was
	 * sent in clear and is not meant for what follows */
	if (s->state == STREAM_CLEAR && s->out.bytes != 0) {
		ssize_t n = recv(s->io.fd, scratch(s), READ_BYTES, MSG_DONTWAIT);
		(void)n;
	}
	start_tls(s, tls_new_server(c, s->io.fd));
}

void
stream_start_tls_client(struct stream *s, struct tls_ctx *c, struct str host)
{
	start_tls(s, tls_new_client(c, s->io.fd, host));
}

void
stream_start_tls_peer(struct stream *s, struct tls_ctx *c, const struct tls_peer *p)
{
	start_tls(s, tls_new_client_peer(c, s->io.fd, p));
}

/* Quiet since the timer was started: the memory is given back. */
static void
on_rest(struct loop_timer *t)
{
	struct stream *s = t->arg;
	struct packer *p = s->packer;

	p->timing = p->active || pending(s) != 0;
	p->active = false;
	if (p->timing) {
		loop_timer_start(&p->rest, pack_rest_ms);
		return;
	}
	deflate_rest(p->deflate);
	buf_release(&p->out);
}

void
stream_start_deflate(struct stream *s)
{
	struct packer *p;

	assert(s->tls == NULL && s->tls_next == NULL && s->packer == NULL);
	if (s->state == STREAM_DEAD)
		return;
	p = s->packer = xcalloc(1, sizeof *p);
	p->deflate = deflate_new();
	buf_init(&p->out, DEFLATE_OUT_MAX);
	p->plain_left = s->out.bytes;
	loop_timer_init(&p->rest, s->io.loop, on_rest, s);
}

void
stream_set_deflate_rest(int64_t ms)
{
	pack_rest_ms = ms;
}

size_t
stream_deflate_memory(const struct stream *s)
{
	return s->packer != NULL ? deflate_memory(s->packer->deflate) + s->packer->out.cap : 0;
}

const struct tls *
stream_tls(const struct stream *s)
{
	return s->state == STREAM_TLS ? s->tls : NULL;
}

void
stream_release_buffers(struct stream *s)
{
	if (s->in.n == 0)
		buf_release(&s->in);
}

int
stream_detach(struct stream *s, struct buf *in_out)
{
	int fd = s->io.fd;

	assert(s->tls == NULL && s->packer == NULL && s->out.bytes == 0);
	buf_add(in_out, buf_str(&s->in));
	loop_io_forget(&s->io);
	fini(s);
	free(s);
	return fd;
}

int
stream_fd(const struct stream *s)
{
	return s->io.fd;
}

const char *
stream_error(const struct stream *s)
{
	return s->error;
}

uint64_t
stream_bytes_in(const struct stream *s)
{
	return s->bytes_in;
}

uint64_t
stream_bytes_out(const struct stream *s)
{
	return s->bytes_out;
}
