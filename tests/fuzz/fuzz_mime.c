/* The MIME parser and what is made of its table: ENVELOPE, BODYSTRUCTURE, the compact form,
 * BODY[...] paths. Properties: every range inside the message and inside the parent's body,
 * siblings in order, line counts right, decode(encode(x)) == x, BODY made of BODYSTRUCTURE equals
 * BODY, every part found by its path, damaged compact forms refused or consistent. */
#include <stdlib.h>

#include "core/mail/bodystructure.h"
#include "core/mail/envelope.h"
#include "core/mail/search.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

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
	struct buf b, again;

	buf_init(&b, 1 << 20);
	buf_init(&again, 1 << 20);
	mime_encode(&b, m);
	CHECK(mime_decode(&back, buf_str(&b), msg.n) == ERR_OK);
	mime_encode(&again, &back);
	CHECK(str_eq(buf_str(&b), buf_str(&again)));
	for (uint32_t i = 0; i < m->n; i++)
		CHECK(back.parts[i].next == m->parts[i].next &&
			back.parts[i].number == m->parts[i].number &&
			back.parts[i].child_count == m->parts[i].child_count);
	mime_fini(&back);
	buf_fini(&b);
	buf_fini(&again);
}

static void
check_paths(const struct mime *m)
{
	for (uint32_t i = 0; i < m->n && i < 40; i++) {
		struct mime_range r;
		struct buf path;

		buf_init(&path, 4096);
		mime_path(&path, m, i);
		/* a multipart that is a message's root is named by TEXT, not by numbers */
		if (m->parts[i].number != 0 || m->parts[i].kind != MIME_MULTIPART) {
			CHECK(mime_find(m, buf_str(&path), MIME_WANT_BODY, &r) == ERR_OK);
			CHECK(r.part == i && r.off == (i == 0 ? 0 : m->parts[i].body_off));
		}
		buf_fini(&path);
	}
}

static void
check_texts(const struct mime *m, struct str msg)
{
	struct buf ext, body, made;

	buf_init(&ext, 1 << 22);
	buf_init(&body, 1 << 22);
	buf_init(&made, 1 << 22);
	if (bodystructure_format(&ext, m, msg, true) == ERR_OK &&
		bodystructure_format(&body, m, msg, false) == ERR_OK) {
		CHECK(bodystructure_to_body(&made, buf_str(&ext)) == ERR_OK);
		CHECK(str_eq(buf_str(&made), buf_str(&body)));
		CHECK(ext.n <= msg.n * ENVELOPE_GROWTH + 4096);
	}
	buf_reset(&ext);
	CHECK(envelope_format(&ext, mime_header(&m->parts[0], msg)) == ERR_OK);
	CHECK(ext.n <= msg.n * ENVELOPE_GROWTH + 4096);
	buf_fini(&ext);
	buf_fini(&body);
	buf_fini(&made);
}

/* The input as a compact form or a body structure: refused, or something consistent. */
static void
check_foreign(struct str in)
{
	struct mime m;
	struct buf out;

	if (mime_decode(&m, in, 1000) == ERR_OK)
		check_paths(&m);
	mime_fini(&m);
	buf_init(&out, 1 << 20);
	(void)!bodystructure_to_body(&out, in);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str msg = str_n(data, size);
	static const struct mime_limits small = { .depth = 4, .parts = 6 };
	struct mime m;

	if (size > 16384)
		return 0;
	mime_parse(&m, msg, size % 7 == 0 ? &small : &mime_limits_default);
	for (uint32_t i = 0; i < m.n; i++)
		check_part(&m, i, msg);
	check_compact(&m, msg);
	check_paths(&m);
	check_texts(&m, msg);
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
