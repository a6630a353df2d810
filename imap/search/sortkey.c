/* Keys of SORT; see sortkey.h. Called by sort.c, and by thread_load.c for subjects. Invariant: a
 * text ends with an octet that no text holds, so no key is the beginning of another. */
#include "imap/search/sortkey.h"

#include <endian.h>

#include "core/mail/charset.h"
#include "core/mail/encoded.h"
#include "core/mail/subject.h"

enum { KEY_MAX_BYTES = 16 * 1024, TEXT_MAX = 1024 * 1024 };
enum { ENVELOPE_SUBJECT = 1, ENVELOPE_FROM = 2, ENVELOPE_TO = 5, ENVELOPE_CC = 6 };

void
sortkey_init(struct sortkey *k, const struct sort_criterion *criteria, size_t n)
{
	*k = (struct sortkey){ .criteria = criteria, .count = n };
	buf_init(&k->key, KEY_MAX_BYTES);
	buf_init(&k->text, TEXT_MAX);
	buf_init(&k->plain, TEXT_MAX);
	buf_init(&k->folded, TEXT_MAX);
	for (size_t i = 0; i < n; i++) {
		enum sort_kind kind = criteria[i].kind;

		if (kind == SORT_ARRIVAL || kind == SORT_SIZE)
			continue;
		if (kind != SORT_DATE)
			k->part = MESSAGE_ENVELOPE;
		else if (k->part == MESSAGE_NONE)
			k->part = MESSAGE_DATE;
	}
}

void
sortkey_fini(struct sortkey *k)
{
	buf_fini(&k->key);
	buf_fini(&k->text);
	buf_fini(&k->plain);
	buf_fini(&k->folded);
}

/* ---- the envelope's text ---- */

/* A literal behind its "{". */
static bool
take_literal(struct str *in, struct str *out)
{
	size_t close = str_chr(*in, '}');
	uint32_t n;

	if (str_to_u32(str_sub(*in, 0, close), UINT32_MAX, &n) != ERR_OK)
		return false;
	*in = str_from(*in, close + 3); /* }, CR, LF */
	if (n > in->n)
		return false;
	*out = str_sub(*in, 0, n);
	*in = str_from(*in, n);
	return true;
}

/* A quoted string behind its quote; into scratch where it holds a backslash. */
static bool
take_quoted(struct str *in, struct buf *scratch, struct str *out)
{
	size_t i = 0;
	bool escaped = false;

	for (; i < in->n && in->p[i] != '"'; i++)
		if (in->p[i] == '\\') {
			escaped = true;
			i++;
		}
	if (i >= in->n)
		return false;
	*out = str_sub(*in, 0, i);
	*in = str_from(*in, i + 1);
	if (!escaped || scratch == NULL)
		return true;
	size_t from = scratch->n;

	for (i = 0; i < out->n; i++) {
		if (out->p[i] == '\\')
			i++;
		buf_addc(scratch, out->p[i]);
	}
	*out = str_from(buf_str(scratch), from);
	return true;
}

/* False: NIL, or none; then out is empty. */
static bool
take_nstring(struct str *in, struct buf *scratch, struct str *out)
{
	char c = in->n != 0 ? in->p[0] : '\0';

	*out = STR_EMPTY;
	if (c == '"' || c == '{') {
		*in = str_from(*in, 1);
		return c == '"' ? take_quoted(in, scratch, out) : take_literal(in, out);
	}
	*in = str_from(*in, 3);
	return false;
}

/* A string, NIL or a list, and the space behind it. */
static void
skip_value(struct str *in)
{
	unsigned depth = 0;
	struct str ignored;

	do {
		char c = in->n != 0 ? in->p[0] : '\0';

		if (c == '(' || c == ')' || c == ' ') {
			depth += c == '(';
			depth -= c == ')' && depth != 0;
			*in = str_from(*in, 1);
		} else {
			(void)take_nstring(in, NULL, &ignored);
		}
	} while (depth != 0 && in->n != 0);
	if (in->n != 0 && in->p[0] == ' ')
		*in = str_from(*in, 1);
}

static struct str
envelope_item(struct str envelope, unsigned n)
{
	struct str in = str_from(envelope, 1);

	while (n-- != 0)
		skip_value(&in);
	return in;
}

bool
sortkey_subject(struct str envelope, struct buf *scratch, struct str *out)
{
	struct str in = envelope_item(envelope, ENVELOPE_SUBJECT);

	buf_reset(scratch);
	return take_nstring(&in, scratch, out);
}

/* The first address of a list; false: there is none. */
static bool
first_address(
	struct str in, struct buf *scratch, struct str *name, struct str *mailbox, struct str *host)
{
	struct str route;

	buf_reset(scratch);
	/* no string may move the scratch below another one */
	if (buf_reserve(scratch, in.n) == NULL || !str_starts(in, STR("((")))
		return false;
	in = str_from(in, 2);
	(void)take_nstring(&in, scratch, name);
	in = str_from(in, 1);
	(void)take_nstring(&in, scratch, &route);
	in = str_from(in, 1);
	(void)take_nstring(&in, scratch, mailbox);
	in = str_from(in, 1);
	(void)take_nstring(&in, scratch, host);
	return true;
}

/* ---- the key ---- */

static void
invert(struct buf *b, size_t from)
{
	char *p = b->mem + b->head;

	for (size_t i = from; i < b->n; i++)
		p[i] = (char)~p[i];
}

static void
add_number(struct sortkey *k, uint64_t v)
{
	v = htobe64(v);
	buf_add(&k->key, str_n(&v, sizeof v));
}

/* folded: what charset_fold made. */
static void
add_text(struct sortkey *k, struct str folded)
{
	size_t from = k->key.n;

	buf_add(&k->key, str_sub(folded, 0, SORTKEY_TEXT_MAX));
	char *p = k->key.mem != NULL ? k->key.mem + k->key.head : NULL;

	for (size_t i = from; i < k->key.n; i++)
		if (p[i] == '\0')
			p[i] = '\1';
	buf_addc(&k->key, '\0');
}

static void
add_folded(struct sortkey *k, struct str text)
{
	buf_reset(&k->folded);
	/* folding does not make a text shorter than a third */
	charset_fold(&k->folded, str_sub(text, 0, SORTKEY_TEXT_MAX * 3));
	add_text(k, buf_str(&k->folded));
}

static void
add_address(struct sortkey *k, struct str list, bool display)
{
	struct str name = STR_EMPTY, mailbox = STR_EMPTY, host = STR_EMPTY;

	if (!first_address(list, &k->text, &name, &mailbox, &host) || !display) {
		add_folded(k, mailbox);
		return;
	}
	buf_reset(&k->plain);
	if (name.n != 0)
		encoded_decode(&k->plain, name);
	/* a name that says nothing is none: RFC 5957 3 */
	if (k->plain.n == 0) {
		buf_add(&k->plain, mailbox);
		if (host.n != 0)
			buf_addc(&k->plain, '@');
		buf_add(&k->plain, host);
	}
	add_folded(k, buf_str(&k->plain));
}

static void
add_subject(struct sortkey *k, struct str envelope)
{
	struct str subject;

	buf_reset(&k->folded);
	if (sortkey_subject(envelope, &k->text, &subject))
		subject_base(&k->folded, subject, NULL);
	add_text(k, buf_str(&k->folded));
}

static uint64_t
from_signed(int64_t v)
{
	return (uint64_t)v ^ (uint64_t)1 << 63;
}

static void
add_criterion(struct sortkey *k, const struct sort_criterion *c, const struct entry *e,
	const struct message *m, struct str envelope)
{
	size_t from = k->key.n;

	switch (c->kind) {
	case SORT_ARRIVAL:
		add_number(k, from_signed(e->internal_sec));
		break;
	case SORT_DATE:
		add_number(k, from_signed(sortkey_date(e, m)));
		break;
	case SORT_SIZE:
		add_number(k, e->size);
		break;
	case SORT_CC:
		add_address(k, envelope_item(envelope, ENVELOPE_CC), false);
		break;
	case SORT_FROM:
	case SORT_DISPLAYFROM:
		add_address(k, envelope_item(envelope, ENVELOPE_FROM), c->kind == SORT_DISPLAYFROM);
		break;
	case SORT_TO:
	case SORT_DISPLAYTO:
		add_address(k, envelope_item(envelope, ENVELOPE_TO), c->kind == SORT_DISPLAYTO);
		break;
	case SORT_SUBJECT:
		add_subject(k, envelope);
		break;
	}
	if (c->reverse)
		invert(&k->key, from);
}

enum err
sortkey_make(struct sortkey *k, const struct entry *e, struct message *m)
{
	struct str envelope = STR_EMPTY;

	if (k->part == MESSAGE_ENVELOPE) {
		enum err err = message_envelope(m, &envelope);

		if (err != ERR_OK)
			return err;
	}
	buf_reset(&k->key);
	for (size_t i = 0; i < k->count; i++)
		add_criterion(k, &k->criteria[i], e, m, envelope);
	return buf_check(&k->key);
}
