/* Expansion of recipients, for attempt.c. Invariant: ERR_TEMP of any lookup makes the whole
 * expansion ERR_TEMP, so nobody is left out because the directory was silent. */
#include "delivery/queue/expand.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/hmap.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/mail/idn.h"
#include "core/mail/srs.h"

enum {
	REPLY_MAX = 16 * 1024 * 1024,
	MEMORY_MAX = 32 * 1024 * 1024,
};

struct expander {
	struct loop *loop;
	struct socketmap *map;
	char *default_domain;
	char *srs_domain, *srs_secrets;
	struct list requests;
	struct domains *domains; /* borrowed */
};

struct final {
	struct hmap_node node; /* by the address in lower case */
	struct expand_final f;
};

struct expand_request {
	struct list link;
	struct expander *x;
	struct arena *memory;
	struct socketmap_request *lookup;
	struct loop_task task; /* for an answer that needs no lookup */
	struct str address, sender;
	struct str owner;  /* of the group; empty: none */
	bool aliased;	   /* the directory knows something behind the address */
	struct str domain; /* being asked about */
	struct hmap seen;
	struct expand_final *finals;
	size_t count, room, max;
	size_t at; /* finals before this know whether they are local */
	expand_fn fn;
	void *arg;
};

static void
request_free(struct expand_request *r)
{
	if (r->lookup != NULL)
		socketmap_cancel(r->lookup);
	loop_task_cancel(&r->task);
	list_remove(&r->link);
	hmap_fini(&r->seen);
	free(r->finals);
	arena_free(r->memory);
	free(r);
}

static void
finish(struct expand_request *r, enum err e, struct str text)
{
	r->fn(r->arg, e, r->finals, e == ERR_OK ? r->count : 0, text);
	request_free(r);
}

/* A copy with the domain in A-labels: routes, servers and the maps know no other form. What no
 * domain can be made of stays, and whoever it is sent to refuses it. */
static bool
keep(struct expand_request *r, struct str *address)
{
	struct str domain = str_from(*address, str_rchr(*address, '@'));
	enum err e = ERR_SYNTAX;
	struct buf b;

	buf_init(&b, 2048);
	if (str_has_8bit(domain))
		e = idn_address_domain(&b, *address);
	e = arena_str(r->memory, e == ERR_OK ? buf_str(&b) : *address, address);
	buf_fini(&b);
	return e == ERR_OK;
}

/* Equal addresses, without regard to case, are one recipient. */
static enum err
add_final(struct expand_request *r, struct str address)
{
	struct final *f;
	struct str key;
	char *lower;

	if (address.n == 0)
		return ERR_OK;
	if (address.n > 1000 || str_has_nul(address) || !keep(r, &address))
		return ERR_LIMIT;
	lower = arena_alloc(r->memory, address.n);
	f = arena_calloc(r->memory, 1, sizeof(*f));
	if (lower == NULL || f == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < address.n; i++)
		lower[i] = (char)ascii_lower((unsigned char)address.p[i]);
	key = str_n(lower, address.n);
	if (hmap_get(&r->seen, key) != NULL)
		return ERR_OK;
	if (r->count >= r->max)
		return ERR_LIMIT;
	hmap_put(&r->seen, &f->node, key);
	if (r->count == r->room) {
		r->room = r->room == 0 ? 16 : r->room * 2;
		r->finals = xrealloc(r->finals, r->room * sizeof(*r->finals));
	}
	r->finals[r->count++] = (struct expand_final){ .address = address };
	return ERR_OK;
}

static void
domains_next(struct expand_request *r);
static void
senders(struct expand_request *r);

/* The directory's word on r->domain. False: it had none, and r is gone. */
static bool
learnt(struct expand_request *r, enum err e, struct str value, bool *local_out)
{
	enum domain_is is = domains_learn(r->x->domains, r->domain, e);

	r->lookup = NULL;
	*local_out = is == DOMAIN_OURS;
	if (is == DOMAIN_UNKNOWN)
		finish(r, ERR_TEMP, value);
	return is != DOMAIN_UNKNOWN;
}

static void
domain_answer(void *arg, enum err e, struct str value)
{
	struct expand_request *r = arg;
	bool local;

	if (!learnt(r, e, value, &local))
		return;
	r->finals[r->at++].local = local;
	domains_next(r);
}

/* Ask about the domain of the next final recipient that is not known yet. */
static void
domains_next(struct expand_request *r)
{
	for (; r->at < r->count; r->at++) {
		struct expand_final *f = &r->finals[r->at];
		size_t at = str_rchr(f->address, '@');
		enum domain_is is;
		r->domain = str_from(f->address, at + 1);
		if (at == f->address.n) {
			f->local = true; /* a name of our own, without a domain */
			continue;
		}
		is = domains_known(r->x->domains, r->domain);
		if (is != DOMAIN_UNKNOWN) {
			f->local = is == DOMAIN_OURS;
			continue;
		}
		r->lookup = socketmap_lookup(r->x->map, STR("domain"), r->domain, domain_answer, r);
		if (r->lookup != NULL)
			return;
		f->local = false;
	}
	senders(r);
}

/* Who hears of failures. */

static void
set_sender(struct expand_final *f, struct str sender)
{
	f->has_sender = true;
	f->sender = sender;
}

static struct srs
srs_of(const struct expander *x)
{
	return (struct srs){ .domain = str_of(x->srs_domain), .secrets = str_of(x->srs_secrets) };
}

/* The sender is a stranger: what goes to other servers gets a sender of ours. */
static void
rewrite_senders(struct expand_request *r)
{
	const struct srs srs = srs_of(r->x);
	struct str sender = STR_EMPTY;
	struct buf b;
	enum err e;

	buf_init(&b, 4096);
	e = srs_forward(&srs, r->sender, clock_wall_ms() / 1000, &b);
	if (e == ERR_OK)
		e = arena_str(r->memory, buf_str(&b), &sender);
	buf_fini(&b);
	if (e != ERR_OK)
		log_event(LVL_WARN, "queue.srs", log_s("sender", r->sender),
			log_s("rcpt", r->address), log_e("res", e),
			log_z("reason", "sent on with its own sender"));
	for (size_t i = 0; i < r->count && e == ERR_OK; i++)
		if (!r->finals[i].local)
			set_sender(&r->finals[i], sender);
	finish(r, ERR_OK, STR_EMPTY);
}

static void
sender_known(struct expand_request *r, bool local)
{
	if (local)
		finish(r, ERR_OK, STR_EMPTY);
	else
		rewrite_senders(r);
}

static void
sender_answer(void *arg, enum err e, struct str value)
{
	struct expand_request *r = arg;
	bool local;

	if (learnt(r, e, value, &local))
		sender_known(r, local);
}

static bool
leaves_us(const struct expand_request *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (!r->finals[i].local)
			return true;
	return false;
}

static void
senders(struct expand_request *r)
{
	const struct srs srs = srs_of(r->x);
	size_t at = str_rchr(r->sender, '@');
	enum domain_is is;

	for (size_t i = 0; i < r->count && r->owner.n > 0; i++) {
		set_sender(&r->finals[i], r->owner);
		r->finals[i].list = true;
	}
	if (r->owner.n > 0 || !r->aliased || srs.domain.n == 0 || at == r->sender.n ||
		srs_is_ours(&srs, r->sender) || !leaves_us(r)) {
		finish(r, ERR_OK, STR_EMPTY);
		return;
	}
	r->domain = str_from(r->sender, at + 1);
	is = domains_known(r->x->domains, r->domain);
	if (is != DOMAIN_UNKNOWN) {
		sender_known(r, is == DOMAIN_OURS);
		return;
	}
	r->lookup = socketmap_lookup(r->x->map, STR("domain"), r->domain, sender_answer, r);
	if (r->lookup == NULL)
		sender_known(r, false);
}

static void
owner_answer(void *arg, enum err e, struct str value)
{
	struct expand_request *r = arg;

	r->lookup = NULL;
	if (e == ERR_OK)
		e = arena_str(r->memory, str_trim(value), &r->owner);
	else if (e == ERR_NOTFOUND)
		e = ERR_OK;
	else if (e != ERR_DENIED)
		e = ERR_TEMP;
	if (e != ERR_OK)
		finish(r, e, value);
	else
		domains_next(r);
}

static void
ask_owner(struct expand_request *r)
{
	if (r->sender.n > 0)
		r->lookup = socketmap_lookup(r->x->map, STR("owner"), r->address, owner_answer, r);
	if (r->lookup == NULL)
		domains_next(r);
}

static void
alias_answer(void *arg, enum err e, struct str value)
{
	struct expand_request *r = arg;

	r->lookup = NULL;
	if (e == ERR_NOTFOUND) {
		e = add_final(r, r->address);
	} else if (e == ERR_OK) {
		struct str head, tail = value;
		while (e == ERR_OK && tail.n != 0) {
			(void)str_cut(tail, ',', &head, &tail);
			e = add_final(r, str_trim(head));
		}
		if (e == ERR_OK && r->count == 0) {
			finish(r, ERR_DENIED, STR("it leads to nobody"));
			return;
		}
		r->aliased = true;
	} else if (e != ERR_DENIED) {
		e = ERR_TEMP;
	}
	if (e != ERR_OK)
		finish(r, e, value);
	else if (r->aliased)
		ask_owner(r);
	else
		domains_next(r);
}

static void
no_lookup(struct loop_task *t)
{
	alias_answer(t->arg, ERR_NOTFOUND, STR_EMPTY);
}

/* An address that SRS made: its sender is the recipient. */
static void
turn_back(struct loop_task *t)
{
	struct expand_request *r = t->arg;
	const struct srs srs = srs_of(r->x);
	struct buf b;
	enum err e;

	buf_init(&b, 4096);
	e = srs_reverse(&srs, r->address, clock_wall_ms() / 1000, &b);
	if (e == ERR_OK)
		e = add_final(r, buf_str(&b));
	buf_fini(&b);
	if (e != ERR_OK)
		finish(r, ERR_DENIED,
			e == ERR_EOF ? STR("the return address is too old")
				     : STR("the return address is not one of ours"));
	else
		domains_next(r);
}

struct expand_request *
expand_start(struct expander *x, struct str address, struct str sender, size_t finals_max,
	expand_fn fn, void *arg)
{
	struct expand_request *r = xcalloc(1, sizeof(*r));
	const struct srs srs = srs_of(x);
	bool back = srs_is_ours(&srs, address);
	struct buf whole;

	r->x = x;
	r->fn = fn;
	r->arg = arg;
	r->max = finals_max;
	r->memory = arena_new(MEMORY_MAX);
	hmap_init(&r->seen);
	loop_task_init(&r->task, x->loop, back ? turn_back : no_lookup, r);
	list_push_back(&x->requests, &r->link);
	buf_init(&whole, 8192);
	buf_add(&whole, address);
	if (str_chr(address, '@') == address.n && x->default_domain[0] != '\0')
		buf_addf(&whole, "@%s", x->default_domain);
	if (buf_check(&whole) != ERR_OK ||
		arena_str(r->memory, buf_str(&whole), &r->address) != ERR_OK ||
		arena_str(r->memory, sender, &r->sender) != ERR_OK)
		r->address = STR_EMPTY;
	buf_fini(&whole);
	if (!back)
		r->lookup =
			socketmap_lookup(x->map, STR("alias-large"), r->address, alias_answer, r);
	if (r->lookup == NULL)
		loop_task_queue(&r->task);
	return r;
}

void
expand_cancel(struct expand_request *r)
{
	request_free(r);
}

struct expander *
expander_new(struct loop *l, struct str address, struct str default_domain, struct domains *d)
{
	struct expander *x = xcalloc(1, sizeof(*x));

	x->loop = l;
	x->domains = d;
	x->map = socketmap_new(l, address, REPLY_MAX);
	x->default_domain = str_dup(default_domain);
	x->srs_domain = str_dup(STR_EMPTY);
	x->srs_secrets = str_dup(STR_EMPTY);
	list_init(&x->requests);
	return x;
}

static void
forget_srs(struct expander *x)
{
	explicit_bzero(x->srs_secrets, strlen(x->srs_secrets));
	free(x->srs_domain);
	free(x->srs_secrets);
}

void
expander_set_srs(struct expander *x, struct str domain, struct str secrets)
{
	forget_srs(x);
	x->srs_domain = str_dup(domain);
	x->srs_secrets = str_dup(secrets);
}

void
expander_free(struct expander *x)
{
	LIST_FOREACH (l, &x->requests)
		request_free(CONTAINER_OF(l, struct expand_request, link));
	socketmap_free(x->map);
	forget_srs(x);
	free(x->default_domain);
	free(x);
}
