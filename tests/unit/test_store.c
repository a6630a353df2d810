/* The store through its public calls: appending, flags, copies, mailboxes, views. */
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/store/blob.h"
#include "core/store/sweep.h"
#include "tests/unit/store_fixture.h"

enum { WAITS = 2000 }; /* looks at what goes on behind, before it counts as stuck */

static const char hello[] = "From: Ann <ann@example.org>\r\n"
			    "To: bob@example.org\r\n"
			    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
			    "Date: Sat, 21 Nov 2026 08:00:00 +0100\r\n"
			    "Message-ID: <1@example.org>\r\n"
			    "X-Other: not kept\r\n"
			    "\r\n"
			    "Hello\r\n";

/* Two of one millisecond, or of a clock that was set back a little, keep their order. */
static void
test_ids(void **state)
{
	int64_t now = clock_wall_ms() + 60 * 1000;
	uint64_t last = blob_id_new(now), id;

	(void)state;
	assert_int_equal(blob_id_ms(last), now);
	for (int i = 0; i < 2000; i++) {
		id = blob_id_new(i % 3 == 0 ? now - 900 : now);
		assert_true(id > last);
		last = id;
	}
	assert_in_range(blob_id_ms(id), now, now + 1);
	assert_int_equal(blob_id_ms(blob_id_new(now - 5000)), now - 5000);
	assert_int_equal(blob_id_ms(blob_id_new(now + 7)), now + 7);
}

static void
test_append(void **state)
{
	struct fix *f = *state;
	struct mailbox_info info;
	struct entry entry;
	struct message m;
	struct mime mime;
	struct str s;
	int fd;
	char b[sizeof hello + 10];

	assert_int_equal(fix_append(f, "INBOX", FLAG_SEEN, "$Work", hello), ERR_OK);
	assert_int_equal(f->appended.uid, 1);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(f->appended.uid, 2);
	assert_int_equal(fix_append(f, "nowhere", 0, NULL, hello), ERR_NOTFOUND);
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(mailbox_find(t, STR("INBOX"), &info), ERR_OK);
	assert_int_equal(info.messages, 2);
	assert_int_equal(info.unseen, 1);
	assert_int_equal(info.uidnext, 3);
	assert_int_equal(info.highestmodseq, 3);
	assert_int_equal(entry_get(t, info.id, 1, &entry), ERR_OK);
	assert_int_equal(entry.flags, FLAG_SEEN);
	assert_int_equal(entry.keywords, 1);
	assert_int_equal(entry.size, sizeof hello - 1);
	assert_int_equal(message_get(t, entry.msg, &m), ERR_OK);
	assert_int_equal(m.size, sizeof hello - 1);
	assert_true(m.has_sent);
	assert_int_equal(m.sent_sec, 1795244400);
	assert_int_equal(m.sent_zone_min, 60);
	assert_int_equal(message_envelope(&m, &s), ERR_OK);
	assert_true(str_starts(s, STR("(\"Sat, 21 Nov 2026 08:00:00 +0100\" ")));
	assert_int_equal(message_field(&m, STR("subject"), &s), ERR_OK);
	assert_true(str_eq(s, STR("=?utf-8?q?Gr=C3=BC=C3=9Fe?=")));
	assert_int_equal(message_field(&m, STR("X-Other"), &s), ERR_NOTFOUND);
	assert_true(message_field_kept(STR("MESSAGE-id")));
	assert_false(message_field_kept(STR("X-Other")));
	assert_int_equal(message_bodystructure(&m, &s), ERR_OK);
	assert_true(str_istarts(s, STR("(\"text\" \"plain\"")));
	assert_int_equal(message_mime(&m, &mime), ERR_OK);
	assert_int_equal(mime.n, 1);
	assert_int_equal(mime.parts[0].body_len, 7);
	mime_fini(&mime);
	uint64_t id = entry.msg;

	fix_read_end(t);
	assert_int_equal(message_open(f->home, id, true, &fd), ERR_OK);
	assert_int_equal(read(fd, b, sizeof b), sizeof hello - 1);
	assert_memory_equal(b, hello, sizeof hello - 1);
	close(fd);
	assert_int_equal(message_open(f->home, 12345, true, &fd), ERR_NOTFOUND);
}

/* Ids in any order, far apart, twice, and such as are not there: as one by one. */
static void
test_scan(void **state)
{
	struct fix *f = *state;
	enum { SIDE = 40 };
	uint64_t ids[SIDE + 3];
	struct message_scan scan;
	struct message some[MESSAGE_SOME_MAX], one;
	struct entry entry;

	for (int i = 0; i < SIDE; i++)
		assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	struct txn *t = fix_read(f, f->home);

	for (uint32_t i = 0; i < SIDE; i++) {
		assert_int_equal(entry_get(t, f->appended.mailbox, i + 1, &entry), ERR_OK);
		ids[i] = entry.msg;
	}
	ids[SIDE] = 0;
	ids[SIDE + 1] = 1;
	ids[SIDE + 2] = UINT64_MAX;
	assert_int_equal(message_scan_begin(&scan, t), ERR_OK);
	for (unsigned step = 1; step < 20; step++) {
		enum message_part part = step % 2 == 0 ? MESSAGE_FIELDS : MESSAGE_ENVELOPE;
		uint64_t asked[MESSAGE_SOME_MAX];

		for (unsigned i = 0; i < MESSAGE_SOME_MAX; i++)
			asked[i] = ids[i * step % ARRAY_LEN(ids)];
		assert_int_equal(
			message_scan_some(&scan, asked, MESSAGE_SOME_MAX, part, some), ERR_OK);
		for (unsigned i = 0; i < MESSAGE_SOME_MAX; i++) {
			enum err e = message_get(t, asked[i], &one);

			assert_int_equal(some[i].id, e == ERR_OK ? asked[i] : 0);
			assert_int_equal(message_scan_get(&scan, asked[i], &one), e);
			if (e == ERR_OK)
				assert_int_equal(some[i].sent_sec, 1795244400);
		}
	}
	message_scan_end(&scan);
	fix_read_end(t);
}

/* A body beyond what is kept in memory comes back octet for octet. */
static void
test_append_large(void **state)
{
	struct fix *f = *state;
	size_t n = 3 * 1024 * 1024 + 17;
	char *msg = xmalloc(n), *got = xmalloc(n);
	struct body *b = body_new(f->home, n);
	struct entry entry;
	int fd;
	enum err e = ERR_OK;

	for (size_t i = 0; i < n; i++)
		msg[i] = (char)(i % 61 == 0 ? '\n' : 'a' + i % 26);
	for (size_t i = 0; i < n; i += 100000) {
		e = body_write(b, str_sub(str_n(msg, n), i, 100000));
		assert_true(e == ERR_OK || e == ERR_AGAIN);
		if (e == ERR_AGAIN)
			fix_sleep(f, 5);
	}
	assert_int_equal(body_size(b), n);
	(void)store_append(f->home, &(struct append_args){ .mailbox = STR("INBOX"), .body = b },
		fix_on_append, f);
	assert_int_equal(fix_wait(f), ERR_OK);
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(entry_get(t, f->appended.mailbox, f->appended.uid, &entry), ERR_OK);
	assert_int_equal(entry.size, n);
	fix_read_end(t);
	assert_int_equal(message_open(f->home, entry.msg, true, &fd), ERR_OK);
	assert_int_equal(pread(fd, got, n, 0), n);
	assert_memory_equal(got, msg, n);
	close(fd);
	free(got);
	free(msg);
	/* Above its maximum it is refused, and no file stays. */
	b = body_new(f->home, 10);
	assert_int_equal(body_write(b, STR("0123456789")), ERR_OK);
	assert_int_equal(body_write(b, STR("0")), ERR_LIMIT);
	body_free(b);
}

static void
test_flags(void **state)
{
	struct fix *f = *state;
	struct uidset all = { 0 }, some = { 0 };
	struct mailbox_info info;
	struct keywords kw;

	for (int i = 0; i < 5; i++)
		assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	uint32_t id = fix_id(f, "INBOX");

	uidset_add(&all, 1, UINT32_MAX);
	uidset_add(&some, 2, 3);
	assert_int_equal(fix_flags(f, id, &some, FLAGS_ADD, FLAG_SEEN, "$Label1", 0), ERR_OK);
	assert_int_equal(uidset_count(&f->flagged.changed), 2);
	uint64_t modseq = f->flagged.modseq;

	assert_int_equal(fix_flags(f, id, &some, FLAGS_ADD, FLAG_SEEN, "$label1", 0), ERR_OK);
	assert_int_equal(uidset_count(&f->flagged.changed), 0);
	assert_int_equal(f->flagged.modseq, 0);
	assert_int_equal(
		fix_flags(f, id, &all, FLAGS_REPLACE, FLAG_DRAFT, NULL, modseq - 1), ERR_OK);
	assert_int_equal(uidset_count(&f->flagged.changed), 3);
	assert_int_equal(uidset_count(&f->flagged.modified), 2);
	assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.unseen, 3);
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(keywords_get(t, id, &kw), ERR_OK);
	assert_int_equal(kw.count, 1);
	assert_true(str_eq(kw.name[0], STR("$Label1")));
	fix_read_end(t);
	char name[8] = "k00";

	for (int i = 0; i < 63; i++) {
		name[1] = (char)('0' + i / 10);
		name[2] = (char)('0' + i % 10);
		assert_int_equal(fix_flags(f, id, &some, FLAGS_ADD, 0, name, 0), ERR_OK);
	}
	assert_int_equal(fix_flags(f, id, &some, FLAGS_ADD, 0, "oneTooMany", 0), ERR_LIMIT);
	assert_int_equal(fix_flags(f, 4711, &some, FLAGS_ADD, 0, NULL, 0), ERR_NOTFOUND);
	uidset_fini(&all);
	uidset_fini(&some);
}

static void
test_copy_move(void **state)
{
	struct fix *f = *state;
	struct uidset some = { 0 };
	struct mailbox_info info;
	struct entry a, b;
	struct keywords kw;
	uint32_t refs;

	for (int i = 0; i < 4; i++)
		assert_int_equal(
			fix_append(f, "INBOX", i % 2 ? FLAG_SEEN : 0, i == 1 ? "$B" : "$A", hello),
			ERR_OK);
	uint32_t inbox = fix_id(f, "INBOX"), trash = fix_id(f, "Trash");

	uidset_add(&some, 2, 3);
	uidset_add(&some, 9, 9);
	assert_int_equal(fix_copy(f, inbox, &some, "Nowhere", false), ERR_NOTFOUND);
	assert_false(f->copied.gone);
	const struct copy_args whole = {
		.from = inbox, .uids = &some, .to = STR("Trash"), .whole = true
	};

	(void)store_copy(f->home, &whole, fix_on_copy, f);
	assert_int_equal(fix_wait(f), ERR_NOTFOUND);
	assert_true(f->copied.gone);
	assert_int_equal(fix_find(f, "Trash", &info), ERR_OK);
	assert_int_equal(info.uidnext, 1);
	assert_int_equal(fix_copy(f, inbox, &some, "Trash", false), ERR_OK);
	assert_int_equal(uidset_count(&f->copied.source), 2);
	assert_int_equal(f->copied.target.v[0].lo, 1);
	assert_int_equal(f->copied.target.v[0].hi, 2);
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(entry_get(t, inbox, 2, &a), ERR_OK);
	assert_int_equal(entry_get(t, trash, 1, &b), ERR_OK);
	assert_int_equal(a.msg, b.msg);
	assert_int_equal(a.keywords, 2);
	assert_int_equal(keywords_get(t, trash, &kw), ERR_OK);
	assert_int_equal(b.keywords, 1u << (unsigned)keywords_find(&kw, STR("$B")));
	assert_int_equal(ref_get(t, a.msg, &refs), ERR_OK);
	assert_int_equal(refs, 2);
	fix_read_end(t);
	assert_int_equal(fix_copy(f, inbox, &some, "Trash", true), ERR_OK);
	assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, 2);
	assert_int_equal(info.unseen, 1);
	assert_int_equal(fix_find(f, "Trash", &info), ERR_OK);
	assert_int_equal(info.messages, 4);
	assert_int_equal(info.unseen, 2);
	/* Into itself: new UIDs, nothing lost. */
	uidset_reset(&some);
	uidset_add(&some, 1, UINT32_MAX);
	assert_int_equal(fix_copy(f, trash, &some, "Trash", true), ERR_OK);
	assert_int_equal(fix_find(f, "Trash", &info), ERR_OK);
	assert_int_equal(info.messages, 4);
	assert_int_equal(info.uidnext, 9);
	assert_int_equal(fix_copy(f, trash, &some, "Trash", false), ERR_OK);
	assert_int_equal(fix_find(f, "Trash", &info), ERR_OK);
	assert_int_equal(info.messages, 8);
	assert_int_equal(info.unseen, 4);
	uidset_fini(&some);
}

static void
plant_refs(struct fix *f, uint64_t msg, uint32_t n)
{
	uint32_t le = htole32(n);
	struct kv_txn *t;
	struct key k;

	assert_int_equal(kv_write_begin(f->home->kv, &t), ERR_OK);
	assert_int_equal(kv_put(t, KV_REF, key_id(&k, msg), str_n(&le, sizeof le)), ERR_OK);
	assert_int_equal(kv_commit(t), ERR_OK);
}

/* A message that stands in the source more than once, in whatever order, counts as often; rows of
 * others lie between theirs. Who would be counted too often is not copied, and nobody beside it. */
static void
test_copy_counts(void **state)
{
	enum { MESSAGES = 60 };
	struct fix *f = *state;
	struct uidset all = { 0 }, part = { 0 };
	struct mailbox_info info;
	struct entry entry;
	uint64_t ids[MESSAGES];
	uint32_t refs;

	for (int i = 0; i < MESSAGES; i++)
		assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	uint32_t inbox = fix_id(f, "INBOX"), trash = fix_id(f, "Trash");

	uidset_add(&all, 1, UINT32_MAX);
	uidset_add(&part, 31, MESSAGES);
	assert_int_equal(fix_copy(f, inbox, &part, "Trash", false), ERR_OK);
	assert_int_equal(fix_copy(f, inbox, &all, "Trash", false), ERR_OK);
	assert_int_equal(fix_copy(f, trash, &all, "Junk", false), ERR_OK);
	assert_int_equal(fix_pin(f, f->home), ERR_OK);
	struct txn *t = fix_read(f, f->home);

	for (uint32_t uid = 1; uid <= MESSAGES; uid++) {
		assert_int_equal(entry_get(t, inbox, uid, &entry), ERR_OK);
		assert_int_equal(ref_get(t, entry.msg, &refs), ERR_OK);
		assert_int_equal(refs, uid > 30 ? 5 : 3);
		ids[uid - 1] = entry.msg;
	}
	fix_read_end(t);
	plant_refs(f, ids[40], UINT32_MAX - 1);
	assert_int_equal(fix_copy(f, trash, &all, "Junk", false), ERR_LIMIT);
	plant_refs(f, ids[40], UINT32_MAX - 2);
	assert_int_equal(fix_copy(f, trash, &all, "Junk", false), ERR_OK);
	assert_int_equal(fix_find(f, "Junk", &info), ERR_OK);
	assert_int_equal(info.messages, 2 * (MESSAGES + 30));
	t = fix_read(f, f->home);
	for (size_t i = 0; i < MESSAGES; i++) {
		assert_int_equal(ref_get(t, ids[i], &refs), ERR_OK);
		assert_int_equal(refs, i == 40 ? UINT32_MAX : i >= 30 ? 7 : 4);
	}
	fix_read_end(t);
	home_unpin(f->home);
	uidset_fini(&all);
	uidset_fini(&part);
}

static uint32_t
count_recent(struct fix *f)
{
	struct mailbox_info info;
	uint32_t n = 0;
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(mailbox_find(t, STR("INBOX"), &info), ERR_OK);
	assert_int_equal(mailbox_recent(t, &info, &n), ERR_OK);
	fix_read_end(t);
	return n;
}

static uint64_t
version_of(struct fix *f)
{
	struct txn *t = fix_read(f, f->home);
	uint64_t version = txn_version(t);

	fix_read_end(t);
	return version;
}

static void
wait_for_recent(struct fix *f, uint32_t from)
{
	struct mailbox_info info = { .recent_from = 0 };

	for (int i = 0; i < 3000 && info.recent_from != from; i++) {
		fix_sleep(f, 10);
		assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	}
	assert_int_equal(info.recent_from, from);
}

static void
test_recent(void **state)
{
	struct fix *f = *state;
	struct mailbox_info info;
	uint32_t n;

	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(mailbox_find(t, STR("INBOX"), &info), ERR_OK);
	assert_int_equal(mailbox_recent(t, &info, &n), ERR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(mailbox_first_unseen(t, info.id, 1, &n), ERR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(mailbox_first_unseen(t, info.id, 3, &n), ERR_NOTFOUND);
	fix_read_end(t);
	/* once in this process, before the index knows of it */
	assert_int_equal(home_claim_recent(f->home, info.id, info.recent_from, 3), 1);
	assert_int_equal(home_claim_recent(f->home, info.id, info.recent_from, 3), 3);
	assert_int_equal(home_claim_recent(f->home, info.id + 1, 1, 1), 1);
	assert_int_equal(count_recent(f), 0);
	assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.recent_from, 1);
}

/* What was claimed is written by whatever is written next, in the same transaction. */
static void
test_recent_rides(void **state)
{
	struct fix *f = *state;
	struct mailbox_info info;
	struct uidset all = { 0 };

	uidset_add(&all, 1, UINT32_MAX);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	assert_int_equal(home_claim_recent(f->home, info.id, info.recent_from, 2), 1);
	assert_int_equal(home_claim_recent(f->home, 4711, 1, 9), 1); /* a mailbox that is gone */
	uint64_t before = version_of(f);

	assert_int_equal(fix_flags(f, 1, &all, FLAGS_ADD, FLAG_FLAGGED, NULL, 0), ERR_OK);
	assert_int_equal(version_of(f), before + 1);
	assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.recent_from, 2);
	assert_int_equal(count_recent(f), 0);
	assert_null(f->home->claims);
	uidset_fini(&all);
}

/* When nothing is written it takes a second or two, more mailboxes than the list has do not wait,
 * and a store that ends leaves nothing in memory. */
static void
test_recent_alone(void **state)
{
	struct fix *f = *state;
	struct mailbox_info info;

	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(home_claim_recent(f->home, 1, 1, 2), 1);
	wait_for_recent(f, 2);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(home_claim_recent(f->home, 1, 2, 3), 2);
	for (uint32_t i = 100; i < 150; i++)
		(void)home_claim_recent(f->home, i, 1, 2);
	wait_for_recent(f, 3);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(home_claim_recent(f->home, 1, 3, 4), 3);
	fix_stop(f);
	fix_start(f);
	assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.recent_from, 4);
	/* no UID that was not given yet is claimed, whenever it is written */
	assert_int_equal(home_claim_recent(f->home, 1, 4, 100), 4);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	assert_in_range(info.recent_from, 4, info.uidnext);
}

static void
test_mailboxes(void **state)
{
	struct fix *f = *state;
	struct mailbox_info info;

	fix_assert_names(f, "INBOX Archive Drafts Junk Sent Trash");
	assert_int_equal(fix_find(f, "Junk", &info), ERR_OK);
	assert_int_equal(info.special_use, USE_JUNK);
	for (const char *const *p =
			(const char *const[]){ "Archive", "Drafts", "Junk", "Sent", NULL };
		*p != NULL; p++)
		assert_int_equal(fix_delete(f, *p), ERR_OK);
	assert_int_equal(fix_create(f, "a/b/c"), ERR_OK);
	fix_assert_names(f, "INBOX Trash a! a/b! a/b/c");
	assert_int_equal(fix_create(f, "a/b/c"), ERR_EXISTS);
	assert_int_equal(fix_create(f, "a/b"), ERR_OK);
	uint32_t validity = f->mailbox.uidvalidity;

	fix_assert_names(f, "INBOX Trash a! a/b a/b/c");
	assert_int_equal(fix_append(f, "a", 0, NULL, hello), ERR_NOTFOUND);
	assert_int_equal(fix_append(f, "a/b", 0, NULL, hello), ERR_OK);
	assert_int_equal(fix_delete(f, "a/b"), ERR_OK);
	fix_assert_names(f, "INBOX Trash a! a/b! a/b/c");
	assert_int_equal(fix_delete(f, "a/b"), ERR_DENIED);
	assert_int_equal(fix_delete(f, "INBOX"), ERR_DENIED);
	assert_int_equal(fix_create(f, "a/b"), ERR_OK);
	assert_true(f->mailbox.uidvalidity > validity);
	assert_int_equal(fix_find(f, "a/b", &info), ERR_OK);
	assert_int_equal(info.messages, 0);
	assert_int_equal(fix_rename(f, "a/b", "x/y"), ERR_OK);
	fix_assert_names(f, "INBOX Trash x! x/y x/y/c");
	assert_int_equal(fix_rename(f, "x/y", "x/z"), ERR_OK);
	fix_assert_names(f, "INBOX Trash x! x/z x/z/c");
	assert_int_equal(fix_rename(f, "x", "x/z/q"), ERR_DENIED);
	assert_int_equal(fix_rename(f, "x/z", "Trash"), ERR_EXISTS);
	assert_int_equal(fix_rename(f, "nope", "other"), ERR_NOTFOUND);
	assert_int_equal(fix_delete(f, "x/z/c"), ERR_OK);
	assert_int_equal(fix_delete(f, "x/z"), ERR_OK);
	fix_assert_names(f, "INBOX Trash");
	assert_int_equal(fix_create(f, "INBOX/sub"), ERR_OK);
	assert_int_equal(fix_append(f, "INBOX", FLAG_SEEN, "$K", hello), ERR_OK);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(fix_rename(f, "INBOX", "old/mail"), ERR_OK);
	fix_assert_names(f, "INBOX INBOX/sub Trash old! old/mail");
	assert_int_equal(fix_find(f, "old/mail", &info), ERR_OK);
	assert_int_equal(info.messages, 2);
	assert_int_equal(info.unseen, 1);
	assert_int_equal(fix_find(f, "INBOX", &info), ERR_OK);
	assert_int_equal(info.messages, 0);
	assert_int_equal(info.uidnext, 3);
}

static void
test_rename_limits(void **state)
{
	struct fix *f = *state;
	char name[MAILBOX_NAME_MAX + 1], child[MAILBOX_NAME_MAX + 16];

	memset(name, 'n', sizeof name);
	name[MAILBOX_NAME_MAX - 3] = '\0';
	assert_int_equal(fix_create(f, "p/child"), ERR_OK);
	assert_int_equal(fix_rename(f, "p", name), ERR_LIMIT);
	name[MAILBOX_NAME_MAX - 6] = '\0';
	assert_int_equal(fix_rename(f, "p", name), ERR_OK);
	(void)snprintf(child, sizeof child, "%s/child", name);
	(void)fix_id(f, child);
}

static enum err
add_subscribed(void *arg, struct str name)
{
	return fix_add_name(arg, &(struct mailbox_info){ .name = name });
}

static void
test_subscribe(void **state)
{
	struct fix *f = *state;
	struct fix_names n = { .all = "" };

	(void)store_subscribe(f->home, STR("gone/later"), true, fix_on_mailbox, f);
	assert_int_equal(fix_wait(f), ERR_OK);
	(void)store_subscribe(f->home, STR("Trash"), false, fix_on_mailbox, f);
	assert_int_equal(fix_wait(f), ERR_OK);
	(void)store_subscribe(f->home, STR("Trash"), false, fix_on_mailbox, f);
	assert_int_equal(fix_wait(f), ERR_NOTFOUND);
	assert_int_equal(fix_delete(f, "Sent"), ERR_OK);
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(subscribed_walk(t, add_subscribed, &n), ERR_OK);
	assert_true(subscribed_has(t, STR("Sent")));
	assert_false(subscribed_has(t, STR("Trash")));
	fix_read_end(t);
	assert_string_equal(n.all, "Archive Drafts INBOX Junk Sent gone/later");
}

static void
test_names(void **state)
{
	static const struct {
		const char *in, *out;
		enum err e;
	} table[] = {
		{ "inbox", "INBOX", ERR_OK },
		{ "iNbOx/x", "INBOX/x", ERR_OK },
		{ "x/inbox", "x/inbox", ERR_OK },
		{ "a/b/", "a/b", ERR_OK },
		{ "", "", ERR_SYNTAX },
		{ "/", "", ERR_SYNTAX },
		{ "/a", "", ERR_SYNTAX },
		{ "a//b", "", ERR_SYNTAX },
		{ "..", "", ERR_SYNTAX },
		{ "a/../b", "", ERR_SYNTAX },
		{ ".", "", ERR_SYNTAX },
		{ "...", "...", ERR_OK },
		{ "a\nb", "", ERR_SYNTAX },
		{ "a\x7f", "", ERR_SYNTAX },
		{ "a\xc2\x85", "", ERR_SYNTAX },
		{ "\xff", "", ERR_SYNTAX },
		{ "Entw\xc3\xbcrfe", "Entw\xc3\xbcrfe", ERR_OK },
		{ "Entwu\xcc\x88rfe", "Entw\xc3\xbcrfe", ERR_OK },
		{ "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/a/b/c/d/e/f/g", "",
			ERR_LIMIT },
	};
	struct buf out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		buf_init(&out, 4096);
		assert_int_equal(mailbox_name_check(str_of(table[i].in), &out), table[i].e);
		if (table[i].e == ERR_OK)
			assert_string_equal(buf_z(&out), table[i].out);
		buf_fini(&out);
	}
	buf_init(&out, 4096);
	assert_int_equal(mailbox_name_check(str_n("a\0b", 3), &out), ERR_SYNTAX);
	buf_fini(&out);
}

static void
on_watch(struct home_watch *w)
{
	(*(unsigned *)w->arg)++;
}

static void
test_watch_own(void **state)
{
	struct fix *f = *state;
	struct home_watch w = { .home = NULL };
	unsigned n = 0;

	home_watch_stop(&w);
	home_watch_start(&w, f->home, on_watch, &n);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_true(n > 0);
	home_watch_stop(&w);
	n = 0;
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	assert_int_equal(n, 0);
}

struct crowd {
	struct fix *f;
	unsigned left, failed;
};

static void
on_created(void *arg, enum err e, const struct mailbox_result *r UNUSED)
{
	struct crowd *c = arg;

	c->failed += e != ERR_OK;
	if (--c->left == 0)
		fix_done(c->f, ERR_OK);
}

static void
on_watch_look(struct home_watch *w)
{
	struct txn *t;

	if (store_read_begin(w->home, &t) == ERR_OK)
		store_read_end(t);
}

/* Who is told of a commit looks, while other changes wait: none is made twice. */
static void
test_watch_looks(void **state)
{
	struct fix *f = *state;
	struct crowd crowd = { .f = f };
	struct home_watch w = { .home = NULL };

	assert_int_equal(fix_pin(f, f->home), ERR_OK);
	home_watch_start(&w, f->home, on_watch_look, NULL);
	for (int i = 0; i < 10; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "m%d", i);
		crowd.left++;
		(void)store_create(f->home, str_of(name), 0, on_created, &crowd);
	}
	assert_int_equal(fix_wait(f), ERR_OK);
	assert_int_equal(crowd.failed, 0);
	home_watch_stop(&w);
	home_unpin(f->home);
}

/* What is forgotten goes ten minutes later: file, then rows. */
static void
test_garbage(void **state)
{
	struct fix *f = *state;
	struct uidset all = { 0 };
	struct entry entry;
	struct message m;
	uint32_t id;
	int fd;

	garbage_set_grace(0);
	uidset_add(&all, 1, UINT32_MAX);
	assert_int_equal(fix_append(f, "INBOX", FLAG_DELETED, NULL, hello), ERR_OK);
	assert_int_equal(fix_append(f, "INBOX", FLAG_DELETED, NULL, hello), ERR_OK);
	id = f->appended.mailbox;
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(entry_get(t, id, 2, &entry), ERR_OK);
	fix_read_end(t);
	assert_int_equal(fix_copy(f, id, &(struct uidset){ &(struct uid_range){ 1, 1 }, 1, 0 },
				 "Trash", false),
		ERR_OK);
	assert_int_equal(fix_expunge(f, id, NULL), ERR_OK);
	assert_int_equal(uidset_count(&f->expunged.uids), 2);
	assert_int_equal(message_open(f->home, entry.msg, true, &fd), ERR_OK);
	close(fd);
	for (int i = 0; i < WAITS; i++) {
		fix_sleep(f, 50);
		t = fix_read(f, f->home);
		enum err e = message_get(t, entry.msg, &m);

		fix_read_end(t);
		if (e == ERR_NOTFOUND)
			break;
	}
	assert_int_equal(message_open(f->home, entry.msg, true, &fd), ERR_NOTFOUND);
	uint64_t garbage, messages;

	t = fix_read(f, f->home);
	assert_int_equal(kv_count(t->kv, KV_GARBAGE, &garbage), ERR_OK);
	assert_int_equal(kv_count(t->kv, KV_MESSAGE, &messages), ERR_OK);
	fix_read_end(t);
	assert_int_equal(garbage, 0);
	assert_int_equal(messages, 1);
	/* A deleted mailbox is taken apart in the background. */
	assert_int_equal(fix_delete(f, "Trash"), ERR_OK);
	for (int i = 0; i < WAITS && messages > 0; i++) {
		fix_sleep(f, 50);
		t = fix_read(f, f->home);
		assert_int_equal(kv_count(t->kv, KV_MESSAGE, &messages), ERR_OK);
		fix_read_end(t);
	}
	assert_int_equal(messages, 0);
	garbage_set_grace(600 * 1000);
	uidset_fini(&all);
}

static uint64_t
rows_in(struct fix *f, enum kv_table table)
{
	struct txn *t = fix_read(f, f->home);
	uint64_t n;

	assert_int_equal(kv_count(t->kv, table, &n), ERR_OK);
	fix_read_end(t);
	return n;
}

static uint64_t
thread_of(struct fix *f, uint32_t uid)
{
	struct txn *t = fix_read(f, f->home);
	struct entry entry;
	struct message m;

	assert_int_equal(entry_get(t, f->appended.mailbox, uid, &entry), ERR_OK);
	assert_int_equal(message_get(t, entry.msg, &m), ERR_OK);
	fix_read_end(t);
	return m.thread;
}

/* A message's ids go with it, the thread goes on with those that are left. */
static void
test_thread_rows(void **state)
{
	struct fix *f = *state;

	garbage_set_grace(0);
	assert_int_equal(fix_append(f, "INBOX", FLAG_DELETED, NULL,
				 "Message-ID: <a@x>\r\nReferences: <r@x>\r\n\r\n"),
		ERR_OK);
	assert_int_equal(
		fix_append(f, "INBOX", 0, NULL, "Message-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\n\r\n"),
		ERR_OK);
	uint64_t thread = thread_of(f, 1);

	assert_int_equal(thread_of(f, 2), thread);
	assert_int_equal(rows_in(f, KV_THREAD), 3);
	assert_int_equal(fix_expunge(f, f->appended.mailbox, NULL), ERR_OK);
	for (int i = 0; i < WAITS && rows_in(f, KV_MESSAGE) > 1; i++)
		fix_sleep(f, 50);
	assert_int_equal(rows_in(f, KV_THREAD), 1);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, "In-Reply-To: <b@x>\r\n\r\n"), ERR_OK);
	assert_int_equal(thread_of(f, 3), thread);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, "In-Reply-To: <a@x>\r\n\r\n"), ERR_OK);
	assert_int_not_equal(thread_of(f, 4), thread);
	garbage_set_grace(600 * 1000);
}

/* Another version's home is left alone. */
static void
test_schema(void **state)
{
	struct fix *f = *state;
	char index[160];
	const char *why;
	struct kv *kv;
	struct kv_txn *t;
	uint64_t one = htole64(1);

	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_OK);
	fix_stop(f);
	(void)snprintf(index, sizeof index, "%s/u/alice/index.mdb", f->dir);
	assert_int_equal(
		kv_open(index, &(struct kv_options){ .map_bytes = 16 << 20 }, &kv, &why), ERR_OK);
	assert_int_equal(kv_write_begin(kv, &t), ERR_OK);
	assert_int_equal(kv_put(t, KV_META, STR("schema"), str_n(&one, sizeof one)), ERR_OK);
	assert_int_equal(kv_commit(t), ERR_OK);
	kv_close(kv);
	fix_start(f);
	assert_int_equal(fix_append(f, "INBOX", 0, NULL, hello), ERR_TEMP);
	assert_string_equal(home_error(f->home), "the index is of another version of Postroom");
}

/* The walk finds what a process left that died before its timer. */
static void
test_sweep(void **state)
{
	struct fix *f = *state;
	char root[160], young[160], file[BLOB_PATH_MAX];
	struct entry entry;

	assert_int_equal(fix_append(f, "INBOX", FLAG_DELETED, NULL, hello), ERR_OK);
	struct txn *t = fix_read(f, f->home);

	assert_int_equal(entry_get(t, f->appended.mailbox, 1, &entry), ERR_OK);
	fix_read_end(t);
	assert_int_equal(blob_path(home_path(f->home).p, entry.msg, file), ERR_OK);
	assert_int_equal(fix_expunge(f, f->appended.mailbox, NULL), ERR_OK);
	(void)snprintf(young, sizeof young, "%s/u/alice/tmp/0123456789abcdef", f->dir);
	int fd = open(young, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
	/* As after a restart: no timer runs for this home, and nobody opens it. */
	fix_stop(f);
	garbage_set_grace(0);
	fix_start(f);
	assert_int_equal(access(file, F_OK), 0);
	(void)snprintf(root, sizeof root, "%s/u", f->dir);
	struct store_sweep *s = store_sweep_start(f->store, str_of(root), 1);

	for (int i = 0; i < WAITS && access(file, F_OK) == 0; i++)
		fix_sleep(f, 50);
	assert_int_not_equal(access(file, F_OK), 0);
	assert_int_equal(access(young, F_OK), 0);
	store_sweep_stop(s);
	garbage_set_grace(600 * 1000);
}

/* Homes beyond the limit are closed when nobody pins them, and open again. */
static void
test_bounded(void **state)
{
	struct fix *f = *state;
	struct home *homes[20];
	char path[128];

	f->store->open_max = 4;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 20; i++) {
			(void)snprintf(path, sizeof path, "%s/u/c%d", f->dir, i);
			if (round == 0)
				assert_int_equal(
					home_get(f->store, str_of(path), &homes[i]), ERR_OK);
			assert_int_equal(fix_pin(f, homes[i]), ERR_OK);
			home_unpin(homes[i]);
		}
	for (int i = 0; i < WAITS && f->store->closing_count != 0; i++)
		fix_sleep(f, 50);
	assert_int_equal(f->store->closing_count, 0);
	/* No more were closed than needed. */
	assert_int_equal(f->store->open_count, 4);
	for (int i = 0; i < 20; i++)
		home_unref(homes[i]);
	for (int i = 0; i < WAITS && f->store->homes.n > 5; i++)
		fix_sleep(f, 10);
	/* Handles of closed homes that nobody holds are forgotten: 4 open and alice. */
	assert_true(f->store->homes.n <= 5);
}

/* With store_close_resting those that were not used for a while are closed, and the others not. */
static void
test_resting(void **state)
{
	struct fix *f = *state;
	struct home *homes[3];
	char path[128];

	store_close_resting(f->store, 100);
	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof path, "%s/u/c%d", f->dir, i);
		assert_int_equal(home_get(f->store, str_of(path), &homes[i]), ERR_OK);
		assert_int_equal(fix_pin(f, homes[i]), ERR_OK);
	}
	home_unpin(homes[0]);
	home_unpin(homes[2]);
	for (int i = 0; i < WAITS && f->store->open_count != 1; i++)
		fix_sleep(f, 100);
	/* the one that is pinned */
	assert_int_equal(f->store->open_count, 1);
	assert_int_equal(homes[1]->state, HOME_OPEN);
	assert_int_equal(homes[0]->state, HOME_CLOSED);
	/* and it can be had again */
	assert_int_equal(fix_pin(f, homes[0]), ERR_OK);
	assert_int_equal(homes[0]->state, HOME_OPEN);
	home_unpin(homes[0]);
	home_unpin(homes[1]);
	for (int i = 0; i < 3; i++)
		home_unref(homes[i]);
	for (int i = 0; i < WAITS && f->store->homes.n != 1; i++)
		fix_sleep(f, 100);
	/* alice */
	assert_int_equal(f->store->homes.n, 1);
}

static void
test_home_paths(void **state)
{
	struct fix *f = *state;
	struct home *h;
	static const char *const bad[] = { "", "/", "relative", "/a/../b", "/a//b", "/a/", "/a/.",
		"/a/..", "/a/./b" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(home_get(f->store, str_of(bad[i]), &h), ERR_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test_setup_teardown(test_append, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_scan, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_append_large, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_flags, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_copy_move, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_copy_counts, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_recent, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_recent_rides, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_recent_alone, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_mailboxes, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_rename_limits, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_subscribe, fix_setup, fix_teardown),
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_watch_own, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_watch_looks, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_garbage, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_thread_rows, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_schema, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_sweep, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_bounded, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_resting, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(test_home_paths, fix_setup, fix_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
