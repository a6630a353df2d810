/* Users with a stored password, whatever they are read from: their fields and what is answered
 * about them. Called by passwd_file.c and sql.c. Invariant: a password that its scheme does not
 * wholly understand lets nobody in. */
#include <time.h>

#include "auth-ldap/backend/salt.h"
#include "auth-ldap/worker/worker.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/passwd/passwd.h"

void
account_init(struct account *a)
{
	*a = (struct account){ .password = STR_EMPTY,
		.user = { .user = STR_EMPTY,
			.home = STR_EMPTY,
			.source = STR_EMPTY,
			.display_name = STR_EMPTY,
			.mail_host = STR_EMPTY,
			.quota = STR_EMPTY,
			.aliases = STR_EMPTY,
			.services = STR_EMPTY,
			.networks = STR_EMPTY } };
}

static enum err
parse_flag(struct str s, bool *out)
{
	static const char *const yes[] = { "1", "y", "yes", "t", "true", "on" };
	static const char *const no[] = { "0", "n", "no", "f", "false", "off" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		*out = str_ieq(s, str_of(yes[i]));
		if (*out || str_ieq(s, str_of(no[i])))
			return ERR_OK;
	}
	return ERR_SYNTAX;
}

/* Digits up to a separator. */
static enum err
take_part(struct str *rest, char separator, uint32_t max, int *out)
{
	struct str part;
	uint32_t n;

	(void)str_cut(*rest, separator, &part, rest);
	enum err e = str_to_u32(part, max, &n);

	*out = e == ERR_OK ? (int)n : 0;
	return e;
}

enum err
account_time(struct str s, int64_t *out)
{
	struct tm tm = { 0 };
	struct str date, clock, rest;
	uint64_t seconds;

	if (str_to_u64(s, INT64_MAX, &seconds) == ERR_OK) {
		*out = (int64_t)seconds;
		return ERR_OK;
	}
	size_t blank = str_chr(s, ' ') < s.n ? str_chr(s, ' ') : str_chr(s, 'T');

	date = str_sub(s, 0, blank);
	clock = str_sub(s, blank + 1, 8);
	rest = date;
	if (take_part(&rest, '-', 9999, &tm.tm_year) != ERR_OK || tm.tm_year < 1970 ||
		take_part(&rest, '-', 12, &tm.tm_mon) != ERR_OK || tm.tm_mon == 0 ||
		take_part(&rest, '-', 31, &tm.tm_mday) != ERR_OK || tm.tm_mday == 0 || rest.n != 0)
		return ERR_SYNTAX;
	if (clock.n != 0 && (take_part(&clock, ':', 23, &tm.tm_hour) != ERR_OK ||
				    take_part(&clock, ':', 59, &tm.tm_min) != ERR_OK ||
				    take_part(&clock, ':', 60, &tm.tm_sec) != ERR_OK))
		return ERR_SYNTAX;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*out = (int64_t)timegm(&tm);
	/* 0 is "never" */
	if (*out <= 0)
		*out = 1;
	return ERR_OK;
}

/* A list with nothing in it would restrict nobody, which is not what somebody wrote it for. */
static bool
names_nothing(struct str list)
{
	for (size_t i = 0; i < list.n; i++)
		if (list.p[i] != ',' && !ascii_is_space(list.p[i]))
			return false;
	return true;
}

enum err
account_set(struct account *a, struct str key, struct str value)
{
	struct worker_user *u = &a->user;
	const struct {
		const char *key;
		struct str *to;
	} texts[] = { { "user", &u->user }, { "password", &a->password }, { "home", &u->home },
		{ "quota", &u->quota }, { "display_name", &u->display_name },
		{ "mail_host", &u->mail_host }, { "aliases", &u->aliases },
		{ "services", &u->services }, { "networks", &u->networks },
		{ "allow_nets", &u->networks } };
	bool flag = false;

	if (value.n != 0 && str_has_nul(value))
		return ERR_SYNTAX;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (str_ieq(key, str_of(texts[i].key))) {
			if (value.n == 0)
				return ERR_OK;
			if (texts[i].to == &u->networks && names_nothing(value))
				return ERR_SYNTAX;
			*texts[i].to = value;
			u->services_given = u->services.n != 0;
			return ERR_OK;
		}
	if (str_ieq(key, STR("expires")))
		return value.n != 0 ? account_time(value, &u->expires_sec) : ERR_OK;
	if (!str_ieq(key, STR("enabled")) && !str_ieq(key, STR("nologin")))
		return ERR_NOTFOUND;
	if (value.n == 0)
		return ERR_OK;
	enum err e = parse_flag(value, &flag);

	if (e == ERR_OK && flag == str_ieq(key, STR("nologin")))
		u->disabled = true;
	return e;
}

/* Which scheme, but never the hash. */
static struct str
scheme_word(struct str stored)
{
	return stored.n != 0 && stored.p[0] == '{' ? str_sub(stored, 0, str_chr(stored, '}') + 1)
						   : STR("its password");
}

static enum err
damaged(struct job *j, const struct account *a, enum err e)
{
	struct str scheme = scheme_word(a->password);

	log_event(LVL_ERROR, "authworker.password",
		log_z("section", worker_kind_name(j->q->section)), log_s("title", j->q->title),
		log_s("user", a->user.user), log_s("scheme", scheme),
		log_z("reason", e == ERR_LIMIT ? "costs more than is granted"
					       : "an unknown scheme, or not of its form"));
	return job_fail(j, ERR_DENIED, REASON_ENTRY, "%.*s is unknown or damaged", STR_FMT(scheme));
}

static enum err
login(struct job *j, const struct account *a, struct str default_scheme)
{
	enum err e;

	if (a->password.n == 0)
		return job_fail(j, ERR_DENIED, REASON_PASSWORD, "no password is set");
	e = passwd_verify(a->password, default_scheme, j->q->password);
	if (e == ERR_OK)
		return ERR_OK;
	if (e == ERR_DENIED)
		return job_fail(j, ERR_DENIED, REASON_PASSWORD, "another password");
	if (e == ERR_TEMP)
		return job_fail(j, ERR_TEMP, REASON_INTERNAL, "no memory to check a password");
	return damaged(j, a, e);
}

/* Kept, as it may be random. */
static const struct scram_seed *
seed_of(const struct settings *s)
{
	static const struct settings *made_for;
	static struct scram_seed seed;

	if (s != made_for)
		scram_seed_make(&seed, s->auth.scram_seed);
	made_for = s;
	return &seed;
}

static enum err
keys(struct job *j, const struct account *a, struct str default_scheme)
{
	enum err e = ERR_OK;

	for (int i = 0; e == ERR_OK && i < 2; i++) {
		unsigned char salt[SCRAM_SALT_BYTES];
		struct passwd_scram k;
		scram_salt_make(seed_of(j->settings), j->name.address, i == 0, salt);
		if (passwd_scram(a->password, default_scheme, i == 0, str_n(salt, sizeof salt),
			    (uint32_t)j->settings->auth.scram_iterations, &k) != ERR_OK)
			continue;
		struct worker_answer line = { .line = WORKER_KEYS,
			.id = j->q->id,
			.sha256 = i == 0,
			.scram = { .salt = str_n(k.salt, k.salt_n),
				.stored_key = str_n(k.stored_key, k.key_n),
				.server_key = str_n(k.server_key, k.key_n),
				.iterations = k.iterations } };
		worker_answer_put(j->out, &line);
		e = buf_check(j->out);
		explicit_bzero(&k, sizeof k);
	}
	return e == ERR_OK ? ERR_OK : job_fail(j, ERR_TEMP, REASON_INTERNAL, "too long");
}

enum err
account_answer(struct job *j, const struct account *a, struct str default_scheme)
{
	enum err e = job_user(j, &a->user);

	if (e != ERR_OK)
		return e;
	if (j->q->kind == ASK_LOGIN)
		return login(j, a, default_scheme);
	if (j->q->kind == ASK_SECRET && a->password.n != 0)
		return keys(j, a, default_scheme);
	return ERR_OK;
}
