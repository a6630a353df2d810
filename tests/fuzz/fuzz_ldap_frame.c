/* Any bytes as a stream of LDAP messages: each is within what was given, or it is refused. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "auth-ldap/ldap/frame.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	while (in.n > 0) {
		struct frame f, again;
		enum err e = frame_read(in, 65536, &f);
		if (e != ERR_OK)
			break;
		assert(f.size >= 6 && f.size <= 65536);
		/* what follows does not matter */
		if (f.size < in.n) {
			assert(frame_read(str_sub(in, 0, f.size), 65536, &again) == ERR_OK);
			assert(again.size == f.size && again.id == f.id && again.op == f.op);
		}
		in = str_from(in, f.size);
	}
	return 0;
}
