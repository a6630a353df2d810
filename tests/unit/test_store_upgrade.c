/* Homes of schema 2, made by taking from a home of today what schema 3 brought: opening one makes
 * it a home of today, whatever interrupted that before. */
#include <errno.h>

#include "core/base/codec.h"
#include "core/store/blob.h"
#include "core/store/check.h"
#include "core/store/fault.h"
#include "core/store/record.h"
#include "tests/unit/store_fixture.h"

/* The linker puts it in front of the store's own: once it has no descriptor left. */
static bool no_descriptor;

enum err
__real_blob_open(const char *home, uint64_t id, int *fd_out);
enum err
__wrap_blob_open(const char *home, uint64_t id, int *fd_out);

enum err
__wrap_blob_open(const char *home, uint64_t id, int *fd_out)
{
	if (!no_descriptor)
		return __real_blob_open(home, id, fd_out);
	no_descriptor = false;
	errno = EMFILE;
	return ERR_TEMP;
}

enum { MANY = 700, OLD_SECTIONS = 4, OLD_HEAD = 32 + 4 * OLD_SECTIONS };

static int
setup(void **state)
{
	static struct fix f;

	fix_open(&f);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	fix_close(*state);
	return 0;
}

static void
put_le32(unsigned char *to, uint32_t v)
{
	v = htole32(v);
	memcpy(to, &v, sizeof v);
}

/* The row as version 1 had it: no thread, four sections. */
static size_t
old_row(struct str row, unsigned char out[RECORD_BYTES_MAX])
{
	struct record r;

	assert_int_equal(record_decode(row, &r), ERR_OK);
	memcpy(out, row.p, 32);
	out[0] = 1;
	size_t n = OLD_HEAD;
	for (int i = 0; i < OLD_SECTIONS; i++) {
		put_le32(out + 32 + 4 * i, r.len[i]);
		if ((r.in_cache & 1u << i) != 0)
			continue;
		struct str s;

		assert_int_equal(record_section(&r, STR_EMPTY, (enum record_section)i, &s), ERR_OK);
		memcpy(out + n, s.p, s.n);
		n += s.n;
	}
	return n;
}

static void
old_cache(struct writes *w, struct kv_txn *t, struct str key)
{
	struct str v;

	if (kv_get(t, KV_CACHE, key, &v) != ERR_OK)
		return;
	char *copy = xmalloc(v.n);

	memcpy(copy, v.p, v.n);
	copy[0] = 1;
	writes_put(w, KV_CACHE, key, str_n(copy, v.n));
	free(copy);
}

/* Message rows from number `from` on, and the thread rows that they own. */
static uint64_t
old_rows(struct writes *w, struct kv_txn *t, size_t from)
{
	struct kv_cursor *c;
	struct str key, v;
	uint64_t first = UINT64_MAX;
	size_t n = 0;

	assert_int_equal(kv_cursor_open(t, KV_MESSAGE, &c), ERR_OK);
	for (enum err e = kv_cursor_seek(c, STR("\x00"), &key, &v); e == ERR_OK;
		e = kv_cursor_next(c, &key, &v)) {
		unsigned char row[RECORD_BYTES_MAX];

		if (n++ < from)
			continue;
		if (first == UINT64_MAX)
			first = be64_at(key, 0);
		writes_put(w, KV_MESSAGE, key, str_n(row, old_row(v, row)));
		old_cache(w, t, key);
	}
	kv_cursor_close(c);
	assert_int_equal(kv_cursor_open(t, KV_THREAD, &c), ERR_OK);
	for (enum err e = kv_cursor_seek(c, STR("\x00"), &key, &v); e == ERR_OK;
		e = kv_cursor_next(c, &key, &v)) {
		uint64_t owner;

		memcpy(&owner, v.p + 8, sizeof owner);
		if (le64toh(owner) >= first)
			writes_del(w, KV_THREAD, key);
	}
	kv_cursor_close(c);
	return first;
}

/* Leaves no room in the map that a new handle has. */
static void
fill(const char *index)
{
	static char filler[32 * 1024];
	const char *why;
	struct kv *kv;
	struct kv_txn *t;
	enum err e = ERR_OK;

	assert_int_equal(
		kv_open(index, &(struct kv_options){ .map_bytes = 64 * 1024 }, &kv, &why), ERR_OK);
	for (int i = 0; e == ERR_OK; i++) {
		char key[32];

		assert_true(i < 10000);
		(void)snprintf(key, sizeof key, "filler %d", i);
		assert_int_equal(kv_write_begin(kv, &t), ERR_OK);
		e = kv_put(t, KV_DELIVERED, str_of(key), str_n(filler, sizeof filler));
		if (e == ERR_OK)
			e = kv_commit(t);
		else
			kv_abort(t);
	}
	assert_int_equal(e, ERR_LIMIT);
	kv_close(kv);
}

/* Stops the store, makes the index an old one, starts the store. */
static void
go_back(struct fix *f, size_t from, bool full)
{
	uint64_t two = htole64(2);
	struct writes *w = writes_new();
	char index[160];
	const char *why;
	struct kv *kv;
	struct kv_txn *t;

	fix_stop(f);
	(void)snprintf(index, sizeof index, "%s/u/alice/index.mdb", f->dir);
	assert_int_equal(
		kv_open(index, &(struct kv_options){ .map_bytes = 64 << 20 }, &kv, &why), ERR_OK);
	assert_int_equal(kv_write_begin(kv, &t), ERR_OK);
	(void)old_rows(w, t, from);
	writes_put(w, KV_META, STR("schema"), str_n(&two, sizeof two));
	assert_int_equal(writes_apply(w, t), ERR_OK);
	assert_int_equal(kv_commit(t), ERR_OK);
	kv_close(kv);
	writes_free(w);
	if (full)
		fill(index);
	fix_start(f);
}

static size_t problems;

static void
on_problem(void *arg, const char *kind, const char *text)
{
	(void)arg;
	problems++;
	print_error("%s: %s\n", kind, text);
}

static void
expect_clean(struct fix *f)
{
	struct check_counts counts;
	char home[160];

	fix_stop(f);
	(void)snprintf(home, sizeof home, "%s/u/alice", f->dir);
	problems = 0;
	assert_int_equal(
		store_check(home, &(struct check_options){ 0 }, on_problem, NULL, &counts), ERR_OK);
	assert_int_equal(problems, 0);
	fix_start(f);
}

struct seen {
	uint64_t msg, thread;
	char preview[64];
	size_t envelope, structure, fields;
};

static void
look(struct fix *f, uint32_t uid, struct seen *out)
{
	struct txn *t = fix_read(f, f->home);
	struct entry entry;
	struct message m;
	struct str s;

	assert_int_equal(entry_get(t, f->appended.mailbox, uid, &entry), ERR_OK);
	assert_int_equal(message_get(t, entry.msg, &m), ERR_OK);
	*out = (struct seen){ .msg = entry.msg, .thread = m.thread };
	assert_int_equal(message_preview(&m, &s), ERR_OK);
	(void)snprintf(out->preview, sizeof out->preview, "%.*s", STR_FMT(s));
	assert_int_equal(message_envelope(&m, &s), ERR_OK);
	out->envelope = s.n;
	assert_int_equal(message_bodystructure(&m, &s), ERR_OK);
	out->structure = s.n;
	assert_int_equal(message_fields(&m, &s), ERR_OK);
	out->fields = s.n;
	fix_read_end(t);
}

static void
expect_same(const struct seen *a, const struct seen *b)
{
	assert_int_equal(a->msg, b->msg);
	assert_int_equal(a->thread, b->thread);
	assert_string_equal(a->preview, b->preview);
	assert_int_equal(a->envelope, b->envelope);
	assert_int_equal(a->structure, b->structure);
	assert_int_equal(a->fields, b->fields);
}

/* Everything as it was, threads too, from no message converted to all but the last one. */
static void
test_upgrade(void **state)
{
	struct fix *f = *state;
	struct seen before[5], after;
	struct buf long_header;

	buf_init(&long_header, 64 * 1024);
	buf_addz(&long_header, "Message-ID: <c@x>\r\nReferences: <b@x>\r\nTo: ");
	for (int i = 0; i < 300; i++)
		buf_addf(&long_header, "user%d@example.org,\r\n ", i);
	buf_addz(&long_header, "last@example.org\r\n\r\nlong\r\n");
	const char *const messages[] = { "Message-ID: <a@x>\r\n\r\nfirst\r\n",
		"Message-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\n\r\nsecond\r\n", buf_z(&long_header),
		"Message-ID: <d@x>\r\n\r\nalone\r\n", "" };

	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		assert_int_equal(fix_append(f, "INBOX", 0, NULL, messages[i]), ERR_OK);
	for (uint32_t i = 0; i < ARRAY_LEN(before); i++)
		look(f, i + 1, &before[i]);
	assert_int_equal(before[0].thread, before[2].thread);
	assert_string_equal(before[1].preview, "second");
	for (size_t from = 0; from < ARRAY_LEN(messages); from++) {
		go_back(f, from, false);
		for (uint32_t i = 0; i < ARRAY_LEN(before); i++) {
			look(f, i + 1, &after);
			expect_same(&before[i], &after);
		}
		expect_clean(f);
	}
	/* what comes in afterwards joins in */
	assert_int_equal(
		fix_append(f, "INBOX", 0, NULL, "In-Reply-To: <c@x>\r\n\r\nx\r\n"), ERR_OK);
	look(f, (uint32_t)ARRAY_LEN(messages) + 1, &after);
	assert_int_equal(after.thread, before[0].thread);
	buf_fini(&long_header);
}

/* Several commits, and a map without room. */
static void
test_upgrade_many(void **state)
{
	struct fix *f = *state;
	struct seen seen;
	char msg[1500];
	uint64_t thread = 0;

	for (int i = 0; i < MANY; i++) {
		int n = snprintf(msg, sizeof msg,
			"Message-ID: <m%d@x>\r\nIn-Reply-To: <m%d@x>\r\nSubject: ", i, i - 1);

		memset(msg + n, 's', 1000);
		(void)snprintf(
			msg + n + 1000, sizeof msg - (size_t)n - 1000, "\r\n\r\ntext %d\r\n", i);
		assert_int_equal(fix_append(f, "INBOX", 0, NULL, msg), ERR_OK);
	}
	go_back(f, 0, true);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(msg, sizeof msg, "text %d", i);
		look(f, (uint32_t)i + 1, &seen);
		assert_string_equal(seen.preview, msg);
		if (i == 0)
			thread = seen.thread;
		assert_int_equal(seen.thread, thread);
	}
	expect_clean(f);
}

static void
file_of(const struct fix *f, const struct seen *seen, char out[BLOB_PATH_MAX])
{
	char home[160];

	(void)snprintf(home, sizeof home, "%s/u/alice", f->dir);
	assert_int_equal(blob_path(home, seen->msg, out), ERR_OK);
}

/* A message whose file cannot be read keeps what its row says, and the home opens. */
static void
test_upgrade_unreadable(void **state)
{
	enum { GOOD, SECTOR, SHORT, GONE, LINK, MESSAGES };
	struct fix *f = *state;
	struct seen before[MESSAGES], after;
	char file[BLOB_PATH_MAX];
	struct buf b;

	buf_init(&b, 64 * 1024);
	for (int i = 0; i < MESSAGES; i++) {
		buf_reset(&b);
		buf_addf(&b, "Message-ID: <%d@x>\r\nIn-Reply-To: <%d@x>\r\nTo: ", i, i - 1);
		/* those of odd numbers have rows in the cache */
		for (int n = 0; n < 300 * (i % 2); n++)
			buf_addf(&b, "user%d@example.org,\r\n ", n);
		buf_addz(&b, "last@example.org\r\n\r\ntext\r\n");
		assert_int_equal(fix_append(f, "INBOX", 0, NULL, buf_z(&b)), ERR_OK);
		look(f, (uint32_t)i + 1, &before[i]);
	}
	buf_fini(&b);
	go_back(f, 0, false);
	file_of(f, &before[SHORT], file);
	assert_int_equal(truncate(file, 20), 0);
	file_of(f, &before[GONE], file);
	assert_int_equal(unlink(file), 0);
	file_of(f, &before[LINK], file);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(symlink("/dev/null", file), 0);
#if STORE_FAULTS
	fault_arm(FAULT_READ, SECTOR + 1);
#endif
	for (int i = 0; i < MESSAGES; i++) {
		bool read = i == GOOD || (i == SECTOR && !STORE_FAULTS);

		look(f, (uint32_t)i + 1, &after);
		assert_string_equal(after.preview, read ? "text" : "");
		memcpy(after.preview, before[i].preview, sizeof after.preview);
		expect_same(&before[i], &after);
	}
	/* one is short, and two are not there */
	fix_check(f, 3);
}

/* What is wrong with this process only goes by: nothing is given up for it. */
static void
test_upgrade_later(void **state)
{
	struct fix *f = *state;
	struct seen before, after;

	assert_int_equal(fix_append(f, "INBOX", 0, NULL, "A: b\r\n\r\ntext\r\n"), ERR_OK);
	look(f, 1, &before);
	go_back(f, 0, false);
	no_descriptor = true;
	assert_int_equal(fix_pin(f, f->home), ERR_TEMP);
	assert_false(no_descriptor);
	fix_stop(f);
	fix_start(f);
	look(f, 1, &after);
	expect_same(&before, &after);
	expect_clean(f);
}

/* A row that cannot be read is made of the file all the same. */
static void
test_upgrade_damaged_row(void **state)
{
	struct fix *f = *state;
	struct seen before, after;
	char index[160];
	const char *why;
	struct kv *kv;
	struct kv_txn *t;
	struct key k;

	assert_int_equal(fix_append(f, "INBOX", 0, NULL, "A: b\r\n\r\ntext\r\n"), ERR_OK);
	look(f, 1, &before);
	go_back(f, 0, false);
	fix_stop(f);
	(void)snprintf(index, sizeof index, "%s/u/alice/index.mdb", f->dir);
	assert_int_equal(
		kv_open(index, &(struct kv_options){ .map_bytes = 64 << 20 }, &kv, &why), ERR_OK);
	assert_int_equal(kv_write_begin(kv, &t), ERR_OK);
	assert_int_equal(kv_put(t, KV_MESSAGE, key_id(&k, before.msg), STR("\x01?")), ERR_OK);
	assert_int_equal(kv_commit(t), ERR_OK);
	kv_close(kv);
	fix_start(f);
	look(f, 1, &after);
	expect_same(&before, &after);
	expect_clean(f);
}

/* Garbage without a file does not hold it up; the check says what an old home is. */
static void
test_upgrade_odd(void **state)
{
	struct fix *f = *state;
	char home[160], file[BLOB_PATH_MAX];
	struct check_counts counts;
	struct seen seen;

	assert_int_equal(
		fix_append(f, "INBOX", FLAG_DELETED, NULL, "A: b\r\n\r\ngone\r\n"), ERR_OK);
	look(f, 1, &seen);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, "A: b\r\n\r\nstays\r\n"), ERR_OK);
	assert_int_equal(fix_expunge(f, f->appended.mailbox, NULL), ERR_OK);
	(void)snprintf(home, sizeof home, "%s/u/alice", f->dir);
	assert_int_equal(blob_path(home, seen.msg, file), ERR_OK);
	assert_int_equal(unlink(file), 0);
	go_back(f, 0, false);
	fix_stop(f);
	problems = 0;
	assert_int_equal(
		store_check(home, &(struct check_options){ 0 }, on_problem, NULL, &counts), ERR_OK);
	assert_int_equal(problems, 1);
	fix_start(f);
	look(f, 2, &seen);
	assert_string_equal(seen.preview, "stays");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade_odd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade_damaged_row, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
