/* Helper processes: their lines both ways, passwd-files, queries, and the connections to them with
 * helpers that are played by the test: shares, queues, deadlines, helpers that die. */
#include "tests/unit/scripted.h"

#include <string.h>

#include "auth-ldap/backend/user.h"
#include "auth-ldap/backend/workers.h"
#include "auth-ldap/worker/passwd_file.h"
#include "auth-ldap/worker/variables.h"
#include "core/authclient/wire.h"
#include "core/base/arena.h"

/* ---- lines ---- */

static void
test_question_lines(void **state)
{
	const struct worker_question q = { .id = 7,
		.kind = ASK_LOGIN,
		.section = WORKER_SQL,
		.title = STR("my\tbase"),
		.user = STR("anna"),
		.password = STR("a\tb\n\r\1c="),
		.other = STR_EMPTY,
		.service = STR("imap"),
		.remote_ip = STR("192.0.2.7"),
		.local_ip = STR_EMPTY };
	struct worker_question back;
	struct arena *a = arena_new(1 << 20);
	struct buf line;

	(void)state;
	buf_init(&line, 4096);
	worker_question_put(&line, &q);
	assert_true(str_ends(buf_str(&line), STR("\n")));
	assert_int_equal(str_chr(buf_str(&line), '\n'), line.n - 1);
	assert_int_equal(
		worker_question_get(str_sub(buf_str(&line), 0, line.n - 1), a, &back), ERR_OK);
	assert_int_equal(back.id, 7);
	assert_int_equal(back.kind, ASK_LOGIN);
	assert_int_equal(back.section, WORKER_SQL);
	assert_true(str_eq(back.title, q.title) && str_eq(back.user, q.user) &&
		    str_eq(back.password, q.password) && str_eq(back.remote_ip, q.remote_ip));
	assert_int_equal(back.local_ip.n, 0);
	buf_fini(&line);
	arena_free(a);
}

static void
test_answer_lines(void **state)
{
	static const char *const bad[] = { "", "USER", "USER\tx", "USER\t1\tnothing",
		"USER\t1\tcolour=red", "USER\t1\texpires=soon", "VALUE\t1",
		"KEYS\t1\t512\t4096\taa\tbb\tcc", "KEYS\t1\t1\t4096\taa\tbb\tcc",
		"KEYS\t1\t1\t4096\tAA\tbb\tcc", "END\t1", "END\t1\tok", "END\t1\tagain\t0\t",
		"END\t1\tok\t999\t", "HELLO\t2", "HELLO", "hello\t1", "VALUE\t1\ta\1x" };
	const struct worker_answer user = { .line = WORKER_USER,
		.id = 3,
		.user = { .user = STR("anna@example.org"),
			.home = STR("/x\ty"),
			.source = STR_EMPTY,
			.display_name = STR("Ätna"),
			.mail_host = STR_EMPTY,
			.quota = STR("1G"),
			.aliases = STR("a,b"),
			.services = STR("imap"),
			.networks = STR_EMPTY,
			.services_given = true,
			.disabled = true,
			.expires_sec = 12345 } };
	struct worker_answer back;
	struct arena *a = arena_new(1 << 20);
	struct buf line;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_int_not_equal(worker_answer_get(str_of(bad[i]), a, &back), ERR_OK);
	}
	buf_init(&line, 4096);
	worker_answer_put(&line, &user);
	assert_int_equal(
		worker_answer_get(str_sub(buf_str(&line), 0, line.n - 1), a, &back), ERR_OK);
	assert_true(str_eq(back.user.home, user.user.home) && back.user.disabled &&
		    back.user.services_given && back.user.expires_sec == 12345 &&
		    str_eq(back.user.aliases, STR("a,b")));
	buf_fini(&line);
	arena_free(a);
}

/* ---- passwd-files ---- */

struct bad_lines {
	unsigned lines[16];
	size_t n;
};

static void
on_bad(void *arg, unsigned line, const char *why)
{
	struct bad_lines *b = arg;

	print_message("line %u: %s\n", line, why);
	assert_true(b->n < ARRAY_LEN(b->lines));
	b->lines[b->n++] = line;
}

static struct passwd_table *
table_of(const char *text, struct bad_lines *bad)
{
	struct passwd_table *t = NULL;
	struct buf b;

	*bad = (struct bad_lines){ .n = 0 };
	buf_init_secret(&b, 1 << 20);
	buf_addz(&b, text);
	assert_int_equal(
		passwd_table_new(&b, STR("example.org"), STR("PLAIN"), on_bad, bad, &t), ERR_OK);
	buf_fini(&b);
	return t;
}

static enum err
find(const struct passwd_table *t, const char *name, struct account *a)
{
	struct name n;

	assert_int_equal(name_parse(str_of(name), STR("example.org"), &n), ERR_OK);
	return passwd_table_find(t, &n, a);
}

static void
test_passwd_lines(void **state)
{
	struct bad_lines bad;
	struct account a;
	struct passwd_table *t =
		table_of("# x\n\n \t\nanna:secret\nBERT@Example.COM:x:1:2:G,H:/h:/s:"
			 "aliases=b@example.org networks=::1/128\r\ncarl\n",
			&bad);

	(void)state;
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.lines[0], 6);
	assert_int_equal(passwd_table_users(t), 2);
	assert_int_equal(find(t, "anna", &a), ERR_OK);
	assert_true(str_eq(a.user.user, STR("anna@example.org")));
	assert_true(str_eq(a.password, STR("secret")));
	assert_int_equal(find(t, "anna@example.com", &a), ERR_NOTFOUND);
	assert_int_equal(find(t, "b", &a), ERR_OK);
	assert_true(str_eq(a.user.user, STR("bert@example.com")));
	assert_true(str_eq(a.user.display_name, STR("G")) && str_eq(a.user.home, STR("/h")) &&
		    str_eq(a.user.networks, STR("::1/128")));
	assert_true(passwd_table_has_domain(t, STR("example.com")));
	assert_false(passwd_table_has_domain(t, STR("example.net")));
	passwd_table_free(t);
	t = table_of("", &bad);
	assert_int_equal(passwd_table_users(t), 0);
	passwd_table_free(t);
	/* the same user thrice, the same alias of one user twice */
	t = table_of("a:x\na@example.org:y\nA:z\nb:x::::::aliases=c,c,a\n", &bad);
	assert_int_equal(bad.n, 2);
	assert_int_equal(find(t, "a", &a), ERR_DENIED);
	assert_int_equal(find(t, "c", &a), ERR_OK);
	passwd_table_free(t);
}

static void
test_times(void **state)
{
	static const struct {
		const char *text;
		enum err err;
		int64_t sec;
	} table[] = { { "0", ERR_OK, 0 }, { "1700000000", ERR_OK, 1700000000 },
		{ "1970-01-01", ERR_OK, 1 }, { "2020-01-01", ERR_OK, 1577836800 },
		{ "2020-01-01 00:00:30", ERR_OK, 1577836830 },
		{ "2020-01-01T01:00:00Z", ERR_OK, 1577840400 },
		{ "2020-01-01 00:00:30.123456+00", ERR_OK, 1577836830 }, { "soon", ERR_SYNTAX, 0 },
		{ "2020-13-01", ERR_SYNTAX, 0 }, { "2020-00-01", ERR_SYNTAX, 0 },
		{ "2020-01", ERR_SYNTAX, 0 }, { "-1", ERR_SYNTAX, 0 }, { "", ERR_SYNTAX, 0 },
		{ "2020-01-01 25:00:00", ERR_SYNTAX, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t sec = 0;
		print_message("%s\n", table[i].text);
		assert_int_equal(account_time(str_of(table[i].text), &sec), table[i].err);
		if (table[i].err == ERR_OK)
			assert_int_equal(sec, table[i].sec);
	}
}

/* ---- queries ---- */

static void
test_queries(void **state)
{
	static const char *const evil = "x' or '1'='1";
	const struct worker_question q = { .user = STR("anna@example.org"),
		.service = str_of(evil),
		.remote_ip = STR("::1"),
		.local_ip = STR_EMPTY };
	struct job j = { .q = &q };
	struct query made;
	struct buf out;

	(void)state;
	assert_int_equal(name_parse(q.user, STR_EMPTY, &j.name), ERR_OK);
	assert_int_equal(
		query_make(&j,
			STR("SELECT '%' WHERE a = %{local} AND b LIKE %{service} -- %{local}"),
			true, &made),
		ERR_OK);
	assert_true(
		str_eq(buf_str(&made.text), STR("SELECT '%' WHERE a = $1 AND b LIKE $2 -- $3")));
	assert_int_equal(made.params_count, 3);
	assert_true(str_eq(made.params[0], STR("anna")));
	assert_true(str_eq(made.params[1], str_of(evil)));
	query_fini(&made);
	assert_int_equal(query_make(&j, STR("a = %{domain}%{local_ip}"), false, &made), ERR_OK);
	assert_true(str_eq(buf_str(&made.text), STR("a = ??")));
	assert_int_equal(made.params[1].n, 0);
	query_fini(&made);
	assert_int_equal(query_make(&j, STR("a = %{password}"), false, &made), ERR_SYNTAX);
	query_fini(&made);
	assert_int_equal(query_make(&j, STR("a = %{user"), false, &made), ERR_SYNTAX);
	query_fini(&made);
	buf_init(&out, 100);
	assert_int_equal(job_expand(&j, STR("mail-%{domain}"), &out), ERR_OK);
	assert_true(str_eq(buf_str(&out), STR("mail-example.org")));
	buf_fini(&out);
}

/* ---- connections ---- */

enum { ASKS_MAX = 32 };

struct world {
	struct scripted server;
	struct loop *loop;
	struct settings *settings;
	struct workers *workers;
	struct backend *sql, *pam;
	/* what a played helper does with a question: 'a' answers, 'h' hangs, 'd' dies, 'g' speaks
	 * garbage, 'o' answers another question */
	char (*play)(struct world *w, struct str title, struct str user);
	unsigned questions, hanging;
	char names[ASKS_MAX][32];
};

struct result {
	bool done;
	enum err err;
	enum auth_reason reason;
	char user[64], home[128];
	unsigned listed;
};

static void
on_result(void *arg, const struct auth_answer *a)
{
	struct result *r = arg;

	if (a->user != NULL) {
		(void)snprintf(r->user, sizeof r->user, "%.*s", STR_FMT(a->user->user));
		(void)snprintf(r->home, sizeof r->home, "%.*s", STR_FMT(a->user->home));
	}
	if (a->err == ERR_OK && a->user != NULL)
		r->listed++;
	assert_false(r->done);
	r->done = true;
	r->err = a->err;
	r->reason = a->reason;
}

static char
play_all_well(struct world *w, struct str title, struct str user)
{
	(void)w;
	(void)title;
	(void)user;
	return 'a';
}

static void
on_question(struct scripted_connection *c)
{
	struct world *w = c->server->arg;
	struct arena *a = arena_new(1 << 20);
	struct worker_question q;
	struct str line;
	char reply[256];

	while (c->fd >= 0 && wire_line(&c->got, WORKER_LINE_MAX, &line) == ERR_OK) {
		assert_int_equal(worker_question_get(line, a, &q), ERR_OK);
		char how = w->play(w, q.title, q.user);
		assert_true(w->questions < ASKS_MAX);
		(void)snprintf(
			w->names[w->questions++], sizeof w->names[0], "%.*s", STR_FMT(q.user));
		buf_consume(&c->got, line.n + 1);
		unsigned id = how == 'o' ? q.id + 1 : q.id;
		(void)snprintf(reply, sizeof reply, "USER\t%u\tuser=%.*s\nEND\t%u\tok\t0\t\n", id,
			STR_FMT(q.user), id);
		if (how == 'a' || how == 'o')
			scripted_sayz(c, reply);
		else if (how == 'g')
			scripted_sayz(c, "<html>\n");
		else if (how == 'd')
			scripted_close(c);
		else
			w->hanging++;
	}
	arena_free(a);
}

static void
serve(struct world *w)
{
	scripted_init(&w->server, w->loop);
	(void)snprintf(w->server.path, sizeof w->server.path, "%s/auth-worker", w->server.folder);
	(void)snprintf(w->server.address, sizeof w->server.address, "unix:%s", w->server.path);
	w->server.greeting = "HELLO\t1\n";
	w->server.on_input = on_question;
	w->server.arg = w;
	scripted_listen(&w->server);
}

static void
world_init(struct world *w, int64_t processes, int64_t timeout, int64_t queue_max)
{
	static struct settings_sql sql = { .title = { "accounts", 8 } };
	static struct settings_pam pam = { .title = { "system", 6 } };
	struct buf why;

	memset(w, 0, sizeof *w);
	w->loop = loop_new();
	serve(w);
	w->play = play_all_well;
	w->settings = settings_defaults();
	w->settings->runtime_dir = str_of(w->server.folder);
	w->settings->mail_root = STR("/mail");
	w->settings->auth.default_domain = STR("example.org");
	w->settings->worker.processes = processes;
	w->settings->worker.timeout = timeout;
	w->settings->worker.queue_max = queue_max;
	w->settings->sqls = &sql;
	w->settings->sqls_count = 1;
	w->settings->pams = &pam;
	w->settings->pams_count = 1;
	w->workers = workers_new(w->loop, w->settings);
	buf_init(&why, 100);
	assert_int_equal(
		worker_backend_new(w->workers, w->settings, WORKER_SQL, 0, &w->sql, &why), ERR_OK);
	assert_int_equal(
		worker_backend_new(w->workers, w->settings, WORKER_PAM, 0, &w->pam, &why), ERR_OK);
	assert_int_equal(worker_backend_new(w->workers, w->settings, WORKER_PAM, 1, &w->pam, &why),
		ERR_SYNTAX);
	buf_fini(&why);
}

static void
world_fini(struct world *w)
{
	w->sql->ops->free(w->sql);
	w->pam->ops->free(w->pam);
	workers_free(w->workers);
	scripted_fini(&w->server);
	w->settings->sqls_count = w->settings->pams_count = 0;
	settings_free(w->settings);
	loop_free(w->loop);
}

static struct backend_request *
ask(struct backend *b, enum ask_kind kind, const char *user, struct result *r)
{
	static const struct auth_context context = { .service = { "imap", 4 } };
	struct name n;
	struct auth_question q = { .kind = kind, .name = &n, .context = &context };

	*r = (struct result){ .err = ERR_BUG };
	assert_int_equal(name_parse(str_of(user), STR("example.org"), &n), ERR_OK);
	q.password = STR("x");
	return b->ops->ask(b, &q, on_result, r);
}

static bool
is_done(void *arg)
{
	const struct result *r = arg;

	return r->done;
}

static void
test_well(void **state)
{
	struct world w;
	struct result r[8];

	(void)state;
	world_init(&w, 2, 2000, 100);
	for (size_t i = 0; i < ARRAY_LEN(r); i++)
		(void)ask(w.sql, ASK_LOGIN, "anna", &r[i]);
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		(void)run_until(w.loop, is_done, &r[i], 2000);
		assert_int_equal(r[i].err, ERR_OK);
		assert_string_equal(r[i].user, "anna@example.org");
		assert_string_equal(r[i].home, "/mail/example.org/anna");
	}
	/* one section of two on two helpers: one helper */
	assert_int_equal(w.server.count, 1);
	assert_int_equal(w.questions, 8);
	/* kinds that no helper is asked about */
	(void)ask(w.sql, ASK_TRANSPORT, "anna", &r[0]);
	assert_false(r[0].done);
	(void)run_until(w.loop, is_done, &r[0], 2000);
	assert_int_equal(r[0].err, ERR_NOTFOUND);
	assert_int_equal(w.questions, 8);
	world_fini(&w);
}

static char
play_pam_hangs(struct world *w, struct str title, struct str user)
{
	(void)w;
	(void)user;
	return str_eq(title, STR("system")) ? 'h' : 'a';
}

/* However many questions of one section hang, the other section's are answered at once. */
static void
test_hanging_section(void **state)
{
	struct world w;
	struct result hung[10], r[5];

	(void)state;
	world_init(&w, 3, 400, 100);
	w.play = play_pam_hangs;
	for (size_t i = 0; i < ARRAY_LEN(hung); i++)
		(void)ask(w.pam, ASK_LOGIN, "slow", &hung[i]);
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		int64_t before = clock_ms();
		(void)ask(w.sql, ASK_LOGIN, "anna", &r[i]);
		(void)run_until(w.loop, is_done, &r[i], 2000);
		assert_int_equal(r[i].err, ERR_OK);
		assert_true(clock_ms() - before < 300);
	}
	assert_int_equal(w.hanging, 2);
	for (size_t i = 0; i < ARRAY_LEN(hung); i++) {
		(void)run_until(w.loop, is_done, &hung[i], 2000);
		assert_int_equal(hung[i].err, ERR_TEMP);
		assert_int_equal(hung[i].reason, REASON_DIRECTORY);
	}
	/* those helpers still hang: the next question of theirs gets no further one */
	(void)ask(w.pam, ASK_LOGIN, "slow", &hung[0]);
	(void)ask(w.sql, ASK_LOGIN, "bert", &r[0]);
	(void)run_until(w.loop, is_done, &r[0], 2000);
	assert_int_equal(r[0].err, ERR_OK);
	assert_int_equal(w.hanging, 2);
	(void)run_until(w.loop, is_done, &hung[0], 2000);
	assert_int_equal(hung[0].err, ERR_TEMP);
	world_fini(&w);
}

static char
play_two_hang(struct world *w, struct str title, struct str user)
{
	(void)w;
	(void)user;
	return str_eq(title, STR("third")) ? 'a' : 'h';
}

/* However many sections hang, and however full their queues are, a third one is answered. */
static void
test_hanging_sections(void **state)
{
	static struct settings_sql two[] = { { .title = { "accounts", 8 } },
		{ .title = { "third", 5 } } };
	struct world w;
	struct result hung[12], r;
	struct backend *third;
	struct buf why;

	(void)state;
	world_init(&w, 4, 1000, 4);
	w.settings->sqls = two;
	w.settings->sqls_count = 2;
	buf_init(&why, 100);
	assert_int_equal(
		worker_backend_new(w.workers, w.settings, WORKER_SQL, 1, &third, &why), ERR_OK);
	buf_fini(&why);
	w.play = play_two_hang;
	for (size_t i = 0; i < ARRAY_LEN(hung); i++)
		(void)ask(i % 2 == 0 ? w.pam : w.sql, ASK_LOGIN, "slow", &hung[i]);
	while (w.hanging < 3)
		(void)run_until(w.loop, NULL, NULL, 20);
	(void)ask(third, ASK_LOGIN, "anna", &r);
	(void)run_until(w.loop, is_done, &r, 500);
	assert_int_equal(r.err, ERR_OK);
	assert_int_equal(w.hanging, 3);
	for (size_t i = 0; i < ARRAY_LEN(hung); i++) {
		(void)run_until(w.loop, is_done, &hung[i], 3000);
		assert_int_equal(hung[i].err, ERR_TEMP);
	}
	third->ops->free(third);
	world_fini(&w);
}

static char
play_dies_once(struct world *w, struct str title, struct str user)
{
	(void)title;
	(void)user;
	return w->questions == 0 ? 'd' : 'a';
}

static char
play_dies(struct world *w, struct str title, struct str user)
{
	(void)w;
	(void)title;
	return str_eq(user, STR("killer")) ? 'd' : 'a';
}

static void
test_dying(void **state)
{
	struct world w;
	struct result r, other;

	(void)state;
	world_init(&w, 2, 2000, 100);
	w.play = play_dies_once;
	(void)ask(w.sql, ASK_LOGIN, "anna", &r);
	(void)run_until(w.loop, is_done, &r, 2000);
	assert_int_equal(r.err, ERR_OK);
	assert_int_equal(w.questions, 2);
	/* PAM may have counted the attempt */
	w.questions = 0;
	(void)ask(w.pam, ASK_LOGIN, "anna", &r);
	(void)run_until(w.loop, is_done, &r, 2000);
	assert_int_equal(r.err, ERR_TEMP);
	assert_int_equal(w.questions, 1);
	w.questions = 0;
	(void)ask(w.pam, ASK_USER, "anna", &r);
	(void)run_until(w.loop, is_done, &r, 2000);
	assert_int_equal(r.err, ERR_OK);
	assert_int_equal(w.questions, 2);
	/* a question that kills: twice, and then no more */
	w.play = play_dies;
	w.questions = 0;
	(void)ask(w.sql, ASK_LOGIN, "killer", &r);
	(void)ask(w.sql, ASK_LOGIN, "bert", &other);
	(void)run_until(w.loop, is_done, &r, 2000);
	(void)run_until(w.loop, is_done, &other, 2000);
	assert_int_equal(r.err, ERR_TEMP);
	assert_int_equal(other.err, ERR_OK);
	assert_int_equal(w.questions, 3);
	world_fini(&w);
}

static char
play_nonsense(struct world *w, struct str title, struct str user)
{
	(void)title;
	return str_eq(user, STR("garbage")) ? 'g' : w->questions % 2 == 0 ? 'o' : 'a';
}

static void
test_nonsense(void **state)
{
	struct world w;
	struct result r;

	(void)state;
	world_init(&w, 2, 2000, 100);
	w.play = play_nonsense;
	(void)ask(w.sql, ASK_LOGIN, "garbage", &r);
	(void)run_until(w.loop, is_done, &r, 2000);
	assert_int_equal(r.err, ERR_TEMP);
	assert_int_equal(w.questions, 2);
	/* another question's answer is no answer */
	(void)ask(w.sql, ASK_LOGIN, "anna", &r);
	(void)run_until(w.loop, is_done, &r, 2000);
	assert_int_equal(r.err, ERR_OK);
	assert_int_equal(w.questions, 4);
	world_fini(&w);
}

static void
test_queue_and_cancel(void **state)
{
	struct world w;
	struct result r[4];
	struct backend_request *q[4];

	(void)state;
	world_init(&w, 2, 300, 2);
	w.play = play_pam_hangs;
	q[0] = ask(w.pam, ASK_LOGIN, "one", &r[0]);
	while (w.hanging == 0)
		(void)run_until(w.loop, NULL, NULL, 20);
	q[1] = ask(w.pam, ASK_LOGIN, "two", &r[1]);
	q[2] = ask(w.pam, ASK_LOGIN, "three", &r[2]);
	q[3] = ask(w.pam, ASK_LOGIN, "four", &r[3]);
	assert_false(r[3].done);
	(void)run_until(w.loop, is_done, &r[3], 200);
	assert_int_equal(r[3].err, ERR_TEMP);
	/* in the queue, and at a helper */
	w.pam->ops->cancel(q[1]);
	w.pam->ops->cancel(q[0]);
	(void)run_until(w.loop, is_done, &r[2], 2000);
	assert_int_equal(r[2].err, ERR_TEMP);
	assert_false(r[0].done);
	assert_false(r[1].done);
	world_fini(&w);
}

static void
test_no_helpers(void **state)
{
	struct world w;
	struct result r;
	int64_t before;

	(void)state;
	world_init(&w, 2, 10000, 100);
	scripted_fini(&w.server);
	before = clock_ms();
	(void)ask(w.sql, ASK_LOGIN, "anna", &r);
	(void)run_until(w.loop, is_done, &r, 5000);
	assert_int_equal(r.err, ERR_TEMP);
	assert_true(clock_ms() - before < 2000);
	serve(&w);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_question_lines),
		cmocka_unit_test(test_answer_lines),
		cmocka_unit_test(test_passwd_lines),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_well),
		cmocka_unit_test(test_hanging_section),
		cmocka_unit_test(test_hanging_sections),
		cmocka_unit_test(test_dying),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_queue_and_cancel),
		cmocka_unit_test(test_no_helpers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
