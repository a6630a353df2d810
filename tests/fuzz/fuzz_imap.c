/* IMAP commands after login: the collector and the parser of every command, on the same bytes whole
 * and in pieces. Properties: both ways find the same commands; what is parsed again from its own
 * text parses the same; no set or section names more than the text has room for. */
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "imap/grammar/reader.h"
#include "imap/grammar/url.h"
#include "imap/session/session.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct reader_limits limits = {
	.line_max = 1024, .literal_max = 512, .message_max = 65536, .swallow_max = 1 << 20
};

static void
parse(struct str text)
{
	struct arena *a = arena_new(1024 * 1024);
	struct cmd *c = arena_calloc(a, 1, sizeof *c);
	const char *why = NULL;
	struct str copy;

	if (arena_str(a, text, &copy) != ERR_OK)
		abort();
	enum err e = command_parse(copy, a, c, &why);

	if (e != ERR_OK && (why == NULL || c->def != NULL))
		abort();
	if (e == ERR_OK && (c->def == NULL || c->tag.n == 0 || c->tag.n > text.n))
		abort();
	arena_free(a);
}

/* A further text of an APPEND. The reader may call it whole where the parser finds fault with it,
 * but never the other way round. */
static void
parse_text(struct str text, enum append_place place, bool message)
{
	struct arena *a = arena_new(1024 * 1024);
	struct args_append args;
	struct parser p;

	parser_init(&p, text, a);
	enum err e = parse_append(&p, place, &args);

	if (message && (e != ERR_OK || !args.more || args.next == APPEND_AT_START))
		abort();
	if (!message && e == ERR_OK && args.more)
		abort();
	for (size_t i = 0; e == ERR_OK && i < args.events_count; i++) {
		struct message_url url;

		if (args.events[i].kind == APPEND_URL &&
			message_url_parse(args.events[i].url, a, &url) == ERR_OK &&
			(url.uid == 0 || url.mailbox.n == 0))
			abort();
	}
	arena_free(a);
}

/* Returns a digest of the events; parses commands when asked to. */
static uint64_t
collect(struct str in, size_t piece, bool parses)
{
	struct reader r;
	struct buf b;
	uint64_t digest = 0, message = 0;

	reader_init(&r);
	buf_init(&b, limits.line_max + limits.literal_max + 8192);
	for (;;) {
		struct read_result res = { 0 };
		size_t take = message < b.n ? (size_t)message : b.n;

		buf_consume(&b, take);
		message -= take;
		enum append_place place = r.place;
		enum read_event ev = message != 0 ? READ_MORE : reader_step(&r, &limits, &b, &res);

		if (ev == READ_MORE) {
			struct str next = str_sub(in, 0, piece);

			in = str_from(in, next.n);
			if (next.n == 0)
				break;
			buf_add(&b, next);
			if (buf_check(&b) != ERR_OK)
				abort();
			continue;
		}
		digest = digest * 31 + ev * 7 + res.n + res.literal;
		if (ev == READ_FATAL)
			break;
		if (ev == READ_COMMAND || ev == READ_MESSAGE) {
			struct str text = str_sub(buf_str(&b), 0, res.n);

			if (ev == READ_MESSAGE)
				text.n = str_rchr(text, '{');
			if (parses && place == APPEND_AT_START)
				parse(text);
			if (parses && (place != APPEND_AT_START || ev == READ_MESSAGE))
				parse_text(text, place, ev == READ_MESSAGE);
			buf_consume(&b, res.n);
			message = res.literal;
		}
	}
	buf_fini(&b);
	return digest;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	uint64_t whole = collect(in, 4096, true);

	/* the slow way for short inputs only */
	if (whole != collect(in, size < 256 ? 1 : 61, false))
		abort();
	return 0;
}
