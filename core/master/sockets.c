/* Binding every socket of the server; see sockets.h. serve.c calls it at start. Invariant: who may
 * connect is decided here by owner and mode, before any role runs. */
#include "core/master/sockets.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/xalloc.h"

enum { MODE_ALL = 0666, MODE_GROUP = 0660, MODE_OWNER = 0600 };

struct binding {
	struct sockets *k;
	const struct settings *s;
	const struct system_ids *ids;
	struct buf *why;
};

static enum err
add(struct binding *b, struct str address, const struct bound *like, mode_t mode, uid_t uid,
	gid_t gid)
{
	struct listen_options o = { .mode = mode, .uid = uid, .gid = gid };
	struct bound *v;
	const char *text = "";
	enum err e;
	int fd;

	if (address.n >= sizeof v->address) {
		buf_addf(b->why, "%.*s: too long\n", STR_FMT(address));
		return ERR_SYNTAX;
	}
	e = listen_bind(address, &o, &fd, &text);
	if (e != ERR_OK) {
		buf_addf(b->why, "cannot listen on %.*s: %s\n", STR_FMT(address), text);
		return e;
	}
	b->k->v = xrealloc(b->k->v, sizeof *v * (b->k->n + 1));
	v = &b->k->v[b->k->n++];
	*v = *like;
	memcpy(v->address, address.p, address.n);
	v->address[address.n] = '\0';
	v->fd = fd;
	return ERR_OK;
}

/* A socket below runtime_dir. */
static enum err
add_own(struct binding *b, const char *prefix, const char *name, const struct bound *like,
	mode_t mode, uid_t uid)
{
	char address[160];
	int n = snprintf(
		address, sizeof address, "%s:%.*s/%s", prefix, STR_FMT(b->s->runtime_dir), name);

	if (n < 0 || (size_t)n >= sizeof address) {
		buf_addz(b->why, "runtime_dir is too long\n");
		return ERR_SYNTAX;
	}
	return add(b, str_n(address, (size_t)n), like, mode, b->ids->root ? uid : (uid_t)-1,
		b->ids->group);
}

static enum err
add_runtime(struct binding *b, unsigned imap_workers)
{
	const struct system_ids *ids = b->ids;
	const struct {
		const char *prefix, *name;
		struct bound like;
		mode_t mode;
		uid_t uid;
	} table[] = {
		{ "unix", "auth", { .protocol = "auth", .role = ROLE_AUTH, .worker = -1 },
			MODE_GROUP, 0 },
		{ "unix", "gate/auth", { .protocol = "auth", .role = ROLE_AUTH, .worker = -1 },
			MODE_OWNER, ids->gate },
		{ "unix", "auth-userdb",
			{ .protocol = "auth-userdb", .role = ROLE_AUTH, .worker = -1 }, MODE_GROUP,
			0 },
		{ "unix", "directory", { .protocol = "directory", .role = ROLE_AUTH, .worker = -1 },
			MODE_GROUP, 0 },
		{ "unix", "auth-admin",
			{ .protocol = "auth-admin", .role = ROLE_AUTH, .worker = -1 }, MODE_OWNER,
			0 },
		{ "unix", "lmtp", { .protocol = "lmtp", .role = ROLE_LMTP, .worker = -1 },
			MODE_GROUP, 0 },
		{ "unix", "queue-admin",
			{ .protocol = "queue-admin", .role = ROLE_QUEUE, .worker = -1 }, MODE_OWNER,
			0 },
		{ "unix", "sendmail", { .protocol = "sendmail", .role = ROLE_SMTP, .worker = -1 },
			MODE_ALL, 0 },
		{ "seqpacket", "slots", { .protocol = "slots", .role = ROLE_QUEUE, .worker = -1 },
			MODE_OWNER, ids->smtp },
	};
	const struct bound worker = {
		.protocol = "auth-worker", .role = ROLE_AUTHWORKER, .worker = -1
	};
	const struct bound relay = { .protocol = "relay", .role = ROLE_RELAY, .worker = -1 };
	const struct bound resolver = {
		.protocol = "resolver", .role = ROLE_RESOLVER, .worker = -1
	};
	enum err e = ERR_OK;

	if (settings_smtp_asks_dns(b->s))
		e = add_own(b, "seqpacket", "resolver", &resolver, MODE_OWNER, ids->smtp);
	if (e == ERR_OK && b->s->outbound.enabled)
		e = add_own(b, "seqpacket", "relay", &relay, MODE_OWNER, ids->queue);
	if (e == ERR_OK && settings_worker_sections(b->s) != 0)
		e = add_own(b, "unix", "auth-worker", &worker, MODE_OWNER, ids->auth);
	for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(table); i++)
		e = add_own(b, table[i].prefix, table[i].name, &table[i].like, table[i].mode,
			table[i].uid);
	for (unsigned i = 0; e == ERR_OK && i < imap_workers; i++) {
		struct bound like = { .protocol = "handover", .role = ROLE_IMAP, .worker = (int)i };
		char name[32];
		(void)snprintf(name, sizeof name, "gate/imap.%u", i);
		e = add_own(b, "seqpacket", name, &like, MODE_OWNER, ids->gate);
	}
	return e;
}

static enum err
add_configured(struct binding *b, const struct settings_listen *l)
{
	static const struct {
		const char *protocol;
		unsigned role;
	} table[] = { { "imap", ROLE_GATE }, { "submission", ROLE_SMTP }, { "smtp", ROLE_SMTP },
		{ "lmtp", ROLE_LMTP } };
	struct bound like = { .worker = -1 };
	enum err e = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (str_eq(l->protocol, str_of(table[i].protocol))) {
			like.role = table[i].role;
			(void)snprintf(
				like.protocol, sizeof like.protocol, "%s", table[i].protocol);
		}
	if (like.role == 0) {
		buf_addf(b->why, "listen \"%.*s\": no protocol %.*s\n", STR_FMT(l->title),
			STR_FMT(l->protocol));
		return ERR_SYNTAX;
	}
	if (str_eq(l->tls, STR("implicit")))
		like.tls = LISTEN_TLS_IMPLICIT;
	else if (str_eq(l->tls, STR("starttls")))
		like.tls = LISTEN_TLS_STARTTLS;
	for (size_t i = 0; e == ERR_OK && i < l->address.n; i++)
		e = add(b, l->address.v[i], &like, MODE_GROUP, b->ids->root ? 0 : (uid_t)-1,
			b->ids->group);
	return e;
}

static enum err
parse_mode(struct str s, mode_t *out)
{
	unsigned mode = 0;

	if (s.n < 3 || s.n > 4)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7')
			return ERR_SYNTAX;
		mode = mode * 8 + (unsigned)(s.p[i] - '0');
	}
	*out = mode & 0777;
	return ERR_OK;
}

struct extra {
	struct str path;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/* "/var/spool/postfix/private/auth:0660:postfix:postfix"; as root the owners must be there. */
static enum err
parse_extra(struct str spec, bool root, const char *section, struct extra *out, struct buf *why)
{
	struct str path = spec, part[3] = { STR_EMPTY, STR_EMPTY, STR_EMPTY };
	enum err e = ERR_OK;

	*out = (struct extra){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	for (int i = 2; i >= 0; i--) {
		size_t colon = str_rchr(path, ':');
		part[i] = str_from(path, colon + 1);
		path = str_sub(path, 0, colon);
	}
	out->path = path;
	if (path.n == 0 || path.p[0] != '/' || parse_mode(part[0], &out->mode) != ERR_OK)
		e = ERR_SYNTAX;
	else if (root && (system_uid(part[1], &out->uid) != ERR_OK ||
				 system_gid(part[2], &out->gid) != ERR_OK))
		e = ERR_NOTFOUND;
	if (e != ERR_OK)
		buf_addf(why, "%s.extra_socket \"%.*s\": %s\n", section, STR_FMT(spec),
			e == ERR_SYNTAX ? "want path:mode:user:group" : "no such user or group");
	return e;
}

static enum err
add_extra(struct binding *b, struct str spec, const struct bound *like)
{
	struct buf address;
	struct extra x;
	enum err e = parse_extra(spec, b->ids->root, like->protocol, &x, b->why);

	if (e != ERR_OK)
		return e;
	buf_init(&address, 1024);
	buf_addf(&address, "unix:%.*s", STR_FMT(x.path));
	e = add(b, buf_str(&address), like, x.mode, x.uid, x.gid);
	buf_fini(&address);
	return e;
}

static bool
address_ok(struct str address, const char *name, struct str title, struct buf *why)
{
	const char *text;

	if (listen_check(address, &text) == ERR_OK)
		return true;
	buf_addf(why, "%s%s%.*s%s \"%.*s\": %s\n", name, title.n > 0 ? " \"" : "", STR_FMT(title),
		title.n > 0 ? "\": address" : "", STR_FMT(address), text);
	return false;
}

enum err
sockets_check(const struct settings *s, struct buf *why)
{
	const struct {
		const char *name;
		struct str address;
	} tcp[] = {
		{ "auth.listen_tcp", s->auth.listen_tcp },
		{ "auth.listen_tcp_userdb", s->auth.listen_tcp_userdb },
		{ "auth.listen_tcp_directory", s->auth.listen_tcp_directory },
	};
	bool root = geteuid() == 0, ok = true;
	struct extra x;

	for (size_t i = 0; i < ARRAY_LEN(tcp); i++)
		if (tcp[i].address.n != 0)
			ok &= address_ok(tcp[i].address, tcp[i].name, STR_EMPTY, why);
	for (size_t i = 0; i < s->auth.extra_socket.n; i++)
		ok &= parse_extra(s->auth.extra_socket.v[i], root, "auth", &x, why) == ERR_OK;
	for (size_t i = 0; i < s->lmtp.extra_socket.n; i++)
		ok &= parse_extra(s->lmtp.extra_socket.v[i], root, "lmtp", &x, why) == ERR_OK;
	for (size_t i = 0; i < s->listens_count; i++)
		for (size_t k = 0; k < s->listens[i].address.n; k++)
			ok &= address_ok(
				s->listens[i].address.v[k], "listen", s->listens[i].title, why);
	return ok ? ERR_OK : ERR_SYNTAX;
}

enum err
sockets_bind(struct sockets *k, const struct settings *s, const struct system_ids *ids,
	unsigned imap_workers, struct buf *why)
{
	struct binding b = { .k = k, .s = s, .ids = ids, .why = why };
	const struct bound auth = { .protocol = "auth", .role = ROLE_AUTH, .worker = -1 };
	const struct bound userdb = { .protocol = "auth-userdb", .role = ROLE_AUTH, .worker = -1 };
	const struct bound directory = { .protocol = "directory", .role = ROLE_AUTH, .worker = -1 };
	const struct bound lmtp = { .protocol = "lmtp", .role = ROLE_LMTP, .worker = -1 };
	enum err e;

	*k = (struct sockets){ .n = 0 };
	e = add_runtime(&b, imap_workers);
	const struct {
		struct str address;
		const struct bound *like;
	} tcp[] = {
		{ s->auth.listen_tcp, &auth },
		{ s->auth.listen_tcp_userdb, &userdb },
		{ s->auth.listen_tcp_directory, &directory },
	};
	for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(tcp); i++)
		if (tcp[i].address.n != 0)
			e = add(&b, tcp[i].address, tcp[i].like, 0, (uid_t)-1, (gid_t)-1);
	for (size_t i = 0; e == ERR_OK && i < s->auth.extra_socket.n; i++)
		e = add_extra(&b, s->auth.extra_socket.v[i], &auth);
	for (size_t i = 0; e == ERR_OK && i < s->lmtp.extra_socket.n; i++)
		e = add_extra(&b, s->lmtp.extra_socket.v[i], &lmtp);
	for (size_t i = 0; e == ERR_OK && i < s->listens_count; i++)
		e = add_configured(&b, &s->listens[i]);
	if (e != ERR_OK)
		sockets_close(k, s);
	return e;
}

void
sockets_close(struct sockets *k, const struct settings *s)
{
	for (size_t i = 0; i < k->n; i++) {
		struct str address = str_of(k->v[i].address), scheme, path;
		(void)close(k->v[i].fd);
		if (str_cut(address, ':', &scheme, &path) && str_starts(path, s->runtime_dir) &&
			(str_eq(scheme, STR("unix")) || str_eq(scheme, STR("seqpacket"))))
			(void)unlink(path.p);
	}
	free(k->v);
	*k = (struct sockets){ .n = 0 };
}
