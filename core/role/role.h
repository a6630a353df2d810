#ifndef POSTROOM_ROLE_ROLE_H
#define POSTROOM_ROLE_ROLE_H

#include "config/settings.h"
#include "core/event/counts.h"
#include "core/event/ipc.h"
#include "core/event/listener.h"
#include "core/event/loop.h"

/* The skeleton of a role: a program that master starts. It receives its slice of
 * the settings, its listening sockets and the log socket over the control socket (fd 3),
 * opens what it needs, goes into its cage, and runs one loop until master says stop
 * (or the control socket ends: finish and leave).
 *
 *   int main(int argc, char **argv) { return role_main(argc, argv, &imap_role); } */
struct role_ctx;

enum listen_tls { LISTEN_TLS_NONE, LISTEN_TLS_STARTTLS, LISTEN_TLS_IMPLICIT };

/* A listening socket that master bound for this role. */
struct role_listener {
	char protocol[24]; /* "imap", "submission", "smtp", "lmtp", "auth", "auth-userdb",
			      "directory", "handover" … */
	enum listen_tls tls;
	int fd; /* owned by the role from start() on */
};

/* Privileges given up by role_main between init and start; init must not make threads. User and
 * chroot are skipped, and master says so in the log, when not started as root. */
struct role_cage {
	const char *chroot_below_runtime; /* "gate": chroot to <runtime_dir>/gate; NULL: none */
	bool no_file_writes;		  /* RLIMIT_FSIZE 0 */
	bool limit_message_size;	  /* RLIMIT_FSIZE: smtp.message_max and 2 MiB of header */
	bool landlock_mail_root;	  /* file access only below mail_root */
	bool landlock_no_files;		  /* no file can be opened, made or removed at all */
	const int *allow_syscalls; /* seccomp: numbers (SYS_…) beyond the common ones, ends -1;
				      NULL: no list. The common ones: descriptors, sockets,
				      memory, threads, time; no open, no execve. */
	bool no_inet;		   /* socket() only AF_UNIX; without a list, no execve either */
	bool no_exec;		   /* no other program */
	bool stay_root;		   /* keep the user that master runs as */
	const struct str_list *groups; /* more supplementary groups; NULL: none */
};
/* Ready lists for allow_syscalls: nothing more; opening, renaming, linking, watching files. */
extern const int role_syscalls_common[];
extern const int role_syscalls_files[];

struct role {
	const char *name; /* "imap" */
	unsigned bit;	  /* ROLE_IMAP */
	/* The system user's name out of the settings. */
	struct str (*user)(const struct settings *s);
	struct role_cage cage;
	/* Changes a copy of cage by what the settings need. NULL: as it is. */
	void (*cage_of)(const struct settings *s, struct role_cage *cage);
	/* `postroom check`: in the cage, with a loop that does not run. Would start() work with
	 * these settings? What not, as text in why. NULL: not asked. */
	enum err (*check)(struct role_ctx *c, struct buf *why);
	/* `postroom check --online`, once check was content: what do the servers say that the
	 * settings name? It may run the loop. Lines in why, also of what is well; ends with "\n".
	 * NULL: nothing to ask. */
	enum err (*probe)(struct role_ctx *c, struct buf *why);
	/* Before the cage: open files, load certificates. */
	enum err (*init)(struct role_ctx *c);
	/* In the cage, with the loop there: take role_listeners and begin. */
	enum err (*start)(struct role_ctx *c);
	/* New settings arrived (role_settings gives them); sessions go on. What does not take hold
	 * is an error, with its reason in why: master logs it, and `postroom reload` fails. NULL:
	 * nothing to do. */
	enum err (*reload)(struct role_ctx *c, struct buf *why);
	/* Another process of ours died: role's name, pid. NULL: ignored. */
	void (*child_died)(struct role_ctx *c, struct str role, int pid);
	/* A message of this role's own kind from master (type >= ROLE_MSG_PRIVATE). NULL: none. */
	void (*message)(struct role_ctx *c, uint32_t type, struct str payload, const int *fds,
		size_t fds_count);
	/* Finish: stop accepting, end sessions politely, then call role_leave. After 10 s
	 * role_main leaves by itself. NULL: leave at once. */
	void (*stop)(struct role_ctx *c);
};

enum { ROLE_MSG_PRIVATE = 1000 };

int
role_main(int argc, char **argv, const struct role *r);

struct loop *
role_loop(struct role_ctx *c);
/* The newest; what older ones pointed at stays valid until the role ends. */
const struct settings *
role_settings(const struct role_ctx *c);
const struct role_listener *
role_listeners(const struct role_ctx *c, size_t *count_out);
/* This worker's number, from 0, and how many there are. */
unsigned
role_worker(const struct role_ctx *c);
unsigned
role_worker_count(const struct role_ctx *c);
/* What the workers of this role count together; NULL: each for itself. */
struct counts *
role_counts(const struct role_ctx *c);
/* For the role's own state. */
void
role_set_data(struct role_ctx *c, void *data);
void *
role_data(const struct role_ctx *c);
/* The path of a socket below runtime_dir as this process sees it now: "gate/auth" becomes
 * "/auth" once the cage chroots to <runtime_dir>/gate, and <runtime_dir>/gate/auth where it does
 * not. Replaces out, NUL behind it. ERR_LIMIT; ERR_NOTFOUND: outside the chroot. */
MUST_USE enum err
role_runtime_path(const struct role_ctx *c, const char *name, struct buf *out);
/* The uid behind a user_… setting, for checks of peers; this process's own when not started as
 * root. Only in init: the cage hides the user database. ERR_NOTFOUND. */
MUST_USE enum err
role_uid(const struct role_ctx *c, struct str user, uid_t *uid_out);
/* The channel to master. */
struct ipc *
role_control(struct role_ctx *c);
/* Ends the loop; role_main returns 0. */
void
role_leave(struct role_ctx *c);
/* The same 200 ms later: streams that were closed just now still send their last words. */
void
role_leave_soon(struct role_ctx *c);

#endif
