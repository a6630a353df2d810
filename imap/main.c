/* postroom-imap: takes over clients that logged in at the gate, confirmed by auth-userdb, and
 * serves them from the mail store. Started by master; `postroom-imap --capabilities` prints the
 * capability table with the test of each token. */
#include <stdio.h>

#include "core/authclient/userdb.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/pool.h"
#include "core/gate/handover.h"
#include "core/role/role.h"
#include "imap/session/session.h"
#include "imap/session/user.h"

struct server {
	struct role_ctx *ctx;
	struct imap imap;
	struct pool *pool;
	struct store *store;
	struct userdb *userdb;
	struct handover_server *handover;
	uid_t gate_uid;
	struct loop_timer leave;
};

enum {
	LAST_WORDS_MS = 200, /* streams that were closed still send */
	REST_MS = 20 * 1000, /* homes of idle sessions */
};

static bool
on_ready(void *arg)
{
	const struct server *v = arg;

	return !v->imap.stopping && v->imap.sessions_count < v->imap.limits.sessions_max;
}

static void
on_accept(void *arg, const struct handover_login *login, int fd)
{
	struct server *v = arg;
	struct buf check, quota;

	buf_init(&check, 8192);
	buf_init(&quota, 8192);
	if (auth_field(login->fields, "quota_rule", &quota) != ERR_OK)
		buf_reset(&quota);
	if (auth_field(login->fields, "check", &check) != ERR_OK)
		buf_reset(&check);
	const struct imap_login l = {
		.check = buf_str(&check),
		.quota = buf_str(&quota),
		.user = login->user,
		.home = login->home,
		.sid = login->sid,
		.tag = login->tag,
		.input = login->input,
	};

	imap_session_start(&v->imap, &l, fd);
	buf_fini(&check);
	buf_fini(&quota);
}

static const struct handover_server_ops handover_ops = { .ready = on_ready, .accept = on_accept };

/* Threads end before the loop that they report to. */
static void
close_and_leave(struct loop_timer *t)
{
	struct server *v = t->arg;

	handover_server_free(v->handover);
	imap_fini(&v->imap);
	userdb_free(v->userdb);
	store_free(v->store);
	pool_free(v->pool);
	role_leave(v->ctx);
}

static void
on_empty(struct imap *i)
{
	struct server *v = CONTAINER_OF(i, struct server, imap);

	if (i->stopping)
		loop_timer_start(&v->leave, LAST_WORDS_MS);
}

static struct str
user(const struct settings *s)
{
	return s->user_mail;
}

static enum err
init(struct role_ctx *c)
{
	struct server *v = xcalloc(1, sizeof *v);

	v->ctx = c;
	role_set_data(c, v);
	return role_uid(c, role_settings(c)->user_gate, &v->gate_uid);
}

static enum err
start(struct role_ctx *c)
{
	struct server *v = role_data(c);
	const struct settings *set = role_settings(c);
	struct buf address;
	size_t n;
	const struct role_listener *listeners = role_listeners(c, &n);

	v->pool = pool_new(role_loop(c), (unsigned)set->store.pool_threads);
	v->store = store_new(role_loop(c), v->pool, set);
	store_close_resting(v->store, REST_MS);
	imap_init(&v->imap, role_loop(c), v->store, set);
	v->imap.pool = v->pool;
	v->imap.on_empty = on_empty;
	v->imap.counts = role_counts(c);
	buf_init(&address, 256);
	enum err e = role_runtime_path(c, "auth-userdb", &address);

	if (e == ERR_OK) {
		struct buf full;

		buf_init(&full, 300);
		buf_addz(&full, "unix:");
		buf_add(&full, buf_str(&address));
		v->userdb = userdb_new(role_loop(c), buf_str(&full));
		v->imap.userdb = v->userdb;
		buf_fini(&full);
	}
	buf_fini(&address);
	for (size_t i = 0; e == ERR_OK && i < n; i++)
		if (str_eq(str_of(listeners[i].protocol), STR("handover")))
			v->handover = handover_server_new(role_loop(c), listeners[i].fd,
				v->gate_uid, v->userdb, &handover_ops, v);
	return e == ERR_OK && v->handover == NULL ? ERR_NOTFOUND : e;
}

static void
child_died(struct role_ctx *c, struct str role UNUSED, int pid UNUSED)
{
	const struct server *v = role_data(c);

	store_child_died(v->store);
}

static enum err
reload(struct role_ctx *c, struct buf *why UNUSED)
{
	struct server *v = role_data(c);

	imap_set_limits(&v->imap, role_settings(c));
	users_check(&v->imap);
	return ERR_OK;
}

static void
stop(struct role_ctx *c)
{
	struct server *v = role_data(c);

	loop_timer_init(&v->leave, role_loop(c), close_and_leave, v);
	imap_stop(&v->imap);
	if (v->imap.sessions_count == 0)
		loop_timer_start(&v->leave, LAST_WORDS_MS);
}

static const struct role imap_role = {
	.name = "imap",
	.bit = ROLE_IMAP,
	.user = user,
	.cage = { .landlock_mail_root = true,
		.no_inet = true,
		.allow_syscalls = role_syscalls_files },
	.init = init,
	.start = start,
	.reload = reload,
	.child_died = child_died,
	.stop = stop,
};

static int
print_capabilities(void)
{
	for (const struct capability *c = imap_capabilities; c->token != NULL; c++)
		(void)printf("%s %s %s\n", c->token, c->program, c->test);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && str_eq(str_of(argv[1]), STR("--capabilities")))
		return print_capabilities();
	return role_main(argc, argv, &imap_role);
}
