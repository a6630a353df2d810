/* The program postroom-queue: gives spool slots to smtp's workers and carries what they accepted
 * to lmtp. */
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/role/role.h"
#include "delivery/queue/admin.h"
#include "delivery/queue/queue.h"

enum { MAP_BYTES = 64 * 1024 * 1024 };

struct queue_role {
	struct role_ctx *role;
	struct queue *queue;
	struct admin *admin;
	struct listener **listeners;
	size_t listeners_count;
	uid_t smtp_uid;
	struct loop_task leave;
	struct str spool_dir, lmtp_address, directory_address, hostname, default_domain,
		postmaster; /* copies */
	char *relay_path;
};

static struct str
queue_user(const struct settings *s)
{
	return s->user_queue;
}

static enum err
queue_init(struct role_ctx *c)
{
	struct queue_role *r = xcalloc(1, sizeof(*r));

	r->role = c;
	role_set_data(c, r);
	return role_uid(c, role_settings(c)->user_smtp, &r->smtp_uid);
}

/* An smtp worker. The slots' fds are the right to put mail into the spool. */
static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	struct queue_role *r = arg;

	if (!peer->is_unix || (peer->uid != r->smtp_uid && peer->uid != geteuid())) {
		log_event(LVL_WARN, "queue.refuse", log_n("uid", (int64_t)peer->uid),
			log_z("reason", "not smtp's user"));
		(void)close(fd);
		return;
	}
	spool_server_add(r->queue->spool, fd);
}

static void
on_admin(void *arg, int fd, const struct peer *peer)
{
	struct queue_role *r = arg;

	admin_accept(r->admin, fd, peer);
}

static enum err
socket_address(struct role_ctx *c, const char *name, struct str *out)
{
	struct buf path, address;
	enum err e;

	buf_init(&path, 4096);
	buf_init(&address, 4096);
	e = role_runtime_path(c, name, &path);
	buf_addf(&address, "unix:%.*s", STR_FMT(buf_str(&path)));
	*out = str_of(str_dup(buf_str(&address)));
	buf_fini(&path);
	buf_fini(&address);
	return e;
}

static enum err
copy_names(struct role_ctx *c, struct queue_role *r)
{
	const struct settings *s = role_settings(c);
	char name[256] = "localhost";
	struct buf relay;
	enum err e = socket_address(c, "lmtp", &r->lmtp_address);

	if (e == ERR_OK)
		e = socket_address(c, "directory", &r->directory_address);
	buf_init(&relay, 4096);
	if (e == ERR_OK)
		e = role_runtime_path(c, "relay", &relay);
	r->relay_path = str_dup(buf_str(&relay));
	buf_fini(&relay);
	(void)gethostname(name, sizeof(name) - 1);
	r->hostname = str_of(str_dup(s->hostname.n != 0 ? s->hostname : str_of(name)));
	r->spool_dir = str_of(str_dup(s->spool_dir));
	r->default_domain = str_of(str_dup(s->auth.default_domain));
	r->postmaster = str_of(
		str_dup(s->queue.postmaster.n != 0 ? s->queue.postmaster : s->smtp.postmaster));
	return e;
}

static struct queue_options
options_of(const struct queue_role *r, const struct settings *s)
{
	return (struct queue_options){ .spool_dir = r->spool_dir,
		.lmtp_address = r->lmtp_address,
		.directory_address = r->directory_address,
		.hostname = r->hostname,
		.default_domain = r->default_domain,
		.concurrency = (unsigned)s->queue.concurrency,
		.retry_min_ms = s->queue.retry_min,
		.retry_max_ms = s->queue.retry_max,
		.lifetime_ms = s->queue.lifetime,
		.delay_notice_ms = s->queue.delay_notice,
		.postmaster = r->postmaster,
		.bounce_size_max = (uint64_t)s->queue.bounce_size_max,
		.expansion_max = (uint32_t)s->queue.expansion_max,
		.reserve_bytes = (uint64_t)s->queue.reserve,
		.slots_ahead = (unsigned)s->queue.slots_ahead,
		.map_bytes = MAP_BYTES,
		.relay_path = s->outbound.enabled ? r->relay_path : NULL,
		.settings = s };
}

static enum err
queue_start(struct role_ctx *c)
{
	struct queue_role *r = role_data(c);
	const struct settings *s = role_settings(c);
	struct queue_options o;
	const char *text = "";
	size_t count;
	const struct role_listener *from = role_listeners(c, &count);
	enum err e = copy_names(c, r);

	if (e != ERR_OK)
		return e;
	o = options_of(r, s);
	e = queue_open(role_loop(c), pool_new(role_loop(c), (unsigned)s->store.pool_threads), &o,
		&r->queue, &text);
	if (e != ERR_OK) {
		log_event(LVL_ERROR, "queue.start", log_s("dir", r->spool_dir), log_e("res", e),
			log_z("reason", text));
		return e;
	}
	expander_set_srs(r->queue->expander, s->queue.srs_domain, s->queue.srs_secret);
	r->admin = admin_new(r->queue);
	r->listeners = xcalloc(count + 1, sizeof(struct listener *));
	for (size_t i = 0; i < count; i++)
		r->listeners[r->listeners_count++] = listener_new(role_loop(c), from[i].fd,
			str_eq(str_of(from[i].protocol), STR("queue-admin")) ? on_admin : on_accept,
			r);
	return ERR_OK;
}

/* Limits of the schedule are the new ones for what comes; sockets and folders stay. */
static enum err
queue_reload(struct role_ctx *c, struct buf *why UNUSED)
{
	struct queue_role *r = role_data(c);
	const struct settings *s = role_settings(c);

	const struct queue_options o = options_of(r, s);

	queue_set(r->queue, &o);
	expander_set_srs(r->queue->expander, s->queue.srs_domain, s->queue.srs_secret);
	log_event(LVL_INFO, "queue.reload", log_z("res", "ok"));
	return ERR_OK;
}

/* Threads end before the loop that they report to. */
static void
close_and_leave(struct loop_task *t)
{
	struct queue_role *r = t->arg;

	queue_close(r->queue);
	role_leave(r->role);
}

static void
all_stopped(void *arg)
{
	struct queue_role *r = arg;

	loop_task_init(&r->leave, role_loop(r->role), close_and_leave, r);
	loop_task_queue(&r->leave);
}

static void
queue_role_stop(struct role_ctx *c)
{
	struct queue_role *r = role_data(c);

	for (size_t i = 0; i < r->listeners_count; i++)
		listener_free(r->listeners[i]);
	r->listeners_count = 0;
	admin_free(r->admin);
	queue_stop(r->queue, all_stopped, r);
}

static const struct role queue_role = {
	.name = "queue",
	.bit = ROLE_QUEUE,
	.user = queue_user,
	.cage = { .no_inet = true, .allow_syscalls = role_syscalls_files },
	.init = queue_init,
	.start = queue_start,
	.reload = queue_reload,
	.stop = queue_role_stop,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &queue_role);
}
