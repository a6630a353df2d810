/* The bytes of a slot's header. Pure functions: writer.c encodes, message.c decodes and owns the
 * sums. Invariant: what encode makes, decode gives back; anything else is ERR_CORRUPT. */
#include "delivery/spool/format.h"

#include "core/base/codec.h"

static const char magic[8] = "PRSLOT1\n";

enum { FORMAT_VERSION = 1 };

enum tag {
	TAG_NAME = 1,
	TAG_SENDER = 2,
	TAG_AUTH_USER = 3,
	TAG_SID = 4,
	TAG_CLIENT = 5,
	TAG_RECEIVED = 6,
	TAG_RCPT = 7,
	TAG_OPTIONAL = 0x80,
	TAG_RET = 0x80, /* u8 */
	TAG_ENVID = 0x81,
	TAG_NOTIFY = 0x82, /* u8, of the recipient in front of it */
	TAG_ORCPT = 0x83,  /* likewise */
};

static void
put_le(char *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(v >> (8 * i) & 255);
}

static uint64_t
get_le(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = n; i > 0; i--)
		v = v << 8 | (unsigned char)p[i - 1];
	return v;
}

bool
spool_name_valid(struct str name)
{
	if (name.n != SPOOL_NAME_LEN)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!ascii_is_digit(name.p[i]) && (name.p[i] < 'a' || name.p[i] > 'f'))
			return false;
	return true;
}

static void
put_field(struct buf *out, enum tag tag, struct str value)
{
	char len[4];

	put_le(len, value.n, 4);
	buf_addc(out, (char)tag);
	buf_add(out, str_n(len, 4));
	buf_add(out, value);
}

static void
put_byte(struct buf *out, enum tag tag, unsigned v)
{
	char byte = (char)v;

	if (v != 0)
		put_field(out, tag, str_n(&byte, 1));
}

enum err
spool_record_encode(const struct spool_envelope *e, struct buf *out)
{
	char received[8];

	put_le(received, (uint64_t)e->received_ms, 8);
	put_field(out, TAG_NAME, e->name);
	put_field(out, TAG_SENDER, e->sender);
	put_field(out, TAG_AUTH_USER, e->auth_user);
	put_field(out, TAG_SID, e->sid);
	put_field(out, TAG_CLIENT, e->client);
	put_field(out, TAG_RECEIVED, str_n(received, 8));
	put_byte(out, TAG_RET, e->ret);
	if (e->envid.n != 0)
		put_field(out, TAG_ENVID, e->envid);
	for (size_t i = 0; i < e->rcpts_count; i++) {
		put_field(out, TAG_RCPT, e->rcpts[i].address);
		put_byte(out, TAG_NOTIFY, e->rcpts[i].notify);
		if (e->rcpts[i].orcpt.n != 0)
			put_field(out, TAG_ORCPT, e->rcpts[i].orcpt);
	}
	return buf_check(out);
}

/* The next field off the front of *in. */
static enum err
get_field(struct str *in, unsigned *tag_out, struct str *value_out)
{
	uint64_t n;

	if (in->n < 5)
		return ERR_CORRUPT;
	*tag_out = (unsigned char)in->p[0];
	n = get_le(in->p + 1, 4);
	if (n > in->n - 5)
		return ERR_CORRUPT;
	*value_out = str_n(in->p + 5, n);
	*in = str_from(*in, 5 + n);
	return ERR_OK;
}

static enum err
count_rcpts(struct str record, size_t *count_out)
{
	*count_out = 0;
	while (record.n > 0) {
		unsigned tag;
		struct str value;
		enum err e = get_field(&record, &tag, &value);
		if (e != ERR_OK)
			return e;
		*count_out += tag == TAG_RCPT;
	}
	return ERR_OK;
}

static enum err
take_short(struct str value, size_t max, struct arena *a, struct str *out)
{
	return value.n <= max ? arena_str(a, value, out) : ERR_CORRUPT;
}

/* A field of the recipient r; NULL: there was none yet. */
static enum err
take_rcpt_field(unsigned tag, struct str value, struct arena *a, struct spool_rcpt *r)
{
	if (r == NULL)
		return ERR_CORRUPT;
	if (tag == TAG_ORCPT)
		return take_short(value, SPOOL_ORCPT_MAX, a, &r->orcpt);
	if (value.n != 1 || !spool_notify_valid((unsigned char)value.p[0]))
		return ERR_CORRUPT;
	r->notify = (unsigned char)value.p[0];
	return ERR_OK;
}

static enum err
take_field(unsigned tag, struct str value, struct arena *a, struct spool_envelope *out)
{
	switch (tag) {
	case TAG_NAME:
		return arena_str(a, value, &out->name);
	case TAG_SENDER:
		return arena_str(a, value, &out->sender);
	case TAG_AUTH_USER:
		return arena_str(a, value, &out->auth_user);
	case TAG_SID:
		return arena_str(a, value, &out->sid);
	case TAG_CLIENT:
		return arena_str(a, value, &out->client);
	case TAG_RECEIVED:
		if (value.n != 8)
			return ERR_CORRUPT;
		out->received_ms = (int64_t)get_le(value.p, 8);
		return ERR_OK;
	case TAG_RET:
		if (value.n != 1 || value.p[0] < 0 || value.p[0] > SPOOL_RET_HDRS)
			return ERR_CORRUPT;
		out->ret = (enum spool_ret)value.p[0];
		return ERR_OK;
	case TAG_ENVID:
		return take_short(value, SPOOL_ENVID_MAX, a, &out->envid);
	default: /* not an enum of ours: any byte can stand here */
		return tag >= TAG_OPTIONAL ? ERR_OK : ERR_CORRUPT;
	}
}

enum err
spool_record_decode(struct str record, struct arena *a, struct spool_envelope *out)
{
	struct spool_rcpt *rcpts;
	size_t count, n = 0;
	enum err e = count_rcpts(record, &count);

	if (e != ERR_OK)
		return e;
	if (count == 0)
		return ERR_CORRUPT;
	rcpts = arena_calloc(a, count, sizeof(*rcpts));
	if (rcpts == NULL)
		return ERR_LIMIT;
	*out = (struct spool_envelope){ .rcpts = rcpts, .rcpts_count = count };
	while (record.n > 0) {
		unsigned tag;
		struct str value;
		e = get_field(&record, &tag, &value);
		if (e == ERR_OK && tag == TAG_RCPT)
			e = arena_str(a, value, &rcpts[n++].address);
		else if (e == ERR_OK && (tag == TAG_NOTIFY || tag == TAG_ORCPT))
			e = take_rcpt_field(tag, value, a, n != 0 ? &rcpts[n - 1] : NULL);
		else if (e == ERR_OK)
			e = take_field(tag, value, a, out);
		if (e != ERR_OK)
			return e;
	}
	return spool_name_valid(out->name) ? ERR_OK : ERR_CORRUPT;
}

void
spool_fixed_encode(const struct spool_fixed *f, char *out)
{
	memcpy(out, magic, sizeof(magic));
	put_le(out + 8, FORMAT_VERSION, 4);
	put_le(out + 12, f->flags, 4);
	put_le(out + 16, f->body_len, 8);
	put_le(out + 24, f->record_off, 8);
	put_le(out + 32, f->record_len, 4);
	put_le(out + 36, f->body_crc, 4);
	put_le(out + 40, f->record_crc, 4);
	put_le(out + 44, crc32c(0, str_n(out, 44)), 4);
}

enum err
spool_fixed_decode(struct str bytes, struct spool_fixed *out)
{
	const char *p = bytes.p;
	bool in_front;

	if (bytes.n < SPOOL_FIXED_SIZE || memcmp(p, magic, sizeof(magic)) != 0)
		return ERR_NOTFOUND;
	if (get_le(p + 44, 4) != crc32c(0, str_n(p, 44)) || get_le(p + 8, 4) != FORMAT_VERSION)
		return ERR_CORRUPT;
	*out = (struct spool_fixed){
		.flags = (unsigned)get_le(p + 12, 4),
		.body_len = get_le(p + 16, 8),
		.record_off = get_le(p + 24, 8),
		.record_len = (uint32_t)get_le(p + 32, 4),
		.body_crc = (uint32_t)get_le(p + 36, 4),
		.record_crc = (uint32_t)get_le(p + 40, 4),
	};
	in_front = out->record_off == SPOOL_FIXED_SIZE &&
		   out->record_len <= SPOOL_FRONT_SIZE - SPOOL_FIXED_SIZE;
	if (out->body_len > INT64_MAX / 2 || out->record_len > SPOOL_RECORD_MAX)
		return ERR_CORRUPT;
	if (!in_front && out->record_off != SPOOL_FRONT_SIZE + out->body_len)
		return ERR_CORRUPT;
	return ERR_OK;
}
