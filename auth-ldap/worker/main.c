/* postroom-authworker: answers auth's questions about passwd-files, PAM and databases, one at a
 * time, and may block while it does: that is what it is for. master starts worker.processes of them
 * on one listening socket. Invariants: one connection at a time, and only of auth's own user; a
 * question that takes longer than worker.timeout ends the process, and master starts another. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "auth-ldap/worker/worker.h"
#include "core/authclient/wire.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/role/role.h"

enum { ARENA_BYTES = 8 << 20, OUT_BYTES = 256 * 1024, SEND_MS = 10000, IN_BYTES = 16384 };

struct worker {
	struct role_ctx *ctx;
	struct listener *listener;
	uid_t auth_uid;
	struct role_cage cage; /* as it was entered */
	int fd;		       /* -1: none */
	struct loop_io io;
	struct buf in, out;
	struct arena *question, *answer;
};

static struct str
user_of(const struct settings *s)
{
	return s->user_worker;
}

/* What this configuration does not need is out of reach: other programs for anything but modules
 * of PAM, the network for passwd-files. */
static void
cage_of(const struct settings *s, struct role_cage *cage)
{
	bool pam = s->pams_count != 0;

	cage->no_file_writes = cage->no_exec = !pam;
	cage->no_inet = !pam && s->sqls_count == 0;
	cage->groups = &s->worker.groups;
	cage->stay_root = s->worker.root;
}

/* The process ends when time is over: nothing else stops a module that hangs. */
static void
set_alarm(int64_t ms)
{
	struct itimerval t = { .it_value = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 } };

	(void)setitimer(ITIMER_REAL, &t, NULL);
}

static void
hang_up(struct worker *w)
{
	if (w->fd < 0)
		return;
	loop_io_set(&w->io, 0);
	(void)close(w->fd);
	w->fd = -1;
	buf_release(&w->in);
	buf_release(&w->out);
	listener_set_accepting(w->listener, true);
}

/* Waits until auth has taken everything: nobody else is waiting here. */
static enum err
send_out(struct worker *w)
{
	while (w->out.n != 0) {
		struct str all = buf_str(&w->out);
		struct pollfd p = { .fd = w->fd, .events = POLLOUT };
		ssize_t n = send(w->fd, all.p, all.n, MSG_NOSIGNAL);
		if (n > 0) {
			buf_consume(&w->out, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && poll(&p, 1, SEND_MS) > 0)
			continue;
		return ERR_TEMP;
	}
	buf_reset(&w->out);
	return ERR_OK;
}

static enum err
flush(struct job *j)
{
	/* who still sends has not run out of time */
	set_alarm(j->settings->worker.timeout);
	return send_out(j->arg);
}

static enum err
run(struct worker *w, struct str line)
{
	const struct settings *s = role_settings(w->ctx);
	struct worker_question q;
	enum err e;

	arena_reset(w->question);
	arena_reset(w->answer);
	e = worker_question_get(line, w->question, &q);
	if (e != ERR_OK)
		return e;
	struct job j = {
		.settings = s, .q = &q, .arena = w->answer, .out = &w->out, .flush = flush, .arg = w
	};

	set_alarm(s->worker.timeout);
	e = job_run(&j);
	set_alarm(0);
	/* the arena's own copy */
	if (q.password.n != 0)
		explicit_bzero((void *)(uintptr_t)q.password.p, q.password.n);
	return e;
}

static void
on_readable(struct loop_io *io, int events)
{
	struct worker *w = io->arg;
	char *at = buf_reserve(&w->in, IN_BYTES);
	struct str line;
	enum err e;
	ssize_t n;

	(void)events;
	n = at != NULL ? recv(w->fd, at, IN_BYTES, 0) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(w);
		return;
	}
	buf_commit(&w->in, (size_t)n);
	while ((e = wire_line(&w->in, WORKER_LINE_MAX, &line)) == ERR_OK) {
		e = run(w, line);
		if (e != ERR_OK)
			break;
		buf_consume(&w->in, line.n + 1);
	}
	if (e != ERR_AGAIN) {
		if (e == ERR_SYNTAX || e == ERR_LIMIT)
			log_event(LVL_ERROR, "authworker.question", log_e("res", e),
				log_z("reason", "makes no sense"));
		hang_up(w);
	}
}

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	const struct worker_answer hello = { .line = WORKER_HELLO };
	struct worker *w = arg;

	if (w->fd >= 0 || !peer->is_unix || peer->uid != w->auth_uid) {
		log_event(LVL_ERROR, "authworker.accept", log_n("uid", peer->uid),
			log_n("peer_pid", peer->pid), log_z("res", "deny"),
			log_z("reason", w->fd >= 0 ? "busy" : "not the auth service"));
		(void)close(fd);
		return;
	}
	w->fd = fd;
	listener_set_accepting(w->listener, false);
	loop_io_init(&w->io, role_loop(w->ctx), fd, on_readable, w);
	loop_io_set(&w->io, LOOP_READ);
	worker_answer_put(&w->out, &hello);
	if (send_out(w) != ERR_OK)
		hang_up(w);
}

static enum err
worker_init(struct role_ctx *r)
{
	struct worker *w = xcalloc(1, sizeof *w);

	role_set_data(r, w);
	w->ctx = r;
	w->fd = -1;
	buf_init_secret(&w->in, 2 * WORKER_LINE_MAX);
	buf_init_secret(&w->out, OUT_BYTES);
	w->question = arena_new(ARENA_BYTES);
	w->answer = arena_new(ARENA_BYTES);
	cage_of(role_settings(r), &w->cage);
	/* libpq would look there for certificates and more */
	(void)setenv("HOME", "/nonexistent", 1);
	/* one that the sanitizers' or PAM's libraries left must not catch it */
	(void)signal(SIGALRM, SIG_DFL);
	return role_uid(r, role_settings(r)->user_auth, &w->auth_uid);
}

static enum err
worker_start(struct role_ctx *r)
{
	struct worker *w = role_data(r);
	size_t n;
	const struct role_listener *l = role_listeners(r, &n);

	if (n != 1) {
		log_event(LVL_ERROR, "authworker.start", log_n("sockets", (int64_t)n),
			log_z("reason", "wants exactly one socket"));
		return ERR_SYNTAX;
	}
	w->listener = listener_new(role_loop(r), l[0].fd, on_accept, w);
	return ERR_OK;
}

static void
worker_stop(struct role_ctx *r)
{
	struct worker *w = role_data(r);

	if (w == NULL)
		return;
	hang_up(w);
	listener_free(w->listener);
	passwd_file_fini();
	sql_fini();
	arena_free(w->question);
	arena_free(w->answer);
	buf_fini(&w->in);
	buf_fini(&w->out);
	role_set_data(r, NULL);
	free(w);
	role_leave(r);
}

static bool
same_groups(const struct str_list *a, const struct str_list *b)
{
	for (size_t i = 0; i < a->n && a->n == b->n; i++)
		if (!str_eq(a->v[i], b->v[i]))
			return false;
	return a->n == b->n;
}

/* A cage only ever gets tighter: settings that need another one need another process, and master
 * starts one as soon as this one is gone. */
static enum err
worker_reload(struct role_ctx *r, struct buf *why UNUSED)
{
	struct worker *w = role_data(r);
	struct role_cage now = { 0 };

	cage_of(role_settings(r), &now);
	if (now.no_file_writes == w->cage.no_file_writes && now.no_inet == w->cage.no_inet &&
		now.stay_root == w->cage.stay_root && same_groups(now.groups, w->cage.groups))
		return ERR_OK;
	log_event(LVL_INFO, "authworker.reload",
		log_z("reason", "the new settings need other privileges"));
	worker_stop(r);
	return ERR_OK;
}

static const struct role worker_role = {
	.name = "authworker",
	.bit = ROLE_AUTHWORKER,
	.user = user_of,
	.cage_of = cage_of,
	.init = worker_init,
	.start = worker_start,
	.reload = worker_reload,
	.stop = worker_stop,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &worker_role);
}
