/* Counts shared by the workers of a role; see counts.h. Master makes the mapping, role.c opens it,
 * gate, imap and smtp count with it.
 *
 * Invariants: a worker writes its own part only; a key is in one slot of it, within PROBES of where
 * its hash points; a slot with a count of 0 is free. The hash is keyed by the mapping, so that
 * nobody outside can choose two keys that meet. */
#include "core/event/counts.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hmap.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"

enum { SLOTS = 16384, PROBES = 32, HEAD_BYTES = 4096 };

struct slot {
	_Atomic uint64_t hash;
	_Atomic uint64_t count;
};

struct counts {
	void *mapping;
	size_t size;
	struct slot *parts; /* SLOTS for each worker */
	unsigned worker, workers;
	uint64_t key[2];
};

static size_t
mapping_size(unsigned workers)
{
	return HEAD_BYTES + (size_t)workers * SLOTS * sizeof(struct slot);
}

int
counts_make(unsigned workers)
{
	uint64_t key[2];
	int fd = memfd_create("postroom-counts", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	rand_bytes(key, sizeof key);
	/* nobody may cut off what others have mapped */
	if (ftruncate(fd, (off_t)mapping_size(workers)) != 0 ||
		pwrite(fd, key, sizeof key, 0) != (ssize_t)sizeof key ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

struct counts *
counts_open(int fd, unsigned worker, unsigned workers)
{
	struct stat st;
	size_t size = mapping_size(workers);
	bool good = worker < workers && fstat(fd, &st) == 0 && (size_t)st.st_size == size;
	void *p = good ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	(void)close(fd);
	if (p == MAP_FAILED)
		return NULL;
	struct counts *c = xcalloc(1, sizeof *c);

	c->mapping = p;
	c->size = size;
	c->parts = (struct slot *)(void *)((char *)p + HEAD_BYTES);
	c->worker = worker;
	c->workers = workers;
	memcpy(c->key, p, sizeof c->key);
	/* what stands there is a predecessor's; pages never touched stay so */
	struct slot *own = c->parts + (size_t)worker * SLOTS;

	for (size_t i = 0; i < SLOTS; i++)
		if (atomic_load(&own[i].count) != 0)
			atomic_store(&own[i].count, 0);
	return c;
}

void
counts_close(struct counts *c)
{
	if (c == NULL)
		return;
	(void)munmap(c->mapping, c->size);
	free(c);
}

static struct slot *
find(const struct counts *c, unsigned worker, uint64_t hash)
{
	struct slot *part = c->parts + (size_t)worker * SLOTS;

	for (unsigned i = 0; i < PROBES; i++) {
		struct slot *s = &part[(hash + i) % SLOTS];

		if (atomic_load(&s->hash) == hash && atomic_load(&s->count) != 0)
			return s;
	}
	return NULL;
}

void
counts_add(struct counts *c, struct str key)
{
	if (c == NULL)
		return;
	uint64_t hash = hash_keyed(c->key, key);
	struct slot *s = find(c, c->worker, hash);
	struct slot *part = c->parts + (size_t)c->worker * SLOTS;

	for (unsigned i = 0; s == NULL && i < PROBES; i++)
		if (atomic_load(&part[(hash + i) % SLOTS].count) == 0) {
			s = &part[(hash + i) % SLOTS];
			atomic_store(&s->hash, hash);
		}
	if (s != NULL)
		atomic_fetch_add(&s->count, 1);
}

void
counts_remove(struct counts *c, struct str key)
{
	if (c == NULL)
		return;
	struct slot *s = find(c, c->worker, hash_keyed(c->key, key));

	if (s != NULL)
		atomic_fetch_sub(&s->count, 1);
}

size_t
counts_get(const struct counts *c, struct str key)
{
	size_t total = 0;

	if (c == NULL)
		return 0;
	uint64_t hash = hash_keyed(c->key, key);

	for (unsigned w = 0; w < c->workers; w++) {
		const struct slot *s = find(c, w, hash);

		total += s != NULL ? (size_t)atomic_load(&s->count) : 0;
	}
	return total;
}
