/* LMTP sessions over a socket pair, with a store and a user service of the test's own that answer
 * when and in what order the test says. */
#ifndef POSTROOM_TESTS_LMTP_CASE_H
#define POSTROOM_TESTS_LMTP_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "delivery/lmtp/session.h"

/* The store's part that a session uses. */
struct home {
	char name[64];
	int refs;
};
struct body {
	struct buf bytes;
	uint64_t max;
	bool slow; /* says ERR_AGAIN once */
	void (*room)(void *arg);
	void *arg;
};
struct deliver {
	deliver_fn done;
	void *arg;
	size_t count, left;
	char ids[16][DELIVERY_ID_MAX + 1];
	char homes[16][64];
	char mailboxes[16][64];
	bool by_sender[16];
	uint32_t create_below[16];
	struct buf bytes;
};

static struct {
	struct loop *loop;
	struct lmtp_server server;
	struct cidr network;
	struct deliver *deliver;
	unsigned delivers, forgotten;
	bool hold_lookups, body_slow, body_fails, textual;
	struct lookup {
		userdb_fn fn;
		void *arg;
		char name[400];
		bool active;
	} lookups[64];
	unsigned lookups_count;
	struct body *body;
	int fd;
	int others[8]; /* further connections, closed at the end */
	unsigned others_count;
	struct buf got;
	unsigned homes;
	struct quota_limit quota; /* what a home was given last */
	struct quota_use use;	  /* of every home */
	enum err pin;		  /* ERR_AGAIN: the pin waits in waiting */
	struct home_wait *waiting;
	unsigned pins;
} T;

enum err
home_get(struct store *s, struct str path, struct home **out)
{
	(void)s;
	*out = xcalloc(1, sizeof(**out));
	memcpy((*out)->name, path.p, path.n < 63 ? path.n : 63);
	T.homes++;
	return ERR_OK;
}

void
home_set_quota(struct home *h, struct quota_limit limit)
{
	(void)h;
	T.quota = limit;
}

struct quota_limit
home_quota(const struct home *h)
{
	(void)h;
	return T.quota;
}

enum err
home_pin(struct home *h, struct home_wait *w)
{
	(void)h;
	T.pins += T.pin == ERR_OK;
	if (T.pin == ERR_AGAIN) {
		w->active = true;
		T.waiting = w;
	}
	return T.pin;
}

void
home_pin_cancel(struct home_wait *w)
{
	if (w->active)
		T.waiting = NULL;
	w->active = false;
}

void
home_unpin(struct home *h)
{
	(void)h;
	T.pins--;
}

enum err
store_read_begin(struct home *h, struct txn **out)
{
	(void)h;
	*out = NULL;
	return ERR_OK;
}

void
store_read_end(struct txn *t)
{
	(void)t;
}

enum err
quota_use_get(struct txn *t, struct quota_use *out)
{
	(void)t;
	*out = T.use;
	return ERR_OK;
}

bool
quota_exceeded(struct quota_limit limit, struct quota_use use, struct quota_use more)
{
	return (limit.messages != 0 && use.messages + more.messages > limit.messages) ||
	       (limit.bytes != 0 && use.bytes + more.bytes > limit.bytes);
}

void
home_unref(struct home *h)
{
	T.homes--;
	free(h);
}

const char *
home_error(const struct home *h)
{
	return h->name;
}

struct body *
body_new(struct home *h, uint64_t max_bytes)
{
	struct body *b = xcalloc(1, sizeof(*b));

	(void)h;
	buf_init(&b->bytes, 4 * 1024 * 1024);
	b->max = max_bytes;
	b->slow = T.body_slow;
	T.body = b;
	return b;
}

void
body_textual(struct body *b)
{
	assert_int_equal(b->bytes.n, 0);
	T.textual = true;
}

void
body_free(struct body *b)
{
	buf_fini(&b->bytes);
	free(b);
	T.body = NULL;
}

enum err
body_write(struct body *b, struct str bytes)
{
	if (T.body_fails)
		return ERR_TEMP;
	if (b->bytes.n + bytes.n > b->max)
		return ERR_LIMIT;
	buf_add(&b->bytes, bytes);
	if (!b->slow)
		return ERR_OK;
	b->slow = false;
	return ERR_AGAIN;
}

void
body_on_room(struct body *b, void (*room)(void *arg), void *arg)
{
	b->room = room;
	b->arg = arg;
}

struct deliver *
store_deliver(struct store *s, const struct deliver_batch *b, deliver_fn done, void *arg)
{
	struct deliver *d = xcalloc(1, sizeof(*d));

	(void)s;
	d->done = done;
	d->arg = arg;
	d->count = d->left = b->count;
	d->bytes = b->body->bytes;
	for (size_t i = 0; i < b->count; i++) {
		memcpy(d->ids[i], b->rcpt[i].delivery_id.p, b->rcpt[i].delivery_id.n);
		memcpy(d->homes[i], b->rcpt[i].home->name, 64);
		if (b->rcpt[i].mailbox.n > 0)
			memcpy(d->mailboxes[i], b->rcpt[i].mailbox.p, b->rcpt[i].mailbox.n);
		d->by_sender[i] = b->rcpt[i].by_sender;
		d->create_below[i] = b->rcpt[i].create_below;
	}
	free(b->body);
	T.body = NULL;
	T.deliver = d;
	T.delivers++;
	return d;
}

void
store_deliver_forget(struct deliver *d)
{
	buf_fini(&d->bytes);
	free(d);
	T.deliver = NULL;
	T.forgotten++;
}

static void
delivered(size_t i, enum err e)
{
	struct deliver *d = T.deliver;

	d->left--;
	d->done(d->arg, i, e, d->left);
	if (d->left == 0) {
		buf_fini(&d->bytes);
		free(d);
		T.deliver = NULL;
	}
}

/* Users: anna, ben, cleo, dora+old at example.org; "down" cannot be asked; "odd" lives elsewhere.
 */
static void
answer(struct lookup *l)
{
	static const char *const users[] = { "anna", "ben", "cleo", "dora+old" };
	struct userdb_user u = { 0 };
	struct str name, domain;
	char home[100] = "/mail/example.org/";

	l->active = false;
	(void)str_cut(str_of(l->name), '@', &name, &domain);
	if (str_eq(name, STR("down"))) {
		l->fn(l->arg, ERR_TEMP, NULL);
		return;
	}
	if (str_eq(name, STR("odd"))) {
		u.home = STR("/etc/passwd");
		l->fn(l->arg, ERR_OK, &u);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		if (!str_eq(name, str_of(users[i])) || !str_ieq(domain, STR("example.org")))
			continue;
		memcpy(home + strlen(home), users[i], strlen(users[i]) + 1);
		u.home = str_of(home);
		u.fields = i == 0 ? STR("home=x\tquota_rule=*:bytes=2K:messages=7")
				  : STR("quota_rule=*:bytes=lots");
		l->fn(l->arg, ERR_OK, &u);
		return;
	}
	l->fn(l->arg, ERR_NOTFOUND, NULL);
}

static struct userdb_request *
lookup(struct userdb *u, struct str name, struct str service, userdb_fn fn, void *arg)
{
	struct lookup *l = &T.lookups[T.lookups_count++ % 64];

	(void)u;
	assert_true(str_eq(service, STR("lmtp")));
	*l = (struct lookup){ .fn = fn, .arg = arg, .active = true };
	memcpy(l->name, name.p, name.n);
	return (struct userdb_request *)(void *)l;
}

static void
lookup_cancel(struct userdb_request *r)
{
	((struct lookup *)(void *)r)->active = false;
}

static void
answer_lookups(void)
{
	for (size_t i = 0; i < 64; i++) {
		if (T.lookups[i].active)
			answer(&T.lookups[i]);
	}
}

/* Lets the loop run for ms, reads what the session says. */
static void
turn_end(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void
turn(int64_t ms)
{
	struct loop_timer t;
	char chunk[65536];
	ssize_t n;

	loop_timer_init(&t, T.loop, turn_end, T.loop);
	for (int i = 0; i < 3; i++) {
		loop_timer_start(&t, ms);
		loop_run(T.loop);
		if (!T.hold_lookups)
			answer_lookups();
	}
	while (T.fd >= 0 && (n = recv(T.fd, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0)
		buf_add(&T.got, str_n(chunk, (size_t)n));
}

static void
start(bool is_unix, uid_t uid, const char *address)
{
	struct peer p = { .is_unix = is_unix, .uid = uid };
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	memcpy(p.addr, address, strlen(address) + 1);
	T.fd = fds[1];
	lmtp_session_start(&T.server, fds[0], &p, LISTEN_TLS_NONE);
	turn(2);
}

static void
say(const char *text)
{
	assert_int_equal(send(T.fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	turn(2);
}

/* Compares what came with want, where "*" stands for the rest of a line, and forgets it. */
static void
expect(const char *want)
{
	struct str got = buf_str(&T.got), w = str_of(want), gl, wl;

	while (w.n != 0 || got.n != 0) {
		bool more_w = str_cut(w, '\n', &wl, &w), more_g = str_cut(got, '\n', &gl, &got);
		size_t star = str_chr(wl, '*');
		bool equal = star < wl.n ? str_starts(gl, str_sub(wl, 0, star))
					 : str_eq(str_trim(gl), str_trim(wl));
		if (!equal || more_w != more_g)
			fail_msg("got \"%.*s\" wanted \"%.*s\"", STR_FMT(gl), STR_FMT(wl));
	}
	buf_reset(&T.got);
}

static bool
closed(void)
{
	char c;

	return recv(T.fd, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
}

static int
setup(void **state)
{
	(void)state;
	memset(&T, 0, sizeof(T));
	T.loop = loop_new();
	buf_init(&T.got, 1024 * 1024);
	assert_int_equal(cidr_parse(STR("127.0.0.0/8"), &T.network), ERR_OK);
	T.server = (struct lmtp_server){ .loop = T.loop,
		.cache = user_cache_new(),
		.lookup = lookup,
		.lookup_cancel = lookup_cancel,
		.hostname = STR("mail.example.org"),
		.mail_root = STR("/mail"),
		.delimiter = '+',
		.separator = '/',
		.message_max_bytes = 100000,
		.recipients_max = 10,
		.command_timeout_ms = 60000,
		.store_timeout_ms = 20000,
		.connections_max = 2,
		.networks = &T.network,
		.networks_count = 1,
		.queue_uid = 77 };
	list_init(&T.server.sessions);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (T.fd >= 0)
		(void)close(T.fd);
	while (T.others_count != 0)
		(void)close(T.others[--T.others_count]);
	T.fd = -1;
	T.hold_lookups = false;
	turn(5);
	assert_int_equal(T.server.sessions_count, 0);
	assert_int_equal(T.homes, 0);
	assert_null(T.body);
	buf_fini(&T.got);
	user_cache_free(T.server.cache);
	loop_free(T.loop);
	return 0;
}

#endif
