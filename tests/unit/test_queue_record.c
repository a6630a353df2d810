/* Records of queue.mdb: all that they hold, through the bytes and back, the senders of recipients,
 * older versions, and damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "delivery/queue/record.h"

static void
sample(struct record *r, struct arena *a)
{
	static struct record_orig origs[2];

	memset(r, 0, sizeof(*r));
	origs[0] = (struct record_orig){ .address = STR("all@example.org"), .expanded = true };
	origs[1] = (struct record_orig){
		.address = STR("later@example.org"), .attempts = 3, .next_ms = 5000
	};
	r->id = STR("0123456789abcdef");
	r->sender = STR("anna@example.org");
	r->sid = STR("s1");
	r->received_ms = 0x18f00000000;
	r->size = 12345;
	r->flags = 1;
	r->origs = origs;
	r->origs_count = 2;
	for (uint32_t i = 0; i < 40; i++) {
		char z[32];
		struct record_rcpt *c;
		(void)snprintf(z, sizeof(z), "u%u@example.org", i);
		c = record_add_rcpt(r, a, str_of(z), 0);
		assert_non_null(c);
		c->state = (enum rcpt_state)(i % 2);
		c->attempts = (uint16_t)i;
		c->next_ms = 10000 + i;
		c->reply = STR("451 4.3.0 x");
	}
}

static void
test_record(void **state)
{
	struct arena *a = arena_new(1024 * 1024);
	struct record r, back;
	struct buf b, c;
	char id[DELIVERY_ID_SIZE];

	(void)state;
	buf_init(&b, 1024 * 1024);
	buf_init(&c, 1024 * 1024);
	sample(&r, a);
	assert_int_equal(record_next_ms(&r), 5000);
	r.origs[1].expanded = true;
	assert_int_equal(record_next_ms(&r), 10000);
	r.rcpts[7].state = RCPT_FAILED;
	assert_int_equal(record_next_ms(&r), 0);
	record_delivery_id(&r, 39, id);
	assert_string_equal(id, "0000018f00000000.0123456789abcdef.39");
	assert_int_equal(record_encode(&r, &b), ERR_OK);
	assert_int_equal(record_decode(buf_str(&b), a, &back), ERR_OK);
	assert_true(str_eq(back.sender, r.sender) && back.rcpts_count == 40);
	assert_true(str_eq(back.rcpts[39].address, STR("u39@example.org")));
	assert_int_equal(record_encode(&back, &c), ERR_OK);
	assert_true(str_eq(buf_str(&b), buf_str(&c)));
	assert_non_null(record_add_rcpt(&back, a, STR("more@example.org"), 1));
	assert_true(str_eq(back.rcpts[39].address, STR("u39@example.org")));
	for (size_t i = 0; i < 40; i++)
		r.rcpts[i].state = i % 2 ? RCPT_DELIVERED : RCPT_REPORTED;
	assert_true(record_next_ms(&r) == INT64_MAX);
	/* Any cut and any flipped bit is noticed. */
	for (size_t i = 0; i < b.n; i++) {
		char *bytes = b.mem + b.head;
		assert_int_equal(record_decode(str_sub(buf_str(&b), 0, i), a, &back), ERR_CORRUPT);
		bytes[i] = (char)(bytes[i] ^ (1 << (i % 8)));
		assert_int_equal(record_decode(buf_str(&b), a, &back), ERR_CORRUPT);
		bytes[i] = (char)(bytes[i] ^ (1 << (i % 8)));
	}
	buf_fini(&b);
	buf_fini(&c);
	arena_free(a);
}

/* Older records, as they were written. */

static void
put(struct buf *b, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addc(b, (char)(v >> (8 * i)));
}

static void
put_str(struct buf *b, struct str s)
{
	put(b, s.n, 4);
	buf_add(b, s);
}

static void
encode_old(const struct record *r, unsigned version, unsigned how, struct buf *b)
{
	buf_addz(b, "QREC");
	put(b, version, 1);
	put(b, how, 1);
	put_str(b, r->id);
	put_str(b, r->sender);
	put_str(b, r->sid);
	put(b, (uint64_t)r->received_ms, 8);
	put(b, r->size, 8);
	put(b, r->flags, 4);
	put(b, r->origs_count, 4);
	for (uint32_t i = 0; i < r->origs_count; i++) {
		put_str(b, r->origs[i].address);
		put(b, (r->origs[i].expanded ? 1 : 0) | (r->origs[i].told ? 2 : 0), 1);
		put(b, r->origs[i].attempts, 2);
		put(b, (uint64_t)r->origs[i].next_ms, 8);
	}
	put(b, r->rcpts_count, 4);
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		put_str(b, r->rcpts[i].address);
		put(b, r->rcpts[i].orig, 4);
		put(b, (unsigned)r->rcpts[i].state | (r->rcpts[i].told ? 0x80U : 0U), 1);
		put(b, r->rcpts[i].attempts, 2);
		put(b, (uint64_t)r->rcpts[i].next_ms, 8);
		put_str(b, r->rcpts[i].reply);
	}
	put(b, crc32c(0, buf_str(b)), 4);
}

/* What older versions say is read, with nothing asked for and nothing owed; what they cannot say,
 * and versions that we do not know, are refused. */
static void
test_old_versions(void **state)
{
	static const struct {
		unsigned version, how;
		bool told;
		enum err e;
	} table[] = {
		{ 0, 0, false, ERR_CORRUPT },
		{ 1, 0, false, ERR_OK },
		{ 1, 1, false, ERR_OK },
		{ 1, 2, false, ERR_CORRUPT },
		{ 1, 0, true, ERR_CORRUPT },
		{ 2, 0, false, ERR_OK },
		{ 2, 1, false, ERR_OK },
		{ 2, 2, false, ERR_OK },
		{ 2, 3, false, ERR_OK },
		{ 2, 4, false, ERR_CORRUPT },
		{ 2, 2, true, ERR_CORRUPT },
		{ 3, 0, false, ERR_OK },
		{ 3, 2, true, ERR_OK },
		{ 3, 1, true, ERR_OK },
		{ 3, 4, true, ERR_CORRUPT },
		{ 4, 0, false, ERR_CORRUPT },
		{ 5, 0, false, ERR_CORRUPT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct arena *a = arena_new(1024 * 1024);
		struct record r, back;
		struct buf b;
		buf_init(&b, 1024 * 1024);
		sample(&r, a);
		r.origs[1].told = r.rcpts[7].told = r.rcpts[8].told = table[i].told;
		encode_old(&r, table[i].version, table[i].how, &b);
		assert_int_equal(record_decode(buf_str(&b), a, &back), table[i].e);
		for (uint32_t k = 0; table[i].e == ERR_OK && k < 40; k++) {
			const struct record_rcpt *c = &back.rcpts[k];
			assert_true(str_eq(c->address, r.rcpts[k].address));
			assert_true(str_eq(c->reply, r.rcpts[k].reply));
			assert_int_equal(c->state, r.rcpts[k].state);
			assert_int_equal(c->attempts, k);
			assert_int_equal(c->next_ms, 10000 + k);
			assert_int_equal(c->told, r.rcpts[k].told);
			assert_true(c->notify == 0 && c->success == SUCCESS_NONE && !c->relayed);
			assert_true(str_eq(record_sender(&back, c), r.sender));
		}
		if (table[i].e == ERR_OK) {
			assert_int_equal(back.done, table[i].how & 1);
			assert_int_equal(back.held, table[i].how >> 1);
			assert_int_equal(back.origs[1].told, table[i].told);
			assert_true(back.origs[0].expanded && !back.origs[1].expanded);
			assert_true(back.ret == SPOOL_RET_NONE && back.envid.n == 0);
			assert_int_equal(back.received_ms, r.received_ms);
			assert_int_equal(record_next_ms(&back), record_next_ms(&r));
		}
		buf_fini(&b);
		arena_free(a);
	}
}

/* What senders asked for, who is told, and what was said by whom. */
static void
test_all_fields(void **state)
{
	struct arena *a = arena_new(1024 * 1024);
	struct record r, back;
	struct buf b;

	(void)state;
	buf_init(&b, 1024 * 1024);
	sample(&r, a);
	r.ret = SPOOL_RET_HDRS;
	r.envid = STR("QQ+2B1");
	r.origs[0].list = r.origs[1].told = true;
	r.origs[0].notify = SPOOL_NOTIFY_SUCCESS | SPOOL_NOTIFY_DELAY;
	r.origs[0].orcpt = STR("rfc822;All@example.org");
	r.origs[0].success = SUCCESS_DUE;
	for (uint32_t i = 0; i < 40; i++) {
		struct record_rcpt *c = &r.rcpts[i];
		char z[32];
		(void)snprintf(z, sizeof(z), "owner%u@example.org", i % 3);
		c->told = i % 2 != 0;
		c->list = i % 3 != 0;
		c->relayed = i % 5 == 0;
		c->notify = i % 16 % 2 == 0 ? i % 16 : 1;
		c->success = (enum rcpt_success)(i % 3);
		c->last_ms = 77 + i;
		c->host = STR("mx.example.net");
		c->host_address = STR("192.0.2.1");
		assert_int_equal(record_set_sender(&r, a, c, i % 4 ? str_of(z) : r.sender), ERR_OK);
	}
	assert_int_equal(r.senders_count, 3);
	assert_int_equal(record_encode(&r, &b), ERR_OK);
	assert_int_equal(record_decode(buf_str(&b), a, &back), ERR_OK);
	assert_true(back.ret == r.ret && str_eq(back.envid, r.envid));
	assert_true(back.origs[0].list && !back.origs[1].list && back.origs[1].told);
	assert_int_equal(back.origs[0].notify, r.origs[0].notify);
	assert_true(str_eq(back.origs[0].orcpt, r.origs[0].orcpt));
	assert_int_equal(back.origs[0].success, SUCCESS_DUE);
	for (uint32_t i = 0; i < 40; i++) {
		const struct record_rcpt *c = &r.rcpts[i], *d = &back.rcpts[i];
		assert_true(c->told == d->told && c->list == d->list && c->relayed == d->relayed);
		assert_true(c->notify == d->notify && c->success == d->success);
		assert_int_equal(d->last_ms, 77 + i);
		assert_true(str_eq(d->host, c->host) && str_eq(d->host_address, c->host_address));
		assert_true(str_eq(record_sender(&back, d), record_sender(&r, c)));
		assert_true(
			str_starts(record_sender(&back, d), i % 4 ? STR("owner") : STR("anna")));
	}
	/* More of them behind what was read. */
	assert_int_equal(record_set_sender(&back, a, &back.rcpts[0], STR("")), ERR_OK);
	assert_int_equal(record_set_sender(&back, a, &back.rcpts[1], STR("")), ERR_OK);
	assert_int_equal(back.senders_count, 4);
	assert_true(record_sender(&back, &back.rcpts[1]).n == 0 && back.rcpts[1].sender == 4);
	assert_true(str_eq(record_sender(&back, &back.rcpts[39]), record_sender(&r, &r.rcpts[39])));
	buf_fini(&b);
	arena_free(a);
}

/* A report that is owed does not wait. */
static void
test_owed(void **state)
{
	struct arena *a = arena_new(1024 * 1024);
	struct record r;

	(void)state;
	sample(&r, a);
	assert_int_equal(record_next_ms(&r), 5000);
	r.rcpts[3].success = SUCCESS_DUE;
	assert_int_equal(record_next_ms(&r), 0);
	r.rcpts[3].success = SUCCESS_DONE;
	assert_int_equal(record_next_ms(&r), 5000);
	r.origs[0].success = SUCCESS_DUE;
	assert_int_equal(record_next_ms(&r), 0);
	r.origs[0].success = SUCCESS_DONE;
	r.rcpts[2].state = RCPT_FAILED;
	assert_int_equal(record_next_ms(&r), 0);
	arena_free(a);
}

/* Values that no sum makes right. */
static void
test_bad_values(void **state)
{
	struct arena *a = arena_new(1024 * 1024);
	char longer[SPOOL_ORCPT_MAX + 2];
	struct buf b;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	for (int i = 0; i < 12; i++) {
		struct record r, back;
		buf_init(&b, 1024 * 1024);
		sample(&r, a);
		if (i == 0)
			r.ret = (enum spool_ret)3;
		else if (i == 1)
			r.envid = str_n(longer, SPOOL_ENVID_MAX + 1);
		else if (i == 2)
			r.origs[1].notify = SPOOL_NOTIFY_NEVER | SPOOL_NOTIFY_DELAY;
		else if (i == 3)
			r.origs[1].orcpt = str_n(longer, SPOOL_ORCPT_MAX + 1);
		else if (i == 4)
			r.rcpts[5].notify = 16;
		else if (i == 5)
			r.rcpts[5].success = (enum rcpt_success)3;
		else if (i == 6)
			r.rcpts[5].sender = 1;
		else if (i == 7)
			r.rcpts[5].orig = 2;
		else if (i == 8)
			r.rcpts[5].state = (enum rcpt_state)4;
		else if (i == 9)
			r.origs[0].success = (enum rcpt_success)4;
		else if (i == 10)
			r.envid = str_n(longer, SPOOL_ENVID_MAX);
		else
			r.origs[1].orcpt = str_n(longer, SPOOL_ORCPT_MAX);
		assert_int_equal(record_encode(&r, &b), ERR_OK);
		assert_int_equal(
			record_decode(buf_str(&b), a, &back), i >= 10 ? ERR_OK : ERR_CORRUPT);
		buf_fini(&b);
	}
	arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_old_versions),
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_owed),
		cmocka_unit_test(test_bad_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
