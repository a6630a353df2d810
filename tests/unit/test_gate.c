/* The whole gate with IMAP on top, in one loop with a scripted auth, a scripted auth-userdb, a
 * small imap behind the hand-over, and clients over loopback, plain and TLS. */
#include "tests/unit/scripted.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "core/authclient/wire.h"
#include "core/event/stream.h"
#include "core/gate/gate.h"
#include "core/gate/handover.h"
#include "imap/gate/gate.h"
#include "imap/gate/capability.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/tls_pem.h"

#define CAPS	  "IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE SASL-IR STARTTLS AUTH=PLAIN AUTH=LOGIN"
#define HELLO	  "* OK [CAPABILITY " CAPS "] mail.example.org Postroom ready\r\n"
#define TLS_CAPS  "IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE SASL-IR AUTH=PLAIN AUTH=LOGIN"
#define TLS_HELLO "* OK [CAPABILITY " TLS_CAPS "] mail.example.org Postroom ready\r\n"
#define PUBLIC	  "192.0.2.1" /* added to lo in a network of our own */

enum { CLIENTS_MAX = 8, BIG_BYTES = 8 * 1024 * 1024 };

/* The imap of these tests: greets with tag and input, echoes, and knows "BIG" and "END". */
struct mailbox {
	struct stream *stream;
	struct world *world;
	uint64_t big_left;
	bool end_seen;
};

struct client {
	struct stream *stream;
	struct buf got;
	bool ended, broken, tls;
};

struct world {
	struct loop *loop;
	struct settings *settings;
	struct str mechanisms[2];
	struct scripted auth, userdb_server;
	const char *auth_answer;   /* after "OK\t1" or the like: "%u" is the id */
	const char *auth_continue; /* first asked so */
	char auth_asked[4096];
	const char *userdb_answer;
	struct userdb *userdb;
	struct handover_server *imap;
	bool imap_busy;
	struct mailbox mailboxes[CLIENTS_MAX];
	size_t mailbox_count;
	struct tls_ctx *server_tls, *client_tls;
	struct gate *gate;
	struct client clients[CLIENTS_MAX];
	size_t client_count;
	uint16_t port, tls_port, public_port;
	char handover_path[100];
	bool stopped;
};

static bool has_public;
static const char *passed[32];
static size_t passed_count;

/* At the end of a test that a capability names. */
#define PASSED() (passed[passed_count++] = __func__)

/* Our own network with a public address, so that a client can be a stranger. */
static bool
own_network(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	struct sockaddr_in a = { .sin_family = AF_INET };
	if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return false;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	bool good = ioctl(fd, SIOCSIFFLAGS, &r) == 0;
	memcpy(r.ifr_name, "lo:1", 5);
	inet_pton(AF_INET, PUBLIC, &a.sin_addr);
	memcpy(&r.ifr_addr, &a, sizeof(a));
	good = good && ioctl(fd, SIOCSIFADDR, &r) == 0;
	close(fd);
	return good;
}

/* The request's number stands for "%s". */
static void
with_number(char *out, size_t n, const char *text, struct str number)
{
	struct str t = str_of(text);
	size_t at = str_find(t, STR("%s"));
	snprintf(out, n, "%.*s%.*s%.*s", (int)at, t.p, STR_FMT(number),
		STR_FMT(str_from(t, at + 2)));
}

static void
answer_auth(struct scripted_connection *c)
{
	struct world *w = c->server->arg;
	struct str line, rest, verb, id;
	while (wire_line(&c->got, 65536, &line) == ERR_OK) {
		char reply[256];
		rest = line;
		assert_true(wire_next(&rest, &verb));
		bool asks = str_eq(verb, STR("AUTH")), goes_on = str_eq(verb, STR("CONT"));
		if ((asks || goes_on) && wire_next(&rest, &id)) {
			size_t at = strlen(w->auth_asked);
			struct str resp =
				asks ? str_from(rest, str_find(rest, STR("\tresp="))) : rest;
			snprintf(w->auth_asked + at, sizeof(w->auth_asked) - at, "%.*s|",
				STR_FMT(resp));
			if (w->auth_continue != NULL && str_chr(resp, '=') == resp.n && asks)
				snprintf(reply, sizeof(reply), "CONT\t%.*s\t%s\n", STR_FMT(id),
					w->auth_continue);
			else
				with_number(reply, sizeof(reply), w->auth_answer, id);
			scripted_sayz(c, reply);
		}
		buf_consume(&c->got, line.n + 1);
	}
}

static void
answer_userdb(struct scripted_connection *c)
{
	struct world *w = c->server->arg;
	struct str line, rest, verb, id;
	while (wire_line(&c->got, 65536, &line) == ERR_OK) {
		char reply[256];
		rest = line;
		if (wire_next(&rest, &verb) && str_eq(verb, STR("REQUEST")) &&
			wire_next(&rest, &id)) {
			with_number(reply, sizeof(reply), w->userdb_answer, id);
			scripted_sayz(c, reply);
		}
		buf_consume(&c->got, line.n + 1);
	}
}

static void
mailbox_pump(struct mailbox *m)
{
	static const char line[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
	while (m->big_left > 0 && !stream_full(m->stream)) {
		stream_write(m->stream, str_n(line, 64));
		m->big_left -= 64;
	}
}

static void
mailbox_read(struct stream *s, void *arg)
{
	struct mailbox *m = arg;
	struct buf *in = stream_in(s);
	if (str_find(buf_str(in), STR("BIG")) < in->n)
		m->big_left = BIG_BYTES;
	else if (str_find(buf_str(in), STR("END")) < in->n)
		m->end_seen = true;
	else
		stream_writef(s, "echo %.*s", STR_FMT(buf_str(in)));
	buf_consume(in, in->n);
	mailbox_pump(m);
	if (m->end_seen) {
		stream_write(s, STR("* BYE\r\n"));
		m->stream = NULL;
		stream_close(s, 1000);
	}
}

static void
mailbox_drain(struct stream *s, void *arg)
{
	(void)s;
	mailbox_pump(arg);
}

static void
mailbox_end(struct stream *s, void *arg, enum err why)
{
	struct mailbox *m = arg;
	m->stream = NULL;
	if (why == ERR_EOF) {
		stream_write(s, STR("* BYE you went\r\n"));
		stream_close(s, 1000);
	} else {
		stream_free(s);
	}
}

static const struct stream_ops MAILBOX_OPS = {
	.on_read = mailbox_read,
	.on_drain = mailbox_drain,
	.on_end = mailbox_end,
};

static bool
imap_ready(void *arg)
{
	return !((struct world *)arg)->imap_busy;
}

static void
imap_accept(void *arg, const struct handover_login *l, int fd)
{
	struct world *w = arg;
	const struct stream_options o = { .in_max_bytes = 65536 };
	assert_true(w->mailbox_count < CLIENTS_MAX);
	struct mailbox *m = &w->mailboxes[w->mailbox_count++];
	m->world = w;
	m->stream = stream_new(w->loop, fd, &MAILBOX_OPS, m, &o);
	stream_writef(m->stream, "%.*s OK %.*s%s [%.*s]\r\n", STR_FMT(l->tag), STR_FMT(l->user),
		l->tls ? " tls" : "", STR_FMT(l->input));
}

static const struct handover_server_ops IMAP_OPS = { .ready = imap_ready, .accept = imap_accept };

static uint16_t
listen_tcp(struct world *w, const char *host, enum listen_tls tls)
{
	const struct listen_options o = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	const char *text = "";
	char address[64];
	int fd = -1;
	snprintf(address, sizeof(address), "%s:0", host);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &text), ERR_OK);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	gate_listen(w->gate, fd, tls);
	return ntohs(a.sin_port);
}

static void
world_tls(struct world *w)
{
	const char *text = "";
	const struct tls_server_options so = { .certificate_pem = STR(TEST_CERTIFICATE),
		.key_pem = STR(TEST_KEY),
		.min_version = 12 };
	const struct tls_client_options co = {
		.ca_pem = STR(TEST_CERTIFICATE), .min_version = 12, .insecure = true
	};
	assert_int_equal(tls_ctx_new_server(&so, &w->server_tls, &text), ERR_OK);
	assert_int_equal(tls_ctx_new_client(&co, &w->client_tls, &text), ERR_OK);
}

static void
world_imap(struct world *w)
{
	const struct listen_options o = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	const char *text = "";
	char address[128];
	int fd = -1;
	snprintf(w->handover_path, sizeof(w->handover_path), "%s/imap.", w->auth.folder);
	snprintf(address, sizeof(address), "seqpacket:%s0", w->handover_path);
	assert_int_equal(listen_bind(str_of(address), &o, &fd, &text), ERR_OK);
	w->imap = handover_server_new(w->loop, fd, geteuid(), w->userdb, &IMAP_OPS, w);
}

static void
world_init(struct world *w)
{
	*w = (struct world){ .loop = loop_new(),
		.auth_answer = "OK\t%s\tuser=jane@example.org\n",
		.userdb_answer = "USER\t%s\tjane@example.org\thome=/mail/jane\n",
		.mechanisms = { STR("PLAIN"), STR("LOGIN") } };
	w->settings = settings_defaults();
	w->settings->hostname = STR("mail.example.org");
	w->settings->auth.sasl_mechanisms = (struct str_list){ w->mechanisms, 2 };
	world_tls(w);
	scripted_init(&w->auth, w->loop);
	w->auth.greeting =
		"VERSION\t1\t2\nMECH\tPLAIN\nMECH\tLOGIN\nSPID\t1\nCOOKIE\tc00c1e\nDONE\n";
	w->auth.on_input = answer_auth;
	w->auth.arg = w;
	scripted_listen(&w->auth);
	scripted_init(&w->userdb_server, w->loop);
	w->userdb_server.greeting = "VERSION\t1\t1\n";
	w->userdb_server.on_input = answer_userdb;
	w->userdb_server.arg = w;
	scripted_listen(&w->userdb_server);
	w->userdb = userdb_new(w->loop, str_of(w->userdb_server.address));
	world_imap(w);
	const struct gate_options o = { .loop = w->loop,
		.protocol = &imap_gate_protocol,
		.settings = w->settings,
		.auth_address = str_of(w->auth.address),
		.handover_path = w->handover_path,
		.handover_workers = 1,
		.tls = w->server_tls };
	w->gate = gate_new(&o);
	w->port = listen_tcp(w, "127.0.0.1", LISTEN_TLS_STARTTLS);
	w->tls_port = listen_tcp(w, "127.0.0.1", LISTEN_TLS_IMPLICIT);
	if (has_public)
		w->public_port = listen_tcp(w, PUBLIC, LISTEN_TLS_STARTTLS);
}

static void
world_fini(struct world *w)
{
	char path[128];
	for (size_t i = 0; i < w->client_count; i++) {
		stream_free(w->clients[i].stream);
		buf_fini(&w->clients[i].got);
	}
	gate_free(w->gate);
	handover_server_free(w->imap);
	for (size_t i = 0; i < w->mailbox_count; i++)
		stream_free(w->mailboxes[i].stream);
	run_until(w->loop, NULL, NULL, 10);
	userdb_free(w->userdb);
	snprintf(path, sizeof(path), "%s0", w->handover_path);
	unlink(path);
	scripted_fini(&w->auth);
	scripted_fini(&w->userdb_server);
	tls_ctx_unref(w->server_tls);
	tls_ctx_unref(w->client_tls);
	settings_free(w->settings);
	loop_free(w->loop);
}

static void
client_read(struct stream *s, void *arg)
{
	struct client *c = arg;
	buf_add(&c->got, buf_str(stream_in(s)));
	buf_consume(stream_in(s), stream_in(s)->n);
}

static void
client_tls(struct stream *s, void *arg)
{
	(void)s;
	((struct client *)arg)->tls = true;
}

static void
client_end(struct stream *s, void *arg, enum err why)
{
	struct client *c = arg;
	(void)s;
	c->ended = true;
	c->broken = why != ERR_EOF;
}

static const struct stream_ops CLIENT_OPS = {
	.on_read = client_read,
	.on_tls = client_tls,
	.on_end = client_end,
};

static struct client *
client_new(struct world *w, const char *host, uint16_t port, bool tls)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	const struct stream_options o = { .in_max_bytes = 256 * 1024 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, host, &a.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_true(w->client_count < CLIENTS_MAX);
	struct client *c = &w->clients[w->client_count++];
	buf_init(&c->got, 64 * 1024 * 1024);
	c->stream = stream_new(w->loop, fd, &CLIENT_OPS, c, &o);
	if (tls)
		stream_start_tls_client(c->stream, w->client_tls, STR("localhost"));
	return c;
}

struct wanted {
	struct client *c;
	size_t n;
};

static bool
enough(void *arg)
{
	struct wanted *x = arg;
	return x->c->got.n >= x->n || x->c->ended;
}

/* Exactly this comes next. */
static void
expect(struct world *w, struct client *c, const char *text)
{
	struct wanted x = { c, strlen(text) };
	run_until(w->loop, enough, &x, 15000);
	char got[2048];
	snprintf(got, sizeof(got), "%.*s", (int)(c->got.n < x.n ? c->got.n : x.n),
		buf_str(&c->got).p);
	assert_string_equal(got, text);
	buf_consume(&c->got, x.n);
}

static bool
has_ended(void *arg)
{
	return ((struct client *)arg)->ended;
}

static void
expect_end(struct world *w, struct client *c)
{
	assert_true(run_until(w->loop, has_ended, c, 5000));
	assert_int_equal(c->got.n, 0);
}

static void
expect_silence(struct world *w, struct client *c)
{
	assert_false(run_until(w->loop, NULL, NULL, 50));
	assert_int_equal(c->got.n, 0);
	assert_false(c->ended);
}

static void
say(struct world *w, struct client *c, const char *text, bool bytewise)
{
	for (const char *p = text; bytewise && *p != '\0'; p++) {
		stream_write(c->stream, str_n(p, 1));
		run_until(w->loop, NULL, NULL, 0);
	}
	if (!bytewise)
		stream_write(c->stream, str_of(text));
}

/* As a client that waits for "+" before each literal that asks for it. */
static void
say_literals(struct world *w, struct client *c, const char *text, bool bytewise)
{
	char part[256];
	for (;;) {
		struct str rest = str_of(text);
		size_t at = str_find(rest, STR("}\r\n"));
		bool waits = at < rest.n && rest.p[at - 1] != '+';
		snprintf(part, sizeof(part), "%.*s", (int)(waits ? at + 3 : rest.n), text);
		say(w, c, part, bytewise);
		if (!waits)
			return;
		expect(w, c, "+ Go on\r\n");
		text += at + 3;
	}
}

static void
test_before_login(void **state)
{
	static const struct {
		const char *say, *hear;
	} CASES[] = {
		{ "a NOOP\r\n", "a OK Noop completed\r\n" },
		{ "a noop\n", "a OK Noop completed\r\n" },
		{ "a NOOP x\r\n", "a BAD No argument is wanted here\r\n" },
		{ "a NOOP \r\n", "a OK Noop completed\r\n" },
		{ "a LOGIN \r\n", "a BAD An argument is missing\r\n" },
		{ "a CAPABILITY\r\n", "* CAPABILITY " CAPS "\r\na OK Capability completed\r\n" },
		{ "a ID NIL \r\n", "* ID (\"name\" \"Postroom\")\r\na OK ID completed\r\n" },
		{ "a ID (\"name\" \"x\" \"version\" NIL)\r\n",
			"* ID (\"name\" \"Postroom\")\r\na OK ID completed\r\n" },
		{ "a ID (name x)\r\n", "* ID (\"name\" \"Postroom\")\r\na OK ID completed\r\n" },
		{ "a ID ({4+}\r\nname {1+}\r\nx)\r\n",
			"* ID (\"name\" \"Postroom\")\r\na OK ID completed\r\n" },
		{ "a ID\r\n", "a BAD An argument is missing\r\n" },
		{ "a ID x\r\n", "a BAD ID wants NIL or a list of pairs\r\n" },
		{ "a SELECT INBOX\r\n", "a BAD Unknown command, or one for after login\r\n" },
		{ "a LOGIN\r\n", "a BAD An argument is missing\r\n" },
		{ "a LOGIN jane\r\n", "a BAD LOGIN wants a name and a password\r\n" },
		{ "a LOGIN jane pw x\r\n", "a BAD LOGIN wants a name and a password\r\n" },
		{ "a LOGIN * pw\r\n", "a BAD LOGIN wants a name and a password\r\n" },
		{ "a LOGIN \"ja\"ne pw\r\n", "a BAD LOGIN wants a name and a password\r\n" },
		{ "a LOGIN {8193}\r\n", "a BAD [TOOBIG] The literal is too large\r\n" },
		{ "a AUTHENTICATE\r\n", "a BAD An argument is missing\r\n" },
		{ "a AUTHENTICATE GSSAPI\r\n", "a NO [CANNOT] This mechanism is not offered\r\n" },
		{ "a AUTHENTICATE PLAIN a\r\n", "a BAD The initial response is no base64\r\n" },
		{ "a AUTHENTICATE PLAIN \r\n", "a BAD The initial response is no base64\r\n" },
		{ "a AUTHENTICATE PLAIN ==\r\n", "a BAD The initial response is no base64\r\n" },
		{ "a STARTTLS x\r\n", "a BAD No argument is wanted here\r\n" },
		{ "\r\n", "* BAD This is no command\r\n" },
		{ "a\r\n", "a BAD This is no command\r\n" },
		{ "GET / HTTP/1.1\r\n", "GET BAD Unknown command, or one for after login\r\n" },
		{ "* NOOP\r\n", "* BAD This is no command\r\n" },
		{ "a NOOP\r\nb NOOP\r\n", "a OK Noop completed\r\nb OK Noop completed\r\n" },
		{ "a LOGOUT\r\n", "* BYE Logging out\r\na OK Logout completed\r\n" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES) * 2; i++) {
		struct world w;
		world_init(&w);
		struct client *c = client_new(&w, "127.0.0.1", w.port, false);
		expect(&w, c, HELLO);
		say(&w, c, CASES[i / 2].say, i % 2 == 1);
		expect(&w, c, CASES[i / 2].hear);
		if (i / 2 == ARRAY_LEN(CASES) - 1)
			expect_end(&w, c);
		else
			expect_silence(&w, c);
		assert_string_equal(w.auth_asked, "");
		world_fini(&w);
	}
	PASSED();
}

/* What is named before login and is imap's: here it is refused, with CAPABILITY's list in hand. */
static void
test_for_after_login(void **state)
{
	static const char *const SAY[] = { "a ENABLE UTF8=ACCEPT\r\n", "a IDLE\r\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(SAY); i++) {
		struct world w;

		world_init(&w);
		struct client *c = client_new(&w, "127.0.0.1", w.port, false);
		expect(&w, c, HELLO);
		say(&w, c, SAY[i], false);
		expect(&w, c, "a BAD Unknown command, or one for after login\r\n");
		say(&w, c, "b NOOP\r\n", false);
		expect(&w, c, "b OK Noop completed\r\n");
		expect_silence(&w, c);
		world_fini(&w);
	}
	PASSED();
}

/* Every form of a login, plain and over TLS, whole and byte by byte: auth sees the same, imap
 * answers, and what follows goes to imap. */
static void
test_logins(void **state)
{
	static const struct {
		const char *say, *hear, *asked;
	} CASES[] = {
		{ "a LOGIN jane secret\r\n", "", "\tresp=AGphbmUAc2VjcmV0|" },
		{ "a login \"jane\" \"secret\"\r\n", "", "\tresp=AGphbmUAc2VjcmV0|" },
		{ "a LOGIN jane secret \r\n", "", "\tresp=AGphbmUAc2VjcmV0|" },
		{ "a LOGIN {4+}\r\njane {6+}\r\nsecret\r\n", "", "\tresp=AGphbmUAc2VjcmV0|" },
		{ "a LOGIN {4}\r\njane \"secret\"\r\n", "", "\tresp=AGphbmUAc2VjcmV0|" },
		{ "a LOGIN {4}\r\njane {6}\r\nsecret\r\n", "", "\tresp=AGphbmUAc2VjcmV0|" },
		{ "a LOGIN jane \"\"\r\n", "", "\tresp=AGphbmUA|" },
		{ "a LOGIN jane \"s\\\"\\\\\"\r\n", "", "\tresp=AGphbmUAcyJc|" },
		{ "a AUTHENTICATE PLAIN AGphbmUAc2VjcmV0\r\n", "", "\tresp=AGphbmUAc2VjcmV0|" },
		{ "a authenticate plain AGphbmUAc2VjcmV0\r\n", "", "\tresp=AGphbmUAc2VjcmV0|" },
		{ "a AUTHENTICATE PLAIN =\r\n", "", "\tresp=|" },
		{ "a AUTHENTICATE PLAIN\r\nAGphbmUAc2VjcmV0\r\n", "+ \r\n", "|AGphbmUAc2VjcmV0|" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES) * 4; i++) {
		struct world w;
		bool tls = i % 2 == 1, bytewise = i % 4 >= 2;
		char hear[256];
		world_init(&w);
		w.auth_continue = "";
		struct client *c = client_new(&w, "127.0.0.1", tls ? w.tls_port : w.port, tls);
		expect(&w, c, tls ? TLS_HELLO : HELLO);
		say_literals(&w, c, CASES[i / 4].say, bytewise);
		snprintf(hear, sizeof(hear), "%sa OK jane@example.org%s []\r\n", CASES[i / 4].hear,
			tls ? " tls" : "");
		expect(&w, c, hear);
		assert_string_equal(w.auth_asked, CASES[i / 4].asked);
		say(&w, c, "b NOOP\r\n", false);
		expect(&w, c, "echo b NOOP\r\n");
		say(&w, c, "END\r\n", false);
		expect(&w, c, "* BYE\r\n");
		expect_end(&w, c);
		assert_false(c->broken);
		world_fini(&w);
	}
	PASSED();
}

static void
test_exchange(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	w.auth_continue = "VXNlcm5hbWU6";
	struct client *c = client_new(&w, "127.0.0.1", w.port, false);
	expect(&w, c, HELLO);
	say(&w, c, "a AUTHENTICATE LOGIN\r\n", false);
	expect(&w, c, "+ VXNlcm5hbWU6\r\n");
	say(&w, c, "*\r\n", false);
	expect(&w, c, "a BAD Authentication given up\r\n");
	say(&w, c, "b AUTHENTICATE LOGIN\r\n", false);
	expect(&w, c, "+ VXNlcm5hbWU6\r\n");
	say(&w, c, "!\r\n", false);
	expect(&w, c, "b BAD The response is no base64\r\n");
	say(&w, c, "c NOOP\r\n", false);
	expect(&w, c, "c OK Noop completed\r\n");
	say(&w, c, "d AUTHENTICATE LOGIN\r\nYQ==\r\ne NOOP\r\n", false);
	expect(&w, c, "+ VXNlcm5hbWU6\r\nd OK jane@example.org [e NOOP\r\n]\r\n");
	world_fini(&w);
	PASSED();
}

static void
test_pipelined(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct world w;
		world_init(&w);
		struct client *c =
			client_new(&w, "127.0.0.1", tls == 1 ? w.tls_port : w.port, tls == 1);
		expect(&w, c, tls == 1 ? TLS_HELLO : HELLO);
		say(&w, c, "x NOOP\r\na LOGIN jane secret\r\nb SELECT INBOX\r\nc FETCH 1", false);
		expect(&w, c, "x OK Noop completed\r\n");
		expect(&w, c,
			tls == 1 ? "a OK jane@example.org tls [b SELECT INBOX\r\nc FETCH 1]\r\n"
				 : "a OK jane@example.org [b SELECT INBOX\r\nc FETCH 1]\r\n");
		say(&w, c, ":* ALL\r\n", false);
		expect(&w, c, "echo :* ALL\r\n");
		world_fini(&w);
	}
}

static void
test_failures(void **state)
{
	static const struct {
		const char *answer, *text;
	} CASES[] = {
		{ "FAIL\t%s\n", "NO [AUTHENTICATIONFAILED] Authentication failed\r\n" },
		{ "FAIL\t%s\ttemp\n",
			"NO [UNAVAILABLE] Logins are not possible now, try again later\r\n" },
		{ "FAIL\t%s\tpass_expired\n", "NO [EXPIRED] The password has expired\r\n" },
		{ "FAIL\t%s\tpass_expired\treason=Change it at x\n",
			"NO [EXPIRED] Change it at x\r\n" },
		{ "FAIL\t%s\tpass_expired\treason=a\001nb OK\n",
			"NO [EXPIRED] The password has expired\r\n" },
		{ "FAIL\t%s\tuser_disabled\n", "NO [CONTACTADMIN] This account is locked\r\n" },
		{ "FAIL\t%s\tauthz\n", "NO [AUTHORIZATIONFAILED] Not allowed\r\n" },
		{ "rubbish%s\n",
			"NO [UNAVAILABLE] Logins are not possible now, try again later\r\n" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct world w;
		char hear[200];
		world_init(&w);
		w.auth_answer = CASES[i].answer;
		struct client *c = client_new(&w, "127.0.0.1", w.port, false);
		expect(&w, c, HELLO);
		say(&w, c, "a LOGIN jane wrong\r\nb NOOP\r\n", false);
		snprintf(hear, sizeof(hear), "a %sb OK Noop completed\r\n", CASES[i].text);
		expect(&w, c, hear);
		w.auth_answer = "OK\t%s\tuser=jane\n";
		say(&w, c, "c LOGIN jane secret\r\n", false);
		expect(&w, c, "c OK jane@example.org []\r\n");
		world_fini(&w);
	}
}

/* The gate stands, the hand-over fails: the client stays here and may try again. */
static void
test_handover_fails(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct world w;
		world_init(&w);
		struct client *c =
			client_new(&w, "127.0.0.1", tls == 1 ? w.tls_port : w.port, tls == 1);
		expect(&w, c, tls == 1 ? TLS_HELLO : HELLO);
		w.userdb_answer = "FAIL\t%s\n";
		say(&w, c, "a LOGIN jane secret\r\n", false);
		expect(&w, c,
			"a NO [UNAVAILABLE] Logins are not possible now, try again later\r\n");
		w.imap_busy = true;
		say(&w, c, "b LOGIN jane secret\r\nc NOOP\r\n", false);
		expect(&w, c,
			"b NO [UNAVAILABLE] Logins are not possible now, try again later\r\n"
			"c OK Noop completed\r\n");
		w.imap_busy = false;
		w.userdb_answer = "USER\t%s\tjane@example.org\thome=/m\n";
		say(&w, c, "d LOGIN jane secret\r\n", false);
		expect(&w, c,
			tls == 1 ? "d OK jane@example.org tls []\r\n"
				 : "d OK jane@example.org []\r\n");
		world_fini(&w);
	}
}

static bool
tls_is_up(void *arg)
{
	return ((struct client *)arg)->tls;
}

/* What stood behind STARTTLS in clear is nobody's. */
static void
test_starttls_injection(void **state)
{
	static const char *const CASES[] = {
		"a STARTTLS\r\n",
		"a STARTTLS\r\nb NOOP\r\n",
		"a STARTTLS\r\nb LOGIN mallory pw\r\n",
		"a STARTTLS\r\nb LOGIN {4",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct world w;
		world_init(&w);
		struct client *c = client_new(&w, "127.0.0.1", w.port, false);
		expect(&w, c, HELLO);
		say(&w, c, CASES[i], false);
		expect(&w, c, "a OK Begin TLS negotiation now\r\n");
		stream_start_tls_client(c->stream, w.client_tls, STR("localhost"));
		assert_true(run_until(w.loop, tls_is_up, c, 5000));
		expect_silence(&w, c);
		say(&w, c, "c CAPABILITY\r\n", false);
		expect(&w, c, "* CAPABILITY " TLS_CAPS "\r\nc OK Capability completed\r\n");
		say(&w, c, "d STARTTLS\r\n", false);
		expect(&w, c, "d BAD STARTTLS is not available here\r\n");
		assert_string_equal(w.auth_asked, "");
		say(&w, c, "e LOGIN jane secret\r\n", false);
		expect(&w, c, "e OK jane@example.org tls []\r\n");
		world_fini(&w);
	}
	PASSED();
}

/* Much output through the relay to a client that first reads nothing. */
static void
test_relay_slow_reader(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	struct client *c = client_new(&w, "127.0.0.1", w.tls_port, true);
	expect(&w, c, TLS_HELLO);
	say(&w, c, "a LOGIN jane secret\r\n", false);
	expect(&w, c, "a OK jane@example.org tls []\r\n");
	stream_set_reading(c->stream, false);
	say(&w, c, "BIG\r\n", false);
	assert_false(run_until(w.loop, NULL, NULL, 300));
	/* Sockets and marks are full; the rest waits in imap. */
	assert_true(w.mailboxes[0].big_left > 0);
	stream_set_reading(c->stream, true);
	struct wanted x = { c, BIG_BYTES };
	assert_true(run_until(w.loop, enough, &x, 30000));
	assert_int_equal(c->got.n, BIG_BYTES);
	buf_reset(&c->got);
	say(&w, c, "END\r\n", false);
	expect(&w, c, "* BYE\r\n");
	expect_end(&w, c);
	assert_false(c->broken);
	world_fini(&w);
}

static void
test_client_half_closes(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct world w;
		world_init(&w);
		struct client *c =
			client_new(&w, "127.0.0.1", tls == 1 ? w.tls_port : w.port, tls == 1);
		expect(&w, c, tls == 1 ? TLS_HELLO : HELLO);
		say(&w, c, "a LOGIN jane secret\r\nb NOOP\r\n", false);
		stream_shutdown(c->stream);
		expect(&w, c,
			tls == 1 ? "a OK jane@example.org tls [b NOOP\r\n]\r\n* BYE you went\r\n"
				 : "a OK jane@example.org [b NOOP\r\n]\r\n* BYE you went\r\n");
		expect_end(&w, c);
		world_fini(&w);
	}
}

static void
test_too_many_bad_commands(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	struct client *c = client_new(&w, "127.0.0.1", w.port, false);
	expect(&w, c, HELLO);
	for (int i = 0; i < 12; i++)
		say(&w, c, "a WHAT\r\n", false);
	for (int i = 0; i < 10; i++)
		expect(&w, c, "a BAD Unknown command, or one for after login\r\n");
	expect(&w, c, "* BYE Too many bad commands\r\n");
	expect_end(&w, c);
	world_fini(&w);
}

static void
test_too_many_failed_logins(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	w.auth_answer = "FAIL\t%s\n";
	struct client *c = client_new(&w, "127.0.0.1", w.port, false);
	expect(&w, c, HELLO);
	for (int i = 0; i < 12; i++)
		say(&w, c, "a LOGIN jane wrong\r\n", false);
	for (int i = 0; i < 10; i++)
		expect(&w, c, "a NO [AUTHENTICATIONFAILED] Authentication failed\r\n");
	expect(&w, c, "* BYE Too many failed logins\r\n");
	expect_end(&w, c);
	world_fini(&w);
}

static void
test_long_lines(void **state)
{
	struct world w;
	char *line = xcalloc(1, 100003);
	(void)state;
	memset(line, 'x', 100000);
	memcpy(line + 100000, "\r\n", 3);
	world_init(&w);
	struct client *c = client_new(&w, "127.0.0.1", w.port, false);
	expect(&w, c, HELLO);
	say(&w, c, line, false);
	expect(&w, c, "* BAD The line is too long\r\n");
	say(&w, c, "a NOOP\r\n", false);
	expect(&w, c, "a OK Noop completed\r\n");
	/* a literal that comes without being asked for */
	say(&w, c, "a LOGIN {100000+}\r\n", false);
	expect(&w, c,
		"a BAD [TOOBIG] The literal is too large\r\n"
		"* BYE The literal is too large\r\n");
	world_fini(&w);
	free(line);
}

static void
test_login_takes_too_long(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	w.settings->imap.login_timeout = 200;
	struct client *c = client_new(&w, "127.0.0.1", w.port, false);
	struct client *silent = client_new(&w, "127.0.0.1", w.tls_port, false);
	expect(&w, c, HELLO);
	expect(&w, c, "* BYE Login took too long\r\n");
	expect_end(&w, c);
	expect_end(&w, silent); /* its hand-shake never began */
	world_fini(&w);
}

static void
test_connections_per_address(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	w.settings->imap.connections_per_address = 2;
	struct client *c[3];
	for (int i = 0; i < 2; i++) {
		c[i] = client_new(&w, "127.0.0.1", w.port, false);
		expect(&w, c[i], HELLO);
	}
	c[2] = client_new(&w, "127.0.0.1", w.port, false);
	expect(&w, c[2], "* BYE [LIMIT] Too many connections from your address\r\n");
	expect_end(&w, c[2]);
	say(&w, c[0], "a LOGOUT\r\n", false);
	expect(&w, c[0], "* BYE Logging out\r\na OK Logout completed\r\n");
	expect_end(&w, c[0]);
	struct client *again = client_new(&w, "127.0.0.1", w.port, false);
	expect(&w, again, HELLO);
	world_fini(&w);
}

static void
on_stopped(void *arg)
{
	((struct world *)arg)->stopped = true;
}

static bool
world_stopped(void *arg)
{
	return ((struct world *)arg)->stopped;
}

static void
test_stop(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	struct client *in = client_new(&w, "127.0.0.1", w.tls_port, true);
	struct client *out = client_new(&w, "127.0.0.1", w.port, false);
	expect(&w, in, TLS_HELLO);
	expect(&w, out, HELLO);
	say(&w, in, "a LOGIN jane secret\r\n", false);
	expect(&w, in, "a OK jane@example.org tls []\r\n");
	gate_stop(w.gate, on_stopped, &w);
	expect(&w, out, "* BYE [UNAVAILABLE] The server is stopping\r\n");
	expect_end(&w, out);
	/* The session is imap's to end. */
	assert_false(w.stopped);
	say(&w, in, "b NOOP\r\n", false);
	expect(&w, in, "echo b NOOP\r\n");
	say(&w, in, "END\r\n", false);
	expect(&w, in, "* BYE\r\n");
	expect_end(&w, in);
	assert_true(run_until(w.loop, world_stopped, &w, 5000));
	world_fini(&w);
}

/* A stranger without TLS is told so before it says a password. */
static void
test_no_password_without_tls(void **state)
{
	struct world w;
	(void)state;
	if (!has_public) {
		PASSED(); /* as far as a container lets it */
		LEAVE_OUT("no address but loopback");
	}
	world_init(&w);
	struct client *c = client_new(&w, PUBLIC, w.public_port, false);
	expect(&w, c,
		"* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE STARTTLS "
		"LOGINDISABLED] "
		"mail.example.org Postroom ready\r\n");
	say(&w, c, "a LOGIN jane secret\r\nb AUTHENTICATE PLAIN AGphbmUAc2VjcmV0\r\n", false);
	expect(&w, c,
		"a NO [PRIVACYREQUIRED] Passwords need TLS first\r\n"
		"b NO [PRIVACYREQUIRED] Passwords need TLS first\r\n");
	assert_string_equal(w.auth_asked, "");
	say(&w, c, "c STARTTLS\r\n", false);
	expect(&w, c, "c OK Begin TLS negotiation now\r\n");
	stream_start_tls_client(c->stream, w.client_tls, STR("localhost"));
	say(&w, c, "d LOGIN jane secret\r\n", false);
	expect(&w, c, "d OK jane@example.org tls []\r\n");
	w.settings->imap.plaintext_login = true;
	struct client *other = client_new(&w, PUBLIC, w.public_port, false);
	expect(&w, other, HELLO);
	world_fini(&w);
	PASSED();
}

/* Runs last: the test of every token of the table ran to its end. */
static void
test_capability_tests(void **state)
{
	const char *token;
	(void)state;
	for (size_t i = 0; (token = gate_capability_token(i)) != NULL; i++) {
		bool found = false;
		for (size_t k = 0; k < passed_count; k++)
			found = found || strcmp(passed[k], gate_capability_test(i)) == 0;
		if (!found)
			fail_msg("%s: %s did not run", token, gate_capability_test(i));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_login),
		cmocka_unit_test(test_for_after_login),
		cmocka_unit_test(test_logins),
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_handover_fails),
		cmocka_unit_test(test_starttls_injection),
		cmocka_unit_test(test_relay_slow_reader),
		cmocka_unit_test(test_client_half_closes),
		cmocka_unit_test(test_too_many_bad_commands),
		cmocka_unit_test(test_too_many_failed_logins),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_login_takes_too_long),
		cmocka_unit_test(test_connections_per_address),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_no_password_without_tls),
		cmocka_unit_test(test_capability_tests),
	};
	has_public = own_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
