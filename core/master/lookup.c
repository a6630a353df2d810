/* `postroom lookup MAP KEY`: one question to the auth service over its directory socket, in the
 * socketmap protocol ("LEN:map key," and back). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/master/commands.h"

enum { REPLY_MAX = 16 * 1024 * 1024, WAIT_SEC = 30 };

static int
connect_to(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = WAIT_SEC };
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof un.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, n);
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

/* ERR_AGAIN while in holds less than one netstring. */
static enum err
parse_reply(struct str in, struct str *out)
{
	struct str length, rest;
	uint32_t n;

	if (!str_cut(in, ':', &length, &rest))
		return in.n > 10 ? ERR_SYNTAX : ERR_AGAIN;
	if (str_to_u32(length, REPLY_MAX, &n) != ERR_OK)
		return ERR_SYNTAX;
	if (rest.n < (size_t)n + 1)
		return ERR_AGAIN;
	*out = str_sub(rest, 0, n);
	return rest.p[n] == ',' ? ERR_OK : ERR_SYNTAX;
}

static enum err
ask(int fd, struct str question, struct buf *in, struct str *reply_out)
{
	enum err e = ERR_AGAIN;

	while (question.n != 0) {
		ssize_t n = send(fd, question.p, question.n, MSG_NOSIGNAL);
		if (n <= 0)
			return ERR_TEMP;
		question = str_from(question, (size_t)n);
	}
	while (e == ERR_AGAIN) {
		char *p = buf_reserve(in, 65536);
		ssize_t n = p != NULL ? recv(fd, p, 65536, 0) : -1;
		if (n <= 0)
			return ERR_TEMP;
		buf_commit(in, (size_t)n);
		e = parse_reply(buf_str(in), reply_out);
	}
	return e;
}

static int
show(struct str reply)
{
	static const struct {
		const char *word;
		int status;
		FILE *const *to;
	} table[] = {
		{ "OK", 0, &stdout },
		{ "NOTFOUND", 1, &stderr },
		{ "TEMP", EXIT_TEMPFAIL, &stderr },
		{ "TIMEOUT", EXIT_TEMPFAIL, &stderr },
		{ "PERM", EXIT_UNAVAILABLE, &stderr },
	};
	struct str word, rest;

	(void)str_cut(reply, ' ', &word, &rest);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (str_eq(word, str_of(table[i].word))) {
			if (table[i].status == 0)
				(void)fprintf(*table[i].to, "%.*s\n", STR_FMT(rest));
			else
				(void)fprintf(*table[i].to, "%.*s\n", STR_FMT(reply));
			return table[i].status;
		}
	(void)fprintf(stderr, "postroom: an answer that makes no sense\n");
	return EXIT_UNAVAILABLE;
}

int
command_lookup(const struct command_args *a)
{
	struct settings *s = command_settings(a, false);
	struct buf path, question, in;
	struct str reply;
	int fd, status = EXIT_TEMPFAIL;

	if (s == NULL)
		return EXIT_CONFIG;
	buf_init(&path, 600);
	buf_init(&question, 8192);
	buf_init(&in, REPLY_MAX + 65536 + 16);
	buf_addf(&path, "%.*s/directory", STR_FMT(s->runtime_dir));
	buf_addf(&question, "%zu:%s %s,", strlen(a->argv[0]) + 1 + strlen(a->argv[1]), a->argv[0],
		a->argv[1]);
	if (buf_check(&question) != ERR_OK) {
		(void)fprintf(stderr, "postroom: the key is too long\n");
		status = EXIT_USAGE;
	} else {
		fd = connect_to(buf_z(&path));
		if (fd >= 0 && ask(fd, buf_str(&question), &in, &reply) == ERR_OK)
			status = show(reply);
		else
			(void)fprintf(stderr, "postroom: %s: %s\n", buf_z(&path),
				fd < 0 ? strerrordesc_np(errno) : "no answer");
		if (fd >= 0)
			(void)close(fd);
	}
	buf_fini(&path);
	buf_fini(&question);
	buf_fini(&in);
	settings_free(s);
	return status;
}
