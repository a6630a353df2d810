/* postroom-smtp: mail from users (submission) and from other servers (smtp). Takes its listeners
 * from master, and wires sessions (server.h) to the auth service, the directory and the spool. Its
 * cage: no file can be opened, file writes only into the slots that queue hands over, no internet
 * sockets of its own. */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/mail/date.h"
#include "core/role/role.h"
#include "delivery/smtp/server.h"

enum {
	LOGINS_MAX = 5,
	SLOT_TIMEOUT_MS = 5000,
	PROXY_TIMEOUT_MS = 5000,
	FD_RESERVE = 512,
	MMAP_THRESHOLD = 512 * 1024,
	TRIM_THRESHOLD = 2 * 1024 * 1024,
};

struct door {
	struct smtp_role *role;
	struct listener *listener;
	const struct smtp_policy *policy;
};

struct smtp_role {
	struct role_ctx *ctx;
	struct tls_ctx *tls;
	struct pool *pool;
	struct spool_client *spool;
	struct auth_client *auth;
	struct socketmap *directory;
	struct resolver_client *resolver;
	struct room *room;
	struct smtp_server *server;
	struct door *doors;
	size_t doors_count;
	struct cidr *relay_networks, *proxy_networks, *xclient_networks, *check_exempt_networks;
	struct dnslist lists[DNSLIST_MAX];
	size_t lists_count;
	uid_t *local_uids;
	size_t local_uids_count;
	char hostname[256];
};

static enum err
load_tls(struct smtp_role *r, const struct settings *s, struct buf *why)
{
	struct tls_server_options o = { .certificate_pem = s->tls.certificate,
		.key_pem = s->tls.key,
		.client_ca_pem = s->tls.client_ca,
		.min_version = str_eq(s->tls.min_version, STR("1.3")) ? 13 : 12 };
	struct tls_ctx *fresh = NULL;
	const char *text = "";
	enum err e;

	if (s->tls.certificate.n == 0)
		return ERR_OK; /* submission then says that TLS is not available */
	e = tls_ctx_new_server(&o, &fresh, &text);
	if (e != ERR_OK) {
		buf_addf(why, "tls: %s", text);
		log_event(LVL_ERROR, "smtp.tls", log_z("res", "failed"), log_z("reason", text));
		return e;
	}
	if (r->tls != NULL)
		tls_ctx_unref(r->tls);
	r->tls = fresh;
	return ERR_OK;
}

/* Whom smtp.local_users names; the cage hides the user database later. A name that nobody has
 * opens nothing. */
static void
find_local_users(struct smtp_role *r, const struct settings *s)
{
	const struct str_list *names = &s->smtp.local_users;

	r->local_uids = xcalloc(names->n + 1, sizeof(*r->local_uids));
	for (size_t i = 0; i < names->n; i++) {
		if (role_uid(r->ctx, names->v[i], &r->local_uids[r->local_uids_count]) == ERR_OK)
			r->local_uids_count++;
		else
			log_event(LVL_ERROR, "smtp.local_users", log_s("user", names->v[i]),
				log_z("reason", "no such system user"));
	}
}

static enum err
smtp_init(struct role_ctx *c)
{
	struct smtp_role *r = xcalloc(1, sizeof(*r));
	const struct settings *s = role_settings(c);
	struct buf why;
	enum err e;

	r->ctx = c;
	role_set_data(c, r);
	/* A slot that would pass RLIMIT_FSIZE is a failed write, not a dead worker. */
	(void)signal(SIGXFSZ, SIG_IGN);
	/* The zone's file is read now; behind the cage nothing can be opened. */
	(void)date_local_zone(time(NULL));
	find_local_users(r, s);
	if (s->hostname.n > 0)
		memcpy(r->hostname, s->hostname.p, s->hostname.n);
	else if (gethostname(r->hostname, sizeof(r->hostname) - 1) != 0)
		memcpy(r->hostname, "localhost", sizeof("localhost"));
	buf_init(&why, 4096);
	e = load_tls(r, s, &why);
	buf_fini(&why);
	return e;
}

static void
update_accepting(void *arg)
{
	struct smtp_role *r = arg;

	for (size_t i = 0; i < r->doors_count; i++)
		listener_set_accepting(r->doors[i].listener, smtp_server_has_room(r->server));
}

static void
on_accept(void *arg, int fd, const struct peer *peer)
{
	struct door *d = arg;

	smtp_server_accept(d->role->server, fd, peer, d->policy);
	if (!smtp_server_has_room(d->role->server))
		update_accepting(d->role);
}

/* settings_load has seen that they are networks. */
static enum err
read_networks(const struct str_list *l, struct cidr **out)
{
	enum err e = ERR_OK;

	*out = xcalloc(l->n + 1, sizeof(**out));
	for (size_t i = 0; i < l->n && e == ERR_OK; i++)
		e = cidr_parse(l->v[i], &(*out)[i]);
	return e;
}

/* settings_load has seen that they fit. */
static void
add_list(struct smtp_role *r, struct str title, struct str zone, int64_t weight,
	const struct str_list *reply)
{
	struct dnslist *l = &r->lists[r->lists_count];

	if (r->lists_count == DNSLIST_MAX)
		return;
	r->lists_count++;
	*l = (struct dnslist){
		.title = title, .zone = zone.n > 0 ? zone : title, .weight = (int)weight
	};
	for (size_t i = 0; i < reply->n && l->filters_count < DNSLIST_FILTERS_MAX; i++)
		if (dnsbl_filter_parse(reply->v[i], &l->filters[l->filters_count]) == ERR_OK)
			l->filters_count++;
}

static void
read_lists(struct smtp_role *r, const struct settings *s)
{
	for (size_t i = 0; i < s->dnsbls_count; i++)
		add_list(r, s->dnsbls[i].title, s->dnsbls[i].zone, s->dnsbls[i].weight,
			&s->dnsbls[i].reply);
	for (size_t i = 0; i < s->dnswls_count; i++)
		add_list(r, s->dnswls[i].title, s->dnswls[i].zone, -s->dnswls[i].weight,
			&s->dnswls[i].reply);
}

static struct check_options
checks_of(struct smtp_role *r, const struct settings *s)
{
	return (struct check_options){
		.client_ptr = check_mode_of(s->smtp.client_ptr),
		.client_confirmed = check_mode_of(s->smtp.client_confirmed),
		.helo_known = check_mode_of(s->smtp.helo_known),
		.sender_known = check_mode_of(s->smtp.sender_known),
		.recipient_known = check_mode_of(s->smtp.recipient_known),
		.dnsbl = check_mode_of(s->smtp.dnsbl_action),
		.dnsbl_threshold = (int)s->smtp.dnsbl_threshold,
		.failure_defers = str_eq(s->smtp.dns_failure, STR("defer")),
		.timeout_ms = s->smtp.check_timeout,
		.exempt = r->check_exempt_networks,
		.exempt_count = s->smtp.check_exempt_networks.n,
		.lists = r->lists,
		.lists_count = r->lists_count,
	};
}

static struct smtp_options
options_of(struct smtp_role *r, const struct settings *s)
{
	int64_t files = sysconf(_SC_OPEN_MAX), most = s->smtp.connections_max;

	if (files > FD_RESERVE && (files - FD_RESERVE) / 2 < most)
		most = (files - FD_RESERVE) / 2;
	return (struct smtp_options){
		.hostname = str_of(r->hostname),
		.default_domain = s->auth.default_domain,
		.delimiter = s->recipient_delimiter.n > 0 ? s->recipient_delimiter.p[0] : '\0',
		.settings = s,
		.message_max = (uint64_t)s->smtp.message_max,
		.header_max = (uint64_t)s->smtp.header_max,
		.recipients_max = (unsigned)s->smtp.recipients_max,
		.connections_max = (unsigned)most,
		.connections_per_address = (unsigned)s->smtp.connections_per_address,
		.counts = role_counts(r->ctx),
		.errors_max = (unsigned)s->smtp.errors_max,
		.logins_max = LOGINS_MAX,
		.hops_max = (unsigned)s->smtp.hops_max,
		.mx_login = s->smtp.mx_login,
		.postmaster = s->smtp.postmaster,
		.helo_fqdn = s->smtp.helo_fqdn,
		.sender_fqdn = s->smtp.sender_fqdn,
		.pipelining_check = s->smtp.pipelining_check,
		.greet_delay_ms = s->smtp.greet_delay,
		.rates = { .connections = (unsigned)s->smtp.connections_per_minute,
			.errors = (unsigned)s->smtp.errors_per_minute,
			.messages = (unsigned)s->smtp.messages_per_minute,
			.recipients = (unsigned)s->smtp.recipients_per_minute,
			.user_messages = (unsigned)s->smtp.user_messages_per_minute,
			.user_recipients = (unsigned)s->smtp.user_recipients_per_minute },
		.local_domain = s->smtp.local_domain.n > 0     ? s->smtp.local_domain
				: s->auth.default_domain.n > 0 ? s->auth.default_domain
							       : str_of(r->hostname),
		.local_uids = r->local_uids,
		.local_uids_count = r->local_uids_count,
		.local_everybody = s->smtp.local_users.n == 0,
		.checks = checks_of(r, s),
		.relay_networks = r->relay_networks,
		.relay_networks_count = s->smtp.relay_networks.n,
		.outbound = s->outbound.enabled,
		.null_client = s->outbound.null_client,
		.proxy_networks = r->proxy_networks,
		.proxy_networks_count = s->smtp.proxy_networks.n,
		.xclient_networks = r->xclient_networks,
		.xclient_networks_count = s->smtp.xclient_networks.n,
		.xclient_login = s->smtp.xclient_login,
		.proxy_timeout_ms = PROXY_TIMEOUT_MS,
		.command_timeout_ms = s->smtp.command_timeout,
		.data_timeout_ms = s->smtp.data_timeout,
		.login_timeout_ms = s->smtp.login_timeout,
		.slot_timeout_ms = SLOT_TIMEOUT_MS,
	};
}

/* The unix sockets of the parts that smtp asks. */
static enum err
connect_peers(struct smtp_role *r, const struct settings *s)
{
	static const char *const names[] = { "auth", "directory", "slots", "resolver", "lmtp" };
	struct loop *l = role_loop(r->ctx);
	enum err e = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(names) && e == ERR_OK; i++) {
		struct buf path, address;
		buf_init(&path, 1024);
		buf_init(&address, 1024);
		e = role_runtime_path(r->ctx, names[i], &path);
		buf_addz(&address, "unix:");
		buf_add(&address, str_of(buf_z(&path)));
		if (e == ERR_OK && i == 0)
			r->auth = auth_client_new(l, buf_str(&address));
		else if (e == ERR_OK && i == 1)
			r->directory = socketmap_new(l, buf_str(&address), 0);
		else if (e == ERR_OK && i == 2)
			r->spool = spool_client_new(
				l, r->pool, buf_z(&path), (unsigned)s->queue.slots_ahead);
		else if (e == ERR_OK && i == 4 && s->smtp.quota_check)
			r->room = room_new(l, buf_str(&address));
		else if (e == ERR_OK && i == 3 && settings_smtp_asks_dns(s))
			r->resolver = resolver_client_new(l, buf_z(&path));
		buf_fini(&path);
		buf_fini(&address);
	}
	return e;
}

static void
open_doors(struct smtp_role *r)
{
	size_t n;
	const struct role_listener *l = role_listeners(r->ctx, &n);

	r->doors = xcalloc(n + 1, sizeof(*r->doors));
	for (size_t i = 0; i < n; i++) {
		const struct smtp_policy *p = smtp_policy_find(str_of(l[i].protocol), l[i].tls);
		struct door *d = &r->doors[r->doors_count];
		if (p == NULL) {
			log_event(LVL_ERROR, "smtp.listen", log_z("protocol", l[i].protocol),
				log_z("reason", "not served here"));
			close(l[i].fd);
			continue;
		}
		*d = (struct door){ .role = r, .policy = p };
		d->listener = listener_new(role_loop(r->ctx), l[i].fd, on_accept, d);
		r->doors_count++;
	}
}

static enum err
smtp_start(struct role_ctx *c)
{
	struct smtp_role *r = role_data(c);
	const struct settings *s = role_settings(c);
	struct smtp_peers peers = { .loop = role_loop(c), .tls = r->tls };
	struct smtp_options o;
	enum err e;

	e = read_networks(&s->smtp.relay_networks, &r->relay_networks);
	if (e == ERR_OK)
		e = read_networks(&s->smtp.proxy_networks, &r->proxy_networks);
	if (e == ERR_OK)
		e = read_networks(&s->smtp.xclient_networks, &r->xclient_networks);
	if (e == ERR_OK)
		e = read_networks(&s->smtp.check_exempt_networks, &r->check_exempt_networks);
	read_lists(r, s);
	if (e != ERR_OK)
		return e;
	/* A message passes through buffers of 64 and 128 KiB: mapped anew for each, they would be
	 * 40 page faults. No index is open here, for which the role's own threshold is made. */
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
	(void)mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
	o = options_of(r, s);
	r->pool = pool_new(role_loop(c), (unsigned)s->store.pool_threads);
	e = connect_peers(r, s);
	if (e != ERR_OK)
		return e;
	peers.spool = r->spool;
	peers.auth = r->auth;
	peers.directory = r->directory;
	peers.resolver = r->resolver;
	peers.room = r->room;
	r->server = smtp_server_new(&o, &peers);
	smtp_server_on_room(r->server, update_accepting, r);
	open_doors(r);
	return ERR_OK;
}

/* All three, or none. */
static bool
reload_networks(struct smtp_role *r, const struct settings *s)
{
	const struct str_list *from[] = { &s->smtp.relay_networks, &s->smtp.proxy_networks,
		&s->smtp.xclient_networks };
	struct cidr **to[] = { &r->relay_networks, &r->proxy_networks, &r->xclient_networks };
	struct cidr *fresh[ARRAY_LEN(from)] = { NULL };
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		good = read_networks(from[i], &fresh[i]) == ERR_OK && good;
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		free(good ? *to[i] : fresh[i]);
		if (good)
			*to[i] = fresh[i];
	}
	return good;
}

/* See smtp_server_set_options for what stays as it was at start. */
static enum err
smtp_reload(struct role_ctx *c, struct buf *why)
{
	struct smtp_role *r = role_data(c);
	struct smtp_options o;

	if (!reload_networks(r, role_settings(c))) {
		buf_addz(why, "smtp: not a network");
		log_event(LVL_ERROR, "smtp.reload", log_z("reason", "not a network"));
		return ERR_SYNTAX;
	}
	o = options_of(r, role_settings(c));
	smtp_server_set_options(r->server, &o);
	log_event(LVL_INFO, "smtp.reload", log_z("res", "ok"));
	enum err e = load_tls(r, role_settings(c), why);
	if (e == ERR_OK)
		smtp_server_set_tls(r->server, r->tls);
	return e;
}

static void
on_stopped(void *arg)
{
	struct smtp_role *r = arg;

	role_leave_soon(r->ctx);
}

static void
smtp_stop(struct role_ctx *c)
{
	struct smtp_role *r = role_data(c);

	for (size_t i = 0; i < r->doors_count; i++)
		listener_free(r->doors[i].listener);
	r->doors_count = 0;
	smtp_server_stop(r->server, on_stopped, r);
}

static struct str
smtp_user(const struct settings *s)
{
	return s->user_smtp;
}

static struct role smtp_role = {
	.name = "smtp",
	.bit = ROLE_SMTP,
	.user = smtp_user,
	.cage = { .limit_message_size = true, .landlock_no_files = true, .no_inet = true },
	.init = smtp_init,
	.start = smtp_start,
	.reload = smtp_reload,
	.stop = smtp_stop,
};

int
main(int argc, char **argv)
{
	smtp_role.cage.allow_syscalls = role_syscalls_common;
	return role_main(argc, argv, &smtp_role);
}
