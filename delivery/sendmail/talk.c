/* The client's side of SMTP, for main.c; see talk.h. Invariant: EX_OK for a message is returned
 * after the server's 250 for it and nothing else. */
#include "delivery/sendmail/talk.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/base/xalloc.h"

enum {
	REPLY_LINES_MAX = 100,
	IN_MAX = 64 * 1024,
	PIECE = 64 * 1024,
	TIMEOUT_SEC = 600, /* RFC 5321 4.5.3.2.6 */
	AGAIN_MS = 250,
};

struct talk {
	int fd;
	bool verbose;
	struct buf in, reply; /* reply: the last one's text, one line each */
	int code;
	struct buf features; /* EHLO's lines, "\nKEYWORD parameters" */
};

static int
complain(int code, const char *what)
{
	(void)fprintf(stderr, "sendmail: %s\n", what);
	return code;
}

/* ---- lines ---- */

static enum err
send_all(struct talk *t, struct str s)
{
	while (s.n > 0) {
		ssize_t n = send(t->fd, s.p, s.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_TEMP;
		s = str_from(s, (size_t)n);
	}
	return ERR_OK;
}

static enum err
send_line(struct talk *t, struct buf *line)
{
	if (buf_check(line) != ERR_OK)
		return ERR_LIMIT;
	if (t->verbose)
		(void)fprintf(stderr, ">>> %.*s\n", STR_FMT(buf_str(line)));
	buf_add(line, STR("\r\n"));
	return send_all(t, buf_str(line));
}

/* line_out dies with the next call. */
static enum err
read_line(struct talk *t, struct str *line_out)
{
	for (;;) {
		struct str have = buf_str(&t->in);
		size_t nl = str_chr(have, '\n');
		char *room;
		ssize_t n;
		if (nl < have.n) {
			*line_out = str_trim(str_sub(have, 0, nl));
			buf_consume(&t->in, nl + 1);
			return ERR_OK;
		}
		room = buf_reserve(&t->in, 4096);
		if (room == NULL)
			return ERR_LIMIT;
		n = read(t->fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_TEMP;
		buf_commit(&t->in, (size_t)n);
	}
}

/* A whole reply: t->code, 0 when there was none, and its text. */
static int
read_reply(struct talk *t)
{
	struct str line;

	t->code = 0;
	buf_reset(&t->reply);
	for (int i = 0; i < REPLY_LINES_MAX; i++) {
		uint32_t code = 0;
		if (read_line(t, &line) != ERR_OK || line.n < 3 ||
			str_to_u32(str_sub(line, 0, 3), 999, &code) != ERR_OK)
			break;
		if (t->verbose)
			(void)fprintf(stderr, "<<< %.*s\n", STR_FMT(line));
		buf_addc(&t->reply, '\n');
		buf_add(&t->reply, str_from(line, 4));
		if (line.n == 3 || line.p[3] != '-') {
			t->code = (int)code;
			return t->code;
		}
	}
	return 0;
}

/* The last line of the reply. */
static struct str
reply_text(const struct talk *t)
{
	struct str all = buf_str(&t->reply);

	return str_from(all, str_rchr(all, '\n') + 1);
}

/* What a refusal means to the caller of sendmail, said to him. about: an address, or empty. */
static int
refused(const struct talk *t, struct str about)
{
	struct str text = reply_text(t);
	int code = EX_UNAVAILABLE;

	if (t->code == 0)
		return complain(EX_TEMPFAIL, "the mail server hung up");
	(void)fprintf(stderr, "sendmail: %.*s%s%d %.*s\n", STR_FMT(about), about.n > 0 ? ": " : "",
		t->code, STR_FMT(text));
	if (t->code < 500)
		code = EX_TEMPFAIL;
	else if (t->code == 501 || str_starts(text, STR("5.6.")) || str_starts(text, STR("5.3.4")))
		code = EX_DATAERR;
	else if (str_starts(text, STR("5.1.1")))
		code = EX_NOUSER;
	return code;
}

/* ---- connecting ---- */

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* -1 with errno. */
static int
dial(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = TIMEOUT_SEC };
	int fd, saved;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

/* Another time the server may be there, or this process and the machine may have room. */
static bool
comes_soon(int error)
{
	return error == ENOENT || error == ECONNREFUSED || error == EAGAIN || error == EINTR ||
	       error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static enum err
hello(struct talk *t)
{
	struct buf line;
	enum err e;

	buf_init(&line, 64);
	buf_addz(&line, "EHLO localhost");
	e = send_line(t, &line);
	buf_fini(&line);
	if (e != ERR_OK || read_reply(t) != 250)
		return ERR_TEMP;
	buf_reset(&t->features);
	buf_add(&t->features, buf_str(&t->reply));
	return ERR_OK;
}

void
talk_drop(struct talk *t)
{
	if (t == NULL)
		return;
	if (t->fd >= 0)
		(void)close(t->fd);
	buf_fini(&t->in);
	buf_fini(&t->reply);
	buf_fini(&t->features);
	free(t);
}

/* One try. EX_TEMPFAIL with errno 0: the server is there and does not want us now. */
static int
open_once(const struct talk_options *o, bool greet, struct talk **out)
{
	int fd = dial(o->socket), code = EX_OK;
	struct talk *t;

	if (fd < 0)
		return comes_soon(errno) ? EX_TEMPFAIL : EX_NOPERM;
	t = xcalloc(1, sizeof(*t));
	t->fd = fd;
	t->verbose = o->verbose;
	buf_init(&t->in, IN_MAX);
	buf_init(&t->reply, IN_MAX);
	buf_init(&t->features, IN_MAX);
	if (greet && (read_reply(t) != 220 || hello(t) != ERR_OK)) {
		code = t->code >= 500 ? refused(t, STR_EMPTY) : EX_TEMPFAIL;
		code = code == EX_UNAVAILABLE ? EX_NOPERM : code;
		errno = 0;
		talk_drop(t);
		return code;
	}
	*out = t;
	return EX_OK;
}

int
talk_open(const struct talk_options *o, bool greet, struct talk **out)
{
	const struct timespec pause = { .tv_nsec = (long)AGAIN_MS * 1000000 };
	int64_t until = now_ms() + (int64_t)o->wait_sec * 1000;
	int code, error;

	for (;;) {
		code = open_once(o, greet, out);
		error = errno;
		if (code != EX_TEMPFAIL || now_ms() >= until)
			break;
		(void)nanosleep(&pause, NULL);
	}
	if (code == EX_OK || (code == EX_NOPERM && error == 0))
		return code;
	(void)fprintf(stderr, "sendmail: %s: %s\n", o->socket,
		error != 0 ? strerrordesc_np(error) : "the mail server has no time");
	return code;
}

void
talk_close(struct talk *t)
{
	if (t == NULL)
		return;
	if (send_all(t, STR("QUIT\r\n")) == ERR_OK)
		(void)read_reply(t);
	talk_drop(t);
}

/* ---- what is on offer ---- */

/* The parameters behind keyword; false: not offered. */
static bool
feature(const struct talk *t, struct str keyword, struct str *value_out)
{
	struct str rest = buf_str(&t->features), line, word;
	bool more = true;

	while (more) {
		more = str_cut(rest, '\n', &line, &rest);
		(void)str_cut(line, ' ', &word, value_out);
		if (str_ieq(word, keyword))
			return true;
	}
	return false;
}

struct str
talk_domain(const struct talk *t)
{
	struct str v;

	return feature(t, STR("XORIGIN"), &v) ? str_trim(v) : STR_EMPTY;
}

uint64_t
talk_size_max(const struct talk *t)
{
	struct str v;
	uint64_t n = 0;

	if (!feature(t, STR("SIZE"), &v) || str_to_u64(str_trim(v), UINT64_MAX, &n) != ERR_OK)
		return 0;
	return n;
}

bool
talk_offers(const struct talk *t, const char *keyword)
{
	struct str v;

	return feature(t, str_of(keyword), &v);
}

/* ---- a message ---- */

/* RFC 3461 4: what is no printable ASCII, "+" and "=" become "+XX". */
static void
add_xtext(struct buf *b, struct str s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c > ' ' && c < 127 && c != '+' && c != '=')
			buf_addc(b, (char)c);
		else
			buf_addf(b, "+%c%c", hex[c >> 4], hex[c & 15]);
	}
}

static bool
wants_utf8(const struct talk *t, const struct talk_message *m)
{
	bool wants = str_has_8bit(m->sender);

	for (size_t i = 0; i < m->recipients_count && !wants; i++)
		wants = str_has_8bit(m->recipients[i]);
	return wants && talk_offers(t, "SMTPUTF8");
}

/* A command, and its answer: EX_OK for 2xx. */
static int
command(struct talk *t, struct buf *line, struct str about)
{
	enum err e = send_line(t, line);

	if (e == ERR_LIMIT)
		return complain(EX_DATAERR, "an address or parameter is too long");
	if (e != ERR_OK || read_reply(t) / 100 != 2)
		return refused(t, about);
	return EX_OK;
}

static int
send_sender(struct talk *t, const struct talk_message *m)
{
	bool dsn = talk_offers(t, "DSN");
	struct buf line;
	int code;

	buf_init(&line, 2000);
	buf_addf(&line, "MAIL FROM:<%.*s> SIZE=%llu", STR_FMT(m->sender),
		(unsigned long long)(m->header.n + m->text_size));
	if (m->body != NULL)
		buf_addf(&line, " BODY=%s", m->body);
	if (wants_utf8(t, m))
		buf_addz(&line, " SMTPUTF8");
	if (dsn && m->ret != NULL)
		buf_addf(&line, " RET=%s", str_ieq(str_of(m->ret), STR("full")) ? "FULL" : "HDRS");
	if (dsn && m->envid != NULL) {
		buf_addz(&line, " ENVID=");
		add_xtext(&line, str_of(m->envid));
	}
	code = command(t, &line, m->sender);
	buf_fini(&line);
	return code;
}

static int
send_recipient(struct talk *t, const struct talk_message *m, struct str address)
{
	struct buf line;
	int code;

	buf_init(&line, 2000);
	buf_addf(&line, "RCPT TO:<%.*s>", STR_FMT(address));
	if (m->notify != NULL && talk_offers(t, "DSN")) {
		buf_addz(&line, " NOTIFY=");
		for (const char *p = m->notify; *p != '\0'; p++)
			buf_addc(&line, (char)ascii_upper((unsigned char)*p));
	}
	code = command(t, &line, address);
	buf_fini(&line);
	return code;
}

/* RFC 3030 2: nothing needs to be escaped in a chunk. */
static int
send_content(struct talk *t, const struct talk_message *m)
{
	uint64_t left = m->text_size;
	struct buf piece;
	int code = EX_OK;

	buf_init(&piece, PIECE);
	buf_addf(&piece, "BDAT %llu LAST\r\n", (unsigned long long)(m->header.n + left));
	if (t->verbose)
		(void)fprintf(stderr, ">>> %.*s", STR_FMT(buf_str(&piece)));
	if (send_all(t, buf_str(&piece)) != ERR_OK || send_all(t, m->header) != ERR_OK)
		code = complain(EX_TEMPFAIL, "the mail server hung up");
	while (code == EX_OK && left > 0) {
		char *room;
		size_t n;
		buf_reset(&piece);
		room = buf_reserve(&piece, PIECE / 2);
		n = fread(room, 1, left < PIECE / 2 ? (size_t)left : PIECE / 2, m->text);
		buf_commit(&piece, n);
		left -= n;
		if (n == 0)
			code = complain(EX_IOERR, "the temporary file cannot be read");
		else if (send_all(t, buf_str(&piece)) != ERR_OK)
			code = complain(EX_TEMPFAIL, "the mail server hung up");
	}
	buf_fini(&piece);
	if (code == EX_OK && read_reply(t) != 250)
		code = refused(t, STR_EMPTY);
	return code;
}

int
talk_send(struct talk *t, const struct talk_message *m)
{
	int code = send_sender(t, m);

	for (size_t i = 0; code == EX_OK && i < m->recipients_count; i++)
		code = send_recipient(t, m, m->recipients[i]);
	return code == EX_OK ? send_content(t, m) : code;
}

/* ---- -bs ---- */

static bool
write_out(struct str s)
{
	while (s.n > 0) {
		ssize_t n = write(STDOUT_FILENO, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = str_from(s, (size_t)n);
	}
	return true;
}

/* One read of what is ready. False: this side is over. */
static bool
relay_piece(struct talk *t, bool from_server, char *piece)
{
	ssize_t n = read(from_server ? t->fd : STDIN_FILENO, piece, PIECE);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0)
		return false;
	return from_server ? write_out(str_n(piece, (size_t)n))
			   : send_all(t, str_n(piece, (size_t)n)) == ERR_OK;
}

int
talk_relay(struct talk *t)
{
	struct pollfd p[2] = { { .fd = t->fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN } };
	char *piece = xmalloc(PIECE);
	bool over = false;

	while (!over) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents != 0)
			over = !relay_piece(t, true, piece);
		if (!over && p[1].revents != 0 && !relay_piece(t, false, piece)) {
			(void)shutdown(t->fd, SHUT_WR);
			p[1].fd = -1;
		}
	}
	free(piece);
	return EX_OK;
}
