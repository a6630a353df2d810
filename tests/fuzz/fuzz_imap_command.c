/* Valid commands: each byte of the input chooses an alternative of the grammar (imap_rules.h), and
 * what comes out is collected and parsed. Properties: the reader takes every command for one
 * command, with its last octet at the command's end, and the parser accepts it; only a limit may
 * refuse it. */
#include <stdio.h>
#include <stdlib.h>

#include "imap/grammar/reader.h"
#include "imap/session/session.h"
#include "tests/fuzz/imap_grammar.h"

enum { COMMAND_MAX = 128 * 1024, INPUT_MAX = 4096, MOST = 8192 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every command makes and frees much. */
const char *
__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=4:malloc_context_size=5";
}

static const struct reader_limits limits = {
	.line_max = 65536, .literal_max = 65536, .message_max = 65536, .swallow_max = 1 << 20
};

static void
refused(struct str command, const char *why)
{
	(void)fprintf(stderr, "%s: %.*s\n", why, STR_FMT(command));
	abort();
}

static void
must_parse(struct str text, struct str command)
{
	struct arena *a = arena_new(4 * 1024 * 1024);
	struct cmd *c = arena_calloc(a, 1, sizeof *c);
	const char *why = NULL;
	struct str copy;

	if (arena_str(a, text, &copy) != ERR_OK)
		abort();
	enum err e = command_parse(copy, a, c, &why);

	if (e != ERR_OK && e != ERR_LIMIT)
		refused(command, why);
	if (e == ERR_OK && (c->def == NULL || !str_eq(c->tag, STR("a1"))))
		refused(command, "another tag");
	if (e == ERR_OK && c->def->end != NULL)
		c->def->end(c);
	arena_free(a);
}

/* True when the reader went on to what lies behind the command. */
static void
must_collect(struct str command)
{
	struct reader r;
	struct buf b;
	bool message = false; /* its octets are over, the rest of its line comes */

	reader_init(&r);
	buf_init(&b, COMMAND_MAX);
	buf_add(&b, command);
	for (;;) {
		struct read_result res = { 0 };
		enum read_event ev = reader_step(&r, &limits, &b, &res);

		if (ev == READ_CONTINUE)
			continue;
		/* more text or literals than a command may have */
		if (ev == READ_TOO_LARGE || ev == READ_TOO_BIG)
			break;
		if (ev == READ_MORE && message && b.n == 0)
			break;
		if (ev != READ_COMMAND && ev != READ_MESSAGE)
			refused(command, "not collected");
		struct str text = str_sub(buf_str(&b), 0, res.n);

		if (ev == READ_MESSAGE)
			text.n = str_rchr(text, '{');
		if (!message)
			must_parse(text, command);
		buf_consume(&b, res.n);
		if (res.literal > b.n)
			refused(command, "literal beyond the command");
		buf_consume(&b, (size_t)res.literal);
		message = ev == READ_MESSAGE;
		if (!message && b.n != 0)
			refused(command, "ended too early");
		if (!message)
			break;
	}
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grammar g = { .choice = data, .left = size, .sync = true, .most = MOST };
	struct buf command;

	if (size > INPUT_MAX)
		return -1;
	grammar_setup();
	buf_init(&command, COMMAND_MAX - 4096);
	buf_addz(&command, "a1 ");
	grammar_add(&g, "command", &command);
	buf_addz(&command, "\r\n");
	if (buf_check(&command) == ERR_OK)
		must_collect(buf_str(&command));
	buf_fini(&command);
	return 0;
}
