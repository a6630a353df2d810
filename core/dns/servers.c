/* Which DNS servers to ask; see servers.h. relay and resolver call it in their init. */
#include "core/dns/servers.h"

#include <fcntl.h>
#include <unistd.h>

enum { FILE_MAX = 1024 * 1024, PIECE = 4096 };

static void
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	while (fd >= 0 && n > 0) {
		char *room = buf_reserve(out, PIECE);
		if (room == NULL)
			break;
		n = read(fd, room, PIECE);
		if (n > 0)
			buf_commit(out, (size_t)n);
	}
	if (fd >= 0)
		(void)close(fd);
}

void
dns_servers_find(const struct settings *s, const char *resolv_conf, struct dns_servers *out)
{
	struct str line, word, rest;

	out->n = 0;
	buf_init(&out->text, FILE_MAX);
	for (size_t i = 0; i < s->dns_servers.n && out->n < DNS_SERVERS_MAX; i++)
		out->v[out->n++] = s->dns_servers.v[i];
	if (out->n != 0)
		return;
	read_file(resolv_conf, &out->text);
	for (size_t i = 0; i < out->text.n; i++)
		if (out->text.mem[out->text.head + i] == '\t')
			out->text.mem[out->text.head + i] = ' ';
	for (rest = buf_str(&out->text); rest.n != 0 && out->n < DNS_SERVERS_MAX;) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (!str_cut(str_trim(line), ' ', &word, &line) || !str_eq(word, STR("nameserver")))
			continue;
		(void)str_cut(str_trim(line), ' ', &word, &line);
		if (word.n > 0)
			out->v[out->n++] = word;
	}
	if (out->n == 0)
		out->v[out->n++] = STR("127.0.0.1");
}

void
dns_servers_fini(struct dns_servers *d)
{
	buf_fini(&d->text);
}
