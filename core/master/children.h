#ifndef POSTROOM_MASTER_CHILDREN_H
#define POSTROOM_MASTER_CHILDREN_H

#include "core/event/loop.h"
#include "core/master/sockets.h"

/* The role processes: started by fork and exec, given their slice of the settings and their
 * sockets, started again when they die, stopped in order. */
struct children;

struct children_options {
	struct loop *loop;
	const struct settings *settings; /* kept until children_settings gives newer ones */
	const struct sockets *sockets;	 /* kept */
	const char *libexec_dir;	 /* kept */
	int log_socket;			 /* borrowed for good */
	int stderr_fd;			 /* the same */
	void (*on_ready)(void *arg);	 /* every process said that it is ready: once */
	void (*on_stopped)(void *arg);	 /* after children_stop: the last one ended */
	/* After children_settings: role keeps some or all of its older settings, or ended. */
	void (*on_refused)(void *arg, const char *role, unsigned worker, struct str why);
	/* After children_settings: everybody has answered, is ready for the first time with them,
	 * or has ended. Maybe inside the call. */
	void (*on_settled)(void *arg);
	void *arg;
};

/* Starts everything. */
struct children *
children_new(const struct children_options *o);
void
children_free(struct children *c);
/* New settings for all that run, and for all that start from now on; who waits to be started again
 * is started at once. Called again before the answers came, on_settled is of the newest settings
 * only. */
void
children_settings(struct children *c, const struct settings *s);
/* smtp and gate first, then queue, imap, lmtp, auth, its helpers; who does not leave within 15 s
 * is killed. */
void
children_stop(struct children *c);
/* Collects the dead: call it on SIGCHLD. */
void
children_reap(struct children *c);

/* In a new process: becomes libexec_dir/postroom-ROLE, with control as its control socket and its
 * output in output_fd. option: an argument, or NULL. Does not return. */
__attribute__((noreturn)) void
children_exec(
	const char *libexec_dir, const char *role, const char *option, int control, int output_fd);

#endif
