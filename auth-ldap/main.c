/* postroom-auth: the one auth service. master starts it with the directory credentials in its slice
 * of the settings and the bound sockets; every login and lookup of the other roles, and of Postfix
 * and Exim beside us, is a question to this process. One loop; the only threads are those that
 * accept Kerberos tickets, because that reads files. */
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "auth-ldap/directory/probe.h"
#include "auth-ldap/front/backends.h"
#include "auth-ldap/front/front.h"
#include "auth-ldap/ldap/conn.h"
#include "auth-ldap/server/service.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/event/pool.h"
#include "core/role/role.h"
#include "core/sasl/exchange.h"

enum { LISTENERS_MAX = 32, TICKET_THREADS = 4 };

struct auth_role {
	struct service service;
	struct listener *listeners[LISTENERS_MAX];
	size_t listeners_count;
};

static struct str
user_of(const struct settings *s)
{
	return s->user_auth;
}

static void
add_uid(struct role_ctx *r, uid_t uids[8], size_t *count, struct str user)
{
	uid_t uid;
	if (*count < 8 && role_uid(r, user, &uid) == ERR_OK)
		uids[(*count)++] = uid;
}

/* missing: the mechanism that there is no plug-in for; empty: it was something else. */
static void
sasl_failed(const struct settings *s, struct str missing, struct buf *why)
{
	if (missing.n > 0)
		buf_addf(why,
			"auth.sasl_mechanisms: Cyrus SASL has no plug-in for %.*s here (Debian: "
			"libsasl2-modules, libsasl2-modules-gssapi-mit)",
			STR_FMT(missing));
	else if (s->auth.gssapi_keytab.n > 0)
		buf_addf(why, "auth.gssapi_keytab: %.*s cannot be used",
			STR_FMT(s->auth.gssapi_keytab));
	else
		buf_addz(why, "Cyrus SASL does not start");
}

static enum err
setup_sasl(const struct settings *s, const char *ev, struct buf *why)
{
	struct str missing = STR_EMPTY;
	const struct str_list *m = &s->auth.sasl_mechanisms;
	enum err e = sasl_exchange_setup(m->v, m->n, s->auth.gssapi_keytab, &missing);
	if (e == ERR_OK)
		return e;
	sasl_failed(s, missing, why);
	log_event(LVL_ERROR, ev, log_e("res", e), log_s("reason", buf_str(why)));
	return e;
}

static enum err
auth_init(struct role_ctx *r)
{
	struct auth_role *a = xcalloc(1, sizeof *a);
	const struct settings *s = role_settings(r);
	role_set_data(r, a);
	ldap_conn_setup();
	a->service.settings = s;
	a->service.verify_ms = AUTH_VERIFY_MS;
	hmap_init(&a->service.auth_conns);
	list_init(&a->service.conns);
	struct service *sv = &a->service;
	add_uid(r, sv->userdb_uids, &sv->userdb_uids_count, s->user_mail);
	add_uid(r, sv->userdb_uids, &sv->userdb_uids_count, s->user_queue);
	add_uid(r, sv->own_uids, &sv->own_uids_count, s->user_mail);
	add_uid(r, sv->own_uids, &sv->own_uids_count, s->user_queue);
	add_uid(r, sv->own_uids, &sv->own_uids_count, s->user_gate);
	add_uid(r, sv->own_uids, &sv->own_uids_count, s->user_smtp);
	if (gethostname(sv->machine, sizeof sv->machine - 1) != 0)
		memcpy(sv->machine, "localhost", sizeof "localhost");
	fake_keys_setup(&sv->fake_keys, s);
	struct buf why;
	buf_init(&why, 4096);
	enum err e = setup_sasl(s, "auth.start", &why);
	buf_fini(&why);
	return e;
}

static enum err
refused(enum err e, const struct buf *why)
{
	if (e != ERR_OK)
		log_event(
			LVL_ERROR, "auth.settings", log_e("res", e), log_s("reason", buf_str(why)));
	return e;
}

static listener_fn
accept_of(const char *protocol)
{
	static const struct {
		const char *protocol;
		listener_fn fn;
	} table[] = {
		{ "auth", auth_server_accept },
		{ "auth-userdb", userdb_server_accept },
		{ "directory", socketmap_server_accept },
		{ "auth-admin", admin_server_accept },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (str_eq(str_of(protocol), str_of(table[i].protocol)))
			return table[i].fn;
	return NULL;
}

static enum err
auth_start(struct role_ctx *r)
{
	struct auth_role *a = role_data(r);
	size_t n;
	const struct role_listener *l = role_listeners(r, &n);
	a->service.loop = role_loop(r);
	struct buf why;
	buf_init(&why, 4096);
	enum err e = front_new(a->service.loop, role_settings(r), &a->service.front, &why);
	e = refused(e, &why);
	buf_fini(&why);
	if (e != ERR_OK)
		return e;
	a->service.tokens = tokens_new(a->service.loop, role_settings(r));
	a->service.threads = pool_new(a->service.loop, TICKET_THREADS);
	for (size_t i = 0; i < n; i++) {
		listener_fn fn = accept_of(l[i].protocol);
		if (fn == NULL || a->listeners_count >= LISTENERS_MAX) {
			log_event(LVL_ERROR, "auth.start", log_z("protocol", l[i].protocol),
				log_z("reason", "a socket that this role does not serve"));
			return ERR_SYNTAX;
		}
		a->listeners[a->listeners_count++] =
			listener_new(a->service.loop, l[i].fd, fn, &a->service);
	}
	return ERR_OK;
}

/* As the user who will read them. */
static enum err
check_keytabs(const struct settings *s, struct buf *why)
{
	struct str path = s->auth.gssapi_keytab;
	if (path.n > 0 && access(path.p, R_OK) != 0) {
		buf_addf(
			why, "auth.gssapi_keytab: %.*s: %s", STR_FMT(path), strerrordesc_np(errno));
		return ERR_NOTFOUND;
	}
	for (size_t i = 0; i < s->directories_count; i++) {
		const struct settings_directory *d = &s->directories[i];
		if (d->bind_keytab.n == 0 || access(d->bind_keytab.p, R_OK) == 0)
			continue;
		buf_addf(why, "directory \"%.*s\": bind_keytab: %.*s: %s", STR_FMT(d->title),
			STR_FMT(d->bind_keytab), strerrordesc_np(errno));
		return ERR_NOTFOUND;
	}
	return ERR_OK;
}

/* `postroom check`: what auth_init and auth_start would refuse, and keytabs, which they would only
 * miss later. */
static enum err
auth_check(struct role_ctx *r, struct buf *why)
{
	const struct settings *s = role_settings(r);
	struct front *f = NULL;
	struct str missing = STR_EMPTY;
	const struct str_list *m = &s->auth.sasl_mechanisms;
	enum err e = check_keytabs(s, why);
	if (e != ERR_OK)
		return e;
	ldap_conn_setup();
	e = sasl_exchange_setup(m->v, m->n, s->auth.gssapi_keytab, &missing);
	if (e != ERR_OK)
		sasl_failed(s, missing, why);
	else
		e = front_new(role_loop(r), s, &f, why);
	front_free(f);
	sasl_exchange_teardown();
	return e;
}

/* `postroom check --online`, after auth_check was content. */
static enum err
auth_probe(struct role_ctx *r, struct buf *why)
{
	log_set_level(LVL_ERROR); /* what goes wrong is told in lines of its own */
	return directory_probe(role_loop(r), role_settings(r), why);
}

/* Sessions go on; those that have begun end with the old backends. */
static enum err
auth_reload(struct role_ctx *r, struct buf *why)
{
	struct auth_role *a = role_data(r);
	const struct settings *s = role_settings(r);
	struct backends *b = NULL;
	/* Either all of the new settings count, or none of them: the backends are made first and
	 * count last, as SASL's counts at once, and takes a keytab that nobody can read. */
	enum err e = check_keytabs(s, why);
	if (e == ERR_OK)
		e = backends_new(a->service.loop, s, &b, why);
	e = refused(e, why);
	if (e == ERR_OK)
		e = setup_sasl(s, "auth.settings", why);
	if (e != ERR_OK) {
		backends_close(b);
		return e;
	}
	front_reload(a->service.front, b);
	a->service.settings = s;
	fake_keys_setup(&a->service.fake_keys, s);
	tokens_reload(a->service.tokens, s);
	auth_server_reload(&a->service);
	log_event(LVL_INFO, "auth.reload", log_z("res", "ok"));
	return ERR_OK;
}

static void
auth_stop(struct role_ctx *r)
{
	struct auth_role *a = role_data(r);
	struct service *s = &a->service;
	for (size_t i = 0; i < a->listeners_count; i++)
		listener_free(a->listeners[i]);
	a->listeners_count = 0;
	s->ending = true;
	while (!list_empty(&s->conns)) {
		struct conn *c = CONTAINER_OF(s->conns.next, struct conn, link);
		c->kind->end(c);
	}
	hmap_fini(&s->auth_conns);
	pool_free(s->threads);
	tokens_free(s->tokens);
	front_free(s->front);
	s->front = NULL;
	sasl_exchange_teardown();
	role_set_data(r, NULL);
	free(a);
	role_leave(r);
}

static const struct role auth_role = {
	.name = "auth",
	.bit = ROLE_AUTH,
	.user = user_of,
	.cage = { .no_file_writes = true },
	.check = auth_check,
	.probe = auth_probe,
	.init = auth_init,
	.start = auth_start,
	.reload = auth_reload,
	.stop = auth_stop,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &auth_role);
}
