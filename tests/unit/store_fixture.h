#ifndef POSTROOM_TESTS_STORE_FIXTURE_H
#define POSTROOM_TESTS_STORE_FIXTURE_H

/* A store in a temporary folder, and calls that wait: what the store's tests share. */
#include <setjmp.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/settings.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/store/check.h"
#include "core/store/deliver.h"
#include "core/store/internal.h"
#include "core/store/message.h"
#include "core/store/update.h"
#include "core/store/view.h"

struct fix {
	struct loop *loop;
	struct pool *pool;
	struct store *store;
	struct settings *set;
	struct home *home;
	char dir[64];
	struct loop_timer guard;
	bool done;
	enum err e;
	/* results of the last call */
	struct append_result appended;
	struct copy_result copied; /* sets are copies */
	struct flags_result flagged;
	struct expunge_result expunged;
	struct mailbox_result mailbox;
};

enum { FIX_WAIT_MS = 300 * 1000 };

UNUSED static void
fix_late(struct loop_timer *t)
{
	(void)t;
	fail_msg("%s", "nothing happened for five minutes");
}

UNUSED static void
fix_remove(const char *dir)
{
	char cmd[128];
	pid_t pid = fork();

	if (pid == 0) {
		(void)snprintf(cmd, sizeof cmd, "%s", dir);
		execl("/bin/rm", "rm", "-rf", cmd, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0)
		continue;
}

UNUSED static void
fix_start(struct fix *f)
{
	char path[128];

	commit_set_patience(FIX_WAIT_MS); /* a slow disk refuses nothing */
	f->loop = loop_new();
	f->pool = pool_new(f->loop, 16);
	f->store = store_new(f->loop, f->pool, f->set);
	loop_timer_init(&f->guard, f->loop, fix_late, f);
	(void)snprintf(path, sizeof path, "%s/u/alice", f->dir);
	assert_int_equal(home_get(f->store, str_of(path), &f->home), ERR_OK);
}

UNUSED static void
fix_stop(struct fix *f)
{
	if (f->home != NULL)
		home_unref(f->home);
	store_free(f->store);
	pool_free(f->pool);
	loop_timer_stop(&f->guard);
	loop_free(f->loop);
}

/* Every file has its entry, every entry its file, but for so many problems. Starts the store anew.
 */
UNUSED static void
fix_check(struct fix *f, uint64_t problems)
{
	const struct check_options o = { .read_bodies = true, .age_sec = -1 };
	struct check_counts counts;
	char home[128];

	fix_stop(f);
	f->home = NULL;
	(void)snprintf(home, sizeof home, "%s/u/alice", f->dir);
	assert_int_equal(store_check(home, &o, NULL, NULL, &counts), ERR_OK);
	assert_int_equal(counts.problems, problems);
	fix_start(f);
}

UNUSED static void
fix_open(struct fix *f)
{
	memset(f, 0, sizeof *f);
	log_set_level(LVL_ERROR);
	(void)snprintf(f->dir, sizeof f->dir, "/tmp/pr-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->set = settings_defaults();
	f->set->store.map_initial = 1024 * 1024;
	fix_start(f);
}

UNUSED static void
fix_free(struct fix *f)
{
	fix_stop(f);
	settings_free(f->set);
	uidset_fini(&f->copied.source);
	uidset_fini(&f->copied.target);
	uidset_fini(&f->flagged.changed);
	uidset_fini(&f->flagged.modified);
	uidset_fini(&f->expunged.uids);
}

UNUSED static void
fix_close(struct fix *f)
{
	fix_free(f);
	fix_remove(f->dir);
}

UNUSED static void
fix_done(struct fix *f, enum err e)
{
	f->done = true;
	f->e = e;
	loop_stop(f->loop);
}

/* Runs the loop until a callback says done. */
UNUSED static enum err
fix_wait(struct fix *f)
{
	loop_timer_start(&f->guard, FIX_WAIT_MS);
	while (!f->done)
		loop_run(f->loop);
	f->done = false;
	return f->e;
}

UNUSED static void
fix_on_sleep(struct loop_timer *t)
{
	fix_done(t->arg, ERR_OK);
}

UNUSED static void
fix_sleep(struct fix *f, int64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, f->loop, fix_on_sleep, f);
	loop_timer_start(&t, ms);
	(void)fix_wait(f);
}

UNUSED static void
fix_on_pin(struct home_wait *w, enum err e)
{
	fix_done(w->arg, e);
}

UNUSED static enum err
fix_pin(struct fix *f, struct home *h)
{
	struct home_wait w = { .fn = fix_on_pin, .arg = f };
	enum err e = home_pin(h, &w);

	return e == ERR_AGAIN ? fix_wait(f) : e;
}

/* A read step, whatever it takes to get one. The caller ends with fix_read_end. */
UNUSED static struct txn *
fix_read(struct fix *f, struct home *h)
{
	struct txn *t;

	for (;;) {
		assert_int_equal(fix_pin(f, h), ERR_OK);
		enum err e = store_read_begin(h, &t);

		if (e == ERR_OK)
			return t;
		assert_int_equal(e, ERR_AGAIN);
		home_unpin(h);
	}
}

UNUSED static void
fix_read_end(struct txn *t)
{
	struct home *h = txn_home(t);

	store_read_end(t);
	home_unpin(h);
}

UNUSED static void
fix_on_append(void *arg, enum err e, const struct append_result *r)
{
	struct fix *f = arg;

	f->appended = *r;
	fix_done(f, e);
}

UNUSED static struct body *
fix_body(struct home *h, struct str bytes)
{
	struct body *b = body_new(h, 100 * 1024 * 1024);
	enum err e = body_write(b, bytes);

	(void)e; /* the op that takes it tells */
	return b;
}

UNUSED static enum err
fix_append(struct fix *f, const char *mailbox, uint32_t flags, const char *keyword, const char *msg)
{
	struct str kw = str_of(keyword);
	struct append_args a = {
		.mailbox = str_of(mailbox),
		.body = fix_body(f->home, str_of(msg)),
		.flags = flags,
		.keywords = &kw,
		.keywords_count = keyword != NULL,
	};

	(void)store_append(f->home, &a, fix_on_append, f);
	return fix_wait(f);
}

UNUSED static void
fix_on_copy(void *arg, enum err e, const struct copy_result *r)
{
	struct fix *f = arg;

	f->copied.to = r->to;
	f->copied.uidvalidity = r->uidvalidity;
	f->copied.gone = r->gone;
	uidset_copy(&f->copied.source, &r->source);
	uidset_copy(&f->copied.target, &r->target);
	fix_done(f, e);
}

UNUSED static enum err
fix_copy(struct fix *f, uint32_t from, const struct uidset *uids, const char *to, bool move)
{
	struct copy_args a = { .from = from, .uids = uids, .to = str_of(to) };

	(void)(move ? store_move : store_copy)(f->home, &a, fix_on_copy, f);
	return fix_wait(f);
}

UNUSED static void
fix_on_flags(void *arg, enum err e, const struct flags_result *r)
{
	struct fix *f = arg;

	f->flagged.modseq = r->modseq;
	uidset_copy(&f->flagged.changed, &r->changed);
	uidset_copy(&f->flagged.modified, &r->modified);
	fix_done(f, e);
}

UNUSED static enum err
fix_flags(struct fix *f, uint32_t mailbox, const struct uidset *uids, enum flags_mode mode,
	uint32_t flags, const char *keyword, uint64_t unchanged_since)
{
	struct str kw = str_of(keyword);
	struct flags_args a = {
		.mailbox = mailbox,
		.uids = uids,
		.mode = mode,
		.flags = flags,
		.keywords = &kw,
		.keywords_count = keyword != NULL,
		.conditional = unchanged_since != 0,
		.unchanged_since = unchanged_since,
	};

	(void)store_flags(f->home, &a, fix_on_flags, f);
	return fix_wait(f);
}

UNUSED static void
fix_on_expunge(void *arg, enum err e, const struct expunge_result *r)
{
	struct fix *f = arg;

	f->expunged.modseq = r->modseq;
	uidset_copy(&f->expunged.uids, &r->uids);
	fix_done(f, e);
}

UNUSED static enum err
fix_expunge(struct fix *f, uint32_t mailbox, const struct uidset *uids)
{
	(void)store_expunge(f->home, mailbox, uids, fix_on_expunge, f);
	return fix_wait(f);
}

UNUSED static void
fix_on_mailbox(void *arg, enum err e, const struct mailbox_result *r)
{
	struct fix *f = arg;

	f->mailbox = *r;
	fix_done(f, e);
}

UNUSED static enum err
fix_create(struct fix *f, const char *name)
{
	(void)store_create(f->home, str_of(name), 0, fix_on_mailbox, f);
	return fix_wait(f);
}

UNUSED static enum err
fix_delete(struct fix *f, const char *name)
{
	(void)store_delete(f->home, str_of(name), fix_on_mailbox, f);
	return fix_wait(f);
}

UNUSED static enum err
fix_rename(struct fix *f, const char *from, const char *to)
{
	(void)store_rename(f->home, str_of(from), str_of(to), fix_on_mailbox, f);
	return fix_wait(f);
}

UNUSED static enum err
fix_find(struct fix *f, const char *name, struct mailbox_info *out)
{
	struct txn *t = fix_read(f, f->home);
	enum err e = mailbox_find(t, str_of(name), out);

	fix_read_end(t);
	out->name = STR_EMPTY;
	return e;
}

UNUSED static uint32_t
fix_id(struct fix *f, const char *name)
{
	struct mailbox_info info;

	assert_int_equal(fix_find(f, name, &info), ERR_OK);
	return info.id;
}

/* For cmocka: *state is a struct fix. */
UNUSED static int
fix_setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof *f);

	fix_open(f);
	*state = f;
	return 0;
}

UNUSED static int
fix_teardown(void **state)
{
	fix_close(*state);
	free(*state);
	return 0;
}

/* All mailboxes by name; "!" behind one that is only a name above others. */
struct fix_names {
	char all[4096];
};

UNUSED static enum err
fix_add_name(void *arg, const struct mailbox_info *info)
{
	struct fix_names *n = arg;
	size_t at = strlen(n->all);

	(void)snprintf(n->all + at, sizeof n->all - at, "%s%.*s%s", at > 0 ? " " : "",
		STR_FMT(info->name), info->noselect ? "!" : "");
	return ERR_OK;
}

UNUSED static void
fix_assert_names(struct fix *f, const char *want)
{
	struct fix_names n = { .all = "" };
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(mailbox_walk(t, fix_add_name, &n), ERR_OK);
	fix_read_end(t);
	assert_string_equal(n.all, want);
}

#endif
