/* The check of a home: nothing in a healthy one, and each of these planted damages by its name:
 *  1 a message file is missing            2 a message file is cut short
 *  3 a file that nothing names            4 a wrong message count
 *  5 a wrong unseen count                 6 an entry whose message row is gone
 *  7 a reference count too low            8 … too high
 *  9 a UID missing from the bitmap       10 one too many in the bitmap
 * 11 an unseen bit that is wrong         12 a modseq above the mailbox's highest
 * 13 uidnext not above the last UID      14 a name that leads to no mailbox
 * 15 a mailbox without a name            16 a damaged cache row
 * 17 a damaged message record            18 garbage that is still referenced
 * 19 a keyword bit without a name        20 rows of a mailbox that is not there
 * 21 an index of another version         22 an id of a message that is not there
 * 23 a damaged id row                    24 a message without a thread
 * 25 an annotation cut short              26 … of a version that was not yet */
#include <fcntl.h>
#include <sys/stat.h>

#include "core/store/blob.h"
#include "core/store/check.h"
#include "core/store/record.h"
#include "tests/unit/store_fixture.h"

enum { PARTS = 60 };

struct damage {
	struct kv *kv;
	struct kv_txn *t;
	struct txn txn;
	struct writes *w;
	const char *home;
	uint32_t inbox;
	struct entry first, last; /* of INBOX; the last is large and has a cache row */
};

static void
file_of(const struct damage *d, char out[BLOB_PATH_MAX])
{
	assert_int_equal(blob_path(d->home, d->first.msg, out), ERR_OK);
}

static void
body_missing(struct damage *d)
{
	char path[BLOB_PATH_MAX];

	file_of(d, path);
	assert_int_equal(unlink(path), 0);
}

static void
body_truncated(struct damage *d)
{
	char path[BLOB_PATH_MAX];

	file_of(d, path);
	assert_int_equal(truncate(path, 3), 0);
}

static void
body_orphan(struct damage *d)
{
	char path[BLOB_PATH_MAX];

	/* What makes it old is the clock of the check: see check_damage. */
	assert_int_equal(blob_path(d->home, blob_id_new(clock_wall_ms()), path), ERR_OK);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void
row_edit(struct damage *d, void (*edit)(struct mailbox_row *row))
{
	struct mailbox_row row;

	assert_int_equal(mailbox_row_get(&d->txn, d->inbox, &row), ERR_OK);
	edit(&row);
	mailbox_row_put(&d->txn, &row);
}

static void
more_messages(struct mailbox_row *row)
{
	row->messages++;
}

static void
fewer_unseen(struct mailbox_row *row)
{
	row->unseen--;
}

static void
lower_modseq(struct mailbox_row *row)
{
	row->highestmodseq = 1;
}

static void
lower_uidnext(struct mailbox_row *row)
{
	row->uidnext--;
	row->recent_from = 1;
}

static void
count_messages(struct damage *d)
{
	row_edit(d, more_messages);
}

static void
count_unseen(struct damage *d)
{
	row_edit(d, fewer_unseen);
}

static void
modseq_high(struct damage *d)
{
	row_edit(d, lower_modseq);
}

static void
uidnext_low(struct damage *d)
{
	row_edit(d, lower_uidnext);
}

static void
message_missing(struct damage *d)
{
	struct key k;

	writes_del(d->w, KV_MESSAGE, key_id(&k, d->first.msg));
	body_missing(d);
}

static void
ref_low(struct damage *d)
{
	struct key k;

	writes_del(d->w, KV_REF, key_id(&k, d->first.msg));
}

static void
ref_high(struct damage *d)
{
	uint64_t msg = d->first.msg;

	assert_int_equal(refs_add(&d->txn, &msg, 1), ERR_OK);
}

static void
bitmap(struct damage *d, uint32_t uid, bool exists, bool unseen)
{
	struct chunk_edit c = { .loaded = false };

	assert_int_equal(chunk_edit_set(&c, &d->txn, d->inbox, uid, exists, unseen), ERR_OK);
	chunk_edit_flush(&c, &d->txn);
}

static void
uids_missing(struct damage *d)
{
	bitmap(d, d->first.uid, false, false);
}

static void
uids_extra(struct damage *d)
{
	bitmap(d, d->last.uid + 5, true, false);
}

static void
uids_extra_chunk(struct damage *d)
{
	bitmap(d, 10 * CHUNK_UIDS, true, false);
}

static void
uids_unseen(struct damage *d)
{
	bitmap(d, d->first.uid, true, (d->first.flags & FLAG_SEEN) != 0);
}

static void
name_dangling(struct damage *d)
{
	struct key k;
	uint32_t id = htole32(999);

	assert_int_equal(key_name(&k, 0, STR("Ghost")), ERR_OK);
	writes_put(d->w, KV_NAME, key_str(&k), str_n(&id, sizeof id));
}

static void
mailbox_unnamed(struct damage *d)
{
	struct key k;

	assert_int_equal(key_name(&k, 0, STR("Junk")), ERR_OK);
	writes_del(d->w, KV_NAME, key_str(&k));
}

static void
cut_row(struct damage *d, enum kv_table table, uint64_t id)
{
	struct key k;
	struct str v;

	assert_int_equal(kv_get(d->t, table, key_id(&k, id), &v), ERR_OK);
	writes_put(d->w, table, key_id(&k, id), str_sub(v, 0, v.n - 1));
}

static void
cache_damaged(struct damage *d)
{
	cut_row(d, KV_CACHE, d->last.msg);
}

static void
cache_missing(struct damage *d)
{
	struct key k;

	writes_del(d->w, KV_CACHE, key_id(&k, d->last.msg));
}

static void
record_damaged(struct damage *d)
{
	cut_row(d, KV_MESSAGE, d->first.msg);
}

static void
garbage_referenced(struct damage *d)
{
	uint64_t since = 0;
	struct key k;

	writes_put(d->w, KV_GARBAGE, key_id(&k, d->last.msg), str_n(&since, sizeof since));
}

static void
keyword_unnamed(struct damage *d)
{
	d->first.keywords |= (uint64_t)1 << 40;
	entry_put(&d->txn, d->inbox, &d->first);
}

static void
row_homeless(struct damage *d)
{
	entry_put(&d->txn, 4711, &d->first);
}

static void
put_metadata(struct damage *d, struct str row)
{
	struct key k = { .n = 0 };

	key_u32(&k, d->inbox);
	memcpy(k.b + k.n, "/private/a", 10);
	k.n += 10;
	writes_put(d->w, KV_METADATA, key_str(&k), row);
}

static void
metadata_short(struct damage *d)
{
	put_metadata(d, STR("=\0\0\0"));
}

static void
metadata_early(struct damage *d)
{
	put_metadata(d, STR("=\0\0\0\0\0\0\0\1value"));
}

static void
schema(struct damage *d)
{
	meta_put(&d->txn, "schema", 1);
}

static void
put_thread(struct damage *d, size_t n)
{
	uint64_t row[2] = { htole64(d->first.msg), htole64(d->first.msg + 1) };
	struct key k;

	writes_put(d->w, KV_THREAD, key_id(&k, 4711), str_n(row, n));
}

static void
thread_orphan(struct damage *d)
{
	put_thread(d, 16);
}

static void
thread_damaged(struct damage *d)
{
	put_thread(d, 15);
}

static void
thread_missing(struct damage *d)
{
	unsigned char row[RECORD_BYTES_MAX];
	struct key k;
	struct str v;

	assert_int_equal(kv_get(d->t, KV_MESSAGE, key_id(&k, d->first.msg), &v), ERR_OK);
	assert_int_equal(record_join(v, 0, row), ERR_OK);
	writes_put(d->w, KV_MESSAGE, key_id(&k, d->first.msg), str_n(row, v.n));
}

static const struct {
	const char *kind;
	void (*plant)(struct damage *d);
} damages[] = {
	{ "body-missing", body_missing },
	{ "body-size", body_truncated },
	{ "body-orphan", body_orphan },
	{ "count-messages", count_messages },
	{ "count-unseen", count_unseen },
	{ "message-missing", message_missing },
	{ "ref-low", ref_low },
	{ "ref-high", ref_high },
	{ "uids-missing", uids_missing },
	{ "uids-extra", uids_extra },
	{ "uids-extra", uids_extra_chunk },
	{ "uids-unseen", uids_unseen },
	{ "modseq-high", modseq_high },
	{ "uidnext-low", uidnext_low },
	{ "name-dangling", name_dangling },
	{ "mailbox-unnamed", mailbox_unnamed },
	{ "cache-damaged", cache_damaged },
	{ "cache-missing", cache_missing },
	{ "record-damaged", record_damaged },
	{ "garbage-referenced", garbage_referenced },
	{ "keyword-unnamed", keyword_unnamed },
	{ "row-homeless", row_homeless },
	{ "metadata-damaged", metadata_short },
	{ "metadata-damaged", metadata_early },
	{ "schema", schema },
	{ "thread-orphan", thread_orphan },
	{ "thread-damaged", thread_damaged },
	{ "thread-missing", thread_missing },
};

struct told {
	const char *want;
	bool found;
	char all[2048];
};

static void
on_problem(void *arg, const char *kind, const char *text)
{
	struct told *told = arg;
	size_t at = strlen(told->all);

	told->found |= told->want != NULL && strcmp(kind, told->want) == 0;
	(void)snprintf(told->all + at, sizeof told->all - at, "%s: %s\n", kind, text);
}

static void
copy_home(const char *from, const char *to)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/cp", "cp", "-r", from, to, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
plant(const char *home, void (*fn)(struct damage *d))
{
	struct damage d = { .home = home, .inbox = 1 };
	char index[256];
	const char *why;
	struct entry_scan s;
	struct entry e;

	(void)snprintf(index, sizeof index, "%s/index.mdb", home);
	assert_int_equal(
		kv_open(index, &(struct kv_options){ .map_bytes = 16 << 20 }, &d.kv, &why), ERR_OK);
	assert_int_equal(kv_write_begin(d.kv, &d.t), ERR_OK);
	d.w = writes_new();
	d.txn = (struct txn){ .kv = d.t, .writes = d.w };
	assert_int_equal(entry_scan_begin(&s, &d.txn, d.inbox, 1), ERR_OK);
	while (entry_scan_next(&s, &e) == ERR_OK) {
		if (d.first.uid == 0)
			d.first = e;
		d.last = e;
	}
	entry_scan_end(&s);
	assert_true(d.last.uid > d.first.uid);
	fn(&d);
	assert_int_equal(writes_apply(d.w, d.t), ERR_OK);
	assert_int_equal(kv_commit(d.t), ERR_OK);
	writes_free(d.w);
	kv_close(d.kv);
}

/* A message whose structure does not fit into its record. */
static char *
large_message(void)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_addz(&b, "Subject: many parts\r\nMIME-Version: 1.0\r\n"
		     "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	for (int i = 0; i < PARTS; i++)
		buf_addf(&b,
			"--b\r\nContent-Type: text/plain; charset=utf-8; name=part%d\r\n\r\nx\r\n",
			i);
	buf_addz(&b, "--b--\r\n");
	char *z = str_dup(buf_str(&b));

	buf_fini(&b);
	return z;
}

static void
make_home(struct fix *f)
{
	static const char small[] = "Subject: a\r\n\r\nbody\r\n";
	struct uidset set = { 0 };
	char *large = large_message();

	assert_int_equal(fix_append(f, "INBOX", FLAG_SEEN, "$Kept", small), ERR_OK);
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			fix_append(f, "INBOX", i == 3 ? FLAG_DELETED : 0, NULL, small), ERR_OK);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, large), ERR_OK);
	assert_int_equal(fix_create(f, "a/b"), ERR_OK);
	assert_int_equal(fix_append(f, "a/b", 0, "$Deep", small), ERR_OK);
	uidset_add(&set, 1, 3);
	assert_int_equal(fix_copy(f, 1, &set, "a/b", false), ERR_OK);
	assert_int_equal(fix_copy(f, 1, &set, "Trash", false), ERR_OK);
	uidset_reset(&set);
	uidset_add(&set, 3, 3);
	assert_int_equal(fix_copy(f, 1, &set, "Sent", true), ERR_OK);
	assert_int_equal(fix_expunge(f, 1, NULL), ERR_OK);
	assert_int_equal(fix_delete(f, "Sent"), ERR_OK);
	assert_int_equal(fix_rename(f, "a", "z"), ERR_OK);
	uidset_fini(&set);
	free(large);
}

static void
check_damage(const char *home, const char *kind, void (*fn)(struct damage *d))
{
	struct told told = { .want = kind };
	struct check_counts counts;
	const struct check_options o = { .read_bodies = true,
		.age_sec = fn == body_orphan ? -1 : 0 };

	if (fn != NULL)
		plant(home, fn);
	assert_int_equal(store_check(home, &o, on_problem, &told, &counts), ERR_OK);
	if (fn == NULL && counts.problems > 0)
		fail_msg("a healthy home: %s", told.all);
	if (fn != NULL && !told.found)
		fail_msg("%s was not found; told: %s", kind, told.all);
}

static void
test_damages(void **state)
{
	struct fix f;
	char home[128], copy[160];

	(void)state;
	fix_open(&f);
	make_home(&f);
	fix_stop(&f);
	f.home = NULL;
	(void)snprintf(home, sizeof home, "%s/u/alice", f.dir);
	check_damage(home, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		(void)snprintf(copy, sizeof copy, "%s/copy%zu", f.dir, i);
		copy_home(home, copy);
		check_damage(copy, damages[i].kind, damages[i].plant);
	}
	fix_start(&f);
	fix_close(&f);
}

/* An old orphan is unlinked when asked; a young one and what is named stay. */
static void
test_repair(void **state)
{
	struct fix f;
	struct check_counts counts;
	char home[128];
	struct told told = { .want = "body-orphan" };
	const struct check_options young = { .repair_orphans = true },
				   old = { .repair_orphans = true, .age_sec = -1 };

	(void)state;
	fix_open(&f);
	make_home(&f);
	fix_stop(&f);
	f.home = NULL;
	(void)snprintf(home, sizeof home, "%s/u/alice", f.dir);
	plant(home, body_orphan);
	assert_int_equal(store_check(home, &young, on_problem, &told, &counts), ERR_OK);
	assert_int_equal(counts.problems, 0);
	assert_int_equal(store_check(home, &old, on_problem, &told, &counts), ERR_OK);
	assert_int_equal(counts.problems, 1);
	assert_int_equal(counts.orphans_removed, 1);
	assert_int_equal(store_check(home, &old, on_problem, &told, &counts), ERR_OK);
	assert_int_equal(counts.problems, 0);
	assert_int_equal(
		store_check("/nonexistent/home", &old, on_problem, &told, &counts), ERR_NOTFOUND);
	fix_start(&f);
	fix_close(&f);
}

/* An index that is no index. */
static void
test_unreadable(void **state)
{
	struct fix f;
	struct check_counts counts;
	char index[160], home[128];
	struct told told = { .want = "index-unreadable" };
	const struct check_options o = { .read_bodies = true };

	(void)state;
	fix_open(&f);
	make_home(&f);
	fix_stop(&f);
	(void)snprintf(home, sizeof home, "%s/u/alice", f.dir);
	(void)snprintf(index, sizeof index, "%s/index.mdb", home);
	int fd = open(index, O_WRONLY);

	assert_true(fd >= 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pwrite(fd, "garbage garbage garbage garbage", 31, i * 4096), 31);
	close(fd);
	assert_int_equal(store_check(home, &o, on_problem, &told, &counts), ERR_CORRUPT);
	assert_true(told.found);
	/* The store says so too, and goes on living. */
	fix_start(&f);
	assert_int_not_equal(fix_pin(&f, f.home), ERR_OK);
	fix_close(&f);
}

/* A link out of the home where a month's folder is expected: what lies behind it is not ours to
 * count or to unlink; a plain file there is passed over. */
static void
test_planted_link(void **state)
{
	const struct check_options o = {
		.read_bodies = true, .age_sec = -1, .repair_orphans = true
	};
	struct check_counts counts;
	struct fix f;
	char home[128], other[128], path[192];

	(void)state;
	fix_open(&f);
	make_home(&f);
	fix_stop(&f);
	f.home = NULL;
	(void)snprintf(home, sizeof home, "%s/u/alice", f.dir);
	(void)snprintf(other, sizeof other, "%s/other", f.dir);
	assert_int_equal(mkdir(other, 0700), 0);
	(void)snprintf(path, sizeof path, "%s/0123456789abcdef", other);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	(void)snprintf(path, sizeof path, "%s/msg/2020-01", home);
	assert_int_equal(symlink(other, path), 0);
	(void)snprintf(path, sizeof path, "%s/msg/README", home);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(store_check(home, &o, NULL, NULL, &counts), ERR_OK);
	assert_int_equal(counts.problems, 0);
	(void)snprintf(path, sizeof path, "%s/0123456789abcdef", other);
	assert_int_equal(access(path, F_OK), 0);
	fix_start(&f);
	fix_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damages),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_planted_link),
		cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
