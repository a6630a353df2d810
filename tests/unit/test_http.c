/* core/http: a name that nobody resolves holds up neither the loop nor the end of a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>

#include "core/http/http.h"

enum { TIMEOUT_MS = 200, LONG_MS = 60000 };

static atomic_uint resolving, resolved;
static atomic_bool answers;

/* libcurl's, on its thread, ends up here: silent until the test lets it answer. */
int
getaddrinfo(
	const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	(void)name;
	(void)service;
	(void)hints;
	*out = NULL;
	atomic_fetch_add(&resolving, 1);
	while (!atomic_load(&answers))
		(void)poll(NULL, 0, 5);
	atomic_fetch_add(&resolved, 1);
	return EAI_AGAIN;
}

struct waiting {
	struct loop *loop;
	unsigned calls;
	enum err err;
};

static void
on_answer(void *arg, const struct http_answer *a)
{
	struct waiting *w = arg;
	w->calls++;
	w->err = a->err;
	loop_stop(w->loop);
}

static void
on_timer(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void
test_silent_resolver(void **state)
{
	struct waiting w = { .loop = loop_new() };
	struct http *h = http_new(w.loop);
	const struct http_query q = { .url = STR("http://nowhere.example/token"),
		.user = STR_EMPTY,
		.password = STR_EMPTY,
		.body = STR("token=x"),
		.ca_pem = STR_EMPTY,
		.timeout_ms = TIMEOUT_MS,
		.body_max_bytes = 1000 };
	struct http_query patient = q;
	struct loop_timer soon;

	(void)state;
	(void)http_post(h, &q, on_answer, &w);
	loop_run(w.loop);
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.err, ERR_TEMP);
	/* given up by us, and at the end of everything */
	patient.timeout_ms = LONG_MS;
	struct http_request *r = http_post(h, &patient, on_answer, &w);
	(void)http_post(h, &patient, on_answer, &w);
	loop_timer_init(&soon, w.loop, on_timer, w.loop);
	while (resolving < 3) {
		loop_timer_start(&soon, 10);
		loop_run(w.loop);
	}
	http_cancel(r);
	http_free(h);
	assert_int_equal(w.calls, 1);
	assert_int_equal(resolved, 0);
	loop_free(w.loop);
	/* the threads end by themselves */
	atomic_store(&answers, true);
	while (resolved < resolving)
		(void)poll(NULL, 0, 20);
	(void)poll(NULL, 0, 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_resolver),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
