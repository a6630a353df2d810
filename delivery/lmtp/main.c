/* The program postroom-lmtp: takes connections on the sockets that master bound, asks
 * auth-userdb who a recipient is, and hands messages to the store. */
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/role/role.h"
#include "core/store/store.h"
#include "core/store/sweep.h"
#include "delivery/lmtp/session.h"

/* What smtp may add to a message that is as long as it may be: Received, Date, Message-ID. */
enum { TRACE_ROOM = 8192 };

struct door {
	struct lmtp_server *server;
	struct listener *listener;
	enum listen_tls tls;
};

struct lmtp {
	struct lmtp_server server;
	struct pool *pool;
	struct store_sweep *sweep; /* the first worker's */
	struct door *doors;
	size_t doors_count;
	struct cidr *networks;
	struct str hostname, mail_root; /* copies: settings may be reloaded under them */
	struct role_ctx *role;
	struct loop_task leave;
};

static struct str
lmtp_user(const struct settings *s)
{
	return s->user_mail;
}

/* The certificate comes only where a listener has TLS (ROLE_LMTP_TLS). */
static enum err
load_tls(struct lmtp *l, const struct settings *s, struct buf *why)
{
	const struct tls_server_options o = { .certificate_pem = s->tls.certificate,
		.key_pem = s->tls.key,
		.min_version = str_eq(s->tls.min_version, STR("1.3")) ? 13 : 12 };
	struct tls_ctx *fresh = NULL;
	const char *text = "";
	enum err e;

	if (s->tls.certificate.n == 0)
		return ERR_OK;
	e = tls_ctx_new_server(&o, &fresh, &text);
	if (e != ERR_OK) {
		buf_addf(why, "tls: %s", text);
		log_event(LVL_ERROR, "lmtp.tls", log_z("res", "failed"), log_z("reason", text));
		return e;
	}
	if (l->server.tls != NULL)
		tls_ctx_unref(l->server.tls);
	l->server.tls = fresh;
	return ERR_OK;
}

/* Before the cage: who the queue is, and what OpenSSL reads. */
static enum err
lmtp_init(struct role_ctx *c)
{
	struct lmtp *l = xcalloc(1, sizeof(*l));
	struct buf why;
	enum err e;

	l->role = c;
	role_set_data(c, l);
	buf_init(&why, 4096);
	e = load_tls(l, role_settings(c), &why);
	buf_fini(&why);
	if (e != ERR_OK)
		return e;
	return role_uid(c, role_settings(c)->user_queue, &l->server.queue_uid);
}

static enum err
take_settings(struct lmtp *l, const struct settings *s)
{
	struct lmtp_server *v = &l->server;
	struct cidr *networks = xcalloc(s->lmtp.networks.n + 1, sizeof(*networks));

	for (size_t i = 0; i < s->lmtp.networks.n; i++) {
		if (cidr_parse(s->lmtp.networks.v[i], &networks[i]) != ERR_OK) {
			log_event(LVL_ERROR, "lmtp.settings",
				log_s("networks", s->lmtp.networks.v[i]),
				log_z("reason", "not a network"));
			free(networks);
			return ERR_SYNTAX;
		}
	}
	free(l->networks);
	l->networks = networks;
	v->networks = networks;
	v->networks_count = s->lmtp.networks.n;
	v->delimiter = s->recipient_delimiter.n != 0 ? s->recipient_delimiter.p[0] : '\0';
	v->tag_is_mailbox = !str_eq(s->lmtp.detail, STR("ignore"));
	v->tag_creates =
		str_eq(s->lmtp.detail, STR("create")) ? (uint32_t)s->lmtp.detail_mailboxes_max : 0;
	v->separator = s->imap.separator.n == 1 ? s->imap.separator.p[0] : '/';
	v->message_max_bytes = (uint64_t)s->smtp.message_max + TRACE_ROOM;
	v->recipients_max = (uint32_t)s->lmtp.recipients_max;
	v->full_is_temporary = s->lmtp.full_is_temporary;
	v->connections_max = (unsigned)s->lmtp.connections_max;
	v->command_timeout_ms = s->lmtp.command_timeout;
	v->store_timeout_ms = s->lmtp.store_timeout;
	return ERR_OK;
}

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	const struct door *d = arg;

	lmtp_session_start(d->server, fd, peer, d->tls);
}

static void
open_doors(struct lmtp *l)
{
	size_t count;
	const struct role_listener *from = role_listeners(l->role, &count);

	l->doors = xcalloc(count + 1, sizeof(*l->doors));
	for (size_t i = 0; i < count; i++) {
		struct door *d = &l->doors[l->doors_count];
		if (from[i].tls != LISTEN_TLS_NONE && l->server.tls == NULL) {
			log_event(LVL_ERROR, "lmtp.listen", log_z("reason", "no certificate"));
			close(from[i].fd);
			continue;
		}
		*d = (struct door){ .server = &l->server, .tls = from[i].tls };
		d->listener = listener_new(l->server.loop, from[i].fd, on_accept, d);
		l->doors_count++;
	}
}

static struct str
hostname_of(const struct settings *s)
{
	char name[256] = "localhost";

	if (s->hostname.n != 0)
		return str_of(str_dup(s->hostname));
	(void)gethostname(name, sizeof(name) - 1);
	return str_of(xstrdup(name));
}

static enum err
lmtp_start(struct role_ctx *c)
{
	struct lmtp *l = role_data(c);
	const struct settings *s = role_settings(c);
	struct lmtp_server *v = &l->server;
	struct buf path, address;
	enum err e = take_settings(l, s);

	buf_init(&path, 4096);
	buf_init(&address, 4096);
	if (e == ERR_OK)
		e = role_runtime_path(c, "auth-userdb", &path);
	if (e != ERR_OK)
		goto out;
	l->hostname = hostname_of(s);
	l->mail_root = str_of(str_dup(s->mail_root));
	v->hostname = l->hostname;
	v->mail_root = l->mail_root;
	v->loop = role_loop(c);
	list_init(&v->sessions);
	l->pool = pool_new(v->loop, (unsigned)s->store.pool_threads);
	v->store = store_new(v->loop, l->pool, s);
	if (role_worker(c) == 0)
		l->sweep = store_sweep_start(v->store, l->mail_root, 0);
	buf_addf(&address, "unix:%.*s", STR_FMT(buf_str(&path)));
	v->users = userdb_new(v->loop, buf_str(&address));
	v->cache = user_cache_new();
	v->lookup = userdb_lookup;
	v->lookup_cancel = userdb_cancel;
	open_doors(l);
out:
	buf_fini(&path);
	buf_fini(&address);
	return e;
}

static enum err
lmtp_reload(struct role_ctx *c, struct buf *why)
{
	/* Names and folders stay as they were at start; limits and networks are the new ones. */
	struct lmtp *l = role_data(c);

	user_cache_clear(l->server.cache);
	enum err e = take_settings(l, role_settings(c));
	if (e != ERR_OK)
		buf_addz(why, "lmtp.networks: not a network");
	else
		e = load_tls(l, role_settings(c), why);
	if (e == ERR_OK)
		log_event(LVL_INFO, "lmtp.reload", log_z("res", "ok"));
	return e;
}

static void
lmtp_child_died(struct role_ctx *c, struct str role, int pid)
{
	struct lmtp *l = role_data(c);

	(void)pid;
	if (str_eq(role, STR("lmtp")) || str_eq(role, STR("imap")))
		store_child_died(l->server.store);
}

/* Threads end before the loop that they report to. */
static void
close_and_leave(struct loop_task *t)
{
	struct lmtp *l = t->arg;

	userdb_free(l->server.users);
	user_cache_free(l->server.cache);
	store_sweep_stop(l->sweep);
	store_free(l->server.store);
	pool_free(l->pool);
	if (l->server.tls != NULL)
		tls_ctx_unref(l->server.tls);
	role_leave(l->role);
}

static void
all_ended(void *arg)
{
	struct lmtp *l = arg;

	loop_task_init(&l->leave, role_loop(l->role), close_and_leave, l);
	loop_task_queue(&l->leave);
}

static void
lmtp_stop(struct role_ctx *c)
{
	struct lmtp *l = role_data(c);

	for (size_t i = 0; i < l->doors_count; i++)
		listener_free(l->doors[i].listener);
	l->doors_count = 0;
	l->server.on_idle = all_ended;
	l->server.on_idle_arg = l;
	lmtp_server_stop(&l->server);
}

static const struct role lmtp_role = {
	.name = "lmtp",
	.bit = ROLE_LMTP,
	.user = lmtp_user,
	.cage = { .landlock_mail_root = true,
		.no_inet = true,
		.allow_syscalls = role_syscalls_files },
	.init = lmtp_init,
	.start = lmtp_start,
	.reload = lmtp_reload,
	.child_died = lmtp_child_died,
	.stop = lmtp_stop,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &lmtp_role);
}
