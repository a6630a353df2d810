/* The queue as a whole, on a spool of its own, with a directory and an LMTP server of the test's:
 * what test_queue_flow.c and test_queue_admin.c share. setup and teardown belong around each test.
 */
#ifndef POSTROOM_TESTS_QUEUE_CASE_H
#define POSTROOM_TESTS_QUEUE_CASE_H

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
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/event/listener.h"
#include "core/event/stream.h"
#include "delivery/queue/admin.h"
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
	char dir[64], lmtp[100], map[100], relay[100];
	struct settings *settings; /* with a relay at relay; NULL: there is none */
	struct loop *loop;
	struct queue *queue;
	struct admin *admin;
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
	/* What the sender of the next message wants to hear, of all its recipients. */
	struct {
		enum spool_ret ret;
		const char *envid, *orcpt;
		unsigned notify, flags;
	} wish;
	int64_t retry_max_ms;	/* 0: 300; for the next queue_begin */
	const char *postmaster; /* NULL: none; for the next queue_begin */
	bool map_down;
	bool stopped;
} T;

/* The directory. */

static inline const char *
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
		{ "transport moved@example.org", "OK smtp:[other.example.org]:2525" },
		{ "transport self@example.org", "OK smtp:[MAIL.example.org]" },
		{ "transport self2@example.org", "OK smtp:[mail.example.org]:2525" },
		{ "transport odd@example.org", "OK uucp:somewhere" },
		{ "transport evil@example.org", "OK smtp:[a b]" },
		{ "transport stays@example.org", "OK local:" },
		{ "transport stays2@example.org", "OK lmtp:unix:private/lmtp" },
		{ "transport lmtp@example.org", "OK lmtp:inet:mx2.example.org:24" },
		{ "transport gone@example.org", "OK error:moved away" },
		{ "transport bare@example.org", "OK relay:" },
		{ "transport away@example.org", "TEMP no" },
	};
	if (T.map_down)
		return "TEMP directory away";
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (str_eq(request, str_of(table[i].key)))
			return table[i].value;
	}
	return "NOTFOUND ";
}

static inline void
conn_free(struct conn *c)
{
	stream_free(c->stream);
	list_remove(&c->link);
	buf_fini(&c->text);
	free(c);
}

static inline void
conn_end(struct stream *s, void *arg, enum err why)
{
	(void)s;
	(void)why;
	conn_free(arg);
}

static inline void
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

static inline const char *
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

static inline void
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

static inline struct str
between(struct str line, char from, char to)
{
	struct str a, b, c;

	(void)str_cut(line, from, &a, &b);
	(void)str_cut(b, to, &c, &a);
	return c;
}

static inline void
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

static inline void
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

static inline void
accept_conn(int fd, const struct stream_ops *ops)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	const struct stream_options o = { .in_max_bytes = 1024 * 1024 };

	list_push_back(&T.conns, &c->link);
	buf_init(&c->text, 64 * 1024 * 1024);
	c->stream = stream_new(T.loop, fd, ops, c, &o);
	if (ops == &lmtp_ops)
		stream_write(c->stream, STR("220 test\r\n"));
}

static inline void
accept_map(void *arg, int fd, const struct peer *p)
{
	(void)arg;
	(void)p;
	accept_conn(fd, &map_ops);
}

static inline void
accept_lmtp(void *arg, int fd, const struct peer *p)
{
	(void)arg;
	(void)p;
	accept_conn(fd, &lmtp_ops);
}

static inline struct listener *
serve(const char *path, listener_fn fn)
{
	struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *text = "";
	int fd = -1;

	assert_int_equal(listen_bind(str_of(path), &o, &fd, &text), ERR_OK);
	return listener_new(T.loop, fd, fn, NULL);
}

static inline void
lmtp_stop(void)
{
	listener_free(T.lmtp_listener);
	T.lmtp_listener = NULL;
	(void)unlink(T.lmtp + 5);
}

/* The queue. */

static inline void
turn_end(struct loop_timer *t)
{
	loop_stop(t->arg);
}

/* Runs the loop until cond, 30 s at most. */
static inline void
until(bool (*cond)(void))
{
	struct loop_timer t;
	int64_t end = clock_ms() + 60000;

	loop_timer_init(&t, T.loop, turn_end, T.loop);
	while (!cond()) {
		assert_true(clock_ms() < end);
		loop_timer_start(&t, 5);
		loop_run(T.loop);
	}
}

static inline void
turn(int64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, T.loop, turn_end, T.loop);
	loop_timer_start(&t, ms);
	loop_run(T.loop);
}

static inline bool
queue_empty(void)
{
	return T.queue->messages.n == 0 && state_busy(T.queue->state) == 0;
}

static inline void
queue_begin(int64_t lifetime_ms)
{
	struct queue_options o = { .spool_dir = str_of(T.dir),
		.lmtp_address = str_of(T.lmtp),
		.directory_address = str_of(T.map),
		.hostname = STR("mail.example.org"),
		.default_domain = STR("example.org"),
		.concurrency = 3,
		.retry_min_ms = 100,
		.retry_max_ms = T.retry_max_ms != 0 ? T.retry_max_ms : 300,
		.lifetime_ms = lifetime_ms,
		.expansion_max = 50,
		.postmaster = T.postmaster != NULL ? str_of(T.postmaster) : STR_EMPTY,
		.bounce_size_max = 2000,
		.slots_ahead = 4,
		.map_bytes = 1024 * 1024,
		.relay_path = T.settings != NULL ? T.relay : NULL,
		.settings = T.settings };
	const char *text = "";

	assert_int_equal(queue_open(T.loop, pool_new(T.loop, 4), &o, &T.queue, &text), ERR_OK);
	T.admin = admin_new(T.queue);
}

static inline void
stopped(void *arg)
{
	(void)arg;
	T.stopped = true;
}

static inline bool
is_stopped(void)
{
	return T.stopped;
}

static inline void
queue_end(void)
{
	T.stopped = false;
	admin_free(T.admin);
	queue_stop(T.queue, stopped, NULL);
	until(is_stopped);
	queue_close(T.queue);
	T.queue = NULL;
}

static struct spool_writer *writer;
static bool committed_ok;

static inline bool
take_writer(void)
{
	return spool_server_take(T.queue->spool, &writer) == ERR_OK;
}

static inline void
committed(void *arg, struct spool_writer *w, enum err e)
{
	(void)arg;
	(void)w;
	assert_int_equal(e, ERR_OK);
	committed_ok = true;
}

static inline bool
is_committed(void)
{
	return committed_ok;
}

static inline bool
writer_has_room(void)
{
	return !spool_writer_full(writer);
}

/* A message, as smtp would have accepted it. rcpts: blank separated. */
static inline void
accept_message(const char *sender, const char *rcpts, const char *text, char id_out[17])
{
	struct spool_rcpt list[16] = { 0 };
	struct str rest = str_of(rcpts);
	struct spool_envelope e = { .sender = str_of(sender),
		.sid = STR("s1"),
		.client = STR("127.0.0.1"),
		.received_ms = clock_wall_ms(),
		.rcpts = list };

	e.ret = T.wish.ret;
	e.flags = T.wish.flags;
	e.envid = T.wish.envid != NULL ? str_of(T.wish.envid) : STR_EMPTY;
	while (rest.n != 0) {
		struct spool_rcpt *r = &list[e.rcpts_count++];
		(void)str_cut(rest, ' ', &r->address, &rest);
		r->notify = T.wish.notify;
		r->orcpt = T.wish.orcpt != NULL ? str_of(T.wish.orcpt) : STR_EMPTY;
	}
	memset(&T.wish, 0, sizeof(T.wish));
	until(take_writer);
	memcpy(id_out, spool_writer_name(writer).p, 16);
	id_out[16] = '\0';
	for (rest = str_of(text); rest.n != 0; rest = str_from(rest, SPOOL_CHUNK)) {
		until(writer_has_room);
		spool_write(writer, str_sub(rest, 0, SPOOL_CHUNK));
	}
	committed_ok = false;
	spool_commit(writer, &e, committed, NULL);
	until(is_committed);
}

static inline void
submit(const char *sender, const char *rcpts, const char *text)
{
	char id[17];

	accept_message(sender, rcpts, text, id);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
}

static inline unsigned
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

static inline unsigned
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

static inline int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int
setup(void **state)
{
	(void)state;
	memset(&T, 0, sizeof(T));
	memcpy(T.dir, "/tmp/test_flow.XXXXXX", 22);
	assert_non_null(mkdtemp(T.dir));
	(void)snprintf(T.lmtp, sizeof(T.lmtp), "unix:%s/lmtp", T.dir);
	(void)snprintf(T.map, sizeof(T.map), "unix:%s/directory", T.dir);
	(void)snprintf(T.relay, sizeof(T.relay), "%s/relay", T.dir);
	T.loop = loop_new();
	T.rcpts_max = 64;
	list_init(&T.conns);
	T.lmtp_listener = serve(T.lmtp, accept_lmtp);
	T.map_listener = serve(T.map, accept_map);
	queue_begin(60000);
	return 0;
}

static inline int
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

#endif
