/* The parts of the queue: replies, the schedule, queue.mdb (also killed in the middle),
 * reports, and the LMTP client against a server that the test scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/event/listener.h"
#include "core/event/stream.h"
#include "delivery/queue/client.h"
#include "delivery/queue/reply.h"
#include "delivery/queue/retry.h"
#include "delivery/queue/state.h"

static void
test_replies(void **state)
{
	static const struct {
		const char *lines[4];
		enum err last;
		unsigned code;
		const char *status, *text;
	} table[] = {
		{ { "250 2.1.5 OK" }, ERR_OK, 250, "2.1.5", "OK" },
		{ { "250 OK" }, ERR_OK, 250, "2.0.0", "OK" },
		{ { "250" }, ERR_OK, 250, "2.0.0", "" },
		{ { "354 Go ahead" }, ERR_OK, 354, "3.0.0", "Go ahead" },
		{ { "250-a", "250-b", "250 c" }, ERR_OK, 250, "2.0.0", "c" },
		{ { "550-5.1.1 a", "550 5.1.1 b" }, ERR_OK, 550, "5.1.1", "b" },
		{ { "550 5.1.1" }, ERR_OK, 550, "5.1.1", "" },
		{ { "450 5.1.1 lies" }, ERR_OK, 450, "4.0.0", "5.1.1 lies" },
		{ { "451 4.3.0.1 x" }, ERR_OK, 451, "4.0.0", "4.3.0.1 x" },
		{ { "250-a", "251 b" }, ERR_SYNTAX, 0, NULL, NULL },
		{ { "25" }, ERR_SYNTAX, 0, NULL, NULL },
		{ { "250x" }, ERR_SYNTAX, 0, NULL, NULL },
		{ { "199 x" }, ERR_SYNTAX, 0, NULL, NULL },
		{ { "600 x" }, ERR_SYNTAX, 0, NULL, NULL },
		{ { "" }, ERR_SYNTAX, 0, NULL, NULL },
		{ { "550 \x01\xff tab\there" }, ERR_OK, 550, "5.0.0", "?? tab?here" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct reply r;
		enum err e = ERR_AGAIN;
		reply_init(&r);
		for (size_t k = 0; k < 4 && table[i].lines[k] != NULL; k++) {
			assert_int_equal(e, ERR_AGAIN);
			e = reply_add(&r, str_of(table[i].lines[k]));
		}
		assert_int_equal(e, table[i].last);
		if (e != ERR_OK)
			continue;
		assert_int_equal(r.code, table[i].code);
		assert_string_equal(r.status, table[i].status);
		assert_string_equal(r.text, table[i].text);
	}
}

static void
test_schedule(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 40; n++) {
		int64_t base = n < 8 ? 1000LL << (n - 1) : 100000;
		if (base > 100000)
			base = 100000;
		for (int k = 0; k < 50; k++) {
			int64_t w = retry_wait_ms(n, 1000, 100000, rand_u64());
			assert_in_range(w, base - base / 4, base + base / 4 + 1);
			assert_true(w <= 100000);
		}
	}
	assert_true(retry_wait_ms(1, 0, 0, 5) >= 1);
	assert_int_equal(retry_wait_ms(3, 1000, 10, 0), 750);
	assert_int_equal(retry_wait_ms(65000, 1, INT64_MAX / 4, 0) > 0, 1);
}

/* A folder of its own, and a loop that runs until told. */
struct bed {
	char dir[64];
	char path[128];
	struct loop *loop;
	struct pool *pool;
	unsigned done;
	unsigned until;
};

static void
bed_open(struct bed *b)
{
	memset(b, 0, sizeof(*b));
	memcpy(b->dir, "/tmp/test_queue.XXXXXX", 23);
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->path, sizeof(b->path), "%s/queue.mdb", b->dir);
	b->loop = loop_new();
	b->pool = pool_new(b->loop, 4);
}

static void
bed_close(struct bed *b)
{
	char lock[160];

	(void)snprintf(lock, sizeof(lock), "%s-lock", b->path);
	(void)unlink(lock);
	(void)unlink(b->path);
	(void)rmdir(b->dir);
	loop_free(b->loop);
}

static void
count_done(void *arg, enum err e)
{
	struct bed *b = arg;

	assert_int_equal(e, ERR_OK);
	if (++b->done == b->until)
		loop_stop(b->loop);
}

static void
wait_done(struct bed *b, unsigned until)
{
	b->until = until;
	if (b->done < until)
		loop_run(b->loop);
}

static void
count_each(void *arg, struct str id, struct str record)
{
	unsigned *n = arg;

	assert_int_equal(id.n, 16);
	assert_true(record.n != 0);
	(*n)++;
}

static struct str
numbered(char out[17], unsigned i)
{
	(void)snprintf(out, 17, "%016x", i);
	return str_n(out, 16);
}

/* Puts are grouped, keep their order, and the map grows from almost nothing. */
static void
test_state(void **state)
{
	struct bed b;
	struct state *s = NULL;
	const char *text = "";
	struct buf out, big;
	char id[17], id2[17];
	unsigned n = 0;

	(void)state;
	bed_open(&b);
	buf_init(&out, 1024 * 1024);
	buf_init(&big, 300000);
	for (int i = 0; i < 20000; i++)
		buf_addf(&big, "%07d ", i);
	assert_int_equal(state_open(b.pool, b.path, 65536, &s, &text), ERR_OK);
	for (unsigned i = 0; i < 200; i++) {
		struct state_write w[2] = { { numbered(id, i), STR("first") },
			{ numbered(id2, i + 1000), buf_str(&big) } };
		state_put(s, w, i % 20 == 0 ? 2 : 1, count_done, &b);
		w[0].record = STR("second");
		state_put(s, w, 1, count_done, &b);
	}
	wait_done(&b, 400);
	assert_int_equal(state_busy(s), 0);
	assert_int_equal(state_get(s, numbered(id, 7), &out), ERR_OK);
	assert_true(str_eq(buf_str(&out), STR("second")));
	assert_int_equal(state_get(s, numbered(id, 1020), &out), ERR_OK);
	assert_true(str_eq(buf_str(&out), buf_str(&big)));
	assert_int_equal(state_get(s, numbered(id, 999), &out), ERR_NOTFOUND);
	struct state_write gone = { numbered(id, 7), STR_EMPTY };
	state_put(s, &gone, 1, count_done, &b);
	state_put(s, &gone, 1, count_done, &b); /* twice is no error */
	wait_done(&b, 402);
	assert_int_equal(state_get(s, numbered(id, 7), &out), ERR_NOTFOUND);
	assert_int_equal(state_each(s, count_each, &n), ERR_OK);
	assert_int_equal(n, 209);
	pool_free(b.pool);
	state_close(s);
	b.pool = pool_new(b.loop, 4);
	assert_int_equal(state_open(b.pool, b.path, 65536, &s, &text), ERR_OK);
	n = 0;
	assert_int_equal(state_each(s, count_each, &n), ERR_OK);
	assert_int_equal(n, 209);
	pool_free(b.pool);
	state_close(s);
	buf_fini(&out);
	buf_fini(&big);
	bed_close(&b);
}

/* A writer that is killed: whatever it had reported is there afterwards. */

struct writer {
	struct bed *b;
	struct state *s;
	int out;
	unsigned next;
};

static void
write_next(void *arg, enum err e)
{
	struct writer *w = arg;
	char id[17];
	unsigned reported = w->next - 1;
	struct state_write put;

	if (e != ERR_OK || (w->next != 0 && write(w->out, &reported, sizeof(reported)) < 0))
		_exit(1);
	put = (struct state_write){ numbered(id, w->next++), STR("a record") };
	state_put(w->s, &put, 1, write_next, w);
}

static void
writer_process(struct bed *parent, int out)
{
	struct bed b = *parent;
	struct writer w = { .b = &b, .out = out };
	const char *text = "";

	b.loop = loop_new();
	b.pool = pool_new(b.loop, 2);
	if (state_open(b.pool, b.path, 65536, &w.s, &text) != ERR_OK)
		_exit(2);
	write_next(&w, ERR_OK);
	loop_run(b.loop);
	_exit(3);
}

static void
test_state_killed(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct bed b;
		struct state *s = NULL;
		const char *text = "";
		struct buf out;
		unsigned last = 0, seen;
		int fds[2], status;
		pid_t pid;
		char id[17];

		bed_open(&b);
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0)
			writer_process(&b, fds[1]);
		(void)close(fds[1]);
		while (last < 20U + (unsigned)(rand_u64() % 50) &&
			read(fds[0], &seen, sizeof(seen)) == sizeof(seen))
			last = seen;
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &seen, sizeof(seen)) == sizeof(seen))
			last = seen;
		(void)close(fds[0]);
		buf_init(&out, 1000);
		assert_int_equal(state_open(b.pool, b.path, 65536, &s, &text), ERR_OK);
		assert_true(last >= 20);
		for (unsigned i = 0; i <= last; i++) {
			assert_int_equal(state_get(s, numbered(id, i), &out), ERR_OK);
			assert_true(str_eq(buf_str(&out), STR("a record")));
		}
		buf_fini(&out);
		pool_free(b.pool);
		state_close(s);
		bed_close(&b);
	}
}

/* Opens the file of b in a process whose files may not grow beyond max bytes. */
static int
open_limited(const struct bed *b, rlim_t max)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct rlimit r = { max, max };
		struct state *s = NULL;
		const char *text = "";
		struct pool *p = pool_new(loop_new(), 2);
		enum err e;
		(void)signal(SIGXFSZ, SIG_IGN);
		if (setrlimit(RLIMIT_FSIZE, &r) != 0)
			_exit(100);
		e = state_open(p, b->path, 65536, &s, &text);
		_exit(e == ERR_OK || text[0] != '\0' ? (int)e : 101);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A disk that takes no results is found out before anything is delivered. */
static void
test_state_without_room(void **state)
{
	struct bed b;
	struct state *s = NULL;
	const char *text = "";
	unsigned n = 0;

	(void)state;
	bed_open(&b);
	assert_int_equal(open_limited(&b, 64 * 1024), ERR_TEMP);
	assert_int_equal(open_limited(&b, 64 * 1024 * 1024), ERR_OK);
	/* what the first start took is enough for the others */
	assert_int_equal(open_limited(&b, 1024 * 1024), ERR_OK);
	assert_int_equal(state_open(b.pool, b.path, 65536, &s, &text), ERR_OK);
	assert_int_equal(state_each(s, count_each, &n), ERR_OK);
	assert_int_equal(n, 0);
	pool_free(b.pool);
	state_close(s);
	bed_close(&b);
}

/* The client. The server answers by a table: what comes first with a prefix gets its reply, and
 * "." the results; "-" closes. */
struct server {
	struct listener *listener;
	struct stream *stream;
	struct loop *loop;
	const char *const *script; /* prefix, reply, prefix, reply, NULL */
	struct buf data;	   /* as sent, still dotted */
	struct buf said;
	bool in_data;
	size_t chunk; /* octets of it to come */
	unsigned connections;
};

static const char *
script_of(const struct server *s, struct str line)
{
	for (size_t i = 0; s->script[i] != NULL; i += 2) {
		if (str_starts(line, str_of(s->script[i])))
			return s->script[i + 1];
	}
	return "250 OK\r\n";
}

static void
server_close(struct server *s)
{
	if (s->stream != NULL)
		stream_free(s->stream);
	s->stream = NULL;
}

static void
server_read(struct stream *stream, void *arg)
{
	struct server *s = arg;
	struct buf *in = stream_in(stream);

	while (in->n != 0) {
		size_t lf = str_chr(buf_str(in), '\n');
		struct str line = str_sub(buf_str(in), 0, lf + 1);
		bool end = str_eq(line, STR(".\r\n"));
		const char *reply = NULL;
		if (s->chunk != 0) {
			size_t n = in->n < s->chunk ? in->n : s->chunk;
			buf_add(&s->data, str_sub(buf_str(in), 0, n));
			buf_consume(in, n);
			s->chunk -= n;
			continue;
		}
		if (lf == in->n)
			return;
		if (str_starts(line, STR("BDAT ")))
			s->chunk = (size_t)strtoul(line.p + 5, NULL, 10);
		if (s->in_data && !end)
			buf_add(&s->data, line);
		else
			reply = script_of(s, line);
		if (!s->in_data)
			buf_add(&s->said, line);
		if (end)
			s->in_data = false;
		buf_consume(in, lf + 1);
		if (reply == NULL)
			continue;
		if (reply[0] == '-') {
			server_close(s);
			return;
		}
		if (reply[0] == '3')
			s->in_data = true;
		stream_write(stream, str_of(reply));
	}
}

static void
server_end(struct stream *stream, void *arg, enum err why)
{
	(void)stream;
	(void)why;
	server_close(arg);
}

static const struct stream_ops server_ops = { .on_read = server_read, .on_end = server_end };

static void
server_accept(void *arg, int fd, const struct peer *p)
{
	struct server *s = arg;
	const struct stream_options o = { .in_max_bytes = 1024 * 1024 };

	(void)p;
	s->connections++;
	server_close(s);
	s->stream = stream_new(s->loop, fd, &server_ops, s, &o);
	stream_write(s->stream, str_of(script_of(s, STR("(connect)"))));
}

struct transaction {
	struct client_job job;
	struct client_rcpt rcpts[3];
	struct loop *loop;
	struct str body;
	unsigned codes[3];
	enum err how;
	bool over;
};

static enum err body_error; /* of the next reads */

static enum err
body_at(void *arg, uint64_t off, void *p, size_t n)
{
	struct transaction *t = arg;

	if (body_error != ERR_OK)
		return body_error;
	if (off + n > t->body.n)
		return ERR_CORRUPT;
	memcpy(p, t->body.p + off, n);
	return ERR_OK;
}

static void
on_rcpt(void *arg, size_t i, const struct reply *r)
{
	struct transaction *t = arg;

	assert_int_equal(t->codes[i], 0);
	t->codes[i] = r->code;
}

static void
on_job_end(void *arg, enum err how, const char *text)
{
	struct transaction *t = arg;

	(void)text;
	t->how = how;
	t->over = true;
	loop_stop(t->loop);
}

static const char *rcpt_names[3] = { "a@x.org", "b@x.org", "c@x.org" };
static bool needs_utf8, is_binary;

static void
submit(struct clients *c, struct transaction *t, struct loop *l, struct str body, bool bad_sum)
{
	memset(t, 0, sizeof(*t));
	t->loop = l;
	t->body = body;
	for (size_t i = 0; i < 3; i++) {
		t->rcpts[i].address = str_of(rcpt_names[i]);
		(void)snprintf(t->rcpts[i].delivery_id, DELIVERY_ID_SIZE, "id%zu", i);
	}
	t->job = (struct client_job){ .sender = STR("s@x.org"),
		.eight_bit = true,
		.smtputf8 = needs_utf8,
		.binary = is_binary,
		.body_len = body.n,
		.body_crc = crc32c(0, body) ^ (bad_sum ? 1U : 0U),
		.read = body_at,
		.rcpts = t->rcpts,
		.rcpts_count = 3,
		.on_rcpt = on_rcpt,
		.on_end = on_job_end,
		.arg = t };
	clients_submit(c, &t->job);
}

static void
transact(struct clients *c, struct transaction *t, struct loop *l, struct str body, bool bad_sum)
{
	submit(c, t, l, body, bad_sum);
	loop_run(l);
	assert_true(t->over);
}

/* The place of a transaction that is cut is the next job's, also where there is no other. */
static void
check_cancel(struct clients *c, struct loop *l)
{
	struct transaction cut, next;

	submit(c, &cut, l, STR("x\r\n"), false);
	submit(c, &next, l, STR("x\r\n"), false);
	clients_cancel(&cut.job);
	loop_run(l);
	assert_false(cut.over);
	assert_true(next.over);
	assert_int_equal(next.how, ERR_OK);
	assert_int_equal(next.codes[0], 451);
}

/* SMTPUTF8 is said where it is needed; a server without it gets the recipients that do not need it.
 */
static void
check_utf8(struct clients *c, struct server *s, struct loop *l)
{
	static const char *const offers[] = { "(connect)", "220 hi\r\n", "LHLO",
		"250-hi\r\n250 SMTPUTF8\r\n", "DATA", "354 go\r\n", ".",
		"250 a\r\n250 b\r\n250 c\r\n", NULL };
	static const char *const lacks[] = { "(connect)", "220 hi\r\n", "LHLO", "250 hi\r\n",
		"RCPT TO:<c", "550 5.1.1 no\r\n", "DATA", "354 go\r\n", ".", "250 a\r\n", NULL };
	struct transaction t;

	s->script = offers;
	buf_reset(&s->said);
	transact(c, &t, l, STR("x\r\n"), false);
	assert_true(str_find(buf_str(&s->said), STR("SMTPUTF8")) == s->said.n);
	needs_utf8 = true;
	transact(c, &t, l, STR("x\r\n"), false);
	assert_true(
		str_find(buf_str(&s->said), STR("MAIL FROM:<s@x.org> SMTPUTF8\r\n")) < s->said.n);
	needs_utf8 = false;
	rcpt_names[1] = "\xc3\xa4@x.org";
	buf_reset(&s->said);
	transact(c, &t, l, STR("x\r\n"), false);
	assert_int_equal(t.codes[1], 250);
	assert_true(
		str_find(buf_str(&s->said), STR("MAIL FROM:<s@x.org> SMTPUTF8\r\n")) < s->said.n);
	assert_true(str_find(buf_str(&s->said), STR("RCPT TO:<\xc3\xa4@x.org>")) < s->said.n);

	clients_close_idle(c);
	s->script = lacks;
	buf_reset(&s->said);
	for (int i = 0; i < 2; i++) { /* and again on the same connection */
		transact(c, &t, l, STR("x\r\n"), false);
		assert_int_equal(t.how, ERR_OK);
		assert_int_equal(t.codes[0], 250);
		assert_int_equal(t.codes[1], 553);
		assert_int_equal(t.codes[2], 550);
	}
	assert_true(str_find(buf_str(&s->said), STR("SMTPUTF8")) == s->said.n);
	assert_false(str_has_8bit(buf_str(&s->said)));
	needs_utf8 = true;
	buf_reset(&s->said);
	transact(c, &t, l, STR("x\r\n"), false);
	assert_int_equal(t.how, ERR_OK);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(t.codes[i], 554);
	assert_true(str_find(buf_str(&s->said), STR("MAIL")) == s->said.n);
	needs_utf8 = false;
	rcpt_names[1] = "b@x.org";
	clients_close_idle(c);
}

/* BINARYMIME: chunks, the last of them only when the sum is right; not at all to a server without.
 */
static void
check_binary(struct clients *c, struct server *s, struct loop *l)
{
	static const char *const offers[] = { "(connect)", "220 hi\r\n", "LHLO",
		"250-hi\r\n250-CHUNKING\r\n250 BINARYMIME\r\n", "RCPT TO:<b", "550 5.1.1 no\r\n",
		"BDAT 8 LAST", "250 a\r\n451 4.2.0 c\r\n", NULL };
	static const char *const none[] = { "(connect)", "220 hi\r\n", "LHLO",
		"250-hi\r\n250-CHUNKING\r\n250 BINARYMIME\r\n", "RCPT", "450 4.1.1 later\r\n",
		NULL };
	static const char *const lacks[] = { "(connect)", "220 hi\r\n", "LHLO",
		"250-hi\r\n250 CHUNKING\r\n", NULL };
	struct transaction t;

	is_binary = true;
	s->script = offers;
	buf_reset(&s->said);
	buf_reset(&s->data);
	transact(c, &t, l, STR("a\r.\nb\0c\r"), false);
	assert_int_equal(t.how, ERR_OK);
	assert_int_equal(t.codes[0], 250);
	assert_int_equal(t.codes[1], 550);
	assert_int_equal(t.codes[2], 451);
	assert_true(str_find(buf_str(&s->said), STR("MAIL FROM:<s@x.org> BODY=BINARYMIME\r\n")) <
		    s->said.n);
	assert_true(str_find(buf_str(&s->said), STR("DATA")) == s->said.n);
	assert_true(str_eq(buf_str(&s->data), STR("a\r.\nb\0c\r")));
	/* a wrong sum: no last chunk, and the connection is gone */
	buf_reset(&s->said);
	transact(c, &t, l, STR("a\rb"), true);
	assert_int_equal(t.how, ERR_CORRUPT);
	assert_true(str_find(buf_str(&s->said), STR("BDAT")) == s->said.n);
	server_close(s);
	s->script = none;
	transact(c, &t, l, STR("a\rb"), false);
	assert_int_equal(t.how, ERR_OK);
	assert_int_equal(t.codes[2], 450);
	assert_true(str_find(buf_str(&s->said), STR("BDAT")) == s->said.n);
	clients_close_idle(c);
	s->script = lacks;
	buf_reset(&s->said);
	transact(c, &t, l, STR("a\rb"), false);
	assert_int_equal(t.how, ERR_OK);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(t.codes[i], 554);
	assert_true(str_find(buf_str(&s->said), STR("MAIL")) == s->said.n);
	is_binary = false;
	server_close(s);
}

static void
test_client(void **state)
{
	static const char *const plain[] = { "(connect)", "220 hi\r\n", "LHLO",
		"250-hi\r\n250-XDELIVERYID\r\n250-8BITMIME\r\n250 SIZE 1000\r\n", "RCPT TO:<b",
		"550-5.1.1 no\r\n550 5.1.1 really\r\n", "DATA", "354 go\r\n", ".",
		"250 2.0.0 a\r\n451 4.2.0 c\r\n", NULL };
	static const char *const all_refused[] = { "(connect)", "220 hi\r\n", "LHLO", "250 hi\r\n",
		"MAIL", "451 4.3.0 later\r\n", "RCPT", "503 5.5.1 MAIL first\r\n", "DATA",
		"503 5.5.1 MAIL first\r\n", NULL };
	static const char *const breaks[] = { "(connect)", "220 hi\r\n", "LHLO", "250 hi\r\n",
		"DATA", "354 go\r\n", ".", "-", NULL };
	static const char *const no_service[] = { "(connect)", "421 4.3.2 busy\r\n", NULL };
	static const char *const garbage[] = { "(connect)", "HTTP/1.1 400 what\r\n", NULL };
	struct bed b;
	struct server s = { .script = plain };
	struct listen_options lo = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	struct clients_options co = { .hostname = STR("q"),
		.connections_max = 1,
		.command_timeout_ms = 2000,
		.data_timeout_ms = 2000,
		.idle_ms = 60000 };
	struct clients *c;
	struct transaction t;
	char address[160];
	const char *text = "";
	int fd = -1;
	struct buf long_body;

	(void)state;
	bed_open(&b);
	(void)snprintf(address, sizeof(address), "unix:%s", b.path);
	assert_int_equal(listen_bind(str_of(address), &lo, &fd, &text), ERR_OK);
	s.loop = b.loop;
	buf_init(&s.data, 4 * 1024 * 1024);
	buf_init(&s.said, 1024 * 1024);
	s.listener = listener_new(b.loop, fd, server_accept, &s);
	co.address = str_of(address);
	c = clients_new(b.loop, &co);

	transact(c, &t, b.loop, STR(".\r\n..x\r\na\n.b\r\n.end"), false);
	assert_int_equal(t.how, ERR_OK);
	assert_int_equal(t.codes[0], 250);
	assert_int_equal(t.codes[1], 550);
	assert_int_equal(t.codes[2], 451);
	assert_true(str_eq(buf_str(&s.data), STR("..\r\n...x\r\na\n.b\r\n..end\r\n")));
	assert_true(str_find(buf_str(&s.said),
			    STR("MAIL FROM:<s@x.org> SIZE=18 BODY=8BITMIME\r\nRCPT TO:<a@x.org> "
				"XDELIVERYID=id0\r\n")) < s.said.n);
	buf_reset(&s.data);

	/* The connection is kept; a long body is stuffed right across chunks. */
	buf_init(&long_body, 2 * 1024 * 1024);
	for (int i = 0; i < 40000; i++)
		buf_addf(&long_body, ".%0*d\r\n", 1 + i % 23, i);
	transact(c, &t, b.loop, buf_str(&long_body), false);
	assert_int_equal(t.how, ERR_OK);
	assert_int_equal(s.data.n, long_body.n + 40000);
	assert_int_equal(s.connections, 1);
	buf_reset(&s.data);

	/* A wrong sum: the message has no end, and the connection is gone. */
	transact(c, &t, b.loop, STR("x\r\n"), true);
	assert_int_equal(t.how, ERR_CORRUPT);
	assert_int_equal(t.codes[0], 0);
	server_close(&s);
	s.in_data = false;

	/* A disk that cannot be read now says nothing about the message. */
	body_error = ERR_TEMP;
	transact(c, &t, b.loop, STR("x\r\n"), false);
	body_error = ERR_OK;
	assert_int_equal(t.how, ERR_TEMP);
	server_close(&s);
	s.in_data = false;

	s.script = all_refused;
	transact(c, &t, b.loop, STR("x\r\n"), false);
	assert_int_equal(t.how, ERR_OK);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(t.codes[i], 451);
	assert_int_equal(s.connections, 3);
	check_cancel(c, b.loop);
	server_close(&s);

	s.script = breaks;
	transact(c, &t, b.loop, STR("x\r\n"), false);
	assert_int_equal(t.how, ERR_TEMP);
	assert_int_equal(t.codes[0], 0);
	s.script = no_service;
	transact(c, &t, b.loop, STR("x\r\n"), false);
	assert_int_equal(t.how, ERR_TEMP);
	s.script = garbage;
	transact(c, &t, b.loop, STR("x\r\n"), false);
	assert_int_equal(t.how, ERR_TEMP);
	server_close(&s);
	check_utf8(c, &s, b.loop);
	check_binary(c, &s, b.loop);
	listener_free(s.listener);
	transact(c, &t, b.loop, STR("x\r\n"), false); /* nobody there */
	assert_int_equal(t.how, ERR_TEMP);

	clients_free(c);
	buf_fini(&long_body);
	buf_fini(&s.data);
	buf_fini(&s.said);
	pool_free(b.pool);
	bed_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_state_killed),
		cmocka_unit_test(test_state_without_room),
		cmocka_unit_test(test_client),
	};
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
