/* Whole SMTP sessions against scripted neighbours: the first byte says how these behave, the rest
 * is what the client sends. Whatever that is: a message is accepted only for recipients that the
 * directory knows, from a sender that is the user's, with line ends of CR LF only
 * (but for the body of BINARYMIME); every "queued"
 * has its commit; no slot is lost; every reply line is a reply line. */
#include <assert.h>

#include "tests/unit/smtp_fakes.h"

enum { SIZE_MAX_FUZZED = 1000 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A session makes and frees much: with the usual quarantine every run touches new pages. */
const char *
__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=4:malloc_context_size=5";
}

static void
check_recipients(void)
{
	struct str rest = buf_str(&fakes.rcpts), line;

	while (str_cut(rest, '\n', &line, &rest))
		assert(str_starts(line, STR("known")) && str_ends(line, STR("@ok.org")));
}

static void
check_output(void)
{
	struct str rest = buf_str(&fakes.output), line;
	unsigned queued = 0;

	while (str_cut(rest, '\n', &line, &rest)) {
		assert(line.n > 4 && line.p[line.n - 1] == '\r');
		assert(line.p[0] >= '2' && line.p[0] <= '5' && ascii_is_digit(line.p[2]));
		assert(line.p[3] == ' ' || line.p[3] == '-');
		queued += str_find(line, STR("queued as")) < line.n;
	}
	assert(rest.n == 0);
	assert(queued <= fakes.commits);
}

static void
check_body(void)
{
	struct str b = buf_str(&fakes.body);

	/* a binary message's header is lines, and its end is there */
	if ((fakes.flags & SPOOL_BINARY) != 0) {
		size_t end = str_find(b, STR("\r\n\r\n"));
		assert(end < b.n);
		b.n = end + 4;
	}
	for (size_t i = 0; i < b.n; i++) {
		assert(b.p[i] != '\n' || (i > 0 && b.p[i - 1] == '\r'));
		assert(b.p[i] != '\r' || (i + 1 < b.n && b.p[i + 1] == '\n'));
		assert(b.p[i] != '\0');
	}
}

/* The server in front of port 25 may be a proxy of ours. */
static void
options(struct smtp_options *o)
{
	static const struct cidr proxies = { .addr = { 203, 0, 113, 0 }, .bits = 24 };

	o->xclient_networks = &proxies;
	o->xclient_networks_count = 1;
	o->xclient_login = true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum err spool[] = { ERR_OK, ERR_OK, ERR_BUSY, ERR_OK };
	static bool started;
	unsigned how;

	if (size < 2 || size > SIZE_MAX_FUZZED)
		return -1;
	how = data[0];
	if (!started)
		fakes_start(options);
	started = true;
	fakes.commits = fakes.slots_taken = fakes.slots_dropped = 0;
	fakes.flags = 0;
	buf_reset(&fakes.body);
	buf_reset(&fakes.rcpts);
	buf_reset(&fakes.output);
	fakes.spool_state = spool[how & 3];
	fakes.commit_result = how & 4 ? ERR_TEMP : ERR_OK;
	fakes.directory_away = (how & 24) == 24;
	if (how & 128)
		fakes_connect_mx("203.0.113.9");
	else
		fakes_connect();
	if (how & 128 && how & 32)
		fakes_put(STR("EHLO c\r\n"));
	else if (how & 32)
		fakes_put(STR("EHLO c\r\nAUTH PLAIN AGFubmEAZ29vZA==\r\n"));
	if (how & 64)
		fakes_put(STR("MAIL FROM:<me@ok.org>\r\nRCPT TO:<known@ok.org>\r\n"));
	fakes_put(str_n(data + 1, size - 1));
	fakes_end();
	check_recipients();
	check_output();
	check_body();
	assert(fakes.slots_taken == fakes.commits + fakes.slots_dropped);
	return 0;
}
