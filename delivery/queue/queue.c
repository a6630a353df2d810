/* The schedule: which message is next, how many are worked on at once, and what happens at start
 * and at the end. Called by main.c. Invariant: a message leaves `messages` only after a durable
 * record says that nothing is left to do, and its record only after its file is gone. */
#include "delivery/queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "delivery/queue/notice.h"

enum {
	TIMER_MAX_MS = 60000,
	CLOCK_STEP_MS = 60000,
	FINISHED_DELAY_MS = 5000,
	FINISHED_BATCH = 4096,
	FINISHED_MAX = 256 * 1024 * 1024,
	LMTP_TIMEOUT_MS = 60000,
	LMTP_DATA_TIMEOUT_MS = 120000,
	LMTP_IDLE_MS = 60000,
	RECORD_MEMORY_MAX = 512 * 1024 * 1024,
};

/* The heap of waiting messages, earliest first. */

static void
heap_set(struct queue *q, uint32_t i, struct message *m)
{
	q->heap[i] = m;
	m->heap_index = i;
}

static void
heap_up(struct queue *q, uint32_t i)
{
	struct message *m = q->heap[i];

	while (i != 0 && q->heap[(i - 1) / 2]->next_ms > m->next_ms) {
		heap_set(q, i, q->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(q, i, m);
}

static void
heap_down(struct queue *q, uint32_t i)
{
	struct message *m = q->heap[i];

	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child >= q->heap_count)
			break;
		if (child + 1 < q->heap_count &&
			q->heap[child + 1]->next_ms < q->heap[child]->next_ms)
			child++;
		if (q->heap[child]->next_ms >= m->next_ms)
			break;
		heap_set(q, i, q->heap[child]);
		i = child;
	}
	heap_set(q, i, m);
}

static void
heap_push(struct queue *q, struct message *m)
{
	if (q->heap_count == q->heap_room) {
		q->heap_room = q->heap_room == 0 ? 64 : q->heap_room * 2;
		q->heap = xrealloc(q->heap, q->heap_room * sizeof(struct message *));
	}
	heap_set(q, q->heap_count++, m);
	heap_up(q, m->heap_index);
}

static struct message *
heap_remove(struct queue *q, uint32_t i)
{
	struct message *m = q->heap[i];

	q->heap_count--;
	if (q->heap_count != i) {
		heap_set(q, i, q->heap[q->heap_count]);
		heap_up(q, i);
		heap_down(q, i);
	}
	return m;
}

/* The schedule. */

static void
make_ready(struct queue *q, struct message *m)
{
	bool called = hop_called(&m->waits, NULL);

	m->state = MESSAGE_READY;
	if (called && m->hurried) {
		m->urgent = true;
		m->hurried = false;
	}
	list_push_back(!m->recorded || called ? &q->fresh : &q->ready, &m->link);
	loop_task_queue(&q->task);
}

static void
watch_heap(struct queue *q)
{
	int64_t wait;

	if (q->heap_count == 0) {
		loop_timer_stop(&q->timer);
		return;
	}
	wait = q->heap[0]->next_ms - clock_wall_ms();
	if (wait < 1)
		wait = 1;
	loop_timer_start(&q->timer, wait > TIMER_MAX_MS ? TIMER_MAX_MS : wait);
}

int64_t
queue_latest_ms(const struct queue *q)
{
	const struct queue_options *o = &q->o;

	return clock_wall_ms() +
	       2 * (o->retry_max_ms > o->retry_min_ms ? o->retry_max_ms : o->retry_min_ms);
}

/* The wall clock was set back: by it nothing is due for a long time. */
static bool
clock_went_back(struct queue *q)
{
	int64_t before = q->clock_ahead_ms;

	q->clock_ahead_ms = clock_wall_ms() - clock_ms();
	if (q->clock_ahead_ms >= before - CLOCK_STEP_MS)
		return false;
	log_event(LVL_WARN, "queue.clock", log_n("back_ms", before - q->clock_ahead_ms),
		log_n("messages", (int64_t)q->heap_count));
	return true;
}

static void
on_timer(struct loop_timer *t)
{
	struct queue *q = t->arg;
	int64_t now = clock_wall_ms();
	bool all = clock_went_back(q);

	/* Each attempt finds out what of its message is due. */
	while (q->heap_count != 0 && (all || q->heap[0]->next_ms <= now))
		make_ready(q, heap_remove(q, 0));
	watch_heap(q);
}

/* Attempts at once: each connection's one, and others that expand or wait for the disk. */
static unsigned
attempts_max(const struct queue *q)
{
	return q->o.concurrency * 4 + 16;
}

static struct message *
next_ready(struct queue *q)
{
	struct list *first = &q->fresh, *second = &q->ready;

	if (++q->turn % 4 == 0) {
		first = &q->ready;
		second = &q->fresh;
	}
	if (list_empty(first))
		first = second;
	return list_empty(first) ? NULL : CONTAINER_OF(first->next, struct message, link);
}

static void
start_ready(struct loop_task *t)
{
	struct queue *q = t->arg;

	for (unsigned i = 0; i < 32; i++) {
		struct message *m;
		if (q->stopping || q->attempts_count >= attempts_max(q))
			return;
		m = next_ready(q);
		if (m == NULL)
			return;
		list_remove(&m->link);
		m->state = MESSAGE_ACTIVE;
		q->attempts_count++;
		attempt_start(q, m);
	}
	loop_task_queue(&q->task);
}

static void
check_stopped(struct queue *q)
{
	void (*fn)(void *) = q->on_stopped;

	if (!q->stopping || q->attempts_count + q->away_count != 0 || state_busy(q->state) != 0 ||
		fn == NULL)
		return;
	q->on_stopped = NULL;
	fn(q->on_stopped_arg);
}

void
queue_attempt_away(struct queue *q)
{
	q->attempts_count--;
	q->away_count++;
	loop_task_queue(&q->task);
}

void
queue_attempt_over(struct queue *q, bool away)
{
	if (away)
		q->away_count--;
	else
		q->attempts_count--;
	loop_task_queue(&q->task);
	check_stopped(q);
}

struct message *
queue_add(struct queue *q, struct str id, bool recorded, int64_t next_ms)
{
	struct message *m;

	if (id.n != SPOOL_NAME_LEN || hmap_get(&q->messages, id) != NULL)
		return NULL;
	m = xcalloc(1, sizeof(*m));
	memcpy(m->id, id.p, id.n);
	m->recorded = recorded;
	hop_waits_init(&m->waits);
	hmap_put(&q->messages, &m->node, str_n(m->id, id.n));
	queue_reschedule(q, m, next_ms);
	return m;
}

void
queue_reschedule(struct queue *q, struct message *m, int64_t next_ms)
{
	m->next_ms = next_ms;
	if (m->urgent || next_ms <= clock_wall_ms()) {
		make_ready(q, m);
		return;
	}
	m->state = MESSAGE_WAITING;
	heap_push(q, m);
	if (m->heap_index == 0)
		watch_heap(q);
}

/* Changes by hand. */

enum err
queue_take(struct queue *q, struct message *m)
{
	switch (m->state) {
	case MESSAGE_ACTIVE:
	case MESSAGE_TAKEN:
		return ERR_BUSY;
	case MESSAGE_WAITING:
		(void)heap_remove(q, m->heap_index);
		break;
	case MESSAGE_READY:
		list_remove(&m->link);
		break;
	case MESSAGE_HELD:
		break;
	}
	m->state = MESSAGE_TAKEN;
	/* Its next attempt finds out again where it has to wait. */
	if (hop_waits_drop(&m->waits))
		m->next_ms = 0;
	return ERR_OK;
}

void
queue_give_back(struct queue *q, struct message *m, bool held)
{
	if (held)
		m->state = MESSAGE_HELD;
	else
		queue_reschedule(q, m, m->next_ms);
}

void
queue_hurry(struct queue *q, struct message *m)
{
	m->urgent = m->wake = true;
	queue_reschedule(q, m, 0);
}

size_t
queue_flush(struct queue *q)
{
	size_t n;

	hops_wake_all(q->hops);
	n = q->heap_count;
	LIST_FOREACH (l, &q->ready) {
		CONTAINER_OF(l, struct message, link)->urgent = true;
		n++;
	}
	LIST_FOREACH (l, &q->fresh) {
		CONTAINER_OF(l, struct message, link)->urgent = true;
		n++;
	}
	while (q->heap_count != 0) {
		struct message *m = q->heap[--q->heap_count];
		m->urgent = true;
		m->next_ms = 0;
		make_ready(q, m);
	}
	loop_timer_stop(&q->timer);
	return n;
}

/* Records of finished messages: after the files' removal is on the disk, in one transaction. */

struct finished_job {
	struct pool_job job;
	struct queue *q;
	char *dir;
	struct buf ids;
	bool synced;
};

static void
finished_run(struct pool_job *j)
{
	struct finished_job *f = CONTAINER_OF(j, struct finished_job, job);
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* The spool removes files when it gets to it: nothing may come back without its record. */
	f->synced = fd >= 0;
	for (size_t at = 0; f->synced && at < f->ids.n; at += SPOOL_NAME_LEN) {
		char file[SPOOL_NAME_LEN + 1] = "";
		memcpy(file, str_sub(buf_str(&f->ids), at, SPOOL_NAME_LEN).p, SPOOL_NAME_LEN);
		f->synced = unlinkat(fd, file, 0) == 0 || errno == ENOENT;
	}
	f->synced = f->synced && fsync(fd) == 0;
	if (fd >= 0)
		(void)close(fd);
}

static void
finished_synced(struct pool_job *j)
{
	struct finished_job *f = CONTAINER_OF(j, struct finished_job, job);
	size_t count = f->ids.n / SPOOL_NAME_LEN;
	struct state_write *w = xcalloc(count + 1, sizeof(*w));

	for (size_t i = 0; i < count; i++)
		w[i].id = str_sub(buf_str(&f->ids), i * SPOOL_NAME_LEN, SPOOL_NAME_LEN);
	if (f->synced)
		state_put(f->q->state, w, count, queue_put_done, f->q);
	else
		log_event(LVL_ERROR, "queue.sync", log_z("dir", f->dir), log_z("res", "fail"));
	free(w);
	buf_fini(&f->ids);
	free(f->dir);
	free(f);
}

static void
finished_flush(struct loop_timer *t)
{
	struct queue *q = t->arg;
	struct finished_job *f;
	struct buf dir;

	if (q->finished.n == 0)
		return;
	f = xcalloc(1, sizeof(*f));
	f->q = q;
	f->job = (struct pool_job){
		.run = finished_run, .done = finished_synced, .class = POOL_SYNC
	};
	buf_init(&dir, 4096);
	buf_addf(&dir, "%.*s/slots", STR_FMT(q->o.spool_dir));
	f->dir = str_dup(buf_str(&dir));
	buf_fini(&dir);
	f->ids = q->finished;
	buf_init(&q->finished, FINISHED_MAX);
	pool_submit(q->pool, &f->job);
}

static void
finished_add(struct queue *q, struct str id)
{
	buf_add(&q->finished, id);
	if (q->finished.n >= (size_t)FINISHED_BATCH * SPOOL_NAME_LEN && !q->loading)
		finished_flush(&q->finished_timer);
	else if (!loop_timer_active(&q->finished_timer))
		loop_timer_start(&q->finished_timer, FINISHED_DELAY_MS);
}

void
queue_finish(struct queue *q, struct message *m)
{
	struct str id = str_n(m->id, SPOOL_NAME_LEN);

	(void)hop_waits_drop(&m->waits);
	spool_reuse(q->spool, id);
	finished_add(q, id);
	hmap_remove(&q->messages, &m->node);
	free(m);
}

void
queue_forget(struct queue *q, struct message *m)
{
	(void)hop_waits_drop(&m->waits);
	hmap_remove(&q->messages, &m->node);
	free(m);
}

void
queue_disk_failed(struct queue *q)
{
	log_event(LVL_ERROR, "queue.state", log_s("dir", q->o.spool_dir), log_z("res", "fail"),
		log_z("reason", "queue.mdb cannot be written; leaving"));
	exit(1);
}

void
queue_put_done(void *arg, enum err e)
{
	struct queue *q = arg;

	if (e != ERR_OK)
		queue_disk_failed(q);
	check_stopped(q);
}

/* Next hops. */

/* A place is kept for m: it goes on where it is, before those who have none. */
static void
on_call(void *arg, struct hop_waits *w)
{
	struct queue *q = arg;
	struct message *m = CONTAINER_OF(w, struct message, waits);

	switch (m->state) {
	case MESSAGE_WAITING:
		(void)heap_remove(q, m->heap_index);
		make_ready(q, m);
		break;
	case MESSAGE_READY:
		list_remove(&m->link);
		make_ready(q, m);
		break;
	case MESSAGE_ACTIVE:
		if (m->attempt != NULL)
			attempt_called(m->attempt);
		break;
	case MESSAGE_TAKEN:
	case MESSAGE_HELD:
		break; /* it is leaving its lines */
	}
}

static struct hops_options
hops_options(struct queue *q)
{
	struct hops_options h = { .start = 5,
		.max = 20,
		.jobs_max = 1000,
		.rest_min_ms = 60000,
		.rest_max_ms = 3600000,
		.on_call = on_call,
		.arg = q };
	const struct settings *s = q->o.settings;

	if (s != NULL) {
		h.start = (unsigned)s->outbound.concurrency_start;
		h.max = (unsigned)s->outbound.concurrency_max;
		h.jobs_max = (unsigned)s->outbound.jobs_max;
		h.rest_min_ms = s->outbound.rest_min;
		h.rest_max_ms = s->outbound.rest_max;
	}
	return h;
}

void
queue_set(struct queue *q, const struct queue_options *o)
{
	struct hops_options h;

	q->o.retry_min_ms = o->retry_min_ms;
	q->o.retry_max_ms = o->retry_max_ms;
	q->o.lifetime_ms = o->lifetime_ms;
	q->o.delay_notice_ms = o->delay_notice_ms;
	q->o.bounce_size_max = o->bounce_size_max;
	q->o.expansion_max = o->expansion_max;
	/* Whether there is a relay is settled at start. */
	if (q->relay == NULL)
		return;
	q->o.settings = o->settings;
	router_set(q->router, o->settings);
	h = hops_options(q);
	hops_set(q->hops, &h);
}

/* Start. */

static void
on_message(void *arg, struct str name, bool adopted)
{
	struct queue *q = arg;

	if (adopted)
		log_event(LVL_INFO, "queue.adopt", log_s("qid", name));
	(void)queue_add(q, name, false, 0);
}

static void
load_record(void *arg, struct str id, struct str bytes)
{
	struct queue *q = arg;
	struct arena *a = arena_new(RECORD_MEMORY_MAX);
	struct record r;
	enum err e = record_decode(bytes, a, &r);

	if (e == ERR_OK)
		record_limit_waits(&r, queue_latest_ms(q));
	else
		log_event(LVL_ERROR, "queue.record", log_s("qid", id), log_e("reason", e));
	if (e == ERR_OK && r.done) {
		spool_remove(q->spool, id);
		finished_add(q, id);
	} else {
		struct message *m = queue_add(
			q, id, true, e == ERR_OK ? notice_next_ms(&r, &q->o, clock_wall_ms()) : 0);
		if (m != NULL && e == ERR_OK && r.held && queue_take(q, m) == ERR_OK)
			queue_give_back(q, m, true);
	}
	arena_free(a);
}

static bool
is_finished(const struct queue *q, struct str id)
{
	for (size_t at = 0; at < q->finished.n; at += SPOOL_NAME_LEN) {
		if (str_eq(str_sub(buf_str(&q->finished), at, SPOOL_NAME_LEN), id))
			return true;
	}
	return false;
}

/* A slot that queue.mdb does not know: never used, torn, or accepted and not seen by us. Reports
 * that we make ourselves count only with their record. */
static void
load_slot(void *arg, struct str name)
{
	struct queue *q = arg;
	struct spool_message *sm = NULL;

	if (hmap_get(&q->messages, name) != NULL || is_finished(q, name))
		return;
	if (spool_adopt(q->spool, name) != ERR_OK)
		return;
	if (spool_open(q->spool, name, &sm) == ERR_OK) {
		bool ours = (sm->envelope.flags & SPOOL_REPORT) != 0;
		spool_message_close(sm);
		if (ours) {
			spool_remove(q->spool, name);
			return;
		}
	}
	on_message(q, name, true);
}

static const struct spool_server_ops spool_ops = { .on_message = on_message };

static enum err
open_spool(struct queue *q, const char **err_out)
{
	struct buf dir;
	struct spool_server_options so = { .ahead = q->o.slots_ahead,
		.reserve_bytes = q->o.reserve_bytes };
	enum err e;

	buf_init(&dir, 4096);
	buf_add(&dir, q->o.spool_dir);
	so.dir = buf_z(&dir);
	e = spool_server_new(q->loop, q->pool, &so, &spool_ops, q, &q->spool, err_out);
	if (e == ERR_OK) {
		buf_addz(&dir, "/queue.mdb");
		e = state_open(q->pool, buf_z(&dir), q->o.map_bytes, &q->state, err_out);
	}
	buf_fini(&dir);
	return e;
}

static enum err
load_all(struct queue *q, const char **err_out)
{
	int64_t begin = clock_ms();
	enum err e;

	q->loading = true;
	e = state_each(q->state, load_record, q);
	*err_out = "queue.mdb cannot be read";
	if (e != ERR_OK)
		return e;
	e = spool_scan(q->spool, load_slot, q);
	q->loading = false;
	*err_out = "the spool's folder cannot be read";
	if (e == ERR_OK)
		log_event(LVL_INFO, "queue.start", log_n("messages", (int64_t)q->messages.n),
			log_n("ms", clock_ms() - begin));
	return e;
}

enum err
queue_open(struct loop *l, struct pool *p, const struct queue_options *o, struct queue **out,
	const char **err_out)
{
	struct queue *q = xcalloc(1, sizeof(*q));
	const struct clients_options co = { .address = o->lmtp_address,
		.hostname = o->hostname,
		.connections_max = o->concurrency,
		.command_timeout_ms = LMTP_TIMEOUT_MS,
		.data_timeout_ms = LMTP_DATA_TIMEOUT_MS,
		.idle_ms = LMTP_IDLE_MS };
	struct hops_options h;
	enum err e;

	q->loop = l;
	q->pool = p;
	q->o = *o;
	q->clock_ahead_ms = clock_wall_ms() - clock_ms();
	list_init(&q->fresh);
	list_init(&q->ready);
	list_init(&q->attempts);
	hmap_init(&q->messages);
	buf_init(&q->finished, FINISHED_MAX);
	loop_timer_init(&q->timer, l, on_timer, q);
	loop_timer_init(&q->finished_timer, l, finished_flush, q);
	loop_task_init(&q->task, l, start_ready, q);
	q->clients = clients_new(l, &co);
	q->domains = domains_new(l);
	q->expander = expander_new(l, o->directory_address, o->default_domain, q->domains);
	if (o->relay_path != NULL)
		q->relay = relay_client_new(l, o->relay_path);
	q->router = router_new(l, o->directory_address, o->hostname, o->settings, q->domains);
	h = hops_options(q);
	q->hops = hops_new(l, &h);
	e = open_spool(q, err_out);
	if (e == ERR_OK)
		e = load_all(q, err_out);
	*out = q;
	return e;
}

void
queue_stop(struct queue *q, void (*fn)(void *arg), void *arg)
{
	q->stopping = true;
	q->on_stopped = fn;
	q->on_stopped_arg = arg;
	loop_timer_stop(&q->timer);
	clients_close_idle(q->clients);
	attempts_stop(q);
	check_stopped(q);
}

void
queue_close(struct queue *q)
{
	struct hmap_node *n;

	clients_free(q->clients);
	expander_free(q->expander);
	router_free(q->router);
	domains_free(q->domains);
	relay_client_free(q->relay);
	loop_timer_stop(&q->timer);
	loop_timer_stop(&q->finished_timer);
	if (q->spool != NULL)
		spool_server_free(q->spool);
	pool_free(q->pool);
	if (q->state != NULL)
		state_close(q->state);
	loop_task_cancel(&q->task);
	/* A place that one leaves calls another: nothing may follow from that any more. */
	for (n = hmap_next(&q->messages, NULL); n != NULL; n = hmap_next(&q->messages, n))
		CONTAINER_OF(n, struct message, node)->state = MESSAGE_HELD;
	n = hmap_next(&q->messages, NULL);
	while (n != NULL) {
		struct message *m = CONTAINER_OF(n, struct message, node);
		n = hmap_next(&q->messages, n);
		(void)hop_waits_drop(&m->waits);
		free(m);
	}
	hmap_fini(&q->messages);
	hops_free(q->hops);
	buf_fini(&q->finished);
	free(q->heap);
	free(q);
}
