/* The MIME parser and what is made of its table: ENVELOPE, BODYSTRUCTURE, the compact form,
 * BODY[...] paths. Properties: every range inside the message and inside the parent's body,
 * siblings in order, line counts right, decode(encode(x)) == x, BODY made of BODYSTRUCTURE equals
 * BODY, every part found by its path, damaged compact forms refused or consistent, previews text,
 * binary parts made textual hold what they held. */
#include <stdlib.h>

#include "core/mail/bodystructure.h"
#include "core/mail/envelope.h"
#include "core/mail/preview.h"
#include "core/mail/search.h"
#include "core/mail/textual.h"
#include "core/mail/transfer.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/* Kept from run to run: making them anew would be most of the time. */
static struct buf one, two, three;

static void
reset_buffers(void)
{
	if (one.max == 0) {
		buf_init(&one, 1 << 22);
		buf_init(&two, 1 << 22);
		buf_init(&three, 1 << 22);
	}
	buf_reset(&one);
	buf_reset(&two);
	buf_reset(&three);
}

static uint64_t
count_lines(struct str s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

static void
check_part(const struct mime *m, uint32_t i, struct str msg)
{
	const struct mime_part *p = &m->parts[i];

	CHECK(p->header_off <= msg.n && p->header_len <= msg.n - p->header_off);
	CHECK(p->body_off == p->header_off + p->header_len);
	CHECK(p->body_len <= msg.n - p->body_off);
	CHECK(p->header_lines == count_lines(mime_header(p, msg)));
	CHECK(p->body_lines == count_lines(mime_body(p, msg)));
	CHECK((p->kind == MIME_MESSAGE) == (p->child_count == 1 && p->kind != MIME_MULTIPART));
	if (p->next != MIME_NONE) {
		CHECK(p->next > i && p->next < m->n && m->parts[p->next].parent == p->parent);
		CHECK(m->parts[p->next].header_off >= p->body_off + p->body_len);
	}
	if (i == 0) {
		CHECK(p->parent == MIME_NONE && p->header_off == 0);
		CHECK(p->body_off + p->body_len == msg.n);
		return;
	}
	const struct mime_part *parent = &m->parts[p->parent];

	CHECK(p->parent < i && p->header_off >= parent->body_off);
	CHECK(p->body_off + p->body_len <= parent->body_off + parent->body_len);
}

static void
check_compact(const struct mime *m, struct str msg)
{
	struct mime back;

	reset_buffers();
	mime_encode(&one, m);
	CHECK(mime_decode(&back, buf_str(&one), msg.n) == ERR_OK);
	mime_encode(&two, &back);
	CHECK(str_eq(buf_str(&one), buf_str(&two)));
	for (uint32_t i = 0; i < m->n; i++)
		CHECK(back.parts[i].next == m->parts[i].next &&
			back.parts[i].number == m->parts[i].number &&
			back.parts[i].child_count == m->parts[i].child_count);
	mime_fini(&back);
}

static void
check_paths(const struct mime *m)
{
	for (uint32_t i = 0; i < m->n && i < 40; i++) {
		struct mime_range r;

		buf_reset(&one);
		mime_path(&one, m, i);
		/* a multipart that is a message's root is named by TEXT, not by numbers */
		if (m->parts[i].number != 0 || m->parts[i].kind != MIME_MULTIPART) {
			CHECK(mime_find(m, buf_str(&one), MIME_WANT_BODY, &r) == ERR_OK);
			CHECK(r.part == i && r.off == (i == 0 ? 0 : m->parts[i].body_off));
		}
	}
}

static void
check_texts(const struct mime *m, struct str msg)
{
	size_t most = msg.n * ENVELOPE_GROWTH + 4096;

	reset_buffers();
	if (bodystructure_format(&one, m, msg, true) == ERR_OK &&
		bodystructure_format(&two, m, msg, false) == ERR_OK) {
		CHECK(bodystructure_to_body(&three, buf_str(&one)) == ERR_OK);
		CHECK(str_eq(buf_str(&three), buf_str(&two)));
		CHECK(one.n <= most);
	}
	buf_reset(&one);
	CHECK(envelope_format(&one, mime_header(&m->parts[0], msg)) == ERR_OK);
	CHECK(one.n <= most);
}

/* The same parts, what they decode to unchanged. */
static void
check_textual(const struct mime *m, struct str msg)
{
	struct mime text;

	reset_buffers();
	if (!textual_make(&one, msg))
		return;
	mime_parse(&text, buf_str(&one), &mime_limits_default);
	CHECK(text.n == m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct mime_part *p = &m->parts[i], *q = &text.parts[i];
		struct transfer t;

		CHECK(p->kind == q->kind && p->parent == q->parent);
		if (p->kind == MIME_MULTIPART || p->kind == MIME_MESSAGE)
			continue;
		bool changed = p->encoding != q->encoding;

		CHECK(!changed ||
			(p->encoding == MIME_ENC_BINARY && q->encoding == MIME_ENC_BASE64));
		buf_reset(&two);
		transfer_init(&t, changed ? q->encoding : MIME_ENC_BINARY);
		transfer_add(&t, &two, mime_body(q, buf_str(&one)), true);
		CHECK(str_eq(buf_str(&two), mime_body(p, msg)));
	}
	mime_fini(&text);
}

static void
check_preview(const struct mime *m, struct str msg)
{
	struct str text;

	reset_buffers();
	preview_make(&one, m, msg);
	text = buf_str(&one);
	CHECK(text.n <= PREVIEW_BYTES_MAX && str_is_utf8(text));
	for (size_t i = 0; i < text.n; i++)
		CHECK((unsigned char)text.p[i] >= ' ' && text.p[i] != 0x7f);
}

/* The input as a compact form or a body structure: refused, or something consistent. */
static void
check_foreign(struct str in)
{
	struct mime m;

	reset_buffers();
	if (mime_decode(&m, in, 1000) == ERR_OK)
		check_paths(&m);
	mime_fini(&m);
	(void)!bodystructure_to_body(&two, in);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str msg = str_n(data, size);
	static const struct mime_limits small = { .depth = 4, .parts = 6 };
	struct mime m;

	if (size > 2048)
		return 0;
	mime_parse(&m, msg, size % 7 == 0 ? &small : &mime_limits_default);
	for (uint32_t i = 0; i < m.n; i++)
		check_part(&m, i, msg);
	check_compact(&m, msg);
	check_paths(&m);
	check_texts(&m, msg);
	check_preview(&m, msg);
	if (size % 7 != 0)
		check_textual(&m, msg);
	if (size % 5 == 0) {
		struct search_key k;

		if (search_key_init(&k, STR("xyz")) == ERR_OK)
			(void)search_body(&k, &m, msg, true);
		search_key_fini(&k);
	}
	mime_fini(&m);
	check_foreign(msg);
	return 0;
}
