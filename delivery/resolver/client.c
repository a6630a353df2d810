/* smtp's half of the resolver channel; see resolver.h. Invariants: a query hears exactly one answer
 * unless it was cancelled, never inside resolver_ask, and no later than its own timer says; answers
 * to what is not known any more are ignored. */
#include <stdlib.h>
#include <unistd.h>

#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc_client.h"
#include "delivery/resolver/resolver.h"

enum { QUEUED_MAX = 2048 };

struct resolver_client {
	struct ipc_client channel;
	uint64_t next_id;
	struct hmap queries; /* that were asked, by id */
};

struct resolver_query {
	struct hmap_node node;
	struct resolver_client *client;
	uint64_t id;
	bool asked;
	enum dns_type type;
	enum resolver_state otherwise; /* the answer when the timer fires */
	struct loop_timer timer;
	resolver_fn fn;
	void *arg;
};

static void
query_free(struct resolver_query *q)
{
	if (q->asked)
		hmap_remove(&q->client->queries, &q->node);
	loop_timer_stop(&q->timer);
	free(q);
}

/* q is gone before its fn runs. */
static void
answer(struct resolver_query *q, const struct resolver_answer *a)
{
	resolver_fn fn = q->fn;
	void *arg = q->arg;

	query_free(q);
	fn(arg, a);
}

static void
on_timer(struct loop_timer *t)
{
	struct resolver_query *q = t->arg;
	const struct resolver_answer a = { .id = q->id, .type = q->type, .state = q->otherwise };

	answer(q, &a);
}

static struct resolver_query *
find(const struct resolver_client *c, uint64_t id)
{
	struct hmap_node *n = hmap_get(&c->queries, str_n(&id, sizeof id));

	return n != NULL ? CONTAINER_OF(n, struct resolver_query, node) : NULL;
}

/* Whoever still waits has the answer at the loop's next turn. */
static void
channel_lost(struct resolver_client *c, enum err why)
{
	log_event(LVL_WARN, "smtp.resolver_lost", log_e("err", why),
		log_n("questions", (int64_t)c->queries.n));
	ipc_client_lost(&c->channel);
	for (struct hmap_node *n = hmap_next(&c->queries, NULL); n != NULL;
		n = hmap_next(&c->queries, n))
		loop_timer_start(&CONTAINER_OF(n, struct resolver_query, node)->timer, 0);
}

static void
on_message(void *arg, struct ipc *ipc UNUSED, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct resolver_client *c = arg;
	struct resolver_answer a;
	struct resolver_query *q;

	for (size_t i = 0; i < fds_count; i++)
		(void)close(fds[i]);
	if (type != RESOLVER_MSG_ANSWER || resolver_answer_decode(payload, &a) != ERR_OK) {
		channel_lost(c, ERR_SYNTAX);
		return;
	}
	ipc_client_works(&c->channel);
	q = find(c, a.id);
	if (q != NULL && q->type == a.type)
		answer(q, &a);
}

static void
on_end(void *arg, struct ipc *ipc UNUSED, enum err why)
{
	channel_lost(arg, why);
}

static const struct ipc_ops channel_ops = { .on_message = on_message, .on_end = on_end };

struct resolver_client *
resolver_client_new(struct loop *l, const char *path)
{
	struct resolver_client *c = xcalloc(1, sizeof(*c));

	ipc_client_init(&c->channel, l, path);
	c->next_id = 1;
	hmap_init(&c->queries);
	return c;
}

void
resolver_client_free(struct resolver_client *c)
{
	if (c == NULL)
		return;
	ipc_client_fini(&c->channel);
	hmap_fini(&c->queries);
	free(c);
}

static enum err
send_question(struct resolver_query *q, struct str name)
{
	const struct resolver_question ask = { .id = q->id, .type = q->type, .name = name };
	struct resolver_client *c = q->client;
	struct buf b;
	enum err e;

	buf_init(&b, 1024);
	e = resolver_question_encode(&ask, &b);
	if (e == ERR_OK) {
		e = ipc_client_open(&c->channel, &channel_ops, c);
		if (e == ERR_OK && ipc_queued(c->channel.ipc) >= QUEUED_MAX)
			e = ERR_TEMP;
		if (e == ERR_OK)
			e = ipc_send(c->channel.ipc, RESOLVER_MSG_ASK, buf_str(&b), NULL, 0);
		if (e != ERR_OK)
			e = ERR_TEMP;
	}
	buf_fini(&b);
	return e;
}

struct resolver_query *
resolver_ask(struct resolver_client *c, struct str name, enum dns_type type, int64_t timeout_ms,
	resolver_fn fn, void *arg)
{
	struct resolver_query *q = xcalloc(1, sizeof(*q));
	enum err e;

	q->client = c;
	q->id = c->next_id++;
	q->type = type;
	q->otherwise = RESOLVER_TEMP;
	q->fn = fn;
	q->arg = arg;
	loop_timer_init(&q->timer, c->channel.loop, on_timer, q);
	e = send_question(q, name);
	if (e == ERR_LIMIT)
		q->otherwise = RESOLVER_NO_NAME;
	if (e == ERR_OK) {
		q->asked = true;
		hmap_put(&c->queries, &q->node, str_n(&q->id, sizeof q->id));
	}
	loop_timer_start(&q->timer, e == ERR_OK && timeout_ms > 0 ? timeout_ms : 0);
	return q;
}

void
resolver_cancel(struct resolver_query *q)
{
	if (q != NULL)
		query_free(q);
}
