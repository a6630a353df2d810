#ifndef POSTROOM_BASE_HMAP_H
#define POSTROOM_BASE_HMAP_H

#include "core/base/str.h"

/* Hash map with nodes embedded in the objects; the hash is SipHash-1-3 under a
 * random key of the process, so a peer cannot choose collisions. */
struct hmap_node {
	struct hmap_node *next;
	uint64_t hash;
	struct str key; /* borrowed: lives as long as the node is in the map */
};

struct hmap {
	struct hmap_node **slots;
	size_t slot_count;
	size_t n;
};

void
hmap_init(struct hmap *m);
/* Frees the slots; the nodes belong to their objects. */
void
hmap_fini(struct hmap *m);

/* NULL when there is none. */
struct hmap_node *
hmap_get(const struct hmap *m, struct str key);
/* Keeps node and key; the key must not be in the map yet. */
void
hmap_put(struct hmap *m, struct hmap_node *node, struct str key);
/* node must be in m. */
void
hmap_remove(struct hmap *m, struct hmap_node *node);
/* Iterate: start with NULL, ends with NULL. The map may not change, but the
 * node just returned may be removed if its successor was fetched before. */
struct hmap_node *
hmap_next(const struct hmap *m, const struct hmap_node *after);

/* The keyed hash itself. */
uint64_t
hash_bytes(struct str s);
/* The same under a key of the caller's, 16 random bytes: for what several processes share. */
uint64_t
hash_keyed(const uint64_t key[2], struct str s);

#endif
