#ifndef POSTROOM_TESTS_STEADY_H
#define POSTROOM_TESTS_STEADY_H

#include <stdint.h>

/* For a test that has seen what must come before a deadline, and now wants the deadline, without
 * waiting for it: CLOCK_MONOTONIC is so much later at once. Not from inside a loop. */
void
steady_skip(int64_t ms);

#endif
