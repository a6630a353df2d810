/* \Recent: which UIDs a session of this process has claimed that the index does not know of yet;
 * see update.h. Called by imap on the loop; claims_run alone is on the pool. Invariant: a claim is
 * in memory until the update that wrote it was committed, or failed; that update rides with the
 * home's next batch, so that a SELECT costs no flush of its own. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/xalloc.h"
#include "core/store/op.h"

enum { CLAIMS_MAX = 16, ALONE_MS = 1000 };

struct claim {
	uint32_t mailbox, until;
};

struct claims {
	struct update update;
	struct home *home; /* a reference */
	struct list link;
	int64_t since_ms; /* of the first of v */
	unsigned n, out_n;
	bool writing;		      /* out is the pool's */
	struct claim v[CLAIMS_MAX];   /* to be written */
	struct claim out[CLAIMS_MAX]; /* in the update that is queued or runs */
};

static uint32_t
latest(const struct claim *v, unsigned n, uint32_t mailbox, uint32_t from)
{
	for (unsigned i = 0; i < n; i++)
		if (v[i].mailbox == mailbox && v[i].until > from)
			from = v[i].until;
	return from;
}

uint32_t
home_recent_from(const struct home *h, uint32_t mailbox, uint32_t recent_from)
{
	const struct claims *c = h->claims;

	if (c == NULL)
		return recent_from;
	return latest(c->v, c->n, mailbox, latest(c->out, c->out_n, mailbox, recent_from));
}

void
claims_free(struct home *h)
{
	if (h->claims == NULL)
		return;
	list_remove(&h->claims->link);
	free(h->claims);
	h->claims = NULL;
}

static enum err
claims_run(struct update *u, struct txn *t)
{
	struct claims *c = CONTAINER_OF(u, struct claims, update);
	struct mailbox_row row;

	for (unsigned i = 0; i < c->out_n; i++) {
		enum err e = op_row_by_id(t, c->out[i].mailbox, &row);

		if (e == ERR_NOTFOUND)
			continue;
		if (e != ERR_OK)
			return e;
		uint32_t until = c->out[i].until < row.uidnext ? c->out[i].until : row.uidnext;

		if (row.recent_from >= until)
			continue;
		row.recent_from = until;
		mailbox_row_put(t, &row);
	}
	return ERR_OK;
}

/* What failed is not tried again: those messages are \Recent once more. */
static void
claims_done(struct update *u, enum err e UNUSED)
{
	struct claims *c = CONTAINER_OF(u, struct claims, update);
	struct home *h = c->home;

	c->out_n = 0;
	c->writing = false;
	if (c->n > 0)
		return;
	claims_free(h);
	home_unref(h);
}

void
claims_join(struct home *h)
{
	struct claims *c = h->claims;

	if (c == NULL || c->writing || c->n == 0)
		return;
	memcpy(c->out, c->v, c->n * sizeof c->v[0]);
	c->out_n = c->n;
	c->n = 0;
	c->writing = true;
	home_enqueue(h, &c->update);
}

static void
write_alone(struct home *h)
{
	h->refs++;
	claims_join(h);
	home_step(h);
	home_unref(h);
}

static void
remember(struct home *h, uint32_t mailbox, uint32_t until)
{
	struct claims *c = h->claims;

	if (c == NULL) {
		c = h->claims = xcalloc(1, sizeof *c);
		c->update.run = claims_run;
		c->update.done = claims_done;
		c->home = home_ref(h);
		list_push_back(&h->store->claimed, &c->link);
	}
	for (unsigned i = 0; i < c->n; i++)
		if (c->v[i].mailbox == mailbox) {
			c->v[i].until = until;
			return;
		}
	if (c->n == CLAIMS_MAX)
		write_alone(h);
	/* Both lists are full: others may claim the same. */
	if (c->n == CLAIMS_MAX)
		return;
	if (c->n == 0)
		c->since_ms = clock_ms();
	c->v[c->n++] = (struct claim){ .mailbox = mailbox, .until = until };
}

uint32_t
home_claim_recent(struct home *h, uint32_t mailbox, uint32_t recent_from, uint32_t until)
{
	uint32_t from = home_recent_from(h, mailbox, recent_from);

	if (from >= until)
		return until;
	remember(h, mailbox, until);
	return from;
}

void
claims_tick(struct store *s, int64_t now_ms)
{
	LIST_FOREACH (node, &s->claimed) {
		struct claims *c = CONTAINER_OF(node, struct claims, link);

		if (now_ms - c->since_ms >= ALONE_MS || s->stopping)
			write_alone(c->home);
	}
}
