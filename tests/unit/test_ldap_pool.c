/* The pool without a directory: every question ends once and in time, whatever happens to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "auth-ldap/ldap/pool.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

struct fixture {
	struct loop *loop;
	struct ldap_pool *pool;
	struct loop_timer stop;
	unsigned calls, waiting_for;
	enum err err;
	char text[256];
};

static void
on_stop(struct loop_timer *t)
{
	loop_stop(t->loop);
}

static void
run_ms(struct fixture *f, int64_t ms)
{
	loop_timer_start(&f->stop, ms);
	loop_run(f->loop);
	loop_timer_stop(&f->stop);
}

static void
on_answer(void *arg, const struct ldap_op *op)
{
	struct fixture *f = arg;
	f->calls++;
	f->err = op->err;
	assert_true(op->ms >= 0);
	memcpy(f->text, op->text, sizeof op->text);
	if (f->calls == f->waiting_for)
		loop_stop(f->loop);
}

static void
never(void *arg, const struct ldap_op *op)
{
	(void)arg;
	(void)op;
	fail();
}

static struct ldap_pool_options
options(const struct str *uris, size_t n)
{
	return (struct ldap_pool_options){ .name = STR("test"),
		.uris = uris,
		.uris_count = n,
		.connect_ms = 300,
		.setup_ms = 300,
		.search_ms = 500,
		.bind_ms = 500,
		.binds_min = 1,
		.binds_max = 4,
		.bind_idle_ms = 60000,
		.bind_queue_max = 3,
		.tls_min_version = 12 };
}

/* Nobody listens on these. */
static const struct str nobody[] = { STR("ldapi://%2Fnonexistent%2Fldapi"),
	STR("ldap://127.0.0.1:1"), STR("ldaps://[::1]:1") };

static void
open_pool(struct fixture *f)
{
	const char *text = NULL;
	const struct ldap_pool_options o = options(nobody, ARRAY_LEN(nobody));
	*f = (struct fixture){ .loop = loop_new() };
	loop_timer_init(&f->stop, f->loop, on_stop, f);
	assert_int_equal(ldap_pool_new(f->loop, &o, &f->pool, &text), ERR_OK);
}

static void
close_pool(struct fixture *f)
{
	ldap_pool_free(f->pool);
	loop_free(f->loop);
}

static struct ldap_op *
search(struct fixture *f, ldap_fn fn)
{
	const struct ldap_query q = { .base = STR("dc=x"), .filter = STR("(uid=a)") };
	return ldap_pool_search(f->pool, &q, fn, f);
}

static void
test_nobody_there(void **state)
{
	(void)state;
	struct fixture f;
	open_pool(&f);
	int64_t begin = clock_ms();
	f.waiting_for = 2;
	(void)search(&f, on_answer);
	(void)ldap_pool_bind(f.pool, STR("cn=a"), STR("b"), on_answer, &f);
	assert_int_equal(f.calls, 0); /* never inside the call */
	loop_run(f.loop);
	assert_int_equal(f.calls, 2);
	assert_int_equal(f.err, ERR_TEMP);
	assert_non_null(strstr(f.text, "no directory answers"));
	assert_true(clock_ms() - begin < 2000);
	/* known now: no more than one attempt's time */
	for (unsigned i = 0; i < 5; i++) {
		begin = clock_ms();
		f.waiting_for = f.calls + 1;
		(void)search(&f, on_answer);
		loop_run(f.loop);
		assert_int_equal(f.err, ERR_TEMP);
		assert_true(clock_ms() - begin < 1000);
	}
	struct ldap_pool_status s;
	ldap_pool_status(f.pool, &s);
	assert_false(s.search_ready);
	assert_int_equal(s.searches_waiting + s.binds_waiting + s.binds, 0);
	close_pool(&f);
}

static void
test_attempts_rest(void **state)
{
	(void)state;
	struct fixture f;
	struct buf text;
	open_pool(&f);
	int64_t end = clock_ms() + 2500;
	while (clock_ms() < end) {
		(void)search(&f, on_answer);
		run_ms(&f, 5);
	}
	buf_init(&text, 64 * 1024);
	ldap_pool_status_text(f.pool, &text);
	/* each: at once, then after 100, 200, 400, 800 and 1,000 ms, a quarter more or less */
	struct str rest = buf_str(&text), line;
	unsigned servers = 0;
	while (str_cut(rest, '\n', &line, &rest)) {
		size_t at = str_find(line, STR("attempts_total="));
		struct str number, tail;
		uint32_t n = 0;
		if (at == line.n)
			continue;
		(void)str_cut(str_from(line, at + 15), ' ', &number, &tail);
		assert_int_equal(str_to_u32(number, 1000, &n), ERR_OK);
		assert_in_range(n, 4, 8);
		assert_true(str_find(line, STR("state=down")) < line.n);
		assert_true(str_find(line, STR("error=\"")) < line.n);
		servers++;
	}
	assert_int_equal(servers, 3);
	buf_fini(&text);
	close_pool(&f);
}

static void
test_refused_at_once(void **state)
{
	(void)state;
	static const struct {
		struct str dn, password;
		enum err err;
	} rows[] = {
		{ STR(""), STR("b"), ERR_DENIED },
		{ STR("cn=a"), STR(""), ERR_DENIED },
		{ { "cn\0a", 4 }, STR("b"), ERR_DENIED },
	};
	struct fixture f;
	open_pool(&f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		f.waiting_for = f.calls + 1;
		(void)ldap_pool_bind(f.pool, rows[i].dn, rows[i].password, on_answer, &f);
		loop_run(f.loop);
		assert_int_equal(f.err, rows[i].err);
	}
	const struct ldap_query q = { .base = { "dc\0x", 4 }, .filter = STR("(uid=a)") };
	f.waiting_for = f.calls + 1;
	(void)ldap_pool_search(f.pool, &q, on_answer, &f);
	loop_run(f.loop);
	assert_int_equal(f.err, ERR_TEMP);
	close_pool(&f);
}

static void
test_queue_and_cancel(void **state)
{
	(void)state;
	struct fixture f;
	struct ldap_op *ops[3];
	open_pool(&f);
	for (size_t i = 0; i < 3; i++)
		ops[i] = ldap_pool_bind(f.pool, STR("cn=a"), STR("b"), never, NULL);
	f.waiting_for = 1;
	(void)ldap_pool_bind(f.pool, STR("cn=a"), STR("b"), on_answer, &f);
	struct ldap_op *s = search(&f, never);
	ldap_op_cancel(s);
	for (size_t i = 0; i < 3; i++)
		ldap_op_cancel(ops[i]);
	ldap_op_cancel(NULL);
	loop_run(f.loop);
	assert_int_equal(f.err, ERR_TEMP);
	assert_string_equal(f.text, "too many logins wait");
	/* an answer that is on its way can be cancelled, too */
	struct ldap_op *late = ldap_pool_bind(f.pool, STR(""), STR("b"), never, NULL);
	ldap_op_cancel(late);
	run_ms(&f, 20);
	assert_int_equal(f.calls, 1);
	/* freed with questions */
	(void)search(&f, never);
	(void)ldap_pool_bind(f.pool, STR("cn=a"), STR("b"), never, NULL);
	close_pool(&f);
}

static void
test_bad_options(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	static const struct str bad[] = { STR("http://x"), STR("ldap://"), STR("ldap://x/dc=a"),
		STR("ldap://x:99999"), STR("ldapi://relative") };
	struct ldap_pool *p = NULL;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *text = NULL;
		const struct ldap_pool_options o = options(&bad[i], 1);
		assert_int_equal(ldap_pool_new(l, &o, &p, &text), ERR_SYNTAX);
		assert_non_null(text);
	}
	const char *text = NULL;
	struct ldap_pool_options o = options(nobody, 0);
	assert_int_equal(ldap_pool_new(l, &o, &p, &text), ERR_SYNTAX);
	o = options(nobody, 1);
	o.ca_pem = STR("no certificate");
	text = NULL;
	assert_int_equal(ldap_pool_new(l, &o, &p, &text), ERR_SYNTAX);
	assert_non_null(text);
	loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_attempts_rest),
		cmocka_unit_test(test_refused_at_once),
		cmocka_unit_test(test_queue_and_cancel),
		cmocka_unit_test(test_bad_options),
	};
	log_set_level(LVL_ERROR);
	ldap_conn_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
