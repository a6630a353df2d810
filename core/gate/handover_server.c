/* imap's side of the hand-over. Invariant: ops->accept is called for a login only after
 * auth-userdb confirmed its ticket in this process, on a channel whose peer has the gate's uid,
 * and before the offer's deadline; every other offer ends in a refusal and a closed fd. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc.h"
#include "core/event/listener.h"
#include "core/gate/handover.h"

enum { PENDING_MAX = 4096 };

struct handover_server {
	struct loop *loop;
	struct listener *listener;
	uid_t gate_uid;
	struct userdb *userdb;
	const struct handover_server_ops *ops;
	void *arg;
	struct list channels;
};

struct gate_channel {
	struct handover_server *server;
	struct ipc *ipc;
	struct list link;
	struct list pending;
	size_t pending_count;
};

struct pending_login {
	struct gate_channel *channel;
	struct list link;
	struct userdb_request *request;
	struct buf payload; /* what login borrows; secret: it holds the cookie */
	struct handover_login login;
	int fd;
};

static void
pending_free(struct pending_login *p)
{
	list_remove(&p->link);
	p->channel->pending_count--;
	if (p->request != NULL)
		userdb_cancel(p->request);
	if (p->fd >= 0)
		close(p->fd);
	buf_fini(&p->payload);
	free(p);
}

static void
channel_free(struct gate_channel *c)
{
	LIST_FOREACH (n, &c->pending)
		pending_free(CONTAINER_OF(n, struct pending_login, link));
	list_remove(&c->link);
	ipc_free(c->ipc);
	free(c);
}

/* A channel that takes no answer is found out by its end. */
static void
answer(struct gate_channel *c, uint64_t number, bool ack, enum handover_nak why)
{
	struct buf b;
	buf_init(&b, 64);
	ipc_put_u64(&b, number);
	if (!ack)
		ipc_put_u64(&b, why);
	enum err e = ipc_send(c->ipc, ack ? HANDOVER_ACK : HANDOVER_NAK, buf_str(&b), NULL, 0);
	if (e != ERR_OK)
		log_event(LVL_WARN, "handover.answer", log_e("err", e));
	buf_fini(&b);
}

static void
refuse(struct gate_channel *c, const struct handover_login *l, enum handover_nak why,
	const char *reason)
{
	log_event(LVL_WARN, "handover.refused", log_s("sid", l->sid), log_z("reason", reason));
	answer(c, l->number, false, why);
}

static void
on_verified(void *arg, enum err e, const struct userdb_user *u)
{
	struct pending_login *p = arg;
	struct gate_channel *c = p->channel;
	struct handover_server *s = c->server;
	p->request = NULL;
	if (e == ERR_DENIED || e == ERR_NOTFOUND) {
		refuse(c, &p->login, HANDOVER_DENIED, "auth does not confirm this login");
	} else if (e != ERR_OK) {
		refuse(c, &p->login, HANDOVER_FAILED, "auth-userdb is away");
	} else if (u->home.n == 0 || u->home.p[0] != '/') {
		refuse(c, &p->login, HANDOVER_FAILED, "auth-userdb gave no home");
	} else if (clock_ms() > p->login.deadline_ms) {
		refuse(c, &p->login, HANDOVER_FAILED, "too late");
	} else {
		int fd = p->fd;
		p->fd = -1;
		p->login.user = u->user;
		p->login.home = u->home;
		p->login.fields = u->fields;
		s->ops->accept(s->arg, &p->login, fd);
		answer(c, p->login.number, true, HANDOVER_BUSY);
	}
	pending_free(p);
}

static bool
is_stream_socket(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);
	int flags = fcntl(fd, F_GETFL);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
	       flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* Takes fd. False: no gate of ours would send this. */
static bool
offer(struct gate_channel *c, struct str payload, int fd)
{
	struct handover_server *s = c->server;
	struct handover_login login;
	if (!is_stream_socket(fd) || handover_decode(payload, &login) != ERR_OK) {
		close(fd);
		return false;
	}
	int64_t latest = clock_ms() + HANDOVER_OFFER_MS;
	bool busy = c->pending_count >= PENDING_MAX || !s->ops->ready(s->arg);
	if (busy || clock_ms() > login.deadline_ms) {
		refuse(c, &login, busy ? HANDOVER_BUSY : HANDOVER_FAILED,
			busy ? "busy" : "too late");
		close(fd);
		return true;
	}
	struct pending_login *p = xcalloc(1, sizeof(*p));
	p->channel = c;
	p->fd = fd;
	buf_init_secret(&p->payload, IPC_PAYLOAD_MAX);
	buf_add(&p->payload, payload);
	list_push_back(&c->pending, &p->link);
	c->pending_count++;
	if (handover_decode(buf_str(&p->payload), &p->login) != ERR_OK) {
		pending_free(p);
		return false;
	}
	if (p->login.deadline_ms > latest)
		p->login.deadline_ms = latest;
	p->request = userdb_verify(s->userdb, &p->login.ticket, p->login.sid, on_verified, p);
	return true;
}

static void
on_message(void *arg, struct ipc *ipc, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct gate_channel *c = arg;
	(void)ipc;
	bool good = type == HANDOVER_OFFER && fds_count == 1;
	for (size_t i = 0; !good && i < fds_count; i++)
		close(fds[i]);
	if (good && offer(c, payload, fds[0]))
		return;
	log_event(LVL_ERROR, "handover.garbage", log_n("type", type));
	channel_free(c);
}

static void
on_end(void *arg, struct ipc *ipc, enum err why)
{
	(void)ipc;
	log_event(LVL_DEBUG, "handover.gate_left", log_e("err", why));
	channel_free(arg);
}

static const struct ipc_ops IPC_OPS = { .on_message = on_message, .on_end = on_end };

static void
on_connection(void *arg, int fd, const struct peer *peer)
{
	struct handover_server *s = arg;
	if (!peer->is_unix || peer->uid != s->gate_uid) {
		log_event(LVL_ERROR, "handover.foreign", log_n("uid", peer->uid),
			log_n("pid", peer->pid), log_z("reason", "not the gate's user"));
		close(fd);
		return;
	}
	struct gate_channel *c = xcalloc(1, sizeof(*c));
	c->server = s;
	list_init(&c->pending);
	list_push_back(&s->channels, &c->link);
	c->ipc = ipc_new(s->loop, fd, &IPC_OPS, c);
}

struct handover_server *
handover_server_new(struct loop *l, int fd, uid_t gate_uid, struct userdb *userdb,
	const struct handover_server_ops *ops, void *arg)
{
	struct handover_server *s = xcalloc(1, sizeof(*s));
	s->loop = l;
	s->gate_uid = gate_uid;
	s->userdb = userdb;
	s->ops = ops;
	s->arg = arg;
	list_init(&s->channels);
	s->listener = listener_new(l, fd, on_connection, s);
	return s;
}

void
handover_server_free(struct handover_server *s)
{
	if (s == NULL)
		return;
	LIST_FOREACH (n, &s->channels)
		channel_free(CONTAINER_OF(n, struct gate_channel, link));
	listener_free(s->listener);
	free(s);
}
