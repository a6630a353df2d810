/* The record of one message in queue.mdb, as bytes: little endian, counted strings, a version in
 * front and a CRC32C behind. Called by queue.c. Decoding believes nothing: a count is checked
 * against the bytes that are left before anything is allocated. */
#include "delivery/queue/record.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/codec.h"

/* Version 1 knew no RECORD_HELD, 1 and 2 no ORIG_TOLD and RCPT_TOLD; otherwise they are the same.
 */
enum { RECORD_VERSION = 3, ORIG_MIN_SIZE = 15, RCPT_MIN_SIZE = 23 };
enum { RECORD_DONE = 1, RECORD_HELD = 2, ORIG_EXPANDED = 1, ORIG_TOLD = 2, RCPT_TOLD = 0x80 };

static void
put(struct buf *b, uint64_t v, size_t n)
{
	char bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(v >> (8 * i));
	buf_add(b, str_n(bytes, n));
}

static void
put_str(struct buf *b, struct str s)
{
	put(b, s.n, 4);
	buf_add(b, s);
}

enum err
record_encode(const struct record *r, struct buf *out)
{
	size_t start = out->n;

	buf_addz(out, "QREC");
	put(out, RECORD_VERSION, 1);
	put(out, (r->done ? RECORD_DONE : 0U) | (r->held ? RECORD_HELD : 0U), 1);
	put_str(out, r->id);
	put_str(out, r->sender);
	put_str(out, r->sid);
	put(out, (uint64_t)r->received_ms, 8);
	put(out, r->size, 8);
	put(out, r->flags, 4);
	put(out, r->origs_count, 4);
	for (uint32_t i = 0; i < r->origs_count; i++) {
		const struct record_orig *o = &r->origs[i];
		put_str(out, o->address);
		put(out, (o->expanded ? ORIG_EXPANDED : 0U) | (o->told ? ORIG_TOLD : 0U), 1);
		put(out, o->attempts, 2);
		put(out, (uint64_t)o->next_ms, 8);
	}
	put(out, r->rcpts_count, 4);
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		const struct record_rcpt *c = &r->rcpts[i];
		put_str(out, c->address);
		put(out, c->orig, 4);
		put(out, (uint64_t)c->state | (c->told ? RCPT_TOLD : 0U), 1);
		put(out, c->attempts, 2);
		put(out, (uint64_t)c->next_ms, 8);
		put_str(out, c->reply);
	}
	if (buf_check(out) != ERR_OK)
		return ERR_LIMIT;
	put(out, crc32c(0, str_from(buf_str(out), start)), 4);
	return buf_check(out);
}

static enum err
get(struct str *in, size_t n, uint64_t *out)
{
	uint64_t v = 0;

	if (in->n < n)
		return ERR_CORRUPT;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)in->p[i] << (8 * i);
	*in = str_from(*in, n);
	*out = v;
	return ERR_OK;
}

static enum err
get_str(struct str *in, struct arena *a, struct str *out)
{
	uint64_t n = 0;
	enum err e = get(in, 4, &n);

	if (e != ERR_OK)
		return e;
	if (n > in->n)
		return ERR_CORRUPT;
	e = arena_str(a, str_sub(*in, 0, n), out);
	*in = str_from(*in, n);
	return e;
}

static enum err
get_orig(struct str *in, struct arena *a, bool can_tell, struct record_orig *o)
{
	uint64_t how = 0, attempts = 0, next = 0;
	enum err e = get_str(in, a, &o->address);

	if (e == ERR_OK)
		e = get(in, 1, &how);
	if (e == ERR_OK)
		e = get(in, 2, &attempts);
	if (e == ERR_OK)
		e = get(in, 8, &next);
	if (e == ERR_OK && how > (can_tell ? ORIG_EXPANDED | ORIG_TOLD : ORIG_EXPANDED))
		e = ERR_CORRUPT;
	o->expanded = (how & ORIG_EXPANDED) != 0;
	o->told = (how & ORIG_TOLD) != 0;
	o->attempts = (uint16_t)attempts;
	o->next_ms = (int64_t)next;
	return e;
}

static enum err
get_rcpt(
	struct str *in, struct arena *a, bool can_tell, uint32_t origs_count, struct record_rcpt *c)
{
	uint64_t orig = 0, state = 0, attempts = 0, next = 0;
	enum err e = get_str(in, a, &c->address);

	if (e == ERR_OK)
		e = get(in, 4, &orig);
	if (e == ERR_OK)
		e = get(in, 1, &state);
	if (e == ERR_OK)
		e = get(in, 2, &attempts);
	if (e == ERR_OK)
		e = get(in, 8, &next);
	if (e == ERR_OK)
		e = get_str(in, a, &c->reply);
	c->told = can_tell && (state & RCPT_TOLD) != 0;
	if (c->told)
		state &= ~(uint64_t)RCPT_TOLD;
	if (e == ERR_OK && (orig >= origs_count || state > RCPT_REPORTED))
		e = ERR_CORRUPT;
	c->orig = (uint32_t)orig;
	c->state = (enum rcpt_state)state;
	c->attempts = (uint16_t)attempts;
	c->next_ms = (int64_t)next;
	return e;
}

static enum err
get_head(struct str *in, struct arena *a, bool *can_tell_out, struct record *out)
{
	uint64_t version = 0, how = 0, received = 0, flags = 0;
	enum err e;

	if (!str_starts(*in, STR("QREC")))
		return ERR_CORRUPT;
	*in = str_from(*in, 4);
	e = get(in, 1, &version);
	if (e == ERR_OK)
		e = get(in, 1, &how);
	if (e == ERR_OK && (version < 1 || version > RECORD_VERSION))
		e = ERR_CORRUPT;
	if (e == ERR_OK && how > (version == 1 ? RECORD_DONE : RECORD_DONE | RECORD_HELD))
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		e = get_str(in, a, &out->id);
	if (e == ERR_OK)
		e = get_str(in, a, &out->sender);
	if (e == ERR_OK)
		e = get_str(in, a, &out->sid);
	if (e == ERR_OK)
		e = get(in, 8, &received);
	if (e == ERR_OK)
		e = get(in, 8, &out->size);
	if (e == ERR_OK)
		e = get(in, 4, &flags);
	*can_tell_out = version >= 3;
	out->done = (how & RECORD_DONE) != 0;
	out->held = (how & RECORD_HELD) != 0;
	out->received_ms = (int64_t)received;
	out->flags = (unsigned)flags;
	return e;
}

/* A count of things that each take at least min_size of the bytes left. */
static enum err
get_count(struct str *in, size_t min_size, uint32_t *out)
{
	uint64_t n = 0;
	enum err e = get(in, 4, &n);

	if (e == ERR_OK && n > in->n / min_size)
		e = ERR_CORRUPT;
	*out = (uint32_t)n;
	return e;
}

enum err
record_decode(struct str bytes, struct arena *a, struct record *out)
{
	struct str in, sum;
	uint64_t crc = 0;
	bool can_tell = false;
	enum err e;

	memset(out, 0, sizeof(*out));
	if (bytes.n < 4)
		return ERR_CORRUPT;
	in = str_sub(bytes, 0, bytes.n - 4);
	sum = str_from(bytes, bytes.n - 4);
	if (get(&sum, 4, &crc) != ERR_OK || crc != crc32c(0, in))
		return ERR_CORRUPT;
	e = get_head(&in, a, &can_tell, out);
	if (e == ERR_OK)
		e = get_count(&in, ORIG_MIN_SIZE, &out->origs_count);
	if (e != ERR_OK)
		return e;
	out->origs = arena_calloc(a, out->origs_count + 1U, sizeof(*out->origs));
	if (out->origs == NULL)
		return ERR_LIMIT;
	for (uint32_t i = 0; e == ERR_OK && i < out->origs_count; i++)
		e = get_orig(&in, a, can_tell, &out->origs[i]);
	if (e == ERR_OK)
		e = get_count(&in, RCPT_MIN_SIZE, &out->rcpts_count);
	if (e != ERR_OK)
		return e;
	out->rcpts_room = out->rcpts_count;
	out->rcpts = arena_calloc(a, out->rcpts_count + 1U, sizeof(*out->rcpts));
	if (out->rcpts == NULL)
		return ERR_LIMIT;
	for (uint32_t i = 0; e == ERR_OK && i < out->rcpts_count; i++)
		e = get_rcpt(&in, a, can_tell, out->origs_count, &out->rcpts[i]);
	return e == ERR_OK && in.n != 0 ? ERR_CORRUPT : e;
}

int64_t
record_next_ms(const struct record *r)
{
	int64_t next = INT64_MAX;

	for (uint32_t i = 0; i < r->origs_count; i++) {
		if (!r->origs[i].expanded && r->origs[i].next_ms < next)
			next = r->origs[i].next_ms;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		const struct record_rcpt *c = &r->rcpts[i];
		if (c->state == RCPT_FAILED)
			return 0; /* a report is owed */
		if (c->state == RCPT_WAITING && c->next_ms < next)
			next = c->next_ms;
	}
	return next;
}

struct record_rcpt *
record_add_rcpt(struct record *r, struct arena *a, struct str address, uint32_t orig)
{
	struct record_rcpt *c;

	if (r->rcpts_count >= r->rcpts_room) {
		uint32_t room = r->rcpts_room < 8 ? 16 : r->rcpts_room * 2;
		struct record_rcpt *grown = arena_calloc(a, room, sizeof(*grown));
		if (grown == NULL)
			return NULL;
		if (r->rcpts_count != 0)
			memcpy(grown, r->rcpts, r->rcpts_count * sizeof(*grown));
		r->rcpts = grown;
		r->rcpts_room = room;
	}
	c = &r->rcpts[r->rcpts_count];
	memset(c, 0, sizeof(*c));
	if (arena_str(a, address, &c->address) != ERR_OK)
		return NULL;
	c->orig = orig;
	r->rcpts_count++;
	return c;
}

void
record_delivery_id(const struct record *r, uint32_t index, char out[DELIVERY_ID_SIZE])
{
	(void)snprintf(out, DELIVERY_ID_SIZE, "%016" PRIx64 ".%.*s.%" PRIu32,
		(uint64_t)r->received_ms, STR_FMT(r->id), index);
}
