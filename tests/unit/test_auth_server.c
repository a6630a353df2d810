/* auth-ldap/server/auth_server.c: who may ask about a login, once and how long. The directory is a
 * function here that knows one password; the client's end of the socket is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth-ldap/server/service.h"
#include "core/base/xalloc.h"
#include "core/sasl/exchange.h"

enum { COOKIE_CHARS = 32, SHORT_MS = 600, PID = 4711 };

struct world {
	struct loop *loop;
	struct loop_timer timer;
	struct settings settings;
	struct service service;
};

static struct loop *the_loop;

/* ---- the front ---- */

struct front_request {
	struct loop_task task;
	auth_fn fn;
	void *arg;
	bool right;
	char user[64];
};

static void
on_answer_due(struct loop_task *t)
{
	struct front_request *r = t->arg;
	const struct auth_user u = {
		.user = str_of(r->user), .home = STR("/mail/somebody"), .quota = STR("2G")
	};
	const struct auth_answer a = { .err = r->right ? ERR_OK : ERR_DENIED,
		.check = STR("Uanna"),
		.reason = r->right ? REASON_NONE : REASON_PASSWORD,
		.password_expires_sec = -1,
		.grace_logins = -1,
		.user = &u };
	r->fn(r->arg, &a);
	free(r);
}

struct front_request *
front_login(struct front *f UNUSED, const struct front_login *l, auth_fn fn, void *arg)
{
	struct front_request *r = xcalloc(1, sizeof *r);
	size_t n = l->name.n < sizeof r->user ? l->name.n : sizeof r->user - 1;
	r->fn = fn;
	r->arg = arg;
	r->right = str_eq(l->password, STR("right"));
	memcpy(r->user, l->name.p, n);
	loop_task_init(&r->task, the_loop, on_answer_due, r);
	loop_task_queue(&r->task);
	return r;
}

void
front_cancel(struct front_request *r)
{
	if (r == NULL)
		return;
	loop_task_cancel(&r->task);
	free(r);
}

int64_t
front_delay_ms(struct front *f UNUSED, struct str name UNUSED, const struct auth_context *c UNUSED)
{
	return 0;
}

bool
front_blocked(struct front *f UNUSED, struct str name UNUSED, const struct auth_context *c UNUSED)
{
	return false;
}

static unsigned failures; /* that the server counted itself */

void
front_failed(struct front *f UNUSED, struct str name UNUSED, const struct auth_context *c UNUSED)
{
	failures++;
}

/* Nobody has keys. */
static void
on_secret_due(struct loop_task *t)
{
	struct front_request *r = t->arg;
	const struct auth_answer a = { .err = ERR_NOTFOUND, .reason = REASON_UNKNOWN };
	r->fn(r->arg, &a);
	free(r);
}

struct front_request *
front_secret(struct front *f UNUSED, struct str name UNUSED, const struct auth_context *c UNUSED,
	auth_fn fn, void *arg)
{
	struct front_request *r = xcalloc(1, sizeof *r);
	r->fn = fn;
	r->arg = arg;
	loop_task_init(&r->task, the_loop, on_secret_due, r);
	loop_task_queue(&r->task);
	return r;
}

/* ---- the client ---- */

struct client {
	int fd;
	char cookie[COOKIE_CHARS + 1];
};

static void
on_timer(struct loop_timer *t)
{
	loop_stop(t->loop);
}

static void
run_for(struct world *w, int64_t ms)
{
	loop_timer_start(&w->timer, ms);
	loop_run(w->loop);
}

/* What the server says in answer to text. */
static const char *
talk(struct world *w, int fd, const char *text)
{
	static char reply[4096];
	ssize_t n = (ssize_t)strlen(text);
	assert_int_equal(write(fd, text, (size_t)n), n);
	/* On a busy machine one turn of 10 ms may be no turn at all. */
	n = -1;
	for (int i = 0; i < 20 && n <= 0; i++) {
		run_for(w, 10);
		n = recv(fd, reply, sizeof reply - 1, MSG_DONTWAIT);
	}
	reply[n > 0 ? n : 0] = '\0';
	return reply;
}

static struct client
client_of(struct world *w, uid_t uid)
{
	struct client c;
	int pair[2];
	const struct peer peer = { .is_unix = true, .uid = uid };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	auth_server_accept(&w->service, pair[1], &peer);
	c.fd = pair[0];
	const char *greeting = talk(w, c.fd, "VERSION\t1\t2\nCPID\t4711\n");
	const char *at = strstr(greeting, "COOKIE\t");
	assert_non_null(at);
	memcpy(c.cookie, at + strlen("COOKIE\t"), COOKIE_CHARS);
	c.cookie[COOKIE_CHARS] = '\0';
	return c;
}

static struct client
client_new(struct world *w)
{
	return client_of(w, 0);
}

static enum err
ask(struct world *w, const char *cookie, uint32_t pid, uint32_t id)
{
	struct verified v;
	buf_init(&v.user, 100);
	buf_init(&v.home, 100);
	buf_init(&v.quota, 100);
	buf_init(&v.check, 100);
	enum err e = auth_server_verify(&w->service, str_of(cookie), pid, id, &v);
	if (e == ERR_OK) {
		assert_true(str_eq(buf_str(&v.user), STR("anna")));
		assert_true(str_eq(buf_str(&v.home), STR("/mail/somebody")));
		assert_true(str_eq(buf_str(&v.quota), STR("2G")));
		assert_true(str_eq(buf_str(&v.check), STR("Uanna")));
	} else {
		assert_int_equal(v.user.n + v.home.n + v.quota.n + v.check.n, 0);
	}
	buf_fini(&v.user);
	buf_fini(&v.home);
	buf_fini(&v.quota);
	buf_fini(&v.check);
	return e;
}

/* NUL anna NUL right, and with a wrong password. */
#define RIGHT "AGFubmEAcmlnaHQ="
#define WRONG "AGFubmEAd3Jvbmc="

static void
log_in(struct world *w, const struct client *c, const char *id)
{
	char line[200];
	(void)snprintf(line, sizeof line, "AUTH\t%s\tPLAIN\tservice=imap\tresp=" RIGHT "\n", id);
	assert_non_null(strstr(talk(w, c->fd, line), "OK\t"));
}

static int
setup(void **state)
{
	static const struct str mechanisms[] = { STR("PLAIN"), STR("LOGIN"), STR("SCRAM-SHA-256"),
		STR("EXTERNAL") };
	struct world *w = xcalloc(1, sizeof *w);
	struct str missing;
	w->loop = the_loop = loop_new();
	loop_timer_init(&w->timer, w->loop, on_timer, NULL);
	w->settings.auth.requests_max = 100;
	w->settings.auth.clients_max = 100;
	w->settings.auth.idle_timeout = 60000;
	w->settings.auth.sasl_mechanisms.v = (struct str *)(uintptr_t)mechanisms;
	w->settings.auth.sasl_mechanisms.n = ARRAY_LEN(mechanisms);
	w->service.loop = w->loop;
	w->service.settings = &w->settings;
	w->service.verify_ms = AUTH_VERIFY_MS;
	hmap_init(&w->service.auth_conns);
	list_init(&w->service.conns);
	*state = w;
	return sasl_exchange_setup(mechanisms, ARRAY_LEN(mechanisms), STR_EMPTY, &missing) == ERR_OK
		       ? 0
		       : -1;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	while (!list_empty(&w->service.conns)) {
		struct conn *c = CONTAINER_OF(w->service.conns.next, struct conn, link);
		c->kind->end(c);
	}
	/* Streams say their last words; the loop's idea of now may be old at first. */
	for (int i = 0; i < 5; i++)
		run_for(w, 10);
	sasl_exchange_teardown();
	hmap_fini(&w->service.auth_conns);
	loop_timer_stop(&w->timer);
	loop_free(w->loop);
	free(w);
	return 0;
}

/* Gates keep their connections for weeks. */
static void
test_no_password_stays_in_the_input(void **state)
{
	struct world *w = *state;
	struct client c = client_new(w);
	log_in(w, &c, "1");
	const struct conn *conn = CONTAINER_OF(w->service.conns.next, struct conn, link);
	const struct buf *in = stream_in(conn->stream);
	assert_non_null(in->mem);
	assert_true(in->cap > sizeof RIGHT);
	assert_null(memmem(in->mem, in->cap, RIGHT, sizeof RIGHT - 1));
	close(c.fd);
}

static void
test_a_login_is_confirmed_once(void **state)
{
	struct world *w = *state;
	struct client c = client_new(w), other = client_new(w);
	log_in(w, &c, "1");
	assert_int_equal(ask(w, other.cookie, PID, 1), ERR_NOTFOUND);
	assert_int_equal(ask(w, c.cookie, PID + 1, 1), ERR_NOTFOUND);
	assert_int_equal(ask(w, c.cookie, PID, 2), ERR_NOTFOUND);
	assert_int_equal(ask(w, "", PID, 1), ERR_NOTFOUND);
	assert_int_equal(ask(w, c.cookie, PID, 1), ERR_OK);
	assert_int_equal(ask(w, c.cookie, PID, 1), ERR_NOTFOUND);
	close(c.fd);
	close(other.fd);
}

static void
test_a_refused_or_cancelled_login_is_not_confirmed(void **state)
{
	struct world *w = *state;
	struct client c = client_new(w);
	const char *reply =
		talk(w, c.fd, "AUTH\t1\tPLAIN\tservice=imap\tresp=" WRONG "\nCANCEL\t9\n");
	assert_non_null(strstr(reply, "FAIL\t1"));
	assert_int_equal(ask(w, c.cookie, PID, 1), ERR_NOTFOUND);
	log_in(w, &c, "2");
	talk(w, c.fd, "CANCEL\t2\n");
	assert_int_equal(ask(w, c.cookie, PID, 2), ERR_NOTFOUND);
	/* The number of one that succeeded, used again by one that fails. */
	log_in(w, &c, "3");
	(void)talk(w, c.fd, "AUTH\t3\tPLAIN\tservice=imap\tresp=" WRONG "\n");
	assert_int_equal(ask(w, c.cookie, PID, 3), ERR_NOTFOUND);
	close(c.fd);
}

static void
test_a_login_ends_with_its_connection(void **state)
{
	struct world *w = *state;
	struct client c = client_new(w);
	log_in(w, &c, "1");
	close(c.fd);
	run_for(w, 10);
	assert_int_equal(ask(w, c.cookie, PID, 1), ERR_NOTFOUND);
}

static void
test_a_login_too_old_is_not_confirmed(void **state)
{
	struct world *w = *state;
	assert_int_equal(AUTH_VERIFY_MS, 60000);
	w->service.verify_ms = SHORT_MS;
	struct client c = client_new(w);
	log_in(w, &c, "1");
	assert_int_equal(ask(w, c.cookie, PID, 1), ERR_OK);
	/* Too old, and no timer had its turn. */
	log_in(w, &c, "2");
	usleep((SHORT_MS + 10) * 1000);
	assert_int_equal(ask(w, c.cookie, PID, 2), ERR_NOTFOUND);
	/* And forgotten, each in its time, while a younger one stands. */
	log_in(w, &c, "3");
	run_for(w, SHORT_MS - 20);
	log_in(w, &c, "4");
	run_for(w, 20);
	assert_int_equal(ask(w, c.cookie, PID, 3), ERR_NOTFOUND);
	w->service.verify_ms = AUTH_VERIFY_MS;
	assert_int_equal(ask(w, c.cookie, PID, 3), ERR_NOTFOUND);
	assert_int_equal(ask(w, c.cookie, PID, 4), ERR_OK);
	close(c.fd);
}

static void
test_an_incomplete_claim_is_refused(void **state)
{
	static const char *const responses[] = {
		"AGFubmEA",	    /* NUL anna NUL */
		"AABy",		    /* NUL NUL r */
		"AGFubmEAcmlnaHQA", /* NUL anna NUL right NUL */
		"AGFubmE=",	    /* NUL anna */
		"",
	};
	struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		struct client c = client_new(w);
		char line[200];
		(void)snprintf(
			line, sizeof line, "AUTH\t1\tPLAIN\tservice=imap\tresp=%s\n", responses[i]);
		assert_null(strstr(talk(w, c.fd, line), "OK\t"));
		assert_int_equal(ask(w, c.cookie, PID, 1), ERR_NOTFOUND);
		close(c.fd);
	}
}

static void
test_scram_of_nobody(void **state)
{
	/* n,,n=nobody,r=abc and c=biws,r=abc,p=AAAA */
	struct world *w = *state;
	struct client c = client_new(w);
	failures = 0;
	const char *reply = talk(
		w, c.fd, "AUTH\t1\tSCRAM-SHA-256\tservice=imap\tresp=biwsbj1ub2JvZHkscj1hYmM=\n");
	assert_non_null(strstr(reply, "CONT\t1\tcj1hYm"));
	assert_int_equal(failures, 0);
	reply = talk(w, c.fd, "CONT\t1\tYz1iaXdzLHI9YWJjLHA9QUFBQQ==\n");
	assert_non_null(strstr(reply, "FAIL\t1"));
	/* Another nonce than ours is no guess. */
	assert_int_equal(failures, 0);
	/* Gone in the middle. */
	talk(w, c.fd,
		"AUTH\t2\tSCRAM-SHA-256\tservice=imap\tresp=biwsbj1ub2JvZHkscj1hYmM=\nCANCEL\t2\n");
	assert_int_equal(ask(w, c.cookie, PID, 2), ERR_NOTFOUND);
	talk(w, c.fd, "AUTH\t3\tSCRAM-SHA-256\tservice=imap\tresp=biwsbj1ub2JvZHkscj1hYmM=\n");
	close(c.fd);
	run_for(w, 10);
}

static void
test_certificates_count_from_our_own_only(void **state)
{
	struct world *w = *state;
	static const char line[] = "AUTH\t1\tEXTERNAL\tservice=imap\tsecured\tvalid-client-cert\t"
				   "cert_username=CN=right\tresp=\n";
	struct client own = client_new(w), other = client_of(w, 12345);
	/* The front of this test wants a password; that it was asked is enough. */
	failures = 0;
	assert_non_null(strstr(talk(w, own.fd, line), "FAIL\t1\tuser=CN=right"));
	assert_string_equal(talk(w, other.fd, line), "FAIL\t1\n");
	close(own.fd);
	close(other.fd);
}

static void
test_passwords_need_a_safe_line(void **state)
{
	struct world *w = *state;
	struct client c = client_new(w);
	const char *far = "AUTH\t1\tPLAIN\tservice=imap\trip=192.0.2.1\tresp=" RIGHT "\n";
	assert_non_null(strstr(talk(w, c.fd, far), "FAIL\t1"));
	assert_non_null(strstr(
		talk(w, c.fd,
			"AUTH\t2\tPLAIN\tservice=imap\trip=192.0.2.1\tsecured\tresp=" RIGHT "\n"),
		"OK\t2"));
	w->settings.auth.plaintext_login = true;
	assert_non_null(strstr(talk(w, c.fd, far), "OK\t1"));
	close(c.fd);
}

/* Postfix reads every FAIL as a wrong password, and only a lost connection as temporary. */
static void
test_more_logins_than_are_taken_on(void **state)
{
	struct world *w = *state;
	struct client own = client_new(w), postfix = client_of(w, 12345);
	static const char line[] = "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tresp=" RIGHT "\n";
	char byte;
	w->settings.auth.requests_max = 0;
	assert_non_null(strstr(talk(w, own.fd, line), "FAIL\t1\ttemp\t"));
	assert_string_equal(talk(w, postfix.fd, "VERSION\t1\t1\n"), "");
	assert_string_equal(talk(w, postfix.fd, line), "");
	assert_int_equal(recv(postfix.fd, &byte, 1, MSG_DONTWAIT), 0);
	close(own.fd);
	close(postfix.fd);
}

static void
test_a_reload_is_told_to_our_own_only(void **state)
{
	struct world *w = *state;
	struct client own = client_new(w), other = client_of(w, 12345);
	static struct str more[] = { STR("PLAIN"), STR("XOAUTH2") };
	w->settings.auth.sasl_mechanisms.v = more;
	w->settings.auth.sasl_mechanisms.n = ARRAY_LEN(more);
	auth_server_reload(&w->service);
	assert_string_equal(talk(w, own.fd, "CANCEL\t9\n"),
		"MECH\tPLAIN\tplaintext\nMECH\tXOAUTH2\tplaintext\n");
	assert_string_equal(talk(w, other.fd, "CANCEL\t9\n"), "");
	close(own.fd);
	close(other.fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_no_password_stays_in_the_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_login_is_confirmed_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_refused_or_cancelled_login_is_not_confirmed, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_login_ends_with_its_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_login_too_old_is_not_confirmed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scram_of_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_certificates_count_from_our_own_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_passwords_need_a_safe_line, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_an_incomplete_claim_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_more_logins_than_are_taken_on, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_reload_is_told_to_our_own_only, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
