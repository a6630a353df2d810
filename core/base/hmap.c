/* Keyed hash map; see hmap.h. Chained, doubles at load 1. */
#include "core/base/hmap.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/rand.h"
#include "core/base/xalloc.h"

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void
hash_setup(void)
{
	rand_bytes(hash_key, sizeof hash_key);
}

static inline uint64_t
rotl(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

struct sip {
	uint64_t a, b, c, d;
};

static inline void
sip_round(struct sip *s)
{
	s->a += s->b;
	s->b = rotl(s->b, 13) ^ s->a;
	s->a = rotl(s->a, 32);
	s->c += s->d;
	s->d = rotl(s->d, 16) ^ s->c;
	s->a += s->d;
	s->d = rotl(s->d, 21) ^ s->a;
	s->c += s->b;
	s->b = rotl(s->b, 17) ^ s->c;
	s->c = rotl(s->c, 32);
}

uint64_t
hash_keyed(const uint64_t key[2], struct str in)
{
	struct sip s = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
		key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
	uint64_t word;
	size_t i = 0;

	for (; i + 8 <= in.n; i += 8) {
		memcpy(&word, in.p + i, 8);
		s.d ^= word;
		sip_round(&s);
		s.a ^= word;
	}
	word = 0;
	if (i < in.n)
		memcpy(&word, in.p + i, in.n - i);
	word |= (uint64_t)in.n << 56;
	s.d ^= word;
	sip_round(&s);
	s.a ^= word;
	s.c ^= 0xff;
	for (int k = 0; k < 3; k++)
		sip_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}

uint64_t
hash_bytes(struct str in)
{
	(void)pthread_once(&hash_once, hash_setup);
	return hash_keyed(hash_key, in);
}

void
hmap_init(struct hmap *m)
{
	*m = (struct hmap){ .slots = NULL };
}

void
hmap_fini(struct hmap *m)
{
	free(m->slots);
	hmap_init(m);
}

struct hmap_node *
hmap_get(const struct hmap *m, struct str key)
{
	if (m->n == 0)
		return NULL;
	uint64_t hash = hash_bytes(key);

	for (struct hmap_node *n = m->slots[hash & (m->slot_count - 1)]; n != NULL; n = n->next)
		if (n->hash == hash && str_eq(n->key, key))
			return n;
	return NULL;
}

static void
rehash(struct hmap *m)
{
	size_t count = m->slot_count != 0 ? m->slot_count * 2 : 16;
	struct hmap_node **slots = xcalloc(count, sizeof *slots);

	for (size_t i = 0; i < m->slot_count; i++)
		for (struct hmap_node *n = m->slots[i], *next; n != NULL; n = next) {
			next = n->next;
			n->next = slots[n->hash & (count - 1)];
			slots[n->hash & (count - 1)] = n;
		}
	free(m->slots);
	m->slots = slots;
	m->slot_count = count;
}

void
hmap_put(struct hmap *m, struct hmap_node *node, struct str key)
{
	if (m->n >= m->slot_count)
		rehash(m);
	node->key = key;
	node->hash = hash_bytes(key);
	struct hmap_node **slot = &m->slots[node->hash & (m->slot_count - 1)];

	node->next = *slot;
	*slot = node;
	m->n++;
}

void
hmap_remove(struct hmap *m, struct hmap_node *node)
{
	struct hmap_node **at = &m->slots[node->hash & (m->slot_count - 1)];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->next = NULL;
	m->n--;
}

struct hmap_node *
hmap_next(const struct hmap *m, const struct hmap_node *after)
{
	size_t i = 0;

	if (after != NULL) {
		if (after->next != NULL)
			return after->next;
		i = (after->hash & (m->slot_count - 1)) + 1;
	}
	for (; i < m->slot_count; i++)
		if (m->slots[i] != NULL)
			return m->slots[i];
	return NULL;
}
