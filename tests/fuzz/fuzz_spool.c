/* The header of a spool slot: whatever decodes must encode to something that decodes alike. */
#include <assert.h>

#include "delivery/spool/format.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same_again(const struct spool_envelope *e)
{
	struct arena *a = arena_new(16 * 1024 * 1024);
	struct spool_envelope again;
	struct buf b;

	buf_init(&b, 8 * 1024 * 1024);
	assert(spool_record_encode(e, &b) == ERR_OK);
	assert(spool_record_decode(buf_str(&b), a, &again) == ERR_OK);
	assert(str_eq(again.name, e->name) && str_eq(again.sender, e->sender));
	assert(str_eq(again.auth_user, e->auth_user) && str_eq(again.sid, e->sid));
	assert(again.received_ms == e->received_ms && again.rcpts_count == e->rcpts_count);
	assert(again.ret == e->ret && str_eq(again.envid, e->envid));
	assert(e->envid.n <= SPOOL_ENVID_MAX);
	for (size_t i = 0; i < e->rcpts_count; i++) {
		const struct spool_rcpt *r = &e->rcpts[i];
		assert(str_eq(again.rcpts[i].address, r->address));
		assert(again.rcpts[i].notify == r->notify && spool_notify_valid(r->notify));
		assert(str_eq(again.rcpts[i].orcpt, r->orcpt) && r->orcpt.n <= SPOOL_ORCPT_MAX);
	}
	buf_fini(&b);
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	struct arena *a = arena_new(1024 * 1024);
	struct spool_envelope e;
	struct spool_fixed f, f2;
	char fixed[SPOOL_FIXED_SIZE];

	if (spool_fixed_decode(in, &f) == ERR_OK) {
		spool_fixed_encode(&f, fixed);
		assert(spool_fixed_decode(str_n(fixed, sizeof(fixed)), &f2) == ERR_OK);
		assert(f2.body_len == f.body_len && f2.record_off == f.record_off);
	}
	if (spool_record_decode(in, a, &e) == ERR_OK)
		same_again(&e);
	arena_free(a);
	return 0;
}
