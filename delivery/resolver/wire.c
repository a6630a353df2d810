/* The messages of the resolver channel as bytes, and names of addresses; see resolver.h. Both ends
 * use it. Invariant: what is accepted here holds no octet that could end a line, a field or a
 * comment of a header. */
#include <arpa/inet.h>

#include "core/event/ipc.h"
#include "delivery/resolver/resolver.h"

enum { LABEL_MAX = 63 };

static bool
is_name(struct str s)
{
	size_t label = 0;

	if (s.n == 0 || s.n > RESOLVER_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];
		if (c == '.' ? label == 0 : !ascii_is_alnum(c) && c != '-' && c != '_')
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return false;
	}
	return label > 0;
}

static bool
is_type(uint64_t t)
{
	return t == DNS_A || t == DNS_AAAA || t == DNS_MX || t == DNS_PTR || t == DNS_TXT;
}

static bool
is_address(int family, struct str s)
{
	unsigned char raw[16];
	char text[INET6_ADDRSTRLEN];

	if (s.n == 0 || s.n >= sizeof text || str_has_nul(s))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, raw) == 1;
}

static bool
is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return s.n <= RESOLVER_TEXT_MAX;
}

static bool
record_valid(enum dns_type type, const struct resolver_record *r)
{
	if (type != DNS_MX && r->preference != 0)
		return false;
	switch (type) {
	case DNS_A:
		return is_address(AF_INET, r->text);
	case DNS_AAAA:
		return is_address(AF_INET6, r->text);
	case DNS_PTR:
		return is_name(r->text);
	case DNS_MX:
		return r->text.n == 0 || is_name(r->text);
	case DNS_TXT:
		return is_text(r->text);
	case DNS_SRV:
	case DNS_TLSA:
		break;
	}
	return false;
}

static bool
answer_valid(const struct resolver_answer *a)
{
	return is_type((uint64_t)a->type) && (uint64_t)a->state <= RESOLVER_TEMP &&
	       a->count <= RESOLVER_RECORDS_MAX && (a->state == RESOLVER_FOUND) == (a->count > 0);
}

enum err
resolver_question_encode(const struct resolver_question *q, struct buf *out)
{
	if (!is_type((uint64_t)q->type) || !is_name(q->name))
		return ERR_LIMIT;
	ipc_put_u64(out, q->id);
	ipc_put_u64(out, (uint64_t)q->type);
	ipc_put_str(out, q->name);
	return buf_check(out);
}

enum err
resolver_question_decode(struct str in, struct resolver_question *out)
{
	uint64_t type = 0;
	enum err e;

	*out = (struct resolver_question){ 0 };
	e = ipc_get_u64(&in, &out->id);
	if (e == ERR_OK)
		e = ipc_get_u64(&in, &type);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->name);
	if (e != ERR_OK || in.n != 0 || !is_type(type) || !is_name(out->name))
		return ERR_SYNTAX;
	out->type = (enum dns_type)type;
	return ERR_OK;
}

enum err
resolver_answer_encode(const struct resolver_answer *a, struct buf *out)
{
	if (!answer_valid(a))
		return ERR_LIMIT;
	ipc_put_u64(out, a->id);
	ipc_put_u64(out, (uint64_t)a->type);
	ipc_put_u64(out, (uint64_t)a->state);
	ipc_put_u64(out, a->secure);
	ipc_put_u64(out, a->ttl_sec);
	ipc_put_u64(out, a->count);
	for (size_t i = 0; i < a->count; i++) {
		if (!record_valid(a->type, &a->records[i]))
			return ERR_LIMIT;
		ipc_put_u64(out, a->records[i].preference);
		ipc_put_str(out, a->records[i].text);
	}
	return buf_check(out);
}

static enum err
get_records(struct str *in, struct resolver_answer *out)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < out->count; i++) {
		struct resolver_record *r = &out->records[i];
		uint64_t preference = 0;
		e = ipc_get_number(in, UINT16_MAX, &preference);
		if (e == ERR_OK)
			e = ipc_get_str(in, &r->text);
		r->preference = (uint16_t)preference;
		if (e == ERR_OK && !record_valid(out->type, r))
			e = ERR_SYNTAX;
	}
	return e;
}

enum err
resolver_answer_decode(struct str in, struct resolver_answer *out)
{
	uint64_t type = 0, state = 0, secure = 0, ttl = 0, count = 0;
	enum err e;

	*out = (struct resolver_answer){ 0 };
	e = ipc_get_u64(&in, &out->id);
	if (e == ERR_OK)
		e = ipc_get_number(&in, UINT16_MAX, &type);
	if (e == ERR_OK)
		e = ipc_get_number(&in, RESOLVER_TEMP, &state);
	if (e == ERR_OK)
		e = ipc_get_number(&in, 1, &secure);
	if (e == ERR_OK)
		e = ipc_get_number(&in, UINT32_MAX, &ttl);
	if (e == ERR_OK)
		e = ipc_get_number(&in, RESOLVER_RECORDS_MAX, &count);
	if (e != ERR_OK)
		return ERR_SYNTAX;
	out->type = (enum dns_type)type;
	out->state = (enum resolver_state)state;
	out->secure = secure != 0;
	out->ttl_sec = (uint32_t)ttl;
	out->count = (size_t)count;
	if (!answer_valid(out))
		return ERR_SYNTAX;
	e = get_records(&in, out);
	return e == ERR_OK && in.n == 0 ? ERR_OK : ERR_SYNTAX;
}

enum err
resolver_address_name(struct str address, struct str zone, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char raw[16];
	char text[INET6_ADDRSTRLEN];
	bool v6 = str_chr(address, ':') < address.n;
	size_t before = out->n;

	if (!is_address(v6 ? AF_INET6 : AF_INET, address))
		return ERR_SYNTAX;
	memcpy(text, address.p, address.n);
	text[address.n] = '\0';
	(void)inet_pton(v6 ? AF_INET6 : AF_INET, text, raw);
	for (size_t i = v6 ? 16 : 4; i-- > 0;)
		if (v6)
			buf_addf(out, "%c.%c.", hex[raw[i] & 15], hex[raw[i] >> 4]);
		else
			buf_addf(out, "%u.", raw[i]);
	if (zone.n > 0)
		buf_add(out, zone);
	else
		buf_addz(out, v6 ? "ip6.arpa" : "in-addr.arpa");
	return buf_check(out) == ERR_OK && out->n - before <= RESOLVER_NAME_MAX ? ERR_OK
										: ERR_LIMIT;
}
