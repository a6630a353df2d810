/* core/store/kv.h beside a plain array: random puts, gets and deletions, in runs of keys that
 * ascend and anywhere, over many transactions, some of them aborted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/xalloc.h"
#include "core/store/kv.h"

enum { KEYS = 3000, TXNS = 60, OPS = 600, VALUE_MAX = 9000, TABLES = 2 };

/* 0: the key is not there; else what its value is made from. */
struct model {
	unsigned of[TABLES][KEYS];
};
static const enum kv_table tables[TABLES] = { KV_REF, KV_ENTRY };
static char value_text[VALUE_MAX];
static unsigned seed = 5;

static unsigned
pick(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

static struct str
key_of(unsigned n, char to[16])
{
	return str_n(to, (size_t)snprintf(to, 16, "%06u", n));
}

static struct str
value_of(unsigned of, char *to)
{
	/* some do not fit into a page, most have one size */
	size_t n = of % 40 == 0 ? 3000 + of % 6000 : of % 4 == 0 ? 4 + of % 60 : 24;

	memset(to, (int)('a' + of % 26), n);
	return str_n(to, n);
}

static void
check_one(struct kv_txn *t, const struct model *m, unsigned table, unsigned key)
{
	char k[16];
	struct str v;
	enum err e = kv_get(t, tables[table], key_of(key, k), &v);

	assert_int_equal(e, m->of[table][key] != 0 ? ERR_OK : ERR_NOTFOUND);
	if (e == ERR_OK)
		assert_true(str_eq(v, value_of(m->of[table][key], value_text)));
}

static void
put_one(struct kv_txn *t, struct model *m, unsigned table, unsigned key)
{
	static unsigned made;
	char k[16];

	m->of[table][key] = ++made;
	assert_int_equal(
		kv_put(t, tables[table], key_of(key, k), value_of(made, value_text)), ERR_OK);
}

static void
del_one(struct kv_txn *t, struct model *m, unsigned table, unsigned key)
{
	char k[16];

	/* one that is not there is no error */
	m->of[table][key] = 0;
	assert_int_equal(kv_del(t, tables[table], key_of(key, k)), ERR_OK);
}

/* A run of keys, each or with gaps, deleted, put or both in turn. */
static void
run(struct kv_txn *t, struct model *m)
{
	unsigned key = pick(KEYS), step = 1 + (pick(3) == 0) * pick(5), kind = pick(4);
	unsigned n = pick(5) == 0 ? KEYS : pick(200);

	for (; n != 0 && key < KEYS; n--, key += step) {
		unsigned table = kind == 3 ? pick(TABLES) : 0;

		if (kind == 0)
			put_one(t, m, table, key);
		else if (kind < 3 || pick(2) != 0)
			del_one(t, m, table, key);
		else
			put_one(t, m, table, key);
		if (pick(8) == 0)
			check_one(t, m, table, pick(2) != 0 ? key : pick(KEYS));
	}
}

static void
change(struct kv_txn *t, struct model *m)
{
	for (unsigned ops = 0; ops < OPS; ops++) {
		unsigned table = pick(TABLES), key = pick(KEYS), kind = pick(100);

		if (kind < 3)
			run(t, m);
		else if (kind < 40)
			put_one(t, m, table, key);
		else if (kind < 75)
			del_one(t, m, table, key);
		else
			check_one(t, m, table, key);
	}
}

static void
check_all(struct kv *kv, const struct model *m, unsigned table)
{
	struct kv_cursor *c;
	struct kv_txn *t;
	struct str k, v;
	char want[16];

	assert_int_equal(kv_read_begin(kv, &t), ERR_OK);
	assert_int_equal(kv_cursor_open(t, tables[table], &c), ERR_OK);
	enum err e = kv_cursor_seek(c, STR("0"), &k, &v);

	for (unsigned key = 0; key < KEYS; key++) {
		if (m->of[table][key] == 0)
			continue;
		assert_int_equal(e, ERR_OK);
		kv_cursor_ahead(c, v);
		assert_true(str_eq(k, key_of(key, want)));
		assert_true(str_eq(v, value_of(m->of[table][key], value_text)));
		e = kv_cursor_next(c, &k, &v);
	}
	assert_int_equal(e, ERR_EOF);
	kv_cursor_close(c);
	kv_read_end(t);
}

static void
test_like_a_model(void **state)
{
	static struct model now, next;
	const struct kv_options o = { .map_bytes = 64 * 1024 * 1024, .create = true };
	char dir[] = "/tmp/kv-test.XXXXXX", path[64], lock[80];
	const char *why = "";
	struct kv_txn *t;
	struct kv *kv;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/index.mdb", dir);
	(void)snprintf(lock, sizeof lock, "%s-lock", path);
	assert_int_equal(kv_open(path, &o, &kv, &why), ERR_OK);
	for (unsigned n = 0; n < TXNS; n++) {
		assert_int_equal(kv_write_begin(kv, &t), ERR_OK);
		next = now;
		change(t, &next);
		if (pick(6) == 0) {
			kv_abort(t);
		} else {
			assert_int_equal(kv_commit(t), ERR_OK);
			now = next;
		}
		for (unsigned table = 0; table < TABLES; table++)
			check_all(kv, &now, table);
	}
	kv_close(kv);
	(void)unlink(path);
	(void)unlink(lock);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
