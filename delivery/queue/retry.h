#ifndef POSTROOM_QUEUE_RETRY_H
#define POSTROOM_QUEUE_RETRY_H

#include <stdint.h>

/* How long to wait after the attempts-th failed try (from 1): doubles from min_ms up to max_ms,
 * then up to a quarter less or more by chance, so that what failed together does not come back
 * together. chance: a random number. Never below min_ms / 2 nor above max_ms. */
int64_t
retry_wait_ms(unsigned attempts, int64_t min_ms, int64_t max_ms, uint64_t chance);

#endif
