/* Fuzzes what the clients of auth, auth-userdb and directory make of a service's bytes. The first
 * byte chooses the client, whether the greeting was good, and where the bytes are cut in two; a
 * channel without a socket takes the place of core/authclient/channel.c. Whatever comes, the
 * question asked beforehand is answered once at most, and when the connection ended also at least
 * once. */
#include <stdlib.h>

#include "core/authclient/auth.h"
#include "core/authclient/channel.h"
#include "core/authclient/socketmap.h"
#include "core/authclient/userdb.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENT_AUTH, CLIENT_USERDB, CLIENT_LIST, CLIENT_SOCKETMAP, CLIENTS };

static struct loop *loop;
static struct channel *channels[SOCKETMAP_CONNECTIONS];
static size_t channels_count;
static int calls;
static bool is_up;

void
channel_init(struct channel *c, struct loop *l, struct str address, size_t in_max_bytes,
	const struct channel_ops *ops, void *arg)
{
	(void)address;
	*c = (struct channel){ .loop = l, .ops = ops, .arg = arg, .in_max_bytes = in_max_bytes };
	if (channels_count < SOCKETMAP_CONNECTIONS)
		channels[channels_count++] = c;
}

void
channel_fini(struct channel *c)
{
	(void)c;
}

void
channel_settled(struct channel *c)
{
	(void)c;
}

void
channel_drop(struct channel *c)
{
	if (!is_up || c != channels[0])
		return;
	is_up = false;
	c->ops->on_down(c->arg);
}

void
channel_write(struct channel *c, struct str bytes)
{
	if (c == channels[0] && bytes.n > 0 && bytes.p[bytes.n - 1] != '\n' &&
		bytes.p[bytes.n - 1] != ',')
		abort(); /* every question is whole */
}

static void
once(void)
{
	if (++calls > 1)
		abort();
}

static void
on_continue(void *arg, struct auth_request *r, struct str challenge)
{
	(void)arg;
	if (challenge.n % 2 == 0 && auth_request_continue(r, STR("x")) != ERR_OK)
		abort();
}

static void
on_ok(void *arg, struct auth_request *r, struct str user, struct str fields,
	const struct auth_ticket *t)
{
	struct buf b;
	(void)arg;
	(void)r;
	if (user.n == 0 || t->request_id != 1 || memchr(t->cookie, 0, sizeof(t->cookie)) == NULL)
		abort();
	buf_init(&b, 64);
	if (auth_field(fields, "a", &b) == ERR_OK && b.n > 64)
		abort();
	buf_fini(&b);
	once();
}

static void
on_fail(void *arg, struct auth_request *r, enum auth_fail why, struct str reason)
{
	(void)arg;
	(void)r;
	if (reason.n > 1024 || why > AUTH_FAIL_MECHANISM)
		abort();
	once();
}

static void
on_user(void *arg, enum err e, const struct userdb_user *u)
{
	if ((e == ERR_OK) != (u != NULL) || (u != NULL && u->user.n == 0))
		abort();
	if (arg == NULL || e != ERR_OK)
		once();
}

static void
on_value(void *arg, enum err e, struct str value)
{
	(void)arg;
	if (value.n > 4096 ||
		(e != ERR_OK && e != ERR_NOTFOUND && e != ERR_TEMP && e != ERR_DENIED))
		abort();
	once();
}

struct clients {
	struct auth_client *auth;
	struct userdb *userdb;
	struct socketmap *map;
};

static void
ask(struct clients *c, int which)
{
	static const struct auth_ops OPS = { on_continue, on_ok, on_fail };
	static const struct auth_login LOGIN = { .mechanism = { "PLAIN", 5 } };
	static char list;
	*c = (struct clients){ .auth = NULL };
	if (which == CLIENT_AUTH) {
		c->auth = auth_client_new(loop, STR("unix:/x"));
		if (auth_request_start(c->auth, &LOGIN, &OPS, NULL) == NULL)
			abort();
	} else if (which == CLIENT_SOCKETMAP) {
		c->map = socketmap_new(loop, STR("unix:/x"), 4096);
		if (socketmap_lookup(c->map, STR("alias"), STR("a"), on_value, NULL) == NULL)
			abort();
	} else {
		c->userdb = userdb_new(loop, STR("unix:/x"));
		if (which == CLIENT_USERDB)
			userdb_lookup(c->userdb, STR("jane"), STR("imap"), on_user, NULL);
		else
			userdb_list(c->userdb, STR("imap"), on_user, &list);
	}
}

static void
feed(struct buf *in, struct str bytes)
{
	struct channel *c = channels[0];
	buf_add(in, bytes);
	if (is_up && !c->ops->on_input(c->arg, in))
		channel_drop(c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const GREETINGS[CLIENTS] = {
		"VERSION\t1\t2\nMECH\tPLAIN\nDONE\n",
		"VERSION\t1\t1\n",
		"VERSION\t1\t1\n",
		"",
	};
	struct clients c;
	struct buf in;
	if (size < 1)
		return 0;
	if (loop == NULL)
		loop = loop_new();
	int which = data[0] % CLIENTS;
	struct str bytes = str_n(data + 1, size - 1);
	size_t cut = bytes.n > 0 ? (size_t)(data[0] >> 3) % bytes.n : 0;
	channels_count = 0;
	calls = 0;
	ask(&c, which);
	buf_init(&in, 4 * 1024 * 1024);
	is_up = true;
	channels[0]->ops->on_up(channels[0]->arg);
	if ((data[0] & 4) == 0)
		feed(&in, str_of(GREETINGS[which]));
	feed(&in, str_sub(bytes, 0, cut));
	feed(&in, str_from(bytes, cut));
	channel_drop(channels[0]);
	/* What was never sent, or is asked once more, waits; the rest was answered. */
	if (calls == 0 && (data[0] & 4) == 0 && (which == CLIENT_USERDB || which == CLIENT_LIST))
		abort();
	auth_client_free(c.auth);
	userdb_free(c.userdb);
	socketmap_free(c.map);
	buf_fini(&in);
	return 0;
}
