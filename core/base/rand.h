#ifndef POSTROOM_BASE_RAND_H
#define POSTROOM_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Random bytes from the kernel (getrandom); aborts when it has none. */
void
rand_bytes(void *out, size_t n);
uint64_t
rand_u64(void);

enum { RAND_ID_SIZE = 17 };
/* 16 lower-case hex digits and a NUL: session ids, queue ids. */
void
rand_id(char out[RAND_ID_SIZE]);

#endif
