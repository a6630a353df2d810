/* `postroom queue`: what waits in the queue and why, and changes of it by hand, over the socket
 * `queue-admin` (delivery/queue/admin.h). Lines are printed as they come: nothing of a long listing
 * is kept but one message. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/authclient/wire.h"
#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/master/client.h"
#include "core/master/commands.h"

enum { FIELDS_MAX = 13, FIELD_MAX_BYTES = 64 * 1024 };

enum {
	F_ID = 1,
	F_STATE,
	F_SIZE,
	F_RECEIVED,
	F_NEXT,
	F_SENDER,
	F_SID,
	F_RCPTS,
	F_OPEN,
	F_HOP,
	F_HOP_NEXT,
	F_HOP_REPLY,
	F_MESSAGE
};
enum { F_ADDRESS = 1, F_ORIG, F_RSTATE, F_ATTEMPTS, F_RNEXT, F_REPLY, F_RCPT };

struct listing {
	bool json, all;
	bool open; /* a message was begun */
	uint64_t rcpts_open, rcpts_shown, messages, bytes;
	struct buf text[FIELDS_MAX];
	struct str field[FIELDS_MAX];
};

static uint64_t
number(struct str s)
{
	uint64_t n = 0;

	return str_to_u64(s, INT64_MAX, &n) == ERR_OK ? n : 0;
}

/* ---- for people ---- */

/* What came from outside must not steer a terminal. */
static void
print_clean(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		(void)putchar(c < 0x20 || c == 0x7f ? '?' : c);
	}
}

static void
print_time(uint64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	char text[32] = "?";

	if (localtime_r(&t, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	(void)printf("%s", text);
}

static void
print_more(struct listing *l)
{
	if (l->open && !l->json && !l->all && l->rcpts_open > l->rcpts_shown)
		(void)printf("    ... and %" PRIu64 " more\n", l->rcpts_open - l->rcpts_shown);
}

/* The line of a destination that the message stands in. */
static void
hop_text(struct listing *l)
{
	const struct str *f = l->field;
	uint64_t next = number(f[F_HOP_NEXT]);

	if (f[F_HOP].n == 0)
		return;
	(void)printf("    in line for ");
	print_clean(f[F_HOP]);
	if (next != 0) {
		(void)printf(", which is left alone until ");
		print_time(next);
	}
	if (f[F_HOP_REPLY].n != 0) {
		(void)printf(": ");
		print_clean(f[F_HOP_REPLY]);
	}
	(void)printf("\n");
}

static void
message_text(struct listing *l)
{
	const struct str *f = l->field;
	uint64_t next = number(f[F_NEXT]);

	(void)printf("%.*s  ", STR_FMT(f[F_ID]));
	print_time(number(f[F_RECEIVED]));
	(void)printf("  %" PRIu64 " bytes  <", number(f[F_SIZE]));
	print_clean(f[F_SENDER]);
	(void)printf(">\n    %.*s", STR_FMT(f[F_STATE]));
	if (next != 0) {
		(void)printf(", next try ");
		print_time(next);
	}
	(void)printf(", %" PRIu64 " of %" PRIu64 " recipients open\n", number(f[F_OPEN]),
		number(f[F_RCPTS]));
	hop_text(l);
}

static void
rcpt_text(struct listing *l)
{
	const struct str *f = l->field;
	uint64_t next = number(f[F_RNEXT]), attempts = number(f[F_ATTEMPTS]);

	(void)printf("    <");
	print_clean(f[F_ADDRESS]);
	(void)printf(">");
	if (l->all) {
		if (!str_ieq(f[F_ADDRESS], f[F_ORIG])) {
			(void)printf(" (sent to <");
			print_clean(f[F_ORIG]);
			(void)printf(">)");
		}
		(void)printf(" %.*s, %" PRIu64 " tries", STR_FMT(f[F_RSTATE]), attempts);
		if (next != 0) {
			(void)printf(", next ");
			print_time(next);
		}
	}
	if (f[F_REPLY].n != 0) {
		(void)printf(": ");
		print_clean(f[F_REPLY]);
	}
	(void)printf("\n");
}

/* ---- for programs: one JSON object a message and line ---- */

static void
json_string(const char *key, struct str s)
{
	bool utf8 = str_is_utf8(s);

	(void)printf("\"%s\":\"", key);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			(void)printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			(void)printf("\\u%04x", c);
		else if (c >= 0x80 && !utf8)
			(void)printf("\\ufffd");
		else
			(void)putchar(c);
	}
	(void)putchar('"');
}

static void
json_end(struct listing *l)
{
	if (l->open && l->json)
		(void)printf("]}\n");
}

/* Seconds; null where there is none. */
static void
json_time(const char *key, uint64_t ms)
{
	if (ms == 0)
		(void)printf(",\"%s\":null", key);
	else
		(void)printf(",\"%s\":%" PRIu64 ".%03u", key, ms / 1000, (unsigned)(ms % 1000));
}

static void
message_json(const struct listing *l)
{
	const struct str *f = l->field;

	(void)putchar('{');
	json_string("id", f[F_ID]);
	(void)putchar(',');
	json_string("state", f[F_STATE]);
	(void)printf(",\"size\":%" PRIu64, number(f[F_SIZE]));
	json_time("received", number(f[F_RECEIVED]));
	json_time("next", number(f[F_NEXT]));
	(void)putchar(',');
	json_string("sender", f[F_SENDER]);
	(void)putchar(',');
	json_string("session", f[F_SID]);
	if (f[F_HOP].n != 0) {
		(void)putchar(',');
		json_string("destination", f[F_HOP]);
		json_time("destination_next", number(f[F_HOP_NEXT]));
		(void)putchar(',');
		json_string("destination_reply", f[F_HOP_REPLY]);
	}
	(void)printf(",\"recipients_total\":%" PRIu64 ",\"recipients_open\":%" PRIu64
		     ",\"recipients\":[",
		number(f[F_RCPTS]), number(f[F_OPEN]));
}

static void
rcpt_json(const struct listing *l)
{
	const struct str *f = l->field;

	(void)printf(l->rcpts_shown > 1 ? ",{" : "{");
	json_string("address", f[F_ADDRESS]);
	(void)putchar(',');
	json_string("original", f[F_ORIG]);
	(void)putchar(',');
	json_string("state", f[F_RSTATE]);
	(void)printf(",\"tries\":%" PRIu64, number(f[F_ATTEMPTS]));
	json_time("next", number(f[F_RNEXT]));
	(void)putchar(',');
	json_string("reply", f[F_REPLY]);
	(void)putchar('}');
}

/* ---- the answer's lines ---- */

static void
end_message(struct listing *l)
{
	print_more(l);
	json_end(l);
	l->open = false;
}

static void
begin_message(struct listing *l)
{
	end_message(l);
	l->open = true;
	l->rcpts_shown = 0;
	l->rcpts_open = number(l->field[F_OPEN]);
	l->messages++;
	l->bytes += number(l->field[F_SIZE]);
	if (l->json)
		message_json(l);
	else
		message_text(l);
}

static void
on_line(void *arg, struct str line)
{
	struct listing *l = arg;
	struct str raw;
	size_t n = 0;

	while (n < FIELDS_MAX && wire_next(&line, &raw)) {
		buf_reset(&l->text[n]);
		if (wire_unescape(&l->text[n], raw) != ERR_OK)
			buf_reset(&l->text[n]);
		l->field[n] = buf_str(&l->text[n]);
		n++;
	}
	if (n == F_MESSAGE && str_eq(l->field[0], STR("MESSAGE"))) {
		begin_message(l);
	} else if (n == F_RCPT && str_eq(l->field[0], STR("RCPT")) && l->open) {
		l->rcpts_shown++;
		if (l->json)
			rcpt_json(l);
		else
			rcpt_text(l);
	}
}

/* ---- requests ---- */

static int
ask(const struct settings *s, struct admin_request *r, struct buf *out)
{
	int status;

	r->socket = "queue-admin";
	status = admin_ask(s, r, out);
	if (status >= 0)
		return status;
	(void)fprintf(stderr, "postroom: %.*s/queue-admin: %s%s\n", STR_FMT(s->runtime_dir),
		strerrordesc_np(errno), client_hint(errno));
	return EXIT_TEMPFAIL;
}

/* LIST, or SHOW of one id. */
static int
show(const struct settings *s, const char *id, bool json)
{
	struct listing l = { .json = json, .all = id != NULL };
	struct str field = id != NULL ? str_of(id) : STR_EMPTY;
	struct admin_request r = { .verb = id != NULL ? "SHOW" : "LIST",
		.fields = &field,
		.fields_count = id != NULL ? 1 : 0,
		.on_line = on_line,
		.arg = &l };
	struct buf out;
	int status;

	buf_init(&out, 4096);
	for (size_t i = 0; i < FIELDS_MAX; i++)
		buf_init(&l.text[i], FIELD_MAX_BYTES);
	status = ask(s, &r, &out);
	end_message(&l);
	if (status == 0 && id == NULL && !json && l.messages == 0)
		(void)printf("The queue is empty.\n");
	else if (status == 0 && id == NULL && !json)
		(void)printf("%" PRIu64 " messages, %" PRIu64 " bytes\n", l.messages, l.bytes);
	for (size_t i = 0; i < FIELDS_MAX; i++)
		buf_fini(&l.text[i]);
	buf_fini(&out);
	return status;
}

/* One request without lines; its text is printed behind what. */
static int
change(const struct settings *s, const char *verb, const char *id)
{
	struct str field = id != NULL ? str_of(id) : STR_EMPTY;
	struct admin_request r = {
		.verb = verb, .fields = &field, .fields_count = id != NULL ? 1 : 0
	};
	struct buf out;
	int status;

	buf_init(&out, CLIENT_REPLY_MAX);
	/* What went wrong is on stderr by then: say with which. */
	status = ask(s, &r, &out);
	if (status == 0 && id != NULL)
		(void)printf("%s: %.*s\n", id, STR_FMT(buf_str(&out)));
	else if (status == 0)
		(void)printf("%.*s messages will be tried now\n", STR_FMT(buf_str(&out)));
	else if (id != NULL)
		(void)fprintf(stderr, "postroom: %s of %s failed\n", verb, id);
	buf_fini(&out);
	return status;
}

static const struct {
	const char *name, *verb;
	bool ids, json;
} rows[] = {
	{ "list", NULL, false, true },
	{ "show", NULL, true, true },
	{ "hold", "HOLD", true, false },
	{ "release", "RELEASE", true, false },
	{ "retry", "RETRY", true, false },
	{ "delete", "DELETE", true, false },
	{ "flush", "FLUSH", false, false },
};

/* Every id; the first status that is not 0. */
static int
run_ids(const struct settings *s, const char *verb, const struct command_args *a, bool json)
{
	int status = 0;

	for (int i = 1; i < a->argc; i++) {
		int one;
		if (str_eq(str_of(a->argv[i]), STR("--json")))
			continue;
		one = verb != NULL ? change(s, verb, a->argv[i]) : show(s, a->argv[i], json);
		status = status == 0 ? one : status;
		if (one == EXIT_TEMPFAIL)
			break; /* a queue that is away stays away */
	}
	return status;
}

int
command_queue(const struct command_args *a)
{
	struct settings *s;
	bool json = false;
	int ids = 0, status;
	size_t k = 0;

	for (int i = 1; i < a->argc; i++) {
		if (str_eq(str_of(a->argv[i]), STR("--json")))
			json = true;
		else if (str_starts(str_of(a->argv[i]), STR("-")))
			return command_usage("queue");
		else
			ids++;
	}
	while (k < ARRAY_LEN(rows) && !str_eq(str_of(a->argv[0]), str_of(rows[k].name)))
		k++;
	if (k == ARRAY_LEN(rows) || rows[k].ids != (ids != 0) || (json && !rows[k].json))
		return command_usage("queue");
	s = command_settings(a, false);
	if (s == NULL)
		return EXIT_CONFIG;
	if (rows[k].ids)
		status = run_ids(s, rows[k].verb, a, json);
	else
		status = rows[k].verb != NULL ? change(s, rows[k].verb, NULL) : show(s, NULL, json);
	settings_free(s);
	return status;
}
