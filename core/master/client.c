/* Blocking connections for admin commands (lookup.c, auth.c, queue.c). The server is the same
 * machine's and answers in time or not at all: every wait has an end. */
#include "core/master/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/authclient/wire.h"
#include "core/base/xalloc.h"
#include "core/master/commands.h"

int
client_connect(const struct settings *s, const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = CLIENT_WAIT_SEC };
	int fd, n = snprintf(
			un.sun_path, sizeof un.sun_path, "%.*s/%s", STR_FMT(s->runtime_dir), name);

	if (n < 0 || (size_t)n >= sizeof un.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	if (connect(fd, (const struct sockaddr *)&un, sizeof un) == 0)
		return fd;
	int code = errno;

	(void)close(fd);
	errno = code;
	return -1;
}

const char *
client_hint(int code)
{
	switch (code) {
	case ENOENT:
	case ECONNREFUSED:
		return " (is the server running, with this configuration?)";
	case EACCES:
		return " (root may)";
	}
	return "";
}

void
client_print(const struct buf *answer)
{
	struct str s = buf_str(answer);

	if (s.n > 0)
		(void)printf("%.*s%s", STR_FMT(s), str_ends(s, STR("\n")) ? "" : "\n");
}

bool
client_send(int fd, struct str bytes)
{
	while (bytes.n != 0) {
		ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		bytes = str_from(bytes, (size_t)n);
	}
	return true;
}

bool
client_receive(int fd, struct buf *in)
{
	char *p = buf_reserve(in, 65536);
	ssize_t n = p != NULL ? recv(fd, p, 65536, 0) : -1;

	if (n <= 0)
		return false;
	buf_commit(in, (size_t)n);
	return true;
}

static const struct {
	const char *word;
	int status;
} endings[] = {
	{ "OK", 0 },
	{ "NOTFOUND", 1 },
	{ "DENY", EXIT_UNAVAILABLE },
	{ "TEMP", EXIT_TEMPFAIL },
	{ "SYNTAX", EXIT_USAGE },
};

/* One line of the answer. The exit status when it was the last, else -1. */
static int
on_line(struct str line, const struct admin_request *r, struct buf *out)
{
	struct str word, field;
	struct buf text;
	int status = -1;

	(void)str_cut(line, '\t', &word, &field);
	buf_init(&text, CLIENT_REPLY_MAX);
	if (wire_unescape(&text, field) != ERR_OK)
		buf_reset(&text);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (str_eq(word, str_of(endings[i].word)))
			status = endings[i].status;
	if (status == 0)
		buf_add(out, buf_str(&text));
	else if (status > 0)
		(void)fprintf(stderr, "%.*s%s%.*s\n", STR_FMT(word), text.n > 0 ? " " : "",
			STR_FMT(buf_str(&text)));
	else if (!str_eq(word, STR("STEP")) && r->on_line != NULL)
		r->on_line(r->arg, line);
	else if (str_eq(word, STR("STEP")) && !r->quiet)
		(void)fprintf(stderr, "%.*s\n", STR_FMT(buf_str(&text)));
	buf_fini(&text);
	return status;
}

enum { NO_ANSWER = -2 };

static int
read_answer(int fd, const struct admin_request *r, struct buf *in, struct buf *out)
{
	struct str line;

	for (;;) {
		switch (wire_line(in, CLIENT_REPLY_MAX, &line)) {
		case ERR_OK:
			break;
		case ERR_AGAIN:
			if (!client_receive(fd, in))
				return NO_ANSWER;
			continue;
		case ERR_EOF:
		case ERR_SYNTAX:
		case ERR_LIMIT:
		case ERR_NOTFOUND:
		case ERR_EXISTS:
		case ERR_DENIED:
		case ERR_BUSY:
		case ERR_TEMP:
		case ERR_CORRUPT:
		case ERR_QUOTA:
		case ERR_BUG:
			return NO_ANSWER;
		}
		int status = on_line(line, r, out);
		buf_consume(in, line.n + 1);
		if (status >= 0)
			return status;
	}
}

int
admin_ask(const struct settings *s, const struct admin_request *r, struct buf *out)
{
	struct buf question, in;
	const char *name = r->socket != NULL ? r->socket : "auth-admin";
	int status = NO_ANSWER, fd = client_connect(s, name);

	if (fd < 0)
		return -1;
	buf_init_secret(&question, 256 * 1024);
	buf_init(&in, 2 * CLIENT_REPLY_MAX);
	buf_addz(&question, r->verb);
	for (size_t i = 0; i < r->fields_count; i++) {
		buf_addc(&question, '\t');
		wire_escape(&question, r->fields[i]);
	}
	buf_addc(&question, '\n');
	if (buf_check(&question) != ERR_OK) {
		(void)fprintf(stderr, "postroom: the question is too long\n");
		status = EXIT_USAGE;
	} else if (client_send(fd, buf_str(&question))) {
		status = read_answer(fd, r, &in, out);
	}
	if (status == NO_ANSWER) {
		(void)fprintf(stderr, "postroom: %s gave no answer\n",
			r->socket == NULL ? "the auth service" : r->socket);
		status = EXIT_TEMPFAIL;
	}
	buf_fini(&in);
	buf_fini(&question);
	(void)close(fd);
	return status;
}
