#ifndef POSTROOM_BASE_CLOCK_H
#define POSTROOM_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Monotonic milliseconds and microseconds, for deadlines and durations. */
int64_t
clock_ms(void);
int64_t
clock_us(void);
/* Milliseconds since 1970-01-01T00:00:00Z. */
int64_t
clock_wall_ms(void);

enum { CLOCK_RFC3339_SIZE = 25 };
/* "2026-11-21T08:00:00.123Z" and a NUL. RFC 3339 5.6. */
void
clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);

#endif
