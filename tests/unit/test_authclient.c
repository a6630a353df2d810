/* The clients of auth, auth-userdb and directory against a scripted service: what they say, what
 * they make of answers, byte by byte too, and that no failure ever becomes a "no". */
#include "tests/unit/scripted.h"

#include <string.h>

#include "core/authclient/auth.h"
#include "core/authclient/socketmap.h"
#include "core/authclient/userdb.h"
#include "core/authclient/wire.h"
#include "core/base/log.h"

#define HELLO                                                                                \
	"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t77\nCUID\t5\n" \
	"COOKIE\t00112233445566778899aabbccddeeff\nDONE\n"

struct login {
	int continued, ok, failed;
	enum auth_fail why;
	char user[128], reason[128], challenge[128], extra[128];
	struct auth_ticket ticket;
	struct auth_request *request;
};

static void
keep(char *out, size_t n, struct str s)
{
	snprintf(out, n, "%.*s", STR_FMT(s));
}

static void
on_continue(void *arg, struct auth_request *r, struct str challenge)
{
	struct login *l = arg;
	l->continued++;
	keep(l->challenge, sizeof(l->challenge), challenge);
	assert_int_equal(auth_request_continue(r, STR("s3cret")), ERR_OK);
}

static void
on_ok(void *arg, struct auth_request *r, struct str user, struct str fields,
	const struct auth_ticket *ticket)
{
	struct login *l = arg;
	struct buf extra;
	(void)r;
	l->ok++;
	keep(l->user, sizeof(l->user), user);
	l->ticket = *ticket;
	buf_init(&extra, 100);
	if (auth_field(fields, "extra", &extra) == ERR_OK)
		keep(l->extra, sizeof(l->extra), buf_str(&extra));
	buf_fini(&extra);
}

static void
on_fail(void *arg, struct auth_request *r, enum auth_fail why, struct str reason)
{
	struct login *l = arg;
	(void)r;
	l->failed++;
	l->why = why;
	keep(l->reason, sizeof(l->reason), reason);
}

static const struct auth_ops OPS = {
	.on_continue = on_continue,
	.on_ok = on_ok,
	.on_fail = on_fail,
};

static bool
login_over(void *arg)
{
	const struct login *l = arg;
	return l->ok + l->failed > 0;
}

static const struct auth_login PLAIN = {
	.mechanism = { "plain", 5 },
	.service = { "imap", 4 },
	.session = { "8f3a", 4 },
	.local_addr = { "127.0.0.1", 9 },
	.remote_addr = { "192.0.2.7", 9 },
	.local_port = 143,
	.remote_port = 4711,
	.secured = true,
	.has_initial = true,
	.initial = { "\0jane\0secret", 12 },
};

/* Says a fixed text for every line that begins with "AUTH" or "CONT". */
struct answers {
	const char *to_auth, *to_cont;
	char auth[512], cont[512], cancel[64];
};

static void
answer_auth(struct scripted_connection *c)
{
	struct answers *a = c->server->arg;
	struct str line;
	while (wire_line(&c->got, 65536, &line) == ERR_OK) {
		if (str_starts(line, STR("AUTH\t"))) {
			keep(a->auth, sizeof(a->auth), line);
			if (a->to_auth != NULL)
				scripted_sayz(c, a->to_auth);
			else
				scripted_close(c);
		} else if (str_starts(line, STR("CONT\t"))) {
			keep(a->cont, sizeof(a->cont), line);
			scripted_sayz(c, a->to_cont);
		} else if (str_starts(line, STR("CANCEL\t"))) {
			keep(a->cancel, sizeof(a->cancel), line);
		}
		if (c->fd < 0)
			return;
		buf_consume(&c->got, line.n + 1);
	}
}

struct world {
	struct loop *loop;
	struct scripted server;
	struct answers answers;
};

static void
world_init(struct world *w, const char *greeting, bool byte_by_byte)
{
	*w = (struct world){ .loop = loop_new() };
	scripted_init(&w->server, w->loop);
	w->server.greeting = greeting;
	w->server.byte_by_byte = byte_by_byte;
	w->server.arg = &w->answers;
}

static void
world_fini(struct world *w)
{
	scripted_fini(&w->server);
	loop_free(w->loop);
}

/* One login against one answer. */
static void
login_once(const char *greeting, const char *to_auth, const char *to_cont, bool bytewise,
	struct login *l, struct answers *a)
{
	struct world w;
	world_init(&w, greeting, bytewise);
	w.answers.to_auth = to_auth;
	w.answers.to_cont = to_cont;
	w.server.on_input = answer_auth;
	scripted_listen(&w.server);
	struct auth_client *c = auth_client_new(w.loop, str_of(w.server.address));
	*l = (struct login){ .ok = 0 };
	l->request = auth_request_start(c, &PLAIN, &OPS, l);
	assert_non_null(l->request);
	assert_true(run_until(w.loop, login_over, l, 5000));
	*a = w.answers;
	auth_client_free(c);
	world_fini(&w);
}

static void
test_auth_ok(void **state)
{
	(void)state;
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct login l;
		struct answers a;
		login_once(HELLO, "OK\t1\tuser=ja\001tne@example.org\textra=a\0011b\n", NULL,
			bytewise, &l, &a);
		assert_int_equal(l.ok, 1);
		assert_string_equal(l.user, "ja\tne@example.org");
		assert_string_equal(l.extra, "a\001b");
		assert_string_equal(l.ticket.cookie, "00112233445566778899aabbccddeeff");
		assert_int_equal(l.ticket.server_pid, 77);
		assert_int_equal(l.ticket.request_id, 1);
		assert_int_equal(l.ticket.client_pid, getpid());
		assert_string_equal(a.auth,
			"AUTH\t1\tPLAIN\tservice=imap\tsecured\tsession=8f3a\tlip=127.0.0.1\t"
			"rip=192.0.2.7\tlport=143\trport=4711\tresp=AGphbmUAc2VjcmV0");
	}
}

static void
test_auth_exchange(void **state)
{
	struct login l;
	struct answers a;
	(void)state;
	login_once(HELLO, "CONT\t1\tUGFzc3dvcmQ6\n", "OK\t1\tuser=jane\n", true, &l, &a);
	assert_int_equal(l.continued, 1);
	assert_string_equal(l.challenge, "Password:");
	assert_string_equal(a.cont, "CONT\t1\tczNjcmV0");
	assert_string_equal(l.user, "jane");
}

static void
test_auth_failures(void **state)
{
	static const struct {
		const char *line;
		enum auth_fail why;
		const char *reason;
	} CASES[] = {
		{ "FAIL\t1\n", AUTH_FAIL_CREDENTIALS, "" },
		{ "FAIL\t1\tuser=jane\n", AUTH_FAIL_CREDENTIALS, "" },
		{ "FAIL\t1\tuser=jane\ttemp\n", AUTH_FAIL_TEMP, "" },
		{ "FAIL\t1\tuser=jane\tcode=temp_fail\n", AUTH_FAIL_TEMP, "" },
		{ "FAIL\t1\tpass_expired\treason=Change it\n", AUTH_FAIL_EXPIRED, "Change it" },
		{ "FAIL\t1\tuser_disabled\n", AUTH_FAIL_DISABLED, "" },
		{ "FAIL\t1\tauthz\n", AUTH_FAIL_AUTHZ, "" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct login l;
		struct answers a;
		login_once(HELLO, CASES[i].line, NULL, i % 2 == 1, &l, &a);
		assert_int_equal(l.failed, 1);
		assert_int_equal(l.why, CASES[i].why);
		assert_string_equal(l.reason, CASES[i].reason);
	}
}

/* Whatever the service says that is no answer: temporary, and never a crash. */
static void
test_auth_garbage(void **state)
{
	static const char *const CASES[] = {
		"OK\t1\n", "OK\t1\tuser=\n", "OK\t1\tuser=a\001x\n", "OK\tone\tuser=jane\n",
		"OK\t99\tuser=jane\n", "OK\t0\tuser=jane\n", "OK\n", "CONT\t1\t!!!\n",
		"HTTP/1.1 200 OK\r\n", "\n", "OK\t1\tuser=jane\r\n", "WHAT\t1\n",
		NULL, /* the connection ends */
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct login l;
		struct answers a;
		login_once(HELLO, CASES[i], NULL, false, &l, &a);
		assert_int_equal(l.ok, 0);
		assert_int_equal(l.failed, 1);
		assert_int_equal(l.why, AUTH_FAIL_TEMP);
	}
}

static void
test_auth_bad_greetings(void **state)
{
	static const char *const CASES[] = {
		"VERSION\t2\t0\nDONE\n",
		"DONE\n",
		"VERSION\n",
		"MECH\tPLAIN\nVERSION\t1\t2\nDONE\n",
		"VERSION\t1\t2\nSPID\tx\nDONE\n",
		("VERSION\t1\t2\nCOOKIE\t"
		 "0123456789012345678901234567890123456789012345678901234567890123456789\nDONE\n"),
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct login l;
		struct answers a;
		login_once(CASES[i], "OK\t1\tuser=jane\n", NULL, false, &l, &a);
		assert_int_equal(l.why, AUTH_FAIL_TEMP);
		assert_int_equal(l.failed, 1);
		assert_string_equal(a.auth, "");
	}
}

static void
test_auth_oversized(void **state)
{
	struct login l;
	struct answers a;
	char *line = xmalloc(50001);
	(void)state;
	memset(line, 'x', 50000);
	line[50000] = '\0';
	memcpy(line, "OK\t1\tuser=", 10);
	login_once(HELLO, line, NULL, false, &l, &a);
	assert_int_equal(l.failed, 1);
	assert_int_equal(l.why, AUTH_FAIL_TEMP);
	free(line);
}

static void
test_auth_mechanism_not_there(void **state)
{
	struct login l;
	struct answers a;
	(void)state;
	login_once("VERSION\t1\t2\nMECH\tGSSAPI\nDONE\n", "OK\t1\tuser=x\n", NULL, false, &l, &a);
	assert_int_equal(l.why, AUTH_FAIL_MECHANISM);
	assert_string_equal(a.auth, "");
}

static bool
client_ready(void *arg)
{
	return auth_client_ready(arg);
}

/* The connection dies under one login; the next one succeeds on a new connection. */
static void
test_auth_comes_back(void **state)
{
	struct world w;
	struct login l = { .ok = 0 };
	(void)state;
	world_init(&w, HELLO, false);
	w.server.on_input = answer_auth;
	scripted_listen(&w.server);
	struct auth_client *c = auth_client_new(w.loop, str_of(w.server.address));
	assert_non_null(auth_request_start(c, &PLAIN, &OPS, &l));
	assert_true(run_until(w.loop, login_over, &l, 5000));
	assert_int_equal(l.why, AUTH_FAIL_TEMP);
	w.answers.to_auth = "OK\t2\tuser=jane\n";
	l = (struct login){ .ok = 0 };
	assert_non_null(auth_request_start(c, &PLAIN, &OPS, &l));
	assert_true(run_until(w.loop, login_over, &l, 5000));
	assert_int_equal(l.ok, 1);
	assert_int_equal(w.server.count, 2);
	auth_client_free(c);
	world_fini(&w);
}

static void
test_auth_away(void **state)
{
	struct world w;
	struct login l = { .ok = 0 };
	(void)state;
	world_init(&w, HELLO, false);
	struct auth_client *c = auth_client_new(w.loop, str_of(w.server.address));
	int64_t start = clock_ms();
	assert_non_null(auth_request_start(c, &PLAIN, &OPS, &l));
	assert_true(run_until(w.loop, login_over, &l, 5000));
	assert_int_equal(l.why, AUTH_FAIL_TEMP);
	assert_in_range(clock_ms() - start, 1500, 4000);
	auth_client_free(c);
	world_fini(&w);
}

static bool
cancel_seen(void *arg)
{
	return ((struct answers *)arg)->cancel[0] != '\0';
}

static bool
auth_seen(void *arg)
{
	return ((struct answers *)arg)->auth[0] != '\0';
}

static void
test_auth_cancel(void **state)
{
	struct world w;
	struct login l = { .ok = 0 }, other = { .ok = 0 };
	(void)state;
	world_init(&w, HELLO, false);
	w.answers.to_auth = "";
	w.server.on_input = answer_auth;
	scripted_listen(&w.server);
	struct auth_client *c = auth_client_new(w.loop, str_of(w.server.address));
	struct auth_request *r = auth_request_start(c, &PLAIN, &OPS, &l);
	assert_true(run_until(w.loop, auth_seen, &w.answers, 5000));
	auth_request_cancel(r);
	assert_true(run_until(w.loop, cancel_seen, &w.answers, 5000));
	assert_string_equal(w.answers.cancel, "CANCEL\t1");
	/* The answer that was on its way is nobody's, and harms nobody. */
	w.answers.to_auth = "OK\t1\tuser=mallory\nOK\t2\tuser=jane\n";
	assert_non_null(auth_request_start(c, &PLAIN, &OPS, &other));
	assert_true(run_until(w.loop, login_over, &other, 5000));
	assert_int_equal(l.ok + l.failed, 0);
	assert_string_equal(other.user, "jane");
	assert_true(run_until(w.loop, client_ready, c, 10));
	auth_client_free(c);
	world_fini(&w);
}

static void
test_auth_limits(void **state)
{
	struct world w;
	struct login l = { .ok = 0 };
	struct auth_login too_long = PLAIN, no_name = PLAIN;
	char *big = xcalloc(1, AUTH_RESPONSE_MAX + 1);
	(void)state;
	world_init(&w, HELLO, false);
	struct auth_client *c = auth_client_new(w.loop, str_of(w.server.address));
	too_long.initial = str_n(big, AUTH_RESPONSE_MAX + 1);
	assert_null(auth_request_start(c, &too_long, &OPS, &l));
	no_name.mechanism = STR("PLAIN\tresp=");
	assert_null(auth_request_start(c, &no_name, &OPS, &l));
	no_name.mechanism = STR_EMPTY;
	assert_null(auth_request_start(c, &no_name, &OPS, &l));
	auth_client_free(c);
	world_fini(&w);
	free(big);
}

/* auth-userdb */

struct lookup {
	int calls;
	enum err e;
	char user[128], home[128], all[256];
};

static void
on_user(void *arg, enum err e, const struct userdb_user *u)
{
	struct lookup *k = arg;
	k->calls++;
	k->e = e;
	assert_true((e == ERR_OK) == (u != NULL));
	if (e != ERR_OK)
		return;
	keep(k->user, sizeof(k->user), u->user);
	keep(k->home, sizeof(k->home), u->home);
	size_t n = strlen(k->all);
	snprintf(k->all + n, sizeof(k->all) - n, "%s,", k->user);
}

/* A "no" says why, and what goes on with which quota. */
static void
on_check(void *arg, enum err e, const struct userdb_user *u)
{
	struct lookup *k = arg;
	struct buf reason;
	k->calls++;
	k->e = e;
	assert_true((e == ERR_DENIED || e == ERR_OK) == (u != NULL));
	if (u == NULL)
		return;
	buf_init(&reason, 100);
	if (e == ERR_OK && auth_field(u->fields, "quota_rule", &reason) == ERR_OK)
		keep(k->home, sizeof k->home, buf_str(&reason));
	assert_true(e == ERR_OK || auth_field(u->fields, "reason", &reason) == ERR_OK);
	assert_true(e == ERR_OK || str_eq(buf_str(&reason), STR("gone")));
	buf_fini(&reason);
}

static bool
lookup_over(void *arg)
{
	const struct lookup *k = arg;
	return k->calls > 0 && (k->all[0] == '\0' || k->e != ERR_OK || k->home[0] != '\0');
}

static void
answer_userdb(struct scripted_connection *c)
{
	struct answers *a = c->server->arg;
	struct str line;
	while (c->fd >= 0 && wire_line(&c->got, 65536, &line) == ERR_OK) {
		if (!str_starts(line, STR("VERSION"))) {
			keep(a->auth, sizeof(a->auth), line);
			if (a->to_auth != NULL)
				scripted_sayz(c, a->to_auth);
			else
				scripted_close(c);
		}
		buf_consume(&c->got, line.n + 1);
	}
}

enum ask { ASK_USER, ASK_VERIFY, ASK_LIST, ASK_CHECK };

static void
userdb_once(enum ask ask, const char *answer, bool bytewise, struct lookup *k, struct answers *a)
{
	static const struct auth_ticket TICKET = {
		.cookie = "00112233445566778899aabbccddeeff",
		.client_pid = 11,
		.request_id = 22,
		.server_pid = 33,
	};
	struct world w;
	world_init(&w, "VERSION\t1\t1\nSPID\t5\n", bytewise);
	w.answers.to_auth = answer;
	w.server.on_input = answer_userdb;
	scripted_listen(&w.server);
	struct userdb *db = userdb_new(w.loop, str_of(w.server.address));
	*k = (struct lookup){ .calls = 0 };
	if (ask == ASK_USER)
		userdb_lookup(db, STR("ja\tne"), STR("imap"), on_user, k);
	else if (ask == ASK_VERIFY)
		userdb_verify(db, &TICKET, STR("8f3a"), on_user, k);
	else if (ask == ASK_CHECK)
		userdb_check(db,
			&(struct userdb_check){ .token = STR("Uja\tne"),
				.user = STR("jane@example.org"),
				.service = STR("imap"),
				.max_age_ms = 12000 },
			on_check, k);
	else
		userdb_list(db, STR("imap"), on_user, k);
	assert_true(run_until(w.loop, lookup_over, k, 5000));
	*a = w.answers;
	userdb_free(db);
	world_fini(&w);
}

static void
test_userdb_answers(void **state)
{
	static const struct {
		enum ask ask;
		const char *answer;
		enum err e;
		const char *user, *home;
	} CASES[] = {
		{ ASK_USER, "USER\t1\tjane@example.org\thome=/m/j\001te\tuid=8\n", ERR_OK,
			"jane@example.org", "/m/j\te" },
		{ ASK_USER, "USER\t1\tjane\tuser=jane@example.org\thome=/m/jane\n", ERR_OK,
			"jane@example.org", "/m/jane" },
		{ ASK_USER, "NOTFOUND\t1\n", ERR_NOTFOUND, "", "" },
		{ ASK_USER, "FAIL\t1\n", ERR_TEMP, "", "" },
		{ ASK_USER, "FAIL\t1\ttemp\treason=away\n", ERR_TEMP, "", "" },
		{ ASK_VERIFY, "USER\t1\tjane\thome=/m/jane\n", ERR_OK, "jane", "/m/jane" },
		{ ASK_VERIFY, "FAIL\t1\n", ERR_DENIED, "", "" },
		{ ASK_VERIFY, "FAIL\t1\ttemp\n", ERR_TEMP, "", "" },
		{ ASK_VERIFY, "NOTFOUND\t1\n", ERR_DENIED, "", "" },
		{ ASK_CHECK, "PASS\t1\n", ERR_OK, "", "" },
		{ ASK_CHECK, "PASS\t1\tquota_rule=*:bytes=2G\n", ERR_OK, "", "*:bytes=2G" },
		{ ASK_CHECK, "PASS\t1\tnologin\treason=gone\tcode=CONTACTADMIN\n", ERR_DENIED, "",
			"" },
		{ ASK_CHECK, "FAIL\t1\ttemp\n", ERR_TEMP, "", "" },
		{ ASK_CHECK, "FAIL\t1\n", ERR_TEMP, "", "" },
		/* what is no answer */
		{ ASK_CHECK, "NOTFOUND\t1\n", ERR_TEMP, "", "" },
		{ ASK_CHECK, "USER\t1\tjane\thome=/m/jane\n", ERR_TEMP, "", "" },
		{ ASK_CHECK, NULL, ERR_TEMP, "", "" },
		{ ASK_USER, "PASS\t1\n", ERR_TEMP, "", "" },
		{ ASK_USER, "USER\t1\n", ERR_TEMP, "", "" },
		{ ASK_USER, "USER\t1\t\n", ERR_TEMP, "", "" },
		{ ASK_USER, "USER\t2\tjane\thome=/m\n", ERR_TEMP, "", "" },
		{ ASK_USER, "NOTFOUND\n", ERR_TEMP, "", "" },
		{ ASK_USER, "NOTFOUND\t7\n", ERR_TEMP, "", "" },
		{ ASK_USER, "DONE\t1\n", ERR_TEMP, "", "" },
		{ ASK_USER, "LIST\t1\tjane\n", ERR_TEMP, "", "" },
		{ ASK_USER, "nonsense\n", ERR_TEMP, "", "" },
		{ ASK_VERIFY, "OK\t1\tuser=jane\n", ERR_TEMP, "", "" },
		{ ASK_USER, NULL, ERR_TEMP, "", "" },
		{ ASK_VERIFY, NULL, ERR_TEMP, "", "" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		for (int bytewise = 0; bytewise < 2; bytewise++) {
			struct lookup k;
			struct answers a;
			userdb_once(CASES[i].ask, CASES[i].answer, bytewise, &k, &a);
			assert_int_equal(k.calls, 1);
			assert_int_equal(k.e, CASES[i].e);
			assert_string_equal(k.user, CASES[i].user);
			assert_string_equal(k.home, CASES[i].home);
			if (CASES[i].ask == ASK_USER)
				assert_string_equal(a.auth, "USER\t1\tja\001tne\tservice=imap");
			else if (CASES[i].ask == ASK_CHECK)
				assert_string_equal(a.auth,
					"CHECK\t1\tUja\001tne\tuser=jane@example.org"
					"\tservice=imap\tmax_age=12000");
			else
				assert_string_equal(a.auth,
					"REQUEST\t1\t11\t22\t0011223344556677889"
					"9aabbccddeeff\tsession=8f3a");
		}
	}
}

static void
test_userdb_list(void **state)
{
	struct lookup k;
	struct answers a;
	(void)state;
	userdb_once(ASK_LIST, "LIST\t1\tann\nLIST\t1\tbob\nDONE\t1\n", true, &k, &a);
	assert_int_equal(k.e, ERR_EOF);
	assert_string_equal(k.all, "ann,bob,");
	assert_string_equal(a.auth, "LIST\t1\tservice=imap");
	userdb_once(ASK_LIST, "LIST\t1\tann\nDONE\t1\tfail\n", true, &k, &a);
	assert_int_equal(k.e, ERR_TEMP);
	userdb_once(ASK_LIST, "LIST\t1\tann\nNOISE\n", true, &k, &a);
	assert_int_equal(k.e, ERR_TEMP);
}

/* Answers out of order find their questions. */
static void
test_userdb_pipelined(void **state)
{
	struct world w;
	struct lookup one = { .calls = 0 }, two = { .calls = 0 }, gone = { .calls = 0 };
	(void)state;
	world_init(&w, "VERSION\t1\t1\n", false);
	scripted_listen(&w.server);
	struct userdb *db = userdb_new(w.loop, str_of(w.server.address));
	userdb_lookup(db, STR("one"), STR("lmtp"), on_user, &one);
	struct userdb_request *r = userdb_lookup(db, STR("gone"), STR("lmtp"), on_user, &gone);
	userdb_lookup(db, STR("two"), STR("lmtp"), on_user, &two);
	assert_false(run_until(w.loop, NULL, NULL, 50));
	userdb_cancel(r);
	assert_int_equal(w.server.count, 1);
	scripted_sayz(&w.server.connections[0],
		"USER\t3\ttwo\thome=/2\nUSER\t2\tgone\thome=/g\nUSER\t1\tone\thome=/1\n");
	assert_true(run_until(w.loop, lookup_over, &one, 5000));
	assert_string_equal(one.home, "/1");
	assert_string_equal(two.home, "/2");
	assert_int_equal(gone.calls, 0);
	userdb_free(db);
	world_fini(&w);
}

static void
test_userdb_names_beyond_limits(void **state)
{
	struct world w;
	struct lookup k = { .calls = 0 };
	char *big = xcalloc(1, 5001);
	(void)state;
	memset(big, 'a', 5000);
	world_init(&w, "VERSION\t1\t1\n", false);
	scripted_listen(&w.server);
	struct userdb *db = userdb_new(w.loop, str_of(w.server.address));
	userdb_lookup(db, str_of(big), STR("lmtp"), on_user, &k);
	assert_true(run_until(w.loop, lookup_over, &k, 5000));
	assert_int_equal(k.e, ERR_NOTFOUND);
	userdb_free(db);
	world_fini(&w);
	free(big);
}

/* directory */

struct answer {
	int calls;
	enum err e;
	char value[128];
};

static void
on_answer(void *arg, enum err e, struct str value)
{
	struct answer *k = arg;
	k->calls++;
	k->e = e;
	keep(k->value, sizeof(k->value), value);
}

static bool
answer_over(void *arg)
{
	return ((struct answer *)arg)->calls > 0;
}

static void
answer_socketmap(struct scripted_connection *c)
{
	struct answers *a = c->server->arg;
	if (!str_ends(buf_str(&c->got), STR(",")))
		return;
	keep(a->auth, sizeof(a->auth), buf_str(&c->got));
	buf_reset(&c->got);
	if (a->to_auth != NULL)
		scripted_sayz(c, a->to_auth);
	else
		scripted_close(c);
}

static void
test_socketmap_answers(void **state)
{
	static const struct {
		const char *answer;
		enum err e;
		const char *value;
	} CASES[] = {
		{ "8:OK a,b c,", ERR_OK, "a,b c" },
		{ "3:OK ,", ERR_OK, "" },
		{ "9:NOTFOUND ,", ERR_NOTFOUND, "" },
		{ "8:NOTFOUND,", ERR_NOTFOUND, "" },
		{ "9:TEMP away,", ERR_TEMP, "away" },
		{ "12:TIMEOUT slow,", ERR_TEMP, "slow" },
		{ "13:PERM too long,", ERR_DENIED, "too long" },
		/* what is no answer */
		{ "2:no,", ERR_TEMP, NULL },
		{ "hello\n", ERR_TEMP, NULL },
		{ "9:NOTFOUND X", ERR_TEMP, NULL },
		{ "99999999999:x", ERR_TEMP, NULL },
		{ "-1:x,", ERR_TEMP, NULL },
		{ "70000:OK", ERR_TEMP, NULL }, /* over the limit of this test */
		{ ":OK,", ERR_TEMP, NULL },
		{ "12345678901", ERR_TEMP, NULL },
		{ "5:ok yy,", ERR_TEMP, NULL },
		{ NULL, ERR_TEMP, NULL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES) * 2; i++) {
		struct world w;
		struct answer k = { .calls = 0 };
		world_init(&w, NULL, i % 2 == 1);
		w.answers.to_auth = CASES[i / 2].answer;
		w.server.on_input = answer_socketmap;
		scripted_listen(&w.server);
		struct socketmap *s = socketmap_new(w.loop, str_of(w.server.address), 65536);
		assert_non_null(
			socketmap_lookup(s, STR("alias"), STR("all@example.org"), on_answer, &k));
		assert_true(run_until(w.loop, answer_over, &k, 5000));
		assert_int_equal(k.calls, 1);
		assert_int_equal(k.e, CASES[i / 2].e);
		if (CASES[i / 2].value != NULL)
			assert_string_equal(k.value, CASES[i / 2].value);
		assert_string_equal(w.answers.auth, "21:alias all@example.org,");
		socketmap_free(s);
		world_fini(&w);
	}
}

static void
test_socketmap_refuses_keys(void **state)
{
	struct world w;
	struct answer k = { .calls = 0 };
	char *big = xcalloc(1, 5001);
	(void)state;
	memset(big, 'a', 5000);
	world_init(&w, NULL, false);
	struct socketmap *s = socketmap_new(w.loop, str_of(w.server.address), 0);
	assert_null(socketmap_lookup(s, STR("alias"), STR("a\nb"), on_answer, &k));
	assert_null(socketmap_lookup(s, STR("alias"), STR("a\0b"), on_answer, &k));
	assert_null(socketmap_lookup(s, STR("alias"), STR(""), on_answer, &k));
	assert_null(socketmap_lookup(s, STR("alias"), str_of(big), on_answer, &k));
	assert_int_equal(k.calls, 0);
	socketmap_free(s);
	world_fini(&w);
	free(big);
}

enum { MANY = 12 };

static bool
all_answered(void *arg)
{
	struct answer *k = arg;
	for (int i = 0; i < MANY; i++)
		if (k[i].calls == 0 && i != 5)
			return false;
	return true;
}

/* Answers with the key of each question, in order. */
static void
echo_keys(struct scripted_connection *c)
{
	struct str head, rest;
	while (str_cut(buf_str(&c->got), ':', &head, &rest)) {
		uint64_t n;
		char reply[128];
		if (str_to_u64(head, 1000, &n) != ERR_OK || rest.n < n + 1)
			return;
		struct str key = str_from(str_sub(rest, 0, (size_t)n), 6);
		snprintf(reply, sizeof(reply), "%zu:OK %.*s,", key.n + 3, STR_FMT(key));
		buf_consume(&c->got, head.n + 1 + (size_t)n + 1);
		scripted_sayz(c, reply);
	}
}

/* More lookups than connections, one of them given up: everyone gets their own answer. */
static void
test_socketmap_pipelined(void **state)
{
	struct world w;
	struct answer k[MANY] = { { .calls = 0 } };
	struct socketmap_request *r[MANY];
	(void)state;
	world_init(&w, NULL, true);
	w.server.on_input = echo_keys;
	scripted_listen(&w.server);
	struct socketmap *s = socketmap_new(w.loop, str_of(w.server.address), 0);
	for (int i = 0; i < MANY; i++) {
		char key[32];
		snprintf(key, sizeof(key), "key%d", i);
		r[i] = socketmap_lookup(s, STR("alias"), str_of(key), on_answer, &k[i]);
		assert_non_null(r[i]);
	}
	socketmap_cancel(r[5]);
	assert_true(run_until(w.loop, all_answered, k, 5000));
	for (int i = 0; i < MANY; i++) {
		char key[32];
		snprintf(key, sizeof(key), "key%d", i);
		assert_int_equal(k[i].calls, i == 5 ? 0 : 1);
		assert_string_equal(k[i].value, i == 5 ? "" : key);
	}
	assert_in_range(w.server.count, 1, SOCKETMAP_CONNECTIONS);
	socketmap_free(s);
	world_fini(&w);
}

static void
die_once(struct scripted_connection *c)
{
	struct answers *a = c->server->arg;
	if (a->cont[0] == '\0') {
		a->cont[0] = 'x';
		scripted_close(c);
		return;
	}
	echo_keys(c);
}

static void
test_socketmap_asks_again(void **state)
{
	struct world w;
	struct answer k = { .calls = 0 };
	(void)state;
	world_init(&w, NULL, false);
	w.server.on_input = die_once;
	scripted_listen(&w.server);
	struct socketmap *s = socketmap_new(w.loop, str_of(w.server.address), 0);
	assert_non_null(socketmap_lookup(s, STR("alias"), STR("jane"), on_answer, &k));
	assert_true(run_until(w.loop, answer_over, &k, 5000));
	assert_int_equal(k.e, ERR_OK);
	assert_string_equal(k.value, "jane");
	socketmap_free(s);
	world_fini(&w);
}

static void
test_wire_round_trip(void **state)
{
	static const struct str CASES[] = {
		{ "", 0 },
		{ "plain", 5 },
		{ "\0\001\t\r\n", 5 },
		{ "a\tb\nc", 5 },
		{ "\001\001", 2 },
	};
	static const char *const BAD[] = { "\001", "a\001", "\001x", "\001\001" };
	struct buf b, back;
	(void)state;
	buf_init(&b, 100);
	buf_init(&back, 100);
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		buf_reset(&b);
		buf_reset(&back);
		wire_escape(&b, CASES[i]);
		assert_int_equal(str_chr(buf_str(&b), '\t'), b.n);
		assert_int_equal(wire_unescape(&back, buf_str(&b)), ERR_OK);
		assert_true(str_eq(buf_str(&back), CASES[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
		assert_int_equal(wire_unescape(&back, str_of(BAD[i])), ERR_SYNTAX);
	buf_fini(&b);
	buf_fini(&back);
}

static bool
all_connected(void *arg)
{
	return ((struct world *)arg)->server.count >= (size_t)2 * SOCKETMAP_CONNECTIONS;
}

static bool
never(void *arg)
{
	(void)arg;
	return false;
}

/* How many of the log's lines since the last call are this event; all others are wrong. */
static int
log_lines(int fd, const char *event)
{
	char line[1024];
	ssize_t n;
	int count = 0;
	while ((n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT)) > 0) {
		line[n] = '\0';
		if (strstr(line, event) == NULL)
			fail_msg("%s", line);
		count++;
	}
	return count;
}

/* Eight connections, one line when their service cannot be reached and one when it can. */
static void
test_away_is_said_once(void **state)
{
	struct world w;
	int sv[2];
	(void)state;
	world_init(&w, NULL, false);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	log_setup("test", LVL_INFO, sv[0]);
	struct socketmap *s = socketmap_new(w.loop, str_of(w.server.address), 0);
	struct socketmap *other = socketmap_new(w.loop, str_of(w.server.address), 0);
	assert_false(run_until(w.loop, never, NULL, 500));
	assert_int_equal(log_lines(sv[1], " ev=authclient.away address=unix:"), 1);
	scripted_listen(&w.server);
	assert_true(run_until(w.loop, all_connected, &w, 5000));
	assert_false(run_until(w.loop, never, NULL, 20));
	assert_int_equal(log_lines(sv[1], " ev=authclient.back address=unix:"), 1);
	/* and gone again */
	listener_free(w.server.listener);
	w.server.listener = NULL;
	unlink(w.server.path);
	for (size_t i = 0; i < w.server.count; i++)
		scripted_close(&w.server.connections[i]);
	assert_false(run_until(w.loop, never, NULL, 500));
	assert_int_equal(log_lines(sv[1], " ev=authclient.away address=unix:"), 1);
	socketmap_free(s);
	socketmap_free(other);
	log_setup("test", LVL_INFO, 2);
	close(sv[0]);
	close(sv[1]);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire_round_trip),
		cmocka_unit_test(test_auth_ok),
		cmocka_unit_test(test_auth_exchange),
		cmocka_unit_test(test_auth_failures),
		cmocka_unit_test(test_auth_garbage),
		cmocka_unit_test(test_auth_bad_greetings),
		cmocka_unit_test(test_auth_oversized),
		cmocka_unit_test(test_auth_mechanism_not_there),
		cmocka_unit_test(test_auth_comes_back),
		cmocka_unit_test(test_auth_away),
		cmocka_unit_test(test_auth_cancel),
		cmocka_unit_test(test_auth_limits),
		cmocka_unit_test(test_userdb_answers),
		cmocka_unit_test(test_userdb_list),
		cmocka_unit_test(test_userdb_pipelined),
		cmocka_unit_test(test_userdb_names_beyond_limits),
		cmocka_unit_test(test_socketmap_answers),
		cmocka_unit_test(test_socketmap_refuses_keys),
		cmocka_unit_test(test_socketmap_pipelined),
		cmocka_unit_test(test_socketmap_asks_again),
		cmocka_unit_test(test_away_is_said_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
