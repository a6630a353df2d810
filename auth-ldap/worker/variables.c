/* Variables of a question in the templates of pam and sql sections. Called by pam.c and sql.c.
 * Invariant: what a client typed reaches a database as a parameter only. */
#include "auth-ldap/worker/variables.h"

#include "core/base/xalloc.h"

enum { QUERY_BYTES = 8192 };

bool
job_variable(const struct job *j, struct str name, struct str *out)
{
	const struct {
		const char *name;
		struct str value;
	} table[] = { { "user", j->name.user }, { "local", j->name.local },
		{ "domain", j->name.domain }, { "address", j->name.address },
		{ "service", j->q->service }, { "remote_ip", j->q->remote_ip },
		{ "local_ip", j->q->local_ip } };

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (str_eq(name, str_of(table[i].name))) {
			*out = table[i].value.p != NULL ? table[i].value : STR_EMPTY;
			return true;
		}
	return false;
}

/* Everything up to the next variable is added to out; its value. ERR_EOF: there was none. */
static enum err
next_variable(const struct job *j, struct str *t, struct buf *out, struct str *value_out)
{
	size_t at = str_find(*t, STR("%{")), end;

	buf_add(out, str_sub(*t, 0, at));
	*t = str_from(*t, at);
	if (t->n == 0)
		return ERR_EOF;
	end = str_chr(*t, '}');
	if (end == t->n || !job_variable(j, str_sub(*t, 2, end - 2), value_out))
		return ERR_SYNTAX;
	*t = str_from(*t, end + 1);
	return ERR_OK;
}

enum err
job_expand(const struct job *j, struct str t, struct buf *out)
{
	struct str value;
	enum err e;

	while ((e = next_variable(j, &t, out, &value)) == ERR_OK)
		buf_add(out, value);
	return e == ERR_EOF ? buf_check(out) : e;
}

enum err
query_make(const struct job *j, struct str t, bool numbered, struct query *out)
{
	struct str value;
	enum err e;

	buf_init(&out->text, QUERY_BYTES);
	out->params_count = 0;
	while ((e = next_variable(j, &t, &out->text, &value)) == ERR_OK) {
		if (out->params_count == QUERY_PARAMS_MAX)
			return ERR_LIMIT;
		out->params[out->params_count++] = value;
		if (numbered)
			buf_addf(&out->text, "$%zu", out->params_count);
		else
			buf_addc(&out->text, '?');
	}
	return e == ERR_EOF ? buf_check(&out->text) : e;
}

void
query_fini(struct query *q)
{
	buf_fini(&q->text);
}
