/* The spool as queue owns it: makes slots ahead, gives them to smtp workers, judges those that a
 * dead worker held, removes what is done. Everything that waits for the disk is a job on the pool.
 * Invariants: a name is given out once; a channel is closed before its slots are judged; on_message
 * is called once a name, and only for a slot whose content is durable; a file is made a slot again
 * only when nobody but us has it open, and under a new name, which its old header does not carry.
 */
#include "delivery/spool/server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "delivery/spool/message.h"
#include "delivery/spool/writer.h"

enum {
	MAKE_BATCH = 64,
	OWN_AHEAD = 4,
	HELD_MAX = 4096,
	SPACE_CHECK_MS = 2000,
	REMOVE_BATCH = 256,
	BLANKS_MAX = 1024,
	/* Room for most messages: an overwrite needs no commit of the file system's journal, which
	 * made 20 connections 1.5 to 2 times as fast (ext4, 8 KiB). */
	PREALLOCATE = 16 * 1024,
};

struct slot {
	struct hmap_node node; /* in its channel's held */
	struct list link;      /* in the server's ready */
	char name[SPOOL_NAME_LEN + 1];
	int fd; /* until it was given out */
};

struct channel {
	struct list link;
	struct spool_server *server;
	struct ipc *ipc;
	struct hmap held;
	size_t wanted;
};

struct spool_server {
	struct loop *loop;
	struct pool *pool;
	const struct spool_server_ops *ops;
	void *arg;
	struct spool_server_options o;
	char *dir;
	int dir_fd, slots_fd, lock_fd;
	struct list channels;
	struct list ready;
	size_t ready_count;
	struct list writers; /* of spool_server_take */
	bool making;
	bool full;
	bool broken; /* slots cannot be made; said once */
	struct loop_timer check;
	struct loop_task step;
	struct buf removals; /* names, SPOOL_NAME_LEN each */
	struct buf spent;    /* the same: files to be made blank */
	struct buf blanks;   /* the same: empty slots that no sync of the folder covered yet */
	size_t blanks_count; /* these, and those that may become so */
	struct buf unread;   /* the same: to be judged again */
	bool removing;
	unsigned jobs; /* on the pool; they keep the server alive */
	bool closed;
};

struct made_slot {
	int fd;
	char name[RAND_ID_SIZE];
};

struct make_job {
	struct pool_job job;
	struct spool_server *server;
	int slots_fd;
	uint64_t reserve;
	uint32_t preallocate;
	struct buf blanks; /* names, to be taken first */
	unsigned count;	   /* wanted */
	unsigned n;	   /* made */
	bool full;
	int failed; /* errno */
	struct made_slot made[MAKE_BATCH];
};

/* A job over a list of names. */
struct names_job {
	struct pool_job job;
	struct spool_server *server;
	int slots_fd;
	struct buf names;
	size_t count;
	struct buf spent, blanks; /* remove_step only: what was to become blank, what did */
	enum err *results;	  /* judge_job only */
	bool again;		  /* … of those that could not be read */
};

static void
server_update(struct spool_server *s);

static struct str
name_at(const struct buf *names, size_t i)
{
	return str_sub(buf_str(names), i * SPOOL_NAME_LEN, SPOOL_NAME_LEN);
}

static void
unlink_name(int slots_fd, struct str name)
{
	char file[SPOOL_NAME_LEN + 1] = "";

	memcpy(file, name.p, SPOOL_NAME_LEN);
	(void)unlinkat(slots_fd, file, 0);
}

static void
server_destroy(struct spool_server *s)
{
	close(s->lock_fd);
	close(s->slots_fd);
	close(s->dir_fd);
	buf_fini(&s->removals);
	buf_fini(&s->spent);
	buf_fini(&s->blanks);
	buf_fini(&s->unread);
	free(s->dir);
	free(s);
}

static void
job_begin(struct spool_server *s, struct pool_job *j)
{
	s->jobs++;
	pool_submit(s->pool, j);
}

/* True when the server was closed meanwhile; s is dead then, if this was its last job. */
static bool
job_end(struct spool_server *s)
{
	bool closed = s->closed;

	if (--s->jobs == 0 && closed)
		server_destroy(s);
	return closed;
}

/* Making slots: on the pool. */

static bool
write_zeros(int fd, uint32_t n)
{
	static const char zeros[16 * 1024];
	uint32_t off = 0;

	while (off < n) {
		size_t step = n - off < sizeof(zeros) ? n - off : sizeof(zeros);
		ssize_t put = pwrite(fd, zeros, step, off);
		if (put <= 0)
			return false;
		off += (uint32_t)put;
	}
	return true;
}

static bool
make_one(struct make_job *m)
{
	struct made_slot *made = &m->made[m->n];

	rand_id(made->name);
	made->fd = openat(m->slots_fd, made->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (made->fd < 0)
		return errno == EEXIST;
	if (!write_zeros(made->fd, m->preallocate)) {
		int failed = errno;
		close(made->fd);
		(void)unlinkat(m->slots_fd, made->name, 0);
		errno = failed;
		return false;
	}
	m->n++;
	return true;
}

/* What a done message's file became (make_blank). Its blocks are on the disk already. */
static void
open_blank(struct make_job *m, struct str name)
{
	struct made_slot *made = &m->made[m->n];

	memcpy(made->name, name.p, SPOOL_NAME_LEN);
	made->name[SPOOL_NAME_LEN] = '\0';
	made->fd = openat(m->slots_fd, made->name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (made->fd >= 0)
		m->n++;
}

static bool
space_below(int fd, uint64_t reserve)
{
	struct statvfs v;

	return fstatvfs(fd, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < reserve;
}

static void
run_make(struct pool_job *j)
{
	struct make_job *m = CONTAINER_OF(j, struct make_job, job);

	m->full = space_below(m->slots_fd, m->reserve);
	for (size_t i = 0; i < m->blanks.n / SPOOL_NAME_LEN; i++)
		open_blank(m, name_at(&m->blanks, i));
	unsigned first_new = m->n;

	while (m->n < m->count)
		if (!make_one(m)) {
			m->failed = errno;
			break;
		}
	/* New files' zeros get their blocks now, and one sync of the folder makes blocks (with
	 * ext4) and names durable; a message's own fdatasync covers its file wherever this did not.
	 */
	for (unsigned i = first_new; i < m->n; i++)
		(void)sync_file_range(m->made[i].fd, 0, 0,
			SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				SYNC_FILE_RANGE_WAIT_AFTER);
	if (m->n > 0 && fsync(m->slots_fd) != 0)
		m->failed = errno;
	if (m->failed == 0)
		return;
	for (unsigned i = 0; i < m->n; i++) {
		close(m->made[i].fd);
		(void)unlinkat(m->slots_fd, m->made[i].name, 0);
	}
	m->n = 0;
}

static void
set_full(struct spool_server *s, bool full)
{
	struct buf b;

	if (s->full == full)
		return;
	s->full = full;
	log_event(full ? LVL_ERROR : LVL_INFO, "spool.space", log_z("res", full ? "full" : "ok"),
		log_n("reserve", (int64_t)s->o.reserve_bytes));
	buf_init(&b, 64);
	ipc_put_u64(&b, full);
	LIST_FOREACH (l, &s->channels) {
		struct channel *ch = CONTAINER_OF(l, struct channel, link);
		enum err e = ipc_send(ch->ipc, SPOOL_MSG_STATE, buf_str(&b), NULL, 0);
		(void)e; /* a channel that takes nothing is about to end */
	}
	buf_fini(&b);
}

static void
make_done(struct pool_job *j)
{
	struct make_job *m = CONTAINER_OF(j, struct make_job, job);
	struct spool_server *s = m->server;

	s->making = false;
	for (unsigned i = 0; i < m->n; i++) {
		struct slot *slot = xcalloc(1, sizeof(*slot));
		slot->fd = m->made[i].fd;
		memcpy(slot->name, m->made[i].name, SPOOL_NAME_LEN);
		if (s->closed) {
			close(slot->fd);
			unlink_name(s->slots_fd, str_n(slot->name, SPOOL_NAME_LEN));
			free(slot);
			continue;
		}
		list_push_back(&s->ready, &slot->link);
		s->ready_count++;
	}
	if (m->failed != 0 && !s->broken)
		log_event(LVL_ERROR, "spool.make", log_z("res", "failed"),
			log_z("reason", strerror(m->failed)), log_z("dir", s->o.dir));
	s->broken = m->failed != 0;
	if (!s->closed)
		set_full(s, m->full);
	buf_fini(&m->blanks);
	free(m);
	if (!job_end(s))
		server_update(s);
}

static void
make_slots(struct spool_server *s, size_t count)
{
	struct make_job *m = xcalloc(1, sizeof(*m));

	m->job = (struct pool_job){ .run = run_make, .done = make_done, .class = POOL_SYNC };
	m->server = s;
	m->slots_fd = s->slots_fd;
	m->reserve = s->o.reserve_bytes;
	m->preallocate = s->o.preallocate;
	m->count = count < MAKE_BATCH ? (unsigned)count : MAKE_BATCH;
	buf_init(&m->blanks, MAKE_BATCH * SPOOL_NAME_LEN + 1);
	buf_add(&m->blanks, str_sub(buf_str(&s->blanks), 0, m->count * SPOOL_NAME_LEN));
	buf_consume(&s->blanks, m->blanks.n);
	s->blanks_count -= m->blanks.n / SPOOL_NAME_LEN;
	s->making = true;
	job_begin(s, &m->job);
}

/* Giving slots out. */

static void
give_packet(struct channel *ch, size_t count)
{
	struct spool_server *s = ch->server;
	int fds[IPC_FDS_MAX];
	struct buf b;
	enum err e;

	buf_init(&b, 1024);
	for (size_t i = 0; i < count; i++) {
		struct slot *slot = CONTAINER_OF(s->ready.next, struct slot, link);
		list_remove(&slot->link);
		s->ready_count--;
		fds[i] = slot->fd;
		slot->fd = -1;
		ipc_put_str(&b, str_n(slot->name, SPOOL_NAME_LEN));
		hmap_put(&ch->held, &slot->node, str_n(slot->name, SPOOL_NAME_LEN));
	}
	ch->wanted -= count;
	e = ipc_send(ch->ipc, SPOOL_MSG_SLOTS, buf_str(&b), fds, count);
	(void)e; /* what was not sent is held, and judged at the channel's end */
	buf_fini(&b);
}

/* Deals the ready slots out, a packet to each worker in turn; keeps some for queue itself. */
static void
deal(struct spool_server *s)
{
	bool moved = true;

	while (moved && !s->full) {
		moved = false;
		LIST_FOREACH (l, &s->channels) {
			struct channel *ch = CONTAINER_OF(l, struct channel, link);
			size_t n = s->ready_count > OWN_AHEAD ? s->ready_count - OWN_AHEAD : 0;
			n = n < IPC_FDS_MAX ? n : IPC_FDS_MAX;
			n = n < ch->wanted ? n : ch->wanted;
			if (n > 0) {
				give_packet(ch, n);
				moved = true;
			}
		}
	}
}

static void
server_update(struct spool_server *s)
{
	size_t want = OWN_AHEAD;

	deal(s);
	LIST_FOREACH (l, &s->channels) {
		struct channel *ch = CONTAINER_OF(l, struct channel, link);
		want += s->full ? 0 : ch->wanted + s->o.ahead / 2;
	}
	if (!s->making && !s->broken && s->ready_count < want)
		make_slots(s, want - s->ready_count);
}

static void
judge_again(struct spool_server *s);

static void
on_step(struct loop_task *t)
{
	server_update(t->arg);
}

static void
on_check(struct loop_timer *t)
{
	struct spool_server *s = t->arg;

	loop_timer_start(&s->check, SPACE_CHECK_MS);
	s->broken = false; /* try again */
	if (s->unread.n > 0)
		judge_again(s);
	if (!s->making)
		make_slots(s, 0);
}

/* Removing. */

/* Nobody else can write into it or read on in it: a write lease is granted to the only one who has
 * a file open, in whatever mode, descriptors under way in messages and mappings counted (fcntl(2)).
 * Where there are no leases: false. */
static bool
ours_alone(int fd)
{
	return fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

/* A done message's file becomes an empty slot: no inode to look for, no blocks, nothing to unlink.
 * Should its old content come back after a power cut, it carries another name, and is no message.
 */
static bool
make_blank(int slots_fd, const char *old, const char *new, uint32_t size)
{
	int fd = openat(slots_fd, old, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	bool good;

	if (fd < 0)
		return false;
	good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	       st.st_size >= (off_t)size && ours_alone(fd) &&
	       (st.st_size == (off_t)size || ftruncate(fd, (off_t)size) == 0) &&
	       write_zeros(fd, size) &&
	       renameat2(slots_fd, old, slots_fd, new, RENAME_NOREPLACE) == 0;
	close(fd);
	return good;
}

static void
run_remove(struct pool_job *j)
{
	struct names_job *n = CONTAINER_OF(j, struct names_job, job);

	for (size_t i = 0; i < n->count; i++)
		unlink_name(n->slots_fd, name_at(&n->names, i));
	for (size_t i = 0; i < n->spent.n / SPOOL_NAME_LEN; i++) {
		char old[SPOOL_NAME_LEN + 1] = "", new[RAND_ID_SIZE];

		memcpy(old, name_at(&n->spent, i).p, SPOOL_NAME_LEN);
		rand_id(new);
		if (make_blank(n->slots_fd, old, new, n->server->o.preallocate))
			buf_add(&n->blanks, str_n(new, SPOOL_NAME_LEN));
		else
			(void)unlinkat(n->slots_fd, old, 0);
	}
}

static void
names_job_free(struct names_job *n)
{
	buf_fini(&n->names);
	buf_fini(&n->spent);
	buf_fini(&n->blanks);
	free(n->results);
	free(n);
}

static void
remove_step(struct spool_server *s);

static void
remove_done(struct pool_job *j)
{
	struct names_job *n = CONTAINER_OF(j, struct names_job, job);
	struct spool_server *s = n->server;

	s->removing = false;
	s->blanks_count -= (n->spent.n - n->blanks.n) / SPOOL_NAME_LEN;
	for (size_t i = 0; s->closed && i < n->blanks.n / SPOOL_NAME_LEN; i++)
		unlink_name(s->slots_fd, name_at(&n->blanks, i));
	if (!s->closed)
		buf_add(&s->blanks, buf_str(&n->blanks));
	names_job_free(n);
	if (!job_end(s))
		remove_step(s);
}

static struct names_job *
names_job_new(struct spool_server *s, size_t count)
{
	struct names_job *n = xcalloc(1, sizeof(*n));

	n->server = s;
	n->slots_fd = s->slots_fd;
	n->count = count;
	buf_init(&n->names, count * SPOOL_NAME_LEN + 1);
	buf_init(&n->spent, BLANKS_MAX * SPOOL_NAME_LEN + 1);
	buf_init(&n->blanks, BLANKS_MAX * SPOOL_NAME_LEN + 1);
	return n;
}

static void
remove_step(struct spool_server *s)
{
	size_t count = s->removals.n / SPOOL_NAME_LEN;
	struct names_job *n;

	if (s->removing || (count == 0 && s->spent.n == 0))
		return;
	count = count < REMOVE_BATCH ? count : REMOVE_BATCH;
	n = names_job_new(s, count);
	buf_add(&n->names, str_sub(buf_str(&s->removals), 0, count * SPOOL_NAME_LEN));
	buf_consume(&s->removals, count * SPOOL_NAME_LEN);
	buf_add(&n->spent, buf_str(&s->spent));
	buf_reset(&s->spent);
	n->job = (struct pool_job){ .run = run_remove, .done = remove_done, .class = POOL_SYNC };
	s->removing = true;
	job_begin(s, &n->job);
}

void
spool_remove(struct spool_server *s, struct str name)
{
	if (!spool_name_valid(name))
		return;
	if (buf_room(&s->removals) < SPOOL_NAME_LEN)
		unlink_name(s->slots_fd, name); /* far behind: wait for this one here */
	else
		buf_add(&s->removals, name);
	remove_step(s);
}

void
spool_reuse(struct spool_server *s, struct str name)
{
	if (!spool_name_valid(name))
		return;
	if (s->full || s->blanks_count >= BLANKS_MAX) {
		spool_remove(s, name);
		return;
	}
	s->blanks_count++;
	buf_add(&s->spent, name);
	remove_step(s);
}

/* A worker's end: which of its slots hold a message? */

static void
run_judge(struct pool_job *j)
{
	struct names_job *n = CONTAINER_OF(j, struct names_job, job);

	for (size_t i = 0; i < n->count; i++)
		n->results[i] = spool_verify_at(n->slots_fd, name_at(&n->names, i));
}

static void
judge_done(struct pool_job *j)
{
	struct names_job *n = CONTAINER_OF(j, struct names_job, job);
	struct spool_server *s = n->server;
	int64_t adopted = 0, removed = 0, unread = 0;

	for (size_t i = 0; i < n->count && !s->closed; i++) {
		struct str name = name_at(&n->names, i);
		if (n->results[i] == ERR_OK) {
			adopted++;
			s->ops->on_message(s->arg, name, true);
		} else if (n->results[i] == ERR_TEMP) {
			unread++; /* stays; if there are too many, the next start looks again */
			if (buf_room(&s->unread) >= SPOOL_NAME_LEN)
				buf_add(&s->unread, name);
		} else {
			removed++;
			spool_remove(s, name);
		}
	}
	if (!n->again || (size_t)unread < n->count)
		log_event(unread > 0 ? LVL_ERROR : LVL_INFO, "spool.judged",
			log_n("adopted", adopted), log_n("removed", removed),
			log_n("unread", unread));
	names_job_free(n);
	(void)job_end(s);
}

static void
judge_names(struct spool_server *s, struct names_job *n)
{
	n->results = xcalloc(n->count + 1, sizeof(*n->results));
	n->job = (struct pool_job){ .run = run_judge, .done = judge_done, .class = POOL_SYNC };
	job_begin(s, &n->job);
}

static void
judge_again(struct spool_server *s)
{
	struct names_job *n = names_job_new(s, s->unread.n / SPOOL_NAME_LEN);

	buf_add(&n->names, buf_str(&s->unread));
	buf_reset(&s->unread);
	n->again = true;
	judge_names(s, n);
}

static void
judge(struct spool_server *s, struct hmap *held)
{
	struct names_job *n = names_job_new(s, held->n);
	struct hmap_node *node = hmap_next(held, NULL);

	while (node != NULL) {
		struct slot *slot = CONTAINER_OF(node, struct slot, node);
		struct hmap_node *next = hmap_next(held, node);
		buf_add(&n->names, str_n(slot->name, SPOOL_NAME_LEN));
		hmap_remove(held, node);
		free(slot);
		node = next;
	}
	judge_names(s, n);
}

/* Channels. */

static void
channel_end(struct channel *ch, bool judge_slots)
{
	struct spool_server *s = ch->server;

	/* Closed first: whoever commits after this hears a hang-up and answers 451. */
	ipc_free(ch->ipc);
	list_remove(&ch->link);
	if (judge_slots) {
		judge(s, &ch->held);
	} else {
		for (struct hmap_node *n = hmap_next(&ch->held, NULL), *next; n != NULL; n = next) {
			next = hmap_next(&ch->held, n);
			hmap_remove(&ch->held, n);
			free(CONTAINER_OF(n, struct slot, node));
		}
	}
	hmap_fini(&ch->held);
	free(ch);
}

static void
on_end(void *arg, struct ipc *c, enum err why)
{
	struct channel *ch = arg;

	(void)c;
	log_event(LVL_INFO, "spool.worker_gone", log_e("err", why),
		log_n("held", (int64_t)ch->held.n));
	channel_end(ch, true);
}

static enum err
on_want(struct channel *ch, struct str payload)
{
	struct spool_server *s = ch->server;
	uint64_t v;

	if (ipc_get_u64(&payload, &v) != ERR_OK || v > s->o.held_max)
		return ERR_SYNTAX;
	/* A worker that wants more than its share waits; its slots in use come back first. */
	ch->wanted += v;
	if (ch->wanted + ch->held.n > s->o.held_max)
		ch->wanted = s->o.held_max > ch->held.n ? s->o.held_max - ch->held.n : 0;
	loop_task_queue(&s->step);
	return ERR_OK;
}

static enum err
on_slot_word(struct channel *ch, uint32_t type, struct str payload)
{
	struct spool_server *s = ch->server;
	struct hmap_node *node;
	struct slot *slot;
	struct str name;

	if (ipc_get_str(&payload, &name) != ERR_OK)
		return ERR_SYNTAX;
	node = hmap_get(&ch->held, name);
	if (node == NULL)
		return ERR_SYNTAX; /* not its own */
	slot = CONTAINER_OF(node, struct slot, node);
	hmap_remove(&ch->held, node);
	if (type == SPOOL_MSG_ACCEPTED)
		s->ops->on_message(s->arg, str_n(slot->name, SPOOL_NAME_LEN), false);
	else
		spool_remove(s, str_n(slot->name, SPOOL_NAME_LEN));
	free(slot);
	return ERR_OK;
}

static void
on_message(void *arg, struct ipc *c, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct channel *ch = arg;
	enum err e = ERR_SYNTAX;

	(void)c;
	for (size_t i = 0; i < fds_count; i++)
		close(fds[i]);
	if (type == SPOOL_MSG_WANT)
		e = on_want(ch, payload);
	else if (type == SPOOL_MSG_ACCEPTED || type == SPOOL_MSG_DROPPED)
		e = on_slot_word(ch, type, payload);
	if (e != ERR_OK)
		on_end(ch, c, e);
}

static const struct ipc_ops channel_ops = { .on_message = on_message, .on_end = on_end };

void
spool_server_add(struct spool_server *s, int fd)
{
	struct channel *ch = xcalloc(1, sizeof(*ch));

	ch->server = s;
	hmap_init(&ch->held);
	ch->ipc = ipc_new(s->loop, fd, &channel_ops, ch);
	list_push_back(&s->channels, &ch->link);
	if (s->full) {
		s->full = false;
		set_full(s, true);
	}
	loop_task_queue(&s->step);
}

/* Queue's own mail. */

static enum err
own_committed(void *owner, struct str name, const char **text_out)
{
	(void)owner;
	(void)name;
	(void)text_out;
	return ERR_OK;
}

static void
own_dropped(void *owner, struct str name)
{
	spool_remove(owner, name);
}

static const struct spool_owner_ops own_owner = { .committed = own_committed,
	.dropped = own_dropped };

enum err
spool_server_take(struct spool_server *s, struct spool_writer **out)
{
	struct slot *slot;

	loop_task_queue(&s->step);
	if (list_empty(&s->ready))
		return ERR_BUSY;
	slot = CONTAINER_OF(s->ready.next, struct slot, link);
	list_remove(&slot->link);
	s->ready_count--;
	*out = spool_writer_new(
		s->pool, slot->fd, str_n(slot->name, SPOOL_NAME_LEN), &own_owner, s, &s->writers);
	free(slot);
	return ERR_OK;
}

bool
spool_server_full(const struct spool_server *s)
{
	return s->full;
}

size_t
spool_server_unread(const struct spool_server *s)
{
	return s->unread.n / SPOOL_NAME_LEN;
}

/* Life. */

static enum err
open_folders(struct spool_server *s, const char **err_out)
{
	static char text[160];
	const char *what = s->o.dir;

	if (mkdir(s->o.dir, 0700) != 0 && errno != EEXIST)
		goto fail;
	s->dir_fd = open(s->o.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		goto fail;
	s->lock_fd = openat(s->dir_fd, what = "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		goto fail;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		*err_out = "another process owns the spool";
		return ERR_BUSY;
	}
	if ((mkdirat(s->dir_fd, what = "slots", 0700) != 0 && errno != EEXIST) ||
		(mkdirat(s->dir_fd, what = "corrupt", 0700) != 0 && errno != EEXIST))
		goto fail;
	s->slots_fd = openat(s->dir_fd, what = "slots", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->slots_fd < 0 || fsync(s->dir_fd) != 0)
		goto fail;
	return ERR_OK;
fail:
	(void)snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	*err_out = text;
	return ERR_TEMP;
}

enum err
spool_server_new(struct loop *l, struct pool *p, const struct spool_server_options *o,
	const struct spool_server_ops *ops, void *arg, struct spool_server **out,
	const char **err_out)
{
	struct spool_server *s = xcalloc(1, sizeof(*s));
	enum err e;

	s->loop = l;
	s->pool = p;
	s->o = *o;
	s->o.dir = s->dir = xstrdup(o->dir);
	s->o.held_max = o->held_max > 0 ? o->held_max : HELD_MAX;
	s->o.preallocate = o->preallocate > 0 ? o->preallocate : PREALLOCATE;
	s->ops = ops;
	s->arg = arg;
	s->dir_fd = s->slots_fd = s->lock_fd = -1;
	list_init(&s->channels);
	list_init(&s->ready);
	list_init(&s->writers);
	buf_init(&s->removals, 1024 * 1024);
	buf_init(&s->spent, BLANKS_MAX * SPOOL_NAME_LEN + 1);
	buf_init(&s->blanks, BLANKS_MAX * SPOOL_NAME_LEN + 1);
	/* somebody who copies the folder may open a file in the moment of its lease */
	(void)signal(SIGIO, SIG_IGN);
	buf_init(&s->unread, 1024 * 1024);
	loop_timer_init(&s->check, l, on_check, s);
	loop_task_init(&s->step, l, on_step, s);
	e = open_folders(s, err_out);
	if (e != ERR_OK) {
		server_destroy(s);
		return e;
	}
	s->full = space_below(s->slots_fd, o->reserve_bytes);
	loop_timer_start(&s->check, SPACE_CHECK_MS);
	loop_task_queue(&s->step);
	*out = s;
	return ERR_OK;
}

void
spool_server_free(struct spool_server *s)
{
	loop_timer_stop(&s->check);
	loop_task_cancel(&s->step);
	LIST_FOREACH (l, &s->channels)
		channel_end(CONTAINER_OF(l, struct channel, link), false);
	LIST_FOREACH (l, &s->ready) {
		struct slot *slot = CONTAINER_OF(l, struct slot, link);
		close(slot->fd);
		unlink_name(s->slots_fd, str_n(slot->name, SPOOL_NAME_LEN));
		list_remove(l);
		free(slot);
	}
	LIST_FOREACH (w, &s->writers)
		spool_writer_orphan(w);
	for (size_t i = 0; i < s->removals.n / SPOOL_NAME_LEN; i++)
		unlink_name(s->slots_fd, name_at(&s->removals, i));
	for (size_t i = 0; i < s->spent.n / SPOOL_NAME_LEN; i++)
		unlink_name(s->slots_fd, name_at(&s->spent, i));
	for (size_t i = 0; i < s->blanks.n / SPOOL_NAME_LEN; i++)
		unlink_name(s->slots_fd, name_at(&s->blanks, i));
	s->closed = true;
	if (s->jobs == 0)
		server_destroy(s);
}

enum err
spool_scan(struct spool_server *s, void (*fn)(void *arg, struct str name), void *arg)
{
	int fd = openat(s->slots_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	struct buf names;
	int failed;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return ERR_TEMP;
	}
	/* Names first: fn may remove files. */
	buf_init(&names, SIZE_MAX / 4);
	for (errno = 0; (entry = readdir(d)) != NULL; errno = 0)
		if (spool_name_valid(str_of(entry->d_name)))
			buf_addz(&names, entry->d_name);
	failed = errno;
	closedir(d);
	for (size_t i = 0; failed == 0 && i < names.n / SPOOL_NAME_LEN; i++)
		fn(arg, name_at(&names, i));
	buf_fini(&names);
	return failed == 0 ? ERR_OK : ERR_TEMP;
}

enum err
spool_adopt(struct spool_server *s, struct str name)
{
	enum err e = spool_verify_at(s->slots_fd, name);

	if (e == ERR_NOTFOUND || e == ERR_CORRUPT)
		spool_remove(s, name);
	return e;
}

enum err
spool_open(struct spool_server *s, struct str name, struct spool_message **out)
{
	return spool_open_at(s->slots_fd, name, out);
}

enum err
spool_quarantine(struct spool_server *s, struct str name)
{
	char from[SPOOL_NAME_LEN + 8], to[SPOOL_NAME_LEN + 16];
	bool good;
	int fd;

	if (!spool_name_valid(name))
		return ERR_NOTFOUND;
	(void)snprintf(from, sizeof(from), "%.*s", STR_FMT(name));
	(void)snprintf(to, sizeof(to), "corrupt/%.*s", STR_FMT(name));
	if (renameat(s->slots_fd, from, s->dir_fd, to) != 0)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_TEMP;
	/* The new name first: at no moment is there none on the disk. */
	fd = openat(s->dir_fd, "corrupt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	good = fd >= 0 && fsync(fd) == 0 && fsync(s->slots_fd) == 0;
	if (fd >= 0)
		close(fd);
	return good ? ERR_OK : ERR_TEMP;
}
