/* Fuzzes the hand-over's decoder; what it accepts must encode to the same bytes again. */
#include <stdlib.h>

#include "core/event/ipc.h"
#include "core/gate/handover.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handover_login l;
	struct buf b;
	if (handover_decode(str_n(data, size), &l) != ERR_OK)
		return 0;
	buf_init(&b, IPC_PAYLOAD_MAX * 2);
	if (handover_encode(&l, &b) != ERR_OK || !str_eq(buf_str(&b), str_n(data, size)))
		abort();
	buf_fini(&b);
	return 0;
}
