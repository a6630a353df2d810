/* Who is told that a home changed: by our own commits, and by inotify on the index for those of
 * other processes. An event only means "look": LMDB publishes a commit a moment after it wrote the
 * meta page, so while the page is ahead of the snapshot we look again after 1, 2, 4 … 64 ms. */
#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/internal.h"

enum { POLL_MS = 30 * 1000, LOOK_STEPS = 7, CLOSED_LOOK_MS = 4, EVENTS_BYTES = 16384, REST_MS = 1 };

static void
tell(struct home *h)
{
	struct list now;

	/* A callback may stop or start any watch: the ring is walked by moving what was told. */
	list_init(&now);
	while (!list_empty(&h->watches)) {
		struct list *node = h->watches.next;

		list_remove(node);
		list_push_back(&now, node);
	}
	h->refs++;
	while (!list_empty(&now)) {
		struct home_watch *w = CONTAINER_OF(now.next, struct home_watch, link);

		list_remove(&w->link);
		list_push_back(&h->watches, &w->link);
		w->fn(w);
	}
	home_unref(h);
}

void
watch_seen(struct home *h, uint64_t version, bool tell_all)
{
	if (version <= h->seen_version)
		return;
	h->seen_version = version;
	if (tell_all && h->watch_n > 0)
		tell(h);
}

static void
look(struct home *h)
{
	struct kv_txn *t;

	if (h->state != HOME_OPEN || h->want_reopen || h->want_sync ||
		kv_read_begin(h->kv, &t) != ERR_OK) {
		tell(h);
		return;
	}
	uint64_t version = kv_version(t);

	kv_read_end(t);
	if (kv_file_version(h->kv) > version && h->look_step < LOOK_STEPS)
		loop_timer_start(&h->look_timer, (int64_t)1 << h->look_step++);
	watch_seen(h, version, true);
}

static void
on_look(struct loop_timer *t)
{
	look(t->arg);
}

/* Something was written: look now, or soon when the index is not open here. */
static void
on_event(struct home *h)
{
	h->look_step = 0;
	if (h->state == HOME_OPEN)
		look(h);
	else if (!loop_timer_active(&h->look_timer))
		loop_timer_start(&h->look_timer, CLOSED_LOOK_MS);
}

static void
unwatch(struct home *h, bool remove)
{
	if (h->wd < 0)
		return;
	hmap_remove(&h->store->watched, &h->watch_node);
	if (remove)
		(void)inotify_rm_watch(h->store->inotify, h->wd);
	h->wd = -1;
}

static void
add_watch(struct home *h)
{
	struct store *s = h->store;

	if (h->wd >= 0 || s->inotify < 0)
		return;
	h->wd = inotify_add_watch(
		s->inotify, h->index_path, IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB);
	if (h->wd < 0)
		return; /* none to be had: watch_tick asks every 30 s */
	struct str key = str_n(&h->wd, sizeof h->wd);

	if (hmap_get(&s->watched, key) != NULL) {
		/* Two names of one file: the other home's watch serves, ours is asked by time. */
		h->wd = -1;
		return;
	}
	hmap_put(&s->watched, &h->watch_node, key);
}

static void
tell_everybody(struct store *s)
{
	for (struct hmap_node *n = hmap_next(&s->watched, NULL), *next; n != NULL; n = next) {
		next = hmap_next(&s->watched, n);
		struct home *h = CONTAINER_OF(n, struct home, watch_node);

		if (!loop_timer_active(&h->look_timer))
			loop_timer_start(&h->look_timer, 0);
	}
}

/* False: there are none. */
static bool
take_events(struct store *s)
{
	_Alignas(struct inotify_event) char b[EVENTS_BYTES];
	ssize_t n = read(s->inotify, b, sizeof b);

	for (char *p = b; n > 0 && p < b + n;) {
		struct inotify_event *ev = (struct inotify_event *)(void *)p;

		p += sizeof *ev + ev->len;
		if (ev->mask & IN_Q_OVERFLOW) {
			tell_everybody(s);
			continue;
		}
		int wd = ev->wd;
		struct hmap_node *node = hmap_get(&s->watched, str_n(&wd, sizeof wd));

		if (node == NULL)
			continue;
		struct home *h = CONTAINER_OF(node, struct home, watch_node);

		if (ev->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) {
			/* Another file may stand at the path now. */
			unwatch(h, (ev->mask & IN_IGNORED) == 0);
			add_watch(h);
		}
		on_event(h);
	}
	return n > 0;
}

/* A commit writes each of its pages by a call of its own, and each is an event. Those that come
 * while nobody reads are joined by the kernel and wake nobody: so none are read for a moment. */
static void
on_inotify(struct loop_io *io, int events UNUSED)
{
	struct store *s = io->arg;

	(void)take_events(s);
	loop_io_set(&s->inotify_io, 0);
	loop_timer_start(&s->inotify_rest, REST_MS);
}

static void
on_rested(struct loop_timer *t)
{
	struct store *s = t->arg;

	if (take_events(s))
		loop_timer_start(&s->inotify_rest, REST_MS);
	else
		loop_io_set(&s->inotify_io, LOOP_READ);
}

void
watch_init(struct store *s)
{
	hmap_init(&s->watched);
	loop_timer_init(&s->inotify_rest, s->loop, on_rested, s);
	s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify < 0) {
		log_event(LVL_WARN, "store.inotify",
			log_z("reason", "not to be had: looking every 30 s"));
		return;
	}
	loop_io_init(&s->inotify_io, s->loop, s->inotify, on_inotify, s);
	loop_io_set(&s->inotify_io, LOOP_READ);
}

void
watch_fini(struct store *s)
{
	if (s->inotify >= 0) {
		loop_timer_stop(&s->inotify_rest);
		loop_io_set(&s->inotify_io, 0);
		close(s->inotify);
	}
	hmap_fini(&s->watched);
}

void
watch_home_init(struct home *h)
{
	loop_timer_init(&h->look_timer, h->store->loop, on_look, h);
}

void
watch_home_fini(struct home *h)
{
	unwatch(h, true);
	loop_timer_stop(&h->look_timer);
}

void
watch_tick(struct store *s, int64_t now_ms)
{
	if (s->watch_count == 0 || now_ms < s->poll_ms)
		return;
	s->poll_ms = now_ms + POLL_MS;
	for (struct hmap_node *n = hmap_next(&s->homes, NULL); n != NULL;
		n = hmap_next(&s->homes, n)) {
		struct home *h = CONTAINER_OF(n, struct home, node);

		if (h->wd >= 0 || h->watch_n == 0)
			continue;
		add_watch(h);
		if (!loop_timer_active(&h->look_timer))
			loop_timer_start(&h->look_timer, 0);
	}
}

void
home_watch_start(struct home_watch *w, struct home *h, void (*fn)(struct home_watch *), void *arg)
{
	w->fn = fn;
	w->arg = arg;
	w->home = home_ref(h);
	list_push_back(&h->watches, &w->link);
	h->store->watch_count++;
	h->watch_n++;
	add_watch(h);
}

void
home_watch_stop(struct home_watch *w)
{
	struct home *h = w->home;

	if (h == NULL)
		return;
	w->home = NULL;
	list_remove(&w->link);
	h->store->watch_count--;
	if (--h->watch_n == 0) {
		unwatch(h, true);
		loop_timer_stop(&h->look_timer);
	}
	home_unref(h);
}
