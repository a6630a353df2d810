/* Mail to other servers: where each recipient goes, and the queue with a relay of the test's. */
#include "tests/unit/queue_case.h"

#include "core/event/ipc.h"

enum { JOBS = 128 };

struct relay_seen {
	uint64_t id;
	char route[100], section[100], sender[100], rcpts[RELAY_RCPTS_MAX][100];
	size_t count;
	bool held, cancelled;
};

static struct {
	struct listener *listener;
	struct ipc *ipc;
	struct relay_seen jobs[JOBS];
	unsigned count, taken; /* taken: recipients that had 250 */
	/* What comes: ERR_OK with a 250 for each, unless a rule says otherwise; else no results. */
	enum err how;
	const char *end_status;
	const char *end_host;
	bool end_said;
	unsigned end_code;
	const char *slow; /* jobs of this route are held */
	bool vanish;	  /* the channel ends at the next job */
	unsigned connections;
} R;

static void
send_result(const struct relay_seen *j, uint32_t i, const char *line)
{
	struct relay_result r = {
		.id = j->id, .index = i, .host = STR("mx.far.example"), .address = STR("192.0.2.9")
	};
	struct str code, rest;
	uint32_t n = 0;
	struct buf b;

	(void)str_cut(str_of(line), ' ', &code, &rest);
	(void)str_cut(rest, ' ', &r.status, &r.text);
	assert_int_equal(str_to_u32(code, 599, &n), ERR_OK);
	r.code = n;
	R.taken += n / 100 == 2;
	buf_init(&b, IPC_PAYLOAD_MAX);
	assert_int_equal(relay_result_encode(&r, &b), ERR_OK);
	assert_int_equal(ipc_send(R.ipc, RELAY_MSG_RCPT, buf_str(&b), NULL, 0), ERR_OK);
	buf_fini(&b);
}

static void
send_end(const struct relay_seen *j, enum err how)
{
	const struct relay_end e = { .id = j->id,
		.how = how,
		.code = how == ERR_OK ? 250 : R.end_code,
		.status = str_of(how == ERR_OK ? "2.0.0" : R.end_status),
		.text = how == ERR_OK ? STR_EMPTY : STR("no way there"),
		.host = str_of(how == ERR_OK ? "" : R.end_host),
		.address = str_of(how == ERR_OK || R.end_host[0] == '\0' ? "" : "192.0.2.7"),
		.own = !R.end_said };
	struct buf b;

	buf_init(&b, IPC_PAYLOAD_MAX);
	assert_int_equal(relay_end_encode(&e, &b), ERR_OK);
	assert_int_equal(ipc_send(R.ipc, RELAY_MSG_END, buf_str(&b), NULL, 0), ERR_OK);
	buf_fini(&b);
}

static void
answer(struct relay_seen *j)
{
	j->held = false;
	for (uint32_t i = 0; R.how == ERR_OK && i < j->count; i++) {
		const char *reply = result_of(j->rcpts[i]);
		send_result(j, i, reply);
	}
	send_end(j, R.how);
}

static void
release_all(void)
{
	R.slow = NULL;
	for (unsigned i = 0; i < R.count; i++) {
		if (R.jobs[i].held)
			answer(&R.jobs[i]);
	}
}

static void
relay_gone(void *arg, struct ipc *ipc, enum err why)
{
	(void)arg;
	(void)why;
	ipc_free(ipc);
	R.ipc = NULL;
}

static void
take_job(struct str payload)
{
	struct arena *a = arena_new(IPC_PAYLOAD_MAX);
	struct relay_seen *j = &R.jobs[R.count];
	struct relay_request r;

	assert_true(R.count < JOBS);
	assert_int_equal(relay_request_decode(payload, a, &r), ERR_OK);
	memset(j, 0, sizeof(*j));
	j->id = r.id;
	j->count = r.rcpts_count;
	(void)snprintf(j->route, sizeof(j->route), "%.*s", STR_FMT(r.route));
	(void)snprintf(j->section, sizeof(j->section), "%.*s", STR_FMT(r.section));
	(void)snprintf(j->sender, sizeof(j->sender), "%.*s", STR_FMT(r.sender));
	for (size_t i = 0; i < j->count; i++)
		(void)snprintf(j->rcpts[i], 100, "%.*s", STR_FMT(r.rcpts[i].address));
	arena_free(a);
	R.count++;
}

static void
relay_message(void *arg, struct ipc *ipc, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	uint64_t id = 0;

	(void)arg;
	for (size_t i = 0; i < fds_count; i++)
		(void)close(fds[i]);
	if (type == RELAY_MSG_CANCEL) {
		assert_int_equal(ipc_get_u64(&payload, &id), ERR_OK);
		for (unsigned i = 0; i < R.count; i++) {
			struct relay_seen *j = &R.jobs[i];
			if (j->id == id && j->held) {
				j->cancelled = true;
				j->held = false;
				send_end(j, ERR_TEMP);
			}
		}
		return;
	}
	assert_int_equal(fds_count, 1);
	take_job(payload);
	if (R.vanish) {
		R.vanish = false;
		relay_gone(NULL, ipc, ERR_EOF);
		return;
	}
	struct relay_seen *j = &R.jobs[R.count - 1];

	j->held = R.slow != NULL && strcmp(R.slow, j->route) == 0;
	if (!j->held)
		answer(j);
}

static const struct ipc_ops relay_ops = { .on_message = relay_message, .on_end = relay_gone };

static void
accept_relay(void *arg, int fd, const struct peer *p)
{
	(void)arg;
	(void)p;
	ipc_free(R.ipc);
	R.connections++;
	R.ipc = ipc_new(T.loop, fd, &relay_ops, NULL);
}

static void
again(int64_t lifetime_ms)
{
	queue_end();
	queue_begin(lifetime_ms);
}

static int
setup_relay(void **state)
{
	char path[128];

	(void)setup(state);
	memset(&R, 0, sizeof(R));
	R.end_code = 451;
	R.end_status = "4.4.1";
	R.end_host = "";
	(void)snprintf(path, sizeof(path), "seqpacket:%s", T.relay);
	R.listener = serve(path, accept_relay);
	T.settings = settings_defaults();
	T.settings->outbound.enabled = true;
	T.settings->outbound.concurrency_start = 2;
	T.settings->outbound.rest_min = 200;
	T.settings->outbound.rest_max = 400;
	again(60000);
	return 0;
}

static int
teardown_relay(void **state)
{
	if (T.queue != NULL)
		queue_end();
	listener_free(R.listener);
	ipc_free(R.ipc);
	(void)teardown(state);
	settings_free(T.settings);
	return 0;
}

static unsigned
given(const char *rcpt)
{
	unsigned n = 0;

	for (unsigned i = 0; i < R.count; i++)
		for (size_t k = 0; k < R.jobs[i].count; k++)
			n += strcmp(R.jobs[i].rcpts[k], rcpt) == 0;
	return n;
}

static const struct relay_seen *
job_for(const char *route)
{
	for (unsigned i = 0; i < R.count; i++)
		if (strcmp(R.jobs[i].route, route) == 0)
			return &R.jobs[i];
	fail_msg("no job for %s", route);
	return NULL;
}

/* ---- routes ---- */

static struct route_answer routed;
static char routed_text[600];
static bool is_routed_now;

static void
on_routed(void *arg, const struct route_answer *a)
{
	(void)arg;
	routed = *a;
	(void)snprintf(routed_text, sizeof(routed_text), "%.*s|%.*s|%s", STR_FMT(a->route),
		STR_FMT(a->section), a->status != NULL ? a->status : "");
	is_routed_now = true;
}

static bool
is_routed(void)
{
	return is_routed_now;
}

static void
expect_route(const char *address, const char *sender, const char *want)
{
	struct route_request *request;
	struct route_answer a;

	is_routed_now = false;
	if (route_find(T.queue->router, str_of(address), str_of(sender), &a, on_routed, NULL,
		    &request) == ERR_OK)
		on_routed(NULL, &a);
	until(is_routed);
	if (routed.kind == ROUTE_LOCAL)
		(void)snprintf(routed_text, sizeof(routed_text), "local");
	if (strcmp(routed_text, want) != 0)
		fail_msg("%s from %s: %s, not %s", address, sender, routed_text, want);
}

static struct str one[3][2] = { { { "partner.example", 15 }, { ".partner.example", 16 } },
	{ { "brand.example", 13 }, { NULL, 0 } }, { { ".a.partner.example", 18 }, { NULL, 0 } } };

static struct settings_relay sections[] = {
	{ .title = { "gw", 2 }, .host = { "[gw.example.net]:587", 20 }, .domains = { one[0], 2 } },
	{ .title = { "brand", 5 },
		.host = { "[b.example.net]", 15 },
		.sender_domains = { one[1], 1 } },
	{ .title = { "tls", 3 }, .domains = { one[2], 1 } },
	{ .title = { "loop", 4 }, .host = { "[mail.example.org]", 18 } },
};

static void
test_routes(void **state)
{
	static const struct {
		const char *address, *sender, *route;
	} table[] = {
		{ "anna@example.org", "x@else.example", "local" },
		{ "anna@EXAMPLE.ORG", "", "local" },
		{ "anna", "", "local" },
		{ "x@far.example", "anna@example.org", "far.example||" },
		{ "x@FAR.example", "", "FAR.example||" },
		{ "\"a@b\"@far.example", "", "far.example||" },
		{ "x@mail.example.org", "", "||5.4.6" },
		{ "x@", "", "||5.1.2" },
		{ "x@far example", "", "||5.1.2" },
		{ "x@far.example:25", "", "||5.1.2" },
		{ "x@[192.0.2.1]", "", "[192.0.2.1]||" },
		{ "x@[IPv6:2001:db8::1]", "", "[IPv6:2001:db8::1]||" },
		{ "x@[127.0.0.1]", "", "||5.4.4" },
		{ "x@[IPv6:::1]", "", "||5.4.4" },
		{ "x@[IPv6:::ffff:127.0.0.1]", "", "||5.4.4" },
		{ "x@[192.0.2.1]:25]", "", "||5.1.2" },
		/* what only the DNS can say is no address, and might lead to us */
		{ "x@[localhost]", "", "||5.1.2" },
		{ "x@[far.example]", "", "||5.1.2" },
		{ "x@[127.1]", "", "||5.1.2" },
		{ "x@[IPv6:localhost]", "", "||5.1.2" },
		{ "x@[192.0.2.1/32]", "", "||5.1.2" },
		/* mailHost */
		{ "moved@example.org", "", "[other.example.org]:2525||" },
		{ "self@example.org", "", "||5.4.6" },
		{ "self2@example.org", "", "[mail.example.org]:2525||" },
		{ "odd@example.org", "", "||4.3.5" },
		{ "evil@example.org", "", "||4.3.5" },
		{ "stays@example.org", "", "local" },
		{ "stays2@example.org", "", "local" },
		{ "lmtp@example.org", "", "||4.3.5" },
		{ "gone@example.org", "", "||5.7.1" },
		{ "bare@example.org", "", "example.org||" },
		{ "away@example.org", "", "||4.4.3" },
		/* sections */
		{ "x@partner.example", "anna@example.org", "|gw|" },
		{ "x@sub.partner.example", "anna@example.org", "|gw|" },
		{ "x@b.a.partner.example", "anna@example.org", "b.a.partner.example|tls|" },
		{ "x@notpartner.example", "anna@example.org", "notpartner.example||" },
		{ "x@far.example", "anna@brand.example", "|brand|" },
		{ "x@partner.example", "anna@brand.example", "|gw|" },
		{ "x@[192.0.2.1]", "anna@brand.example", "|brand|" },
		{ "anna@example.org", "anna@brand.example", "local" },
	};

	(void)state;
	T.settings->relays = sections;
	T.settings->relays_count = ARRAY_LEN(sections);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		expect_route(table[i].address, table[i].sender, table[i].route);
	T.settings->outbound.smarthost = STR("gw");
	expect_route("x@far.example", "", "|gw|");
	expect_route("x@far.example", "anna@brand.example", "|brand|");
	expect_route("anna@example.org", "", "local");
	T.settings->outbound.smarthost = STR("loop");
	expect_route("x@far.example", "", "||5.4.6");
	T.settings->outbound.smarthost = STR("gw");
	T.settings->outbound.null_client = true;
	expect_route("anna@example.org", "", "|gw|");
	expect_route("x@far.example", "anna@brand.example", "|gw|");
	T.settings->outbound.null_client = false;
	T.settings->outbound.transports = false;
	expect_route("moved@example.org", "", "local");
	T.settings->relays = NULL;
	T.settings->relays_count = 0;
}

/* The directory is away: nobody is sent anywhere by a guess. */
static void
test_routes_without_directory(void **state)
{
	(void)state;
	T.map_down = true;
	expect_route("x@unknown.example", "", "||4.4.3");
	T.map_down = false;
	expect_route("x@unknown.example", "", "unknown.example||");
	T.map_down = true;
	expect_route("x@unknown.example", "", "unknown.example||"); /* ten seconds long */
	expect_route("anna@example.org", "", "||4.4.3");
}

/* ---- jobs ---- */

static void
test_local_and_remote(void **state)
{
	const struct relay_seen *j;

	(void)state;
	submit("anna@example.org",
		"ben@example.org x@far.example y@FAR.example z@else.example moved@example.org "
		"out@example.org",
		"Subject: x\r\n\r\nhello\r\n");
	until(queue_empty);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
	assert_int_equal(delivered_to("anna@example.org", NULL), 1);
	assert_int_equal(delivered_to("moved@example.org", NULL), 0);
	assert_int_equal(R.count, 4);
	assert_int_equal(R.taken, 5);
	j = job_for("far.example");
	assert_int_equal(j->count, 2);
	assert_string_equal(j->sender, "anna@example.org");
	assert_string_equal(job_for("else.example")->rcpts[0], "z@else.example");
	assert_string_equal(job_for("[other.example.org]:2525")->rcpts[0], "moved@example.org");
	assert_int_equal(given("friend@elsewhere.example"), 1);
}

static void
test_results(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	T.rules[0] = (struct rule){ "b@far.example", "550 5.1.1 Nobody there", -1 };
	T.rules[1] = (struct rule){ "c@far.example", "450 4.2.0 Wait", 2 };
	submit("anna@example.org", "a@far.example b@far.example c@far.example",
		"Subject: the one\r\n\r\nx\r\n");
	until(queue_empty);
	assert_int_equal(given("a@far.example"), 1);
	assert_int_equal(given("b@far.example"), 1);
	assert_int_equal(given("c@far.example"), 3);
	assert_int_equal(delivered_to("anna@example.org", &d), 1);
	assert_non_null(strstr(d->text, "b@far.example"));
	assert_non_null(strstr(d->text, "Status: 5.1.1"));
	assert_non_null(strstr(d->text, "mx.far.example"));
	assert_null(strstr(d->text, "c@far.example"));
}

static bool
nobody_works(void)
{
	return T.queue->attempts_count + T.queue->away_count == 0 &&
	       state_busy(T.queue->state) == 0;
}

static bool
third_job_is_over(void)
{
	return given("b@far.example") == 3 && nobody_works();
}

/* 452 beside others that were taken: at once; alone: later. */
static void
test_full(void **state)
{
	(void)state;
	T.queue->o.retry_min_ms = T.queue->o.retry_max_ms = 3600000;
	T.rules[0] = (struct rule){ "b@far.example", "452 4.5.3 Too many", 1 };
	submit("", "a@far.example b@far.example", "x\r\n");
	until(queue_empty);
	assert_int_equal(given("b@far.example"), 2);
	T.rules[0] = (struct rule){ "b@far.example", "452 4.3.1 No room", 1 };
	submit("", "b@far.example", "x\r\n");
	until(third_job_is_over);
	turn(400);
	assert_int_equal(given("b@far.example"), 3);
	assert_int_equal(queue_flush(T.queue), 1);
	until(queue_empty);
	assert_int_equal(given("b@far.example"), 4);
}

static void
test_never(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	R.how = ERR_DENIED;
	R.end_code = 556;
	R.end_status = "5.1.10";
	submit("anna@example.org", "a@far.example x@[127.0.0.1] self@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(R.count, 1);
	assert_int_equal(delivered_to("anna@example.org", &d), 1);
	assert_non_null(strstr(d->text, "Status: 5.1.10"));
	assert_non_null(strstr(d->text, "Status: 5.4.4"));
	assert_non_null(strstr(d->text, "Status: 5.4.6"));
}

static unsigned tries_wanted;

static bool
tried(void)
{
	return R.count >= tries_wanted && nobody_works();
}

static bool
all_in_line(void)
{
	return delivered_to("ben@example.org", NULL) == 20 && nobody_works();
}

/* A dead hop: two messages find it out, the others only stand in line, also over a restart. One
 * more finds it out when the hop has rested. */
static void
test_dead_hop(void **state)
{
	(void)state;
	T.settings->outbound.rest_min = T.settings->outbound.rest_max = 3600000;
	again(3600000);
	T.queue->o.retry_min_ms = T.queue->o.retry_max_ms = 3600000;
	R.how = ERR_TEMP;
	for (unsigned i = 0; i < 20; i++)
		submit("", "x@dead.example ben@example.org", "x\r\n");
	until(all_in_line);
	assert_int_equal(T.queue->messages.n, 20);
	assert_in_range(R.count, 1, 2);
	tries_wanted = R.count + 1;
	hop_wake(hops_get(T.queue->hops, STR("dead.example"), STR_EMPTY));
	until(tried);
	assert_int_equal(R.count, tries_wanted);
	again(60000);
	R.how = ERR_OK;
	assert_int_equal(queue_flush(T.queue), 20);
	until(queue_empty);
	assert_int_equal(R.taken, 20);
	assert_int_equal(delivered_to("ben@example.org", NULL), 20);
}

static bool
only_slow_left(void)
{
	return T.queue->messages.n == 100 && T.queue->attempts_count == 0;
}

/* What hangs holds up neither mailboxes nor other hops, and no more than its own jobs begin. */
static void
test_slow_hop(void **state)
{
	(void)state;
	R.slow = "slow.example";
	for (unsigned i = 0; i < 100; i++)
		submit("", "x@slow.example", "x\r\n");
	for (unsigned i = 0; i < 10; i++)
		submit("", "y@fast.example ben@example.org", "x\r\n");
	while (given("y@fast.example") < 10 || delivered_to("ben@example.org", NULL) < 10)
		turn(5);
	until(only_slow_left);
	assert_int_equal(given("x@slow.example"), 2);
	assert_int_equal(T.queue->away_count, 2);
	release_all();
	until(queue_empty);
	assert_int_equal(given("x@slow.example"), 100);
}

/* relay dies with the job: nobody is blamed, and the message comes. */
static void
test_lost_channel(void **state)
{
	(void)state;
	R.vanish = true;
	submit("anna@example.org", "x@far.example ben@example.org", "x\r\n");
	until(queue_empty);
	assert_int_equal(R.connections, 2);
	assert_int_equal(given("x@far.example"), 2);
	assert_int_equal(R.taken, 1);
	assert_int_equal(hop_rests_ms(hops_get(T.queue->hops, STR("far.example"), STR_EMPTY)), 0);
	assert_int_equal(delivered_to("ben@example.org", NULL), 1);
}

static void
test_busy_and_away(void **state)
{
	(void)state;
	R.how = ERR_BUSY;
	submit("", "x@far.example", "x\r\n");
	while (R.count < 1)
		turn(5);
	assert_int_equal(hop_rests_ms(hops_get(T.queue->hops, STR("far.example"), STR_EMPTY)), 0);
	R.how = ERR_OK;
	until(queue_empty);
	listener_free(R.listener);
	R.listener = NULL;
	ipc_free(R.ipc);
	R.ipc = NULL;
	(void)unlink(T.relay);
	submit("", "y@far.example", "x\r\n");
	turn(300);
	assert_int_equal(T.queue->messages.n, 1);
	char path[128];

	(void)snprintf(path, sizeof(path), "seqpacket:%s", T.relay);
	R.listener = serve(path, accept_relay);
	until(queue_empty);
	assert_int_equal(given("y@far.example"), 1);
}

/* relay could not read it: only a damaged message is put aside. */
static void
test_corrupt(void **state)
{
	char id[17], path[128];
	int fd;

	(void)state;
	R.how = ERR_CORRUPT;
	submit("", "x@far.example", "x\r\n");
	while (R.count < 1)
		turn(5);
	R.how = ERR_OK;
	until(queue_empty);
	assert_int_equal(R.taken, 1);
	R.how = ERR_CORRUPT;
	R.slow = "far.example";
	accept_message("x@example.org", "y@far.example", "some text\r\n", id);
	assert_non_null(queue_add(T.queue, str_of(id), false, 0));
	while (given("y@far.example") == 0)
		turn(5);
	(void)snprintf(path, sizeof(path), "%s/slots/%s", T.dir, id);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "S", 1, SPOOL_FRONT_SIZE), 1);
	(void)close(fd);
	release_all();
	until(queue_empty);
	assert_int_equal(files_in("corrupt"), 1);
	assert_int_equal(R.taken, 1);
}

/* White space of any length as a blank. */
static void
add_unfolded(struct buf *out, const char *text)
{
	for (bool blank = false; *text != '\0'; text++) {
		bool now = *text == ' ' || *text == '\r' || *text == '\n';

		if (!now || !blank)
			buf_addc(out, now ? ' ' : *text);
		blank = now;
	}
}

/* A report says who said what, and of whom nothing was heard. */
static void
test_who_said_so(void **state)
{
	static const struct {
		const char *host;
		bool said;
		const char *want, *field, *never;
	} rows[] = {
		{ "mx.dead.example", true,
			"mx.dead.example [192.0.2.7] said: 550 5.4.1 no way there",
			"Remote-MTA: dns; mx.dead.example", "x-postroom;" },
		{ "mx.dead.example", false, "550 5.4.1 mx.dead.example [192.0.2.7]: no way there",
			"Diagnostic-Code: x-postroom; 550 5.4.1 mx.dead.example", "said:" },
		{ "192.0.2.7", false, "550 5.4.1 192.0.2.7: no way there",
			"Diagnostic-Code: x-postroom;", "Remote-MTA:" },
		{ "", false, "550 5.4.1 no way there", "Diagnostic-Code: x-postroom;", "said:" },
	};
	const struct delivery *d = NULL;
	struct buf whole;

	(void)state;
	R.how = ERR_DENIED;
	R.end_code = 550;
	R.end_status = "5.4.1";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		R.end_host = rows[i].host;
		R.end_said = rows[i].said;
		submit("anna@example.org", "x@dead.example", "x\r\n");
		until(queue_empty);
		assert_int_equal(delivered_to("anna@example.org", &d), (int)i + 1);
		buf_init(&whole, 1 << 20);
		add_unfolded(&whole, d->text);
		assert_non_null(strstr(buf_z(&whole), rows[i].want));
		assert_non_null(strstr(buf_z(&whole), rows[i].field));
		assert_null(strstr(buf_z(&whole), rows[i].never));
		buf_fini(&whole);
	}
}

/* Its time is over while it stands in line: the report says what the hop said. */
static void
test_expiry_in_line(void **state)
{
	const struct delivery *d = NULL;

	(void)state;
	T.settings->outbound.concurrency_start = 1;
	T.settings->outbound.rest_min = T.settings->outbound.rest_max = 60000;
	again(60000);
	R.how = ERR_TEMP;
	R.slow = "dead.example";
	submit("anna@example.org", "x@dead.example", "x\r\n");
	while (R.count < 1)
		turn(5);
	T.queue->o.lifetime_ms = 1;
	release_all();
	until(queue_empty);
	T.queue->o.lifetime_ms = 600;
	submit("cleo@example.org", "y@dead.example", "x\r\n");
	until(queue_empty);
	assert_int_equal(given("y@dead.example"), 0);
	assert_int_equal(delivered_to("cleo@example.org", &d), 1);
	assert_non_null(strstr(d->text, "y@dead.example"));
	assert_non_null(strstr(d->text, "451 4.4.1 no way there"));
	assert_int_equal(delivered_to("anna@example.org", NULL), 1);
}

/* The queue stops: relay is told, what it does not know goes on after the next start. */
static void
test_stop(void **state)
{
	(void)state;
	R.slow = "slow.example";
	submit("", "x@slow.example", "x\r\n");
	while (R.count < 1)
		turn(5);
	queue_end();
	assert_true(R.jobs[0].cancelled);
	R.slow = NULL;
	queue_begin(60000);
	until(queue_empty);
	assert_int_equal(R.taken, 1);
	assert_int_equal(given("x@slow.example"), 2);
}

/* Switched off with mail to other servers in the queue: it waits, and is not taken for ours. */
static void
test_switched_off(void **state)
{
	(void)state;
	R.how = ERR_TEMP;
	submit("anna@example.org", "x@far.example", "x\r\n");
	while (R.count < 1)
		turn(5);
	R.how = ERR_OK;
	T.settings->outbound.enabled = false;
	again(60000);
	assert_int_equal(queue_flush(T.queue), 1);
	submit("", "ben@example.org", "x\r\n");
	while (delivered_to("ben@example.org", NULL) < 1)
		turn(5);
	turn(100);
	assert_int_equal(T.queue->messages.n, 1);
	assert_int_equal(R.count, 1);
	assert_int_equal(T.deliveries_count, 1);
	/* mailboxes need no directory of ours */
	T.map_down = true;
	expect_route("ben@else.org", "", "local");
	T.map_down = false;
	T.settings->outbound.enabled = true;
	again(60000);
	until(queue_empty);
	assert_int_equal(R.taken, 1);
}

/* Nothing is ours: no aliases, no mailboxes, and the directory is not asked. */
static void
test_null_client(void **state)
{
	(void)state;
	T.settings->relays = sections;
	T.settings->relays_count = ARRAY_LEN(sections);
	T.settings->outbound.smarthost = STR("gw");
	T.settings->outbound.null_client = true;
	T.map_down = true;
	submit("root@example.org", "all@example.org x@far.example eve", "x\r\n");
	until(queue_empty);
	assert_int_equal(T.deliveries_count, 0);
	assert_int_equal(R.count, 1);
	assert_string_equal(R.jobs[0].section, "gw");
	assert_string_equal(R.jobs[0].route, "");
	assert_int_equal(given("all@example.org"), 1);
	assert_int_equal(given("eve@example.org"), 1);
	T.settings->relays = NULL;
	T.settings->relays_count = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_routes, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(
			test_routes_without_directory, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_local_and_remote, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_results, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_full, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_never, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_dead_hop, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_slow_hop, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_lost_channel, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_busy_and_away, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_corrupt, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_who_said_so, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_expiry_in_line, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_stop, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_switched_off, setup_relay, teardown_relay),
		cmocka_unit_test_setup_teardown(test_null_client, setup_relay, teardown_relay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
