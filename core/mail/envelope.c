/* ENVELOPE text; called by the store once for each message, and by bodystructure.c for enclosed
 * ones. Invariant: ten items in a pair of parentheses for any header. */
#include "core/mail/envelope.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/mail/address.h"
#include "core/mail/header.h"
#include "core/mail/imaptext.h"

enum field {
	F_DATE,
	F_SUBJECT,
	F_FROM,
	F_SENDER,
	F_REPLY_TO,
	F_TO,
	F_CC,
	F_BCC,
	F_IN_REPLY_TO,
	F_MESSAGE_ID,
	F_COUNT,
};

static const struct str field_names[F_COUNT] = { { "date", 4 }, { "subject", 7 }, { "from", 4 },
	{ "sender", 6 }, { "reply-to", 8 }, { "to", 2 }, { "cc", 2 }, { "bcc", 3 },
	{ "in-reply-to", 11 }, { "message-id", 10 } };

/* The values of one field, in order. Most have one. */
struct values {
	struct str last;
	struct str *v; /* only when there are several */
	size_t n;
	size_t cap;
};

static enum field
field_of(struct str name)
{
	for (enum field f = 0; f < F_COUNT; f++)
		if (str_ieq(name, field_names[f]))
			return f;
	return F_COUNT;
}

static bool
is_list(enum field f)
{
	return f >= F_FROM && f <= F_BCC;
}

static void
add_value(struct values *vs, struct str value, bool list)
{
	if (list && vs->n != 0) {
		if (vs->n >= vs->cap) {
			vs->cap = vs->cap == 0 ? 4 : vs->cap * 2;
			vs->v = xrealloc(vs->v, vs->cap * sizeof *vs->v);
		}
		vs->v[0] = vs->n == 1 ? vs->last : vs->v[0];
		vs->v[vs->n] = value;
	}
	if (!list || vs->n == 0)
		vs->last = value;
	vs->n = list ? vs->n + 1 : 1;
}

static void
add_address(struct buf *out, const struct address *a)
{
	const struct str nil = { NULL, 0 };

	buf_addc(out, '(');
	switch (a->kind) {
	case ADDRESS_GROUP_START:
		buf_addz(out, "NIL NIL ");
		imaptext_string(out, a->local);
		buf_addz(out, " NIL");
		break;
	case ADDRESS_GROUP_END:
		buf_addz(out, "NIL NIL NIL NIL");
		break;
	case ADDRESS_MAILBOX:
		imaptext_nstring(out, a->name.n != 0 ? a->name : nil);
		buf_addc(out, ' ');
		imaptext_nstring(out, a->route.n != 0 ? a->route : nil);
		buf_addc(out, ' ');
		imaptext_string(out, a->local.n != 0 ? a->local : STR("MISSING_MAILBOX"));
		buf_addc(out, ' ');
		if (a->domain.n != 0 && !a->broken)
			imaptext_string(out, a->domain);
		else
			buf_addz(out, a->broken ? "\"SYNTAX_ERROR\"" : "\"MISSING_DOMAIN\"");
		break;
	}
	buf_addc(out, ')');
}

/* False and nothing added when there is no address in vs. */
static bool
add_addresses(struct buf *out, const struct values *vs)
{
	bool any = false;

	for (size_t i = 0; i < vs->n && !out->over; i++) {
		struct address_iter it;
		struct address a;

		address_iter_init(&it, vs->n == 1 ? vs->last : vs->v[i]);
		while (!out->over && address_next(&it, &a)) {
			if (!any)
				buf_addc(out, '(');
			any = true;
			add_address(out, &a);
		}
		address_iter_fini(&it);
	}
	if (any)
		buf_addc(out, ')');
	return any;
}

static void
add_field(struct buf *out, const struct values *all, enum field f)
{
	const struct values *vs = &all[f];

	if (!is_list(f)) {
		struct str none = { NULL, 0 };

		imaptext_nstring_unfold(out, vs->n != 0 ? vs->last : none);
		return;
	}
	if (add_addresses(out, vs))
		return;
	if ((f == F_SENDER || f == F_REPLY_TO) && add_addresses(out, &all[F_FROM]))
		return;
	buf_addz(out, "NIL");
}

enum err
envelope_format(struct buf *out, struct str header)
{
	struct values all[F_COUNT] = { 0 };
	struct header_iter it;
	struct header_field field;

	header_iter_init(&it, header);
	while (header_next(&it, &field)) {
		enum field f = field_of(field.name);

		if (f != F_COUNT)
			add_value(&all[f], field.value, is_list(f));
	}
	buf_addc(out, '(');
	for (enum field f = 0; f < F_COUNT; f++) {
		if (f != 0)
			buf_addc(out, ' ');
		add_field(out, all, f);
	}
	buf_addc(out, ')');
	for (enum field f = 0; f < F_COUNT; f++)
		free(all[f].v);
	return buf_check(out);
}
