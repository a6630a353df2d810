/* The cage of a role: user, chroot, limits, Landlock, seccomp; see cage.h. role_main calls it
 * once. The only file that sees libseccomp and Landlock. Invariant: it never reports success with
 * a wall missing that the role asked for, except Landlock where the kernel has none. */
#include "core/role/cage.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/xalloc.h"

enum { MESSAGE_EXTRA = 2 * 1024 * 1024, GROUPS_MAX = 32 };

#define LANDLOCK_TRUNCATE (1ULL << 14) /* kernel 6.2 */
#define LANDLOCK_BASE	  ((1ULL << 13) - 1)

const int role_syscalls_common[] = { -1 };

const int role_syscalls_files[] = { SYS_open, SYS_openat, SYS_openat2, SYS_creat, SYS_access,
	SYS_faccessat, SYS_faccessat2, SYS_stat, SYS_lstat, SYS_unlink, SYS_unlinkat, SYS_rename,
	SYS_renameat, SYS_renameat2, SYS_link, SYS_linkat, SYS_mkdir, SYS_mkdirat, SYS_rmdir,
	SYS_getdents64, SYS_readlink, SYS_readlinkat, SYS_fallocate, SYS_flock, SYS_statfs,
	SYS_fstatfs, SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_msync,
	SYS_fadvise64, SYS_umask, SYS_fchmod, SYS_chmod, SYS_utimensat, SYS_getcwd, SYS_mincore,
	-1 };

static const int common_syscalls[] = { SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64,
	SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_recvfrom, SYS_recvmsg,
	SYS_sendto, SYS_sendmsg, SYS_sendfile, SYS_close, SYS_close_range, SYS_shutdown,
	SYS_socketpair, SYS_connect, SYS_accept, SYS_accept4, SYS_getsockname, SYS_getpeername,
	SYS_getsockopt, SYS_setsockopt, SYS_fcntl, SYS_lseek, SYS_fstat, SYS_newfstatat, SYS_statx,
	SYS_fsync, SYS_fdatasync, SYS_sync_file_range, SYS_ftruncate, SYS_dup, SYS_dup2, SYS_dup3,
	SYS_pipe2, SYS_poll, SYS_ppoll, SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_ctl,
	SYS_epoll_create1, SYS_eventfd2, SYS_timerfd_create, SYS_timerfd_settime, SYS_futex,
	SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday,
	SYS_time, SYS_getrandom, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_mremap,
	SYS_brk, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_exit,
	SYS_exit_group, SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid,
	SYS_getegid, SYS_tgkill, SYS_restart_syscall, SYS_sched_yield, SYS_sched_getaffinity,
	SYS_clone, SYS_clone3, SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_getrlimit,
	SYS_prlimit64, SYS_sysinfo, SYS_uname, SYS_membarrier, SYS_getrusage, -1 };

/* What the sanitizers' run time needs to report and to look for leaks. */
static const int sanitizer_syscalls[] = { SYS_open, SYS_openat, SYS_readlink, SYS_readlinkat,
	SYS_getdents, SYS_getdents64, SYS_ptrace, SYS_wait4, SYS_kill, SYS_prctl, SYS_arch_prctl,
	SYS_ioctl, SYS_process_vm_readv, SYS_personality, SYS_mincore, SYS_getcwd, SYS_access,
	SYS_stat, SYS_unlink, -1 };

static enum err
failed(struct cage_plan *p, const char *what, int code)
{
	(void)snprintf(p->reason, sizeof p->reason, "%s: %s", what, strerrordesc_np(code));
	return ERR_TEMP;
}

static enum err
look_up(struct cage_plan *p, uid_t *uid_out, gid_t *gid_out, gid_t *shared_out)
{
	char name[64];
	const struct passwd *pw;
	const struct group *gr;

	(void)snprintf(name, sizeof name, "%.*s", STR_FMT(p->user));
	pw = getpwnam(name);
	if (pw == NULL || pw->pw_uid == 0) {
		(void)snprintf(
			p->reason, sizeof p->reason, "no system user %s (other than root)", name);
		return ERR_TEMP;
	}
	*uid_out = pw->pw_uid;
	*gid_out = pw->pw_gid;
	(void)snprintf(name, sizeof name, "%.*s", STR_FMT(p->settings->group));
	gr = getgrnam(name);
	if (gr == NULL) {
		(void)snprintf(p->reason, sizeof p->reason, "no system group %s", name);
		return ERR_TEMP;
	}
	*shared_out = gr->gr_gid;
	return ERR_OK;
}

static enum err
look_up_groups(struct cage_plan *p, gid_t *groups, size_t *count)
{
	const struct str_list *l = p->cage->groups;
	char name[64];

	for (size_t i = 0; i < l->n; i++) {
		(void)snprintf(name, sizeof name, "%.*s", STR_FMT(l->v[i]));
		const struct group *gr = getgrnam(name);
		if (gr == NULL || *count == GROUPS_MAX) {
			(void)snprintf(p->reason, sizeof p->reason, "no system group %s", name);
			return ERR_TEMP;
		}
		groups[(*count)++] = gr->gr_gid;
	}
	return ERR_OK;
}

static enum err
leave_root(struct cage_plan *p)
{
	gid_t gid = 0, groups[GROUPS_MAX] = { 0 };
	size_t groups_count = 1;
	uid_t uid = 0;
	enum err e;

	if (geteuid() != 0 || p->cage->stay_root)
		return ERR_OK;
	e = look_up(p, &uid, &gid, &groups[0]);
	if (e == ERR_OK && p->cage->groups != NULL)
		e = look_up_groups(p, groups, &groups_count);
	if (e != ERR_OK)
		return e;
	if (p->cage->chroot_below_runtime != NULL) {
		char path[512];
		(void)snprintf(path, sizeof path, "%.*s/%s", STR_FMT(p->settings->runtime_dir),
			p->cage->chroot_below_runtime);
		if (chdir(path) != 0 || chroot(".") != 0)
			return failed(p, path, errno);
		p->chrooted = true;
	}
	if (setgroups(groups_count, groups) != 0 || setresgid(gid, gid, gid) != 0 ||
		setresuid(uid, uid, uid) != 0)
		return failed(p, "giving up root", errno);
	if (setuid(0) == 0 || setgid(0) == 0)
		return failed(p, "root came back", EPERM);
	p->separated = true;
	return ERR_OK;
}

static enum err
limit_files(struct cage_plan *p)
{
	rlim_t max = 0;
	struct rlimit r;

	if (!p->cage->no_file_writes && !p->cage->limit_message_size)
		return ERR_OK;
	if (p->cage->limit_message_size)
		max = (rlim_t)p->settings->smtp.message_max + MESSAGE_EXTRA;
	/* the write fails; the signal would kill */
	(void)signal(SIGXFSZ, SIG_IGN);
	r.rlim_cur = r.rlim_max = max;
	return setrlimit(RLIMIT_FSIZE, &r) == 0 ? ERR_OK : failed(p, "RLIMIT_FSIZE", errno);
}

static enum err
allow_below(struct cage_plan *p, int ruleset, struct str dir, uint64_t rights)
{
	char *path = str_dup(dir);
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };
	enum err e = ERR_OK;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0) {
		e = failed(p, path, errno);
	} else {
		if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) !=
			0)
			e = failed(p, "Landlock rule", errno);
		(void)close(rule.parent_fd);
	}
	free(path);
	return e;
}

static enum err
lock_files(struct cage_plan *p)
{
	struct landlock_ruleset_attr a = { .handled_access_fs = LANDLOCK_BASE };
	enum err e = ERR_OK;
	long abi;
	int ruleset;

	if (!p->cage->landlock_mail_root && !p->cage->landlock_no_files)
		return ERR_OK;
	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	/* version 1 forbids every rename between folders, which the store lives on */
	if (abi < 2) {
		p->landlock_none = true;
		return ERR_OK;
	}
	a.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		a.handled_access_fs |= LANDLOCK_TRUNCATE;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof a, 0);
	if (ruleset < 0)
		return failed(p, "Landlock", errno);
	if (p->cage->landlock_mail_root)
		e = allow_below(p, ruleset, p->settings->mail_root,
			a.handled_access_fs & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE);
#if CAGE_SANITIZED
	/* the leak search and the reports read /proc/self */
	if (e == ERR_OK && !p->chrooted)
		e = allow_below(p, ruleset, STR("/proc"),
			LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
#endif
	if (e == ERR_OK && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		e = failed(p, "Landlock", errno);
	(void)close(ruleset);
	return e;
}

static int
allow(scmp_filter_ctx f, const int *list)
{
	int rc = 0;

	for (; rc == 0 && *list != -1; list++) {
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, *list, 0);
		if (rc == -EEXIST)
			rc = 0;
	}
	return rc;
}

/* The family of socket(). */
static const struct scmp_arg_cmp is_unix = { .op = SCMP_CMP_EQ, .datum_a = AF_UNIX };
static const struct scmp_arg_cmp not_unix = { .op = SCMP_CMP_NE, .datum_a = AF_UNIX };

/* FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, by which the store says where new homes go on the disk. */
static int
allow_file_flags(scmp_filter_ctx f)
{
	static const unsigned requests[] = { FS_IOC_GETFLAGS, FS_IOC_SETFLAGS };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof requests / sizeof requests[0]; i++) {
		const struct scmp_arg_cmp is = {
			.arg = 1,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = UINT32_MAX,
			.datum_b = requests[i],
		};

		rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &is);
		if (rc == -EEXIST)
			rc = 0;
	}
	return rc;
}

/* Everything but the listed ones fails with EPERM. */
static int
add_allowed(scmp_filter_ctx f, const struct role_cage *cage)
{
	int rc = allow(f, common_syscalls);

	if (rc == 0)
		rc = allow(f, cage->allow_syscalls);
	if (rc == 0 && cage->landlock_mail_root)
		rc = allow_file_flags(f);
	if (rc == 0 && CAGE_SANITIZED)
		rc = allow(f, sanitizer_syscalls);
	if (rc != 0)
		return rc;
	if (cage->no_inet)
		return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, &is_unix);
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 0);
}

/* Without a list: no sockets but unix ones, and no other program. */
static int
add_denied(scmp_filter_ctx f, bool no_inet)
{
	int rc = 0;

	if (no_inet)
		rc = seccomp_rule_add_array(
			f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, &not_unix);
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execve), 0);
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execveat), 0);
	return rc;
}

static enum err
filter_syscalls(struct cage_plan *p)
{
	const struct role_cage *cage = p->cage;
	bool listed = cage->allow_syscalls != NULL;
	scmp_filter_ctx f;
	int rc;

	if (!listed && !cage->no_inet && !cage->no_exec)
		return ERR_OK;
	f = seccomp_init(listed ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW);
	if (f == NULL)
		return failed(p, "seccomp", ENOMEM);
	rc = listed ? add_allowed(f, cage) : add_denied(f, cage->no_inet);
	if (rc == 0)
		rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	return rc == 0 ? ERR_OK : failed(p, "seccomp", -rc);
}

enum err
cage_enter(struct cage_plan *p)
{
	enum err e = leave_root(p);

	if (e != ERR_OK)
		return e;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return failed(p, "no_new_privs", errno);
	/* the leak search of the sanitizers attaches to its own process */
	if (prctl(PR_SET_DUMPABLE, CAGE_SANITIZED, 0, 0, 0) != 0)
		return failed(p, "dumpable", errno);
	e = limit_files(p);
	if (e == ERR_OK)
		e = lock_files(p);
	if (e == ERR_OK)
		e = filter_syscalls(p);
	return e;
}
