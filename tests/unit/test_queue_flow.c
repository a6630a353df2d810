/* The queue as a whole, on a spool of its own, with a directory and an LMTP server of the test's:
 * expansion, delivery, retries, reports, restarts, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/event/listener.h"
#include "core/event/stream.h"
#include "delivery/queue/queue.h"

enum { DELIVERIES = 256, RULES = 16 };

struct delivery {
	char rcpt[100], id[DELIVERY_ID_SIZE + 1], from[100];
	bool ok;
	char *text;
};

struct conn {
	struct list link;
	struct stream *stream;
	bool data;
	char from[100];
	char rcpts[64][100], ids[64][DELIVERY_ID_SIZE + 1];
	unsigned rcpts_count;
	struct buf text;
};

static struct {
	char dir[64], lmtp[100], map[100];
	struct loop *loop;
	struct queue *queue;
	struct listener *lmtp_listener, *map_listener;
	struct list conns;
	struct delivery deliveries[DELIVERIES];
	unsigned deliveries_count;
	/* What a recipient is answered after the data, for how many times (-1: always). */
	struct rule {
		const char *rcpt, *reply;
		int times;
	} rules[RULES];
	unsigned rcpts_max; /* in one transaction */
	bool map_down;
	bool stopped;
} T;

/* The directory. */

static const char *
directory_answer(struct str request)
{
	static const struct {
		const char *key, *value;
	} table[] = {
		{ "domain example.org", "OK example.org" },
		{ "alias-large all@example.org",
			"OK anna@example.org, ben@example.org,ANNA@example.org,cleo@example.org" },
		{ "alias-large staff@example.org", "OK ben@example.org,dora@example.org" },
		{ "alias-large out@example.org", "OK anna@example.org,friend@elsewhere.example" },
		{ "alias-large loop@example.org", "PERM nested too deep" },
		{ "alias-large empty@example.org", "OK ," },
	};
	if (T.map_down)
		return "TEMP directory away";
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (str_eq(request, str_of(table[i].key)))
			return table[i].value;
	}
	return "NOTFOUND ";
}

static void
conn_free(struct conn *c)
{
	stream_free(c->stream);
	list_remove(&c->link);
	buf_fini(&c->text);
	free(c);
}

static void
conn_end(struct stream *s, void *arg, enum err why)
{
	(void)s;
	(void)why;
	conn_free(arg);
}

static void
map_read(struct stream *s, void *arg)
{
	struct buf *in = stream_in(s);
	struct str have, rest;
	uint32_t n;

	(void)arg;
	for (;;) {
		have = buf_str(in);
		struct str len;
		const char *reply;
		if (!str_cut(have, ':', &len, &rest) || str_to_u32(len, 100000, &n) != ERR_OK ||
			rest.n < n + 1)
			return;
		reply = directory_answer(str_sub(rest, 0, n));
		stream_writef(s, "%zu:%s,", strlen(reply), reply);
		buf_consume(in, len.n + 1 + n + 1);
	}
}

/* The LMTP server. */

static const char *
result_of(const char *rcpt)
{
	for (size_t i = 0; i < RULES; i++) {
		struct rule *r = &T.rules[i];
		if (r->rcpt == NULL || r->times == 0 || strcmp(r->rcpt, rcpt) != 0)
			continue;
		if (r->times > 0)
			r->times--;
		return r->reply;
	}
	return "250 2.0.0 Delivered";
}

static void
message_end(struct conn *c)
{
	buf_addc(&c->text, '\0');
	for (unsigned i = 0; i < c->rcpts_count; i++) {
		struct delivery *d = &T.deliveries[T.deliveries_count++ % DELIVERIES];
		const char *reply = result_of(c->rcpts[i]);
		free(d->text);
		(void)snprintf(d->rcpt, sizeof(d->rcpt), "%s", c->rcpts[i]);
		(void)snprintf(d->from, sizeof(d->from), "%s", c->from);
		(void)snprintf(d->id, sizeof(d->id), "%s", c->ids[i]);
		d->text = xstrdup(buf_str(&c->text).p);
		if (strcmp(reply, "close") == 0) {
			/* Delivered, and the reply is lost. */
			d->ok = true;
			stream_close(c->stream, 1);
			list_remove(&c->link);
			buf_fini(&c->text);
			free(c);
			return;
		}
		d->ok = reply[0] == '2';
		stream_writef(c->stream, "%s\r\n", reply);
	}
	c->rcpts_count = 0;
	c->data = false;
	buf_reset(&c->text);
}

static struct str
between(struct str line, char from, char to)
{
	struct str a, b, c;

	(void)str_cut(line, from, &a, &b);
	(void)str_cut(b, to, &c, &a);
	return c;
}

static void
lmtp_line(struct conn *c, struct str line)
{
	if (str_starts(line, STR("LHLO"))) {
		stream_writef(c->stream, "250-x\r\n250-XDELIVERYID\r\n250 SIZE\r\n");
		return;
	}
	if (str_starts(line, STR("MAIL")))
		(void)snprintf(c->from, sizeof(c->from), "%.*s", STR_FMT(between(line, '<', '>')));
	if (str_starts(line, STR("RCPT")) && c->rcpts_count == T.rcpts_max) {
		stream_write(c->stream, STR("452 4.5.3 Too many\r\n"));
		return;
	}
	if (str_starts(line, STR("RCPT"))) {
		struct str id =
			str_trim(between(str_from(line, str_find(line, STR("XDELIV"))), '=', '\r'));
		(void)snprintf(
			c->rcpts[c->rcpts_count], 100, "%.*s", STR_FMT(between(line, '<', '>')));
		(void)snprintf(c->ids[c->rcpts_count++], DELIVERY_ID_SIZE + 1, "%.*s", STR_FMT(id));
	}
	c->data = str_starts(line, STR("DATA"));
	stream_write(c->stream, c->data ? STR("354 go\r\n") : STR("250 OK\r\n"));
}

static void
lmtp_read(struct stream *s, void *arg)
{
	struct conn *c = arg;
	struct buf *in = stream_in(s);

	while (in->n != 0) {
		size_t lf = str_chr(buf_str(in), '\n');
		char line[2048];
		struct str l = str_n(line, lf + 1);
		if (lf == in->n)
			return;
		memcpy(line, buf_str(in).p, lf + 1);
		buf_consume(in, lf + 1);
		if (c->data && str_eq(l, STR(".\r\n"))) {
			message_end(c);
			if (list_empty(&T.conns))
				return; /* it may be gone */
		} else if (c->data) {
			buf_add(&c->text, l.p[0] == '.' ? str_from(l, 1) : l);
		} else {
			lmtp_line(c, l);
		}
	}
}

static const struct stream_ops map_ops = { .on_read = map_read, .on_end = conn_end };
static const struct stream_ops lmtp_ops = { .on_read = lmtp_read, .on_end = conn_end };

static void
accept_conn(int fd, const struct stream_ops *ops)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	const struct stream_options o = { .in_max_bytes = 1024 * 1024 };

	list_push_back(&T.conns, &c->link);
	buf_init(&c->text, 1024 * 1024);
	c->stream = stream_new(T.loop, fd, ops, c, &o);
	if (ops == &lmtp_ops)
		stream_write(c->stream, STR("220 test\r\n"));
}

static void
accept_map(void *arg, int fd, const struct peer *p)
{
	(void)arg;
	(void)p;
	accept_conn(fd, &map_ops);
}

static void
accept_lmtp(void *arg, int fd, const struct peer *p)
{
	(void)arg;
	(void)p;
	accept_conn(fd, &lmtp_ops);
}

static struct listener *
serve(const char *path, listener_fn fn)
{
	struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *text = "";
	int fd = -1;

	assert_int_equal(listen_bind(str_of(path), &o, &fd, &text), ERR_OK);
	return listener_new(T.loop, fd, fn, NULL);
}

static void
lmtp_stop(void)
{
	listener_free(T.lmtp_listener);
	T.lmtp_listener = NULL;
	(void)unlink(T.lmtp + 5);
}

/* The queue. */

static void
turn_end(struct loop_timer *t)
{
	loop_stop(t->arg);
}

/* Runs the loop until cond, 10 s at most. */
static void
until(bool (*cond)(void))
{
	struct loop_timer t;
	int64_t end = clock_ms() + 10000;

	loop_timer_init(&t, T.loop, turn_end, T.loop);
	while (!cond()) {
		assert_true(clock_ms() < end);
		loop_timer_start(&t, 5);
		loop_run(T.loop);
	}
}

static void
turn(int64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, T.loop, turn_end, T.loop);
	loop_timer_start(&t, ms);
	loop_run(T.loop);
}

static bool
queue_empty(void)
{
	return T.queue->messages.n == 0 && state_busy(T.queue->state) == 0;
}

static void
queue_begin(int64_t lifetime_ms)
{
	struct queue_options o = { .spool_dir = str_of(T.dir),
		.lmtp_address = str_of(T.lmtp),
		.directory_address = str_of(T.map),
		.hostname = STR("mail.example.org"),
		.default_domain = STR("example.org"),
		.concurrency = 3,
		.retry_min_ms = 100,
		.retry_max_ms = 300,
		.lifetime_ms = lifetime_ms,
		.expansion_max = 50,
		.slots_ahead = 4,
		.map_bytes = 1024 * 1024 };
	const char *text = "";

	assert_int_equal(queue_open(T.loop, pool_new(T.loop, 4), &o, &T.queue, &text), ERR_OK);
}

static void
stopped(void *arg)
{
	(void)arg;
	T.stopped = true;
}

static bool
is_stopped(void)
{
	return T.stopped;
}

static void
queue_end(void)
{
	T.stopped = false;
	queue_stop(T.queue, stopped, NULL);
	until(is_stopped);
	queue_close(T.queue);
	T.queue = NULL;
}

static struct spool_writer *writer;
static bool committed_ok;

static bool
take_writer(void)
{
	return spool_server_take(T.queue->spool, &writer) == ERR_OK;
}

static void
committed(void *arg, struct spool_writer *w, enum err e)
{
	(void)arg;
	(void)w;
	assert_int_equal(e, ERR_OK);
	committed_ok = true;
}

static bool
is_committed(void)
{
	return committed_ok;
}

/* A message, as smtp would have accepted it. rcpts: blank separated. */
static void
accept_message(const char *sender, const char *rcpts, const char *text, char id_out[17])
{
	struct str list[16], rest = str_of(rcpts);
	struct spool_envelope e = { .sender = str_of(sender),
		.sid = STR("s1"),
		.client = STR("127.0.0.1"),
		.received_ms = clock_wall_ms(),
		.rcpts = list };

	while (rest.n != 0)
		(void)str_cut(rest, ' ', &list[e.rcpts_count++], &rest);
	until(take_writer);
	memcpy(id_out, spool_writer_name(writer).p, 16);
	id_out[16] = '\0';
	spool_write(writer, str_of(text));
	committed_ok = false;
	spool_commit(writer, &e, committed, NULL);
	until(is_committed);
}

static void
submit(const char *sender, const char *rcpts, const char *text)
{
	char id[17];

	accept_message(sender, rcpts, text, id);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
}

static unsigned
delivered_to(const char *rcpt, const struct delivery **last_out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < T.deliveries_count; i++) {
		if (strcmp(T.deliveries[i].rcpt, rcpt) != 0 || !T.deliveries[i].ok)
			continue;
		n++;
		if (last_out != NULL)
			*last_out = &T.deliveries[i];
	}
	return n;
}

static unsigned
files_in(const char *below)
{
	char path[128];
	unsigned n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/%s", T.dir, below);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n - 2;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
setup(void **state)
{
	(void)state;
	memset(&T, 0, sizeof(T));
	memcpy(T.dir, "/tmp/test_flow.XXXXXX", 22);
	assert_non_null(mkdtemp(T.dir));
	(void)snprintf(T.lmtp, sizeof(T.lmtp), "unix:%s/lmtp", T.dir);
	(void)snprintf(T.map, sizeof(T.map), "unix:%s/directory", T.dir);
	T.loop = loop_new();
	T.rcpts_max = 64;
	list_init(&T.conns);
	T.lmtp_listener = serve(T.lmtp, accept_lmtp);
	T.map_listener = serve(T.map, accept_map);
	queue_begin(60000);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (T.queue != NULL)
		queue_end();
	if (T.lmtp_listener != NULL)
		listener_free(T.lmtp_listener);
	listener_free(T.map_listener);
	turn(20);
	LIST_FOREACH (l, &T.conns)
		conn_free(CONTAINER_OF(l, struct conn, link));
	for (unsigned i = 0; i < DELIVERIES; i++)
		free(T.deliveries[i].text);
	loop_free(T.loop);
	(void)nftw(T.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static void
test_group(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	submit("anna@example.org", "all@example.org staff@example.org ben@example.org eve",
		"Subject: x\r\n\r\n.dot\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 5);
	assert_int_equal(delivered_to("anna@example.org", NULL), 1);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	assert_int_equal(delivered_to("cleo@example.org", NULL), 1);
	assert_int_equal(delivered_to("dora@example.org", NULL), 1);
	assert_int_equal(delivered_to("eve@example.org", &d), 1);
	assert_string_equal(d->text, "Subject: x\r\n\r\n.dot\r\n");
	assert_string_equal(d->from, "anna@example.org");
	for (unsigned i = 0; i < 5; i++) {
		for (unsigned k = i + 1; k < 5; k++)
			assert_string_not_equal(T.deliveries[i].id, T.deliveries[k].id);
	}
}

/* A server that takes two recipients at once gets the others right after. */
static void
test_too_many_recipients(void **state)
{
	int64_t begin = clock_ms();

	(void)state;
	T.rcpts_max = 2;
	queue_end();
	queue_begin(60000);
	T.queue->o.retry_min_ms = 60000;
	submit("x@example.org", "all@example.org staff@example.org eve", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 5);
	assert_true(clock_ms() - begin < 5000);
}

static void
test_retry_is_for_the_deferred_only(void **state)
{
	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.3.0 not now", 2 };
	submit("x@example.org", "all@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 5);
	assert_int_equal(delivered_to("anna@example.org", NULL), 1);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	assert_string_equal(T.deliveries[1].id, T.deliveries[3].id);
	assert_string_equal(T.deliveries[1].id, T.deliveries[4].id);
}

static void
test_report(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No such user", -1 };
	submit("anna@example.org",
		"staff@example.org out@example.org loop@example.org "
		"empty@example.org",
		"Subject: the one\r\n\r\nsecret body\r\n");
	until(queue_empty);
	assert_int_equal(delivered_to("dora@example.org", NULL), 1);
	assert_int_equal(delivered_to("anna@example.org", &d), 2); /* by "out", and the report */
	assert_string_equal(d->from, "");
	assert_non_null(
		strstr(d->text, "Final-Recipient: rfc822; ben@example.org\r\nAction: failed\r\n"
				"Status: 5.1.1\r\n"));
	assert_non_null(strstr(d->text, "Original-Recipient: rfc822; staff@example.org\r\n"));
	assert_non_null(strstr(d->text, "Final-Recipient: rfc822; friend@elsewhere.example\r\n"
					"Action: failed\r\nStatus: 5.7.1\r\n"));
	assert_non_null(strstr(d->text, "nested too deep"));
	assert_non_null(strstr(d->text, "empty@example.org"));
	assert_non_null(strstr(d->text, "\r\nSubject: the one\r\n"));
	assert_null(strstr(d->text, "secret body"));
}

/* A report that cannot be delivered makes no further report. */
static void
test_no_report_about_a_report(void **state)
{
	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "550 5.1.1 No such user", -1 };
	T.rules[1] = (struct rule){ "gone@example.org", "550 5.1.1 No such user", -1 };
	submit("gone@example.org", "ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 2);
	assert_int_equal(delivered_to("gone@example.org", NULL), 0);
	turn(300);
	assert_int_equal(T.deliveries_count, 2);
}

static void
test_directory_away(void **state)
{
	(void)state;
	T.map_down = true;
	submit("anna@example.org", "all@example.org", "x\r\n");
	turn(300);
	assert_int_equal(T.deliveries_count, 0);
	assert_int_equal(T.queue->messages.n, 1);
	T.map_down = false;
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 3);
}

static void
test_expiry(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	queue_end();
	queue_begin(400);
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.2.1 Mailbox locked", -1 };
	submit("anna@example.org", "ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(delivered_to("anna@example.org", &d), 1);
	assert_non_null(strstr(
		d->text, "Status: 5.4.7\r\nDiagnostic-Code: smtp; 451 4.2.1 Mailbox locked"));
}

/* lmtp is away; the queue is started again; the directory says something else by now: it is not
 * asked again, and the ids are the same. */
static void
test_restart(void **state)
{
	char first[DELIVERY_ID_SIZE + 1];
	const struct delivery *d = NULL;

	(void)state;
	T.rules[0] = (struct rule){ "anna@example.org", "451 4.3.0 not now", 1 };
	T.rules[1] = (struct rule){ "ben@example.org", "451 4.3.0 not now", 1 };
	T.rules[2] = (struct rule){ "cleo@example.org", "451 4.3.0 not now", 1 };
	submit("x@example.org", "all@example.org", "x\r\n");
	while (T.deliveries_count < 3)
		turn(2);
	memcpy(first, T.deliveries[1].id, sizeof(first));
	lmtp_stop();
	queue_end();
	T.map_down = true;
	queue_begin(60000);
	assert_int_equal(T.queue->messages.n, 1);
	turn(150);
	T.lmtp_listener = serve(T.lmtp, accept_lmtp);
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", &d), 1);
	assert_string_equal(d->id, first);
}

/* The reply is lost after the delivery: the same id again, so the store can tell. */
static void
test_lost_reply(void **state)
{
	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "close", 1 };
	submit("x@example.org", "ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 2);
	assert_string_equal(T.deliveries[0].id, T.deliveries[1].id);
}

/* Accepted and never seen by the queue: found at the start. A report without a record is not. */
static void
test_adopt(void **state)
{
	char id[17], report[17];

	(void)state;
	accept_message("x@example.org", "ben@example.org", "x\r\n", id);
	until(take_writer);
	memcpy(report, spool_writer_name(writer).p, 17);
	const struct str to = STR("ben@example.org");
	struct spool_envelope e = { .rcpts = &to, .rcpts_count = 1, .received_ms = 1 };
	spool_write(writer, STR("a report\r\n"));
	committed_ok = false;
	spool_commit(writer, &e, committed, NULL);
	until(is_committed);
	queue_end();
	queue_begin(60000);
	assert_int_equal(T.queue->messages.n, 1);
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 1);
	assert_string_equal(T.deliveries[0].text, "x\r\n");
	turn(100);
	queue_end();
	assert_int_equal(files_in("slots"), 0);
	queue_begin(60000);
	assert_int_equal(T.queue->messages.n, 0);
}

static void
test_damage(void **state)
{
	char id[17], path[128];
	int fd;

	(void)state;
	T.rules[0] = (struct rule){ "ben@example.org", "451 4.3.0 not now", -1 };
	accept_message("x@example.org", "ben@example.org", "some text\r\n", id);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
	while (T.deliveries_count < 1)
		turn(5);
	(void)snprintf(path, sizeof(path), "%s/slots/%s", T.dir, id);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "S", 1, SPOOL_FRONT_SIZE), 1);
	(void)close(fd);
	T.rules[0].times = 0;
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 0);
	assert_int_equal(files_in("corrupt"), 1);
}

/* A damaged message that cannot be put aside stays known: it is the only copy. */
static void
test_damage_without_a_place(void **state)
{
	char id[17], path[128], aside[128];
	int fd;

	(void)state;
	(void)snprintf(aside, sizeof(aside), "%s/corrupt", T.dir);
	assert_int_equal(rmdir(aside), 0);
	fd = open(aside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	accept_message("x@example.org", "ben@example.org", "some text\r\n", id);
	(void)snprintf(path, sizeof(path), "%s/slots/%s", T.dir, id);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "S", 1, SPOOL_FRONT_SIZE), 1);
	(void)close(fd);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
	turn(300);
	assert_int_equal(T.queue->messages.n, 1);
	queue_end();
	assert_int_equal(unlink(aside), 0);
	queue_begin(60000);
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 0);
	assert_int_equal(files_in("corrupt"), 1);
}

static const char *slot_path;

static bool
slot_is_gone(void)
{
	return access(slot_path, F_OK) != 0;
}

static bool
record_is_gone(void)
{
	struct buf b;
	enum err e;

	buf_init(&b, 1024 * 1024);
	e = state_get(T.queue->state, str_of(slot_path + strlen(slot_path) - SPOOL_NAME_LEN), &b);
	buf_fini(&b);
	return e == ERR_NOTFOUND;
}

/* The removal of a delivered message's file is late: the record outlives it all the same. */
static void
test_record_outlives_the_file(void **state)
{
	char id[17], path[128], copy[128];

	(void)state;
	accept_message("x@example.org", "ben@example.org", "x\r\n", id);
	(void)snprintf(path, sizeof(path), "%s/slots/%s", T.dir, id);
	(void)snprintf(copy, sizeof(copy), "%s/copy", T.dir);
	assert_int_equal(link(path, copy), 0);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
	until(queue_empty);
	slot_path = path;
	until(slot_is_gone);
	assert_false(record_is_gone());
	assert_int_equal(link(copy, path), 0);
	loop_timer_start(&T.queue->finished_timer, 1);
	until(record_is_gone);
	assert_true(slot_is_gone());
}

static void
test_many(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++)
		submit("x@example.org", "staff@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 60);
	assert_int_equal(delivered_to("dora@example.org", NULL), 60);
}

int
main(void)
{
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T_(test_group),
		T_(test_too_many_recipients),
		T_(test_retry_is_for_the_deferred_only),
		T_(test_report),
		T_(test_no_report_about_a_report),
		T_(test_directory_away),
		T_(test_expiry),
		T_(test_restart),
		T_(test_lost_reply),
		T_(test_adopt),
		T_(test_damage),
		T_(test_damage_without_a_place),
		T_(test_record_outlives_the_file),
		T_(test_many),
	};
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("queue_flow", tests, NULL, NULL);
}
