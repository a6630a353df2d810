/* The skeleton of every role; see role.h. Each role's main calls role_main. Invariant: start() and
 * everything after it run inside the cage, and the end of the control socket ends the role. */
#include "core/role/role.h"

#include <fcntl.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/role/cage.h"
#include "core/role/control.h"

enum {
	LISTENERS_MAX = 64,
	STOP_MS = 10000,
	LAST_WORDS_MS = 200,
	MMAP_THRESHOLD = 64 * 1024,
	ARENAS = 2,
	FILES_MAX = 1048576,
	WHY_MAX = 4096, /* of a reload that was refused */
};

struct role_ctx {
	const struct role *role;
	struct loop *loop;
	struct ipc *control;
	struct loop_timer stop_timer;
	struct loop_timer leave_timer;
	struct loop_signal term;
	const struct settings *settings;
	struct settings **all; /* every generation: sessions may point into old ones */
	size_t all_count;
	struct buf parts;
	struct counts *counts;
	struct role_listener listeners[LISTENERS_MAX];
	size_t listeners_count;
	unsigned worker, worker_count;
	int log_fd;
	bool go;
	bool stopping;
	bool chrooted;
	void *data;
};

struct loop *
role_loop(struct role_ctx *c)
{
	return c->loop;
}

const struct settings *
role_settings(const struct role_ctx *c)
{
	return c->settings;
}

const struct role_listener *
role_listeners(const struct role_ctx *c, size_t *count_out)
{
	*count_out = c->listeners_count;
	return c->listeners;
}

unsigned
role_worker(const struct role_ctx *c)
{
	return c->worker;
}

unsigned
role_worker_count(const struct role_ctx *c)
{
	return c->worker_count;
}

enum err
role_runtime_path(const struct role_ctx *c, const char *name, struct buf *out)
{
	struct str rest = str_of(name);
	const char *below = c->role->cage.chroot_below_runtime;

	buf_reset(out);
	if (!c->chrooted) {
		buf_add(out, c->settings->runtime_dir);
		buf_addc(out, '/');
		buf_add(out, rest);
	} else {
		if (!str_starts(rest, str_of(below)) || rest.n <= strlen(below) ||
			rest.p[strlen(below)] != '/')
			return ERR_NOTFOUND;
		buf_add(out, str_from(rest, strlen(below)));
	}
	if (buf_check(out) != ERR_OK || buf_room(out) == 0)
		return ERR_LIMIT;
	(void)buf_z(out);
	return ERR_OK;
}

enum err
role_uid(const struct role_ctx *c, struct str user, uid_t *uid_out)
{
	const struct passwd *pw;
	char *name;

	(void)c;
	*uid_out = geteuid();
	if (geteuid() != 0)
		return ERR_OK;
	name = str_dup(user);
	pw = getpwnam(name);
	free(name);
	if (pw == NULL)
		return ERR_NOTFOUND;
	*uid_out = pw->pw_uid;
	return ERR_OK;
}

void
role_set_data(struct role_ctx *c, void *data)
{
	c->data = data;
}

void *
role_data(const struct role_ctx *c)
{
	return c->data;
}

struct counts *
role_counts(const struct role_ctx *c)
{
	return c->counts;
}

struct ipc *
role_control(struct role_ctx *c)
{
	return c->control;
}

void
role_leave(struct role_ctx *c)
{
	loop_stop(c->loop);
}

static void
on_leave_timer(struct loop_timer *t)
{
	role_leave(t->arg);
}

void
role_leave_soon(struct role_ctx *c)
{
	if (!loop_timer_active(&c->leave_timer))
		loop_timer_start(&c->leave_timer, LAST_WORDS_MS);
}

static void
use_level(const struct role_ctx *c)
{
	enum log_level level;

	if (log_level_parse(c->settings->log.level, &level) == ERR_OK)
		log_set_level(level);
}

static enum err
take_settings(struct role_ctx *c)
{
	struct settings *s = NULL;
	enum err e = settings_unpack(buf_str(&c->parts), &s);

	buf_release(&c->parts);
	if (e != ERR_OK)
		return e;
	c->all = xrealloc(c->all, sizeof(struct settings *) * (c->all_count + 1));
	c->all[c->all_count++] = s;
	c->settings = s;
	use_level(c);
	return ERR_OK;
}

static enum err
take_listener(struct role_ctx *c, struct str payload, int fd)
{
	struct role_listener *l = &c->listeners[c->listeners_count];
	struct str protocol;
	uint64_t tls;

	if (c->listeners_count == LISTENERS_MAX || ipc_get_str(&payload, &protocol) != ERR_OK ||
		ipc_get_u64(&payload, &tls) != ERR_OK || protocol.n >= sizeof l->protocol ||
		tls > LISTEN_TLS_IMPLICIT)
		return ERR_SYNTAX;
	memcpy(l->protocol, protocol.p, protocol.n);
	l->protocol[protocol.n] = '\0';
	l->tls = (enum listen_tls)tls;
	l->fd = fd;
	c->listeners_count++;
	return ERR_OK;
}

static enum err
take_start(struct role_ctx *c, struct str payload, const int *fds, size_t fds_count)
{
	uint64_t worker, count;

	if (fds_count != 1 || ipc_get_u64(&payload, &worker) != ERR_OK ||
		ipc_get_u64(&payload, &count) != ERR_OK)
		return ERR_SYNTAX;
	c->worker = (unsigned)worker;
	c->worker_count = (unsigned)count;
	c->log_fd = fds[0];
	log_setup(c->role->name, LVL_INFO, c->log_fd);
	return ERR_OK;
}

/* One message before the role began. */
static enum err
take_early(struct role_ctx *c, uint32_t type, struct str payload, const int *fds, size_t fds_count)
{
	switch ((enum control_msg)type) {
	case CONTROL_SETTINGS_PART:
		buf_add(&c->parts, payload);
		return buf_check(&c->parts);
	case CONTROL_SETTINGS_END:
		return take_settings(c);
	case CONTROL_START:
		return take_start(c, payload, fds, fds_count);
	case CONTROL_COUNTS:
		if (fds_count != 1)
			return ERR_SYNTAX;
		c->counts = counts_open(fds[0], c->worker, c->worker_count);
		return ERR_OK;
	case CONTROL_LISTENER:
		return fds_count == 1 ? take_listener(c, payload, fds[0]) : ERR_SYNTAX;
	case CONTROL_GO:
		c->go = true;
		return c->settings != NULL && c->log_fd >= 0 ? ERR_OK : ERR_SYNTAX;
	case CONTROL_DIED:
		return ERR_OK;
	case CONTROL_STOP:
		return ERR_EOF;
	case CONTROL_READY:
	case CONTROL_RELOADED:
		break;
	}
	return ERR_SYNTAX;
}

static enum err
receive_all(struct role_ctx *c)
{
	struct buf payload;
	enum err e = ERR_OK;

	buf_init_secret(&payload, IPC_PAYLOAD_MAX);
	while (e == ERR_OK && !c->go) {
		int fds[IPC_FDS_MAX];
		size_t fds_count = IPC_FDS_MAX;
		uint32_t type;
		buf_reset(&payload);
		e = ipc_recv_blocking(CONTROL_FD, &type, &payload, fds, &fds_count);
		if (e == ERR_OK)
			e = take_early(c, type, buf_str(&payload), fds, fds_count);
	}
	buf_fini(&payload);
	return e;
}

static void
on_stop_timer(struct loop_timer *t)
{
	struct role_ctx *c = t->arg;

	log_event(LVL_WARN, "role.stop", log_z("reason", "sessions did not end in time"));
	loop_stop(c->loop);
}

static void
begin_stop(struct role_ctx *c)
{
	if (c->stopping)
		return;
	c->stopping = true;
	if (c->role->stop == NULL) {
		loop_stop(c->loop);
		return;
	}
	loop_timer_start(&c->stop_timer, STOP_MS);
	c->role->stop(c);
}

static void
on_term(struct loop_signal *s, int signum)
{
	(void)signum;
	begin_stop(s->arg);
}

/* Every reload is answered, or master would wait. */
static void
on_reload(struct role_ctx *c)
{
	struct buf why, answer;
	enum err e = take_settings(c);

	buf_init(&why, WHY_MAX);
	buf_init(&answer, 2 * WHY_MAX);
	if (e != ERR_OK)
		buf_addz(&why, "the settings did not arrive whole");
	else if (c->role->reload != NULL && !c->stopping)
		e = c->role->reload(c, &why);
	ipc_put_u64(&answer, (uint64_t)e);
	ipc_put_str(&answer, str_sub(buf_str(&why), 0, WHY_MAX));
	e = ipc_send(c->control, CONTROL_RELOADED, buf_str(&answer), NULL, 0);
	if (e != ERR_OK && e != ERR_EOF)
		log_event(LVL_ERROR, "role.reload", log_e("res", e));
	buf_fini(&why);
	buf_fini(&answer);
}

static void
on_died(struct role_ctx *c, struct str payload)
{
	struct str role;
	uint64_t pid;

	if (c->role->child_died != NULL && ipc_get_str(&payload, &role) == ERR_OK &&
		ipc_get_u64(&payload, &pid) == ERR_OK)
		c->role->child_died(c, role, (int)pid);
}

static void
on_message(void *arg, struct ipc *ipc, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct role_ctx *c = arg;

	(void)ipc;
	if (type >= ROLE_MSG_PRIVATE && c->role->message != NULL) {
		c->role->message(c, type, payload, fds, fds_count);
		return;
	}
	for (size_t i = 0; i < fds_count; i++)
		(void)close(fds[i]);
	switch (type) {
	case CONTROL_SETTINGS_PART:
		buf_add(&c->parts, payload);
		return;
	case CONTROL_SETTINGS_END:
		on_reload(c);
		return;
	case CONTROL_DIED:
		on_died(c, payload);
		return;
	case CONTROL_STOP:
		begin_stop(c);
		return;
	}
}

static void
on_end(void *arg, struct ipc *ipc, enum err why)
{
	struct role_ctx *c = arg;

	/* master died, or wants us to finish */
	(void)ipc;
	(void)why;
	begin_stop(c);
}

static const struct ipc_ops control_ops = { on_message, on_end };

static void
prepare_process(void)
{
	struct rlimit r;

	(void)signal(SIGPIPE, SIG_IGN);
	/* these reach the whole group of a terminal; master decides */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	/* else each open index costs 148 KiB instead of 14 */
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
	/* else each thread of a pool keeps 150 KiB of its own */
	(void)mallopt(M_ARENA_MAX, ARENAS);
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max < FILES_MAX ? r.rlim_max : FILES_MAX;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
	tzset(); /* reads a file, which the cage forbids */
}

static enum err
enter(struct role_ctx *c)
{
	struct role_cage cage = c->role->cage;
	struct cage_plan plan = {
		.cage = &cage, .settings = c->settings, .user = c->role->user(c->settings)
	};
	enum err e;

	if (c->role->cage_of != NULL)
		c->role->cage_of(c->settings, &cage);
	e = cage_enter(&plan);
	if (e != ERR_OK) {
		log_event(LVL_ERROR, "role.cage", log_z("reason", plan.reason));
		return e;
	}
	if (plan.landlock_none)
		log_event(LVL_WARN, "role.cage",
			log_z("reason", "this kernel has no Landlock; file access is kept apart by "
					"users only"));
	c->chrooted = plan.chrooted;
	return ERR_OK;
}

static enum err
begin(struct role_ctx *c)
{
	const char *step = "init";
	enum err e;

	c->loop = loop_new();
	loop_timer_init(&c->stop_timer, c->loop, on_stop_timer, c);
	loop_timer_init(&c->leave_timer, c->loop, on_leave_timer, c);
	/* before the cage: its descriptor and handler */
	loop_signal_start(&c->term, c->loop, SIGTERM, on_term, c);
	e = c->role->init != NULL ? c->role->init(c) : ERR_OK;
	if (e == ERR_OK) {
		step = "cage";
		e = enter(c);
	}
	if (e == ERR_OK) {
		step = "start";
		c->control = ipc_new(c->loop, CONTROL_FD, &control_ops, c);
		e = c->role->start(c);
	}
	if (e == ERR_OK)
		e = ipc_send(c->control, CONTROL_READY, STR_EMPTY, NULL, 0);
	if (e != ERR_OK)
		log_event(LVL_ERROR, "role.failed", log_z("step", step), log_e("res", e));
	return e;
}

static void
fini(struct role_ctx *c)
{
	if (c->loop != NULL) {
		loop_timer_stop(&c->stop_timer);
		loop_timer_stop(&c->leave_timer);
		loop_signal_stop(&c->term);
		(void)signal(SIGTERM, SIG_IGN); /* we are leaving already */
		ipc_free(c->control);
		loop_free(c->loop);
	}
	for (size_t i = 0; i < c->all_count; i++)
		settings_free(c->all[i]);
	free(c->all);
	counts_close(c->counts);
	buf_fini(&c->parts);
}

/* Looks at the settings and ends; see check and probe in role.h. */
static enum err
try_settings(struct role_ctx *c, bool online)
{
	struct buf why;
	enum err e;

	log_set_level(LVL_WARN);
	c->loop = loop_new();
	e = enter(c);
	buf_init(&why, 64 * 1024);
	if (e == ERR_OK)
		e = c->role->check(c, &why);
	if (why.n > 0)
		(void)dprintf(2, "%.*s\n", STR_FMT(buf_str(&why)));
	buf_reset(&why);
	if (e == ERR_OK && online && c->role->probe != NULL)
		e = c->role->probe(c, &why);
	(void)dprintf(2, "%.*s", STR_FMT(buf_str(&why)));
	buf_fini(&why);
	loop_free(c->loop);
	c->loop = NULL;
	return e;
}

int
role_main(int argc, char **argv, const struct role *r)
{
	struct role_ctx c = { .role = r, .log_fd = -1 };
	struct stat st;
	enum err e;

	struct str option = argc == 2 ? str_of(argv[1]) : STR_EMPTY;
	bool online = str_eq(option, STR("--check-online"));
	bool trial = (online || str_eq(option, STR("--check"))) && r->check != NULL;

	if ((argc > 1 && !trial) || fstat(CONTROL_FD, &st) != 0 || !S_ISSOCK(st.st_mode)) {
		(void)fprintf(stderr, "postroom-%s is started by `postroom serve`\n", r->name);
		return 2;
	}
	(void)fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
	prepare_process();
	log_setup(r->name, LVL_INFO, 2);
	buf_init_secret(&c.parts, CONTROL_SETTINGS_MAX);
	e = receive_all(&c);
	if (e == ERR_OK && trial)
		e = try_settings(&c, online);
	else if (e == ERR_OK)
		e = begin(&c);
	else if (e != ERR_EOF)
		log_event(LVL_ERROR, "role.failed", log_z("step", "settings"), log_e("res", e));
	if (e == ERR_OK && !trial) {
		log_event(LVL_INFO, "role.ready", log_n("worker", c.worker));
		log_gather(true);
		loop_run(c.loop);
		log_gather(false);
		log_event(LVL_INFO, "role.end", log_n("worker", c.worker));
	}
	fini(&c);
	/* the search for leaks would need /proc, which is outside the chroot */
	if (CAGE_SANITIZED && c.chrooted)
		_exit(e == ERR_OK ? 0 : 1);
	return e == ERR_OK || e == ERR_EOF ? 0 : 1;
}
