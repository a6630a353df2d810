/* delivery/queue/expand: who an address leads to and who hears of failures, with a directory of the
 * test's own behind socketmap.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/mail/srs.h"
#include "delivery/queue/expand.h"

#define SECRET "a secret of the tests"

static struct loop *the_loop;
static struct domains *the_domains;
static bool owners_away, domains_away;
static enum err domains_say = ERR_TEMP; /* when they are away */

/* ---- the directory ---- */

struct socketmap_request {
	struct loop_task task;
	socketmap_fn fn;
	void *arg;
	enum err result;
	const char *value;
};

static const struct {
	const char *map, *key, *value;
} rows[] = {
	{ "domain", "ours.example", "" },
	{ "alias-large", "list@ours.example", "anna@ours.example,far@away.example" },
	{ "owner", "list@ours.example", "keeper@ours.example" },
	{ "alias-large", "plain@ours.example", "anna@ours.example,far@away.example" },
	{ "alias-large", "inside@ours.example", "anna@ours.example,ben@ours.example" },
	{ "alias-large", "forward@ours.example", "far@away.example" },
	{ "alias-large", "keep@ours.example", "keep@ours.example,Keep@away.example" },
};

static void
answer(struct loop_task *t)
{
	struct socketmap_request *r = t->arg;
	struct socketmap_request copy = *r;

	free(r);
	copy.fn(copy.arg, copy.result, str_of(copy.value));
}

struct socketmap *
socketmap_new(struct loop *l, struct str address, size_t reply_max)
{
	(void)l, (void)address, (void)reply_max;
	return xcalloc(1, 1);
}

void
socketmap_free(struct socketmap *s)
{
	free(s);
}

struct socketmap_request *
socketmap_lookup(struct socketmap *s, struct str map, struct str key, socketmap_fn fn, void *arg)
{
	struct socketmap_request *r = xcalloc(1, sizeof(*r));

	(void)s;
	r->fn = fn;
	r->arg = arg;
	r->value = "";
	r->result = ERR_NOTFOUND;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(map, str_of(rows[i].map)) && str_ieq(key, str_of(rows[i].key))) {
			r->result = ERR_OK;
			r->value = rows[i].value;
		}
	if (owners_away && str_eq(map, STR("owner")))
		r->result = ERR_TEMP;
	if (domains_away && str_eq(map, STR("domain")))
		r->result = domains_say;
	loop_task_init(&r->task, the_loop, answer, r);
	loop_task_queue(&r->task);
	return r;
}

void
socketmap_cancel(struct socketmap_request *r)
{
	loop_task_cancel(&r->task);
	free(r);
}

/* ---- one expansion ---- */

static struct buf got; /* "address local|far [list] [from sender]\n…", or "err text" */

static void
on_expanded(void *arg, enum err e, const struct expand_final *finals, size_t count, struct str text)
{
	(void)arg;
	buf_reset(&got);
	if (e != ERR_OK)
		buf_addf(&got, "%s %.*s", err_name(e), STR_FMT(text));
	for (size_t i = 0; i < count; i++) {
		buf_addf(&got, "%.*s %s", STR_FMT(finals[i].address),
			finals[i].local ? "local" : "far");
		if (finals[i].list)
			buf_addz(&got, " list");
		if (finals[i].has_sender)
			buf_addf(&got, " from %.*s", STR_FMT(finals[i].sender));
		buf_addc(&got, '\n');
	}
	loop_stop(the_loop);
}

static const char *
expand(struct expander *x, const char *address, const char *sender)
{
	(void)expand_start(x, str_of(address), str_of(sender), 100, on_expanded, NULL);
	loop_run(the_loop);
	return buf_z(&got);
}

static int
setup(void **state)
{
	the_loop = loop_new();
	buf_init(&got, 65536);
	owners_away = domains_away = false;
	the_domains = domains_new(the_loop);
	*state = expander_new(the_loop, STR("unix:/x"), STR("ours.example"), the_domains);
	return 0;
}

static int
teardown(void **state)
{
	expander_free(*state);
	domains_free(the_domains);
	buf_fini(&got);
	loop_free(the_loop);
	return 0;
}

/* The sender that SRS makes today. */
static const char *
rewritten(const char *sender)
{
	const struct srs srs = { .domain = STR("srs.example"), .secrets = STR(SECRET) };
	static struct buf b;

	buf_fini(&b);
	buf_init(&b, 1000);
	assert_int_equal(srs_forward(&srs, str_of(sender), clock_wall_ms() / 1000, &b), ERR_OK);
	return buf_z(&b);
}

static void
test_owner(void **state)
{
	/* the owner for all that the list leads to; <> stays */
	assert_string_equal(expand(*state, "list@ours.example", "x@else.example"),
		"anna@ours.example local list from keeper@ours.example\n"
		"far@away.example far list from keeper@ours.example\n");
	assert_string_equal(expand(*state, "list@ours.example", ""),
		"anna@ours.example local\nfar@away.example far\n");
	assert_string_equal(expand(*state, "plain@ours.example", "x@else.example"),
		"anna@ours.example local\nfar@away.example far\n");
	assert_string_equal(
		expand(*state, "anna@ours.example", "x@else.example"), "anna@ours.example local\n");
	/* also where SRS would do something */
	expander_set_srs(*state, STR("srs.example"), STR(SECRET));
	assert_string_equal(expand(*state, "list@ours.example", "x@else.example"),
		"anna@ours.example local list from keeper@ours.example\n"
		"far@away.example far list from keeper@ours.example\n");
	owners_away = true;
	assert_true(str_starts(
		str_of(expand(*state, "list@ours.example", "x@else.example")), STR("temp")));
	assert_string_equal(
		expand(*state, "anna@ours.example", "x@else.example"), "anna@ours.example local\n");
}

static void
test_srs_there(void **state)
{
	static const struct {
		const char *address, *sender;
		const char *want; /* %s: the rewritten sender */
	} t[] = {
		{ "forward@ours.example", "x@else.example", "far@away.example far from %s\n" },
		{ "plain@ours.example", "x@else.example",
			"anna@ours.example local\nfar@away.example far from %s\n" },
		{ "keep@ours.example", "x@else.example",
			"keep@ours.example local\nKeep@away.example far from %s\n" },
		{ "forward@ours.example", "SRS0=aaaa=bb=a.example=b@else.example",
			"far@away.example far from %s\n" },
		/* nothing to do */
		{ "forward@ours.example", "ben@ours.example", "far@away.example far\n" },
		{ "forward@ours.example", "ben@OURS.example", "far@away.example far\n" },
		{ "forward@ours.example", "", "far@away.example far\n" },
		{ "inside@ours.example", "x@else.example",
			"anna@ours.example local\nben@ours.example local\n" },
		{ "far@away.example", "x@else.example", "far@away.example far\n" },
		{ "forward@ours.example", "SRS0=aaaa=bb=a.example=b@srs.example",
			"far@away.example far\n" },
	};

	assert_string_equal(expand(*state, "forward@ours.example", "x@else.example"),
		"far@away.example far\n"); /* not set */
	expander_set_srs(*state, STR("srs.example"), STR(SECRET));
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct str want = str_of(t[i].want);
		size_t at = str_find(want, STR("%s"));
		struct buf b;
		buf_init(&b, 4096);
		buf_add(&b, str_sub(want, 0, at));
		if (at < want.n) {
			buf_addz(&b, rewritten(t[i].sender));
			buf_add(&b, str_from(want, at + 2));
		}
		assert_string_equal(expand(*state, t[i].address, t[i].sender), buf_z(&b));
		buf_fini(&b);
	}
	/* too long for others: on with its own */
	char sender[300];
	memset(sender, 'x', 245);
	memcpy(sender + 245, "@else.example", sizeof("@else.example"));
	assert_string_equal(
		expand(*state, "forward@ours.example", sender), "far@away.example far\n");
	domains_away = true;
	assert_true(str_starts(
		str_of(expand(*state, "forward@ours.example", "x@third.example")), STR("temp")));
}

static void
test_srs_back(void **state)
{
	char address[400];

	(void)snprintf(address, sizeof address, "%s", rewritten("Ben@else.example"));
	expander_set_srs(*state, STR("srs.example"), STR(SECRET));
	assert_string_equal(expand(*state, address, ""), "Ben@else.example far\n");
	/* another server's bounce address: its forwarder */
	(void)snprintf(
		address, sizeof address, "%s", rewritten("SRS0=aaaa=bb=a.example=b@else.example"));
	assert_string_equal(
		expand(*state, address, ""), "SRS0=aaaa=bb=a.example=b@else.example far\n");
	address[6]++;
	assert_true(str_starts(str_of(expand(*state, address, "")), STR("denied the return")));
	/* another secret; the old one still read */
	(void)snprintf(address, sizeof address, "%s", rewritten("Ben@else.example"));
	expander_set_srs(*state, STR("srs.example"), STR("quite another secret"));
	assert_true(str_starts(str_of(expand(*state, address, "")), STR("denied")));
	expander_set_srs(*state, STR("srs.example"), STR("quite another secret\n" SECRET));
	assert_string_equal(expand(*state, address, ""), "Ben@else.example far\n");
	/* switched off: an address like any other */
	expander_set_srs(*state, STR_EMPTY, STR_EMPTY);
	expand(*state, address, "");
	assert_true(str_ends(buf_str(&got), STR("@srs.example far\n")));
}

/* The memory of domains: any spelling, long names too, and never that nobody could say. */
static void
test_domains(void **state)
{
	char longest[257], name[32];
	unsigned known = 0;

	memset(longest, 'x', sizeof longest);
	assert_int_equal(domains_known(the_domains, STR("a.example")), DOMAIN_UNKNOWN);
	assert_int_equal(domains_learn(the_domains, STR("A.example"), ERR_OK), DOMAIN_OURS);
	assert_int_equal(domains_known(the_domains, STR("a.EXAMPLE")), DOMAIN_OURS);
	assert_int_equal(domains_known(the_domains, STR("a.exampl")), DOMAIN_UNKNOWN);
	assert_int_equal(domains_learn(the_domains, STR("a.example"), ERR_TEMP), DOMAIN_UNKNOWN);
	assert_int_equal(domains_learn(the_domains, STR("a.example"), ERR_DENIED), DOMAIN_UNKNOWN);
	assert_int_equal(domains_known(the_domains, STR("a.example")), DOMAIN_OURS);
	assert_int_equal(domains_learn(the_domains, STR("a.example"), ERR_NOTFOUND), DOMAIN_OTHERS);
	assert_int_equal(domains_known(the_domains, STR("a.example")), DOMAIN_OTHERS);
	for (size_t n = 254; n <= 257; n++) {
		assert_int_equal(
			domains_learn(the_domains, str_n(longest, n), ERR_OK), DOMAIN_OURS);
		assert_int_equal(domains_known(the_domains, str_n(longest, n)),
			n <= 255 ? DOMAIN_OURS : DOMAIN_UNKNOWN);
	}
	assert_int_equal(domains_learn(the_domains, STR_EMPTY, ERR_OK), DOMAIN_OURS);
	assert_int_equal(domains_known(the_domains, STR_EMPTY), DOMAIN_UNKNOWN);
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof name, "d%d.example", i);
		(void)domains_learn(the_domains, str_of(name), ERR_NOTFOUND);
	}
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof name, "d%d.example", i);
		known += domains_known(the_domains, str_of(name)) == DOMAIN_OTHERS;
	}
	assert_in_range(known, 500, 1024);
	/* a refusal of that question says nothing about who is written to */
	domains_away = true;
	domains_say = ERR_DENIED;
	assert_true(str_starts(str_of(expand(*state, "x@fourth.example", "")), STR("temp")));
	domains_say = ERR_TEMP;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_srs_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_srs_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_domains, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
