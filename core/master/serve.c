/* `postroom serve`: the master in the foreground. It parses the configuration once, binds every
 * socket, starts the roles and stays. Invariant: a configuration that does not load never replaces
 * one that did, and master itself never reads a byte from the network. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/loop.h"
#include "core/master/children.h"
#include "core/master/commands.h"
#include "core/master/fixed.h"
#include "core/master/logsink.h"
#include "core/master/reload.h"
#include "core/master/system.h"

struct server {
	const char *config;
	struct loop *loop;
	struct settings *settings;
	struct system_ids ids;
	struct sockets sockets;
	struct logsink *log;
	struct children *children;
	struct loop_signal hup, term, intr, chld;
	char libexec[1024];
	struct reload_state reload;
	int lock_fd;
	bool stopping;
};

/* What the roles cannot find out in their cages is settled here, before slices are packed. */
static void
resolve(struct settings *s)
{
	unsigned cores = system_cores();
	int64_t *const counts[] = { &s->imap.workers, &s->imap.gate_workers, &s->smtp.workers,
		&s->lmtp.workers };
	char name[256] = "localhost";

	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (*counts[i] == 0)
			*counts[i] = cores;
	if (s->hostname.n != 0)
		return;
	(void)gethostname(name, sizeof name - 1);
	if (arena_str(s->memory, str_of(name), &s->hostname) != ERR_OK)
		s->hostname = STR("localhost");
}

static void
log_lines(enum log_level level, const char *ev, struct str lines)
{
	struct str line;

	while (lines.n != 0) {
		(void)str_cut(lines, '\n', &line, &lines);
		if (line.n != 0)
			log_event(level, ev, log_s("reason", line));
	}
}

static void
use_log(const struct server *m)
{
	enum log_level level = LVL_INFO;

	if (log_level_parse(m->settings->log.level, &level) != ERR_OK)
		level = LVL_INFO;
	log_setup("master", level, logsink_fd(m->log));
}

/* Settings whose change takes hold only when the server is started again. */
static void
warn_fixed(struct server *m, const struct settings *new)
{
	m->reload.waits = !fixed_same(m->settings, new);
	if (m->reload.waits)
		log_event(LVL_WARN, "master.reload",
			log_z("reason", "changed addresses, worker counts, users, folders, parts, "
					"names, sizes of smtp and settings of the store take hold "
					"when the server is started again"));
}

/* The sockets, the lock and the owners of both stay what they were bound as: a role that starts
 * later, and the end of the server, must find them there. */
static enum err
keep_fixed(const struct settings *old, struct settings *new)
{
	const struct {
		const struct str *from;
		struct str *to;
	} table[] = {
		{ &old->runtime_dir, &new->runtime_dir },
		{ &old->group, &new->group },
		{ &old->user_auth, &new->user_auth },
		{ &old->user_gate, &new->user_gate },
		{ &old->user_smtp, &new->user_smtp },
		{ &old->user_queue, &new->user_queue },
		{ &old->user_relay, &new->user_relay },
		{ &old->user_worker, &new->user_worker },
		{ &old->user_mail, &new->user_mail },
	};
	enum err e = ERR_OK;

	/* auth shares out as many helpers as there are */
	new->worker.processes = old->worker.processes;
	for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(table); i++)
		e = arena_str(new->memory, *table[i].from, table[i].to);
	return e;
}

/* For `postroom reload`, which waits for it. */
static void
write_state(const struct server *m)
{
	if (reload_write(m->settings, &m->reload) != ERR_OK)
		log_event(LVL_ERROR, "master.reload", log_z("reason", strerrordesc_np(errno)));
}

static void
begin_reload(struct server *m)
{
	m->reload.begun++;
	m->reload.waits = false;
	buf_reset(&m->reload.refused);
	write_state(m);
}

static void
end_reload(struct server *m)
{
	m->reload.done = m->reload.begun;
	write_state(m);
}

static void
on_refused(void *arg, const char *role, unsigned worker, struct str why)
{
	struct server *m = arg;

	log_event(LVL_ERROR, "master.reload_refused", log_z("child", role), log_n("worker", worker),
		log_s("reason", why));
	buf_addf(&m->reload.refused, "%s: ", role);
	buf_add_shown(&m->reload.refused, why);
	buf_addc(&m->reload.refused, '\n');
}

static void
on_settled(void *arg)
{
	struct server *m = arg;
	bool good = m->reload.refused.n == 0;

	log_event(good ? LVL_INFO : LVL_WARN, "master.reloaded",
		log_z("res", good ? "ok" : "refused"));
	end_reload(m);
}

static void
reload(struct server *m)
{
	struct settings *s = NULL, *old;
	struct buf why;
	enum err e;

	if (m->stopping)
		return;
	begin_reload(m);
	buf_init(&why, 64 * 1024);
	e = settings_load(m->config, true, &s, &why);
	if (e == ERR_OK) {
		resolve(s);
		warn_fixed(m, s);
		e = keep_fixed(m->settings, s);
	}
	if (e != ERR_OK) {
		settings_free(s);
		if (why.n == 0)
			buf_addf(&why, "%s: %s", m->config, err_name(e));
		log_lines(LVL_ERROR, "master.reload_refused", buf_str(&why));
		buf_add(&m->reload.refused, buf_str(&why));
		buf_fini(&why);
		/* a rotated log is opened again all the same */
		if (logsink_reopen(m->log, m->settings->log.file) != ERR_OK)
			log_event(LVL_ERROR, "master.log", log_z("reason", strerrordesc_np(errno)));
		end_reload(m);
		return;
	}
	buf_fini(&why);
	if (logsink_reopen(m->log, s->log.file) != ERR_OK)
		log_event(LVL_ERROR, "master.log", log_s("file", s->log.file),
			log_z("reason", strerrordesc_np(errno)));
	old = m->settings;
	m->settings = s;
	use_log(m);
	log_event(LVL_INFO, "master.reload", log_z("file", m->config));
	children_settings(m->children, s);
	settings_free(old);
}

static void
on_hup(struct loop_signal *s, int signum)
{
	(void)signum;
	reload(s->arg);
}

static void
on_stop(struct loop_signal *s, int signum)
{
	struct server *m = s->arg;

	if (m->stopping)
		return;
	m->stopping = true;
	log_event(LVL_INFO, "master.stop", log_n("signal", signum));
	children_stop(m->children);
}

static void
on_child(struct loop_signal *s, int signum)
{
	struct server *m = s->arg;

	(void)signum;
	children_reap(m->children);
}

static void
on_ready(void *arg)
{
	struct server *m = arg;

	log_event(LVL_INFO, "master.ready", log_n("pid", getpid()),
		log_s("runtime_dir", m->settings->runtime_dir));
}

static void
on_stopped(void *arg)
{
	struct server *m = arg;

	loop_stop(m->loop);
}

/* Kept from when the lock can be seen to when there is a handler: `postroom reload` would end us.
 */
static void
mask_hup(int how)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(how, &set, NULL);
}

/* Everything that can fail before the first role starts; the reasons are in why. */
static enum err
prepare(struct server *m, struct buf *why)
{
	const struct settings *s = m->settings;
	struct stat st;
	enum err e;

	if (s->libexec_dir.n != 0)
		(void)snprintf(m->libexec, sizeof m->libexec, "%.*s", STR_FMT(s->libexec_dir));
	else
		(void)snprintf(m->libexec, sizeof m->libexec, "%s", POSTROOM_LIBEXECDIR);
	if (stat(m->libexec, &st) != 0 || !S_ISDIR(st.st_mode)) {
		buf_addf(why, "%s: no folder of role programs\n", m->libexec);
		return ERR_NOTFOUND;
	}
	e = system_find_ids(s, &m->ids, why);
	if (e == ERR_OK)
		e = system_make_folders(s, &m->ids, why);
	mask_hup(SIG_BLOCK);
	if (e == ERR_OK)
		e = system_lock(s, &m->lock_fd, why);
	if (e == ERR_OK)
		reload_remove(s); /* of a master that died */
	if (e == ERR_OK)
		e = sockets_bind(&m->sockets, s, &m->ids, (unsigned)s->imap.workers, why);
	return e;
}

static void
start_signals(struct server *m)
{
	loop_signal_start(&m->hup, m->loop, SIGHUP, on_hup, m);
	loop_signal_start(&m->term, m->loop, SIGTERM, on_stop, m);
	loop_signal_start(&m->intr, m->loop, SIGINT, on_stop, m);
	loop_signal_start(&m->chld, m->loop, SIGCHLD, on_child, m);
	mask_hup(SIG_UNBLOCK);
}

static void
run(struct server *m)
{
	struct children_options o = {
		.loop = m->loop,
		.settings = m->settings,
		.sockets = &m->sockets,
		.libexec_dir = m->libexec,
		.log_socket = logsink_socket(m->log),
		.stderr_fd = logsink_stderr(m->log),
		.on_ready = on_ready,
		.on_stopped = on_stopped,
		.on_refused = on_refused,
		.on_settled = on_settled,
		.arg = m,
	};

	if (!m->ids.root)
		log_event(LVL_WARN, "master.separation", log_n("uid", getuid()),
			log_z("reason", "not started as root: every role runs as this user, and "
					"nothing keeps them apart"));
	start_signals(m);
	m->children = children_new(&o);
	loop_run(m->loop);
	children_free(m->children);
	loop_signal_stop(&m->hup);
	loop_signal_stop(&m->term);
	loop_signal_stop(&m->intr);
	loop_signal_stop(&m->chld);
	logsink_drain(m->log);
	log_event(LVL_INFO, "master.end", log_n("pid", getpid()));
}

int
command_serve(const struct command_args *a)
{
	struct server m = { .config = a->config, .lock_fd = -1 };
	struct buf why;
	enum err e;

	m.settings = command_settings(a, true);
	if (m.settings == NULL)
		return EXIT_CONFIG;
	(void)umask(0027);
	resolve(m.settings);
	m.loop = loop_new();
	buf_init(&why, 64 * 1024);
	buf_init(&m.reload.refused, RELOAD_TEXT_MAX);
	e = prepare(&m, &why);
	if (e == ERR_OK && logsink_new(m.loop, m.settings->log.file, &m.log) != ERR_OK) {
		buf_addf(&why, "%.*s: %s\n", STR_FMT(m.settings->log.file), strerrordesc_np(errno));
		e = ERR_TEMP;
	}
	if (e == ERR_OK) {
		use_log(&m);
		run(&m);
	} else {
		(void)fprintf(stderr, "postroom: %.*s", STR_FMT(buf_str(&why)));
	}
	sockets_close(&m.sockets, m.settings);
	logsink_free(m.log);
	if (m.lock_fd >= 0) {
		reload_remove(m.settings);
		system_unlock(m.settings, m.lock_fd);
	}
	buf_fini(&m.reload.refused);
	settings_free(m.settings);
	loop_free(m.loop);
	buf_fini(&why);
	return e == ERR_OK ? 0 : 1;
}
