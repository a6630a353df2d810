#ifndef POSTROOM_STORE_BODY_H
#define POSTROOM_STORE_BODY_H

#include "core/store/store.h"

/* A message on its way in: octets as they come, kept in memory up to 256 KiB, then in a
 * file below the home's tmp/ that the pool writes. Stored as given, but see body_textual. */
struct body;

/* home: where a large body is written first (LMTP: any recipient's); a reference is taken.
 * max_bytes: more is ERR_LIMIT. */
struct body *
body_new(struct home *h, uint64_t max_bytes);
/* Also when writes are on their way; the file vanishes. Not after an op took it. */
void
body_free(struct body *b);

/* Copies bytes. ERR_OK: go on. ERR_AGAIN: taken too, but stop now; room is called when the pool has
 * caught up. ERR_LIMIT: larger than the maximum; ERR_TEMP: the disk refused. After an error
 * the body stays failed and takes no memory. */
MUST_USE enum err
body_write(struct body *b, struct str bytes);
/* Called from the loop. NULL: none. */
void
body_on_room(struct body *b, void (*room)(void *arg), void *arg);
/* Its binary parts with NUL are to be kept as base64 (core/mail/textual.h), which may make it
 * larger than max_bytes. Before it is put. */
void
body_textual(struct body *b);
uint64_t
body_size(const struct body *b);

#endif
