/* `postroom lookup MAP KEY`: one question to the running auth service. As root it goes to the admin
 * socket and shows every step; others of the group ask the directory socket, as Postfix does, in
 * the socketmap protocol ("LEN:map key," and back). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/master/client.h"
#include "core/master/commands.h"

/* ERR_AGAIN while in holds less than one netstring. */
static enum err
parse_reply(struct str in, struct str *out)
{
	struct str length, rest;
	uint32_t n;

	if (!str_cut(in, ':', &length, &rest))
		return in.n > 10 ? ERR_SYNTAX : ERR_AGAIN;
	if (str_to_u32(length, CLIENT_REPLY_MAX, &n) != ERR_OK)
		return ERR_SYNTAX;
	if (rest.n < (size_t)n + 1)
		return ERR_AGAIN;
	*out = str_sub(rest, 0, n);
	return rest.p[n] == ',' ? ERR_OK : ERR_SYNTAX;
}

static enum err
ask(int fd, struct str question, struct buf *in, struct str *reply_out)
{
	enum err e = client_send(fd, question) ? ERR_AGAIN : ERR_TEMP;

	while (e == ERR_AGAIN)
		e = client_receive(fd, in) ? parse_reply(buf_str(in), reply_out) : ERR_TEMP;
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
				(void)fprintf(*table[i].to, "%.*s\n", STR_FMT(str_trim(reply)));
			return table[i].status;
		}
	(void)fprintf(stderr, "postroom: an answer that makes no sense\n");
	return EXIT_UNAVAILABLE;
}

/* By the directory socket. */
static int
lookup_map(const struct settings *s, const char *map, const char *key)
{
	struct buf question, in;
	struct str reply;
	int fd, status = EXIT_TEMPFAIL;

	buf_init(&question, 8192);
	buf_init(&in, CLIENT_REPLY_MAX + 65536 + 16);
	buf_addf(&question, "%zu:%s %s,", strlen(map) + 1 + strlen(key), map, key);
	if (buf_check(&question) != ERR_OK) {
		(void)fprintf(stderr, "postroom: the key is too long\n");
		status = EXIT_USAGE;
	} else {
		fd = client_connect(s, "directory");
		if (fd >= 0 && ask(fd, buf_str(&question), &in, &reply) == ERR_OK)
			status = show(reply);
		else
			(void)fprintf(stderr, "postroom: %.*s/directory: %s%s\n",
				STR_FMT(s->runtime_dir),
				fd < 0 ? strerrordesc_np(errno) : "no answer",
				fd < 0 ? client_hint(errno) : "");
		if (fd >= 0)
			(void)close(fd);
	}
	buf_fini(&question);
	buf_fini(&in);
	return status;
}

int
command_lookup(const struct command_args *a)
{
	bool quiet = str_eq(str_of(a->argv[0]), STR("-q"));
	char **arg = a->argv + (quiet ? 1 : 0);

	if (a->argc - (quiet ? 1 : 0) != 2) {
		return command_usage("lookup");
	}
	struct settings *s = command_settings(a, false);
	if (s == NULL)
		return EXIT_CONFIG;
	const struct str fields[] = { str_of(arg[0]), str_of(arg[1]) };
	const struct admin_request r = {
		.verb = "LOOKUP", .fields = fields, .fields_count = 2, .quiet = quiet
	};
	struct buf out;
	buf_init(&out, CLIENT_REPLY_MAX);
	int status = admin_ask(s, &r, &out);
	if (status == 0) {
		client_print(&out);
	} else if (status < 0 && str_eq(fields[0], STR("user"))) {
		(void)fprintf(stderr, "postroom: %.*s/auth-admin: %s%s\n", STR_FMT(s->runtime_dir),
			strerrordesc_np(errno), client_hint(errno));
		status = EXIT_TEMPFAIL;
	} else if (status < 0) {
		status = lookup_map(s, arg[0], arg[1]);
	}
	buf_fini(&out);
	settings_free(s);
	return status;
}
