/* The program postroom-resolver: asks the DNS for smtp, whose cage has no network. It sees names,
 * the DNS and nothing else: no files, no mail, no secrets. */
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/dns/servers.h"
#include "core/role/role.h"
#include "delivery/resolver/service.h"

enum { QUESTIONS_MAX = 2048, WAITING_MAX = 16384, TIMEOUT_MS = 20000 };

struct resolver_role {
	struct dns_servers servers;
	struct dns *dns;
	struct resolver_service *service;
	struct listener *listeners[4];
	size_t listeners_count;
	uid_t smtp_uid;
};

static struct resolver_role resolver;

static struct str
resolver_user(const struct settings *s)
{
	return s->user_resolver;
}

static enum err
resolver_init(struct role_ctx *c)
{
	role_set_data(c, &resolver);
	dns_servers_find(role_settings(c), "/etc/resolv.conf", &resolver.servers);
	return role_uid(c, role_settings(c)->user_smtp, &resolver.smtp_uid);
}

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	struct resolver_role *r = arg;

	if (!peer->is_unix ||
		(peer->uid != r->smtp_uid && peer->uid != geteuid() && peer->uid != 0)) {
		log_event(LVL_WARN, "resolver.refuse", log_n("uid", (int64_t)peer->uid),
			log_z("reason", "not smtp's user"));
		(void)close(fd);
		return;
	}
	resolver_service_add(r->service, fd);
}

static enum err
resolver_start(struct role_ctx *c)
{
	static const struct resolver_limits limits = {
		.questions = QUESTIONS_MAX, .waiting = WAITING_MAX, .timeout_ms = TIMEOUT_MS
	};
	struct resolver_role *r = role_data(c);
	const struct dns_options o = { .servers = r->servers.v,
		.servers_count = r->servers.n,
		.trust_anchor = role_settings(c)->dns_trust_anchor };
	const char *text = "";
	size_t count;
	const struct role_listener *from = role_listeners(c, &count);
	enum err e = dns_open(role_loop(c), &o, &r->dns, &text);

	if (e != ERR_OK) {
		log_event(LVL_ERROR, "resolver.dns", log_e("res", e), log_z("reason", text));
		return e;
	}
	r->service = resolver_service_new(role_loop(c), r->dns, &limits);
	for (size_t i = 0; i < count && i < ARRAY_LEN(r->listeners); i++)
		r->listeners[r->listeners_count++] =
			listener_new(role_loop(c), from[i].fd, on_accept, r);
	return ERR_OK;
}

static void
resolver_stop(struct role_ctx *c)
{
	struct resolver_role *r = role_data(c);

	for (size_t i = 0; i < r->listeners_count; i++)
		listener_free(r->listeners[i]);
	r->listeners_count = 0;
	resolver_service_free(r->service);
	dns_close(r->dns);
	dns_servers_fini(&r->servers);
	role_leave(c);
}

/* Beside the common ones: the library's own sockets and its thread's loop. */
static const int syscalls[] = { SYS_bind, SYS_sendmmsg, SYS_recvmmsg, SYS_select, SYS_pselect6,
	SYS_epoll_create, SYS_pipe, SYS_ioctl, -1 };

static const struct role resolver_role = {
	.name = "resolver",
	.bit = ROLE_RESOLVER,
	.user = resolver_user,
	.cage = { .no_file_writes = true, .landlock_no_files = true, .allow_syscalls = syscalls },
	.init = resolver_init,
	.start = resolver_start,
	.stop = resolver_stop,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &resolver_role);
}
