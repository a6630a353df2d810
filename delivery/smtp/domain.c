/* Does a domain exist for mail? See domain.h. checks.c asks about senders and greetings,
 * session_check.c about recipients. */
#include "delivery/smtp/domain.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/mail/idn.h"

enum { ASKED = 3 };

struct domain {
	struct part {
		struct domain *domain;
		struct resolver_query *query;
	} parts[ASKED];
	unsigned pending;
	bool address, mx, null_mx, temp;
	domain_fn fn;
	void *arg;
};

void
domain_cancel(struct domain *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < ASKED; i++)
		resolver_cancel(d->parts[i].query);
	free(d);
}

static enum domain_state
state_of(const struct domain *d)
{
	if (d->null_mx)
		return DOMAIN_NULL_MX;
	if (d->mx || d->address)
		return DOMAIN_FOUND;
	return d->temp ? DOMAIN_TEMP : DOMAIN_UNKNOWN;
}

static void
on_answer(void *arg, const struct resolver_answer *a)
{
	struct part *part = arg;
	struct domain *d = part->domain;

	part->query = NULL;
	d->pending--;
	if (a->state == RESOLVER_TEMP)
		d->temp = true;
	else if (a->state == RESOLVER_FOUND && a->type != DNS_MX)
		d->address = true;
	else if (a->state == RESOLVER_FOUND && a->count == 1 && a->records[0].text.n == 0)
		d->null_mx = true;
	else if (a->state == RESOLVER_FOUND)
		d->mx = true;
	if (d->pending > 0 && !d->mx && !d->null_mx)
		return;
	enum domain_state s = state_of(d);
	domain_fn fn = d->fn;
	void *to = d->arg;

	domain_cancel(d);
	fn(to, s);
}

struct str
domain_name(struct str said, struct buf *out)
{
	if (said.n > 0 && said.p[said.n - 1] == '.')
		said.n--;
	if (said.n == 0 || said.p[0] == '[' || idn_domain(out, said) != ERR_OK)
		return STR_EMPTY;
	return buf_str(out);
}

struct domain *
domain_ask(struct resolver_client *r, struct str name, int64_t timeout_ms, domain_fn fn, void *arg)
{
	static const enum dns_type types[ASKED] = { DNS_MX, DNS_A, DNS_AAAA };
	struct domain *d = xcalloc(1, sizeof *d);

	d->fn = fn;
	d->arg = arg;
	d->pending = ASKED;
	for (size_t i = 0; i < ASKED; i++) {
		d->parts[i].domain = d;
		d->parts[i].query =
			resolver_ask(r, name, types[i], timeout_ms, on_answer, &d->parts[i]);
	}
	return d;
}
