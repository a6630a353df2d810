/* The schedule by next hop; see hop.h. Called by queue.c and the attempts. Invariants: jobs is the
 * sum of all hops' jobs, of which each belongs to a job that began or to a wait that was called; a
 * hop is in `eager` exactly when somebody in its line could be called. */
#include "delivery/queue/hop.h"

#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "delivery/queue/retry.h"

enum { SWEEP_MS = 60000, KEEP_MS = 600000, KEY_MAX = 2048 };

struct hops {
	struct loop *loop;
	struct hops_options o;
	struct hmap all;
	struct list eager;
	unsigned jobs;
	bool pumping;
	struct loop_timer sweep;
};

struct hop {
	struct hmap_node node; /* by key */
	struct list link;      /* in hops.eager */
	struct hops *hops;
	char *key, *route, *section;
	struct list line; /* waits that were not called */
	unsigned jobs, limit;
	unsigned successes; /* in a row, since the limit changed */
	unsigned failures;  /* rests in a row */
	bool resting;
	int64_t rest_began_ms, rest_end_ms;
	int64_t last_ok_ms, used_ms;
	char *reply;
	struct loop_timer rest;
};

/* One message in one line. */
struct wait {
	struct list in_line; /* of the hop; in no list when called */
	struct list in_owner;
	struct hop *hop;
	struct hop_waits *owner;
	bool called;
};

static void
hop_update(struct hop *p)
{
	bool eager = !p->resting && p->jobs < p->limit && !list_empty(&p->line);

	if (!eager)
		list_remove(&p->link);
	else if (list_empty(&p->link))
		list_push_back(&p->hops->eager, &p->link);
}

/* Calls who can be called, one of each hop in turn. */
static void
pump(struct hops *h)
{
	if (h->pumping)
		return;
	h->pumping = true;
	while (h->jobs < h->o.jobs_max && !list_empty(&h->eager)) {
		struct hop *p = CONTAINER_OF(h->eager.next, struct hop, link);
		struct wait *w = CONTAINER_OF(p->line.next, struct wait, in_line);
		list_remove(&w->in_line);
		w->called = true;
		p->jobs++;
		h->jobs++;
		list_remove(&p->link);
		hop_update(p);
		h->o.on_call(h->o.arg, w->owner);
	}
	h->pumping = false;
}

static void
place_free(struct hop *p)
{
	p->jobs--;
	p->hops->jobs--;
	hop_update(p);
	pump(p->hops);
}

static void
rest_over(struct loop_timer *t)
{
	struct hop *p = t->arg;

	p->resting = false;
	hop_update(p);
	pump(p->hops);
}

static void
rest_begin(struct hop *p)
{
	const struct hops_options *o = &p->hops->o;
	int64_t wait;

	p->failures++;
	wait = retry_wait_ms(p->failures, o->rest_min_ms, o->rest_max_ms, rand_u64());
	p->resting = true;
	p->limit = 1;
	p->rest_began_ms = loop_now_ms(p->hops->loop);
	p->rest_end_ms = p->rest_began_ms + wait;
	loop_timer_start(&p->rest, wait);
}

/* ---- hops ---- */

static void
hop_free(struct hop *p)
{
	loop_timer_stop(&p->rest);
	list_remove(&p->link);
	hmap_remove(&p->hops->all, &p->node);
	free(p->key);
	free(p->route);
	free(p->section);
	free(p->reply);
	free(p);
}

static void
sweep(struct loop_timer *t)
{
	struct hops *h = t->arg;
	int64_t now = loop_now_ms(h->loop);
	struct hmap_node *n = hmap_next(&h->all, NULL);

	while (n != NULL) {
		struct hop *p = CONTAINER_OF(n, struct hop, node);
		n = hmap_next(&h->all, n);
		if (p->jobs == 0 && !p->resting && list_empty(&p->line) &&
			now - p->used_ms >= KEEP_MS)
			hop_free(p);
	}
	if (h->all.n != 0)
		loop_timer_start(t, SWEEP_MS);
}

static void
check_limits(struct hops *h)
{
	if (h->o.max < 1)
		h->o.max = 1;
	if (h->o.start < 1)
		h->o.start = 1;
	if (h->o.start > h->o.max)
		h->o.start = h->o.max;
}

struct hops *
hops_new(struct loop *l, const struct hops_options *o)
{
	struct hops *h = xcalloc(1, sizeof(*h));

	h->loop = l;
	h->o = *o;
	check_limits(h);
	hmap_init(&h->all);
	list_init(&h->eager);
	loop_timer_init(&h->sweep, l, sweep, h);
	return h;
}

void
hops_set(struct hops *h, const struct hops_options *o)
{
	const struct hops_options old = h->o;

	h->o = *o;
	h->o.on_call = old.on_call;
	h->o.arg = old.arg;
	check_limits(h);
	for (struct hmap_node *n = hmap_next(&h->all, NULL); n != NULL; n = hmap_next(&h->all, n)) {
		struct hop *p = CONTAINER_OF(n, struct hop, node);
		if (p->limit > h->o.max)
			p->limit = h->o.max;
		hop_update(p);
	}
	pump(h);
}

void
hops_free(struct hops *h)
{
	struct hmap_node *n = hmap_next(&h->all, NULL);

	while (n != NULL) {
		struct hop *p = CONTAINER_OF(n, struct hop, node);
		n = hmap_next(&h->all, n);
		hop_free(p);
	}
	loop_timer_stop(&h->sweep);
	hmap_fini(&h->all);
	free(h);
}

struct hop *
hops_get(struct hops *h, struct str route, struct str section)
{
	struct buf key;
	struct hmap_node *n;
	struct hop *p;

	buf_init(&key, KEY_MAX);
	for (size_t i = 0; i < route.n; i++)
		buf_addc(&key, (char)ascii_lower((unsigned char)route.p[i]));
	buf_addf(&key, "|%.*s", STR_FMT(section));
	n = hmap_get(&h->all, buf_str(&key));
	if (n != NULL) {
		p = CONTAINER_OF(n, struct hop, node);
	} else {
		p = xcalloc(1, sizeof(*p));
		p->hops = h;
		p->key = str_dup(buf_str(&key));
		p->route = str_dup(route);
		p->section = str_dup(section);
		p->limit = h->o.start;
		p->last_ok_ms = INT64_MIN;
		list_init(&p->line);
		list_init(&p->link);
		loop_timer_init(&p->rest, h->loop, rest_over, p);
		hmap_put(&h->all, &p->node, str_of(p->key));
		if (!loop_timer_active(&h->sweep))
			loop_timer_start(&h->sweep, SWEEP_MS);
	}
	buf_fini(&key);
	p->used_ms = loop_now_ms(h->loop);
	return p;
}

struct str
hop_route(const struct hop *p)
{
	return str_of(p->route);
}

struct str
hop_section(const struct hop *p)
{
	return str_of(p->section);
}

int64_t
hop_rests_ms(const struct hop *p)
{
	int64_t left = p->rest_end_ms - loop_now_ms(p->hops->loop);

	return !p->resting ? 0 : left < 1 ? 1 : left;
}

struct str
hop_reply(const struct hop *p)
{
	return p->reply != NULL ? str_of(p->reply) : STR_EMPTY;
}

unsigned
hops_jobs(const struct hops *h)
{
	return h->jobs;
}

size_t
hops_count(const struct hops *h)
{
	return h->all.n;
}

unsigned
hop_limit(const struct hop *p)
{
	return p->limit;
}

/* ---- lines ---- */

void
hop_waits_init(struct hop_waits *w)
{
	list_init(&w->list);
}

static struct wait *
find_wait(const struct hop_waits *w, const struct hop *p)
{
	LIST_FOREACH (l, &w->list) {
		struct wait *x = CONTAINER_OF(l, struct wait, in_owner);
		if (x->hop == p)
			return x;
	}
	return NULL;
}

static void
wait_free(struct wait *x)
{
	list_remove(&x->in_line);
	list_remove(&x->in_owner);
	free(x);
}

bool
hop_called(const struct hop_waits *w, const struct hop *p)
{
	LIST_FOREACH (l, &w->list) {
		struct wait *x = CONTAINER_OF(l, struct wait, in_owner);
		if (x->called && (p == NULL || x->hop == p))
			return true;
	}
	return false;
}

void
hop_waits_release(struct hop_waits *w)
{
	struct list called;

	/* Set aside first: a place given back may call another of these, which is still wanted. */
	list_init(&called);
	LIST_FOREACH (l, &w->list) {
		if (!CONTAINER_OF(l, struct wait, in_owner)->called)
			continue;
		list_remove(l);
		list_push_back(&called, l);
	}
	LIST_FOREACH (l, &called) {
		struct wait *x = CONTAINER_OF(l, struct wait, in_owner);
		struct hop *p = x->hop;
		wait_free(x);
		place_free(p);
	}
}

bool
hop_waits_drop(struct hop_waits *w)
{
	bool stood = !list_empty(&w->list);

	/* A place given back may call another of these, which is then still to come. */
	LIST_FOREACH (l, &w->list) {
		struct wait *x = CONTAINER_OF(l, struct wait, in_owner);
		struct hop *p = x->hop;
		bool called = x->called;
		wait_free(x);
		if (called)
			place_free(p);
		else
			hop_update(p);
	}
	return stood;
}

void
hop_waits_each(const struct hop_waits *w, void (*fn)(void *arg, const struct hop *p), void *arg)
{
	LIST_FOREACH (l, &w->list)
		fn(arg, CONTAINER_OF(l, struct wait, in_owner)->hop);
}

/* ---- jobs ---- */

bool
hop_enter(struct hop *p, struct hop_waits *w)
{
	struct wait *x = find_wait(w, p);

	p->used_ms = loop_now_ms(p->hops->loop);
	if (x != NULL && x->called) {
		wait_free(x);
		return true;
	}
	if (x != NULL)
		return false;
	if (!p->resting && p->jobs < p->limit && list_empty(&p->line) &&
		p->hops->jobs < p->hops->o.jobs_max) {
		p->jobs++;
		p->hops->jobs++;
		return true;
	}
	x = xcalloc(1, sizeof(*x));
	x->hop = p;
	x->owner = w;
	list_push_back(&p->line, &x->in_line);
	list_push_back(&w->list, &x->in_owner);
	hop_update(p);
	return false;
}

static void
succeeded(struct hop *p)
{
	p->last_ok_ms = loop_now_ms(p->hops->loop);
	p->failures = 0;
	free(p->reply);
	p->reply = NULL;
	if (p->resting) {
		p->resting = false;
		loop_timer_stop(&p->rest);
	}
	if (++p->successes < p->limit)
		return;
	p->successes = 0;
	if (p->limit < p->hops->o.max)
		p->limit++;
}

static void
failed(struct hop *p, int64_t began_ms, struct str reply)
{
	free(p->reply);
	p->reply = str_dup(reply);
	p->successes = 0;
	/* What was on its way when the rest began tells nothing new. */
	if (p->resting || (p->failures != 0 && began_ms < p->rest_began_ms))
		return;
	if (p->limit > 1)
		p->limit /= 2;
	if (p->last_ok_ms < began_ms)
		rest_begin(p);
}

void
hop_leave(struct hop *p, enum hop_result how, int64_t began_ms, struct str reply)
{
	switch (how) {
	case HOP_OK:
		succeeded(p);
		break;
	case HOP_FAILED:
		failed(p, began_ms, reply);
		break;
	case HOP_NOTHING:
		break;
	}
	p->used_ms = loop_now_ms(p->hops->loop);
	place_free(p);
}

void
hop_wake(struct hop *p)
{
	p->failures = 0;
	if (!p->resting)
		return;
	loop_timer_stop(&p->rest);
	p->resting = false;
	hop_update(p);
	pump(p->hops);
}

void
hops_wake_all(struct hops *h)
{
	for (struct hmap_node *n = hmap_next(&h->all, NULL); n != NULL; n = hmap_next(&h->all, n)) {
		struct hop *p = CONTAINER_OF(n, struct hop, node);
		p->failures = 0;
		p->resting = false;
		loop_timer_stop(&p->rest);
		hop_update(p);
	}
	pump(h);
}
