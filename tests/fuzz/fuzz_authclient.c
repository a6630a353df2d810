/* Fuzzes what the clients of auth, auth-userdb and directory make of a service's bytes. The first
 * byte chooses the client; the rest is written to a connection that it made. Whatever comes, the
 * question asked beforehand is answered at most once, and "yes" only by a well-formed line. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/authclient/auth.h"
#include "core/authclient/socketmap.h"
#include "core/authclient/userdb.h"
#include "core/base/log.h"
#include "core/event/loop.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int calls;
static struct loop *loop;

static void
once(void)
{
	if (++calls > 1)
		abort();
	loop_stop(loop);
}

static void
on_continue(void *arg, struct auth_request *r, struct str challenge)
{
	(void)arg;
	(void)challenge;
	if (auth_request_continue(r, STR("x")) != ERR_OK)
		abort();
}

static void
on_ok(void *arg, struct auth_request *r, struct str user, struct str fields,
	const struct auth_ticket *t)
{
	struct buf b;
	(void)arg;
	(void)r;
	if (user.n == 0 || t->request_id == 0)
		abort();
	buf_init(&b, 64);
	(void)!auth_field(fields, "a", &b);
	buf_fini(&b);
	once();
}

static void
on_fail(void *arg, struct auth_request *r, enum auth_fail why, struct str reason)
{
	(void)arg;
	(void)r;
	(void)why;
	(void)reason;
	once();
}

static void
on_user(void *arg, enum err e, const struct userdb_user *u)
{
	bool list = arg != NULL;
	if (e == ERR_OK && (u == NULL || u->user.n == 0))
		abort();
	if (!list || e != ERR_OK)
		once();
}

static void
on_value(void *arg, enum err e, struct str value)
{
	(void)arg;
	(void)e;
	(void)value;
	once();
}

static void
on_time(struct loop_timer *t)
{
	loop_stop(t->loop);
}

static int
listening(struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(a->sun_path, sizeof(a->sun_path), "/tmp/postroom-fuzz-%d", (int)getpid());
	unlink(a->sun_path);
	if (bind(fd, (struct sockaddr *)a, sizeof(*a)) != 0 || listen(fd, 16) != 0)
		abort();
	return fd;
}

struct clients {
	struct auth_client *auth;
	struct userdb *userdb;
	struct socketmap *map;
};

static void
ask(struct clients *c, int which, struct str address)
{
	static const struct auth_ops OPS = { on_continue, on_ok, on_fail };
	static const struct auth_login LOGIN = { .mechanism = { "PLAIN", 5 } };
	static char list;
	if (which % 4 == 0) {
		c->auth = auth_client_new(loop, address);
		if (auth_request_start(c->auth, &LOGIN, &OPS, NULL) == NULL)
			abort();
	} else if (which % 4 == 1) {
		c->userdb = userdb_new(loop, address);
		userdb_lookup(c->userdb, STR("jane"), STR("imap"), on_user, NULL);
	} else if (which % 4 == 2) {
		c->userdb = userdb_new(loop, address);
		userdb_list(c->userdb, STR("imap"), on_user, &list);
	} else {
		c->map = socketmap_new(loop, address, 4096);
		socketmap_lookup(c->map, STR("alias"), STR("a"), on_value, NULL);
	}
}

static const char *const GREETINGS[] = {
	"VERSION\t1\t2\nMECH\tPLAIN\nDONE\n",
	"VERSION\t1\t1\n",
	"VERSION\t1\t1\n",
	"",
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct clients c = { .auth = NULL };
	struct loop_timer timer;
	char address[128];
	if (size < 1 || size > 60000)
		return 0;
	log_set_level(LVL_ERROR);
	calls = 0;
	loop = loop_new();
	int fd = listening(&a);
	snprintf(address, sizeof(address), "unix:%s", a.sun_path);
	ask(&c, data[0], str_of(address));
	loop_timer_init(&timer, loop, on_time, NULL);
	loop_timer_start(&timer, 0);
	loop_run(loop); /* connects */
	for (int i = 0; i < 4; i++) {
		int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (peer < 0)
			break;
		const char *hello = (data[0] & 0x80) == 0 ? GREETINGS[data[0] % 4] : "";
		(void)!send(peer, hello, strlen(hello), MSG_NOSIGNAL);
		(void)!send(peer, data + 1, size - 1, MSG_NOSIGNAL);
		loop_timer_start(&timer, 1);
		loop_run(loop);
		close(peer);
		if (calls > 0)
			break;
	}
	loop_timer_stop(&timer);
	auth_client_free(c.auth);
	userdb_free(c.userdb);
	socketmap_free(c.map);
	loop_free(loop);
	close(fd);
	unlink(a.sun_path);
	return 0;
}
