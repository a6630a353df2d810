/* The gate as a role: what every program on core/gate does with role_main. Before the cage it
 * reads the certificate and finds imap's sockets, inside it connects and accepts. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/gate/gate.h"

enum { WORKERS_MAX = 256, PATH_SIZE = 4096 };

struct service {
	struct gate *gate;
	struct tls_ctx *tls;
	unsigned workers;
};

struct str
gate_service_user(const struct settings *s)
{
	return s->user_gate;
}

/* NULL: none is configured, or it cannot be used (and the log says so). */
static enum err
load_tls(const struct settings *s, struct tls_ctx **out, struct buf *why)
{
	const char *text = "";
	struct tls_server_options o = {
		.certificate_pem = s->tls.certificate,
		.key_pem = s->tls.key,
		.client_ca_pem = s->tls.client_ca,
		.min_version = str_eq(s->tls.min_version, STR("1.3")) ? 13 : 12,
	};
	*out = NULL;
	if (o.certificate_pem.n == 0)
		return ERR_OK;
	enum err e = tls_ctx_new_server(&o, out, &text);
	if (e == ERR_OK)
		return e;
	buf_addf(why, "tls: %s", text);
	log_event(LVL_ERROR, "gate.certificate", log_e("err", e), log_z("reason", text));
	return e;
}

/* The sockets gate/imap.0, imap.1 … were bound by master before any role started. */
static unsigned
count_workers(const struct settings *s)
{
	char path[PATH_SIZE];
	struct stat st;
	unsigned n = 0;
	while (n < WORKERS_MAX) {
		snprintf(path, sizeof(path), "%.*s/gate/imap.%u", STR_FMT(s->runtime_dir), n);
		if (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
			break;
		n++;
	}
	return n;
}

enum err
gate_service_init(struct role_ctx *c)
{
	struct service *s = xcalloc(1, sizeof(*s));
	role_set_data(c, s);
	s->workers = count_workers(role_settings(c));
	if (s->workers == 0) {
		log_event(LVL_ERROR, "gate.start", log_z("reason", "there is no imap worker"));
		return ERR_NOTFOUND;
	}
	struct buf why;
	buf_init(&why, PATH_SIZE);
	enum err e = load_tls(role_settings(c), &s->tls, &why);
	buf_fini(&why);
	return e;
}

enum err
gate_service_start(
	struct role_ctx *c, const struct gate_protocol *protocol, const char *listener_protocol)
{
	struct service *s = role_data(c);
	struct buf auth, path, handover;
	size_t count;
	const struct role_listener *l = role_listeners(c, &count);
	buf_init(&auth, PATH_SIZE);
	buf_init(&path, PATH_SIZE);
	buf_init(&handover, PATH_SIZE);
	enum err e = role_runtime_path(c, "gate/auth", &path);
	if (e == ERR_OK)
		e = role_runtime_path(c, "gate/imap.", &handover);
	if (e == ERR_OK) {
		buf_addf(&auth, "unix:%.*s", STR_FMT(buf_str(&path)));
		struct gate_options o = {
			.loop = role_loop(c),
			.protocol = protocol,
			.settings = role_settings(c),
			.auth_address = buf_str(&auth),
			.handover_path = buf_z(&handover),
			.handover_workers = s->workers,
			.tls = s->tls,
			.counts = role_counts(c),
		};
		s->gate = gate_new(&o);
		for (size_t i = 0; i < count; i++)
			if (str_eq(str_of(l[i].protocol), str_of(listener_protocol)))
				gate_listen(s->gate, l[i].fd, l[i].tls);
	}
	buf_fini(&auth);
	buf_fini(&path);
	buf_fini(&handover);
	return e;
}

enum err
gate_service_reload(struct role_ctx *c, struct buf *why)
{
	struct service *s = role_data(c);
	struct tls_ctx *tls;
	/* A certificate that cannot be used leaves the old one in force. */
	enum err e = load_tls(role_settings(c), &tls, why);
	if (e != ERR_OK)
		tls = NULL;
	gate_reload(s->gate, role_settings(c), tls);
	if (tls != NULL)
		tls_ctx_unref(tls);
	return e;
}

static void
on_stopped(void *arg)
{
	role_leave_soon(arg);
}

void
gate_service_stop(struct role_ctx *c)
{
	struct service *s = role_data(c);
	gate_stop(s->gate, on_stopped, c);
}
