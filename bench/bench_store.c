/* The store alone: deliveries of 8 KiB to 100 users with 1, 10 and 50 in flight, one message to 100
 * recipients, and a mailbox of 100,000 messages. Rates, latencies, CPU and flushes of the block
 * device a message (all processes' flushes: keep the machine quiet). bench_store DIR [SECONDS] DIR
 * lies on the file system to measure; a folder is made below it */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/deliver.h"
#include "core/store/update.h"
#include "core/store/view.h"

enum { USERS = 100, BODY_BYTES = 8192, SAMPLES_MAX = 1000000, LARGE = 131072, MOVED = 10000 };

struct bench {
	struct loop *loop;
	struct pool *pool;
	struct store *store;
	struct home *home[USERS];
	char dir[512];
	dev_t dev;
	char msg[BODY_BYTES];
	size_t rcpts, started, done;
	int64_t until_us;
	unsigned flying;
	int64_t *sample;
	size_t samples;
	struct uidset moved;
};

static void
die(const char *what)
{
	(void)fprintf(stderr, "bench_store: %s\n", what);
	exit(1);
}

static void
must(enum err e, const char *what)
{
	if (e != ERR_OK)
		die(what);
}

/* Flush requests that the device of DIR has finished. */
static uint64_t
flushes(const struct bench *b)
{
	char path[64], line[512] = "";
	uint64_t n = 0;

	(void)snprintf(
		path, sizeof path, "/sys/dev/block/%u:%u/stat", major(b->dev), minor(b->dev));
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return 0;
	struct str rest = str_of(fgets(line, sizeof line, f) != NULL ? line : "");

	(void)fclose(f);
	for (int field = 0; rest.n > 0; field++) {
		struct str word;

		rest = str_trim(rest);
		(void)str_cut(rest, ' ', &word, &rest);
		if (field == 15 && str_to_u64(word, UINT64_MAX, &n) != ERR_OK)
			return 0;
	}
	return n;
}

static int64_t
cpu_us(void)
{
	struct rusage r;

	(void)getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec +
	       r.ru_stime.tv_usec;
}

struct flight {
	struct bench *b;
	int64_t begun_us;
};

static void
take_off(struct flight *fl);

static void
on_deliver(void *arg, size_t index, enum err e, size_t left)
{
	struct flight *fl = arg;
	struct bench *b = fl->b;

	(void)index;
	must(e, "a delivery failed");
	b->done++;
	if (left > 0)
		return;
	if (b->samples < SAMPLES_MAX)
		b->sample[b->samples++] = clock_us() - fl->begun_us;
	b->flying--;
	if (clock_us() < b->until_us)
		take_off(fl);
	else if (b->flying == 0)
		loop_stop(b->loop);
}

static void
take_off(struct flight *fl)
{
	struct bench *b = fl->b;
	struct deliver_rcpt rcpt[USERS];
	char id[USERS][48];
	struct body *body = body_new(b->home[b->started % USERS], BODY_BYTES);

	fl->begun_us = clock_us();
	must(body_write(body, str_n(b->msg, sizeof b->msg)), "a body was refused");
	for (size_t i = 0; i < b->rcpts; i++) {
		(void)snprintf(id[i], sizeof id[i], "%016llx-%zu",
			(unsigned long long)clock_wall_ms(), b->started);
		rcpt[i] = (struct deliver_rcpt){ .home = b->home[b->started++ % USERS],
			.delivery_id = str_of(id[i]) };
	}
	b->flying++;
	(void)store_deliver(b->store,
		&(struct deliver_batch){ .body = body, .rcpt = rcpt, .count = b->rcpts },
		on_deliver, fl);
}

static int
by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void
deliveries(struct bench *b, unsigned in_flight, size_t rcpts, int64_t ms)
{
	struct flight *fl = xcalloc(in_flight, sizeof *fl);

	b->rcpts = rcpts;
	b->done = b->samples = 0;
	int64_t begun = clock_us(), cpu = cpu_us();
	uint64_t flushed = flushes(b);

	b->until_us = begun + ms * 1000;
	for (unsigned i = 0; i < in_flight; i++) {
		fl[i].b = b;
		take_off(&fl[i]);
	}
	loop_run(b->loop);
	double sec = (double)(clock_us() - begun) / 1e6, n = (double)b->done;

	qsort(b->sample, b->samples, sizeof *b->sample, by_value);
	(void)printf("%3u in flight, %3zu recipients  %8.0f /s  p50 %7.2f ms  p99 %7.2f ms  "
		     "%5.2f flushes  %6.1f us CPU\n",
		in_flight, rcpts, n / sec, (double)b->sample[b->samples / 2] / 1e3,
		(double)b->sample[b->samples * 99 / 100] / 1e3, (double)(flushes(b) - flushed) / n,
		(double)(cpu_us() - cpu) / n);
	(void)fflush(stdout);
	free(fl);
}

static void
on_copy(void *arg, enum err e, const struct copy_result *r)
{
	struct bench *b = arg;

	(void)r;
	must(e, "a copy failed");
	loop_stop(b->loop);
}

static void
on_flags(void *arg, enum err e, const struct flags_result *r)
{
	struct bench *b = arg;

	(void)r;
	must(e, "flags failed");
	loop_stop(b->loop);
}

static void
on_expunge(void *arg, enum err e, const struct expunge_result *r)
{
	struct bench *b = arg;

	(void)r;
	must(e, "an expunge failed");
	loop_stop(b->loop);
}

static int64_t cpu_then;

static void
report(const char *what, int64_t begun_us)
{
	int64_t now = cpu_us();

	(void)printf("%-44s %8.2f ms  %8.2f ms CPU\n", what, (double)(clock_us() - begun_us) / 1e3,
		(double)(now - cpu_then) / 1e3);
	cpu_then = now;
	(void)fflush(stdout);
}

static void
on_pin(struct home_wait *w, enum err e)
{
	struct bench *b = w->arg;

	must(e, "a home cannot be opened");
	loop_stop(b->loop);
}

static struct txn *
read_step(struct bench *b)
{
	struct home_wait w = { .fn = on_pin, .arg = b };
	struct txn *t;

	for (;;) {
		enum err e = home_pin(b->home[0], &w);

		if (e == ERR_AGAIN)
			loop_run(b->loop);
		else
			must(e, "a home cannot be opened");
		e = store_read_begin(b->home[0], &t);
		if (e == ERR_OK)
			return t;
		home_unpin(b->home[0]);
	}
}

static void
end_step(struct txn *t)
{
	struct home *h = txn_home(t);

	store_read_end(t);
	home_unpin(h);
}

static void
look_at(struct bench *b)
{
	struct mailbox_info info;
	struct entry_scan s;
	struct entry entry;
	struct view *v;
	size_t n = 0;
	struct txn *t = read_step(b);
	int64_t begun = clock_us();

	must(mailbox_find(t, STR("INBOX"), &info), "no INBOX");
	must(view_open(t, info.id, &v), "no view");
	report("open a view", begun);
	begun = clock_us();
	must(entry_scan_begin(&s, t, info.id, 1), "no scan");
	while (entry_scan_next(&s, &entry) == ERR_OK)
		n += entry.uid != 0;
	entry_scan_end(&s);
	report("scan its entries", begun);
	begun = clock_us();
	for (uint32_t uid = 0, seq; view_next(v, uid + 1, &uid, &seq);)
		n += seq;
	report("walk the view", begun);
	if (n < info.messages)
		die("the scan is short");
	view_unref(v);
	end_step(t);
}

static void
large_mailbox(struct bench *b)
{
	struct uidset all = { 0 }, some = { 0 };
	struct flags_args seen = { .mailbox = 1, .uids = &all, .flags = FLAG_SEEN };
	struct copy_args double_up = { .from = 1, .uids = &all, .to = STR("INBOX") };
	int64_t begun = clock_us();

	uidset_add(&all, 1, UINT32_MAX);
	for (uint32_t n = (uint32_t)1; n < LARGE; n *= 2) {
		struct mailbox_info info;
		struct txn *t = read_step(b);

		must(mailbox_find(t, STR("INBOX"), &info), "no INBOX");
		end_step(t);
		if (info.messages >= 100000)
			break;
		(void)store_copy(b->home[0], &double_up, on_copy, b);
		loop_run(b->loop);
	}
	report("fill a mailbox with 100,000 or more by COPY", begun);
	look_at(b);
	begun = clock_us();
	(void)store_flags(b->home[0], &seen, on_flags, b);
	loop_run(b->loop);
	report("STORE 1:* +FLAGS (\\Seen)", begun);
	uidset_add(&some, 1, MOVED);
	begun = clock_us();
	(void)store_move(b->home[0],
		&(struct copy_args){ .from = 1, .uids = &some, .to = STR("Trash") }, on_copy, b);
	loop_run(b->loop);
	report("MOVE of 10,000", begun);
	uidset_reset(&some);
	uidset_add(&some, MOVED + 1, 2 * MOVED);
	seen.uids = &some;
	seen.flags = FLAG_DELETED;
	(void)store_flags(b->home[0], &seen, on_flags, b);
	loop_run(b->loop);
	begun = clock_us();
	(void)store_expunge(b->home[0], 1, NULL, on_expunge, b);
	loop_run(b->loop);
	report("EXPUNGE of 10,000", begun);
	uidset_fini(&all);
	uidset_fini(&some);
}

static void
open_bench(struct bench *b, const char *where, const struct settings *set)
{
	struct stat st;
	char path[600];

	(void)snprintf(b->dir, sizeof b->dir, "%s/bench-store-XXXXXX", where);
	if (mkdtemp(b->dir) == NULL || stat(b->dir, &st) != 0)
		die("the folder cannot be made");
	b->dev = st.st_dev;
	b->loop = loop_new();
	b->pool = pool_new(b->loop, (unsigned)set->store.pool_threads);
	b->store = store_new(b->loop, b->pool, set);
	b->sample = xcalloc(SAMPLES_MAX, sizeof *b->sample);
	for (int i = 0; i < USERS; i++) {
		(void)snprintf(path, sizeof path, "%s/user%d", b->dir, i);
		must(home_get(b->store, str_of(path), &b->home[i]), "no home");
	}
	int n = snprintf(b->msg, sizeof b->msg,
		"Return-Path: <sender@example.org>\r\nReceived: from client.example.org "
		"([192.0.2.1])\r\n\tby mx.example.org with ESMTPS id 12345;\r\n\tSat, 21 Nov 2026 "
		"08:00:00 +0000\r\nFrom: \"A Sender\" <sender@example.org>\r\nTo: Users "
		"<users@example.org>\r\nSubject: A message of eight KiB\r\nDate: Sat, 21 Nov 2026 "
		"08:00:00 +0000\r\nMessage-ID: <1234567890@example.org>\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n\r\n");

	for (size_t i = (size_t)n; i < sizeof b->msg; i++)
		b->msg[i] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : (char)('a' + i % 26);
}

static void
close_bench(struct bench *b)
{
	for (int i = 0; i < USERS; i++)
		home_unref(b->home[i]);
	store_free(b->store);
	pool_free(b->pool);
	loop_free(b->loop);
	free(b->sample);
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", b->dir, (char *)NULL);
		_exit(127);
	}
	(void)waitpid(pid, NULL, 0);
}

int
main(int argc, char **argv)
{
	static const unsigned in_flight[] = { 1, 10, 50 };
	struct bench b = { .loop = NULL };
	uint32_t sec = 5;

	if (argc < 2 || (argc > 2 && str_to_u32(str_of(argv[2]), 3600, &sec) != ERR_OK))
		die("usage: bench_store DIR [SECONDS]");
	log_set_level(LVL_WARN);
	struct settings *set = settings_defaults();

	open_bench(&b, argv[1], set);
	deliveries(&b, 50, 1, 1000); /* every home is made and open */
	(void)printf("---- warm\n");
	for (size_t i = 0; i < ARRAY_LEN(in_flight); i++)
		deliveries(&b, in_flight[i], 1, (int64_t)sec * 1000);
	deliveries(&b, 1, USERS, (int64_t)sec * 1000);
	large_mailbox(&b);
	close_bench(&b);
	settings_free(set);
	return 0;
}
