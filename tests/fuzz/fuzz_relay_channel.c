/* The messages between queue and relay: damaged bytes are refused without harm; what decodes
 * encodes to the same bytes, and holds nothing that could end a line of SMTP. */
#include <assert.h>
#include <stdlib.h>

#include "core/event/ipc.h"
#include "delivery/relay/relay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
no_line_ends(struct str s)
{
	assert(str_chr(s, '\r') == s.n && str_chr(s, '\n') == s.n && !str_has_nul(s));
}

static void
request(struct str in, struct buf *again)
{
	struct arena *a = arena_new(65536);
	struct relay_request r;

	if (relay_request_decode(in, a, &r) == ERR_OK) {
		assert(relay_request_encode(&r, again) == ERR_OK);
		assert(str_eq(buf_str(again), in));
		no_line_ends(r.sender);
		no_line_ends(r.envid);
		no_line_ends(r.route);
		for (size_t i = 0; i < r.rcpts_count; i++) {
			no_line_ends(r.rcpts[i].address);
			no_line_ends(r.rcpts[i].orcpt);
		}
	}
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in;
	struct buf again;
	struct relay_result r;
	struct relay_end e;

	if (size == 0 || size > IPC_PAYLOAD_MAX)
		return 0;
	in = str_n(data + 1, size - 1);
	buf_init(&again, IPC_PAYLOAD_MAX);
	switch (data[0] % 3) {
	case 0:
		request(in, &again);
		break;
	case 1:
		if (relay_result_decode(in, &r) != ERR_OK)
			break;
		assert(relay_result_encode(&r, &again) == ERR_OK);
		assert(str_eq(buf_str(&again), in));
		break;
	case 2:
		if (relay_end_decode(in, &e) != ERR_OK)
			break;
		assert(relay_end_encode(&e, &again) == ERR_OK);
		assert(str_eq(buf_str(&again), in));
		break;
	}
	buf_fini(&again);
	return 0;
}
