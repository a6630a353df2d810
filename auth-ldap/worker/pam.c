/* Questions to a pam section; the only file that sees PAM. A login is a conversation that knows
 * nothing but the password; who exists is NSS's to say. Runs in the helper process: modules may
 * take as long as worker.timeout. */
#include <errno.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <stdlib.h>

#include "auth-ldap/worker/variables.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"

enum { NAME_BYTES = 1024, NSS_BYTES = 64 * 1024, SAID_BYTES = 256, MESSAGES_MAX = 32 };

struct conversation {
	const char *user, *password;
	bool given; /* a second secret question is another one: we have no answer */
	struct buf said;
};

static void
forget(struct pam_response *r, int n)
{
	for (int i = 0; i < n; i++)
		if (r[i].resp != NULL) {
			explicit_bzero(r[i].resp, strlen(r[i].resp));
			free(r[i].resp);
		}
	free(r);
}

static bool
reply(struct conversation *c, const struct pam_message *m, struct pam_response *r)
{
	switch (m->msg_style) {
	case PAM_PROMPT_ECHO_OFF:
		if (c->given)
			return false;
		c->given = true;
		r->resp = xstrdup(c->password);
		return true;
	case PAM_PROMPT_ECHO_ON:
		r->resp = xstrdup(c->user);
		return true;
	case PAM_ERROR_MSG:
	case PAM_TEXT_INFO:
		if (m->msg != NULL)
			buf_addf(&c->said, "%s%.100s", c->said.n != 0 ? "; " : "", m->msg);
		return true;
	default: /* PAM's, not an enum of ours */
		return false;
	}
}

static int
converse(int n, const struct pam_message **m, struct pam_response **out, void *arg)
{
	struct conversation *c = arg;
	struct pam_response *r;

	if (n <= 0 || n > MESSAGES_MAX)
		return PAM_CONV_ERR;
	r = xcalloc((size_t)n, sizeof *r);
	for (int i = 0; i < n; i++)
		if (!reply(c, m[i], &r[i])) {
			forget(r, n);
			return PAM_CONV_ERR;
		}
	*out = r;
	return PAM_SUCCESS;
}

/* The wait after a failure is the front's business; here it would hold a helper. */
static void
no_delay(int retval, unsigned usec, void *appdata)
{
	(void)retval;
	(void)usec;
	(void)appdata;
}

struct meaning {
	int code;
	enum err err;
	enum auth_reason reason;
};

/* Of pam_authenticate. What is not here is the machine's fault: ERR_TEMP. */
static const struct meaning auth_meanings[] = {
	{ PAM_SUCCESS, ERR_OK, REASON_NONE },
	{ PAM_AUTH_ERR, ERR_DENIED, REASON_PASSWORD },
	{ PAM_USER_UNKNOWN, ERR_NOTFOUND, REASON_UNKNOWN },
	{ PAM_MAXTRIES, ERR_DENIED, REASON_LOCKED },
	{ PAM_PERM_DENIED, ERR_DENIED, REASON_REFUSED },
	{ PAM_CRED_INSUFFICIENT, ERR_DENIED, REASON_REFUSED },
	/* often said before the password was looked at: not for the client's ears */
	{ PAM_ACCT_EXPIRED, ERR_DENIED, REASON_REFUSED },
	/* a second secret was wanted, often after the first was wrong */
	{ PAM_CONV_ERR, ERR_DENIED, REASON_REFUSED },
};
/* Of pam_acct_mgmt, after the right password. */
static const struct meaning account_meanings[] = {
	{ PAM_SUCCESS, ERR_OK, REASON_NONE },
	{ PAM_ACCT_EXPIRED, ERR_DENIED, REASON_ACCOUNT_EXPIRED },
	{ PAM_NEW_AUTHTOK_REQD, ERR_DENIED, REASON_MUST_CHANGE },
	{ PAM_AUTHTOK_EXPIRED, ERR_DENIED, REASON_PASSWORD_EXPIRED },
	{ PAM_PERM_DENIED, ERR_DENIED, REASON_DISABLED },
	{ PAM_AUTH_ERR, ERR_DENIED, REASON_DISABLED },
	{ PAM_USER_UNKNOWN, ERR_DENIED, REASON_DISABLED },
};

static const struct meaning *
meaning_of(const struct meaning *table, size_t n, int code)
{
	static const struct meaning broken = { 0, ERR_TEMP, REASON_DIRECTORY };

	for (size_t i = 0; i < n; i++)
		if (table[i].code == code)
			return &table[i];
	return &broken;
}

static enum err
tell(struct job *j, pam_handle_t *h, const char *stage, const struct meaning *m, int code,
	struct conversation *c)
{
	if (m->err == ERR_TEMP)
		log_event(LVL_ERROR, "authworker.pam", log_s("title", j->q->title),
			log_s("user", j->name.address), log_z("stage", stage),
			log_z("reason", pam_strerror(h, code)));
	return job_fail(j, m->err, m->reason, "%s: %s%s%.*s", stage, pam_strerror(h, code),
		c->said.n != 0 ? ": " : "", STR_FMT(buf_str(&c->said)));
}

static int
set_items(struct job *j, pam_handle_t *h)
{
	void (*delay)(int, unsigned, void *) = no_delay;
	char *host = str_dup(j->q->remote_ip);
	const void *item;
	int rc;

	memcpy(&item, &delay, sizeof item);
	rc = pam_set_item(h, PAM_FAIL_DELAY, item);
	if (rc == PAM_SUCCESS)
		rc = pam_set_item(h, PAM_TTY, "postroom");
	if (rc == PAM_SUCCESS && host[0] != '\0')
		rc = pam_set_item(h, PAM_RHOST, host);
	free(host);
	return rc;
}

static enum err
stages(struct job *j, pam_handle_t *h, struct conversation *c)
{
	const struct meaning *m;
	int rc = set_items(j, h);

	if (rc == PAM_SUCCESS)
		rc = pam_authenticate(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	m = meaning_of(auth_meanings, ARRAY_LEN(auth_meanings), rc);
	if (m->err != ERR_OK)
		return tell(j, h, "auth", m, rc, c);
	rc = pam_acct_mgmt(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	m = meaning_of(account_meanings, ARRAY_LEN(account_meanings), rc);
	return m->err == ERR_OK ? ERR_OK : tell(j, h, "account", m, rc, c);
}

static enum err
login(struct job *j, const char *user)
{
	const struct settings_pam *p = &j->settings->pams[j->index];
	struct conversation c = { .user = user };
	const struct pam_conv conv = { converse, &c };
	char *password = str_dup(j->q->password);
	pam_handle_t *h = NULL;
	struct buf service;
	enum err e;
	int rc;

	buf_init(&service, NAME_BYTES);
	buf_init(&c.said, SAID_BYTES);
	c.password = password;
	e = job_expand(j, p->service, &service);
	if (e != ERR_OK || service.n == 0 || buf_room(&service) == 0 ||
		str_chr(buf_str(&service), '/') != service.n) {
		e = job_fail(j, ERR_TEMP, REASON_INTERNAL, "no usable name of a PAM service");
		goto out;
	}
	if (p->config_dir.n != 0)
		rc = pam_start_confdir(buf_z(&service), user, &conv, p->config_dir.p, &h);
	else
		rc = pam_start(buf_z(&service), user, &conv, &h);
	if (rc != PAM_SUCCESS) {
		e = job_fail(j, ERR_TEMP, REASON_DIRECTORY, "PAM does not start: %s",
			pam_strerror(h, rc));
		goto out;
	}
	/* PAM's modules take a C string: what lies behind a NUL would not be compared */
	e = str_has_nul(j->q->password) ? job_fail(j, ERR_DENIED, REASON_PASSWORD, "a NUL byte")
					: stages(j, h, &c);
	(void)pam_end(h, PAM_SUCCESS);
out:
	explicit_bzero(password, j->q->password.n);
	free(password);
	buf_fini(&service);
	buf_fini(&c.said);
	return e;
}

/* Whom PAM is asked about. ERR_NOTFOUND: not ours. */
static enum err
username(struct job *j, const struct settings_pam *p, struct buf *out)
{
	struct str dflt = j->settings->auth.default_domain;
	bool ours = !j->name.has_domain || str_ieq(j->name.domain, dflt);

	if (p->username.n != 0) {
		enum err e = job_expand(j, p->username, out);
		if (e != ERR_OK)
			return job_fail(j, ERR_TEMP, REASON_INTERNAL, "username is no template");
		return out->n != 0 && buf_room(out) != 0 ? ERR_OK : ERR_NOTFOUND;
	}
	if (!ours)
		return ERR_NOTFOUND;
	buf_add(out, j->name.local);
	return buf_check(out) == ERR_OK && buf_room(out) != 0 ? ERR_OK : ERR_NOTFOUND;
}

/* Does NSS know the user, as one who may have mail? */
static enum err
system_user(struct job *j, const char *user, int64_t uid_min)
{
	struct passwd pw, *found = NULL;
	char *memory = xmalloc(NSS_BYTES);
	int rc = getpwnam_r(user, &pw, memory, NSS_BYTES, &found);
	enum err e = ERR_OK;

	/* several modules of NSS say "no such user" in these words */
	if (found == NULL && (rc == 0 || rc == ENOENT || rc == ESRCH || rc == EPERM))
		e = ERR_NOTFOUND;
	else if (found == NULL)
		e = job_fail(j, ERR_TEMP, REASON_DIRECTORY, "NSS: %s", strerrordesc_np(rc));
	else if ((int64_t)pw.pw_uid < uid_min)
		e = ERR_NOTFOUND;
	free(memory);
	return e;
}

static enum err
domain(struct job *j, const struct settings_pam *p)
{
	bool ours = str_ieq(j->name.domain, j->settings->auth.default_domain);

	for (size_t i = 0; i < p->domains.n; i++)
		ours |= str_ieq(j->name.domain, p->domains.v[i]);
	return ours ? job_value(j, j->name.domain) : ERR_NOTFOUND;
}

static enum err
about_user(struct job *j, const struct settings_pam *p, const char *user)
{
	const struct worker_user u = { .user = j->name.address,
		.source = str_of(user),
		.home = STR_EMPTY,
		.display_name = STR_EMPTY,
		.mail_host = STR_EMPTY,
		.quota = STR_EMPTY,
		.aliases = STR_EMPTY,
		.services = STR_EMPTY,
		.networks = STR_EMPTY };
	bool is_login = j->q->kind == ASK_LOGIN;
	enum err e = ERR_OK;

	if (str_eq(p->users, STR("system")))
		e = system_user(j, user, p->uid_min);
	else if (str_eq(p->users, STR("none")) && !is_login)
		e = ERR_NOTFOUND;
	if (e == ERR_OK)
		e = job_user(j, &u);
	if (e == ERR_OK && is_login)
		e = login(j, user);
	return e;
}

enum err
pam_answer(struct job *j)
{
	const struct settings_pam *p = &j->settings->pams[j->index];
	struct buf user;
	enum err e;

	switch (j->q->kind) {
	case ASK_DOMAIN:
		return domain(j, p);
	case ASK_LOGIN:
	case ASK_USER:
	case ASK_ADDRESS:
	case ASK_MEMBERS:
	case ASK_SENDER:
		break;
	case ASK_CATCHALL:
	case ASK_LIST:
	case ASK_SECRET:
	case ASK_CERTIFICATE:
	case ASK_MASTER:
	case ASK_TRANSPORT:
	case ASK_POST:
		return ERR_NOTFOUND;
	}
	buf_init(&user, NAME_BYTES);
	e = username(j, p, &user);
	if (e == ERR_OK)
		e = about_user(j, p, buf_z(&user));
	buf_fini(&user);
	return e;
}
