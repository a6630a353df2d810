/* Client of the auth service; used by the gate (imap) and smtp. Every login that was started
 * ends exactly once: by OK or FAIL of the service, by the end of its connection, by its timer,
 * or by auth_request_cancel. */
#include "core/authclient/auth.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/authclient/channel.h"
#include "core/authclient/wire.h"
#include "core/base/codec.h"
#include "core/base/hmap.h"
#include "core/base/xalloc.h"

enum {
	LINE_MAX_BYTES = 32 * 1024,
	IN_FLIGHT_MAX = 4096,
	MECHANISMS_MAX = 32,
	MECHANISM_SIZE = 21, /* RFC 4422 3.1: at most 20 characters */
	WAIT_MS = 2000,
	ANSWER_MS = 60000,
};

struct auth_client {
	struct channel channel;
	bool ready;
	bool version_seen;
	uint32_t server_pid;
	char cookie[65];
	char mechanisms[MECHANISMS_MAX][MECHANISM_SIZE];
	size_t mechanism_count;
	uint32_t last_id;
	struct hmap by_id;
	struct list waiting; /* not sent yet */
	struct list sent;
	size_t in_flight;
};

struct auth_request {
	struct auth_client *client;
	const struct auth_ops *ops;
	void *arg;
	struct list link;
	struct hmap_node node;
	uint32_t id;
	char mechanism[MECHANISM_SIZE];
	struct buf line; /* secret; empty once it was sent */
	struct loop_timer timer;
	enum auth_fail late; /* what the timer says */
};

static void
request_free(struct auth_request *r)
{
	list_remove(&r->link);
	hmap_remove(&r->client->by_id, &r->node);
	r->client->in_flight--;
	loop_timer_stop(&r->timer);
	buf_fini(&r->line);
	free(r);
}

static void
request_fail(struct auth_request *r, enum auth_fail why, struct str reason)
{
	/* Out of the tables first, so that the callback may start and cancel others. */
	list_remove(&r->link);
	loop_timer_stop(&r->timer);
	r->ops->on_fail(r->arg, r, why, reason);
	request_free(r);
}

static void
tell_cancel(struct auth_client *c, uint32_t id)
{
	struct buf b;
	buf_init(&b, 64);
	buf_addf(&b, "CANCEL\t%u\n", id);
	channel_write(&c->channel, buf_str(&b));
	buf_fini(&b);
}

static void
on_timer(struct loop_timer *t)
{
	struct auth_request *r = t->arg;
	if (r->line.n == 0)
		tell_cancel(r->client, r->id);
	request_fail(r, r->late, STR_EMPTY);
}

static void
fail_soon(struct auth_request *r, enum auth_fail why)
{
	r->late = why;
	loop_timer_start(&r->timer, 0);
}

bool
auth_client_has_mechanism(const struct auth_client *c, struct str mechanism)
{
	for (size_t i = 0; i < c->mechanism_count; i++)
		if (str_ieq(str_of(c->mechanisms[i]), mechanism))
			return true;
	return false;
}

bool
auth_client_ready(const struct auth_client *c)
{
	return c->ready;
}

static void
add_mechanism(struct auth_client *c, struct str name)
{
	if (name.n >= MECHANISM_SIZE || c->mechanism_count == MECHANISMS_MAX ||
		auth_client_has_mechanism(c, name))
		return;
	memcpy(c->mechanisms[c->mechanism_count], name.p, name.n);
	c->mechanisms[c->mechanism_count++][name.n] = '\0';
}

static void
request_send(struct auth_request *r)
{
	struct auth_client *c = r->client;
	if (!auth_client_has_mechanism(c, str_of(r->mechanism))) {
		fail_soon(r, AUTH_FAIL_MECHANISM);
		return;
	}
	channel_write(&c->channel, buf_str(&r->line));
	buf_release(&r->line);
	list_remove(&r->link);
	list_push_back(&c->sent, &r->link);
	loop_timer_start(&r->timer, ANSWER_MS);
}

static void
send_waiting(struct auth_client *c)
{
	LIST_FOREACH (n, &c->waiting)
		request_send(CONTAINER_OF(n, struct auth_request, link));
}

/* One line of the service's greeting. False: not this protocol. */
static bool
greeting_line(struct auth_client *c, struct str verb, struct str rest)
{
	struct str value;
	uint32_t major;
	if (str_eq(verb, STR("VERSION"))) {
		c->version_seen = wire_next(&rest, &value) &&
				  str_to_u32(value, 1, &major) == ERR_OK && major == 1;
		return c->version_seen;
	}
	if (!c->version_seen)
		return false;
	if (str_eq(verb, STR("DONE"))) {
		c->ready = true;
		channel_settled(&c->channel);
		send_waiting(c);
		return true;
	}
	if (str_eq(verb, STR("CUID")) || !wire_next(&rest, &value))
		return str_eq(verb, STR("CUID"));
	if (str_eq(verb, STR("SPID")))
		return str_to_u32(value, UINT32_MAX, &c->server_pid) == ERR_OK;
	if (str_eq(verb, STR("COOKIE"))) {
		if (value.n >= sizeof(c->cookie))
			return false;
		memcpy(c->cookie, value.p, value.n);
		c->cookie[value.n] = '\0';
		return true;
	}
	if (str_eq(verb, STR("MECH")))
		add_mechanism(c, value);
	return true;
}

static enum auth_fail
fail_code(struct str code)
{
	static const struct {
		const char *word;
		enum auth_fail why;
	} CODES[] = {
		{ "temp", AUTH_FAIL_TEMP },
		{ "code=temp_fail", AUTH_FAIL_TEMP },
		{ "authz", AUTH_FAIL_AUTHZ },
		{ "code=authz_fail", AUTH_FAIL_AUTHZ },
		{ "user_disabled", AUTH_FAIL_DISABLED },
		{ "code=user_disabled", AUTH_FAIL_DISABLED },
		{ "code=login_disabled", AUTH_FAIL_DISABLED },
		{ "pass_expired", AUTH_FAIL_EXPIRED },
		{ "code=pass_expired", AUTH_FAIL_EXPIRED },
	};
	for (size_t i = 0; i < ARRAY_LEN(CODES); i++)
		if (str_eq(code, str_of(CODES[i].word)))
			return CODES[i].why;
	return AUTH_FAIL_CREDENTIALS;
}

const char *
auth_fail_name(enum auth_fail why)
{
	switch (why) {
	case AUTH_FAIL_CREDENTIALS:
		return "credentials";
	case AUTH_FAIL_TEMP:
		return "temp";
	case AUTH_FAIL_EXPIRED:
		return "expired";
	case AUTH_FAIL_DISABLED:
		return "disabled";
	case AUTH_FAIL_AUTHZ:
		return "authz";
	case AUTH_FAIL_MECHANISM:
		return "mechanism";
	}
	return "unknown";
}

static bool
reply_fail(struct auth_request *r, struct str rest)
{
	struct str field;
	enum auth_fail why = AUTH_FAIL_CREDENTIALS;
	struct buf reason;
	buf_init(&reason, 1024);
	enum err e = auth_field(rest, "reason", &reason);
	if (e != ERR_OK)
		buf_reset(&reason);
	while (wire_next(&rest, &field))
		if (why == AUTH_FAIL_CREDENTIALS)
			why = fail_code(field);
	request_fail(r, why, buf_str(&reason));
	buf_fini(&reason);
	return true;
}

static bool
reply_ok(struct auth_request *r, struct str rest)
{
	struct auth_client *c = r->client;
	struct buf user;
	buf_init(&user, 1024);
	bool good = auth_field(rest, "user", &user) == ERR_OK && user.n > 0;
	if (good) {
		struct auth_ticket t = {
			.client_pid = (uint32_t)getpid(),
			.request_id = r->id,
			.server_pid = c->server_pid,
		};
		memcpy(t.cookie, c->cookie, sizeof(t.cookie));
		list_remove(&r->link);
		loop_timer_stop(&r->timer);
		r->ops->on_ok(r->arg, r, buf_str(&user), rest, &t);
		request_free(r);
	}
	buf_fini(&user);
	return good;
}

static bool
reply_continue(struct auth_request *r, struct str rest)
{
	struct str text = STR_EMPTY;
	struct buf challenge;
	buf_init_secret(&challenge, LINE_MAX_BYTES);
	if (!wire_next(&rest, &text))
		text = STR_EMPTY;
	bool good = base64_decode(&challenge, text) == ERR_OK;
	if (good) {
		loop_timer_start(&r->timer, ANSWER_MS);
		r->ops->on_continue(r->arg, r, buf_str(&challenge));
	}
	buf_fini(&challenge);
	return good;
}

static bool
reply_line(struct auth_client *c, struct str verb, struct str rest)
{
	struct str number, name;
	uint32_t id;
	bool ok = str_eq(verb, STR("OK")), fail = str_eq(verb, STR("FAIL"));
	if (str_eq(verb, STR("MECH")) && wire_next(&rest, &name)) {
		/* One more since the service's reload. */
		add_mechanism(c, name);
		return true;
	}
	if (!ok && !fail && !str_eq(verb, STR("CONT")))
		return str_eq(verb, STR("SPID"));
	if (!wire_next(&rest, &number) || str_to_u32(number, UINT32_MAX, &id) != ERR_OK)
		return false;
	struct hmap_node *n = hmap_get(&c->by_id, str_n(&id, sizeof(id)));
	if (n == NULL)
		/* Cancelled here while the answer was on its way; else made up. */
		return id != 0 && id <= c->last_id;
	struct auth_request *r = CONTAINER_OF(n, struct auth_request, node);
	if (r->line.n > 0)
		return false; /* an answer to what was not asked yet */
	if (ok)
		return reply_ok(r, rest);
	return fail ? reply_fail(r, rest) : reply_continue(r, rest);
}

static bool
on_input(void *arg, struct buf *in)
{
	struct auth_client *c = arg;
	struct str line, verb, rest;
	enum err e;
	while ((e = wire_line(in, LINE_MAX_BYTES, &line)) == ERR_OK) {
		size_t n = line.n + 1;
		rest = line;
		bool good = wire_next(&rest, &verb) &&
			    (c->ready ? reply_line(c, verb, rest) : greeting_line(c, verb, rest));
		if (!good)
			return false;
		buf_consume(in, n);
	}
	return e == ERR_AGAIN;
}

static void
on_up(void *arg)
{
	struct auth_client *c = arg;
	struct buf b;
	buf_init(&b, 128);
	buf_addf(&b, "VERSION\t1\t2\nCPID\t%u\n", (unsigned)getpid());
	channel_write(&c->channel, buf_str(&b));
	buf_fini(&b);
}

static void
on_down(void *arg)
{
	struct auth_client *c = arg;
	c->ready = c->version_seen = false;
	c->mechanism_count = 0;
	c->cookie[0] = '\0';
	/* A callback may start a login: that one waits for the next connection. */
	struct list lost;
	list_init(&lost);
	LIST_FOREACH (n, &c->sent) {
		list_remove(n);
		list_push_back(&lost, n);
	}
	while (!list_empty(&lost))
		request_fail(CONTAINER_OF(lost.next, struct auth_request, link), AUTH_FAIL_TEMP,
			STR_EMPTY);
}

static const struct channel_ops CHANNEL_OPS = {
	.on_up = on_up,
	.on_input = on_input,
	.on_down = on_down,
};

struct auth_client *
auth_client_new(struct loop *l, struct str address)
{
	struct auth_client *c = xcalloc(1, sizeof(*c));
	hmap_init(&c->by_id);
	list_init(&c->waiting);
	list_init(&c->sent);
	channel_init(&c->channel, l, address, LINE_MAX_BYTES * 2, &CHANNEL_OPS, c);
	return c;
}

void
auth_client_free(struct auth_client *c)
{
	if (c == NULL)
		return;
	LIST_FOREACH (n, &c->waiting)
		request_free(CONTAINER_OF(n, struct auth_request, link));
	LIST_FOREACH (m, &c->sent)
		request_free(CONTAINER_OF(m, struct auth_request, link));
	channel_fini(&c->channel);
	hmap_fini(&c->by_id);
	free(c);
}

static bool
mechanism_valid(struct str m)
{
	if (m.n == 0 || m.n >= MECHANISM_SIZE)
		return false;
	for (size_t i = 0; i < m.n; i++)
		if (!ascii_is_alnum(m.p[i]) && m.p[i] != '-' && m.p[i] != '_')
			return false;
	return true;
}

static void
add_field(struct buf *b, const char *name, struct str value)
{
	if (value.n == 0)
		return;
	buf_addf(b, "\t%s=", name);
	wire_escape(b, value);
}

static void
build_line(struct buf *b, uint32_t id, const struct auth_login *l)
{
	buf_addf(b, "AUTH\t%u\t", id);
	for (size_t i = 0; i < l->mechanism.n; i++)
		buf_addc(b, (char)ascii_upper(l->mechanism.p[i]));
	add_field(b, "service", l->service);
	if (l->secured)
		buf_addz(b, "\tsecured");
	add_field(b, "session", l->session);
	add_field(b, "lip", l->local_addr);
	add_field(b, "rip", l->remote_addr);
	if (l->local_port != 0)
		buf_addf(b, "\tlport=%u", l->local_port);
	if (l->remote_port != 0)
		buf_addf(b, "\trport=%u", l->remote_port);
	if (l->certificate.n > 0)
		buf_addz(b, "\tvalid-client-cert");
	add_field(b, "cert_username", l->certificate);
	if (l->has_initial) {
		buf_addz(b, "\tresp=");
		base64_encode(b, l->initial);
	}
	buf_addc(b, '\n');
}

struct auth_request *
auth_request_start(struct auth_client *c, const struct auth_login *login,
	const struct auth_ops *ops, void *arg)
{
	if (!mechanism_valid(login->mechanism) || login->initial.n > AUTH_RESPONSE_MAX)
		return NULL;
	struct auth_request *r = xcalloc(1, sizeof(*r));
	r->client = c;
	r->ops = ops;
	r->arg = arg;
	r->late = AUTH_FAIL_TEMP;
	/* Never 0, and never one that may still be on its way. */
	do
		r->id = ++c->last_id;
	while (r->id == 0 || hmap_get(&c->by_id, str_n(&r->id, sizeof(r->id))) != NULL);
	memcpy(r->mechanism, login->mechanism.p, login->mechanism.n);
	loop_timer_init(&r->timer, c->channel.loop, on_timer, r);
	buf_init_secret(&r->line, LINE_MAX_BYTES);
	build_line(&r->line, r->id, login);
	list_push_back(&c->waiting, &r->link);
	hmap_put(&c->by_id, &r->node, str_n(&r->id, sizeof(r->id)));
	c->in_flight++;
	if (buf_check(&r->line) != ERR_OK) {
		request_free(r);
		return NULL;
	}
	if (c->in_flight > IN_FLIGHT_MAX)
		fail_soon(r, AUTH_FAIL_TEMP);
	else if (c->ready)
		request_send(r);
	else
		loop_timer_start(&r->timer, WAIT_MS);
	return r;
}

enum err
auth_request_continue(struct auth_request *r, struct str response)
{
	if (response.n > AUTH_RESPONSE_MAX)
		return ERR_LIMIT;
	struct buf b;
	buf_init_secret(&b, LINE_MAX_BYTES);
	buf_addf(&b, "CONT\t%u\t", r->id);
	base64_encode(&b, response);
	buf_addc(&b, '\n');
	channel_write(&r->client->channel, buf_str(&b));
	buf_fini(&b);
	loop_timer_start(&r->timer, ANSWER_MS);
	return ERR_OK;
}

void
auth_request_cancel(struct auth_request *r)
{
	if (r->line.n == 0)
		tell_cancel(r->client, r->id);
	request_free(r);
}
