/* One question from its arrival to its last line; see worker.h. main.c calls it for what came over
 * the socket, the unit tests and the fuzz target for what they made up. */
#include "auth-ldap/worker/worker.h"

enum { FLUSH_BYTES = 32 * 1024, DETAIL_BYTES = 1024 };

static enum err
put(struct job *j, const struct worker_answer *a)
{
	size_t before = j->out->n;

	worker_answer_put(j->out, a);
	if (buf_check(j->out) != ERR_OK || j->out->n - before > WORKER_LINE_MAX) {
		buf_truncate(j->out, before);
		return job_fail(j, ERR_TEMP, REASON_LIMIT, "an answer is too long");
	}
	return j->out->n < FLUSH_BYTES ? ERR_OK : j->flush(j);
}

enum err
job_user(struct job *j, const struct worker_user *u)
{
	struct worker_answer a = { .line = WORKER_USER, .id = j->q->id, .user = *u };

	return put(j, &a);
}

enum err
job_value(struct job *j, struct str value)
{
	struct worker_answer a = { .line = WORKER_VALUE, .id = j->q->id, .value = value };

	return put(j, &a);
}

enum err
job_fail(struct job *j, enum err e, enum auth_reason reason, const char *fmt, ...)
{
	va_list ap;

	j->reason = reason;
	buf_reset(&j->detail);
	va_start(ap, fmt);
	buf_addv(&j->detail, fmt, ap);
	va_end(ap);
	return e;
}

/* Which section, and whom it is about. */
static enum err
prepare(struct job *j)
{
	const struct worker_question *q = j->q;
	const struct settings *s = j->settings;
	bool domain = q->kind == ASK_DOMAIN || q->kind == ASK_CATCHALL;

	for (j->index = 0; j->index < worker_kind_count(s, q->section); j->index++)
		if (str_eq(worker_kind_title(s, q->section, j->index), q->title))
			break;
	if (j->index == worker_kind_count(s, q->section))
		return job_fail(j, ERR_TEMP, REASON_INTERNAL, "the helper has no such section");
	if (q->kind == ASK_LIST)
		return ERR_OK;
	/* a domain goes where names of it go: with the same checks */
	if (domain) {
		struct buf b;
		buf_init(&b, NAME_MAX_BYTES);
		buf_addf(&b, "postmaster@%.*s", STR_FMT(q->other));
		enum err e = name_parse(buf_str(&b), STR_EMPTY, &j->name);
		buf_fini(&b);
		return e == ERR_OK ? ERR_OK : ERR_NOTFOUND;
	}
	return name_parse(q->user, s->auth.default_domain, &j->name) == ERR_OK ? ERR_OK
									       : ERR_NOTFOUND;
}

static enum err
answer(struct job *j)
{
	switch (j->q->section) {
	case WORKER_PASSWD_FILE:
		return passwd_file_answer(j);
	case WORKER_PAM:
		return pam_answer(j);
	case WORKER_SQL:
		return sql_answer(j);
	case WORKER_KINDS:
		break;
	}
	return ERR_NOTFOUND;
}

enum err
job_run(struct job *j)
{
	struct worker_answer end = { .line = WORKER_END, .id = j->q->id };
	enum err e;

	buf_init(&j->detail, DETAIL_BYTES);
	j->reason = REASON_NONE;
	e = prepare(j);
	if (e == ERR_OK)
		e = answer(j);
	end.err = e == ERR_OK || e == ERR_NOTFOUND || e == ERR_DENIED ? e : ERR_TEMP;
	end.reason = j->reason;
	if (end.err == ERR_TEMP && end.reason == REASON_NONE)
		end.reason = REASON_INTERNAL;
	end.detail = buf_str(&j->detail);
	worker_answer_put(j->out, &end);
	e = buf_check(j->out) == ERR_OK ? j->flush(j) : ERR_TEMP;
	buf_fini(&j->detail);
	return e;
}
