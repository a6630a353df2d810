/* Homes: one table of handles, opened, closed, grown and synced on the pool, a bounded number open.
 * Called by imap, lmtp and the ops. Invariant: h->kv belongs to the loop, and while job_busy or
 * batch_busy is set to that job; it is closed only when no read step, batch or job uses it. */
#include "core/store/store.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/blob.h"
#include "core/store/internal.h"

enum {
	HOME_PATH_MAX = 1000,
	TICK_MS = 1000,
	BACKOFF_MS = 30 * 1000,
	BACKOFF_MAX_MS = 10 * 60 * 1000,
	FDS_A_HOME = 3,
	OPEN_MAX_AUTO = 4096,
	MMAP_THRESHOLD_BYTES = 64 * 1024,
	REST_AT_ONCE = 256,
};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* So that every test walks the growth path. */
enum { DEBUG_MAP_BYTES = 1024 * 1024 };
#else
enum { DEBUG_MAP_BYTES = 0 };
#endif

static void
home_job_done(struct pool_job *j);

static void
parse_defaults(struct store *s, const struct str_list *list)
{
	s->defaults = xcalloc(list->n, sizeof *s->defaults);
	for (size_t i = 0; i < list->n; i++) {
		struct str name, use;
		struct buf checked;

		(void)str_cut(list->v[i], ':', &name, &use);
		buf_init(&checked, 4096);
		if (mailbox_name_check(name, &checked) == ERR_OK) {
			s->defaults[s->defaults_count].name = str_dup(buf_str(&checked));
			s->defaults[s->defaults_count++].special_use = special_use_parse(use);
		} else {
			log_event(LVL_WARN, "store.default", log_s("mailbox", name),
				log_z("reason", "not a mailbox name"));
		}
		buf_fini(&checked);
	}
}

static unsigned
open_max_auto(void)
{
	struct rlimit rl;
	rlim_t n = getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY ? rl.rlim_cur
										      : 1024;

	/* Half of the files for homes, the rest for sockets and message files. */
	n = n / 2 / FDS_A_HOME;
	return n > OPEN_MAX_AUTO ? OPEN_MAX_AUTO : n < 8 ? 8 : (unsigned)n;
}

static void
close_resting(struct store *s, int64_t now)
{
	unsigned n = 0;

	if (s->rest_ms == 0)
		return;
	LIST_FOREACH (node, &s->idle) {
		struct home *h = CONTAINER_OF(node, struct home, idle_link);

		if (now - h->idle_ms < s->rest_ms || n++ == REST_AT_ONCE)
			return;
		h->want_close = true;
		home_step(h);
	}
}

static void
tick(struct loop_timer *timer)
{
	struct store *s = timer->arg;
	int64_t now = clock_ms();

	LIST_FOREACH (node, &s->busy)
		commit_expire(CONTAINER_OF(node, struct home, busy_link), now);
	claims_tick(s, now);
	close_resting(s, now);
	watch_tick(s, now);
	loop_timer_start(&s->tick, TICK_MS);
}

struct store *
store_new(struct loop *l, struct pool *p, const struct settings *set)
{
	struct store *s = xcalloc(1, sizeof *s);

	/* Else each environment's lists stay on the heap: 148 KiB instead of 14. */
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
	s->loop = l;
	s->pool = p;
	hmap_init(&s->homes);
	list_init(&s->idle);
	list_init(&s->busy);
	list_init(&s->claimed);
	s->open_max = set->store.open_max > 0 ? (unsigned)set->store.open_max : open_max_auto();
	s->map_initial = DEBUG_MAP_BYTES != 0 ? DEBUG_MAP_BYTES : (uint64_t)set->store.map_initial;
	s->sync_dirs = str_eq(set->store.sync_directories, STR("yes"))	? SYNC_DIRS_YES
		       : str_eq(set->store.sync_directories, STR("no")) ? SYNC_DIRS_NO
									: SYNC_DIRS_AUTO;
	parse_defaults(s, &set->imap.mailboxes_default);
	watch_init(s);
	loop_timer_init(&s->tick, l, tick, s);
	loop_timer_start(&s->tick, TICK_MS);
	return s;
}

void
store_close_resting(struct store *s, int64_t rest_ms)
{
	s->rest_ms = rest_ms;
}

static void
home_free(struct home *h)
{
	struct store *s = h->store;

	watch_home_fini(h);
	claims_free(h);
	loop_timer_stop(&h->garbage_timer);
	list_remove(&h->idle_link);
	list_remove(&h->busy_link);
	hmap_remove(&s->homes, &h->node);
	free(h->index_path);
	free(h->path);
	free(h);
}

/* A home that nobody holds and that is not open has nothing to remember. */
static bool
home_release(struct home *h)
{
	/* kv is the job's while one runs */
	if (h->refs > 0 || h->pins > 0 || h->job_busy || h->kv != NULL || h->batch_busy ||
		!list_empty(&h->queue) || !list_empty(&h->waiters) || !list_empty(&h->views) ||
		h->state == HOME_POISONED || h->garbage_busy ||
		loop_timer_active(&h->garbage_timer))
		return false;
	home_free(h);
	return true;
}

enum err
home_get(struct store *s, struct str path, struct home **out)
{
	if (path.n < 2 || path.n > HOME_PATH_MAX || path.p[0] != '/' || str_has_nul(path) ||
		str_find(path, STR("//")) != path.n || str_find(path, STR("/../")) != path.n ||
		str_find(path, STR("/./")) != path.n || path.p[path.n - 1] == '/' ||
		str_ends(path, STR("/..")) || str_ends(path, STR("/.")))
		return ERR_SYNTAX;
	struct hmap_node *node = hmap_get(&s->homes, path);

	if (node != NULL) {
		*out = home_ref(CONTAINER_OF(node, struct home, node));
		return ERR_OK;
	}
	struct home *h = xcalloc(1, sizeof *h);

	h->store = s;
	h->path = str_dup(path);
	h->index_path = xmalloc(path.n + sizeof "/index.mdb");
	memcpy(h->index_path, h->path, path.n);
	memcpy(h->index_path + path.n, "/index.mdb", sizeof "/index.mdb");
	h->refs = 1;
	h->why = "";
	h->wd = -1;
	list_init(&h->idle_link);
	list_init(&h->busy_link);
	list_init(&h->waiters);
	list_init(&h->views);
	list_init(&h->queue);
	list_init(&h->batch);
	list_init(&h->watches);
	garbage_init(h);
	watch_home_init(h);
	hmap_put(&s->homes, &h->node, str_n(h->path, path.n));
	*out = h;
	return ERR_OK;
}

struct home *
home_ref(struct home *h)
{
	h->refs++;
	return h;
}

void
home_unref(struct home *h)
{
	h->refs--;
	(void)home_release(h);
}

struct str
home_path(const struct home *h)
{
	return h->node.key;
}

struct store *
home_store(const struct home *h)
{
	return h->store;
}

const char *
home_error(const struct home *h)
{
	return h->why;
}

/* On the pool. ERR_LIMIT: h->kv is open, its map is too small. */
static enum err
open_kv(struct home *h)
{
	struct store *s = h->store;
	const struct kv_options o = { .map_bytes = h->map_bytes, .create = true };
	const char *why = "";
	enum err e = kv_open(h->index_path, &o, &h->kv, &why);

	if (e != ERR_OK) {
		h->why = why;
		return e == ERR_DENIED || e == ERR_CORRUPT ? e : ERR_TEMP;
	}
	/* A process may have died in its last write: nothing is read before it is synced, the name
	 * of the index with it. */
	(void)kv_reader_check(h->kv);
	if ((e = kv_sync(h->kv)) == ERR_OK && h->sync_dir)
		e = blob_sync_parent(h->index_path);
	h->job_sync_failed = e != ERR_OK;
	if (e == ERR_OK)
		e = home_setup(s, s->pool, h->kv, h->path, &h->job_garbage);
	if (e != ERR_OK && e != ERR_LIMIT) {
		h->why = e == ERR_DENIED	  ? "the index is of another version of Postroom"
			 : *kv_why(h->kv) != '\0' ? kv_why(h->kv)
						  : "the index cannot be set up";
		kv_close(h->kv);
		h->kv = NULL;
	}
	return e;
}

/* On the pool. */
static enum err
open_index(struct home *h)
{
	struct store *s = h->store;
	const char *why = "";
	/* Where nothing is there yet, what it needs is not known: syncing it all is right. */
	bool sync = s->sync_dirs == SYNC_DIRS_YES ||
		    (s->sync_dirs == SYNC_DIRS_AUTO && blob_needs_dir_sync(h->path));
	enum err e = blob_make_home(h->path, sync, &why);

	/* Found out once: jobs of deliver.c read it. */
	if (!h->dirs_known)
		h->sync_dir = s->sync_dirs == SYNC_DIRS_YES ||
			      (s->sync_dirs == SYNC_DIRS_AUTO && blob_needs_dir_sync(h->path));
	h->dirs_known = true;
	if (e != ERR_OK) {
		h->why = why;
		return e == ERR_DENIED || e == ERR_CORRUPT ? e : ERR_TEMP;
	}
	e = open_kv(h);
	/* an upgrade needs more room */
	while (e == ERR_LIMIT) {
		h->map_bytes = kv_map_bytes(h->kv) * 2;
		kv_close(h->kv);
		h->kv = NULL;
		e = open_kv(h);
	}
	return e;
}

static void
home_job_run(struct pool_job *j)
{
	struct home *h = CONTAINER_OF(j, struct home, job);
	struct kv_txn *t;

	h->job_result = ERR_OK;
	h->job_sync_failed = false;
	if (h->job_close && h->kv != NULL) {
		kv_close(h->kv);
		h->kv = NULL;
	}
	if (h->job_open)
		h->job_result = open_index(h);
	if (h->job_sync && h->kv != NULL) {
		(void)kv_reader_check(h->kv);
		h->job_result = kv_sync(h->kv);
		h->job_sync_failed = h->job_result != ERR_OK;
	}
	h->job_version = 0;
	if (h->kv != NULL && h->job_result == ERR_OK && kv_read_begin(h->kv, &t) == ERR_OK) {
		h->job_version = kv_version(t);
		kv_read_end(t);
	}
}

static void
start_job(struct home *h, bool close, bool open, bool sync)
{
	if (h->kv == NULL && open)
		h->store->open_count++;
	list_remove(&h->idle_link);
	h->job_close = close;
	h->job_open = open;
	h->job_sync = sync;
	h->job_busy = true;
	h->store->closing_count += close && !open;
	h->job_garbage = false;
	if (h->state != HOME_POISONED || open)
		h->state = HOME_WORKING;
	if (h->map_bytes < h->store->map_initial)
		h->map_bytes = h->store->map_initial;
	h->job = (struct pool_job){
		.run = home_job_run,
		.done = home_job_done,
		.class = POOL_COMMIT,
	};
	pool_submit(h->store->pool, &h->job);
}

/* Wakes everybody who waits for the home: pinned when e is ERR_OK. */
static void
wake(struct home *h, enum err e)
{
	struct list now;

	list_init(&now);
	while (!list_empty(&h->waiters)) {
		struct list *node = h->waiters.next;

		list_remove(node);
		list_push_back(&now, node);
	}
	h->refs++;
	while (!list_empty(&now)) {
		struct home_wait *w = CONTAINER_OF(now.next, struct home_wait, link);

		list_remove(&w->link);
		w->active = false;
		if (e == ERR_OK)
			h->pins++;
		w->fn(w, e);
	}
	h->refs--;
}

/* Closes homes that nobody uses while too many are open. */
static void
shrink(struct store *s)
{
	LIST_FOREACH (node, &s->idle) {
		struct home *h = CONTAINER_OF(node, struct home, idle_link);

		if (s->open_count - s->closing_count <= s->open_max)
			return;
		h->want_close = true;
		home_step(h);
	}
}

static void
set_idle(struct home *h)
{
	list_remove(&h->idle_link);
	if (h->state != HOME_OPEN || h->pins > 0)
		return;
	h->idle_ms = clock_ms();
	list_push_back(&h->store->idle, &h->idle_link);
	shrink(h->store);
}

static void
home_job_done(struct pool_job *j)
{
	struct home *h = CONTAINER_OF(j, struct home, job);
	struct store *s = h->store;
	enum err e = h->job_result;

	h->job_busy = false;
	s->closing_count -= h->job_close && !h->job_open;
	if (h->kv == NULL && (h->job_open || h->job_close))
		s->open_count--;
	h->refs++;
	if (h->state == HOME_POISONED) {
		/* Meanwhile, or closed because of it: home_step closes what is still open. */
	} else if (e != ERR_OK && (h->job_sync_failed || e == ERR_CORRUPT)) {
		home_poison(h, h->why);
	} else if (e != ERR_OK) {
		h->state = HOME_CLOSED;
		log_event(LVL_ERROR, "store.open", log_z("home", h->path), log_e("res", e),
			log_z("reason", h->why));
		commit_fail_all(h, ERR_TEMP);
		wake(h, e);
	} else if (h->kv != NULL) {
		h->state = HOME_OPEN;
		h->backoff_ms = 0;
		if (h->job_garbage)
			garbage_schedule(h);
		watch_seen(h, h->job_version, h->job_open);
		wake(h, ERR_OK);
	} else {
		h->state = HOME_CLOSED;
	}
	if (!h->job_busy && h->state == HOME_OPEN)
		set_idle(h);
	home_step(h);
	home_unref(h);
}

void
home_poison(struct home *h, const char *why)
{
	/* Several failures of one time count once. */
	if (h->state != HOME_POISONED)
		h->backoff_ms = h->backoff_ms == 0		     ? BACKOFF_MS
				: h->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
								     : h->backoff_ms * 2;
	h->retry_ms = clock_ms() + h->backoff_ms;
	h->state = HOME_POISONED;
	h->why = why;
	h->want_close = h->want_reopen = h->want_sync = false;
	log_event(LVL_ERROR, "store.poison", log_z("home", h->path), log_z("reason", why),
		log_n("retry_ms", h->backoff_ms));
	list_remove(&h->idle_link);
	h->refs++;
	commit_fail_all(h, ERR_TEMP);
	wake(h, ERR_TEMP);
	h->refs--;
}

static bool
wanted(const struct home *h)
{
	return !list_empty(&h->waiters) || !list_empty(&h->queue);
}

void
home_step(struct home *h)
{
	if (h->job_busy || h->batch_busy || h->reads > 0)
		return;
	switch (h->state) {
	case HOME_WORKING:
		return;
	case HOME_CLOSED:
		h->want_close = h->want_reopen = h->want_sync = false;
		if (wanted(h) && !h->store->stopping)
			start_job(h, false, true, false);
		return;
	case HOME_POISONED:
		if (h->kv != NULL) {
			start_job(h, true, false, false);
		} else if (clock_ms() >= h->retry_ms && wanted(h) && !h->store->stopping) {
			start_job(h, false, true, false);
		}
		return;
	case HOME_OPEN:
		break;
	}
	bool close = h->want_close && h->pins == 0 && !wanted(h);

	h->want_close = false;
	if (h->want_reopen || h->want_sync || close) {
		bool reopen = h->want_reopen && !close;
		bool sync = h->want_sync && !close && !reopen;

		h->want_reopen = h->want_sync = false;
		start_job(h, close || reopen, reopen, sync);
		return;
	}
	(void)commit_start(h);
}

static bool
usable(const struct home *h)
{
	return h->state == HOME_OPEN && !h->want_reopen && !h->want_sync;
}

enum err
home_pin(struct home *h, struct home_wait *w)
{
	if (usable(h)) {
		home_pin_again(h);
		return ERR_OK;
	}
	if (h->store->stopping || (h->state == HOME_POISONED && clock_ms() < h->retry_ms))
		return ERR_TEMP;
	w->home = h;
	w->active = true;
	list_push_back(&h->waiters, &w->link);
	home_step(h);
	return ERR_AGAIN;
}

void
home_pin_again(struct home *h)
{
	h->pins++;
	h->want_close = false;
	list_remove(&h->idle_link);
}

void
home_pin_cancel(struct home_wait *w)
{
	if (!w->active)
		return;
	w->active = false;
	list_remove(&w->link);
	(void)home_release(w->home);
}

void
home_unpin(struct home *h)
{
	if (--h->pins > 0)
		return;
	h->refs++;
	set_idle(h);
	home_step(h);
	home_unref(h);
}

enum err
store_read_begin(struct home *h, struct txn **out)
{
	struct kv_txn *kv;

	if (h->state == HOME_POISONED)
		return ERR_TEMP;
	if (!usable(h))
		return ERR_AGAIN;
	enum err e = kv_read_begin(h->kv, &kv);

	if (e == ERR_AGAIN) {
		h->want_reopen = true;
		home_step(h);
		return ERR_AGAIN;
	}
	if (e != ERR_OK) {
		h->why = kv_why(h->kv);
		return e == ERR_CORRUPT ? e : ERR_TEMP;
	}
	struct txn *t = xcalloc(1, sizeof *t);

	t->home = h;
	t->kv = kv;
	h->reads++;
	*out = t;
	return ERR_OK;
}

void
store_read_end(struct txn *t)
{
	struct home *h = t->home;

	kv_read_end(t->kv);
	free(t);
	if (--h->reads == 0)
		home_step(h);
}

struct home *
txn_home(const struct txn *t)
{
	return t->home;
}

uint64_t
txn_version(const struct txn *t)
{
	return kv_version(t->kv);
}

void
store_child_died(struct store *s)
{
	for (struct hmap_node *n = hmap_next(&s->homes, NULL), *next; n != NULL; n = next) {
		struct home *h = CONTAINER_OF(n, struct home, node);

		next = hmap_next(&s->homes, n);
		/* One that is being opened may have synced before the other's last write. */
		if (h->kv == NULL && !h->job_busy)
			continue;
		h->want_sync = true;
		home_step(h);
	}
}

static bool
store_busy(const struct store *s)
{
	if (s->background > 0)
		return true;
	for (struct hmap_node *n = hmap_next(&s->homes, NULL); n != NULL;
		n = hmap_next(&s->homes, n)) {
		const struct home *h = CONTAINER_OF(n, struct home, node);

		if (h->job_busy || h->batch_busy)
			return true;
	}
	return false;
}

static void
fail_closed(struct store *s)
{
	for (struct hmap_node *n = hmap_next(&s->homes, NULL), *next; n != NULL; n = next) {
		struct home *h = CONTAINER_OF(n, struct home, node);

		next = hmap_next(&s->homes, n);
		if (h->state == HOME_OPEN || h->job_busy || h->batch_busy ||
			(list_empty(&h->queue) && list_empty(&h->waiters)))
			continue;
		h->refs++;
		commit_fail_all(h, ERR_TEMP);
		wake(h, ERR_TEMP);
		home_unref(h);
		next = hmap_next(&s->homes, NULL);
	}
}

void
store_free(struct store *s)
{
	if (s == NULL)
		return;
	s->stopping = true;
	claims_tick(s, clock_ms());
	do {
		pool_drain(s->pool);
		fail_closed(s);
	} while (store_busy(s));
	loop_timer_stop(&s->tick);
	for (struct hmap_node *n; (n = hmap_next(&s->homes, NULL)) != NULL;) {
		struct home *h = CONTAINER_OF(n, struct home, node);

		kv_close(h->kv);
		home_free(h);
	}
	watch_fini(s);
	hmap_fini(&s->homes);
	for (size_t i = 0; i < s->defaults_count; i++)
		free(s->defaults[i].name);
	free(s->defaults);
	free(s);
}

struct background {
	struct pool_job job;
	struct store *store;
	void (*fn)(void *arg);
	void *arg;
};

static void
background_run(struct pool_job *j)
{
	struct background *b = CONTAINER_OF(j, struct background, job);

	b->fn(b->arg);
}

static void
background_done(struct pool_job *j)
{
	struct background *b = CONTAINER_OF(j, struct background, job);

	b->store->background--;
	free(b);
}

void
store_background(struct store *s, enum pool_class class, void (*fn)(void *arg), void *arg)
{
	struct background *b = xcalloc(1, sizeof *b);

	b->job =
		(struct pool_job){ .run = background_run, .done = background_done, .class = class };
	b->store = s;
	b->fn = fn;
	b->arg = arg;
	s->background++;
	pool_submit(s->pool, &b->job);
}
