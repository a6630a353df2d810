/* See smtp_fakes.h. */
#include "tests/unit/smtp_fakes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

struct fakes fakes;

static struct loop_io client_io;
/* When nothing came for the time of quiet, and for TURNS turns of the loop after it: on a busy
 * machine the time alone says nothing. */
static struct loop_timer quiet;
static struct loop_task settle;
static unsigned turns;
enum { TURNS = 32 };
static bool session_gone;

/* The directory. */

struct socketmap_request {
	struct loop_task task;
	struct list held;
	socketmap_fn fn;
	void *arg;
	enum err result;
	char value[128];
};

static struct list held = { .prev = &held, .next = &held };

static void
answer_lookup(struct loop_task *t)
{
	struct socketmap_request *r = t->arg;
	socketmap_fn fn = r->fn;
	void *arg = r->arg;
	enum err e = r->result;
	char value[sizeof(r->value)];

	memcpy(value, r->value, sizeof(value));
	free(r);
	fn(arg, e, str_of(value));
}

/* "list-open@ok.org <>" */
static enum err
may_post(struct str key)
{
	struct str group, who;

	(void)str_cut(key, ' ', &group, &who);
	if (str_starts(group, STR("list-temp")))
		return ERR_TEMP;
	if (str_starts(group, STR("list-alias")))
		return ERR_NOTFOUND;
	if (str_starts(group, STR("list-open")) || str_eq(who, STR("me@ok.org")) ||
		str_eq(who, STR("anna")) || str_eq(who, STR("own@second.org")) ||
		str_eq(who, STR("partner@else.org")))
		return ERR_OK;
	return ERR_DENIED;
}

static enum err
known(struct str map, struct str key, char value[128])
{
	size_t at = str_rchr(key, '@');
	struct str local = str_sub(key, 0, at), domain = str_from(key, at + 1);

	if (fakes.directory_away || str_starts(key, STR("temp")))
		return ERR_TEMP;
	if (str_eq(map, STR("post")))
		return may_post(key);
	if (str_eq(map, STR("mailbox")) && str_eq(key, STR("own@second.org")))
		return ERR_OK;
	if (str_eq(map, STR("domain")))
		return str_eq(key, STR("ok.org")) ? ERR_OK : ERR_NOTFOUND;
	if (!str_eq(domain, STR("ok.org")))
		return ERR_NOTFOUND;
	if (str_eq(map, STR("sender"))) {
		(void)snprintf(value, 128, "%s%.*s", str_eq(local, STR("me")) ? "anna, " : "",
			STR_FMT(str_sub(local, 0, 64)));
		return ERR_OK;
	}
	if (str_eq(map, STR("alias")) && str_starts(local, STR("list")))
		return ERR_OK;
	return str_eq(map, STR("mailbox")) && str_starts(local, STR("known")) ? ERR_OK
									      : ERR_NOTFOUND;
}

struct socketmap_request *
socketmap_lookup(struct socketmap *s, struct str map, struct str key, socketmap_fn fn, void *arg)
{
	struct socketmap_request *r = xcalloc(1, sizeof(*r));

	(void)s;
	r->fn = fn;
	r->arg = arg;
	r->result = known(map, key, r->value);
	loop_task_init(&r->task, fakes.loop, answer_lookup, r);
	fakes.recipients_asked += str_eq(map, STR("domain"));
	if (fakes.directory_holds)
		list_push_front(&held, &r->held);
	else
		loop_task_queue(&r->task);
	return r;
}

void
fakes_directory_answers(void)
{
	LIST_FOREACH (l, &held) {
		list_remove(l);
		loop_task_queue(&CONTAINER_OF(l, struct socketmap_request, held)->task);
	}
	fakes_run(5);
}

void
socketmap_cancel(struct socketmap_request *r)
{
	list_remove(&r->held);
	loop_task_cancel(&r->task);
	free(r);
}

/* Logins. */

struct auth_request {
	struct loop_task task;
	const struct auth_ops *ops;
	void *arg;
	bool login; /* LOGIN, not PLAIN */
	unsigned step;
	struct buf user, response;
};

static struct auth_request *open_login;

static void
auth_free(struct auth_request *r)
{
	open_login = NULL;
	loop_task_cancel(&r->task);
	buf_fini(&r->user);
	buf_fini(&r->response);
	free(r);
}

static void
auth_end(struct auth_request *r, struct str user, bool good)
{
	const struct auth_ticket ticket = { .request_id = 1 };
	struct buf name;

	buf_init(&name, 4096);
	buf_add(&name, str_sub(user, 0, 100));
	if (good && name.n > 0)
		r->ops->on_ok(r->arg, r, buf_str(&name), STR_EMPTY, &ticket);
	else
		r->ops->on_fail(r->arg, r, fakes.auth_away ? AUTH_FAIL_TEMP : AUTH_FAIL_CREDENTIALS,
			STR_EMPTY);
	buf_fini(&name);
	auth_free(r);
}

static void
auth_step(struct loop_task *t)
{
	struct auth_request *r = t->arg;
	struct str response = buf_str(&r->response), user, password, authzid;

	if (fakes.auth_away) {
		auth_end(r, STR_EMPTY, false);
	} else if (!r->login && r->step == 0) {
		r->ops->on_continue(r->arg, r, STR_EMPTY);
	} else if (!r->login) {
		bool good = str_cut(response, '\0', &authzid, &response) &&
			    str_cut(response, '\0', &user, &password);
		auth_end(r, good ? user : STR_EMPTY, good && str_eq(password, STR("good")));
	} else if (r->step == 0) {
		r->ops->on_continue(r->arg, r, STR("Username:"));
	} else if (r->step == 1) {
		buf_add(&r->user, response);
		r->ops->on_continue(r->arg, r, STR("Password:"));
	} else {
		auth_end(r, buf_str(&r->user), str_eq(response, STR("good")));
	}
}

struct auth_request *
auth_request_start(struct auth_client *c, const struct auth_login *login,
	const struct auth_ops *ops, void *arg)
{
	struct auth_request *r = xcalloc(1, sizeof(*r));

	(void)c;
	open_login = r;
	r->ops = ops;
	r->arg = arg;
	r->login = str_eq(login->mechanism, STR("LOGIN"));
	r->step = login->has_initial;
	buf_init(&r->user, 65536);
	buf_init(&r->response, 65536);
	buf_add(&r->response, login->initial);
	loop_task_init(&r->task, fakes.loop, auth_step, r);
	loop_task_queue(&r->task);
	return r;
}

void
fakes_auth_dies(void)
{
	fakes.auth_away = true;
	auth_end(open_login, STR_EMPTY, false);
	fakes_run(5);
}

enum err
auth_request_continue(struct auth_request *r, struct str response)
{
	r->step++;
	buf_reset(&r->response);
	buf_add(&r->response, response);
	loop_task_queue(&r->task);
	return ERR_OK;
}

void
auth_request_cancel(struct auth_request *r)
{
	auth_free(r);
}

/* The DNS. */

struct resolver_client {
	int unused;
};
static struct resolver_client resolver;

struct resolver_query {
	struct loop_timer timer;
	struct resolver_answer answer;
	resolver_fn fn;
	void *arg;
};

static void
answer_dns(struct loop_timer *t)
{
	struct resolver_query *q = t->arg;
	struct resolver_answer a = q->answer;
	resolver_fn fn = q->fn;
	void *arg = q->arg;

	resolver_cancel(q);
	fn(arg, &a);
}

struct resolver_query *
resolver_ask(struct resolver_client *c, struct str name, enum dns_type type, int64_t timeout_ms,
	resolver_fn fn, void *arg)
{
	struct resolver_query *q = xcalloc(1, sizeof(*q));
	struct resolver_answer *a = &q->answer;

	assert(c != NULL);
	fakes.dns_asked++;
	q->fn = fn;
	q->arg = arg;
	*a = (struct resolver_answer){ .type = type, .state = RESOLVER_NO_NAME };
	for (const struct fake_record *r = fakes.dns; r != NULL && r->name != NULL; r++) {
		if (!str_ieq(name, str_of(r->name)) || r->type != type)
			continue;
		a->state = r->state;
		if (r->state == RESOLVER_FOUND && a->count < RESOLVER_RECORDS_MAX)
			a->records[a->count++] =
				(struct resolver_record){ .preference = type == DNS_MX ? 10 : 0,
					.text = str_of(r->text) };
	}
	if (fakes.dns_silent)
		*a = (struct resolver_answer){ .type = type, .state = RESOLVER_TEMP };
	loop_timer_init(&q->timer, fakes.loop, answer_dns, q);
	loop_timer_start(&q->timer, fakes.dns_silent ? timeout_ms : 0);
	return q;
}

void
resolver_cancel(struct resolver_query *q)
{
	if (q == NULL)
		return;
	loop_timer_stop(&q->timer);
	free(q);
}

/* The spool. */

struct spool_writer {
	struct loop_task task;
	struct buf body;
	uint64_t bytes;
	unsigned flags;
	spool_commit_fn fn;
	void *arg;
	bool drained;
	void (*drain)(void *arg);
	void *drain_arg;
};

static struct spool_waiter *waiting;
static struct loop_task wake;

enum err
spool_peek(const struct spool_client *c)
{
	(void)c;
	return fakes.spool_state;
}

static void
writer_free(struct spool_writer *w)
{
	loop_task_cancel(&w->task);
	buf_fini(&w->body);
	free(w);
}

static void
writer_step(struct loop_task *t)
{
	struct spool_writer *w = t->arg;

	if (w->fn == NULL) { /* the write of a chunk ended */
		w->drained = true;
		if (w->drain != NULL)
			w->drain(w->drain_arg);
		return;
	}
	if (fakes.commit_result == ERR_OK) {
		fakes.commits++;
		fakes.flags = w->flags;
		buf_reset(&fakes.body);
		buf_add(&fakes.body, buf_str(&w->body));
	} else {
		fakes.slots_dropped++;
	}
	w->fn(w->arg, w, fakes.commit_result);
	writer_free(w);
}

enum err
spool_take(struct spool_client *c, struct spool_writer **out)
{
	struct spool_writer *w;

	(void)c;
	if (fakes.spool_state != ERR_OK)
		return fakes.spool_state;
	w = xcalloc(1, sizeof(*w));
	w->drained = true;
	buf_init(&w->body, 1 << 24);
	loop_task_init(&w->task, fakes.loop, writer_step, w);
	fakes.slots_taken++;
	*out = w;
	return ERR_OK;
}

static void
on_wake(struct loop_task *t)
{
	struct spool_waiter *w = waiting;

	(void)t;
	waiting = NULL;
	fakes.spool_state = ERR_OK;
	if (w != NULL)
		w->fn(w);
}

void
spool_wait(struct spool_client *c, struct spool_waiter *w)
{
	(void)c;
	waiting = w;
	if (!fakes.slots_never)
		loop_task_queue(&wake);
}

void
spool_wait_cancel(struct spool_waiter *w)
{
	if (waiting == w)
		waiting = NULL;
}

struct str
spool_writer_name(const struct spool_writer *w)
{
	(void)w;
	return STR("0123456789abcdef");
}

/* Every 1,000 bytes the writer is full for a turn. */
void
spool_write(struct spool_writer *w, struct str bytes)
{
	if ((w->bytes + bytes.n) / 1000 != w->bytes / 1000) {
		w->drained = false;
		loop_task_queue(&w->task);
	}
	w->bytes += bytes.n;
	buf_add(&w->body, bytes);
}

bool
spool_writer_full(const struct spool_writer *w)
{
	return !w->drained;
}

void
spool_writer_on_drain(struct spool_writer *w, void (*drain)(void *arg), void *arg)
{
	w->drain = drain;
	w->drain_arg = arg;
}

bool
spool_writer_failed(const struct spool_writer *w)
{
	(void)w;
	return false;
}

const char *
spool_writer_error(const struct spool_writer *w)
{
	(void)w;
	return "fault";
}

/* UTF-8 came only with SMTPUTF8, which Received tells, and domains are A-labels. */
static void
check_address(const struct spool_writer *w, struct str address)
{
	assert(str_is_utf8(address));
	assert(!str_has_8bit(str_from(address, str_rchr(address, '@'))));
	if (str_has_8bit(address))
		assert(str_find(buf_str(&w->body), STR("with UTF8SMTP")) < w->body.n);
}

void
spool_commit(struct spool_writer *w, const struct spool_envelope *e, spool_commit_fn fn, void *arg)
{
	assert(w->fn == NULL && e->rcpts_count > 0);
	check_address(w, e->sender);
	for (size_t i = 0; i < e->rcpts_count; i++)
		check_address(w, e->rcpts[i].address);
	w->fn = fn;
	w->arg = arg;
	buf_reset(&fakes.sender);
	buf_add(&fakes.sender, e->sender);
	buf_reset(&fakes.wishes);
	buf_addf(&fakes.wishes, "%d %.*s\n", (int)e->ret, STR_FMT(e->envid));
	for (size_t i = 0; i < e->rcpts_count; i++)
		buf_addf(
			&fakes.wishes, "%u %.*s\n", e->rcpts[i].notify, STR_FMT(e->rcpts[i].orcpt));
	w->flags = e->flags;
	for (size_t i = 0; i < e->rcpts_count && fakes.commit_result == ERR_OK; i++) {
		buf_add(&fakes.rcpts, e->rcpts[i].address);
		buf_addc(&fakes.rcpts, '\n');
	}
	loop_task_queue(&w->task);
}

void
spool_abort(struct spool_writer *w)
{
	fakes.slots_dropped++;
	writer_free(w);
}

/* The client. */

static void
on_client(struct loop_io *io, int events)
{
	char piece[16384];
	ssize_t n;

	(void)events;
	n = read(io->fd, piece, sizeof(piece));
	if (n > 0) {
		buf_add(&fakes.output, str_n(piece, (size_t)n));
		loop_task_cancel(&settle);
		loop_timer_start(&quiet, 1);
	} else if (n == 0 || errno != EAGAIN) {
		loop_io_set(io, 0);
		close(io->fd);
		fakes.client = -1;
		if (session_gone)
			loop_stop(fakes.loop);
	}
}

static void
on_room(void *arg)
{
	(void)arg;
	session_gone = true;
	if (fakes.client < 0)
		loop_stop(fakes.loop);
}

static void
on_quiet(struct loop_timer *t)
{
	(void)t;
	turns = 0;
	loop_task_queue(&settle);
}

static void
on_settle(struct loop_task *t)
{
	if (++turns < TURNS)
		loop_task_queue(t);
	else
		loop_stop(fakes.loop);
}

void
fakes_start(void (*change)(struct smtp_options *o))
{
	static const struct str mechanisms[] = { { "PLAIN", 5 }, { "LOGIN", 5 } };
	static struct settings settings;
	static const struct cidr ours = { .addr = { 192, 0, 2, 0 }, .bits = 24 };
	struct smtp_options o = {
		.hostname = STR("mx.ok.org"),
		.default_domain = STR("ok.org"),
		.delimiter = '+',
		.settings = &settings,
		.message_max = 20000,
		.header_max = 4000,
		.recipients_max = 5,
		.connections_max = 1,
		.connections_per_address = 1,
		.errors_max = 20,
		.logins_max = 3,
		.hops_max = 5,
		.relay_networks = &ours,
		.relay_networks_count = 1,
		.command_timeout_ms = 2000,
		.data_timeout_ms = 2000,
		.login_timeout_ms = 5000,
		.slot_timeout_ms = 20,
	};

	settings.auth.sasl_mechanisms.v = (struct str *)(uintptr_t)mechanisms;
	settings.auth.sasl_mechanisms.n = ARRAY_LEN(mechanisms);
	settings.queue.srs_domain = STR("srs.ok.org");
	settings.queue.srs_secret = STR(FAKES_SRS_SECRET);
	log_set_level(LVL_ERROR);
	memset(&fakes, 0, sizeof(fakes));
	fakes.loop = loop_new();
	fakes.client = -1;
	buf_init(&fakes.body, 1 << 24);
	buf_init(&fakes.rcpts, 1 << 24);
	buf_init(&fakes.wishes, 1 << 24);
	buf_init(&fakes.sender, 1 << 20);
	buf_init(&fakes.output, 1 << 26);
	if (change != NULL)
		change(&o);
	fakes.server = smtp_server_new(
		&o, &(struct smtp_peers){ .loop = fakes.loop, .resolver = &resolver });
	smtp_server_on_room(fakes.server, on_room, NULL);
	loop_task_init(&wake, fakes.loop, on_wake, NULL);
	loop_timer_init(&quiet, fakes.loop, on_quiet, NULL);
	loop_task_init(&settle, fakes.loop, on_settle, NULL);
}

void
fakes_stop(void)
{
	smtp_server_free(fakes.server);
	if (fakes.client >= 0) {
		loop_io_set(&client_io, 0);
		close(fakes.client);
	}
	loop_task_cancel(&wake);
	fakes_run(2); /* streams that linger see that the client is gone */
	loop_free(fakes.loop);
	buf_fini(&fakes.body);
	buf_fini(&fakes.rcpts);
	buf_fini(&fakes.wishes);
	buf_fini(&fakes.sender);
	buf_fini(&fakes.output);
}

static void
connect_as(const struct smtp_policy *policy, const char *address)
{
	struct peer peer = { .addr = "" };
	int fds[2];

	(void)snprintf(peer.addr, sizeof(peer.addr), "%s", address);

	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	fakes.client = fds[0];
	session_gone = false;
	loop_io_init(&client_io, fakes.loop, fds[0], on_client, NULL);
	loop_io_set(&client_io, LOOP_READ);
	smtp_server_accept(fakes.server, fds[1], &peer, policy);
}

void
fakes_connect(void)
{
	static const struct smtp_policy policy = { .clear_auth = true,
		.protocol = "submission",
		.require_auth = true,
		.check_sender = true,
		.normalise_newline = true };

	connect_as(&policy, "192.0.2.1");
}

void
fakes_connect_mx(const char *address)
{
	static const struct smtp_policy policy = {
		.clear_auth = true, .protocol = "smtp", .mx = true
	};

	connect_as(&policy, address);
}

void
fakes_run(int64_t ms)
{
	loop_timer_start(&quiet, ms);
	loop_run(fakes.loop);
	loop_timer_stop(&quiet);
	loop_task_cancel(&settle);
}

void
fakes_send(struct str bytes, size_t step)
{
	while (bytes.n > 0 && fakes.client >= 0) {
		size_t want = step > 0 && step < bytes.n ? step : bytes.n;
		ssize_t n = send(fakes.client, bytes.p, want, MSG_NOSIGNAL);
		if (n > 0)
			bytes = str_from(bytes, (size_t)n);
		else if (errno != EAGAIN)
			return;
		if (n < 0 || step > 0)
			fakes_run(1);
	}
	fakes_run(3);
}

void
fakes_put(struct str bytes)
{
	ssize_t n = send(fakes.client, bytes.p, bytes.n, MSG_NOSIGNAL);

	(void)n;
}

void
fakes_end(void)
{
	if (fakes.client >= 0)
		(void)shutdown(fakes.client, SHUT_WR);
	while (fakes.client >= 0 || !session_gone) {
		loop_timer_stop(&quiet);
		loop_task_cancel(&settle);
		loop_run(fakes.loop);
	}
}
