/* Recipient and sender questions over socketmap; see lookup.h. Invariant: only NOTFOUND from the
 * directory is a no; everything that went wrong is LOOKUP_TEMP. */
#include "delivery/smtp/lookup.h"

#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"

enum part { PART_PENDING, PART_YES, PART_ALIAS, PART_NO, PART_TEMP };

struct lookup {
	struct socketmap *map;
	struct socketmap_request *first;  /* domain, or sender */
	struct socketmap_request *second; /* mailbox, alias, mailbox without tag */
	struct loop_task answer;	  /* fn is never called inside lookup_* */
	enum lookup_answer result;
	bool known;	     /* and nobody was told */
	bool mailbox_failed; /* nobody could say whether there is one */
	lookup_fn fn;
	void *arg;
	char delimiter;
	enum part domain_part, address_part;
	struct buf address, user;
};

static void
lookup_free(struct lookup *k)
{
	loop_task_cancel(&k->answer);
	buf_fini(&k->address);
	buf_fini(&k->user);
	free(k);
}

void
lookup_cancel(struct lookup *k)
{
	if (k == NULL)
		return;
	if (k->first != NULL)
		socketmap_cancel(k->first);
	if (k->second != NULL)
		socketmap_cancel(k->second);
	lookup_free(k);
}

static void
on_answer(struct loop_task *t)
{
	struct lookup *k = t->arg;
	lookup_fn fn = k->fn;
	void *arg = k->arg;
	enum lookup_answer result = k->result;

	k->known = true;
	if (fn == NULL)
		return;
	lookup_cancel(k);
	fn(arg, result);
}

static void
finish(struct lookup *k, enum lookup_answer result)
{
	k->result = result;
	loop_task_queue(&k->answer);
}

void
lookup_take(struct lookup *k, lookup_fn fn, void *arg)
{
	k->fn = fn;
	k->arg = arg;
	if (k->known)
		loop_task_queue(&k->answer);
}

bool
lookup_is_about(const struct lookup *k, struct str address)
{
	return str_eq(buf_str(&k->address), address);
}

static struct lookup *
lookup_new(struct loop *l, struct socketmap *map, struct str address, lookup_fn fn, void *arg)
{
	struct lookup *k = xcalloc(1, sizeof(*k));

	k->map = map;
	k->fn = fn;
	k->arg = arg;
	loop_task_init(&k->answer, l, on_answer, k);
	buf_init(&k->address, 1024);
	buf_init(&k->user, 1024);
	buf_add(&k->address, address);
	return k;
}

/* The domain decides first: a user unknown in a foreign domain is not "unknown here". */
static void
recipient_step(struct lookup *k)
{
	if (k->domain_part == PART_PENDING)
		return;
	if (k->domain_part != PART_YES)
		finish(k, k->domain_part == PART_NO ? LOOKUP_FOREIGN : LOOKUP_TEMP);
	else if (k->address_part == PART_YES)
		finish(k, LOOKUP_YES);
	else if (k->address_part == PART_ALIAS)
		finish(k, LOOKUP_ALIAS);
	else if (k->address_part != PART_PENDING)
		finish(k, k->address_part == PART_NO ? LOOKUP_NO : LOOKUP_TEMP);
}

static void
address_is(struct lookup *k, enum part part)
{
	k->address_part = part;
	recipient_step(k);
}

static enum part
part_of(enum err e)
{
	return e == ERR_OK ? PART_YES : e == ERR_NOTFOUND ? PART_NO : PART_TEMP;
}

static void
on_untagged(void *arg, enum err e, struct str value)
{
	struct lookup *k = arg;

	(void)value;
	k->second = NULL;
	address_is(k, part_of(e));
}

/* "ben+tag@example.org" → "ben@example.org", asked once more. */
static void
ask_untagged(struct lookup *k)
{
	struct str addr = buf_str(&k->address), local, domain;
	size_t at = str_rchr(addr, '@'), tag;
	struct buf b;

	local = str_sub(addr, 0, at);
	domain = str_from(addr, at);
	tag = k->delimiter == '\0' ? local.n : str_chr(local, k->delimiter);
	if (tag == 0 || tag == local.n || local.p[0] == '"') {
		address_is(k, PART_NO);
		return;
	}
	buf_init(&b, 1024);
	buf_add(&b, str_sub(local, 0, tag));
	buf_add(&b, domain);
	k->second = socketmap_lookup(k->map, STR("mailbox"), buf_str(&b), on_untagged, k);
	buf_fini(&b);
	if (k->second == NULL)
		address_is(k, PART_NO);
}

static void
on_alias(void *arg, enum err e, struct str value)
{
	struct lookup *k = arg;

	(void)value;
	k->second = NULL;
	if (e == ERR_NOTFOUND && k->mailbox_failed)
		address_is(k, PART_TEMP);
	else if (e == ERR_NOTFOUND)
		ask_untagged(k);
	else
		/* PERM: there is one, and it is longer than Postfix could read. */
		address_is(k, e == ERR_OK || e == ERR_DENIED ? PART_ALIAS : part_of(e));
}

static void
on_mailbox(void *arg, enum err e, struct str value)
{
	struct lookup *k = arg;

	(void)value;
	k->second = NULL;
	if (e == ERR_OK) {
		address_is(k, PART_YES);
		return;
	}
	/* In an outage what is remembered of an alias is told, and that it is no mailbox is not. */
	k->mailbox_failed = e != ERR_NOTFOUND;
	k->second = socketmap_lookup(k->map, STR("alias"), buf_str(&k->address), on_alias, k);
	if (k->second == NULL)
		address_is(k, k->mailbox_failed ? PART_TEMP : PART_NO);
}

static void
on_domain(void *arg, enum err e, struct str value)
{
	struct lookup *k = arg;

	(void)value;
	k->first = NULL;
	k->domain_part = part_of(e);
	recipient_step(k);
}

struct lookup *
lookup_recipient(struct loop *l, struct socketmap *map, struct str address, char delimiter,
	lookup_fn fn, void *arg)
{
	struct lookup *k = lookup_new(l, map, address, fn, arg);
	size_t at = str_rchr(address, '@');

	k->delimiter = delimiter;
	if (at == address.n) {
		finish(k, LOOKUP_NO);
		return k;
	}
	/* Both at once: one round trip where the recipient is a user of ours. */
	k->first = socketmap_lookup(map, STR("domain"), str_from(address, at + 1), on_domain, k);
	if (k->first != NULL)
		k->second = socketmap_lookup(map, STR("mailbox"), address, on_mailbox, k);
	if (k->first == NULL || k->second == NULL)
		finish(k, LOOKUP_NO);
	return k;
}

bool
lookup_names_hold(struct str names, struct str user)
{
	struct str name;
	bool more = user.n > 0;

	while (more) {
		more = str_cut(names, ',', &name, &names);
		if (str_ieq(str_trim(name), user))
			return true;
	}
	return false;
}

static void
on_sender(void *arg, enum err e, struct str value)
{
	struct lookup *k = arg;

	k->first = NULL;
	if (e == ERR_OK)
		finish(k, lookup_names_hold(value, buf_str(&k->user)) ? LOOKUP_YES : LOOKUP_NO);
	else
		finish(k, e == ERR_NOTFOUND ? LOOKUP_NO : LOOKUP_TEMP);
}

struct lookup *
lookup_sender(struct loop *l, struct socketmap *map, struct str address, struct str user,
	lookup_fn fn, void *arg)
{
	struct lookup *k = lookup_new(l, map, address, fn, arg);

	buf_add(&k->user, user);
	k->first = socketmap_lookup(map, STR("sender"), address, on_sender, k);
	if (k->first == NULL)
		finish(k, LOOKUP_NO);
	return k;
}
