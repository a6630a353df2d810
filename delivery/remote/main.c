/* The program postroom-relay: carries messages that queue hands over to other servers. It sees one
 * read-only descriptor for each message, the DNS, and remote servers; no files, no mail, and of
 * secrets only those of the relay sections. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/dns/servers.h"
#include "core/role/role.h"
#include "core/sasl/login.h"
#include "delivery/remote/server.h"

enum { FILE_MAX = 4 * 1024 * 1024 };

struct relay_role {
	struct role_ctx *role;
	struct job_world world;
	struct server *server;
	struct listener *listeners[4];
	size_t listeners_count;
	uid_t queue_uid;
	char hostname[256];
	struct buf ca; /* the system's, where the settings name none */
	struct dns_servers servers;
	struct loop_task leave;
};

static struct relay_role relay;

static struct str
relay_user(const struct settings *s)
{
	return s->user_relay;
}

static void
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	while (fd >= 0 && n > 0) {
		char *room = buf_reserve(out, 65536);
		if (room == NULL)
			break;
		n = read(fd, room, 65536);
		if (n > 0)
			buf_commit(out, (size_t)n);
	}
	if (fd >= 0)
		(void)close(fd);
}

static enum err
load_tls(struct relay_role *r, const struct settings *s)
{
	struct tls_client_options o = { .ca_pem = s->outbound.tls_ca,
		.min_version = str_eq(s->outbound.tls_min_version, STR("1.3")) ? 13 : 12,
		.dane = true };
	const char *text = "";
	enum err e;

	if (o.ca_pem.n == 0) {
		read_file("/etc/ssl/certs/ca-certificates.crt", &r->ca);
		o.ca_pem = buf_str(&r->ca);
	}
	e = tls_ctx_new_client(&o, &r->world.tls_ctx, &text);
	if (e != ERR_OK)
		log_event(LVL_ERROR, "relay.tls", log_z("res", "failed"), log_z("reason", text));
	return e;
}

static enum err
relay_init(struct role_ctx *c)
{
	struct relay_role *r = &relay;
	const struct settings *s = role_settings(c);
	enum err e;

	r->role = c;
	role_set_data(c, r);
	buf_init(&r->ca, FILE_MAX);
	if (s->hostname.n > 0)
		memcpy(r->hostname, s->hostname.p, s->hostname.n);
	else if (gethostname(r->hostname, sizeof r->hostname - 1) != 0)
		memcpy(r->hostname, "localhost", sizeof "localhost");
	dns_servers_find(s, "/etc/resolv.conf", &r->servers);
	e = role_uid(c, s->user_queue, &r->queue_uid);
	if (e == ERR_OK)
		e = load_tls(r, s);
	if (e == ERR_OK)
		e = sasl_login_setup();
	return e;
}

/* Queue alone (and root): what it hands over goes out in this site's name. */
static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	struct relay_role *r = arg;

	if (!peer->is_unix ||
		(peer->uid != r->queue_uid && peer->uid != geteuid() && peer->uid != 0)) {
		log_event(LVL_WARN, "relay.refuse", log_n("uid", (int64_t)peer->uid),
			log_z("reason", "not queue's user"));
		(void)close(fd);
		return;
	}
	server_add(r->server, fd);
}

static enum err
relay_start(struct role_ctx *c)
{
	struct relay_role *r = role_data(c);
	const struct settings *s = role_settings(c);
	const struct dns_options o = { .servers = r->servers.v,
		.servers_count = r->servers.n,
		.trust_anchor = s->dns_trust_anchor };
	const char *text = "";
	size_t count;
	const struct role_listener *from = role_listeners(c, &count);
	enum err e = dns_open(role_loop(c), &o, &r->world.dns, &text);

	if (e != ERR_OK) {
		log_event(LVL_ERROR, "relay.dns", log_e("res", e), log_z("reason", text));
		return e;
	}
	r->world.loop = role_loop(c);
	r->world.settings = s;
	r->world.hostname = str_of(r->hostname);
	list_init(&r->world.idle);
	r->server = server_new(&r->world);
	for (size_t i = 0; i < count && i < ARRAY_LEN(r->listeners); i++)
		r->listeners[r->listeners_count++] =
			listener_new(role_loop(c), from[i].fd, on_accept, r);
	return ERR_OK;
}

/* For the jobs that come; name, resolvers and CAs stay. */
static enum err
relay_reload(struct role_ctx *c, struct buf *why UNUSED)
{
	struct relay_role *r = role_data(c);

	r->world.settings = role_settings(c);
	conn_close_idle(&r->world.idle);
	log_event(LVL_INFO, "relay.reload", log_z("res", "ok"));
	return ERR_OK;
}

static void
close_and_leave(struct loop_task *t)
{
	struct relay_role *r = t->arg;

	server_free(r->server);
	dns_close(r->world.dns);
	tls_ctx_unref(r->world.tls_ctx);
	sasl_login_teardown();
	buf_fini(&r->ca);
	dns_servers_fini(&r->servers);
	role_leave_soon(r->role);
}

static void
all_ended(void *arg)
{
	struct relay_role *r = arg;

	loop_task_init(&r->leave, role_loop(r->role), close_and_leave, r);
	loop_task_queue(&r->leave);
}

static void
relay_stop(struct role_ctx *c)
{
	struct relay_role *r = role_data(c);

	for (size_t i = 0; i < r->listeners_count; i++)
		listener_free(r->listeners[i]);
	r->listeners_count = 0;
	server_stop(r->server, all_ended, r);
}

/* Beside the common ones: the resolver's own sockets and its thread's loop. */
static const int syscalls[] = { SYS_bind, SYS_sendmmsg, SYS_recvmmsg, SYS_select, SYS_pselect6,
	SYS_epoll_create, SYS_pipe, SYS_ioctl, -1 };

static const struct role relay_role = {
	.name = "relay",
	.bit = ROLE_RELAY,
	.user = relay_user,
	.cage = { .no_file_writes = true, .landlock_no_files = true, .allow_syscalls = syscalls },
	.init = relay_init,
	.start = relay_start,
	.reload = relay_reload,
	.stop = relay_stop,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &relay_role);
}
