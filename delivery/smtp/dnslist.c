/* One client in the DNS lists; see dnslist.h. checks.c asks at connect. Invariant: a list that does
 * not answer, or answers nonsense, counts 0 and costs nobody more than the common deadline. */
#include "delivery/smtp/dnslist.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { SILENT_MAX = 5, SKIP_MS = 60000, TEXT_MAX = 160 };

struct one {
	struct dnslists *all;
	struct dnslist *list;
	struct resolver_query *query, *why;
	bool listed;
	char text[TEXT_MAX + 1];
};

struct dnslists {
	struct loop *loop;
	struct resolver_client *resolver;
	int64_t until_ms, late_ms;
	size_t count, pending;
	bool done;
	char address[64];
	struct loop_task task;
	void (*fn)(void *arg);
	void *arg;
	struct one v[];
};

static void
on_task(struct loop_task *t)
{
	struct dnslists *d = t->arg;

	d->done = true;
	d->fn(d->arg);
}

static void
one_less(struct dnslists *d)
{
	if (--d->pending == 0)
		loop_task_queue(&d->task);
}

static void
on_text(void *arg, const struct resolver_answer *a)
{
	struct one *o = arg;
	size_t n = a->count > 0 ? a->records[0].text.n : 0;

	o->why = NULL;
	if (n > TEXT_MAX)
		n = TEXT_MAX;
	if (n > 0)
		memcpy(o->text, a->records[0].text.p, n);
	o->text[n] = '\0';
	one_less(o->all);
}

static bool
matches(const struct dnslist *l, const struct resolver_answer *a)
{
	for (size_t i = 0; i < a->count; i++)
		for (size_t k = 0; k < l->filters_count; k++)
			if (dnsbl_filter_match(&l->filters[k], a->records[i].text))
				return true;
	return false;
}

/* Only what keeps clients waiting counts as silence: a quick failure costs nothing. */
static void
count_silence(struct dnslists *d, struct dnslist *l, bool failed)
{
	if (!failed) {
		l->silent = 0;
		return;
	}
	if (loop_now_ms(d->loop) < d->late_ms || ++l->silent < SILENT_MAX)
		return;
	l->silent = SILENT_MAX - 1; /* one more chance, then the next minute */
	l->skip_until_ms = loop_now_ms(d->loop) + SKIP_MS;
	log_event(LVL_WARN, "smtp.dnslist", log_s("list", l->title),
		log_z("reason", "it does not answer and is left out for a minute"));
}

static void
ask_why(struct one *o)
{
	struct dnslists *d = o->all;
	int64_t left = d->until_ms - loop_now_ms(d->loop);
	struct buf name;

	buf_init(&name, 1024);
	if (left > 0 && resolver_address_name(str_of(d->address), o->list->zone, &name) == ERR_OK) {
		d->pending++;
		o->why = resolver_ask(d->resolver, buf_str(&name), DNS_TXT, left, on_text, o);
	}
	buf_fini(&name);
}

static void
on_answer(void *arg, const struct resolver_answer *a)
{
	struct one *o = arg;

	o->query = NULL;
	o->listed = matches(o->list, a);
	count_silence(o->all, o->list, a->state == RESOLVER_TEMP);
	if (o->listed && o->list->weight > 0)
		ask_why(o);
	one_less(o->all);
}

struct dnslists *
dnslists_ask(struct loop *l, struct resolver_client *r, struct dnslist *lists, size_t count,
	struct str address, int64_t timeout_ms, void (*fn)(void *arg), void *arg)
{
	struct dnslists *d = xcalloc(1, sizeof *d + count * sizeof d->v[0]);
	struct buf name;

	d->loop = l;
	d->resolver = r;
	d->until_ms = loop_now_ms(l) + timeout_ms;
	d->late_ms = loop_now_ms(l) + timeout_ms / 2;
	d->count = count;
	d->pending = 1;
	d->fn = fn;
	d->arg = arg;
	memcpy(d->address, address.p, address.n < sizeof d->address ? address.n : 0);
	loop_task_init(&d->task, l, on_task, d);
	buf_init(&name, 1024);
	for (size_t i = 0; i < count; i++) {
		struct one *o = &d->v[i];
		o->all = d;
		o->list = &lists[i];
		buf_reset(&name);
		if (loop_now_ms(l) < lists[i].skip_until_ms ||
			resolver_address_name(address, lists[i].zone, &name) != ERR_OK)
			continue;
		d->pending++;
		o->query = resolver_ask(r, buf_str(&name), DNS_A, timeout_ms, on_answer, o);
	}
	buf_fini(&name);
	one_less(d);
	return d;
}

void
dnslists_free(struct dnslists *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->count; i++) {
		resolver_cancel(d->v[i].query);
		resolver_cancel(d->v[i].why);
	}
	loop_task_cancel(&d->task);
	free(d);
}

bool
dnslists_done(const struct dnslists *d)
{
	return d->done;
}

int
dnslists_score(const struct dnslists *d)
{
	int sum = 0;

	for (size_t i = 0; i < d->count; i++)
		sum += d->v[i].listed ? d->v[i].list->weight : 0;
	return sum;
}

struct str
dnslists_worst(const struct dnslists *d, struct str *text_out)
{
	const struct one *worst = NULL;

	for (size_t i = 0; i < d->count; i++)
		if (d->v[i].listed && d->v[i].list->weight > 0 &&
			(worst == NULL || d->v[i].list->weight > worst->list->weight))
			worst = &d->v[i];
	*text_out = worst != NULL ? str_of(worst->text) : STR_EMPTY;
	return worst != NULL ? worst->list->title : STR_EMPTY;
}

void
dnslists_names(const struct dnslists *d, struct buf *out)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->v[i].listed)
			buf_addf(out, "%s%.*s*%d", out->n > 0 ? " " : "",
				STR_FMT(d->v[i].list->title), d->v[i].list->weight);
}
