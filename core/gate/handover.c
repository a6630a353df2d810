/* The hand-over offer as bytes. Encoded by the gate, decoded by imap, which trusts nothing in
 * it: every field has a limit and an alphabet, because tag and session id are written to the
 * client and the log. */
#include "core/gate/handover.h"

#include "core/event/ipc.h"

enum {
	SID_MAX = 32,
	TAG_MAX = 1024,
	ADDRESS_MAX = 63,
	DESCRIPTION_MAX = 128,
	VERSION_1 = 1,
};

static bool
visible(struct str s, size_t max, bool space)
{
	if (s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c > 0x7e || c < (space ? 0x20 : 0x21))
			return false;
	}
	return true;
}

static bool
fields_valid(const struct handover_login *l)
{
	return l->sid.n > 0 && l->tag.n > 0 && visible(l->sid, SID_MAX, false) &&
	       visible(l->tag, TAG_MAX, false) &&
	       visible(l->tls_description, DESCRIPTION_MAX, true) &&
	       visible(l->remote_addr, ADDRESS_MAX, false) &&
	       visible(l->local_addr, ADDRESS_MAX, false) && l->input.n <= HANDOVER_INPUT_MAX;
}

enum err
handover_encode(const struct handover_login *l, struct buf *out)
{
	if (!fields_valid(l))
		return ERR_LIMIT;
	ipc_put_u64(out, VERSION_1);
	ipc_put_u64(out, l->number);
	ipc_put_u64(out, (uint64_t)l->deadline_ms);
	ipc_put_str(out, l->sid);
	ipc_put_str(out, l->tag);
	ipc_put_str(out, str_of(l->ticket.cookie));
	ipc_put_u64(out, l->ticket.client_pid);
	ipc_put_u64(out, l->ticket.request_id);
	ipc_put_u64(out, l->ticket.server_pid);
	ipc_put_u64(out, l->tls);
	ipc_put_str(out, l->tls_description);
	ipc_put_str(out, l->remote_addr);
	ipc_put_u64(out, l->remote_port);
	ipc_put_str(out, l->local_addr);
	ipc_put_u64(out, l->local_port);
	ipc_put_str(out, l->input);
	return buf_check(out);
}

static enum err
get_number(struct str *in, uint64_t max, uint64_t *out)
{
	enum err e = ipc_get_u64(in, out);
	return e == ERR_OK && *out > max ? ERR_SYNTAX : e;
}

static enum err
get_ticket(struct str *in, struct auth_ticket *t)
{
	struct str cookie;
	uint64_t client = 0, request = 0, server = 0;
	if (ipc_get_str(in, &cookie) != ERR_OK || get_number(in, UINT32_MAX, &client) != ERR_OK ||
		get_number(in, UINT32_MAX, &request) != ERR_OK ||
		get_number(in, UINT32_MAX, &server) != ERR_OK)
		return ERR_SYNTAX;
	if (cookie.n == 0 || !visible(cookie, sizeof(t->cookie) - 1, false))
		return ERR_SYNTAX;
	*t = (struct auth_ticket){
		.client_pid = (uint32_t)client,
		.request_id = (uint32_t)request,
		.server_pid = (uint32_t)server,
	};
	memcpy(t->cookie, cookie.p, cookie.n);
	return ERR_OK;
}

enum err
handover_decode(struct str in, struct handover_login *l)
{
	uint64_t version = 0, deadline = 0, tls = 0, remote_port = 0, local_port = 0;
	*l = (struct handover_login){ .number = 0 };
	if (get_number(&in, VERSION_1, &version) != ERR_OK || version != VERSION_1 ||
		ipc_get_u64(&in, &l->number) != ERR_OK ||
		get_number(&in, INT64_MAX, &deadline) != ERR_OK ||
		ipc_get_str(&in, &l->sid) != ERR_OK || ipc_get_str(&in, &l->tag) != ERR_OK ||
		get_ticket(&in, &l->ticket) != ERR_OK || get_number(&in, 1, &tls) != ERR_OK ||
		ipc_get_str(&in, &l->tls_description) != ERR_OK ||
		ipc_get_str(&in, &l->remote_addr) != ERR_OK ||
		get_number(&in, UINT16_MAX, &remote_port) != ERR_OK ||
		ipc_get_str(&in, &l->local_addr) != ERR_OK ||
		get_number(&in, UINT16_MAX, &local_port) != ERR_OK ||
		ipc_get_str(&in, &l->input) != ERR_OK)
		return ERR_SYNTAX;
	l->deadline_ms = (int64_t)deadline;
	l->tls = tls == 1;
	l->remote_port = (uint16_t)remote_port;
	l->local_port = (uint16_t)local_port;
	return in.n == 0 && fields_valid(l) ? ERR_OK : ERR_SYNTAX;
}
