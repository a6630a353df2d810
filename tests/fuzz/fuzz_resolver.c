/* The messages between smtp and resolver: damaged bytes are refused without harm; what decodes
 * encodes to the same bytes, and holds nothing that could leave its place in a header. */
#include <assert.h>
#include <stdlib.h>

#include "core/event/ipc.h"
#include "delivery/resolver/resolver.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
harmless(struct str s, const char *odd)
{
	for (size_t i = 0; i < s.n; i++)
		assert(s.p[i] >= ' ' && s.p[i] <= '~' &&
			(odd == NULL || ascii_is_alnum((unsigned char)s.p[i]) ||
				strchr(odd, s.p[i]) != NULL));
}

static void
answer(struct str in, struct buf *again)
{
	struct resolver_answer a;

	if (resolver_answer_decode(in, &a) != ERR_OK)
		return;
	assert(resolver_answer_encode(&a, again) == ERR_OK);
	assert(str_eq(buf_str(again), in));
	for (size_t i = 0; i < a.count; i++)
		harmless(a.records[i].text, a.type == DNS_TXT ? NULL : ".-_:");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct resolver_question q;
	struct str in;
	struct buf again;

	if (size == 0 || size > IPC_PAYLOAD_MAX)
		return 0;
	in = str_n(data + 1, size - 1);
	buf_init(&again, IPC_PAYLOAD_MAX);
	switch (data[0] % 3) {
	case 0:
		if (resolver_question_decode(in, &q) != ERR_OK)
			break;
		assert(resolver_question_encode(&q, &again) == ERR_OK);
		assert(str_eq(buf_str(&again), in));
		harmless(q.name, ".-_");
		break;
	case 1:
		answer(in, &again);
		break;
	case 2:
		if (resolver_address_name(in, STR_EMPTY, &again) == ERR_OK)
			harmless(buf_str(&again), ".-");
		break;
	}
	buf_fini(&again);
	return 0;
}
