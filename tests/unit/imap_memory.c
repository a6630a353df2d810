/* A client that was away; see imap_memory.h. Used by imap_model.c and imap_pair_sync.c. */
#include "tests/unit/imap_memory.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "tests/unit/imap_model.h"

bool
memory_take(struct memory *y, const struct model *m)
{
	*y = (struct memory){ .uidvalidity = m->uidvalidity, .modseq = m->highest };
	if (!m->selected || m->uncertain || m->highest == 0)
		return false;
	for (uint32_t i = 1; i <= m->count; i++)
		if (m->message[i].uid == 0)
			return false;
	y->message = xcalloc(MODEL_MESSAGES_MAX + 1, sizeof *y->message);
	y->count = m->count;
	memcpy(y->message, m->message + 1, m->count * sizeof *y->message);
	return true;
}

void
memory_fini(struct memory *y)
{
	free(y->message);
	y->message = NULL;
}

void
memory_strike(struct memory *y, uint32_t lo, uint32_t hi)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < y->count; i++)
		if (y->message[i].uid < lo || y->message[i].uid > hi)
			y->message[left++] = y->message[i];
	y->count = left;
}

void
memory_put(struct memory *y, const struct known *k)
{
	uint32_t at = 0;

	while (at < y->count && y->message[at].uid < k->uid)
		at++;
	if (at == y->count || y->message[at].uid != k->uid) {
		if (y->count == MODEL_MESSAGES_MAX)
			return;
		memmove(y->message + at + 1, y->message + at, (y->count - at) * sizeof *y->message);
		y->count++;
	}
	y->message[at] = *k;
}

bool
memory_give(const struct memory *y, struct model *m)
{
	if (y->count != m->count)
		return false;
	for (uint32_t i = 1; i <= m->count; i++)
		if (m->message[i].uid != 0 && m->message[i].uid != y->message[i - 1].uid)
			return false;
	memcpy(m->message + 1, y->message, y->count * sizeof *y->message);
	return true;
}
