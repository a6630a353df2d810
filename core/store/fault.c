/* Failures on order; see fault.h. Called by blob_local.c and kv_lmdb.c from pool threads. */
#include "core/store/fault.h"

#include <stdatomic.h>

#if STORE_FAULTS
static atomic_uint countdown[FAULT_SITES];

void
fault_arm(enum fault_site site, unsigned nth)
{
	atomic_store(&countdown[site], nth);
}

bool
fault_hit(enum fault_site site)
{
	unsigned left = atomic_load(&countdown[site]);

	while (left != 0)
		if (atomic_compare_exchange_weak(&countdown[site], &left, left - 1))
			return left == 1;
	return false;
}
#else
/* ISO C wants a declaration in every file. */
extern int fault_unused;
#endif
