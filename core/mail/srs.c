/* Addresses of the Sender Rewriting Scheme; see srs.h. Called by smtp (at RCPT) and queue (when it
 * expands). Invariant: nothing is taken out of an address before its hash is right. */
#include "core/mail/srs.h"

#include "core/base/codec.h"
#include "core/base/digest.h"
#include "core/mail/address.h"

enum { HASH_CHARS = 8, STAMP_CHARS = 2, STAMP_DAYS = 1024, DAY_SEC = 86400, TEXT_MAX = 1200 };

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* ---- secrets ---- */

/* The next one that is not empty. */
static bool
next_secret(struct str *rest, struct str *out)
{
	while (rest->n > 0) {
		struct str line;
		(void)str_cut(*rest, '\n', &line, rest);
		*out = str_trim(line);
		if (out->n > 0)
			return true;
	}
	return false;
}

enum err
srs_check_secrets(struct str secrets)
{
	struct str one;
	unsigned n = 0;

	for (; next_secret(&secrets, &one); n++)
		if (one.n < SRS_SECRET_MIN)
			return ERR_SYNTAX;
	return n > 0 ? ERR_OK : ERR_SYNTAX;
}

/* ---- hashes ---- */

/* False: libcrypto failed; nothing then fits. */
static bool
hash_of(struct str secret, struct str text, char out[HASH_CHARS])
{
	unsigned char mac[DIGEST_BYTES_MAX];
	struct buf lower, b64;
	bool fine = false;

	buf_init(&lower, TEXT_MAX);
	buf_init(&b64, 128);
	for (size_t i = 0; i < text.n; i++)
		buf_addc(&lower, (char)ascii_lower((unsigned char)text.p[i]));
	if (buf_check(&lower) == ERR_OK &&
		digest_hmac(DIGEST_SHA1, secret, buf_str(&lower), mac) == ERR_OK) {
		base64_encode(&b64, str_n(mac, HASH_CHARS));
		memcpy(out, buf_str(&b64).p, HASH_CHARS);
		fine = true;
	}
	buf_fini(&lower);
	buf_fini(&b64);
	return fine;
}

static bool
hash_fits(const struct srs *s, struct str hash, struct str text)
{
	struct str rest = s->secrets, secret;
	char want[HASH_CHARS], given[HASH_CHARS];
	bool fits = false;

	if (hash.n != HASH_CHARS)
		return false;
	for (size_t i = 0; i < HASH_CHARS; i++)
		given[i] = (char)ascii_lower((unsigned char)hash.p[i]);
	while (next_secret(&rest, &secret)) {
		if (!hash_of(secret, text, want))
			return false;
		for (size_t i = 0; i < HASH_CHARS; i++)
			want[i] = (char)ascii_lower((unsigned char)want[i]);
		fits |= secret_eq(str_n(want, HASH_CHARS), str_n(given, HASH_CHARS));
	}
	return fits;
}

/* ---- days ---- */

static void
add_stamp(struct buf *out, int64_t now_sec)
{
	int64_t day = now_sec / DAY_SEC % STAMP_DAYS;

	buf_addc(out, base32[day >> 5]);
	buf_addc(out, base32[day & 31]);
}

static int
stamp_digit(char c)
{
	const char *at = memchr(base32, ascii_upper((unsigned char)c), 32);

	return at != NULL ? (int)(at - base32) : -1;
}

/* ERR_SYNTAX, ERR_EOF: too old. A day that is tomorrow's by another clock is fine. */
static enum err
check_stamp(struct str stamp, int64_t now_sec)
{
	int high, low;
	int64_t age;

	if (stamp.n != STAMP_CHARS)
		return ERR_SYNTAX;
	high = stamp_digit(stamp.p[0]);
	low = stamp_digit(stamp.p[1]);
	if (high < 0 || low < 0)
		return ERR_SYNTAX;
	age = (now_sec / DAY_SEC - (high * 32 + low) + 1) % STAMP_DAYS;
	if (age < 0)
		age += STAMP_DAYS;
	return age <= SRS_DAYS + 1 ? ERR_OK : ERR_EOF;
}

/* ---- local parts ---- */

/* What stands behind "SRS0" and its separator; false: it is no such local part. */
static bool
behind_tag(struct str local, const char *tag, struct str *rest_out)
{
	struct str t = str_of(tag);

	if (!str_istarts(local, t) || local.n <= t.n + 1 || memchr("=+-", local.p[t.n], 3) == NULL)
		return false;
	*rest_out = str_from(local, t.n + 1);
	return true;
}

/* "\"a b\"" → "a b"; what is not quoted stays. */
static void
add_unquoted(struct buf *out, struct str local)
{
	if (local.n < 2 || local.p[0] != '"') {
		buf_add(out, local);
		return;
	}
	for (size_t i = 1; i + 1 < local.n; i++) {
		if (local.p[i] == '\\' && i + 2 < local.n)
			i++;
		buf_addc(out, local.p[i]);
	}
}

static enum err
take_apart(struct str address, struct buf *local_out, struct str *domain_out)
{
	struct str local;

	if (address_split(address, &local, domain_out) != ERR_OK || domain_out->n == 0 ||
		str_chr(*domain_out, '=') < domain_out->n)
		return ERR_SYNTAX;
	add_unquoted(local_out, local);
	return buf_check(local_out) == ERR_OK && local_out->n > 0 ? ERR_OK : ERR_SYNTAX;
}

bool
srs_is_ours(const struct srs *s, struct str address)
{
	size_t at = str_rchr(address, '@');
	struct str local = str_sub(address, 0, at), rest;

	if (s->domain.n == 0 || !str_ieq(str_from(address, at + 1), s->domain))
		return false;
	if (local.n > 0 && local.p[0] == '"')
		local = str_from(local, 1);
	return behind_tag(local, "SRS0", &rest) || behind_tag(local, "SRS1", &rest);
}

/* ---- there ---- */

/* What the new local part holds behind its hash. */
static void
add_payload(struct str local, struct str domain, int64_t now_sec, struct buf *out)
{
	struct str rest;

	if (behind_tag(local, "SRS0", &rest)) {
		/* the separator is kept: the first forwarder wants its own back */
		buf_addf(out, "%.*s=%.*s", STR_FMT(domain), STR_FMT(str_from(local, 4)));
	} else if (behind_tag(local, "SRS1", &rest) && str_chr(rest, '=') < rest.n) {
		(void)str_cut(rest, '=', &local, &rest);
		buf_add(out, rest);
	} else {
		add_stamp(out, now_sec);
		buf_addf(out, "=%.*s=%.*s", STR_FMT(domain), STR_FMT(local));
	}
}

enum err
srs_forward(const struct srs *s, struct str sender, int64_t now_sec, struct buf *out)
{
	struct str domain, rest, secret, secrets = s->secrets;
	struct buf local, payload, whole;
	char hash[HASH_CHARS];
	enum err e;

	buf_init(&local, TEXT_MAX);
	buf_init(&payload, TEXT_MAX);
	buf_init(&whole, TEXT_MAX);
	e = take_apart(sender, &local, &domain);
	if (e == ERR_OK)
		add_payload(buf_str(&local), domain, now_sec, &payload);
	if (e == ERR_OK && (!next_secret(&secrets, &secret) || buf_check(&payload) != ERR_OK ||
				   !hash_of(secret, buf_str(&payload), hash)))
		e = ERR_LIMIT;
	if (e == ERR_OK) {
		bool again = behind_tag(buf_str(&local), "SRS0", &rest) ||
			     behind_tag(buf_str(&local), "SRS1", &rest);
		buf_addf(&whole, "SRS%d=%.*s=%.*s", again, HASH_CHARS, hash,
			STR_FMT(buf_str(&payload)));
		if (buf_check(&whole) != ERR_OK || whole.n > SRS_LOCAL_MAX)
			e = ERR_LIMIT;
	}
	if (e == ERR_OK) {
		address_add_local(out, buf_str(&whole));
		buf_addf(out, "@%.*s", STR_FMT(s->domain));
		e = buf_check(out);
	}
	buf_fini(&local);
	buf_fini(&payload);
	buf_fini(&whole);
	return e;
}

/* ---- and back ---- */

/* "TT=far.example=ben" */
static enum err
back_to_sender(struct str payload, int64_t now_sec, struct buf *out)
{
	struct str stamp, domain, local;
	enum err e;

	if (!str_cut(payload, '=', &stamp, &payload) || !str_cut(payload, '=', &domain, &local) ||
		domain.n == 0 || local.n == 0)
		return ERR_SYNTAX;
	e = check_stamp(stamp, now_sec);
	if (e != ERR_OK)
		return e;
	address_add_local(out, local);
	buf_addf(out, "@%.*s", STR_FMT(domain));
	return ERR_OK;
}

/* "b.example==xxxx=TT=a.example=ben": the day is in what b.example made. */
static enum err
back_to_forwarder(struct str payload, struct buf *out)
{
	struct str domain, rest;
	struct buf local;

	if (!str_cut(payload, '=', &domain, &rest) || domain.n == 0 || rest.n < 2)
		return ERR_SYNTAX;
	buf_init(&local, TEXT_MAX);
	buf_addf(&local, "SRS0%.*s", STR_FMT(rest));
	address_add_local(out, buf_str(&local));
	buf_addf(out, "@%.*s", STR_FMT(domain));
	buf_fini(&local);
	return ERR_OK;
}

enum err
srs_reverse(const struct srs *s, struct str address, int64_t now_sec, struct buf *out)
{
	struct str domain, rest, hash, payload;
	struct buf local;
	bool again = false;
	enum err e = ERR_SYNTAX;

	buf_init(&local, TEXT_MAX);
	if (srs_is_ours(s, address) && take_apart(address, &local, &domain) == ERR_OK) {
		again = behind_tag(buf_str(&local), "SRS1", &rest);
		if ((again || behind_tag(buf_str(&local), "SRS0", &rest)) &&
			str_cut(rest, '=', &hash, &payload))
			e = hash_fits(s, hash, payload) ? ERR_OK : ERR_DENIED;
	}
	if (e == ERR_OK)
		e = again ? back_to_forwarder(payload, out) : back_to_sender(payload, now_sec, out);
	if (e == ERR_OK)
		e = buf_check(out);
	buf_fini(&local);
	return e;
}
