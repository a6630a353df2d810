/* The messages of the relay channel as bytes; see relay.h. queue's client and the role encode and
 * decode with it. Invariant: what is accepted here holds no octet that could end a line or a field
 * on its way into SMTP. */
#include "core/event/ipc.h"
#include "delivery/relay/relay.h"

/* One word: no space, no control character. */
static bool
is_word(struct str s, size_t max)
{
	if (s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

/* An address may have spaces inside quotes. */
static bool
is_address(struct str s)
{
	bool quoted = false;

	if (s.n > RELAY_ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x20 || c == 0x7f || (!quoted && (c == ' ' || c == '<' || c == '>')))
			return false;
		if (c == '"')
			quoted = !quoted;
		else if (c == '\\' && quoted && i + 1 < s.n)
			i += (unsigned char)s.p[i + 1] >= 0x20 && s.p[i + 1] != 0x7f;
	}
	return !quoted && str_is_utf8(s);
}

bool
relay_address_valid(struct str address)
{
	return address.n != 0 && is_address(address);
}

static bool
is_text(struct str s, size_t max)
{
	if (s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool
notify_valid(unsigned notify)
{
	return notify <= (RELAY_NOTIFY_DELAY << 1) - 1 &&
	       (notify == RELAY_NOTIFY_NEVER || (notify & RELAY_NOTIFY_NEVER) == 0);
}

static bool
rcpt_valid(const struct relay_rcpt *r)
{
	return r->address.n > 0 && is_address(r->address) && is_word(r->orcpt, RELAY_ORCPT_MAX) &&
	       notify_valid(r->notify);
}

static bool
request_valid(const struct relay_request *r)
{
	return is_word(r->qid, RELAY_NAME_MAX) && is_address(r->sender) &&
	       (r->flags & ~(unsigned)(RELAY_8BIT | RELAY_SMTPUTF8 | RELAY_BINARY)) == 0 &&
	       r->body_len <= INT64_MAX && r->body_off <= INT64_MAX - r->body_len &&
	       (unsigned)r->ret <= RELAY_RET_HDRS && is_word(r->envid, RELAY_ENVID_MAX) &&
	       is_word(r->route, RELAY_ROUTE_MAX) && is_text(r->section, RELAY_NAME_MAX) &&
	       (r->route.n > 0 || r->section.n > 0) && r->rcpts_count >= 1 &&
	       r->rcpts_count <= RELAY_RCPTS_MAX;
}

enum err
relay_request_encode(const struct relay_request *r, struct buf *out)
{
	if (!request_valid(r))
		return ERR_LIMIT;
	ipc_put_u64(out, r->id);
	ipc_put_str(out, r->qid);
	ipc_put_str(out, r->sender);
	ipc_put_u64(out, r->flags);
	ipc_put_u64(out, r->body_off);
	ipc_put_u64(out, r->body_len);
	ipc_put_u64(out, r->body_crc);
	ipc_put_u64(out, (uint64_t)r->ret);
	ipc_put_str(out, r->envid);
	ipc_put_str(out, r->route);
	ipc_put_str(out, r->section);
	ipc_put_u64(out, r->rcpts_count);
	for (size_t i = 0; i < r->rcpts_count; i++) {
		if (!rcpt_valid(&r->rcpts[i]))
			return ERR_LIMIT;
		ipc_put_str(out, r->rcpts[i].address);
		ipc_put_u64(out, r->rcpts[i].notify);
		ipc_put_str(out, r->rcpts[i].orcpt);
	}
	return buf_check(out);
}

static enum err
get_rcpts(struct str *in, struct relay_request *out)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < out->rcpts_count; i++) {
		struct relay_rcpt *r = &out->rcpts[i];
		uint64_t notify = 0;
		e = ipc_get_str(in, &r->address);
		if (e == ERR_OK)
			e = ipc_get_number(in, UINT8_MAX, &notify);
		if (e == ERR_OK)
			e = ipc_get_str(in, &r->orcpt);
		r->notify = (unsigned)notify;
		if (e == ERR_OK && !rcpt_valid(r))
			e = ERR_SYNTAX;
	}
	return e;
}

enum err
relay_request_decode(struct str in, struct arena *a, struct relay_request *out)
{
	uint64_t flags = 0, crc = 0, ret = 0, count = 0;
	enum err e;

	*out = (struct relay_request){ 0 };
	e = ipc_get_u64(&in, &out->id);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->qid);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->sender);
	if (e == ERR_OK)
		e = ipc_get_number(&in, UINT8_MAX, &flags);
	if (e == ERR_OK)
		e = ipc_get_u64(&in, &out->body_off);
	if (e == ERR_OK)
		e = ipc_get_u64(&in, &out->body_len);
	if (e == ERR_OK)
		e = ipc_get_number(&in, UINT32_MAX, &crc);
	if (e == ERR_OK)
		e = ipc_get_number(&in, RELAY_RET_HDRS, &ret);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->envid);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->route);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->section);
	if (e == ERR_OK)
		e = ipc_get_number(&in, RELAY_RCPTS_MAX, &count);
	if (e != ERR_OK)
		return e;
	out->flags = (unsigned)flags;
	out->body_crc = (uint32_t)crc;
	out->ret = (enum relay_ret)ret;
	out->rcpts_count = (size_t)count;
	if (!request_valid(out))
		return ERR_SYNTAX;
	out->rcpts = arena_calloc(a, out->rcpts_count, sizeof(struct relay_rcpt));
	if (out->rcpts == NULL)
		return ERR_LIMIT;
	e = get_rcpts(&in, out);
	return e == ERR_OK && in.n != 0 ? ERR_SYNTAX : e;
}

static bool
result_valid(const struct relay_result *r)
{
	return r->index < RELAY_RCPTS_MAX && r->code >= 200 && r->code <= 599 && r->status.n > 0 &&
	       is_word(r->status, RELAY_STATUS_MAX) && is_text(r->text, RELAY_TEXT_MAX) &&
	       is_word(r->host, RELAY_NAME_MAX) && is_word(r->address, RELAY_NAME_MAX);
}

enum err
relay_result_encode(const struct relay_result *r, struct buf *out)
{
	if (!result_valid(r))
		return ERR_LIMIT;
	ipc_put_u64(out, r->id);
	ipc_put_u64(out, r->index);
	ipc_put_u64(out, r->code);
	ipc_put_str(out, r->status);
	ipc_put_str(out, r->text);
	ipc_put_str(out, r->host);
	ipc_put_str(out, r->address);
	ipc_put_u64(out, r->dsn_passed);
	return buf_check(out);
}

enum err
relay_result_decode(struct str in, struct relay_result *out)
{
	uint64_t index = 0, code = 0, passed = 0;
	enum err e;

	*out = (struct relay_result){ 0 };
	e = ipc_get_u64(&in, &out->id);
	if (e == ERR_OK)
		e = ipc_get_number(&in, UINT32_MAX, &index);
	if (e == ERR_OK)
		e = ipc_get_number(&in, 599, &code);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->status);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->text);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->host);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->address);
	if (e == ERR_OK)
		e = ipc_get_number(&in, 1, &passed);
	if (e != ERR_OK)
		return e;
	out->index = (uint32_t)index;
	out->code = (unsigned)code;
	out->dsn_passed = passed != 0;
	return in.n == 0 && result_valid(out) ? ERR_OK : ERR_SYNTAX;
}

/* The errors that an end may have. */
static bool
end_err_valid(uint64_t e)
{
	return e == ERR_OK || e == ERR_TEMP || e == ERR_DENIED || e == ERR_BUSY ||
	       e == ERR_CORRUPT || e == ERR_SYNTAX;
}

static bool
end_valid(const struct relay_end *e)
{
	return end_err_valid((uint64_t)e->how) && e->code >= 200 && e->code <= 599 &&
	       e->status.n > 0 && is_word(e->status, RELAY_STATUS_MAX) &&
	       is_text(e->text, RELAY_TEXT_MAX) && is_word(e->host, RELAY_NAME_MAX) &&
	       is_word(e->address, RELAY_NAME_MAX) && is_text(e->tls, RELAY_NAME_MAX);
}

enum err
relay_end_encode(const struct relay_end *e, struct buf *out)
{
	if (!end_valid(e))
		return ERR_LIMIT;
	ipc_put_u64(out, e->id);
	ipc_put_u64(out, (uint64_t)e->how);
	ipc_put_u64(out, e->code);
	ipc_put_str(out, e->status);
	ipc_put_str(out, e->text);
	ipc_put_str(out, e->host);
	ipc_put_str(out, e->address);
	ipc_put_str(out, e->tls);
	ipc_put_u64(out, e->own);
	return buf_check(out);
}

enum err
relay_end_decode(struct str in, struct relay_end *out)
{
	uint64_t how = 0, code = 0, own = 0;
	enum err e;

	*out = (struct relay_end){ 0 };
	e = ipc_get_u64(&in, &out->id);
	if (e == ERR_OK)
		e = ipc_get_number(&in, ERR_BUG, &how);
	if (e == ERR_OK)
		e = ipc_get_number(&in, 599, &code);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->status);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->text);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->host);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->address);
	if (e == ERR_OK)
		e = ipc_get_str(&in, &out->tls);
	if (e == ERR_OK)
		e = ipc_get_number(&in, 1, &own);
	if (e != ERR_OK)
		return e;
	out->how = (enum err)how;
	out->code = (unsigned)code;
	out->own = own != 0;
	return in.n == 0 && end_valid(out) ? ERR_OK : ERR_SYNTAX;
}
