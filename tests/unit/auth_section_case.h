#ifndef POSTROOM_TESTS_AUTH_SECTION_CASE_H
#define POSTROOM_TESTS_AUTH_SECTION_CASE_H

/* What the tests of auth-ldap/directory share: a section, the question under way and its answer,
 * against a directory played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "auth-ldap/directory/attributes.h"
#include "auth-ldap/directory/section.h"
#include "tests/unit/fake_pool.h"

struct world {
	struct loop *loop;
	struct settings *settings;
	struct settings_directory *d;
	struct backend *b;
	struct name name;
	struct auth_context context;
	/* the last answer */
	unsigned answers;
	enum err err;
	enum auth_reason reason;
	char detail[400], users[400], value[200];
	struct auth_user *user;
	bool secret;
	int64_t expires;
	int grace;
};

static inline void
on_stop(struct loop_task *t)
{
	loop_stop(t->arg);
}

/* Runs what waits in the loop. */
static inline void
settle(struct world *w)
{
	struct loop_task stop;
	loop_task_init(&stop, w->loop, on_stop, w->loop);
	loop_task_queue(&stop);
	loop_run(w->loop);
}

/* Settings as a file gives them, with more lines in the directory section. */
static inline void
load(struct world *w, const char *more)
{
	char path[] = "/tmp/postroom-section-XXXXXX";
	struct buf err;
	int fd = mkstemp(path);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	assert_non_null(f);
	assert_true(fprintf(f,
			    "mail_root = \"/mail\"\nauth { default_domain = \"example.org\" }\n"
			    "directory \"main\" {\nuris = { \"ldap://127.0.0.1\" }\n"
			    "base = \"dc=example,dc=org\"\nbind_dn = \"cn=service\"\n%s\n}\n",
			    more) > 0);
	assert_int_equal(fclose(f), 0);
	settings_free(w->settings);
	buf_init(&err, 4000);
	enum err e = settings_load(path, false, &w->settings, &err);
	assert_int_equal(unlink(path), 0);
	if (e != ERR_OK)
		fail_msg("%.*s", STR_FMT(buf_str(&err)));
	buf_fini(&err);
	w->d = &w->settings->directories[0];
	w->d->bind_password = STR("x");
}

static inline int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	w->loop = loop_new();
	load(w, "");
	questions = cancelled_questions = 0;
	*state = w;
	return 0;
}

static inline int
teardown(void **state)
{
	struct world *w = *state;
	assert_null(asked);
	if (w->b != NULL)
		w->b->ops->free(w->b);
	auth_user_unref(w->user);
	loop_free(w->loop);
	w->d->bind_password = STR_EMPTY; /* not the arena's: nothing to wipe */
	settings_free(w->settings);
	free(w);
	return 0;
}

static inline void
make(struct world *w)
{
	struct buf err;
	buf_init(&err, 1000);
	enum err e = directory_backend_new(w->loop, w->settings, w->d, &w->b, &err);
	if (e != ERR_OK)
		fail_msg("%.*s", STR_FMT(buf_str(&err)));
	buf_fini(&err);
}

static inline void
on_answer(void *arg, const struct auth_answer *a)
{
	struct world *w = arg;
	w->answers++;
	w->err = a->err;
	w->reason = a->reason;
	(void)snprintf(w->detail, sizeof w->detail, "%.*s", STR_FMT(a->detail));
	(void)snprintf(w->value, sizeof w->value, "%.*s", STR_FMT(a->value));
	auth_user_unref(w->user);
	w->user = a->user != NULL ? auth_user_new(a->user) : NULL;
	if (a->user != NULL && a->err == ERR_OK) {
		size_t n = strlen(w->users);
		(void)snprintf(w->users + n, sizeof w->users - n, " %.*s", STR_FMT(a->user->user));
	}
	w->secret = a->secret != NULL;
	w->expires = a->password_expires_sec;
	w->grace = a->grace_logins;
}

static inline struct backend_request *
ask_more(struct world *w, enum ask_kind kind, const char *name, const char *password,
	const char *other)
{
	if (name != NULL)
		assert_int_equal(
			name_parse_login(str_of(name), w->settings->auth.default_domain, &w->name),
			ERR_OK);
	const struct auth_question q = { .kind = kind,
		.name = name != NULL ? &w->name : NULL,
		.password = str_of(password),
		.other = str_of(other),
		.context = &w->context };
	w->answers = 0;
	w->users[0] = '\0';
	struct backend_request *r = w->b->ops->ask(w->b, &q, on_answer, w);
	assert_int_equal(w->answers, 0); /* never inside ask */
	settle(w);
	return r;
}

static inline struct backend_request *
ask(struct world *w, enum ask_kind kind, const char *name)
{
	return ask_more(w, kind, name, kind == ASK_LOGIN ? "secret" : NULL, NULL);
}

static inline void
expect(const struct world *w, enum err e, enum auth_reason reason)
{
	assert_int_equal(w->answers, 1);
	if (w->err != e || w->reason != reason)
		fail_msg("%s, \"%s\" (%s)", err_name(w->err), reason_text(w->reason), w->detail);
	assert_null(asked);
}

static inline void
expect_search(const char *base, enum ldap_scope scope, const char *filter)
{
	assert_non_null(asked);
	assert_int_equal(asked->op.type, LDAP_OP_SEARCH);
	assert_string_equal(buf_z(&asked->base), base);
	assert_string_equal(buf_z(&asked->filter), filter);
	assert_int_equal(asked->op.scope, scope);
}

static inline void
expect_bind(const char *dn)
{
	assert_non_null(asked);
	assert_int_equal(asked->op.type, LDAP_OP_BIND);
	assert_string_equal(buf_z(&asked->dn), dn);
	assert_string_equal(buf_z(&asked->password), "secret");
}

static inline void
expect_claim(void)
{
	expect_search("dc=example,dc=org", SCOPE_SUB,
		"(|(&(objectClass=inetOrgPerson)(|(uid=anna@example.org)(mail=anna@example.org)"
		"(mailLocalAddress=anna@example.org)(postroomAddress=anna@example.org)))(&("
		"objectClass=inetOrgPerson)"
		"(|(mail=anna@example.org)(mailLocalAddress=anna@example.org)"
		"(postroomAddress=anna@example.org))))");
	assert_string_equal(buf_z(&asked->attrs), " objectClass mail");
}

#define ANNA_DN "uid=anna,ou=people,dc=example,dc=org"
static const struct fake_entry nobody[] = { { .dn = NULL } };

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
