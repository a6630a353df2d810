/* Users, folders and the lock of a running server; see system.h. serve.c calls it at start.
 * Invariant: as root, nothing starts before every role's user and the group exist. */
#include "core/master/system.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_TRIES = 10 };

enum err
system_uid(struct str name, uid_t *out)
{
	uint32_t number;
	char *z = str_dup(name);
	const struct passwd *pw = getpwnam(z);

	free(z);
	if (pw != NULL)
		*out = pw->pw_uid;
	else if (str_to_u32(name, INT32_MAX, &number) == ERR_OK)
		*out = number;
	else
		return ERR_NOTFOUND;
	return ERR_OK;
}

enum err
system_gid(struct str name, gid_t *out)
{
	uint32_t number;
	char *z = str_dup(name);
	const struct group *gr = getgrnam(z);

	free(z);
	if (gr != NULL)
		*out = gr->gr_gid;
	else if (str_to_u32(name, INT32_MAX, &number) == ERR_OK)
		*out = number;
	else
		return ERR_NOTFOUND;
	return ERR_OK;
}

static enum err
find_user(struct str name, uid_t *out, struct buf *why)
{
	if (system_uid(name, out) == ERR_OK && *out != 0)
		return ERR_OK;
	buf_addf(why,
		"the system user %.*s is missing; make it with: useradd --system --no-create-home "
		"--shell /usr/sbin/nologin %.*s\n",
		STR_FMT(name), STR_FMT(name));
	return ERR_NOTFOUND;
}

enum err
system_find_ids(const struct settings *s, struct system_ids *out, struct buf *why)
{
	enum err e = ERR_OK;
	uid_t worker, relay, resolver;

	*out = (struct system_ids){ .root = geteuid() == 0,
		.group = (gid_t)-1,
		.auth = (uid_t)-1,
		.gate = (uid_t)-1,
		.smtp = (uid_t)-1,
		.queue = (uid_t)-1,
		.mail = (uid_t)-1 };
	if (!out->root)
		return ERR_OK;
	if (system_gid(s->group, &out->group) != ERR_OK) {
		buf_addf(why,
			"the system group %.*s is missing; make it with: groupadd --system %.*s\n",
			STR_FMT(s->group), STR_FMT(s->group));
		e = ERR_NOTFOUND;
	}
	if (find_user(s->user_auth, &out->auth, why) != ERR_OK ||
		find_user(s->user_gate, &out->gate, why) != ERR_OK ||
		find_user(s->user_smtp, &out->smtp, why) != ERR_OK ||
		find_user(s->user_queue, &out->queue, why) != ERR_OK ||
		find_user(s->user_mail, &out->mail, why) != ERR_OK ||
		(s->outbound.enabled && find_user(s->user_relay, &relay, why) != ERR_OK) ||
		(settings_smtp_asks_dns(s) &&
			find_user(s->user_resolver, &resolver, why) != ERR_OK) ||
		(settings_worker_sections(s) != 0 &&
			find_user(s->user_worker, &worker, why) != ERR_OK))
		e = ERR_NOTFOUND;
	return e;
}

static enum err
failed(struct buf *why, const char *path)
{
	buf_addf(why, "%s: %s\n", path, strerrordesc_np(errno));
	return ERR_TEMP;
}

/* mkdir -p of the parents, 0755 whatever the umask: the roles' users pass through them. */
static void
make_parents(char *path)
{
	for (char *p = path + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) == 0)
			(void)chmod(path, 0755);
		*p = '/';
	}
}

/* keep: a folder that was there stays as it is. */
static enum err
make_folder(struct str dir, mode_t mode, uid_t uid, gid_t gid, bool keep, struct buf *why)
{
	char *path = str_dup(dir);
	enum err e = ERR_OK;
	struct stat st;
	bool made;

	make_parents(path);
	made = mkdir(path, mode) == 0;
	if (!made && errno != EEXIST)
		e = failed(why, path);
	else if (lstat(path, &st) != 0)
		e = failed(why, path);
	else if (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) {
		errno = ENOTDIR;
		e = failed(why, path);
	} else if ((made || !keep) && chmod(path, mode) != 0 && (made || geteuid() == 0)) {
		e = failed(why, path);
	} else if ((made || !keep) && (uid != (uid_t)-1 || gid != (gid_t)-1) &&
		   chown(path, uid, gid) != 0) {
		e = failed(why, path);
	}
	free(path);
	return e;
}

enum err
system_make_folders(const struct settings *s, const struct system_ids *ids, struct buf *why)
{
	uid_t owner = ids->root ? 0 : (uid_t)-1;
	struct buf gate;
	enum err e;

	buf_init(&gate, 1024);
	buf_addf(&gate, "%.*s/gate", STR_FMT(s->runtime_dir));
	/* Everybody may reach `sendmail`; all else in there says by its own mode who may. */
	e = make_folder(s->runtime_dir, 0751, owner, ids->group, false, why);
	if (e == ERR_OK)
		e = make_folder(buf_str(&gate), 0750, owner, ids->group, false, why);
	if (e == ERR_OK)
		e = make_folder(s->mail_root, 0700, ids->mail, (gid_t)-1, true, why);
	if (e == ERR_OK)
		e = make_folder(s->spool_dir, 0700, ids->queue, (gid_t)-1, true, why);
	buf_fini(&gate);
	return e;
}

static void
pid_path(const struct settings *s, struct buf *out)
{
	buf_addf(out, "%.*s/master.pid", STR_FMT(s->runtime_dir));
}

/* ERR_AGAIN: the file was replaced meanwhile. */
static enum err
try_lock(const char *path, int *fd_out, struct buf *why)
{
	struct stat here, there;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return failed(why, path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		buf_addf(why, "%s: another postroom runs on this runtime directory\n", path);
		(void)close(fd);
		return ERR_BUSY;
	}
	if (fstat(fd, &here) != 0 || stat(path, &there) != 0 || here.st_ino != there.st_ino) {
		(void)close(fd);
		return ERR_AGAIN;
	}
	*fd_out = fd;
	return ERR_OK;
}

enum err
system_lock(const struct settings *s, int *fd_out, struct buf *why)
{
	struct buf path;
	enum err e = ERR_AGAIN;

	buf_init(&path, 1024);
	pid_path(s, &path);
	for (int i = 0; i < LOCK_TRIES && e == ERR_AGAIN; i++)
		e = try_lock(buf_z(&path), fd_out, why);
	if (e == ERR_OK &&
		(ftruncate(*fd_out, 0) != 0 || dprintf(*fd_out, "%d\n", (int)getpid()) < 0)) {
		e = failed(why, buf_z(&path));
		(void)close(*fd_out);
	}
	buf_fini(&path);
	return e == ERR_AGAIN ? ERR_TEMP : e;
}

void
system_unlock(const struct settings *s, int fd)
{
	struct buf path;

	buf_init(&path, 1024);
	pid_path(s, &path);
	(void)unlink(buf_z(&path));
	(void)close(fd);
	buf_fini(&path);
}

unsigned
system_cores(void)
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}
