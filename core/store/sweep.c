/* The daily walk over all homes: opens each for a moment, so that garbage of processes that died is
 * scheduled (home.c does that at every open), and unlinks what crashed writers left in tmp/.
 * Started by one worker of lmtp. Slow on purpose: one home at a time. */
#include "core/store/sweep.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/blob.h"
#include "core/store/internal.h"

enum {
	DAY_MS = 24 * 3600 * 1000,
	FIRST_MS = 3600 * 1000,
	PAUSE_MS = 50,
	DEPTH_MAX = 6,
	STALE_SEC = 3600,
	LIST_BYTES_MAX = 256 * 1024 * 1024,
};

struct store_sweep {
	struct store *store;
	char *root;
	struct loop_timer timer;
	struct pool_job job;
	struct home_wait wait;
	struct buf homes; /* NUL-ended paths that are left */
	struct home *home;
	bool busy, stopping;
	uint64_t visited;
};

/* On the pool: every folder below path that holds an index. */
static void
list_homes(struct store_sweep *s, const char *path, int depth)
{
	char below[BLOB_PATH_MAX];
	struct stat st;
	int n = snprintf(below, sizeof below, "%s/index.mdb", path);

	if (n < 0 || (size_t)n >= sizeof below)
		return;
	if (stat(below, &st) == 0) {
		buf_add(&s->homes, str_n(path, strlen(path) + 1));
		return;
	}
	DIR *d = depth < DEPTH_MAX ? opendir(path) : NULL;

	if (d == NULL)
		return;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		n = snprintf(below, sizeof below, "%s/%s", path, e->d_name);
		if (n > 0 && (size_t)n < sizeof below && lstat(below, &st) == 0 &&
			S_ISDIR(st.st_mode))
			list_homes(s, below, depth + 1);
	}
	closedir(d);
}

static void
list_run(struct pool_job *j)
{
	struct store_sweep *s = CONTAINER_OF(j, struct store_sweep, job);

	list_homes(s, s->root, 0);
}

static enum err
drop_stale(void *arg, uint64_t id, const char *path, uint64_t size, int64_t ctime_sec)
{
	(void)arg;
	(void)size;
	/* Files in tmp/ come first and have no id; messages are the check's. */
	if (id != 0)
		return ERR_EOF;
	if (time(NULL) - ctime_sec > STALE_SEC)
		(void)unlink(path);
	return ERR_OK;
}

static void
tidy_run(struct pool_job *j)
{
	struct store_sweep *s = CONTAINER_OF(j, struct store_sweep, job);
	enum err e = blob_walk(s->home->path, drop_stale, NULL);

	(void)e; /* what could not be read is tried again tomorrow */
}

static void
sweep_free(struct store_sweep *s)
{
	buf_fini(&s->homes);
	free(s->root);
	free(s);
}

static void
next_in(struct store_sweep *s, int64_t ms)
{
	s->busy = false;
	if (s->stopping)
		sweep_free(s);
	else
		loop_timer_start(&s->timer, ms);
}

static void
tidy_done(struct pool_job *j)
{
	struct store_sweep *s = CONTAINER_OF(j, struct store_sweep, job);

	home_unpin(s->home);
	home_unref(s->home);
	s->home = NULL;
	s->visited++;
	next_in(s, PAUSE_MS);
}

static void
submit(struct store_sweep *s, void (*run)(struct pool_job *), void (*done)(struct pool_job *))
{
	s->busy = true;
	s->job = (struct pool_job){ .run = run, .done = done, .class = POOL_SYNC };
	pool_submit(s->store->pool, &s->job);
}

static void
on_pin(struct home_wait *w, enum err e)
{
	struct store_sweep *s = w->arg;

	if (e == ERR_OK) {
		submit(s, tidy_run, tidy_done);
		return;
	}
	home_unref(s->home);
	s->home = NULL;
	next_in(s, PAUSE_MS);
}

static void
list_done(struct pool_job *j)
{
	struct store_sweep *s = CONTAINER_OF(j, struct store_sweep, job);

	s->visited = 0;
	next_in(s, s->homes.n > 0 ? PAUSE_MS : DAY_MS);
}

static void
visit(struct store_sweep *s)
{
	struct str path = str_of(buf_str(&s->homes).p);
	enum err e = home_get(s->store, path, &s->home);

	buf_consume(&s->homes, path.n + 1);
	if (e != ERR_OK) {
		next_in(s, PAUSE_MS);
		return;
	}
	s->wait.fn = on_pin;
	s->wait.arg = s;
	s->busy = true;
	e = home_pin(s->home, &s->wait);
	/* Opening looks for garbage; in one that is open another process may have left some. */
	if (e == ERR_OK)
		garbage_schedule(s->home);
	if (e != ERR_AGAIN)
		on_pin(&s->wait, e);
}

static void
on_timer(struct loop_timer *t)
{
	struct store_sweep *s = t->arg;

	if (s->homes.n > 0) {
		visit(s);
		return;
	}
	if (s->visited > 0) {
		log_event(LVL_INFO, "store.sweep", log_n("homes", (int64_t)s->visited));
		s->visited = 0;
		loop_timer_start(&s->timer, DAY_MS);
		return;
	}
	buf_reset(&s->homes);
	submit(s, list_run, list_done);
}

struct store_sweep *
store_sweep_start(struct store *store, struct str root, int64_t first_ms)
{
	struct store_sweep *s = xcalloc(1, sizeof *s);

	s->store = store;
	s->root = str_dup(root);
	buf_init(&s->homes, LIST_BYTES_MAX);
	loop_timer_init(&s->timer, store->loop, on_timer, s);
	loop_timer_start(&s->timer, first_ms > 0 ? first_ms : FIRST_MS);
	return s;
}

void
store_sweep_stop(struct store_sweep *s)
{
	if (s == NULL)
		return;
	loop_timer_stop(&s->timer);
	if (s->wait.active) {
		home_pin_cancel(&s->wait);
		home_unref(s->home);
		s->busy = false;
	}
	s->stopping = true;
	if (!s->busy)
		sweep_free(s);
}
