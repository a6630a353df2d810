/* PTR and back; see client_name.h. checks.c asks at connect. */
#include "delivery/smtp/client_name.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

struct client_name {
	struct loop *loop;
	struct resolver_client *resolver;
	int64_t until_ms;
	int family;
	unsigned char address[16];
	struct resolver_query *ptr;
	struct back {
		struct client_name *all;
		struct resolver_query *query;
		char name[RESOLVER_NAME_MAX + 1];
	} names[CLIENT_NAMES_MAX];
	size_t names_count, pending;
	bool temp;
	void (*fn)(void *arg, enum client_state s, const char *name);
	void *arg;
};

void
client_name_cancel(struct client_name *n)
{
	if (n == NULL)
		return;
	resolver_cancel(n->ptr);
	for (size_t i = 0; i < n->names_count; i++)
		resolver_cancel(n->names[i].query);
	free(n);
}

/* name may stand in n. */
static void
finish(struct client_name *n, enum client_state s, const char *name)
{
	char copy[RESOLVER_NAME_MAX + 1] = "";
	void (*fn)(void *arg, enum client_state s, const char *name) = n->fn;
	void *arg = n->arg;

	memcpy(copy, name, strlen(name));
	client_name_cancel(n);
	fn(arg, s, copy);
}

static bool
leads_back(const struct client_name *n, const struct resolver_answer *a)
{
	size_t size = n->family == AF_INET ? 4 : 16;

	for (size_t i = 0; i < a->count; i++) {
		unsigned char raw[16];
		char text[INET6_ADDRSTRLEN] = "";
		if (a->records[i].text.n >= sizeof text)
			continue;
		memcpy(text, a->records[i].text.p, a->records[i].text.n);
		if (inet_pton(n->family, text, raw) == 1 && memcmp(raw, n->address, size) == 0)
			return true;
	}
	return false;
}

static void
on_address(void *arg, const struct resolver_answer *a)
{
	struct back *b = arg;
	struct client_name *n = b->all;

	b->query = NULL;
	n->pending--;
	n->temp = n->temp || a->state == RESOLVER_TEMP;
	if (leads_back(n, a))
		finish(n, CLIENT_CONFIRMED, b->name);
	else if (n->pending == 0)
		finish(n, n->temp ? CLIENT_TEMP : CLIENT_UNCONFIRMED, "");
}

static void
on_ptr(void *arg, const struct resolver_answer *a)
{
	struct client_name *n = arg;
	int64_t left = n->until_ms - loop_now_ms(n->loop);

	n->ptr = NULL;
	if (a->state == RESOLVER_TEMP || (a->state == RESOLVER_FOUND && left <= 0)) {
		finish(n, CLIENT_TEMP, "");
		return;
	}
	if (a->state != RESOLVER_FOUND) {
		finish(n, CLIENT_NO_PTR, "");
		return;
	}
	for (size_t i = 0; i < a->count && n->names_count < CLIENT_NAMES_MAX; i++) {
		struct back *b = &n->names[n->names_count++];
		b->all = n;
		memcpy(b->name, a->records[i].text.p, a->records[i].text.n);
		n->pending++;
		b->query = resolver_ask(n->resolver, str_of(b->name),
			n->family == AF_INET ? DNS_A : DNS_AAAA, left, on_address, b);
	}
}

struct client_name *
client_name_ask(struct loop *l, struct resolver_client *r, struct str address, int64_t timeout_ms,
	void (*fn)(void *arg, enum client_state s, const char *name), void *arg)
{
	struct client_name *n = xcalloc(1, sizeof *n);
	char text[INET6_ADDRSTRLEN] = "";
	struct buf name;

	n->loop = l;
	n->resolver = r;
	n->until_ms = loop_now_ms(l) + timeout_ms;
	n->fn = fn;
	n->arg = arg;
	n->family = str_chr(address, ':') < address.n ? AF_INET6 : AF_INET;
	buf_init(&name, 1024);
	if (address.n < sizeof text)
		memcpy(text, address.p, address.n);
	/* what is no address has no name: "" is asked, and answered so */
	if (inet_pton(n->family, text, n->address) != 1 ||
		resolver_address_name(address, STR_EMPTY, &name) != ERR_OK)
		buf_reset(&name);
	n->ptr = resolver_ask(r, buf_str(&name), DNS_PTR, timeout_ms, on_ptr, n);
	buf_fini(&name);
	return n;
}
