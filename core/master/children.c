/* Starting, feeding, restarting and stopping the role processes; see children.h. serve.c owns it.
 * Invariant: a dead process is told to the others before it is started again, and while stopping
 * nothing is started. */
#include "core/master/children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/counts.h"
#include "core/event/ipc.h"
#include "core/role/control.h"

enum {
	BACKOFF_MIN_MS = 100,
	LIFE_MS = 30000, /* who lived as long starts over with the shortest wait */
	KILL_MS = 15000,
	PHASES = 5,
};

struct spec {
	const char *name;
	unsigned bit;
	unsigned phase; /* of stopping */
	bool counts;	/* its workers count together: core/event/counts.h */
};

static const struct spec specs[] = {
	{ "auth", ROLE_AUTH, 3, false },
	{ "authworker", ROLE_AUTHWORKER, 4, false },
	{ "lmtp", ROLE_LMTP, 2, false },
	{ "imap", ROLE_IMAP, 0, true }, /* with the gate: imap says good-bye, the gate carries it */
	{ "queue", ROLE_QUEUE, 1, false },
	{ "relay", ROLE_RELAY, 2, false },
	{ "resolver", ROLE_RESOLVER, 1, false },
	{ "smtp", ROLE_SMTP, 0, true },
	{ "gate", ROLE_GATE, 0, true },
};

/* The answer to new settings of a process that was not running: it starts with them, or not. */
enum restart {
	RESTART_NONE,
	RESTART_DUE,   /* a process begins that has them */
	RESTART_BEGUN, /* it says that it is ready */
};

struct child {
	struct children *all;
	const struct spec *spec;
	unsigned worker, worker_count;
	int counts_fd; /* of all workers of the role; -1: none */
	pid_t pid;     /* 0: not running */
	struct ipc *control;
	struct loop_timer timer; /* restart, or kill */
	int64_t backoff_ms;
	int64_t started_ms;
	bool ready;
	unsigned due; /* answers to new settings, the newest last */
	enum restart restart;
};

struct children {
	struct children_options o;
	struct child *v;
	size_t n;
	bool told_ready;
	bool settling; /* on_settled is due */
	bool stopping;
	unsigned phase;
};

static void
start_child(struct child *c);

static unsigned
count_of(const struct settings *s, unsigned bit)
{
	switch (bit) {
	case ROLE_IMAP:
		return (unsigned)s->imap.workers;
	case ROLE_GATE:
		return (unsigned)s->imap.gate_workers;
	case ROLE_SMTP:
		return (unsigned)s->smtp.workers;
	case ROLE_LMTP:
		return (unsigned)s->lmtp.workers;
	case ROLE_AUTHWORKER:
		return settings_worker_sections(s) != 0 ? (unsigned)s->worker.processes : 0;
	case ROLE_RELAY:
		return s->outbound.enabled ? 1 : 0;
	case ROLE_RESOLVER:
		return settings_smtp_asks_dns(s) ? 1 : 0;
	}
	return 1;
}

/* A message that cannot be sent means that the process is gone; its death brings it back. */
static void
send_to(struct child *c, enum control_msg type, struct str payload, int fd)
{
	enum err e;
	int copy = -1;

	if (fd >= 0)
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && copy < 0)
		e = ERR_TEMP;
	else
		e = ipc_send(c->control, (uint32_t)type, payload, &copy, fd >= 0 ? 1 : 0);
	if (e != ERR_OK && e != ERR_EOF)
		log_event(LVL_ERROR, "master.control", log_z("to", c->spec->name), log_e("res", e));
}

static void
send_settings(struct child *c)
{
	struct buf packed;
	struct str rest;

	buf_init_secret(&packed, CONTROL_SETTINGS_MAX);
	settings_pack(c->all->o.settings, c->spec->bit, &packed);
	for (rest = buf_str(&packed); rest.n != 0; rest = str_from(rest, CONTROL_PART_BYTES))
		send_to(c, CONTROL_SETTINGS_PART, str_sub(rest, 0, CONTROL_PART_BYTES), -1);
	send_to(c, CONTROL_SETTINGS_END, STR_EMPTY, -1);
	buf_fini(&packed);
}

static void
send_listeners(struct child *c)
{
	const struct sockets *k = c->all->o.sockets;
	struct buf b;

	buf_init(&b, 256);
	for (size_t i = 0; i < k->n; i++) {
		const struct bound *v = &k->v[i];
		if (v->role != c->spec->bit || (v->worker >= 0 && v->worker != (int)c->worker))
			continue;
		buf_reset(&b);
		ipc_put_str(&b, str_of(v->protocol));
		ipc_put_u64(&b, (uint64_t)v->tls);
		send_to(c, CONTROL_LISTENER, buf_str(&b), v->fd);
	}
	buf_fini(&b);
}

static void
feed(struct child *c)
{
	struct buf b;

	buf_init(&b, 64);
	ipc_put_u64(&b, c->worker);
	ipc_put_u64(&b, c->worker_count);
	send_to(c, CONTROL_START, buf_str(&b), c->all->o.log_socket);
	buf_fini(&b);
	if (c->counts_fd >= 0)
		send_to(c, CONTROL_COUNTS, STR_EMPTY, c->counts_fd);
	send_settings(c);
	send_listeners(c);
	send_to(c, CONTROL_GO, STR_EMPTY, -1);
}

static void
check_ready(struct children *all)
{
	if (all->told_ready)
		return;
	for (size_t i = 0; i < all->n; i++)
		if (!all->v[i].ready)
			return;
	all->told_ready = true;
	all->o.on_ready(all->o.arg);
}

static void
check_settled(struct children *all)
{
	if (!all->settling || all->stopping)
		return;
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].due != 0 || all->v[i].restart != RESTART_NONE)
			return;
	all->settling = false;
	all->o.on_settled(all->o.arg);
}

static void
refused(struct child *c, struct str why)
{
	if (c->all->settling && !c->all->stopping)
		c->all->o.on_refused(c->all->o.arg, c->spec->name, c->worker, why);
}

static void
on_reloaded(struct child *c, struct str payload)
{
	uint64_t e;
	struct str why = STR_EMPTY;

	if (c->due == 0 || --c->due != 0)
		return; /* of settings that are not the newest any more */
	if (ipc_get_number(&payload, INT32_MAX, &e) != ERR_OK ||
		ipc_get_str(&payload, &why) != ERR_OK)
		e = ERR_SYNTAX;
	if (e != (uint64_t)ERR_OK)
		refused(c, why.n != 0 ? why : STR("no reason given"));
	check_settled(c->all);
}

static void
on_message(void *arg, struct ipc *ipc, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct child *c = arg;

	(void)ipc;
	for (size_t i = 0; i < fds_count; i++)
		(void)close(fds[i]);
	if (type == CONTROL_READY) {
		c->ready = true;
		c->restart = RESTART_NONE;
		check_ready(c->all);
		check_settled(c->all);
	} else if (type == CONTROL_RELOADED) {
		on_reloaded(c, payload);
	}
}

/* Who was still starting had older settings for it: the next one starts with these. */
static void
ended_unanswered(struct child *c)
{
	if (c->restart == RESTART_BEGUN)
		refused(c, STR("it does not start; see the log"));
	else if (c->due == 0)
		return;
	else if (c->ready)
		refused(c, STR("it ended instead of answering"));
	c->restart = c->due != 0 && !c->ready ? RESTART_DUE : RESTART_NONE;
	c->due = 0;
	check_settled(c->all);
}

static void
on_end(void *arg, struct ipc *ipc, enum err why)
{
	struct child *c = arg;

	/* it is about to die; SIGCHLD follows */
	(void)why;
	ipc_free(ipc);
	c->control = NULL;
	ended_unanswered(c);
}

static const struct ipc_ops control_ops = { on_message, on_end };

void
children_exec(
	const char *libexec_dir, const char *role, const char *option, int control, int output_fd)
{
	sigset_t none;
	char program[1024], name[64];
	char *argv[3] = { name, (char *)(uintptr_t)option, NULL };
	int null;

	(void)snprintf(name, sizeof name, "postroom-%s", role);
	(void)snprintf(program, sizeof program, "%s/%s", libexec_dir, name);

	/* a signal for the terminal's or the caller's whole group is master's to handle, in order
	 */
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDWR);
	if (null >= 0)
		(void)dup2(null, 0);
	(void)dup2(output_fd, 1);
	(void)dup2(output_fd, 2);
	if (control == CONTROL_FD)
		(void)fcntl(control, F_SETFD, 0);
	else
		(void)dup2(control, CONTROL_FD);
	(void)execv(program, argv);
	(void)dprintf(2, "postroom: %s: %s\n", program, strerrordesc_np(errno));
	_exit(127);
}

static void
start_later(struct child *c)
{
	int64_t max = c->all->o.settings->restart_wait_max;

	loop_timer_start(&c->timer, c->backoff_ms);
	c->backoff_ms = c->backoff_ms * 2 < max ? c->backoff_ms * 2 : max;
}

static void
start_child(struct child *c)
{
	int fds[2];

	c->started_ms = loop_now_ms(c->all->o.loop);
	if (ipc_pair(fds) != ERR_OK) {
		log_event(LVL_ERROR, "master.start", log_z("child", c->spec->name),
			log_z("reason", strerrordesc_np(errno)));
		start_later(c);
		return;
	}
	c->pid = fork();
	if (c->pid == 0)
		children_exec(
			c->all->o.libexec_dir, c->spec->name, NULL, fds[1], c->all->o.stderr_fd);
	(void)close(fds[1]);
	if (c->pid < 0) {
		log_event(LVL_ERROR, "master.start", log_z("child", c->spec->name),
			log_z("reason", strerrordesc_np(errno)));
		c->pid = 0;
		(void)close(fds[0]);
		start_later(c);
		return;
	}
	c->ready = false;
	if (c->restart == RESTART_DUE)
		c->restart = RESTART_BEGUN;
	c->control = ipc_new(c->all->o.loop, fds[0], &control_ops, c);
	log_event(LVL_INFO, "master.start", log_z("child", c->spec->name),
		log_n("worker", c->worker), log_n("child_pid", c->pid));
	feed(c);
}

static void
on_timer(struct loop_timer *t)
{
	struct child *c = t->arg;

	if (c->pid == 0) {
		if (!c->all->stopping)
			start_child(c);
		return;
	}
	log_event(LVL_WARN, "master.kill", log_z("child", c->spec->name),
		log_n("worker", c->worker), log_n("child_pid", c->pid),
		log_z("reason", "did not stop in time"));
	(void)kill(c->pid, SIGKILL);
}

/* Go on with stopping: the next phase as soon as the one before is over. */
static void
proceed_stop(struct children *all)
{
	for (; all->phase < PHASES; all->phase++)
		for (size_t i = 0; i < all->n; i++)
			if (all->v[i].spec->phase == all->phase && all->v[i].pid != 0)
				return;
	all->o.on_stopped(all->o.arg);
}

static void
ask_phase(struct children *all)
{
	unsigned asked;

	do {
		asked = all->phase;
		for (size_t i = 0; i < all->n; i++) {
			struct child *c = &all->v[i];
			if (c->spec->phase != asked || c->pid == 0)
				continue;
			if (c->control != NULL)
				send_to(c, CONTROL_STOP, STR_EMPTY, -1);
			else
				(void)kill(c->pid, SIGTERM);
			loop_timer_start(&c->timer, KILL_MS);
		}
		proceed_stop(all);
	} while (all->phase != asked && all->phase < PHASES);
}

static void
tell_death(struct children *all, const struct child *dead, pid_t pid)
{
	struct buf b;

	buf_init(&b, 64);
	ipc_put_str(&b, str_of(dead->spec->name));
	ipc_put_u64(&b, (uint64_t)pid);
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].control != NULL)
			send_to(&all->v[i], CONTROL_DIED, buf_str(&b), -1);
	buf_fini(&b);
}

static void
buried(struct child *c, int status)
{
	struct children *all = c->all;
	pid_t pid = c->pid;
	bool killed = WIFSIGNALED(status);
	bool expected = all->stopping && !killed && WEXITSTATUS(status) == 0;

	c->pid = 0;
	loop_timer_stop(&c->timer);
	ipc_free(c->control);
	c->control = NULL;
	ended_unanswered(c);
	c->ready = false;
	log_event(expected ? LVL_INFO : LVL_WARN, expected ? "master.ended" : "master.died",
		log_z("child", c->spec->name), log_n("worker", c->worker), log_n("child_pid", pid),
		log_n(killed ? "signal" : "status",
			killed ? WTERMSIG(status) : WEXITSTATUS(status)));
	if (killed || WEXITSTATUS(status) != 0)
		tell_death(all, c, pid);
	if (all->stopping) {
		unsigned before = all->phase;
		proceed_stop(all);
		if (all->phase != before && all->phase < PHASES)
			ask_phase(all);
		return;
	}
	if (loop_now_ms(all->o.loop) - c->started_ms >= LIFE_MS)
		c->backoff_ms = BACKOFF_MIN_MS;
	start_later(c);
}

void
children_reap(struct children *all)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < all->n; i++)
			if (all->v[i].pid == pid) {
				buried(&all->v[i], status);
				break;
			}
}

static void
add_role(struct children *all, const struct spec *spec, unsigned count)
{
	int counts = spec->counts && count > 0 ? counts_make(count) : -1;

	if (spec->counts && count > 0 && counts < 0)
		log_event(LVL_WARN, "master.counts", log_z("child", spec->name),
			log_z("reason", "no memory to share: each worker counts for itself"));
	for (unsigned i = 0; i < count; i++) {
		struct child *c = &all->v[all->n++];
		c->counts_fd = counts;
		c->all = all;
		c->spec = spec;
		c->worker = i;
		c->worker_count = count;
		c->backoff_ms = BACKOFF_MIN_MS;
		loop_timer_init(&c->timer, all->o.loop, on_timer, c);
	}
}

struct children *
children_new(const struct children_options *o)
{
	struct children *all = xcalloc(1, sizeof *all);
	size_t total = 0;

	all->o = *o;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		total += count_of(o->settings, specs[i].bit);
	all->v = xcalloc(total, sizeof *all->v);
	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		add_role(all, &specs[i], count_of(o->settings, specs[i].bit));
	for (size_t i = 0; i < all->n; i++)
		start_child(&all->v[i]);
	return all;
}

void
children_free(struct children *all)
{
	if (all == NULL)
		return;
	for (size_t i = 0; i < all->n; i++) {
		loop_timer_stop(&all->v[i].timer);
		ipc_free(all->v[i].control);
		if (all->v[i].counts_fd >= 0 && all->v[i].worker == 0)
			(void)close(all->v[i].counts_fd);
	}
	free(all->v);
	free(all);
}

void
children_settings(struct children *all, const struct settings *s)
{
	all->o.settings = s;
	all->settling = true;
	for (size_t i = 0; i < all->n; i++) {
		struct child *c = &all->v[i];
		if (c->control != NULL) {
			c->due++;
			c->restart = RESTART_NONE;
			send_settings(c);
			continue;
		}
		c->restart = RESTART_DUE;
		if (c->pid == 0)
			loop_timer_start(&c->timer, 0);
	}
	check_settled(all);
}

void
children_stop(struct children *all)
{
	if (all->stopping)
		return;
	all->stopping = true;
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].pid == 0)
			loop_timer_stop(&all->v[i].timer);
	ask_phase(all);
}
