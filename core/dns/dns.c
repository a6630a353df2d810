/* The wrapper of libunbound; see dns.h. The directory client's discovery of servers asks, and
 * relay. libunbound resolves on a thread of its own and tells of answers through a descriptor;
 * everything here runs on the loop.
 *
 * Invariant: a query's fn is called from our task, never inside libunbound, so that it may cancel,
 * ask and close at will. */
#include "core/dns/dns.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"

enum {
	RECORDS_MAX = 64,
	OPTIONS_MAX = 128 * 1024,
	CLASS_IN = 1,
	SRV_FIXED = 6,
	MX_FIXED = 2,
	TLSA_FIXED = 3,
	LABEL_MAX = 63,
	WIRE_MAX = 255
};

struct dns {
	struct dns *next; /* all of this process */
	unsigned refs;
	struct buf key; /* the options, to find this one again */
	struct ub_ctx *ctx;
	struct loop_io io;
	struct loop_task task;
	struct list pending, done;
};

struct dns_query {
	struct list link;
	struct dns *dns;
	int id;
	bool asked; /* libunbound has it */
	enum dns_type type;
	struct loop_timer deadline;
	dns_fn fn;
	void *arg;
	struct ub_result *result;
	const char *wrong;
};

static struct dns *all;

/* ---- records ---- */

static bool
host_char(int c)
{
	return ascii_is_alnum(c) || c == '-' || c == '_';
}

/* A name of labels with their lengths in front, to its very end. */
static enum err
parse_name(struct str in, char out[256])
{
	size_t at = 0, n = 0;
	for (;;) {
		size_t len = at < in.n ? (unsigned char)in.p[at] : LABEL_MAX + 1;
		if (len > LABEL_MAX || at + 1 + len > in.n || at + 1 + len >= WIRE_MAX + (len == 0))
			return ERR_SYNTAX;
		if (len == 0)
			break;
		if (n > 0)
			out[n++] = '.';
		for (size_t i = 0; i < len; i++) {
			int c = (unsigned char)in.p[at + 1 + i];
			if (!host_char(c))
				return ERR_SYNTAX;
			out[n++] = (char)ascii_lower(c);
		}
		at += 1 + len;
	}
	out[n] = '\0';
	return at + 1 == in.n ? ERR_OK : ERR_SYNTAX;
}

static uint16_t
number_at(struct str s, size_t at)
{
	return (uint16_t)((unsigned char)s.p[at] << 8 | (unsigned char)s.p[at + 1]);
}

static enum err
parse_strings(struct str in, char out[256])
{
	size_t n = 0;

	while (in.n > 0) {
		size_t len = (unsigned char)in.p[0];
		if (len + 1 > in.n)
			return ERR_SYNTAX;
		for (size_t i = 1; i <= len && n < 255; i++)
			out[n++] = in.p[i] >= ' ' && in.p[i] <= '~' ? in.p[i] : '?';
		in = str_from(in, len + 1);
	}
	out[n] = '\0';
	return ERR_OK;
}

enum err
dns_parse_record(enum dns_type type, struct str data, struct dns_record *out)
{
	*out = (struct dns_record){ 0 };
	switch (type) {
	case DNS_A:
		if (data.n != 4)
			return ERR_SYNTAX;
		inet_ntop(AF_INET, data.p, out->name, sizeof out->name);
		return ERR_OK;
	case DNS_AAAA:
		if (data.n != 16)
			return ERR_SYNTAX;
		inet_ntop(AF_INET6, data.p, out->name, sizeof out->name);
		return ERR_OK;
	case DNS_SRV:
		if (data.n <= SRV_FIXED)
			return ERR_SYNTAX;
		out->priority = number_at(data, 0);
		out->weight = number_at(data, 2);
		out->port = number_at(data, 4);
		return parse_name(str_from(data, SRV_FIXED), out->name);
	case DNS_MX:
		if (data.n <= MX_FIXED)
			return ERR_SYNTAX;
		out->priority = number_at(data, 0);
		return parse_name(str_from(data, MX_FIXED), out->name);
	case DNS_PTR:
		return parse_name(data, out->name);
	case DNS_TXT:
		return parse_strings(data, out->name);
	case DNS_TLSA:
		if (data.n <= TLSA_FIXED)
			return ERR_SYNTAX;
		out->usage = (uint8_t)data.p[0];
		out->selector = (uint8_t)data.p[1];
		out->matching = (uint8_t)data.p[2];
		out->data = str_from(data, TLSA_FIXED);
		return ERR_OK;
	}
	return ERR_SYNTAX;
}

/* ---- answers ---- */

static void
query_free(struct dns_query *q)
{
	loop_timer_stop(&q->deadline);
	list_remove(&q->link);
	ub_resolve_free(q->result);
	free(q);
}

static void
query_done(struct dns_query *q, struct ub_result *result, const char *wrong)
{
	loop_timer_stop(&q->deadline);
	list_remove(&q->link);
	q->asked = false;
	q->result = result;
	q->wrong = wrong;
	list_push_back(&q->dns->done, &q->link);
	loop_task_queue(&q->dns->task);
}

static void
on_result(void *arg, int code, struct ub_result *result)
{
	query_done(arg, result, code != 0 ? ub_strerror(code) : NULL);
}

static void
on_io(struct loop_io *io, int events UNUSED)
{
	struct dns *d = io->arg;
	(void)ub_process(d->ctx);
}

static void
on_deadline(struct loop_timer *t)
{
	struct dns_query *q = t->arg;
	if (q->asked)
		(void)ub_cancel(q->dns->ctx, q->id);
	query_done(q, NULL, "no answer in time");
}

/* Of more than there is room for, those that are to be tried first. */
static void
keep(struct dns_record records[RECORDS_MAX], size_t *count, const struct dns_record *one)
{
	size_t worst = 0;
	if (*count < RECORDS_MAX) {
		records[(*count)++] = *one;
		return;
	}
	for (size_t i = 1; i < RECORDS_MAX; i++)
		if (records[i].priority > records[worst].priority)
			worst = i;
	if (one->priority < records[worst].priority)
		records[worst] = *one;
}

static void
read_result(
	const struct dns_query *q, struct dns_record records[RECORDS_MAX], struct dns_answer *out)
{
	const struct ub_result *r = q->result;
	out->err = ERR_TEMP;
	out->text = q->wrong;
	out->name = "";
	if (r == NULL || q->wrong != NULL)
		return;
	if (r->bogus) {
		out->text = r->why_bogus != NULL ? r->why_bogus : "DNSSEC: the answer is forged";
		return;
	}
	out->ttl_sec = r->ttl > 0 ? (uint32_t)r->ttl : 0;
	out->secure = r->secure != 0;
	out->name = r->canonname != NULL ? r->canonname : "";
	if (!r->havedata && !r->nxdomain && r->rcode != 0) {
		out->text = "the DNS server failed";
		return;
	}
	for (size_t i = 0; r->havedata && r->data[i] != NULL; i++) {
		struct str data = str_n(r->data[i], r->len[i] > 0 ? (size_t)r->len[i] : 0);
		struct dns_record one;
		if (dns_parse_record(q->type, data, &one) == ERR_OK)
			keep(records, &out->count, &one);
		else
			out->bad++;
	}
	out->no_such_name = r->nxdomain != 0;
	out->records = records;
	out->err = out->count > 0 ? ERR_OK : ERR_NOTFOUND;
	out->text = out->count > 0 ? "" : "no such records";
}

static void
dns_unref(struct dns *d)
{
	if (--d->refs > 0)
		return;
	for (struct dns **at = &all; *at != NULL; at = &(*at)->next)
		if (*at == d) {
			*at = d->next;
			break;
		}
	while (!list_empty(&d->pending))
		query_free(CONTAINER_OF(d->pending.next, struct dns_query, link));
	while (!list_empty(&d->done))
		query_free(CONTAINER_OF(d->done.next, struct dns_query, link));
	loop_task_cancel(&d->task);
	if (d->io.loop != NULL)
		loop_io_set(&d->io, 0);
	ub_ctx_delete(d->ctx);
	buf_fini(&d->key);
	free(d);
}

static void
on_task(struct loop_task *t)
{
	struct dns *d = t->arg;
	struct dns_record records[RECORDS_MAX];
	d->refs++;
	while (!list_empty(&d->done)) {
		struct dns_query *q = CONTAINER_OF(d->done.next, struct dns_query, link);
		struct dns_answer a = { 0 };
		list_remove(&q->link);
		read_result(q, records, &a);
		q->fn(q->arg, &a);
		query_free(q);
	}
	dns_unref(d);
}

/* ---- questions ---- */

struct dns_query *
dns_ask(struct dns *d, struct str name, enum dns_type type, int64_t timeout_ms, dns_fn fn,
	void *arg)
{
	struct dns_query *q = xcalloc(1, sizeof *q);
	sigset_t blocked, old;
	char text[256];
	q->dns = d;
	q->type = type;
	q->fn = fn;
	q->arg = arg;
	loop_timer_init(&q->deadline, d->task.loop, on_deadline, q);
	list_push_back(&d->pending, &q->link);
	if (name.n == 0 || name.n >= sizeof text || str_has_nul(name)) {
		query_done(q, NULL, "not a name");
		return q;
	}
	(void)snprintf(text, sizeof text, "%.*s", STR_FMT(name));
	/* The first question starts the thread, which must not take the loop's signals. */
	(void)sigfillset(&blocked);
	(void)pthread_sigmask(SIG_BLOCK, &blocked, &old);
	int code = ub_resolve_async(d->ctx, text, (int)type, CLASS_IN, q, on_result, &q->id);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code != 0) {
		query_done(q, NULL, ub_strerror(code));
		return q;
	}
	q->asked = true;
	loop_timer_start(&q->deadline, timeout_ms);
	if (d->io.loop == NULL) {
		loop_io_init(&d->io, d->task.loop, ub_fd(d->ctx), on_io, d);
		loop_io_set(&d->io, LOOP_READ);
	}
	return q;
}

void
dns_cancel(struct dns_query *q)
{
	if (q == NULL)
		return;
	if (q->asked)
		(void)ub_cancel(q->dns->ctx, q->id);
	query_free(q);
}

/* ---- the context ---- */

static const char *
set_servers(struct ub_ctx *ctx, const struct dns_options *o)
{
	char text[80];
	/* a resolver on this machine is no mistake */
	if (ub_ctx_set_option(ctx, "do-not-query-localhost:", "no") != 0)
		return "DNS library";
	/* the servers know best what the names of private addresses are */
	if (ub_ctx_set_option(ctx, "unblock-lan-zones:", "yes") != 0)
		return "DNS library";
	if (o->servers_count == 0)
		return ub_ctx_resolvconf(ctx, NULL) == 0 ? NULL : "/etc/resolv.conf";
	for (size_t i = 0; i < o->servers_count; i++) {
		struct str s = o->servers[i];
		if (s.n >= sizeof text || str_has_nul(s))
			return "a DNS server is no address";
		(void)snprintf(text, sizeof text, "%.*s", STR_FMT(s));
		if (ub_ctx_set_fwd(ctx, text) != 0)
			return "a DNS server is no address";
	}
	return NULL;
}

/* libunbound looks at it no earlier than at the first question. */
static bool
is_anchor(struct str line)
{
	struct str word, rest = line;
	while (rest.n > 0) {
		(void)str_cut(rest, ' ', &word, &rest);
		if (str_eq(word, STR("DS")) || str_eq(word, STR("DNSKEY")))
			return rest.n > 0;
	}
	return false;
}

static const char *
set_trust(struct ub_ctx *ctx, struct str anchors)
{
	struct str line, rest = anchors;
	while (rest.n > 0) {
		char text[1024];
		(void)str_cut(rest, '\n', &line, &rest);
		line = str_trim(line);
		if (line.n == 0 || line.p[0] == ';')
			continue;
		if (line.n >= sizeof text || str_has_nul(line))
			return "a DNSSEC trust anchor is none";
		(void)snprintf(text, sizeof text, "%.*s", STR_FMT(line));
		for (char *c = text; *c != '\0'; c++)
			if (*c == '\t')
				*c = ' ';
		if (!is_anchor(str_of(text)) || ub_ctx_add_ta(ctx, text) != 0)
			return "a DNSSEC trust anchor is none";
	}
	return NULL;
}

enum err
dns_open(struct loop *l, const struct dns_options *o, struct dns **out, const char **err_out)
{
	struct buf key;
	buf_init(&key, OPTIONS_MAX);
	buf_addf(&key, "%p ", (void *)l);
	for (size_t i = 0; i < o->servers_count; i++)
		buf_addf(&key, "%.*s ", STR_FMT(o->servers[i]));
	buf_add(&key, o->trust_anchor);
	for (struct dns *d = all; d != NULL; d = d->next) {
		if (buf_check(&key) != ERR_OK || !str_eq(buf_str(&d->key), buf_str(&key)))
			continue;
		buf_fini(&key);
		d->refs++;
		*out = d;
		return ERR_OK;
	}
	struct ub_ctx *ctx = ub_ctx_create();
	const char *wrong = ctx == NULL ? "DNS library" : NULL;
	if (wrong == NULL) {
		(void)ub_ctx_debugout(ctx, NULL);
		(void)ub_ctx_async(ctx, 1);
		(void)ub_ctx_hosts(ctx, NULL);
		wrong = set_servers(ctx, o);
	}
	if (wrong == NULL)
		wrong = set_trust(ctx, o->trust_anchor);
	if (wrong != NULL) {
		*err_out = wrong;
		ub_ctx_delete(ctx);
		buf_fini(&key);
		return ERR_SYNTAX;
	}
	struct dns *d = xcalloc(1, sizeof *d);
	d->refs = 1;
	d->key = key;
	d->ctx = ctx;
	d->next = all;
	all = d;
	list_init(&d->pending);
	list_init(&d->done);
	loop_task_init(&d->task, l, on_task, d);
	*out = d;
	return ERR_OK;
}

void
dns_close(struct dns *d)
{
	if (d != NULL)
		dns_unref(d);
}
