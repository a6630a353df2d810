/* postroom-sendmail: what programs on this machine call to send mail (cron, mutt, PHP, git). Reads
 * a message from standard input and gives it to postroom-smtp over the unix socket `sendmail`. Runs
 * as whoever calls it; the server learns by SO_PEERCRED who that is.
 *
 * Invariant: exit code 0 means that the server acknowledged the message for every recipient. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "delivery/sendmail/compose.h"
#include "delivery/sendmail/options.h"
#include "delivery/sendmail/talk.h"

enum {
	PIECE = 64 * 1024,
	HEADER_MAX = 1024 * 1024, /* more than smtp.header_max in most places: it says no */
	NAME_MAX_BYTES = 256,
	ARENA_MAX = 64 * 1024 * 1024,
	WAIT_SEC = 30,
};
static const uint64_t text_max = 2147483648; /* what smtp.message_max can be */

/* The message as it was read. */
struct input {
	FILE *file; /* CR LF line ends */
	uint64_t size;
	bool has_nul;
};

static int
fail(int code, const char *what, const char *why)
{
	(void)fprintf(stderr, "sendmail: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
	return code;
}

/* ---- who is there ---- */

/* The name that the user database has for the caller; "Anna Berg,,," is Anna Berg, and & the login
 * name (passwd(5)). */
static void
full_name(const struct passwd *pw, const char *given, struct buf *out)
{
	const char *env = getenv("NAME");

	if (given != NULL || (env != NULL && env[0] != '\0')) {
		buf_addz(out, given != NULL ? given : env);
		return;
	}
	for (const char *p = pw->pw_gecos; p != NULL && *p != '\0' && *p != ','; p++) {
		if (*p != '&') {
			buf_addc(out, *p);
			continue;
		}
		buf_addc(out, (char)ascii_upper((unsigned char)pw->pw_name[0]));
		if (pw->pw_name[0] != '\0')
			buf_addz(out, pw->pw_name + 1);
	}
}

/* -f's address, as it goes into <>; "" for none. */
static int
read_sender(const char *given, struct compose_list *l, struct str *out)
{
	struct str text = str_trim(str_of(given));

	*out = STR_EMPTY;
	if (text.n == 0 || str_eq(text, STR("<>")))
		return EX_OK;
	if (compose_add_list(l, text) != ERR_OK || l->n != 1)
		return fail(EX_USAGE, "this is no sender's address", given);
	*out = l->v[0];
	l->n = 0;
	return EX_OK;
}

/* ---- the message ---- */

static int
read_all(FILE *from, bool dot_is_text, struct input *in)
{
	struct compose_lines l;
	struct buf out;
	char *piece = xmalloc(PIECE);
	int code = EX_OK;
	size_t n = 1;

	compose_lines_init(&l, dot_is_text);
	buf_init(&out, 4 * PIECE);
	while (n > 0 && !l.ended && code == EX_OK) {
		/* a line at once where somebody types: fread would wait for the whole piece */
		ssize_t got = read(fileno(from), piece, PIECE);
		if (got < 0 && errno == EINTR)
			continue;
		n = got > 0 ? (size_t)got : 0;
		buf_reset(&out);
		if (got < 0)
			code = fail(EX_IOERR, "standard input", strerrordesc_np(errno));
		else if (n > 0)
			compose_lines_feed(&l, str_n(piece, n), &out);
		else
			compose_lines_end(&l, &out);
		in->size += out.n;
		if (in->size > text_max)
			code = fail(EX_DATAERR, "the message is larger than 2 GiB", "");
		else if (fwrite(out.mem + out.head, 1, out.n, in->file) != out.n)
			code = fail(EX_IOERR, "temporary file", strerrordesc_np(errno));
	}
	in->has_nul = l.has_nul;
	if (code == EX_OK && fflush(in->file) != 0)
		code = fail(EX_IOERR, "temporary file", strerrordesc_np(errno));
	compose_lines_fini(&l);
	buf_fini(&out);
	free(piece);
	return code;
}

/* The message's beginning, as much as a header may be, into out. */
static int
read_front(struct input *in, struct buf *out)
{
	size_t n = in->size < HEADER_MAX ? (size_t)in->size : HEADER_MAX;
	char *room = buf_reserve(out, n + 1);

	rewind(in->file);
	if (room == NULL || fread(room, 1, n, in->file) != n)
		return fail(EX_IOERR, "temporary file", "cannot be read");
	buf_commit(out, n);
	return EX_OK;
}

static int
read_recipients(const struct sendmail_options *o, struct str header, struct compose_list *l)
{
	enum err e = ERR_OK;

	for (int i = 0; i < o->recipients_count && e == ERR_OK; i++) {
		e = compose_add_list(l, str_of(o->recipients[i]));
		if (e != ERR_OK)
			return fail(EX_DATAERR, "this is no address", o->recipients[i]);
	}
	if (o->from_header)
		e = compose_add_header(l, header);
	if (e != ERR_OK)
		return fail(EX_DATAERR, "the header's recipients cannot be read", "");
	if (l->n == 0 && o->from_header)
		return fail(EX_DATAERR, "the header names no recipients", "");
	return l->n > 0 ? EX_OK : fail(EX_USAGE, "recipients are missing", "");
}

/* ---- modes ---- */

static struct talk_options
server(const struct sendmail_options *o)
{
	static char path[256];
	const char *dir = getenv("POSTROOM_RUNTIME_DIR"), *wait = getenv("POSTROOM_SENDMAIL_WAIT");
	uint32_t sec = WAIT_SEC;

	if (wait != NULL && str_to_u32(str_of(wait), 3600, &sec) != ERR_OK)
		sec = WAIT_SEC;
	(void)snprintf(path, sizeof path, "%s/sendmail",
		dir != NULL && dir[0] != '\0' ? dir : "/run/postroom");
	return (struct talk_options){ .socket = path, .wait_sec = (int)sec, .verbose = o->verbose };
}

/* The sender as others see it: "anna" is anna@example.org. */
static void
whole_address(struct str address, struct str domain, struct buf *out)
{
	buf_add(out, address);
	if (str_chr(address, '@') == address.n && domain.n > 0)
		buf_addf(out, "@%.*s", STR_FMT(domain));
}

static int
deliver_to(struct talk *t, const struct sendmail_options *o, struct input *in,
	const struct passwd *pw, struct str sender, const struct compose_list *l, struct str front,
	struct compose_split split)
{
	struct talk_message m = { .sender = sender,
		.body = o->body,
		.ret = o->ret,
		.envid = o->envid,
		.notify = o->notify,
		.recipients = l->v,
		.recipients_count = l->n,
		.text = in->file,
		.text_size = in->size - split.body };
	uint64_t max = talk_size_max(t);
	struct str fields = str_sub(front, 0, split.fields);
	struct buf header, address, name;
	int code = EX_OK;

	buf_init(&header, HEADER_MAX + 8 * NAME_MAX_BYTES);
	buf_init(&address, 2 * NAME_MAX_BYTES);
	buf_init(&name, NAME_MAX_BYTES);
	whole_address(sender.n > 0 ? sender : str_of(pw->pw_name), talk_domain(t), &address);
	full_name(pw, o->name, &name);
	buf_add(&header, fields);
	compose_from(fields, buf_check(&name) == ERR_OK ? buf_str(&name) : STR_EMPTY,
		buf_str(&address), &header);
	buf_add(&header, STR("\r\n"));
	m.header = buf_str(&header);
	if (buf_check(&header) != ERR_OK || buf_check(&address) != ERR_OK)
		code = fail(EX_DATAERR, "the header is too long", "");
	else if (max > 0 && m.header.n + m.text_size > max)
		code = fail(EX_DATAERR, "the message is larger than the server takes", "");
	else if (fseek(in->file, (long)split.body, SEEK_SET) != 0)
		code = fail(EX_IOERR, "temporary file", strerrordesc_np(errno));
	else
		code = talk_send(t, &m);
	buf_fini(&header);
	buf_fini(&address);
	buf_fini(&name);
	return code;
}

/* The input is in the file: who sends it to whom, and off it goes. */
static int
deliver_input(const struct sendmail_options *o, struct input *in, struct compose_list *l)
{
	const struct passwd *pw = getpwuid(getuid());
	struct talk_options to = server(o);
	struct compose_split split;
	struct talk *t = NULL;
	struct str sender = STR_EMPTY;
	struct buf front;
	int code = EX_OK;

	if (pw == NULL)
		return fail(EX_OSERR, "who calls has no name in the user database", "");
	sender = str_of(pw->pw_name);
	if (o->sender != NULL)
		code = read_sender(o->sender, l, &sender);
	if (code != EX_OK)
		return code;
	buf_init(&front, HEADER_MAX + 1);
	code = read_front(in, &front);
	split = compose_split(buf_str(&front));
	if (code == EX_OK && split.body == HEADER_MAX)
		code = fail(EX_DATAERR, "the header is too long", "");
	if (code == EX_OK)
		code = read_recipients(o, str_sub(buf_str(&front), 0, split.fields), l);
	if (code == EX_OK)
		code = talk_open(&to, true, &t);
	if (code == EX_OK)
		code = deliver_to(t, o, in, pw, sender, l, buf_str(&front), split);
	talk_close(t);
	buf_fini(&front);
	return code;
}

static int
deliver(const struct sendmail_options *o)
{
	struct compose_list l = { .arena = arena_new(ARENA_MAX) };
	struct input in = { .file = tmpfile() };
	int code;

	if (!o->from_header && o->recipients_count == 0)
		code = fail(EX_USAGE, "recipients are missing", "");
	else if (in.file == NULL)
		code = fail(EX_CANTCREAT, "temporary file", strerrordesc_np(errno));
	else
		code = read_all(stdin, o->dot_is_text, &in);
	if (code == EX_OK && in.has_nul)
		code = fail(EX_DATAERR, "the message holds NUL octets", "");
	if (code == EX_OK)
		code = deliver_input(o, &in, &l);
	if (in.file != NULL)
		(void)fclose(in.file);
	free(l.v);
	arena_free(l.arena);
	return code;
}

static int
smtp(const struct sendmail_options *o)
{
	struct talk_options to = server(o);
	struct talk *t = NULL;
	int code = talk_open(&to, false, &t);

	if (code == EX_OK)
		code = talk_relay(t);
	talk_drop(t);
	return code;
}

/* `postroom queue list` or flush, for whom that may ask. */
static int
queue(const struct sendmail_options *o, const char *verb)
{
	const char *program = getenv("POSTROOM_PROGRAM");

	if (program == NULL || program[0] == '\0')
		program = POSTROOM_SBINDIR "/postroom";
	if (o->config != NULL)
		(void)execl(
			program, "postroom", "queue", "--config", o->config, verb, (char *)NULL);
	else
		(void)execl(program, "postroom", "queue", verb, (char *)NULL);
	return fail(EX_OSFILE, program, strerrordesc_np(errno));
}

/* A standard file that the caller closed would be our next one: what is meant for standard error
 * would be said to the server. */
static bool
standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_NOCTTY);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd >= 0 && close(fd) == 0;
}

int
main(int argc, char **argv)
{
	struct sendmail_options o;
	const char *why = "";

	if (!standard_files())
		return EX_OSERR;
	if (sendmail_options_parse(argc, argv, &o, &why) != ERR_OK)
		return fail(EX_USAGE, "unknown option, or a wrong value", why);
	switch (o.mode) {
	case SENDMAIL_DELIVER:
		return deliver(&o);
	case SENDMAIL_SMTP:
		return smtp(&o);
	case SENDMAIL_LIST:
		return queue(&o, "list");
	case SENDMAIL_FLUSH:
		return queue(&o, "flush");
	case SENDMAIL_NEWALIASES:
		(void)printf("nothing to do: aliases are settings and directory entries\n");
		return EX_OK;
	}
	return EX_SOFTWARE;
}
