/* Random numbers; see rand.h. */
#include "core/base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void
rand_bytes(void *out, size_t n)
{
	char *p = out;

	while (n != 0) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			abort();
		}
		p += got;
		n -= (size_t)got;
	}
}

uint64_t
rand_u64(void)
{
	uint64_t v;

	rand_bytes(&v, sizeof v);
	return v;
}

void
rand_id(char out[RAND_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t v = rand_u64();

	for (int i = 0; i < RAND_ID_SIZE - 1; i++, v >>= 4)
		out[i] = digits[v & 15];
	out[RAND_ID_SIZE - 1] = '\0';
}
