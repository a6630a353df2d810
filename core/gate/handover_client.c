/* The gate's side of the hand-over: a channel to each imap worker, and the offers on their way.
 * Invariant: an offer stands on one channel at most; it is offered again only when a
 * worker said BUSY or its channel ended, and never after HANDOVER_OFFER_MS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc.h"
#include "core/gate/handover.h"

enum {
	BACKOFF_MIN_MS = 20,
	BACKOFF_MAX_MS = 1000,
	ROUND_MS = 100, /* between two rounds over all workers */
	AWAY_MS = 3000, /* workers that are all away get this long to come back */
};

struct worker {
	struct handover_client *client;
	char path[108]; /* as long as sun_path */
	unsigned number;
	struct ipc *ipc; /* NULL: away */
	struct loop_timer retry;
	int64_t backoff_ms;
	struct list offers;
};

struct handover_client {
	struct loop *loop;
	struct worker *workers;
	unsigned worker_count;
	uint64_t last_number;
	struct hmap by_number;
	struct list idle; /* offers between two rounds */
};

struct handover_offer {
	struct handover_client *client;
	struct worker *on; /* NULL: between two rounds */
	struct list link;
	struct hmap_node node;
	uint64_t number;
	struct buf payload; /* secret: the cookie, and what the client typed ahead */
	int fd;
	unsigned first, tried;
	bool anyone_busy;
	bool lost; /* a worker died over it: a later "denied" proves nothing */
	int64_t started_ms;
	struct loop_timer timer;
	handover_fn fn;
	void *arg;
};

static void
offer_free(struct handover_offer *o)
{
	list_remove(&o->link);
	hmap_remove(&o->client->by_number, &o->node);
	loop_timer_stop(&o->timer);
	if (o->fd >= 0)
		close(o->fd);
	buf_fini(&o->payload);
	free(o);
}

static void
offer_end(struct handover_offer *o, enum err e)
{
	handover_fn fn = o->fn;
	void *arg = o->arg;
	offer_free(o);
	fn(arg, e);
}

static bool
offer_send(struct handover_offer *o, struct worker *w)
{
	int fd = dup(o->fd);
	if (fd < 0)
		return false;
	if (ipc_send(w->ipc, HANDOVER_OFFER, buf_str(&o->payload), &fd, 1) != ERR_OK)
		return false;
	o->on = w;
	list_remove(&o->link);
	list_push_back(&w->offers, &o->link);
	loop_timer_start(&o->timer, o->started_ms + HANDOVER_WAIT_MS - clock_ms());
	return true;
}

/* The next worker, from the user's own on; after a whole round the timer starts another or
 * gives up. */
static void
offer_next(struct handover_offer *o)
{
	struct handover_client *c = o->client;
	if (o->on != NULL) {
		o->on = NULL;
		list_remove(&o->link);
		list_push_back(&c->idle, &o->link);
	}
	while (o->tried < c->worker_count) {
		struct worker *w = &c->workers[(o->first + o->tried++) % c->worker_count];
		if (w->ipc != NULL && offer_send(o, w))
			return;
	}
	loop_timer_start(&o->timer, o->anyone_busy ? 0 : ROUND_MS);
}

static void
on_offer_timer(struct loop_timer *t)
{
	struct handover_offer *o = t->arg;
	int64_t age = clock_ms() - o->started_ms;
	if (o->on != NULL || o->anyone_busy || age > AWAY_MS) {
		offer_end(o, ERR_TEMP);
		return;
	}
	o->tried = 0;
	offer_next(o);
}

static void
retry_later(struct worker *w)
{
	loop_timer_start(&w->retry, w->backoff_ms);
	w->backoff_ms = w->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : w->backoff_ms * 2;
}

static void
on_message(void *arg, struct ipc *ipc, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct worker *w = arg;
	uint64_t number = 0, why = HANDOVER_FAILED;
	(void)ipc;
	for (size_t i = 0; i < fds_count; i++)
		close(fds[i]);
	if (ipc_get_u64(&payload, &number) != ERR_OK ||
		(type == HANDOVER_NAK && ipc_get_u64(&payload, &why) != ERR_OK))
		return;
	struct hmap_node *n = hmap_get(&w->client->by_number, str_n(&number, sizeof(number)));
	if (n == NULL || (type != HANDOVER_ACK && type != HANDOVER_NAK))
		return;
	struct handover_offer *o = CONTAINER_OF(n, struct handover_offer, node);
	if (o->on != w)
		return;
	/* Only a worker that answers is well: one that hangs up on us is not asked in a hurry. */
	w->backoff_ms = BACKOFF_MIN_MS;
	if (type == HANDOVER_ACK) {
		offer_end(o, ERR_OK);
	} else if (why == HANDOVER_BUSY) {
		o->anyone_busy = true;
		offer_next(o);
	} else {
		offer_end(o, why == HANDOVER_DENIED && !o->lost ? ERR_DENIED : ERR_TEMP);
	}
}

static void
on_end(void *arg, struct ipc *ipc, enum err why)
{
	struct worker *w = arg;
	(void)ipc;
	log_event(LVL_WARN, "handover.worker_left", log_n("worker", w->number), log_e("err", why));
	ipc_free(w->ipc);
	w->ipc = NULL;
	retry_later(w);
	while (!list_empty(&w->offers)) {
		struct handover_offer *o =
			CONTAINER_OF(w->offers.next, struct handover_offer, link);
		o->lost = true;
		offer_next(o);
	}
}

static const struct ipc_ops IPC_OPS = { .on_message = on_message, .on_end = on_end };

static void
worker_connect(struct worker *w)
{
	int fd;

	if (ipc_connect(w->path, &fd) == ERR_OK) {
		w->ipc = ipc_new(w->client->loop, fd, &IPC_OPS, w);
		return;
	}
	int failure = errno;

	if (w->backoff_ms == BACKOFF_MAX_MS)
		log_event(LVL_WARN, "handover.worker_away", log_n("worker", w->number),
			log_n("errno", failure));
	retry_later(w);
}

static void
on_retry(struct loop_timer *t)
{
	worker_connect(t->arg);
}

struct handover_client *
handover_client_new(struct loop *l, const char *path, unsigned workers)
{
	struct handover_client *c = xcalloc(1, sizeof(*c));
	c->loop = l;
	c->workers = xcalloc(workers, sizeof(*c->workers));
	c->worker_count = workers;
	hmap_init(&c->by_number);
	list_init(&c->idle);
	for (unsigned i = 0; i < workers; i++) {
		struct worker *w = &c->workers[i];
		w->client = c;
		w->number = i;
		w->backoff_ms = BACKOFF_MIN_MS;
		list_init(&w->offers);
		loop_timer_init(&w->retry, l, on_retry, w);
		/* A path that is cut never connects, and the log says so. */
		snprintf(w->path, sizeof(w->path), "%s%u", path, i);
		worker_connect(w);
	}
	return c;
}

void
handover_client_free(struct handover_client *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct worker *w = &c->workers[i];
		LIST_FOREACH (n, &w->offers)
			offer_free(CONTAINER_OF(n, struct handover_offer, link));
		loop_timer_stop(&w->retry);
		if (w->ipc != NULL)
			ipc_free(w->ipc);
	}
	LIST_FOREACH (m, &c->idle)
		offer_free(CONTAINER_OF(m, struct handover_offer, link));
	hmap_fini(&c->by_number);
	free(c->workers);
	free(c);
}

struct handover_offer *
handover_offer_start(struct handover_client *c, const struct handover_login *login, struct str user,
	int fd, handover_fn fn, void *arg)
{
	struct handover_login l = *login;
	struct handover_offer *o = xcalloc(1, sizeof(*o));
	o->client = c;
	o->fd = fd;
	o->fn = fn;
	o->arg = arg;
	o->number = l.number = ++c->last_number;
	o->started_ms = clock_ms();
	l.deadline_ms = o->started_ms + HANDOVER_OFFER_MS;
	loop_timer_init(&o->timer, c->loop, on_offer_timer, o);
	list_push_back(&c->idle, &o->link);
	hmap_put(&c->by_number, &o->node, str_n(&o->number, sizeof(o->number)));
	buf_init_secret(&o->payload, IPC_PAYLOAD_MAX);
	if (handover_encode(&l, &o->payload) != ERR_OK) {
		offer_free(o);
		return NULL;
	}
	/* All gate workers must agree on the worker, so the hash has no key. */
	o->first = crc32c(0, user) % (c->worker_count != 0 ? c->worker_count : 1);
	offer_next(o);
	return o;
}

void
handover_offer_cancel(struct handover_offer *o)
{
	offer_free(o);
}
