/* Whole searches; see search.h. directory/ asks, ldap/pool.c answers single questions.
 *
 * A search is a row of legs: the question itself, and one for each reference that is followed. A
 * leg is asked in pages or at once; after each answer ranges.c makes cut attributes whole, before
 * the next page, the next leg or the end. Invariants: a search has at most one question in a pool
 * at a time; an answer is either whole or an error; and only one search of a client is between
 * pages (slapd keeps one cookie a connection: a second search would end the first). */
#include "auth-ldap/ldap/search_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024, /* of an answer in several parts */
	QUERY_MAX = 1024 * 1024,
	DEPTH_MAX = 5,	      /* of references in answers to references */
	LEGS_MAX = 50,	      /* of one search */
	PAGE_MAX = 64 * 1024, /* a cookie */
	EMPTY_PAGES_MAX = 1000,
	PAGE_SIZE_MIN = 10,
	LIST_TURN = 20,	   /* times search_ms that a list waits for another one */
	PAGING_MAX = 1000, /* searches that wait for their turn to page */
	RESULT_SIZELIMIT = 4,
	RESULT_ADMINLIMIT = 11,
};

static void
leg_ask(struct ldap_search *s);

/* ---- ends ---- */

static void
paging_leave(struct ldap_search *s)
{
	struct ldap_client *c = s->client;
	if (s->paging_waits)
		c->paging_waiting_count--;
	s->paging_waits = false;
	loop_timer_stop(&s->paging_deadline);
	list_remove(&s->paging_link);
	if (c->paging != s)
		return;
	c->paging = NULL;
	if (!list_empty(&c->paging_waiting) && !c->ending)
		loop_task_queue(&c->paging_task);
}

void
search_free(struct ldap_search *s)
{
	ldap_op_cancel(s->asked);
	paging_leave(s);
	loop_task_cancel(&s->task);
	list_remove(&s->link);
	buf_fini(&s->page);
	arena_free(s->arena);
	arena_free(s->query_arena);
	free(s);
}

/* One call of fn; false: s was cancelled in it, and is gone. */
static bool
tell(struct ldap_search *s, const struct ldap_op *op)
{
	s->calling = true;
	s->fn(s->arg, op);
	s->calling = false;
	if (!s->cancelled)
		return true;
	search_free(s);
	return false;
}

static void
finish(struct ldap_search *s)
{
	s->answer.more = false;
	if (tell(s, &s->answer))
		search_free(s);
}

void
search_fail(struct ldap_search *s, enum err e, const char *why)
{
	s->answer.err = e;
	(void)snprintf(s->answer.text, sizeof s->answer.text, "%s", why);
	finish(s);
}

/* ---- legs ---- */

static struct leg *
leg_new(struct ldap_search *s, struct ldap_pool *pool, const struct ldap_query *q, unsigned depth)
{
	struct leg *l =
		s->legs_count < LEGS_MAX ? arena_calloc(s->query_arena, 1, sizeof *l) : NULL;
	if (l == NULL || arena_str(s->query_arena, q->base, &l->base) != ERR_OK ||
		arena_str(s->query_arena, q->filter, &l->filter) != ERR_OK)
		return NULL;
	l->pool = pool;
	l->scope = q->scope;
	l->depth = depth;
	*s->legs_end = l;
	s->legs_end = &l->next;
	s->legs_count++;
	return l;
}

/* One more leg, at url. False: s failed and is gone. */
static bool
follow_url(struct ldap_search *s, const struct ldap_url *url, struct ldap_pool *pool)
{
	const struct leg *from = s->leg;
	struct ldap_query q = { .base = url->dn.n > 0 ? url->dn : from->base,
		.filter = url->filter_given ? url->filter : from->filter,
		.scope = url->scope_given ? url->scope : from->scope };
	if (!url->scope_given && from->scope == SCOPE_ONE && !s->referred)
		q.scope = SCOPE_BASE; /* RFC 4511 4.5.3 */
	if (from->depth < DEPTH_MAX && leg_new(s, pool, &q, from->depth + 1) != NULL)
		return true;
	search_fail(s, ERR_TEMP, "too many references, or in a circle");
	return false;
}

/* Follow r, or leave it out where the settings say so. False: s failed and is gone. */
static bool
follow(struct ldap_search *s, const struct ldap_reference *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct ldap_url url;
		struct ldap_pool *pool = NULL;
		enum err e = ldap_url_parse(r->uris[i], s->query_arena, &url);
		if (e == ERR_OK)
			e = referral_pool(s->client, &url, &pool);
		if (e == ERR_OK)
			return follow_url(s, &url, pool);
		if (e == ERR_DENIED || e == ERR_SYNTAX)
			continue;
		search_fail(s, ERR_TEMP, "references lead to too many hosts");
		return false;
	}
	if (!s->referred)
		return true; /* to a part of the tree that we were not told to enter */
	char why[sizeof s->answer.text];
	struct str uri = r->count > 0 ? r->uris[0] : STR("nowhere");
	(void)snprintf(why, sizeof why, "the base is elsewhere: %.*s", STR_FMT(uri));
	search_fail(s, ERR_TEMP, why);
	return false;
}

/* ---- answers ---- */

static bool
keep_entries(struct ldap_search *s, const struct ldap_op *op)
{
	for (const struct ldap_entry *e = op->entries; e != NULL; e = e->next) {
		struct ldap_entry *copy = ldap_entry_copy(s->arena, e);
		if (copy == NULL)
			return false;
		*s->answer.entries_end = copy;
		s->answer.entries_end = &copy->next;
		s->answer.entries_count++;
		s->entries_count++;
	}
	return true;
}

/* Nothing but this one answer was ever needed. */
static bool
is_simple(const struct ldap_search *s, const struct ldap_op *op)
{
	if (s->legs_count > 1 || s->paged || op->referred ||
		(s->client->o.referrals && op->references != NULL))
		return false;
	for (const struct ldap_entry *e = op->entries; e != NULL; e = e->next)
		if (ranges_has(e))
			return false;
	return true;
}

/* The server cut the answer by a limit of its own, not by ours. */
static bool
cut_by_server(const struct ldap_search *s, const struct ldap_op *op)
{
	if (op->code == RESULT_SIZELIMIT)
		return s->q.size_limit <= 0 || s->paged ||
		       op->entries_count < (size_t)s->q.size_limit;
	return op->code == RESULT_ADMINLIMIT;
}

static void
paging_begin(struct ldap_search *s)
{
	struct ldap_client *c = s->client;
	s->paged = true;
	if (c->paging == s) {
		leg_ask(s);
	} else if (c->paging == NULL && list_empty(&c->paging_waiting)) {
		c->paging = s;
		leg_ask(s);
	} else if (c->paging_waiting_count >= PAGING_MAX) {
		search_fail(s, ERR_TEMP, "too many long searches wait");
	} else {
		list_push_back(&c->paging_waiting, &s->paging_link);
		c->paging_waiting_count++;
		s->paging_waits = true;
		/* A lookup does not wait for the end of a list of everybody. */
		loop_timer_start(
			&s->paging_deadline, c->o.pool.search_ms * (s->q.many ? LIST_TURN : 1));
	}
}

static void
on_paging_deadline(struct loop_timer *t)
{
	search_fail(t->arg, ERR_TEMP, "waited too long for its turn to page");
}

/* The turn of the next one. */
static void
on_paging(struct loop_task *t)
{
	struct ldap_client *c = t->arg;
	if (c->paging != NULL || list_empty(&c->paging_waiting))
		return;
	struct ldap_search *s =
		CONTAINER_OF(c->paging_waiting.next, struct ldap_search, paging_link);
	list_remove(&s->paging_link);
	s->paging_waits = false;
	loop_timer_stop(&s->paging_deadline);
	c->paging_waiting_count--;
	c->paging = s;
	leg_ask(s);
}

static void
take_references(struct ldap_search *s, const struct ldap_op *op)
{
	s->referred = op->referred;
	if (op->referred && op->references == NULL) {
		search_fail(s, ERR_TEMP, "the base is elsewhere");
		return;
	}
	if (s->client->o.referrals || op->referred)
		for (const struct ldap_reference *r = op->references; r != NULL; r = r->next)
			if (!follow(s, r))
				return;
	s->referred = false;
	ranges_begin(s);
}

/* A part of a bigger answer. */
static void
take_part(struct ldap_search *s, const struct ldap_op *op)
{
	s->answer.code = op->code;
	(void)snprintf(s->uri, sizeof s->uri, "%s", op->uri != NULL ? op->uri : "");
	s->answer.uri = op->uri != NULL ? s->uri : NULL;
	s->answer.ms += op->ms;
	s->answer.conn_id = op->conn_id;
	if (op->err != ERR_OK && !op->referred) {
		/* The base of a reference that is gone is a server's mistake, not our answer. */
		bool ours = s->leg->depth == 0;
		search_fail(s, op->err == ERR_NOTFOUND && !ours ? ERR_TEMP : op->err, op->text);
		return;
	}
	if (s->arena == NULL)
		s->arena = s->answer.arena = arena_new(ARENA_MAX);
	s->fresh = s->answer.entries_end;
	buf_reset(&s->page);
	buf_add(&s->page, op->page);
	s->empty_pages = op->entries_count > 0 ? 0 : s->empty_pages + 1;
	if (s->empty_pages > EMPTY_PAGES_MAX) {
		search_fail(s, ERR_TEMP, "pages without end");
		return;
	}
	if (!keep_entries(s, op) || buf_check(&s->page) != ERR_OK) {
		search_fail(s, ERR_TEMP, "the answer is too large");
		return;
	}
	s->conn_id = op->conn_id;
	if (s->q.size_limit > 0 && s->entries_count > (size_t)s->q.size_limit) {
		search_fail(s, ERR_LIMIT, "more entries than asked for");
		return;
	}
	take_references(s, op);
}

/* slapd's size.pr and 389 DS's nsSizeLimit are about a page, too: where the first one was too much
 * for the server, ask for less, and from now on. */
static bool
smaller_page(struct ldap_search *s)
{
	struct ldap_client *c = s->client;
	if (s->page.n > 0 || c->page_size / 2 < PAGE_SIZE_MIN)
		return false;
	c->page_size /= 2;
	return true;
}

static void
on_answer(void *arg, const struct ldap_op *op)
{
	struct ldap_search *s = arg;
	s->asked = NULL;
	bool cut = cut_by_server(s, op), pages = s->client->o.page_size > 0;
	if (cut && !s->paged && pages && s->leg->scope != SCOPE_BASE) {
		paging_begin(s);
	} else if (cut && s->paged && smaller_page(s)) {
		leg_ask(s);
	} else if (cut) {
		s->answer.code = op->code;
		search_fail(s, ERR_TEMP, "a limit of the server's cuts the answer");
	} else if (is_simple(s, op)) {
		if (tell(s, op))
			search_free(s);
	} else {
		take_part(s, op);
	}
}

/* ---- questions ---- */

static void
leg_ask(struct ldap_search *s)
{
	struct ldap_query q = s->q;
	q.base = s->leg->base;
	q.filter = s->leg->filter;
	q.scope = s->leg->scope;
	if (s->paged) {
		q.size_limit = 0; /* would count for a page or for all: servers differ */
		q.page_size = s->client->page_size;
		q.page = buf_str(&s->page);
		q.conn_id = s->page.n > 0 ? s->conn_id : 0;
	}
	s->asked = ldap_pool_search(s->leg->pool, &q, on_answer, s);
}

/* A page, or a leg, is whole. */
void
search_ranges_done(struct ldap_search *s)
{
	bool more = s->page.n > 0 || s->leg->next != NULL;
	if (more && s->q.stream && s->answer.entries_count > 0) {
		s->answer.more = true;
		if (!tell(s, &s->answer))
			return;
		s->answer.entries = NULL;
		s->answer.entries_end = &s->answer.entries;
		s->answer.entries_count = 0;
		arena_reset(s->arena);
	}
	if (s->page.n == 0)
		s->leg = s->leg->next;
	if (s->leg == NULL)
		finish(s);
	else
		leg_ask(s);
}

static void
on_start(struct loop_task *t)
{
	struct ldap_search *s = t->arg;
	search_fail(s, ERR_TEMP, "the question is too large");
}

/* Our own copies: a leg may be asked again long after the caller's are gone. */
static bool
copy_query(struct ldap_search *s, const struct ldap_query *q)
{
	struct str *attrs = arena_calloc(s->query_arena, q->attrs_count + 1, sizeof *attrs);
	s->q = *q;
	s->q.page_size = 0;
	s->q.page = STR_EMPTY;
	s->q.conn_id = 0;
	s->q.attrs = attrs;
	if (attrs == NULL)
		return false;
	for (size_t i = 0; i < q->attrs_count; i++)
		if (arena_str(s->query_arena, q->attrs[i], &attrs[i]) != ERR_OK)
			return false;
	s->leg = leg_new(s, s->client->pool, q, 0);
	return s->leg != NULL;
}

struct ldap_search *
ldap_search(struct ldap_client *c, const struct ldap_query *q, ldap_fn fn, void *arg)
{
	struct ldap_search *s = xcalloc(1, sizeof *s);
	s->client = c;
	s->fn = fn;
	s->arg = arg;
	s->query_arena = arena_new(QUERY_MAX);
	buf_init(&s->page, PAGE_MAX);
	s->legs_end = &s->legs;
	s->answer.type = LDAP_OP_SEARCH;
	s->answer.entries_end = &s->answer.entries;
	list_init(&s->paging_link);
	loop_timer_init(&s->paging_deadline, c->loop, on_paging_deadline, s);
	loop_task_init(&s->task, c->loop, on_start, s);
	list_push_back(&c->searches, &s->link);
	if (!copy_query(s, q))
		loop_task_queue(&s->task); /* never inside this call */
	else if (q->many && c->o.page_size > 0)
		paging_begin(s);
	else
		leg_ask(s);
	return s;
}

void
ldap_search_cancel(struct ldap_search *s)
{
	if (s == NULL)
		return;
	s->cancelled = true;
	if (!s->calling)
		search_free(s);
}

/* ---- clients ---- */

enum err
ldap_client_new(struct loop *l, const struct ldap_client_options *o, struct ldap_client **out,
	const char **err_out)
{
	struct ldap_client *c = xcalloc(1, sizeof *c);
	enum err e = ERR_OK;
	c->loop = l;
	c->o = *o;
	c->page_size = o->page_size;
	list_init(&c->searches);
	list_init(&c->paging_waiting);
	loop_task_init(&c->paging_task, l, on_paging, c);
	if (o->pool.method == LDAP_METHOD_GSSAPI)
		e = ldap_gss_new(l, o->keytab, o->principal, &c->gss, err_out);
	c->o.pool.gss = c->gss;
	if (e == ERR_OK)
		e = ldap_pool_new(l, &c->o.pool, &c->pool, err_out);
	if (e != ERR_OK) {
		ldap_gss_free(c->gss);
		free(c);
		return e;
	}
	*out = c;
	return ERR_OK;
}

void
ldap_client_free(struct ldap_client *c)
{
	if (c == NULL)
		return;
	c->ending = true;
	LIST_FOREACH (l, &c->searches)
		search_free(CONTAINER_OF(l, struct ldap_search, link));
	loop_task_cancel(&c->paging_task);
	referral_pools_free(c);
	ldap_pool_free(c->pool);
	ldap_gss_free(c->gss);
	free(c);
}

struct ldap_pool *
ldap_client_pool(struct ldap_client *c)
{
	return c->pool;
}
