/* Records of queue.mdb: damaged bytes are refused without harm, and what decodes encodes to the
 * same bytes. The sum is made right first, or hardly anything would pass it. Replies of an LMTP
 * server come along. */
#include <assert.h>
#include <stdlib.h>

#include "core/base/codec.h"
#include "delivery/queue/record.h"
#include "delivery/queue/reply.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
record(struct str in)
{
	struct arena *a = arena_new(16 * 1024 * 1024);
	struct buf fixed, again;
	struct record r;
	uint32_t crc = crc32c(0, in);

	buf_init(&fixed, in.n + 4);
	buf_init(&again, in.n + 4);
	buf_add(&fixed, in);
	for (int i = 0; i < 4; i++)
		buf_addc(&fixed, (char)(crc >> (8 * i)));
	if (record_decode(buf_str(&fixed), a, &r) == ERR_OK) {
		assert(record_encode(&r, &again) == ERR_OK);
		/* Old versions are written as the newest, with the same bytes behind but for the
		 * sum. */
		assert(again.n == fixed.n);
		assert(str_eq(str_from(in, 5), str_sub(buf_str(&again), 5, in.n - 5)));
		(void)record_next_ms(&r);
	}
	if (record_decode(in, a, &r) == ERR_OK)
		(void)record_next_ms(&r);
	buf_fini(&fixed);
	buf_fini(&again);
	arena_free(a);
}

static void
replies(struct str in)
{
	struct reply r;
	struct str line;

	reply_init(&r);
	while (in.n != 0) {
		enum err e;
		(void)str_cut(in, '\n', &line, &in);
		e = reply_add(&r, line);
		if (e != ERR_OK && e != ERR_AGAIN)
			reply_init(&r);
		else
			assert(r.code >= 200 && r.code <= 599 && r.text[r.text_len] == '\0');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	record(str_n(data, size));
	replies(str_n(data, size));
	return 0;
}
