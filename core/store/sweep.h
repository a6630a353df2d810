#ifndef POSTROOM_STORE_SWEEP_H
#define POSTROOM_STORE_SWEEP_H

#include "core/store/store.h"

/* The daily walk over all homes below root: garbage of processes that died is collected, and what
 * crashed writers left in tmp/. For one process of all. */
struct store_sweep;

/* first_ms: when the first walk begins; 0: after an hour. */
struct store_sweep *
store_sweep_start(struct store *s, struct str root, int64_t first_ms);
/* Before store_free. NULL is allowed. */
void
store_sweep_stop(struct store_sweep *s);

#endif
