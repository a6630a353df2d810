/* Records of messages, read from queue.mdb or made from the slot's envelope; for attempt.c and the
 * admin socket. Invariant: what is given out lives in the caller's arena alone. */
#include "delivery/queue/stored.h"

enum err
stored_get(struct queue *q, const struct message *m, struct arena *a, struct record *out)
{
	struct buf b;
	enum err e;

	if (!m->recorded)
		return ERR_NOTFOUND;
	buf_init(&b, RECORD_MAX);
	e = state_get(q->state, str_of(m->id), &b);
	if (e == ERR_OK)
		e = record_decode(buf_str(&b), a, out);
	buf_fini(&b);
	return e;
}

enum err
stored_from_envelope(
	struct str id, const struct spool_message *sm, struct arena *a, struct record *out)
{
	const struct spool_envelope *v = &sm->envelope;
	enum err e;

	memset(out, 0, sizeof(*out));
	out->received_ms = v->received_ms;
	out->size = sm->body_len;
	out->flags = v->flags;
	out->ret = v->ret;
	out->origs_count = (uint32_t)v->rcpts_count;
	out->origs = arena_calloc(a, v->rcpts_count + 1, sizeof(*out->origs));
	e = out->origs != NULL ? arena_str(a, id, &out->id) : ERR_LIMIT;
	if (e == ERR_OK)
		e = arena_str(a, v->sender, &out->sender);
	if (e == ERR_OK)
		e = arena_str(a, v->sid, &out->sid);
	if (e == ERR_OK)
		e = arena_str(a, v->envid, &out->envid);
	for (size_t i = 0; e == ERR_OK && i < v->rcpts_count; i++) {
		out->origs[i].notify = v->rcpts[i].notify;
		e = arena_str(a, v->rcpts[i].address, &out->origs[i].address);
		if (e == ERR_OK)
			e = arena_str(a, v->rcpts[i].orcpt, &out->origs[i].orcpt);
	}
	return e;
}

enum err
stored_load(struct queue *q, const struct message *m, struct arena *a, struct record *out)
{
	struct spool_message *sm = NULL;
	enum err e = stored_get(q, m, a, out);

	if (e == ERR_OK || e == ERR_TEMP || e == ERR_LIMIT)
		return e;
	e = spool_open(q->spool, str_of(m->id), &sm);
	if (e != ERR_OK)
		return e;
	e = stored_from_envelope(str_of(m->id), sm, a, out);
	spool_message_close(sm);
	return e;
}
