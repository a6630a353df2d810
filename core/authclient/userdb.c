/* Client of auth-userdb; used by imap (hand-over), lmtp and queue. Invariant: a request is in
 * the id table until its fn got its last call, and not knowing is always ERR_TEMP. */
#include "core/authclient/userdb.h"

#include <stdlib.h>

#include "core/authclient/channel.h"
#include "core/authclient/wire.h"
#include "core/base/hmap.h"
#include "core/base/xalloc.h"

enum { LINE_MAX_BYTES = 32 * 1024, NAME_MAX_BYTES = 4096, DEADLINE_MS = 10000 };

struct userdb {
	struct channel channel;
	bool ready;
	uint32_t last_id;
	struct hmap by_id;
	struct list waiting; /* for a connection */
	struct list sent;
};

enum request_kind { REQUEST_USER, REQUEST_VERIFY, REQUEST_LIST, REQUEST_CHECK };

struct userdb_request {
	struct userdb *db;
	enum request_kind kind;
	userdb_fn fn;
	void *arg;
	struct list link;
	struct hmap_node node;
	uint32_t id;
	struct buf line; /* secret: a ticket is one; empty once it was sent */
	struct loop_timer timer;
	bool too_long;
};

static void
request_free(struct userdb_request *r)
{
	list_remove(&r->link);
	hmap_remove(&r->db->by_id, &r->node);
	loop_timer_stop(&r->timer);
	buf_fini(&r->line);
	free(r);
}

static void
request_end(struct userdb_request *r, enum err e, const struct userdb_user *u)
{
	userdb_fn fn = r->fn;
	void *arg = r->arg;
	request_free(r);
	fn(arg, e, u);
}

static void
on_timer(struct loop_timer *t)
{
	struct userdb_request *r = t->arg;
	/* A name beyond every limit is nobody's. */
	bool nobody = r->too_long && r->kind != REQUEST_CHECK;
	request_end(r, nobody ? ERR_NOTFOUND : ERR_TEMP, NULL);
}

static void
request_send(struct userdb_request *r)
{
	channel_write(&r->db->channel, buf_str(&r->line));
	buf_release(&r->line);
	list_remove(&r->link);
	list_push_back(&r->db->sent, &r->link);
}

/* "USER id name fields": the answer to USER and REQUEST. */
static bool
reply_user(struct userdb_request *r, struct str rest)
{
	struct str name;
	if (r->kind == REQUEST_LIST || r->kind == REQUEST_CHECK || !wire_next(&rest, &name))
		return false;
	struct buf user, home;
	buf_init(&user, NAME_MAX_BYTES);
	buf_init(&home, NAME_MAX_BYTES);
	bool good = wire_unescape(&user, name) == ERR_OK && user.n > 0;
	if (good) {
		struct buf canonical;
		buf_init(&canonical, NAME_MAX_BYTES);
		enum err has_home = auth_field(rest, "home", &home);
		enum err has_user = auth_field(rest, "user", &canonical);
		struct userdb_user u = {
			.user = has_user == ERR_OK ? buf_str(&canonical) : buf_str(&user),
			.home = buf_str(&home),
			.fields = rest,
		};
		good = has_home != ERR_LIMIT && has_user != ERR_LIMIT && u.user.n > 0;
		if (good)
			request_end(r, ERR_OK, &u);
		buf_fini(&canonical);
	}
	buf_fini(&user);
	buf_fini(&home);
	return good;
}

static bool
reply_list(struct userdb_request *r, struct str rest)
{
	struct str names = rest, field;
	struct buf user;
	if (r->kind != REQUEST_LIST || rest.p == NULL)
		return false;
	uint32_t id = r->id;
	struct userdb *db = r->db;
	loop_timer_start(&r->timer, DEADLINE_MS);
	buf_init(&user, NAME_MAX_BYTES);
	bool good = true;
	/* The callback may cancel its list: look it up anew for every name. */
	while (good && wire_next(&names, &field) &&
		hmap_get(&db->by_id, str_n(&id, sizeof(id))) != NULL) {
		buf_reset(&user);
		good = wire_unescape(&user, field) == ERR_OK && user.n > 0;
		struct userdb_user u = { .user = buf_str(&user) };
		if (good)
			r->fn(r->arg, ERR_OK, &u);
	}
	buf_fini(&user);
	return good;
}

static bool
has_field(struct str rest, struct str word)
{
	struct str field;
	while (wire_next(&rest, &field))
		if (str_eq(field, word))
			return true;
	return false;
}

static bool
reply_fail(struct userdb_request *r, struct str rest)
{
	/* A refused ticket is an answer; a lookup that failed is not. */
	bool denied = r->kind == REQUEST_VERIFY && !has_field(rest, STR("temp"));
	request_end(r, denied ? ERR_DENIED : ERR_TEMP, NULL);
	return true;
}

static bool
reply_done(struct userdb_request *r, struct str rest)
{
	if (r->kind != REQUEST_LIST)
		return false;
	request_end(r, has_field(rest, STR("fail")) ? ERR_TEMP : ERR_EOF, NULL);
	return true;
}

static bool
reply_notfound(struct userdb_request *r, struct str rest)
{
	(void)rest;
	if (r->kind == REQUEST_CHECK)
		return false;
	request_end(r, r->kind == REQUEST_USER ? ERR_NOTFOUND : ERR_DENIED, NULL);
	return true;
}

/* The answer to CHECK. */
static bool
reply_pass(struct userdb_request *r, struct str rest)
{
	if (r->kind != REQUEST_CHECK)
		return false;
	const struct userdb_user u = { .fields = rest };
	if (has_field(rest, STR("nologin")))
		request_end(r, ERR_DENIED, &u);
	else
		request_end(r, ERR_OK, &u);
	return true;
}

static const struct {
	const char *verb;
	bool (*fn)(struct userdb_request *r, struct str rest);
} REPLIES[] = {
	{ "USER", reply_user },
	{ "PASS", reply_pass },
	{ "NOTFOUND", reply_notfound },
	{ "FAIL", reply_fail },
	{ "LIST", reply_list },
	{ "DONE", reply_done },
};

static bool
reply_line(struct userdb *db, struct str verb, struct str rest)
{
	struct str number;
	uint32_t id;
	for (size_t i = 0; i < ARRAY_LEN(REPLIES); i++) {
		if (!str_eq(verb, str_of(REPLIES[i].verb)))
			continue;
		if (!wire_next(&rest, &number) || str_to_u32(number, UINT32_MAX, &id) != ERR_OK)
			return false;
		struct hmap_node *n = hmap_get(&db->by_id, str_n(&id, sizeof(id)));
		if (n == NULL)
			return id != 0 && id <= db->last_id; /* cancelled, or timed out */
		struct userdb_request *r = CONTAINER_OF(n, struct userdb_request, node);
		return r->line.n == 0 && REPLIES[i].fn(r, rest);
	}
	return str_eq(verb, STR("SPID"));
}

static bool
greeting_line(struct userdb *db, struct str verb, struct str rest)
{
	struct str value;
	uint32_t major;
	if (!str_eq(verb, STR("VERSION")) || !wire_next(&rest, &value) ||
		str_to_u32(value, 1, &major) != ERR_OK || major != 1)
		return false;
	db->ready = true;
	channel_settled(&db->channel);
	LIST_FOREACH (n, &db->waiting) {
		struct userdb_request *r = CONTAINER_OF(n, struct userdb_request, link);
		if (!r->too_long)
			request_send(r);
	}
	return true;
}

static bool
on_input(void *arg, struct buf *in)
{
	struct userdb *db = arg;
	struct str line, verb, rest;
	enum err e;
	while ((e = wire_line(in, LINE_MAX_BYTES, &line)) == ERR_OK) {
		size_t n = line.n + 1;
		rest = line;
		bool good = wire_next(&rest, &verb) && (db->ready ? reply_line(db, verb, rest)
								  : greeting_line(db, verb, rest));
		if (!good)
			return false;
		buf_consume(in, n);
	}
	return e == ERR_AGAIN;
}

static void
on_up(void *arg)
{
	struct userdb *db = arg;
	channel_write(&db->channel, STR("VERSION\t1\t1\n"));
}

static void
on_down(void *arg)
{
	struct userdb *db = arg;
	struct list lost;
	db->ready = false;
	list_init(&lost);
	LIST_FOREACH (n, &db->sent) {
		list_remove(n);
		list_push_back(&lost, n);
	}
	while (!list_empty(&lost))
		request_end(CONTAINER_OF(lost.next, struct userdb_request, link), ERR_TEMP, NULL);
}

static const struct channel_ops CHANNEL_OPS = {
	.on_up = on_up,
	.on_input = on_input,
	.on_down = on_down,
};

struct userdb *
userdb_new(struct loop *l, struct str address)
{
	struct userdb *db = xcalloc(1, sizeof(*db));
	hmap_init(&db->by_id);
	list_init(&db->waiting);
	list_init(&db->sent);
	channel_init(&db->channel, l, address, LINE_MAX_BYTES * 2, &CHANNEL_OPS, db);
	return db;
}

void
userdb_free(struct userdb *db)
{
	if (db == NULL)
		return;
	LIST_FOREACH (n, &db->waiting)
		request_free(CONTAINER_OF(n, struct userdb_request, link));
	LIST_FOREACH (m, &db->sent)
		request_free(CONTAINER_OF(m, struct userdb_request, link));
	channel_fini(&db->channel);
	hmap_fini(&db->by_id);
	free(db);
}

static struct userdb_request *
request_new(struct userdb *db, enum request_kind kind, userdb_fn fn, void *arg)
{
	struct userdb_request *r = xcalloc(1, sizeof(*r));
	r->db = db;
	r->kind = kind;
	r->fn = fn;
	r->arg = arg;
	do
		r->id = ++db->last_id;
	while (r->id == 0 || hmap_get(&db->by_id, str_n(&r->id, sizeof(r->id))) != NULL);
	buf_init_secret(&r->line, LINE_MAX_BYTES);
	loop_timer_init(&r->timer, db->channel.loop, on_timer, r);
	list_push_back(&db->waiting, &r->link);
	hmap_put(&db->by_id, &r->node, str_n(&r->id, sizeof(r->id)));
	return r;
}

static void
add_field(struct buf *b, const char *name, struct str value)
{
	if (value.n == 0)
		return;
	buf_addf(b, "\t%s=", name);
	wire_escape(b, value);
}

static struct userdb_request *
request_go(struct userdb_request *r)
{
	buf_addc(&r->line, '\n');
	r->too_long = r->too_long || buf_check(&r->line) != ERR_OK;
	loop_timer_start(&r->timer, r->too_long ? 0 : DEADLINE_MS);
	if (!r->too_long && r->db->ready)
		request_send(r);
	return r;
}

struct userdb_request *
userdb_lookup(struct userdb *db, struct str name, struct str service, userdb_fn fn, void *arg)
{
	struct userdb_request *r = request_new(db, REQUEST_USER, fn, arg);
	r->too_long = name.n == 0 || name.n > NAME_MAX_BYTES;
	buf_addf(&r->line, "USER\t%u\t", r->id);
	wire_escape(&r->line, name);
	add_field(&r->line, "service", service);
	return request_go(r);
}

struct userdb_request *
userdb_verify(struct userdb *db, const struct auth_ticket *ticket, struct str session, userdb_fn fn,
	void *arg)
{
	struct userdb_request *r = request_new(db, REQUEST_VERIFY, fn, arg);
	buf_addf(&r->line, "REQUEST\t%u\t%u\t%u\t", r->id, ticket->client_pid, ticket->request_id);
	wire_escape(&r->line, str_of(ticket->cookie));
	add_field(&r->line, "session", session);
	return request_go(r);
}

struct userdb_request *
userdb_check(struct userdb *db, const struct userdb_check *check, userdb_fn fn, void *arg)
{
	struct userdb_request *r = request_new(db, REQUEST_CHECK, fn, arg);
	bool has_token = check->token.n != 0;
	buf_addf(&r->line, "CHECK\t%u\t%s", r->id, has_token ? "" : "U");
	wire_escape(&r->line, has_token ? check->token : check->user);
	add_field(&r->line, "user", check->user);
	add_field(&r->line, "service", check->service);
	buf_addf(&r->line, "\tmax_age=%lld", (long long)check->max_age_ms);
	return request_go(r);
}

struct userdb_request *
userdb_list(struct userdb *db, struct str service, userdb_fn fn, void *arg)
{
	struct userdb_request *r = request_new(db, REQUEST_LIST, fn, arg);
	buf_addf(&r->line, "LIST\t%u", r->id);
	add_field(&r->line, "service", service);
	return request_go(r);
}

void
userdb_cancel(struct userdb_request *r)
{
	request_free(r);
}
