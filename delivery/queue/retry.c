/* The schedule of retries, for queue.c: arithmetic only, so that tests can ask it everything. */
#include "delivery/queue/retry.h"

int64_t
retry_wait_ms(unsigned attempts, int64_t min_ms, int64_t max_ms, uint64_t chance)
{
	int64_t wait = min_ms, spread;

	if (max_ms < min_ms)
		max_ms = min_ms;
	for (unsigned i = 1; i < attempts && wait < max_ms; i++)
		wait *= 2;
	if (wait > max_ms)
		wait = max_ms;
	spread = wait / 2;
	if (spread > 0)
		wait += (int64_t)(chance % (uint64_t)(spread + 1)) - spread / 2;
	if (wait > max_ms)
		wait = max_ms;
	return wait < 1 ? 1 : wait;
}
