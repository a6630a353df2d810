/* ASK_TRANSPORT of a directory section: where an address's mail goes, by result templates or by
 * the host that keeps the mailbox (inetLocalMailRecipient's mailHost). Called through section.c's
 * table. ERR_NOTFOUND: it stays here, or nobody knows the address. */
#include "auth-ldap/directory/members_impl.h"
#include "core/base/log.h"

/* What a queue manager takes as a transport or next hop, and nothing that could end its line. */
static bool
transport_ok(struct str v)
{
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] <= ' ' || (unsigned char)v.p[i] >= 0x7f || v.p[i] == ',')
			return false;
	return v.n > 0 && v.n <= 1000;
}

/* One answer; a second one that differs makes none of them right. */
static void
add_transport(struct backend_request *r, struct str v)
{
	struct members_state *m = r->members;
	if (!transport_ok(v))
		members_fail(m, ERR_TEMP, REASON_ENTRY, STR("not a transport"));
	else if (m->n == 0)
		members_add(m, MEMBER_FINAL, v);
	else if (!str_eq(m->v[0].value, v))
		members_fail(m, ERR_TEMP, REASON_AMBIGUOUS, STR("two transports for one address"));
}

static void
on_transport_result(void *arg, struct str value)
{
	add_transport(arg, value);
}

/* "smtp:[host]:port" of "host", "host:port" and "[2001:db8::1]:port". */
static void
add_host(struct backend_request *r, struct str host)
{
	struct str rest = STR_EMPTY;
	struct buf b;
	buf_init(&b, 2000);
	if (str_starts(host, STR("["))) {
		size_t end = str_chr(host, ']');
		rest = str_from(host, end + 1);
		host = str_sub(host, 1, end - 1);
	} else if (str_chr(host, ':') == str_rchr(host, ':')) {
		rest = str_from(host, str_chr(host, ':'));
		host = str_sub(host, 0, str_chr(host, ':'));
	}
	buf_addz(&b, "smtp:[");
	buf_add(&b, host);
	buf_addc(&b, ']');
	buf_add(&b, rest);
	if (host.n == 0 || str_chr(host, ']') < host.n)
		members_fail(r->members, ERR_TEMP, REASON_ENTRY, STR("not a host"));
	else
		add_transport(r, buf_str(&b));
	buf_fini(&b);
}

static void
take_transport(struct backend_request *r, const struct ldap_entry *e)
{
	const struct settings_directory *s = r->section->s;
	size_t made = 0;
	for (size_t i = 0; made == 0 && i < s->transport_result.n; i++)
		made = result_expand(s->transport_result.v[i], e, &r->name, on_transport_result, r);
	if (s->transport_result.n > 0 || s->mail_host_attribute.n == 0)
		return;
	const struct ldap_attr *a = ldap_entry_attr(e, s->mail_host_attribute);
	if (a == NULL || a->count == 0 || host_is_local(r->section, a->values[0]))
		trace_addf(r->trace, "%.*s: mail stays here", STR_FMT(e->dn));
	else
		add_host(r, a->values[0]);
}

static void
done_transport(struct backend_request *r)
{
	const struct members_state *m = r->members;
	if (m->n == 0)
		section_finish(r, &(struct auth_answer){ .err = ERR_NOTFOUND,
					  .reason = m->entries > 0 ? REASON_NONE : REASON_UNKNOWN,
					  .known = m->entries > 0,
					  .password_expires_sec = -1,
					  .grace_logins = -1 });
	else
		section_finish(r, &(struct auth_answer){ .err = ERR_OK,
					  .value = m->v[0].value,
					  .password_expires_sec = -1,
					  .grace_logins = -1 });
}

void
section_transport(struct backend_request *r)
{
	const struct settings_directory *s = r->section->s;
	struct buf f;
	members_begin(r, take_transport, done_transport);
	if (s->transport_filter.n > 0) {
		members_search_pair(r, s->transport_filter,
			str_eq(s->user_base, s->group_base) ? STR_EMPTY : s->transport_filter);
		return;
	}
	buf_init(&f, FILTER_MAX);
	buf_addf(&f, "(|%.*s", STR_FMT(s->mailbox_filter));
	/* its mail was rewritten to this address and is still the other host's */
	if (s->routing_attribute.n > 0)
		buf_addf(&f, "(%.*s=%%{address})", STR_FMT(s->routing_attribute));
	buf_addc(&f, ')');
	bool any = s->mailbox_filter.n > 0 || s->routing_attribute.n > 0;
	members_search_pair(r, any ? buf_str(&f) : STR_EMPTY, s->alias_filter);
	buf_fini(&f);
}
