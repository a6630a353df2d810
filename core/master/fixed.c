/* What only a start can change; see fixed.h. serve.c asks at each reload, so that whoever changed
 * it hears that it does not count yet. Pure. */
#include "core/master/fixed.h"

#define SAME_STR(name) str_eq(old->name, new->name)
#define SAME_NUM(name) (old->name == new->name)

static bool
same_list(const struct str_list *a, const struct str_list *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = str_eq(a->v[i], b->v[i]);
	return same;
}

static bool
same_sockets(const struct settings *old, const struct settings *new)
{
	bool same = SAME_NUM(listens_count) && SAME_STR(auth.listen_tcp) &&
		    SAME_STR(auth.listen_tcp_userdb) && SAME_STR(auth.listen_tcp_directory) &&
		    same_list(&old->auth.extra_socket, &new->auth.extra_socket) &&
		    same_list(&old->lmtp.extra_socket, &new->lmtp.extra_socket);

	for (size_t i = 0; same && i < old->listens_count; i++) {
		const struct settings_listen *a = &old->listens[i], *b = &new->listens[i];
		same = str_eq(a->protocol, b->protocol) && str_eq(a->tls, b->tls) &&
		       same_list(&a->address, &b->address);
	}
	return same;
}

static bool
same_places(const struct settings *old, const struct settings *new)
{
	return SAME_STR(runtime_dir) && SAME_STR(mail_root) && SAME_STR(spool_dir) &&
	       SAME_STR(group) && SAME_STR(user_auth) && SAME_STR(user_gate) &&
	       SAME_STR(user_smtp) && SAME_STR(user_queue) && SAME_STR(user_relay) &&
	       SAME_STR(user_resolver) && SAME_STR(user_worker) && SAME_STR(user_mail);
}

static bool
same_parts(const struct settings *old, const struct settings *new)
{
	return SAME_NUM(imap.workers) && SAME_NUM(imap.gate_workers) && SAME_NUM(smtp.workers) &&
	       SAME_NUM(lmtp.workers) && SAME_NUM(worker.processes) && SAME_NUM(outbound.enabled) &&
	       (settings_worker_sections(old) != 0) == (settings_worker_sections(new) != 0) &&
	       settings_smtp_asks_dns(old) == settings_smtp_asks_dns(new);
}

static bool
same_smtp(const struct settings *old, const struct settings *new)
{
	return SAME_NUM(smtp.message_max) && SAME_NUM(smtp.header_max) &&
	       SAME_NUM(smtp.recipients_max) && SAME_NUM(smtp.connections_max) &&
	       same_list(&old->smtp.local_users, &new->smtp.local_users);
}

/* Clients of these remember what they saw, and roles took copies. */
static bool
same_names(const struct settings *old, const struct settings *new)
{
	return SAME_STR(hostname) && SAME_STR(auth.default_domain) && SAME_STR(queue.postmaster) &&
	       (new->queue.postmaster.n != 0 || SAME_STR(smtp.postmaster)) &&
	       SAME_STR(imap.separator) && SAME_NUM(imap.inbox_prefix) &&
	       SAME_STR(imap.admin_contact) &&
	       same_list(&old->imap.mailboxes_default, &new->imap.mailboxes_default);
}

static bool
same_store(const struct settings *old, const struct settings *new)
{
	return SAME_NUM(store.pool_threads) && SAME_NUM(store.open_max) &&
	       SAME_NUM(store.map_initial) && SAME_STR(store.sync_directories);
}

bool
fixed_same(const struct settings *old, const struct settings *new)
{
	return same_sockets(old, new) && same_places(old, new) && same_parts(old, new) &&
	       same_smtp(old, new) && same_names(old, new) && same_store(old, new);
}
