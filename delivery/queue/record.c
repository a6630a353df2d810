/* The record of one message in queue.mdb, as bytes: little endian, counted strings, a version in
 * front and a CRC32C behind. Called by queue.c. Decoding believes nothing: a count is checked
 * against the bytes that are left before anything is allocated. */
#include "delivery/queue/record.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/codec.h"

/* Version 1 knew no RECORD_HELD, 1 and 2 no ORIG_TOLD and RCPT_TOLD; 4 brought what DSN needs, and
 * senders. Older ones are read as if nobody had asked for anything. */
enum { RECORD_VERSION = 4, VERSION_HELD = 2, VERSION_TOLD = 3, VERSION_DSN = 4 };
enum { ORIG_MIN_SIZE = 15, RCPT_MIN_SIZE = 23, SENDER_MIN_SIZE = 4 };
enum { RECORD_DONE = 1, RECORD_HELD = 2 };
enum { ORIG_EXPANDED = 1, ORIG_TOLD = 2, ORIG_LIST = 4 };
enum { RCPT_OLD_TOLD = 0x80 };				 /* with the state, before version 4 */
enum { RCPT_TOLD = 1, RCPT_LIST = 2, RCPT_RELAYED = 4 }; /* a byte of their own */

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

static void
put_orig(struct buf *out, const struct record_orig *o)
{
	put_str(out, o->address);
	put(out,
		(o->expanded ? ORIG_EXPANDED : 0U) | (o->told ? ORIG_TOLD : 0U) |
			(o->list ? ORIG_LIST : 0U),
		1);
	put(out, o->attempts, 2);
	put(out, (uint64_t)o->next_ms, 8);
	put(out, o->notify, 1);
	put(out, o->success, 1);
	put_str(out, o->orcpt);
}

static void
put_rcpt(struct buf *out, const struct record_rcpt *c)
{
	put_str(out, c->address);
	put(out, c->orig, 4);
	put(out, c->state, 1);
	put(out, c->attempts, 2);
	put(out, (uint64_t)c->next_ms, 8);
	put_str(out, c->reply);
	put(out,
		(c->told ? RCPT_TOLD : 0U) | (c->list ? RCPT_LIST : 0U) |
			(c->relayed ? RCPT_RELAYED : 0U),
		1);
	put(out, c->notify, 1);
	put(out, c->success, 1);
	put(out, c->sender, 4);
	put(out, (uint64_t)c->last_ms, 8);
	put_str(out, c->host);
	put_str(out, c->host_address);
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
	put(out, r->ret, 1);
	put_str(out, r->envid);
	put(out, r->senders_count, 4);
	for (uint32_t i = 0; i < r->senders_count; i++)
		put_str(out, r->senders[i]);
	put(out, r->origs_count, 4);
	for (uint32_t i = 0; i < r->origs_count; i++)
		put_orig(out, &r->origs[i]);
	put(out, r->rcpts_count, 4);
	for (uint32_t i = 0; i < r->rcpts_count; i++)
		put_rcpt(out, &r->rcpts[i]);
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

/* A byte of at most max. */
static enum err
get_byte(struct str *in, unsigned max, unsigned *out)
{
	uint64_t v = 0;
	enum err e = get(in, 1, &v);

	*out = (unsigned)v;
	return e == ERR_OK && v > max ? ERR_CORRUPT : e;
}

static enum err
get_time(struct str *in, int64_t *out)
{
	uint64_t v = 0;
	enum err e = get(in, 8, &v);

	*out = (int64_t)v;
	return e;
}

static enum err
get_attempts(struct str *in, uint16_t *out)
{
	uint64_t v = 0;
	enum err e = get(in, 2, &v);

	*out = (uint16_t)v;
	return e;
}

/* What the sender wants to hear, and whether success is owed. */
static enum err
get_wish(struct str *in, unsigned *notify_out, enum rcpt_success *success_out)
{
	unsigned success = 0;
	enum err e = get_byte(in, UINT8_MAX, notify_out);

	if (e == ERR_OK)
		e = spool_notify_valid(*notify_out) ? get_byte(in, SUCCESS_DONE, &success)
						    : ERR_CORRUPT;
	*success_out = (enum rcpt_success)success;
	return e;
}

static enum err
get_orig(struct str *in, struct arena *a, unsigned version, struct record_orig *o)
{
	unsigned how = 0, how_max = ORIG_EXPANDED;
	enum err e = get_str(in, a, &o->address);

	if (version >= VERSION_TOLD)
		how_max |= ORIG_TOLD;
	if (version >= VERSION_DSN)
		how_max |= ORIG_LIST;
	if (e == ERR_OK)
		e = get_byte(in, how_max, &how);
	if (e == ERR_OK)
		e = get_attempts(in, &o->attempts);
	if (e == ERR_OK)
		e = get_time(in, &o->next_ms);
	if (e == ERR_OK && version >= VERSION_DSN)
		e = get_wish(in, &o->notify, &o->success);
	if (e == ERR_OK && version >= VERSION_DSN)
		e = get_str(in, a, &o->orcpt);
	if (e == ERR_OK && o->orcpt.n > SPOOL_ORCPT_MAX)
		e = ERR_CORRUPT;
	o->expanded = (how & ORIG_EXPANDED) != 0;
	o->told = (how & ORIG_TOLD) != 0;
	o->list = (how & ORIG_LIST) != 0;
	return e;
}

/* What a recipient has since version 4. */
static enum err
get_rcpt_more(struct str *in, struct arena *a, const struct record *r, struct record_rcpt *c)
{
	unsigned how = 0;
	uint64_t sender = 0;
	enum err e = get_byte(in, RCPT_TOLD | RCPT_LIST | RCPT_RELAYED, &how);

	if (e == ERR_OK)
		e = get_wish(in, &c->notify, &c->success);
	if (e == ERR_OK)
		e = get(in, 4, &sender);
	if (e == ERR_OK && sender > r->senders_count)
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		e = get_time(in, &c->last_ms);
	if (e == ERR_OK)
		e = get_str(in, a, &c->host);
	if (e == ERR_OK)
		e = get_str(in, a, &c->host_address);
	c->sender = (uint32_t)sender;
	c->told = (how & RCPT_TOLD) != 0;
	c->list = (how & RCPT_LIST) != 0;
	c->relayed = (how & RCPT_RELAYED) != 0;
	return e;
}

static enum err
get_rcpt(struct str *in, struct arena *a, unsigned version, const struct record *r,
	struct record_rcpt *c)
{
	uint64_t orig = 0, state = 0;
	enum err e = get_str(in, a, &c->address);

	if (e == ERR_OK)
		e = get(in, 4, &orig);
	if (e == ERR_OK)
		e = get(in, 1, &state);
	if (e == ERR_OK)
		e = get_attempts(in, &c->attempts);
	if (e == ERR_OK)
		e = get_time(in, &c->next_ms);
	if (e == ERR_OK)
		e = get_str(in, a, &c->reply);
	if (version == VERSION_TOLD && (state & RCPT_OLD_TOLD) != 0) {
		c->told = true;
		state &= ~(uint64_t)RCPT_OLD_TOLD;
	}
	if (e == ERR_OK && (orig >= r->origs_count || state > RCPT_REPORTED))
		e = ERR_CORRUPT;
	c->orig = (uint32_t)orig;
	c->state = (enum rcpt_state)state;
	return e == ERR_OK && version >= VERSION_DSN ? get_rcpt_more(in, a, r, c) : e;
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

static enum err
get_version(struct str *in, unsigned *version_out, struct record *out)
{
	unsigned how = 0;
	enum err e;

	if (!str_starts(*in, STR("QREC")))
		return ERR_CORRUPT;
	*in = str_from(*in, 4);
	e = get_byte(in, RECORD_VERSION, version_out);
	if (e == ERR_OK && *version_out == 0)
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		e = get_byte(in,
			*version_out < VERSION_HELD ? RECORD_DONE : RECORD_DONE | RECORD_HELD,
			&how);
	out->done = (how & RECORD_DONE) != 0;
	out->held = (how & RECORD_HELD) != 0;
	return e;
}

/* What a message has since version 4. */
static enum err
get_head_more(struct str *in, struct arena *a, struct record *out)
{
	unsigned ret = 0;
	enum err e = get_byte(in, SPOOL_RET_HDRS, &ret);

	out->ret = (enum spool_ret)ret;
	if (e == ERR_OK)
		e = get_str(in, a, &out->envid);
	if (e == ERR_OK && out->envid.n > SPOOL_ENVID_MAX)
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		e = get_count(in, SENDER_MIN_SIZE, &out->senders_count);
	if (e != ERR_OK)
		return e;
	out->senders_room = out->senders_count;
	out->senders = arena_calloc(a, out->senders_count + 1U, sizeof(*out->senders));
	if (out->senders == NULL)
		return ERR_LIMIT;
	for (uint32_t i = 0; e == ERR_OK && i < out->senders_count; i++)
		e = get_str(in, a, &out->senders[i]);
	return e;
}

static enum err
get_head(struct str *in, struct arena *a, unsigned *version_out, struct record *out)
{
	uint64_t flags = 0;
	enum err e = get_version(in, version_out, out);

	if (e == ERR_OK)
		e = get_str(in, a, &out->id);
	if (e == ERR_OK)
		e = get_str(in, a, &out->sender);
	if (e == ERR_OK)
		e = get_str(in, a, &out->sid);
	if (e == ERR_OK)
		e = get_time(in, &out->received_ms);
	if (e == ERR_OK)
		e = get(in, 8, &out->size);
	if (e == ERR_OK)
		e = get(in, 4, &flags);
	out->flags = (unsigned)flags;
	return e == ERR_OK && *version_out >= VERSION_DSN ? get_head_more(in, a, out) : e;
}

enum err
record_decode(struct str bytes, struct arena *a, struct record *out)
{
	struct str in, sum;
	uint64_t crc = 0;
	unsigned version = 0;
	enum err e;

	memset(out, 0, sizeof(*out));
	if (bytes.n < 4)
		return ERR_CORRUPT;
	in = str_sub(bytes, 0, bytes.n - 4);
	sum = str_from(bytes, bytes.n - 4);
	if (get(&sum, 4, &crc) != ERR_OK || crc != crc32c(0, in))
		return ERR_CORRUPT;
	e = get_head(&in, a, &version, out);
	if (e == ERR_OK)
		e = get_count(&in, ORIG_MIN_SIZE, &out->origs_count);
	if (e != ERR_OK)
		return e;
	out->origs = arena_calloc(a, out->origs_count + 1U, sizeof(*out->origs));
	if (out->origs == NULL)
		return ERR_LIMIT;
	for (uint32_t i = 0; e == ERR_OK && i < out->origs_count; i++)
		e = get_orig(&in, a, version, &out->origs[i]);
	if (e == ERR_OK)
		e = get_count(&in, RCPT_MIN_SIZE, &out->rcpts_count);
	if (e != ERR_OK)
		return e;
	out->rcpts_room = out->rcpts_count;
	out->rcpts = arena_calloc(a, out->rcpts_count + 1U, sizeof(*out->rcpts));
	if (out->rcpts == NULL)
		return ERR_LIMIT;
	for (uint32_t i = 0; e == ERR_OK && i < out->rcpts_count; i++)
		e = get_rcpt(&in, a, version, out, &out->rcpts[i]);
	return e == ERR_OK && in.n != 0 ? ERR_CORRUPT : e;
}

int64_t
record_next_ms(const struct record *r)
{
	int64_t next = INT64_MAX;

	for (uint32_t i = 0; i < r->origs_count; i++) {
		if (r->origs[i].success == SUCCESS_DUE)
			return 0;
		if (!r->origs[i].expanded && r->origs[i].next_ms < next)
			next = r->origs[i].next_ms;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		const struct record_rcpt *c = &r->rcpts[i];
		if (c->state == RCPT_FAILED || c->success == SUCCESS_DUE)
			return 0; /* a report is owed */
		if (c->state == RCPT_WAITING && c->next_ms < next)
			next = c->next_ms;
	}
	return next;
}

void
record_limit_waits(struct record *r, int64_t latest_ms)
{
	for (uint32_t i = 0; i < r->origs_count; i++) {
		if (r->origs[i].next_ms > latest_ms)
			r->origs[i].next_ms = 0;
	}
	for (uint32_t i = 0; i < r->rcpts_count; i++) {
		if (r->rcpts[i].next_ms > latest_ms)
			r->rcpts[i].next_ms = 0;
	}
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
	c->notify = r->origs[orig].notify;
	r->rcpts_count++;
	return c;
}

enum err
record_set_sender(struct record *r, struct arena *a, struct record_rcpt *c, struct str sender)
{
	uint32_t i = r->senders_count;

	c->sender = 0;
	if (str_eq(sender, r->sender))
		return ERR_OK;
	while (i > 0 && !str_eq(r->senders[i - 1], sender))
		i--;
	if (i == 0 && r->senders_count >= r->senders_room) {
		uint32_t room = r->senders_room < 4 ? 8 : r->senders_room * 2;
		struct str *grown = arena_calloc(a, room, sizeof(*grown));
		if (grown == NULL)
			return ERR_LIMIT;
		if (r->senders_count != 0)
			memcpy(grown, r->senders, r->senders_count * sizeof(*grown));
		r->senders = grown;
		r->senders_room = room;
	}
	if (i == 0) {
		if (arena_str(a, sender, &r->senders[r->senders_count]) != ERR_OK)
			return ERR_LIMIT;
		i = ++r->senders_count;
	}
	c->sender = i;
	return ERR_OK;
}

struct str
record_sender(const struct record *r, const struct record_rcpt *c)
{
	return c->sender == 0 ? r->sender : r->senders[c->sender - 1];
}

void
record_delivery_id(const struct record *r, uint32_t index, char out[DELIVERY_ID_SIZE])
{
	(void)snprintf(out, DELIVERY_ID_SIZE, "%016" PRIx64 ".%.*s.%" PRIu32,
		(uint64_t)r->received_ms, STR_FMT(r->id), index);
}
