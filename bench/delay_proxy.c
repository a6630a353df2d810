/* A TCP relay in front of a directory that holds back every answer for some milliseconds, to
 * measure what a slow directory costs. bench/run starts it.
 *
 *   delay_proxy LISTEN TARGET MS        delay_proxy 127.0.0.1:3890 127.0.0.1:389 20
 *
 * What clients send passes at once; what the target sends comes MS later, in order. Ends at
 * SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/xalloc.h"
#include "core/event/connect.h"
#include "core/event/listener.h"
#include "core/event/stream.h"

enum { SIDE_MAX = 4 * 1024 * 1024, CONNECT_MS = 5000 };

static struct {
	struct loop *loop;
	const char *target;
	uint64_t delay_ms;
} proxy;

struct held {
	struct list link;
	int64_t due_ms;
	struct buf bytes;
};

struct pair {
	struct connecting *connecting;
	struct stream *client, *target;
	struct list held;
	struct loop_timer timer;
};

static void
pair_free(struct pair *p)
{
	while (!list_empty(&p->held)) {
		struct held *h = CONTAINER_OF(p->held.next, struct held, link);
		list_remove(&h->link);
		buf_fini(&h->bytes);
		free(h);
	}
	loop_timer_stop(&p->timer);
	if (p->connecting != NULL)
		connect_cancel(p->connecting);
	stream_free(p->client);
	if (p->target != NULL)
		stream_free(p->target);
	free(p);
}

static void
on_due(struct loop_timer *t)
{
	struct pair *p = t->arg;
	while (!list_empty(&p->held)) {
		struct held *h = CONTAINER_OF(p->held.next, struct held, link);
		int64_t left = h->due_ms - clock_ms();
		if (left > 0) {
			loop_timer_start(t, left);
			return;
		}
		stream_write(p->client, buf_str(&h->bytes));
		list_remove(&h->link);
		buf_fini(&h->bytes);
		free(h);
	}
}

static void
on_target_read(struct stream *s, void *arg)
{
	struct pair *p = arg;
	struct buf *in = stream_in(s);
	struct held *h = xcalloc(1, sizeof *h);
	buf_init(&h->bytes, SIDE_MAX);
	buf_add(&h->bytes, buf_str(in));
	buf_consume(in, in->n);
	h->due_ms = clock_ms() + (int64_t)proxy.delay_ms;
	list_push_back(&p->held, &h->link);
	if (!loop_timer_active(&p->timer))
		loop_timer_start(&p->timer, (int64_t)proxy.delay_ms);
}

static void
on_client_read(struct stream *s, void *arg)
{
	struct pair *p = arg;
	struct buf *in = stream_in(s);
	if (p->target == NULL)
		return;
	stream_write(p->target, buf_str(in));
	buf_consume(in, in->n);
}

static void
on_end(struct stream *s UNUSED, void *arg, enum err why UNUSED)
{
	pair_free(arg);
}

static const struct stream_ops client_ops = { .on_read = on_client_read, .on_end = on_end };
static const struct stream_ops target_ops = { .on_read = on_target_read, .on_end = on_end };
static const struct stream_options options = { .in_max_bytes = SIDE_MAX / 4,
	.out_max_bytes = SIDE_MAX };

static void
on_connected(void *arg, int fd, enum err e UNUSED, const char *text UNUSED)
{
	struct pair *p = arg;
	p->connecting = NULL;
	if (fd < 0) {
		pair_free(p);
		return;
	}
	p->target = stream_new(proxy.loop, fd, &target_ops, p, &options);
	on_client_read(p->client, p);
}

static void
on_accept(void *arg UNUSED, int fd, const struct peer *peer UNUSED)
{
	struct pair *p = xcalloc(1, sizeof *p);
	list_init(&p->held);
	loop_timer_init(&p->timer, proxy.loop, on_due, p);
	p->client = stream_new(proxy.loop, fd, &client_ops, p, &options);
	p->connecting =
		connect_start(proxy.loop, str_of(proxy.target), CONNECT_MS, on_connected, p);
}

int
main(int argc, char **argv)
{
	const struct listen_options o = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *why = "";
	int fd;
	if (argc != 4 || str_to_u64(str_of(argv[3]), 60000, &proxy.delay_ms) != ERR_OK) {
		(void)fprintf(stderr, "usage: delay_proxy LISTEN TARGET MS\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	proxy.loop = loop_new();
	proxy.target = argv[2];
	if (listen_bind(str_of(argv[1]), &o, &fd, &why) != ERR_OK) {
		(void)fprintf(stderr, "delay_proxy: %s: %s\n", argv[1], why);
		return 1;
	}
	(void)listener_new(proxy.loop, fd, on_accept, NULL);
	loop_run(proxy.loop);
	return 0;
}
