/* The checks of a stranger that ask the DNS; see checks.h. session_check.c makes them at connect
 * and wants the verdict at RCPT. Invariant: a check that is off asks nothing, one that only logs
 * never refuses, and a failing DNS never refuses for good. */
#include "delivery/smtp/checks.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "delivery/smtp/domain.h"

enum { DETAIL_MAX = 512 };

/* A name that was asked about: of the greeting, of the sender's domain. */
struct asked {
	struct checks *checks;
	struct domain *query;
	enum domain_state state;
	bool known; /* … and there is something to know */
	bool noted; /* its finding is in the log */
	char name[256];
};

struct checks {
	struct loop *loop;
	struct resolver_client *resolver;
	const struct check_options *o;
	const char *address, *sid;
	bool exempt;
	struct client_name *client_query;
	enum client_state client;
	bool client_noted, lists_noted;
	char client_name[RESOLVER_NAME_MAX + 1];
	struct dnslists *lists;
	struct asked helo, sender;
	char detail[DETAIL_MAX];
	struct loop_task wake;
	void (*fn)(void *arg);
	void *arg;
};

enum check_mode
check_mode_of(struct str word)
{
	if (str_eq(word, STR("log")))
		return CHECK_LOG;
	if (str_eq(word, STR("defer")))
		return CHECK_DEFER;
	return str_eq(word, STR("refuse")) ? CHECK_REFUSE : CHECK_OFF;
}

static bool
wants_client(const struct check_options *o)
{
	return o->client_ptr != CHECK_OFF || o->client_confirmed != CHECK_OFF;
}

static bool
wants_lists(const struct check_options *o)
{
	return o->dnsbl != CHECK_OFF && o->lists_count > 0;
}

bool
checks_wanted(const struct check_options *o)
{
	return wants_client(o) || wants_lists(o) || o->helo_known != CHECK_OFF ||
	       o->sender_known != CHECK_OFF;
}

static bool
all_known(const struct checks *c)
{
	return c->client != CLIENT_PENDING && (c->lists == NULL || dnslists_done(c->lists)) &&
	       c->helo.query == NULL && c->sender.query == NULL;
}

static void
look_again(struct checks *c)
{
	if (c->fn != NULL && all_known(c))
		loop_task_queue(&c->wake);
}

static void
on_wake(struct loop_task *t)
{
	struct checks *c = t->arg;
	void (*fn)(void *arg) = c->fn;

	c->fn = NULL;
	if (fn != NULL)
		fn(c->arg);
}

static void
on_client(void *arg, enum client_state s, const char *name)
{
	struct checks *c = arg;

	c->client_query = NULL;
	c->client = s;
	memcpy(c->client_name, name, strlen(name) + 1);
	look_again(c);
}

static void
on_lists(void *arg)
{
	look_again(arg);
}

static void
on_domain(void *arg, enum domain_state s)
{
	struct asked *a = arg;

	a->query = NULL;
	a->state = s;
	look_again(a->checks);
}

struct checks *
checks_new(struct loop *l, struct resolver_client *r, const struct check_options *o,
	const char *address, const char *sid)
{
	struct checks *c = xcalloc(1, sizeof *c);

	c->loop = l;
	c->resolver = r;
	c->o = o;
	c->address = address;
	c->sid = sid;
	c->helo.checks = c->sender.checks = c;
	loop_task_init(&c->wake, l, on_wake, c);
	for (size_t i = 0; i < o->exempt_count; i++)
		c->exempt = c->exempt || cidr_contains(&o->exempt[i], str_of(address));
	if (wants_client(o)) {
		c->client = CLIENT_PENDING;
		c->client_query =
			client_name_ask(l, r, str_of(address), o->timeout_ms, on_client, c);
	}
	if (wants_lists(o) && !c->exempt)
		c->lists = dnslists_ask(l, r, o->lists, o->lists_count, str_of(address),
			o->timeout_ms, on_lists, c);
	return c;
}

void
checks_free(struct checks *c)
{
	if (c == NULL)
		return;
	client_name_cancel(c->client_query);
	dnslists_free(c->lists);
	domain_cancel(c->helo.query);
	domain_cancel(c->sender.query);
	loop_task_cancel(&c->wake);
	free(c);
}

static void
ask(struct checks *c, struct asked *a, struct str said, enum check_mode mode)
{
	struct buf b;
	struct str name;

	buf_init(&b, sizeof a->name - 1);
	name = domain_name(said, &b);
	if (!str_eq(name, str_of(a->name))) {
		domain_cancel(a->query);
		a->query = NULL;
		a->noted = false;
		a->known = mode != CHECK_OFF && !c->exempt && name.n > 0;
		memcpy(a->name, name.p, name.n);
		a->name[name.n] = '\0';
		if (a->known)
			a->query = domain_ask(c->resolver, name, c->o->timeout_ms, on_domain, a);
	}
	buf_fini(&b);
}

void
checks_helo(struct checks *c, struct str name)
{
	ask(c, &c->helo, name, c->o->helo_known);
}

void
checks_sender(struct checks *c, struct str domain)
{
	ask(c, &c->sender, domain, c->o->sender_known);
}

/* The verdict. */

struct finding {
	const char *check;	       /* for the log */
	enum check_mode mode;	       /* of what was found; CHECK_OFF: nothing */
	bool temp;		       /* nobody knows */
	enum smtp_reply defer, refuse; /* what it is answered */
};

static struct finding
of_client(const struct checks *c)
{
	struct finding f = { .check = "client name", .temp = c->client == CLIENT_TEMP };

	switch (c->client) {
	case CLIENT_NO_PTR:
		f.defer = REPLY_CLIENT_NO_PTR_YET;
		f.refuse = REPLY_CLIENT_NO_PTR;
		/* what has no name has none that leads back either: the stricter counts */
		f.mode = c->o->client_ptr > c->o->client_confirmed ? c->o->client_ptr
								   : c->o->client_confirmed;
		break;
	case CLIENT_UNCONFIRMED:
		f.defer = REPLY_CLIENT_UNCONFIRMED_YET;
		f.refuse = REPLY_CLIENT_UNCONFIRMED;
		f.mode = c->o->client_confirmed;
		break;
	case CLIENT_TEMP:
		f.mode = c->o->client_ptr > c->o->client_confirmed ? c->o->client_ptr
								   : c->o->client_confirmed;
		break;
	case CLIENT_UNASKED:
	case CLIENT_PENDING:
	case CLIENT_CONFIRMED:
		break;
	}
	return f;
}

static struct finding
of_helo(const struct checks *c)
{
	struct finding f = {
		.check = "helo", .defer = REPLY_HELO_UNKNOWN_YET, .refuse = REPLY_HELO_UNKNOWN
	};

	f.temp = c->helo.state == DOMAIN_TEMP;
	/* a host that takes no mail may send some */
	if (c->helo.known && (f.temp || c->helo.state == DOMAIN_UNKNOWN))
		f.mode = c->o->helo_known;
	return f;
}

static struct finding
of_sender(const struct checks *c)
{
	bool null = c->sender.state == DOMAIN_NULL_MX;
	struct finding f = { .check = "sender domain",
		.defer = null ? REPLY_SENDER_NULL_MX_YET : REPLY_SENDER_UNKNOWN_YET,
		.refuse = null ? REPLY_SENDER_NULL_MX : REPLY_SENDER_UNKNOWN };

	f.temp = c->sender.state == DOMAIN_TEMP;
	if (c->sender.known && c->sender.state != DOMAIN_FOUND)
		f.mode = c->o->sender_known;
	return f;
}

static struct finding
of_lists(const struct checks *c)
{
	struct finding f = { .check = "dnsbl", .defer = REPLY_LISTED_YET, .refuse = REPLY_LISTED };

	if (c->lists != NULL && dnslists_score(c->lists) >= c->o->dnsbl_threshold)
		f.mode = c->o->dnsbl;
	return f;
}

/* REPLY_OK: it passes. */
static enum smtp_reply
reply_of(const struct checks *c, const struct finding *f)
{
	if (f->mode == CHECK_OFF || f->mode == CHECK_LOG || c->exempt)
		return REPLY_OK;
	if (f->temp)
		return c->o->failure_defers ? REPLY_DNS_FAILED : REPLY_OK;
	return f->mode == CHECK_DEFER ? f->defer : f->refuse;
}

static void
note(struct checks *c, const struct finding *f, const char *value, bool *noted)
{
	enum smtp_reply r = reply_of(c, f);

	if (f->mode == CHECK_OFF || *noted)
		return;
	*noted = true;
	log_event(LVL_INFO, "smtp.check", log_z("sid", c->sid), log_z("peer", c->address),
		log_z("name", c->client_name), log_z("check", f->check), log_z("value", value),
		log_z("reason", f->temp		       ? "no answer"
				: f->defer == REPLY_OK ? ""
						       : smtp_reply_row(f->refuse)->reason),
		log_z("res", r == REPLY_OK		     ? "pass"
			     : smtp_reply_row(r)->code < 500 ? "defer"
							     : "refuse"));
}

/* "zen.example.org (see https://…)" */
static void
list_detail(struct checks *c)
{
	struct str text, title = dnslists_worst(c->lists, &text);
	struct buf b;

	buf_init(&b, DETAIL_MAX - 1);
	buf_add(&b, title);
	if (text.n > 0)
		buf_addf(&b, " (%.*s)", STR_FMT(text));
	memcpy(c->detail, buf_str(&b).p, b.n);
	c->detail[b.n] = '\0';
	buf_fini(&b);
}

static void
note_lists(struct checks *c, const struct finding *f)
{
	struct buf names;

	buf_init(&names, 4096);
	if (c->lists != NULL)
		dnslists_names(c->lists, &names);
	note(c, f, buf_z(&names), &c->lists_noted);
	buf_fini(&names);
}

bool
checks_verdict(struct checks *c, enum smtp_reply *reply_out, struct str *detail_out,
	void (*fn)(void *arg), void *arg)
{
	struct finding lists, others[3];
	const char *values[] = { c->address, c->helo.name, c->sender.name };
	bool *noted[] = { &c->client_noted, &c->helo.noted, &c->sender.noted };

	*reply_out = REPLY_OK;
	*detail_out = STR_EMPTY;
	if (!all_known(c)) {
		c->fn = fn;
		c->arg = arg;
		return false;
	}
	lists = of_lists(c);
	note_lists(c, &lists);
	*reply_out = reply_of(c, &lists);
	if (*reply_out != REPLY_OK) {
		list_detail(c);
		*detail_out = str_of(c->detail);
		return true;
	}
	if (c->lists != NULL && dnslists_score(c->lists) < 0)
		return true;
	others[0] = of_client(c);
	others[1] = of_helo(c);
	others[2] = of_sender(c);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		note(c, &others[i], values[i], noted[i]);
		if (*reply_out == REPLY_OK)
			*reply_out = reply_of(c, &others[i]);
	}
	return true;
}

void
checks_forget(struct checks *c)
{
	c->fn = NULL;
	loop_task_cancel(&c->wake);
}

enum client_state
checks_client(const struct checks *c)
{
	return c->client;
}

const char *
checks_client_name(const struct checks *c)
{
	return c->client_name;
}
