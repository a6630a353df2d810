/* PROXY headers; see proxy.h. Called by server.c for connections from smtp.proxy_networks. The
 * bytes are looked at where they lie in the socket, and only the header is taken out: what follows
 * may be a TLS handshake. */
#include "delivery/smtp/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/xalloc.h"

enum {
	V1_MAX = 107,
	V2_HEAD = 16,
	LOOK_AGAIN_MS = 20,
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
};

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* As everything else writes it: ::ffff:192.0.2.1, which balancers that listen on [::] say, is
 * 192.0.2.1. */
static bool
address_text(int family, const char bytes[16], char out[64])
{
	static const char mapped[12] = { [10] = (char)0xff, [11] = (char)0xff };

	if (family == AF_INET6 && memcmp(bytes, mapped, sizeof mapped) == 0)
		return inet_ntop(AF_INET, bytes + sizeof mapped, out, 64) != NULL;
	return inet_ntop(family, bytes, out, 64) != NULL;
}

bool
proxy_address(int family, struct str s, char out[64])
{
	char bytes[16];

	if (s.n >= 64 || str_has_nul(s))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return inet_pton(family, out, bytes) == 1 && address_text(family, bytes, out);
}

bool
proxy_port(struct str s, uint16_t *out)
{
	uint64_t n;

	if (str_to_u64(s, UINT16_MAX, &n) != ERR_OK)
		return false;
	*out = (uint16_t)n;
	return true;
}

/* "PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r\n" */
static enum err
parse_v1(struct str in, struct proxy_header *out, size_t *used_out)
{
	size_t end = str_find(str_sub(in, 0, V1_MAX), STR("\r\n"));
	struct str line, word[6];
	int family;

	if (end == in.n || end >= V1_MAX)
		return in.n < V1_MAX ? ERR_AGAIN : ERR_SYNTAX;
	*used_out = end + 2;
	line = str_sub(in, 0, end);
	for (size_t i = 0; i < ARRAY_LEN(word); i++)
		(void)str_cut(line, ' ', &word[i], &line);
	if (str_eq(word[1], STR("UNKNOWN"))) {
		out->own = true;
		return ERR_OK;
	}
	family = str_eq(word[1], STR("TCP6")) ? AF_INET6 : AF_INET;
	if ((family == AF_INET && !str_eq(word[1], STR("TCP4"))) || line.n > 0 ||
		!proxy_address(family, word[2], out->addr) ||
		!proxy_address(family, word[3], out->local_addr) ||
		!proxy_port(word[4], &out->port) || !proxy_port(word[5], &out->local_port))
		return ERR_SYNTAX;
	return ERR_OK;
}

static uint16_t
u16_of(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static enum err
parse_v2(struct str in, struct proxy_header *out, size_t *used_out)
{
	int family = AF_INET;
	size_t len, each = 4;
	unsigned command;

	if (in.n < V2_HEAD)
		return ERR_AGAIN;
	len = u16_of(in.p + 14);
	command = (unsigned char)in.p[12];
	if ((command != 0x20 && command != 0x21) || len > PROXY_HEADER_MAX - V2_HEAD)
		return ERR_SYNTAX;
	if (in.n < V2_HEAD + len)
		return ERR_AGAIN;
	*used_out = V2_HEAD + len;
	out->own = command == 0x20 || (in.p[13] != FAMILY_TCP4 && in.p[13] != FAMILY_TCP6);
	if (out->own)
		return ERR_OK;
	if (in.p[13] == FAMILY_TCP6) {
		family = AF_INET6;
		each = 16;
	}
	in = str_sub(in, V2_HEAD, len);
	if (in.n < 2 * each + 4 || !address_text(family, in.p, out->addr) ||
		!address_text(family, in.p + each, out->local_addr))
		return ERR_SYNTAX;
	out->port = u16_of(in.p + 2 * each);
	out->local_port = u16_of(in.p + 2 * each + 2);
	return ERR_OK;
}

enum err
proxy_parse(struct str in, struct proxy_header *out, size_t *used_out)
{
	const struct str v2 = str_n(v2_signature, sizeof(v2_signature)), v1 = STR("PROXY ");
	size_t n;

	*out = (struct proxy_header){ .own = false };
	n = in.n < v2.n ? in.n : v2.n;
	if (str_eq(str_sub(in, 0, n), str_sub(v2, 0, n)))
		return n < v2.n ? ERR_AGAIN : parse_v2(in, out, used_out);
	n = in.n < v1.n ? in.n : v1.n;
	if (str_eq(str_sub(in, 0, n), str_sub(v1, 0, n)))
		return n < v1.n ? ERR_AGAIN : parse_v1(in, out, used_out);
	return ERR_SYNTAX;
}

struct proxy_wait {
	int fd;
	struct peer peer;
	int64_t until_ms;
	struct loop *loop;
	struct loop_io io;
	struct loop_timer timer;
	proxy_fn fn;
	void *arg;
};

static int
wait_free(struct proxy_wait *w)
{
	int fd = w->fd;

	loop_io_set(&w->io, 0);
	loop_timer_stop(&w->timer);
	free(w);
	return fd;
}

void
proxy_wait_cancel(struct proxy_wait *w)
{
	close(wait_free(w));
}

static void
fail(struct proxy_wait *w, const char *why)
{
	struct peer peer = w->peer;
	proxy_fn fn = w->fn;
	void *arg = w->arg;

	proxy_wait_cancel(w);
	fn(arg, -1, &peer, why);
}

static void
succeed(struct proxy_wait *w, const struct proxy_header *h, size_t used)
{
	char header[PROXY_HEADER_MAX];
	struct peer peer = w->peer;
	proxy_fn fn = w->fn;
	void *arg = w->arg;

	if (recv(w->fd, header, used, MSG_DONTWAIT) != (ssize_t)used) {
		fail(w, "lost");
		return;
	}
	if (!h->own) {
		memcpy(peer.addr, h->addr, sizeof(peer.addr));
		memcpy(peer.local_addr, h->local_addr, sizeof(peer.local_addr));
		peer.port = h->port;
		peer.local_port = h->local_port;
	}
	fn(arg, wait_free(w), &peer, "");
}

static void
look(struct proxy_wait *w)
{
	char bytes[PROXY_HEADER_MAX];
	ssize_t n = recv(w->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	bool none = n < 0 && (errno == EAGAIN || errno == EINTR);
	struct proxy_header h;
	size_t used = 0;
	enum err e = ERR_AGAIN;

	if (n == 0 || (n < 0 && !none)) {
		fail(w, "lost");
		return;
	}
	if (!none)
		e = proxy_parse(str_n(bytes, (size_t)n), &h, &used);
	if (e == ERR_OK)
		succeed(w, &h, used);
	else if (e != ERR_AGAIN)
		fail(w, "no proxy header");
	else if (loop_now_ms(w->loop) >= w->until_ms)
		fail(w, "no proxy header in time");
	else if (none) {
		loop_io_set(&w->io, LOOP_READ);
		loop_timer_start(&w->timer, w->until_ms - loop_now_ms(w->loop));
	} else {
		/* Part of a header stays readable: look at the clock, not at the socket. */
		loop_io_set(&w->io, 0);
		loop_timer_start(&w->timer, LOOK_AGAIN_MS);
	}
}

static void
on_io(struct loop_io *io, int events)
{
	(void)events;
	look(io->arg);
}

static void
on_timer(struct loop_timer *t)
{
	look(t->arg);
}

struct proxy_wait *
proxy_wait_new(
	struct loop *l, int fd, const struct peer *peer, int64_t timeout_ms, proxy_fn fn, void *arg)
{
	struct proxy_wait *w = xcalloc(1, sizeof(*w));

	w->fd = fd;
	w->peer = *peer;
	w->loop = l;
	w->until_ms = loop_now_ms(l) + timeout_ms;
	w->fn = fn;
	w->arg = arg;
	loop_io_init(&w->io, l, fd, on_io, w);
	loop_io_set(&w->io, LOOP_READ);
	loop_timer_init(&w->timer, l, on_timer, w);
	loop_timer_start(&w->timer, timeout_ms);
	return w;
}
