/* The lines between auth and its helper processes: see worker_wire.h. Pure functions over bytes,
 * used by both ends, each of which treats the other as a stranger. */
#include "auth-ldap/backend/worker_wire.h"

#include "core/authclient/wire.h"
#include "core/base/codec.h"
#include "core/base/xalloc.h"

static const char *const kind_words[] = {
	[ASK_LOGIN] = "login",
	[ASK_USER] = "user",
	[ASK_ADDRESS] = "address",
	[ASK_SECRET] = "secret",
	[ASK_DOMAIN] = "domain",
	[ASK_MEMBERS] = "members",
	[ASK_CATCHALL] = "catchall",
	[ASK_SENDER] = "sender",
	[ASK_LIST] = "list",
};

static const char *const line_words[] = {
	[WORKER_HELLO] = "HELLO",
	[WORKER_USER] = "USER",
	[WORKER_VALUE] = "VALUE",
	[WORKER_KEYS] = "KEYS",
	[WORKER_END] = "END",
};

static const enum err end_errs[] = { ERR_OK, ERR_NOTFOUND, ERR_DENIED, ERR_TEMP };

static void
put_field(struct buf *out, struct str s)
{
	buf_addc(out, '\t');
	wire_escape(out, s);
}

/* An empty value is the same as none. */
static void
put_pair(struct buf *out, const char *key, struct str value)
{
	if (value.n == 0)
		return;
	buf_addf(out, "\t%s=", key);
	wire_escape(out, value);
}

/* A line goes out whole or not at all. */
static void
end_line(struct buf *out)
{
	buf_addc(out, '\n');
}

void
worker_question_put(struct buf *out, const struct worker_question *q)
{
	const char *word = (size_t)q->kind < ARRAY_LEN(kind_words) ? kind_words[q->kind] : NULL;

	buf_addf(out, "ASK\t%u\t%s\t%s", q->id, word != NULL ? word : "none",
		worker_kind_name(q->section));
	put_field(out, q->title);
	put_pair(out, "user", q->user);
	put_pair(out, "password", q->password);
	put_pair(out, "other", q->other);
	put_pair(out, "service", q->service);
	put_pair(out, "rip", q->remote_ip);
	put_pair(out, "lip", q->local_ip);
	end_line(out);
}

static void
put_user(struct buf *out, const struct worker_user *u)
{
	put_pair(out, "user", u->user);
	put_pair(out, "home", u->home);
	put_pair(out, "source", u->source);
	put_pair(out, "display_name", u->display_name);
	put_pair(out, "mail_host", u->mail_host);
	put_pair(out, "quota", u->quota);
	put_pair(out, "aliases", u->aliases);
	put_pair(out, "networks", u->networks);
	put_pair(out, "services", u->services);
	if (u->services_given)
		buf_addz(out, "\tservices_given=1");
	if (u->disabled)
		buf_addz(out, "\tdisabled=1");
	if (u->expires_sec > 0)
		buf_addf(out, "\texpires=%lld", (long long)u->expires_sec);
}

void
worker_answer_put(struct buf *out, const struct worker_answer *a)
{
	buf_addz(out, line_words[a->line]);
	switch (a->line) {
	case WORKER_HELLO:
		buf_addf(out, "\t%d", WORKER_VERSION);
		break;
	case WORKER_USER:
		buf_addf(out, "\t%u", a->id);
		put_user(out, &a->user);
		break;
	case WORKER_VALUE:
		buf_addf(out, "\t%u", a->id);
		put_field(out, a->value);
		break;
	case WORKER_KEYS:
		buf_addf(
			out, "\t%u\t%s\t%u\t", a->id, a->sha256 ? "256" : "1", a->scram.iterations);
		hex_encode(out, a->scram.salt);
		buf_addc(out, '\t');
		hex_encode(out, a->scram.stored_key);
		buf_addc(out, '\t');
		hex_encode(out, a->scram.server_key);
		break;
	case WORKER_END:
		buf_addf(out, "\t%u\t%s\t%d", a->id, err_name(a->err), (int)a->reason);
		put_field(out, a->detail);
		break;
	}
	end_line(out);
}

static enum err
take_field(struct str *rest, struct arena *a, struct str *out)
{
	struct str raw;
	struct buf b;
	enum err e;

	if (!wire_next(rest, &raw))
		return ERR_SYNTAX;
	buf_init_secret(&b, WORKER_LINE_MAX);
	e = wire_unescape(&b, raw);
	if (e == ERR_OK)
		e = arena_str(a, buf_str(&b), out);
	buf_fini(&b);
	return e;
}

static enum err
take_number(struct str *rest, uint32_t max, uint32_t *out)
{
	struct str raw;

	return wire_next(rest, &raw) ? str_to_u32(raw, max, out) : ERR_SYNTAX;
}

/* ERR_EOF: no more. */
static enum err
take_pair(struct str *rest, struct arena *a, struct str *key_out, struct str *value_out)
{
	struct str whole;
	enum err e;

	if (rest->n == 0)
		return ERR_EOF;
	e = take_field(rest, a, &whole);
	if (e == ERR_OK && !str_cut(whole, '=', key_out, value_out))
		e = ERR_SYNTAX;
	return e;
}

struct pair {
	const char *key;
	struct str *to;
};

static enum err
store_pair(const struct pair *table, size_t n, struct str key, struct str value)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(key, str_of(table[i].key))) {
			*table[i].to = value;
			return ERR_OK;
		}
	return ERR_SYNTAX;
}

static enum err
take_kind(struct str *rest, enum ask_kind *out)
{
	struct str word;

	if (!wire_next(rest, &word))
		return ERR_SYNTAX;
	for (size_t i = 0; i < ARRAY_LEN(kind_words); i++)
		if (kind_words[i] != NULL && str_eq(word, str_of(kind_words[i]))) {
			*out = (enum ask_kind)i;
			return ERR_OK;
		}
	return ERR_SYNTAX;
}

static enum err
take_section(struct str *rest, enum worker_kind *out)
{
	struct str word;

	if (!wire_next(rest, &word))
		return ERR_SYNTAX;
	for (unsigned k = 0; k < WORKER_KINDS; k++)
		if (str_eq(word, str_of(worker_kind_name((enum worker_kind)k)))) {
			*out = (enum worker_kind)k;
			return ERR_OK;
		}
	return ERR_SYNTAX;
}

enum err
worker_question_get(struct str line, struct arena *a, struct worker_question *out)
{
	struct str rest = line, word, key, value;
	enum err e;

	*out = (struct worker_question){ .user = STR_EMPTY,
		.password = STR_EMPTY,
		.other = STR_EMPTY,
		.service = STR_EMPTY,
		.remote_ip = STR_EMPTY,
		.local_ip = STR_EMPTY };
	const struct pair table[] = { { "user", &out->user }, { "password", &out->password },
		{ "other", &out->other }, { "service", &out->service }, { "rip", &out->remote_ip },
		{ "lip", &out->local_ip } };

	if (!wire_next(&rest, &word) || !str_eq(word, STR("ASK")))
		return ERR_SYNTAX;
	e = take_number(&rest, UINT32_MAX, &out->id);
	if (e == ERR_OK)
		e = take_kind(&rest, &out->kind);
	if (e == ERR_OK)
		e = take_section(&rest, &out->section);
	if (e == ERR_OK)
		e = take_field(&rest, a, &out->title);
	while (e == ERR_OK) {
		e = take_pair(&rest, a, &key, &value);
		if (e == ERR_OK)
			e = store_pair(table, ARRAY_LEN(table), key, value);
	}
	return e == ERR_EOF ? ERR_OK : e;
}

static enum err
get_user(struct str rest, struct arena *a, struct worker_user *u)
{
	struct str given = STR_EMPTY, disabled = STR_EMPTY, expires = STR_EMPTY, key, value;
	const struct pair table[] = { { "user", &u->user }, { "home", &u->home },
		{ "source", &u->source }, { "display_name", &u->display_name },
		{ "mail_host", &u->mail_host }, { "quota", &u->quota }, { "aliases", &u->aliases },
		{ "networks", &u->networks }, { "services", &u->services },
		{ "services_given", &given }, { "disabled", &disabled }, { "expires", &expires } };
	uint64_t seconds = 0;
	enum err e = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		*table[i].to = STR_EMPTY;
	while (e == ERR_OK) {
		e = take_pair(&rest, a, &key, &value);
		if (e == ERR_OK)
			e = store_pair(table, ARRAY_LEN(table), key, value);
	}
	if (e != ERR_EOF)
		return e;
	if (expires.n != 0 && str_to_u64(expires, INT64_MAX, &seconds) != ERR_OK)
		return ERR_SYNTAX;
	u->services_given = given.n != 0;
	u->disabled = disabled.n != 0;
	u->expires_sec = (int64_t)seconds;
	return ERR_OK;
}

static int
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum err
take_hex(struct str *rest, struct arena *a, struct str *out)
{
	struct str raw;
	char *to;

	if (!wire_next(rest, &raw) || raw.n == 0 || raw.n % 2 != 0 || raw.n > 128)
		return ERR_SYNTAX;
	to = arena_alloc(a, raw.n / 2);
	if (to == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < raw.n; i += 2) {
		int high = nibble(raw.p[i]), low = nibble(raw.p[i + 1]);
		if (high < 0 || low < 0)
			return ERR_SYNTAX;
		to[i / 2] = (char)(high * 16 + low);
	}
	*out = str_n(to, raw.n / 2);
	return ERR_OK;
}

static enum err
get_keys(struct str rest, struct arena *a, struct worker_answer *out)
{
	uint32_t hash;
	enum err e = take_number(&rest, 256, &hash);

	if (e == ERR_OK && hash != 1 && hash != 256)
		e = ERR_SYNTAX;
	out->sha256 = e == ERR_OK && hash == 256;
	if (e == ERR_OK)
		e = take_number(&rest, 10000000, &out->scram.iterations);
	if (e == ERR_OK)
		e = take_hex(&rest, a, &out->scram.salt);
	if (e == ERR_OK)
		e = take_hex(&rest, a, &out->scram.stored_key);
	if (e == ERR_OK)
		e = take_hex(&rest, a, &out->scram.server_key);
	/* the mechanism takes what it is given by its hash's length */
	if (e == ERR_OK && (out->scram.stored_key.n != (out->sha256 ? 32 : 20) ||
				   out->scram.server_key.n != out->scram.stored_key.n ||
				   out->scram.iterations == 0))
		e = ERR_SYNTAX;
	return e;
}

static enum err
get_end(struct str rest, struct arena *a, struct worker_answer *out)
{
	uint32_t reason;
	struct str word;

	out->err = ERR_BUG;
	if (!wire_next(&rest, &word))
		return ERR_SYNTAX;
	for (size_t i = 0; i < ARRAY_LEN(end_errs); i++)
		if (str_eq(word, str_of(err_name(end_errs[i]))))
			out->err = end_errs[i];
	if (out->err == ERR_BUG || take_number(&rest, REASON_COUNT - 1, &reason) != ERR_OK)
		return ERR_SYNTAX;
	out->reason = (enum auth_reason)reason;
	return take_field(&rest, a, &out->detail);
}

enum err
worker_answer_get(struct str line, struct arena *a, struct worker_answer *out)
{
	struct str rest = line, word;
	size_t type = 0;
	uint32_t version;

	*out = (struct worker_answer){ .value = STR_EMPTY, .detail = STR_EMPTY };
	if (!wire_next(&rest, &word))
		return ERR_SYNTAX;
	while (type < ARRAY_LEN(line_words) && !str_eq(word, str_of(line_words[type])))
		type++;
	if (type == ARRAY_LEN(line_words))
		return ERR_SYNTAX;
	out->line = (enum worker_line)type;
	if (out->line == WORKER_HELLO)
		return take_number(&rest, WORKER_VERSION, &version);
	if (take_number(&rest, UINT32_MAX, &out->id) != ERR_OK)
		return ERR_SYNTAX;
	switch (out->line) {
	case WORKER_USER:
		return get_user(rest, a, &out->user);
	case WORKER_VALUE:
		return take_field(&rest, a, &out->value);
	case WORKER_KEYS:
		return get_keys(rest, a, out);
	case WORKER_END:
		return get_end(rest, a, out);
	case WORKER_HELLO:
		break;
	}
	return ERR_SYNTAX;
}
