/* Asks a directory one thing through auth-ldap/ldap, for the integration tests:
 *
 *   ldap_probe [--uri U]… [--starttls] [--ca F] [--cert F --key F] [--method M] [--dn D]
 *       [--password P] [--keytab F] [--principal P] [--page N] [--referrals] [--host H]…
 *       [--many] [--stream] [--limit N] [--times N] [--wait MS]
 *       search BASE base|one|sub FILTER ATTR… | bind DN PASSWORD
 *
 * Prints each entry ("dn: …", "attribute: value") and one line for each call of the answer's
 * function: "result err=… code=… more=… text=…", for binds with what the server said beside it.
 * --times asks the same N times at once; --wait lets the connections settle first. */
#include <stdio.h>
#include <stdlib.h>

#include "auth-ldap/ldap/search.h"

enum { LIST_MAX = 16, FILE_MAX = 1024 * 1024 };

struct list_arg {
	struct str v[LIST_MAX];
	size_t n;
};

static struct {
	struct ldap_client_options o;
	struct list_arg uris, hosts, attrs;
	const char *const *rest;
	size_t rest_count;
	bool many, stream;
	int limit, times, wait_ms;
	struct loop *loop;
	struct ldap_client *client;
	int open;
} probe;

static _Noreturn void
wrong(const char *what)
{
	(void)fprintf(stderr, "ldap_probe: %s\n", what);
	exit(2);
}

static void
push(struct list_arg *l, const char *z)
{
	if (l->n == LIST_MAX)
		wrong("too many");
	l->v[l->n++] = str_of(z);
}

static struct str
read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *p = malloc(FILE_MAX);
	if (f == NULL || p == NULL)
		wrong(path);
	size_t n = fread(p, 1, FILE_MAX, f);
	(void)fclose(f);
	return str_n(p, n);
}

static int
number(const char *z)
{
	uint32_t n = 0;
	if (str_to_u32(str_of(z), 1000000, &n) != ERR_OK)
		wrong(z);
	return (int)n;
}

static enum ldap_bind_method
method(const char *z)
{
	static const char *const names[] = { "simple", "none", "external", "gssapi" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(z, names[i]) == 0)
			return (enum ldap_bind_method)i;
	wrong(z);
}

static bool
take_flag(const char *name)
{
	if (strcmp(name, "--starttls") == 0)
		probe.o.pool.starttls = true;
	else if (strcmp(name, "--referrals") == 0)
		probe.o.referrals = true;
	else if (strcmp(name, "--many") == 0)
		probe.many = true;
	else if (strcmp(name, "--stream") == 0)
		probe.stream = true;
	else
		return false;
	return true;
}

static bool
take_value(const char *name, const char *value)
{
	struct ldap_pool_options *p = &probe.o.pool;
	if (strcmp(name, "--uri") == 0)
		push(&probe.uris, value);
	else if (strcmp(name, "--host") == 0)
		push(&probe.hosts, value);
	else if (strcmp(name, "--ca") == 0)
		p->ca_pem = read_file(value);
	else if (strcmp(name, "--cert") == 0)
		p->client_certificate_pem = read_file(value);
	else if (strcmp(name, "--key") == 0)
		p->client_key_pem = read_file(value);
	else if (strcmp(name, "--method") == 0)
		p->method = method(value);
	else if (strcmp(name, "--dn") == 0)
		p->bind_dn = str_of(value);
	else if (strcmp(name, "--password") == 0)
		p->bind_password = str_of(value);
	else if (strcmp(name, "--keytab") == 0)
		probe.o.keytab = str_of(value);
	else if (strcmp(name, "--principal") == 0)
		probe.o.principal = str_of(value);
	else if (strcmp(name, "--page") == 0)
		probe.o.page_size = number(value);
	else if (strcmp(name, "--limit") == 0)
		probe.limit = number(value);
	else if (strcmp(name, "--times") == 0)
		probe.times = number(value);
	else if (strcmp(name, "--wait") == 0)
		probe.wait_ms = number(value);
	else
		return false;
	return true;
}

static void
closed(bool more)
{
	if (!more && --probe.open == 0)
		loop_stop(probe.loop);
}

static void
on_found(void *arg UNUSED, const struct ldap_op *op)
{
	for (const struct ldap_entry *e = op->entries; e != NULL; e = e->next) {
		printf("dn: %.*s\n", STR_FMT(e->dn));
		for (size_t i = 0; i < e->attrs_count; i++)
			for (size_t k = 0; k < e->attrs[i].count; k++)
				printf("%.*s: %.*s\n", STR_FMT(e->attrs[i].name),
					STR_FMT(e->attrs[i].values[k]));
	}
	printf("result err=%s code=%d more=%d text=%s\n", err_name(op->err), op->code, op->more,
		op->text);
	closed(op->more);
}

static void
on_bound(void *arg UNUSED, const struct ldap_op *op)
{
	const struct ldap_bind_facts *f = &op->facts;
	printf("result err=%s code=%d reason=\"%s\" told=%d bound=%d expires=%lld grace=%d "
	       "text=%s\n",
		err_name(op->err), op->code, ldap_bind_reason_text(f->reason),
		f->after_right_password, f->bound, (long long)f->expires_sec, f->grace, op->text);
	closed(false);
}

static enum ldap_scope
scope(const char *z)
{
	if (strcmp(z, "base") == 0)
		return SCOPE_BASE;
	return strcmp(z, "one") == 0 ? SCOPE_ONE : SCOPE_SUB;
}

static void
ask(struct loop_timer *t UNUSED)
{
	bool search = strcmp(probe.rest[0], "search") == 0;
	for (size_t i = 4; search && i < probe.rest_count; i++)
		push(&probe.attrs, probe.rest[i]);
	probe.open = probe.times;
	for (int i = 0; i < probe.times; i++) {
		if (!search) {
			(void)ldap_pool_bind(ldap_client_pool(probe.client), str_of(probe.rest[1]),
				str_of(probe.rest[2]), on_bound, NULL);
			continue;
		}
		const struct ldap_query q = { .base = str_of(probe.rest[1]),
			.filter = str_of(probe.rest[3]),
			.scope = scope(probe.rest[2]),
			.attrs = probe.attrs.v,
			.attrs_count = probe.attrs.n,
			.size_limit = probe.limit,
			.many = probe.many,
			.stream = probe.stream };
		(void)ldap_search(probe.client, &q, on_found, NULL);
	}
}

static void
defaults(void)
{
	struct ldap_pool_options *p = &probe.o.pool;
	p->name = STR("probe");
	p->verify = true;
	p->tls_min_version = 12;
	p->connect_ms = 1000;
	p->setup_ms = 3000;
	p->search_ms = 5000;
	p->bind_ms = 5000;
	p->failback_ms = 5000;
	p->binds_max = 4;
	p->bind_idle_ms = 60000;
	p->bind_queue_max = 100;
	probe.times = 1;
}

static void
parse(int argc, char **argv)
{
	int i = 1;
	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (take_flag(argv[i]))
			continue;
		if (i + 1 == argc || !take_value(argv[i], argv[i + 1]))
			wrong(argv[i]);
		i++;
	}
	probe.rest = (const char *const *)(argv + i);
	probe.rest_count = (size_t)(argc - i);
	bool search = probe.rest_count >= 4 && strcmp(probe.rest[0], "search") == 0;
	bool bind = probe.rest_count == 3 && strcmp(probe.rest[0], "bind") == 0;
	if (!search && !bind)
		wrong("search or bind?");
}

int
main(int argc, char **argv)
{
	const char *why = "";
	struct loop_timer start;
	defaults();
	parse(argc, argv);
	probe.o.pool.uris = probe.uris.v;
	probe.o.pool.uris_count = probe.uris.n;
	probe.o.referral_hosts = probe.hosts.v;
	probe.o.referral_hosts_count = probe.hosts.n;
	ldap_conn_setup();
	probe.loop = loop_new();
	if (ldap_client_new(probe.loop, &probe.o, &probe.client, &why) != ERR_OK)
		wrong(why);
	loop_timer_init(&start, probe.loop, ask, NULL);
	loop_timer_start(&start, probe.wait_ms);
	loop_run(probe.loop);
	ldap_client_free(probe.client);
	loop_free(probe.loop);
	free((void *)(uintptr_t)probe.o.pool.ca_pem.p);
	free((void *)(uintptr_t)probe.o.pool.client_certificate_pem.p);
	free((void *)(uintptr_t)probe.o.pool.client_key_pem.p);
	return 0;
}
