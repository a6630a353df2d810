/* Collects one command from the input; see reader.h. Called by the session for each piece of
 * input. Invariant: while a command is collected, at most line_max + literal_max of it lie in
 * the buffer; the decision about a literal falls before its first octet is kept. */
#include "imap/grammar/reader.h"

#include "core/base/arena.h"

enum {
	HEADER_MAX = 32, /* "{", DIGITS_MAX of them, "+}" CR LF */
	DIGITS_MAX = 24, /* of INT64_MAX, and some leading zeroes */
	LOOKS_MAX = 256, /* each reads the command from its beginning: URLs that are literals */
};

void
reader_init(struct reader *r)
{
	*r = (struct reader){ 0 };
}

enum err
literal_header(struct str line, uint64_t *size_out, bool *sync_out)
{
	size_t n = line.n;

	if (n != 0 && line.p[n - 1] == '\n')
		n--;
	if (n != 0 && line.p[n - 1] == '\r')
		n--;
	if (n < 3 || line.p[n - 1] != '}')
		return ERR_NOTFOUND;
	n--;
	*sync_out = line.p[n - 1] != '+';
	if (!*sync_out)
		n--;
	size_t from = n;

	while (from != 0 && ascii_is_digit(line.p[from - 1]))
		from--;
	if (from == n || n - from > DIGITS_MAX || from == 0 || line.p[from - 1] != '{')
		return ERR_NOTFOUND;
	return str_to_u64(str_sub(line, from, n - from), INT64_MAX, size_out) == ERR_OK ? ERR_OK
											: ERR_LIMIT;
}

static void
keep_tag(struct reader *r, struct str command)
{
	struct parser p;
	struct str tag;

	/* an answer that began with "+" would be a continuation */
	parser_init(&p, command, NULL);
	bool good = parse_tag(&p, &tag) == ERR_OK && parse_peek(&p) == ' ';
	size_t n = good && tag.n < sizeof r->tag ? tag.n : 0;

	memcpy(r->tag, command.p, n);
	r->tag[n] = '\0';
}

static bool
may_be_append(struct str text)
{
	struct str tag, rest;

	return str_cut(text, ' ', &tag, &rest) &&
	       (str_istarts(rest, STR("APPEND ")) || str_istarts(rest, STR("REPLACE ")) ||
		       str_istarts(rest, STR("UID REPLACE ")));
}

/* True when the text before a literal lacks only octets of a message. */
static bool
wants_message(struct reader *r, struct str text, enum append_place *next_out)
{
	struct args_append args;
	struct parser p;

	if (r->no_message || (r->place == APPEND_AT_START && !may_be_append(text)))
		return false;
	struct arena *arena = arena_new(1024 * 1024);

	parser_init(&p, text, arena);
	enum err e = parse_append(&p, r->place, &args);
	bool wants = e == ERR_OK && args.more;

	/* what fails before the literal fails with it too */
	if (e == ERR_SYNTAX && p.at < text.n)
		r->wrong = p.why;
	r->no_message = e == ERR_LIMIT || (!wants && p.at < text.n) || ++r->looks == LOOKS_MAX;
	*next_out = args.next;
	arena_free(arena);
	return wants;
}

static enum read_event
refused(struct reader *r)
{
	bool message = r->refused_message;
	char tag[sizeof r->tag];

	memcpy(tag, r->tag, sizeof tag);
	reader_init(r);
	memcpy(r->tag, tag, sizeof tag);
	return message ? READ_TOO_BIG : READ_TOO_LARGE;
}

/* The command at the front is refused: its first n bytes go at once, the literal behind
 * them and the rest of the line as they arrive. */
static void
start_swallow(struct reader *r, struct buf *in, size_t n, uint64_t literal, bool message)
{
	keep_tag(r, buf_str(in));
	buf_consume(in, n);
	r->scanned = r->searched = 0;
	r->swallowing = true;
	r->swallowed = 0;
	r->literal_left = literal;
	r->refused_message = message;
}

static enum read_event
swallow(struct reader *r, const struct reader_limits *l, struct buf *in)
{
	for (;;) {
		size_t skip = r->literal_left < in->n ? (size_t)r->literal_left : in->n;

		buf_consume(in, skip);
		r->literal_left -= skip;
		r->swallowed += skip;
		if (r->swallowed > l->swallow_max)
			return READ_FATAL;
		if (r->literal_left != 0)
			return READ_MORE;
		struct str s = buf_str(in);
		size_t lf = str_chr(s, '\n');

		if (lf == s.n) {
			/* a literal header may be split here: its part stays */
			size_t drop = s.n > HEADER_MAX ? s.n - HEADER_MAX : 0;

			buf_consume(in, drop);
			r->swallowed += drop;
			return READ_MORE;
		}
		uint64_t size;
		bool sync;
		enum err e = literal_header(str_sub(s, 0, lf + 1), &size, &sync);

		buf_consume(in, lf + 1);
		r->swallowed += lf + 1;
		if (e == ERR_NOTFOUND || sync)
			return refused(r);
		r->literal_left = e == ERR_OK ? size : INT64_MAX;
	}
}

static enum read_event
refuse_literal(struct reader *r, const struct reader_limits *l, struct buf *in, size_t n,
	uint64_t size, bool sync, bool message)
{
	start_swallow(r, in, n, sync ? 0 : size, message);
	/* the client waits and will not send this literal */
	return sync ? refused(r) : swallow(r, l, in);
}

/* A line of the command ends before n. READ_MORE: its literal is to be collected. */
static enum read_event
line_ended(struct reader *r, const struct reader_limits *l, struct buf *in, size_t n,
	struct read_result *out)
{
	struct str s = str_sub(buf_str(in), 0, n);
	struct str line = str_from(s, r->scanned);

	uint64_t size = 0;
	bool sync = false;

	r->line_bytes += line.n;
	enum err e = literal_header(line, &size, &sync);

	if (e == ERR_NOTFOUND) {
		bool fits = r->line_bytes <= l->line_max;

		if (!fits) {
			start_swallow(r, in, n, 0, false);
			return refused(r);
		}
		reader_init(r);
		out->n = n;
		return READ_COMMAND;
	}
	enum append_place next = APPEND_AT_START;
	bool message = wants_message(r, str_sub(s, 0, r->scanned + str_rchr(line, '{')), &next);

	if (e == ERR_LIMIT)
		size = INT64_MAX;
	if (r->line_bytes > l->line_max)
		return refuse_literal(r, l, in, n, size, sync, false);
	if (e == ERR_LIMIT)
		return refuse_literal(r, l, in, n, size, sync, message);
	if (message) {
		if (size > l->message_max)
			return refuse_literal(r, l, in, n, size, sync, true);
		reader_init(r);
		r->place = next;
		*out = (struct read_result){ .n = n, .literal = size, .sync = sync };
		return READ_MESSAGE;
	}
	if (sync && r->wrong != NULL) {
		out->why = r->wrong;
		(void)refuse_literal(r, l, in, n, size, sync, false);
		return READ_WRONG;
	}
	if (size > l->literal_max - r->literal_bytes)
		return refuse_literal(r, l, in, n, size, sync, false);
	r->literal_bytes += (size_t)size;
	r->literal_left = size;
	r->scanned = r->searched = n;
	return sync ? READ_CONTINUE : READ_MORE;
}

enum read_event
reader_step(
	struct reader *r, const struct reader_limits *l, struct buf *in, struct read_result *out)
{
	*out = (struct read_result){ 0 };
	while (!r->swallowing) {
		size_t here = in->n - r->scanned;
		size_t take = r->literal_left < here ? (size_t)r->literal_left : here;

		r->scanned += take;
		r->literal_left -= take;
		if (r->searched < r->scanned)
			r->searched = r->scanned;
		if (r->literal_left != 0)
			return READ_MORE;
		struct str s = buf_str(in);
		size_t lf = r->searched + str_chr(str_from(s, r->searched), '\n');

		r->searched = lf;
		if (lf < s.n) {
			enum read_event ev = line_ended(r, l, in, lf + 1, out);

			if (ev != READ_MORE || r->swallowing)
				return ev;
			continue;
		}
		if (r->line_bytes + (s.n - r->scanned) <= l->line_max)
			return READ_MORE;
		size_t keep = s.n - r->scanned < HEADER_MAX ? s.n - r->scanned : HEADER_MAX;

		start_swallow(r, in, s.n - keep, 0, false);
	}
	return swallow(r, l, in);
}
