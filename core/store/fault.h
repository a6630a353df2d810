#ifndef POSTROOM_STORE_FAULT_H
#define POSTROOM_STORE_FAULT_H

#include <stdbool.h>

/* Failures on order, for tests: the n-th write, sync or commit of this process fails. Only in
 * sanitizer and fuzzing builds; elsewhere fault_hit is constant false. */
enum fault_site {
	FAULT_WRITE,  /* a write of message bytes: no space */
	FAULT_SYNC,   /* an fsync of a message file: input/output error */
	FAULT_COMMIT, /* the sync inside an index commit: input/output error */
	FAULT_PUT,    /* a put into the index, once a batch was begun: fails the batch */
	FAULT_READ,   /* a message file brought into memory: input/output error */
	FAULT_SITES,
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STORE_FAULTS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STORE_FAULTS 1
#endif
#endif
#ifndef STORE_FAULTS
#define STORE_FAULTS 0
#endif

#if STORE_FAULTS
/* The n-th call of fault_hit(site) from now on says true; 0: none. */
void
fault_arm(enum fault_site site, unsigned nth);
bool
fault_hit(enum fault_site site);
#else
static inline bool
fault_hit(enum fault_site site)
{
	(void)site;
	return false;
}
#endif

#endif
