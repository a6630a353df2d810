#ifndef POSTROOM_STORE_WRITES_H
#define POSTROOM_STORE_WRITES_H

#include "core/store/kv.h"

/* What one update wants written: a list that is applied only when the update succeeded. Point reads
 * of the update see it (txn_get), range reads do not. One thread at a time. */
struct writes;

struct writes *
writes_new(void);
void
writes_free(struct writes *w);
/* Empty; memory kept up to a bound. */
void
writes_reset(struct writes *w);
size_t
writes_count(const struct writes *w);

/* Copies key and value. A later write of a key replaces the earlier one. */
void
writes_put(struct writes *w, enum kv_table table, struct str key, struct str value);
void
writes_del(struct writes *w, enum kv_table table, struct str key);
/* The same for keys that this update writes once and does not read again: not indexed. */
void
writes_put_once(struct writes *w, enum kv_table table, struct str key, struct str value);
void
writes_del_once(struct writes *w, enum kv_table table, struct str key);

enum writes_found { WRITES_NONE, WRITES_PUT, WRITES_DEL };
/* value_out lives until the reset. */
enum writes_found
writes_get(const struct writes *w, enum kv_table table, struct str key, struct str *value_out);

/* In order. Errors as kv_put. */
MUST_USE enum err
writes_apply(const struct writes *w, struct kv_txn *t);

#endif
