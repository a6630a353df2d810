/* Questions that came over the channels, joined and asked; see service.h. main.c feeds it.
 * Invariants: a question lives until its answer, whoever still waits for it; each ASK gets one
 * ANSWER while its channel lives. */
#include "delivery/resolver/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/ipc.h"
#include "delivery/resolver/resolver.h"

struct resolver_service {
	struct loop *loop;
	struct dns *dns;
	struct resolver_limits limits;
	struct hmap questions;
	size_t waiting;
	struct list channels;
};

struct channel {
	struct list link;
	struct resolver_service *service;
	struct ipc *ipc;
	struct list waiters;
};

struct question {
	struct hmap_node node;
	struct resolver_service *service;
	enum dns_type type;
	struct dns_query *query;
	struct list waiters;
	char key[8 + RESOLVER_NAME_MAX]; /* "28 name", lower case */
};

struct waiter {
	struct list in_question, in_channel;
	struct resolver_service *service;
	struct channel *channel;
	uint64_t id;
};

static void
waiter_free(struct waiter *w)
{
	w->service->waiting--;
	list_remove(&w->in_question);
	list_remove(&w->in_channel);
	free(w);
}

static void
channel_free(struct channel *c)
{
	LIST_FOREACH (l, &c->waiters)
		waiter_free(CONTAINER_OF(l, struct waiter, in_channel));
	list_remove(&c->link);
	ipc_free(c->ipc);
	free(c);
}

static void
send_answer(struct channel *c, const struct resolver_answer *a)
{
	struct buf b;
	enum err e;

	buf_init(&b, IPC_PAYLOAD_MAX);
	e = resolver_answer_encode(a, &b);
	if (e == ERR_OK)
		e = ipc_send(c->ipc, RESOLVER_MSG_ANSWER, buf_str(&b), NULL, 0);
	buf_fini(&b);
	/* who reads no answers has his own deadlines */
	if (e != ERR_OK && e != ERR_EOF)
		log_event(LVL_ERROR, "resolver.channel", log_e("res", e));
}

static enum resolver_state
state_of(const struct dns_answer *a)
{
	switch (a->err) {
	case ERR_OK:
		return RESOLVER_FOUND;
	case ERR_NOTFOUND:
		return a->no_such_name ? RESOLVER_NO_NAME : RESOLVER_NONE;
	case ERR_TEMP:
	case ERR_AGAIN:
	case ERR_EOF:
	case ERR_SYNTAX:
	case ERR_LIMIT:
	case ERR_EXISTS:
	case ERR_DENIED:
	case ERR_BUSY:
	case ERR_CORRUPT:
	case ERR_QUOTA:
	case ERR_BUG:
		break;
	}
	return RESOLVER_TEMP;
}

/* "." is a name for MX alone. */
static bool
usable(enum dns_type type, const struct dns_record *r)
{
	return type != DNS_PTR || r->name[0] != '\0';
}

static void
question_free(struct question *q)
{
	LIST_FOREACH (l, &q->waiters)
		waiter_free(CONTAINER_OF(l, struct waiter, in_question));
	hmap_remove(&q->service->questions, &q->node);
	dns_cancel(q->query);
	free(q);
}

static void
on_dns(void *arg, const struct dns_answer *from)
{
	struct question *q = arg;
	struct resolver_answer a = { .type = q->type,
		.state = state_of(from),
		.secure = from->secure,
		.ttl_sec = from->ttl_sec };

	q->query = NULL;
	for (size_t i = 0; i < from->count && a.count < RESOLVER_RECORDS_MAX; i++)
		if (usable(q->type, &from->records[i]))
			a.records[a.count++] = (struct resolver_record){
				.preference = q->type == DNS_MX ? from->records[i].priority : 0,
				.text = str_of(from->records[i].name)
			};
	if (a.state == RESOLVER_FOUND && a.count == 0)
		a.state = RESOLVER_NONE;
	log_event(LVL_DEBUG, "resolver.answer", log_z("question", q->key),
		log_n("state", (int64_t)a.state), log_n("records", (int64_t)a.count),
		log_z("reason", a.state == RESOLVER_TEMP ? from->text : ""));
	LIST_FOREACH (l, &q->waiters) {
		struct waiter *w = CONTAINER_OF(l, struct waiter, in_question);
		a.id = w->id;
		send_answer(w->channel, &a);
		waiter_free(w);
	}
	question_free(q);
}

/* The one under way, or a new one; NULL: too many. */
static struct question *
find(struct resolver_service *s, const struct resolver_question *ask)
{
	char key[sizeof((struct question *)0)->key];
	struct hmap_node *n;
	struct question *q;

	(void)snprintf(key, sizeof key, "%d %.*s", (int)ask->type, STR_FMT(ask->name));
	for (char *c = key; *c != '\0'; c++)
		*c = (char)ascii_lower(*c);
	n = hmap_get(&s->questions, str_of(key));
	if (n != NULL)
		return CONTAINER_OF(n, struct question, node);
	if (s->questions.n >= s->limits.questions)
		return NULL;
	q = xcalloc(1, sizeof *q);
	q->service = s;
	q->type = ask->type;
	memcpy(q->key, key, sizeof key);
	list_init(&q->waiters);
	hmap_put(&s->questions, &q->node, str_of(q->key));
	q->query = dns_ask(s->dns, ask->name, ask->type, s->limits.timeout_ms, on_dns, q);
	return q;
}

static void
on_ask(struct channel *c, const struct resolver_question *ask)
{
	struct resolver_service *s = c->service;
	struct question *q = s->waiting < s->limits.waiting ? find(s, ask) : NULL;
	struct waiter *w;

	if (q == NULL) {
		const struct resolver_answer busy = {
			.id = ask->id, .type = ask->type, .state = RESOLVER_TEMP
		};
		send_answer(c, &busy);
		return;
	}
	w = xcalloc(1, sizeof *w);
	w->service = s;
	w->channel = c;
	w->id = ask->id;
	s->waiting++;
	list_push_back(&q->waiters, &w->in_question);
	list_push_back(&c->waiters, &w->in_channel);
}

static void
on_message(void *arg, struct ipc *ipc UNUSED, uint32_t type, struct str payload, const int *fds,
	size_t fds_count)
{
	struct channel *c = arg;
	struct resolver_question ask;

	for (size_t i = 0; i < fds_count; i++)
		(void)close(fds[i]);
	if (type == RESOLVER_MSG_ASK && fds_count == 0 &&
		resolver_question_decode(payload, &ask) == ERR_OK) {
		on_ask(c, &ask);
		return;
	}
	log_event(LVL_ERROR, "resolver.channel", log_z("reason", "not our protocol"));
	channel_free(c);
}

static void
on_end(void *arg, struct ipc *ipc UNUSED, enum err why)
{
	log_event(LVL_DEBUG, "resolver.channel", log_e("res", why));
	channel_free(arg);
}

static const struct ipc_ops ops = { .on_message = on_message, .on_end = on_end };

struct resolver_service *
resolver_service_new(struct loop *l, struct dns *dns, const struct resolver_limits *limits)
{
	struct resolver_service *s = xcalloc(1, sizeof *s);

	s->loop = l;
	s->dns = dns;
	s->limits = *limits;
	hmap_init(&s->questions);
	list_init(&s->channels);
	return s;
}

void
resolver_service_free(struct resolver_service *s)
{
	struct hmap_node *n;

	if (s == NULL)
		return;
	LIST_FOREACH (l, &s->channels)
		channel_free(CONTAINER_OF(l, struct channel, link));
	while ((n = hmap_next(&s->questions, NULL)) != NULL)
		question_free(CONTAINER_OF(n, struct question, node));
	hmap_fini(&s->questions);
	free(s);
}

void
resolver_service_add(struct resolver_service *s, int fd)
{
	struct channel *c = xcalloc(1, sizeof *c);

	c->service = s;
	list_init(&c->waiters);
	list_push_back(&s->channels, &c->link);
	c->ipc = ipc_new(s->loop, fd, &ops, c);
}

size_t
resolver_service_questions(const struct resolver_service *s)
{
	return s->questions.n;
}
