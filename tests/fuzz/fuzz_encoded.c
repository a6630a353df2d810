/* Encoded words, charsets, folding, subjects, transfer encodings. Properties: output is UTF-8;
 * folding is idempotent; any cut of a transfer encoding gives the same octets. The first octet
 * chooses what is checked, the charset and the cut. */
#include <stdlib.h>

#include "core/mail/charset.h"
#include "core/mail/encoded.h"
#include "core/mail/subject.h"
#include "core/mail/transfer.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

enum {
	OUT_MAX = 1 << 20,
	MARKS_MAX = 1024, /* of fewer octets all marks are put in order together */
};

static void
check_text(struct str in)
{
	struct buf a, b, c;

	buf_init(&a, OUT_MAX);
	buf_init(&b, OUT_MAX);
	buf_init(&c, OUT_MAX);
	encoded_decode(&a, in);
	CHECK(str_is_utf8(buf_str(&a)));
	charset_fold(&b, buf_str(&a));
	CHECK(str_is_utf8(buf_str(&b)));
	charset_fold(&c, buf_str(&b));
	CHECK(a.n >= MARKS_MAX || str_eq(buf_str(&b), buf_str(&c)));
	buf_reset(&c);
	subject_base(&c, in, NULL);
	CHECK(c.n <= b.n);
	buf_reset(&c);
	if (charset_nfc(&c, in) == ERR_OK)
		CHECK(str_is_utf8(buf_str(&c)));
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&c);
}

static void
check_charset(struct str in, unsigned choice)
{
	static const struct str names[] = { { "utf-8", 5 }, { "iso-8859-1", 10 }, { "us-ascii", 8 },
		{ "iso-2022-jp", 11 }, { "shift_jis", 9 }, { "utf-7", 5 }, { "gb18030", 7 },
		{ "x-none", 6 } };
	struct str name = names[choice % 8];
	struct charset_stream *s = charset_stream_new(name);
	struct buf a;

	buf_init(&a, OUT_MAX);
	charset_to_utf8(&a, name, in);
	CHECK(str_is_utf8(buf_str(&a)));
	buf_reset(&a);
	for (size_t i = 0; i < in.n; i += 5)
		charset_stream_add(s, &a, str_sub(in, i, 5), i + 5 >= in.n);
	CHECK(str_is_utf8(buf_str(&a)));
	charset_stream_free(s);
	buf_reset(&a);
	if (charset_to_utf8_strict(&a, name, in) == ERR_OK)
		CHECK(str_is_utf8(buf_str(&a)));
	buf_fini(&a);
}

static void
check_transfer(struct str in, enum mime_encoding encoding, size_t cut)
{
	struct transfer t;
	struct buf a, b;

	buf_init(&a, OUT_MAX);
	buf_init(&b, OUT_MAX);
	transfer_init(&t, encoding);
	transfer_add(&t, &a, in, true);
	transfer_init(&t, encoding);
	for (size_t i = 0; i < in.n; i += cut)
		transfer_add(&t, &b, str_sub(in, i, cut), false);
	transfer_add(&t, &b, STR_EMPTY, true);
	CHECK(str_eq(buf_str(&a), buf_str(&b)) && a.n <= in.n);
	buf_fini(&a);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 2048)
		return 0;
	struct str in = str_n(data + 1, size - 1);

	switch (data[0] >> 5 & 3) {
	case 0:
		check_charset(in, data[0]);
		break;
	case 1:
		check_text(in);
		break;
	default:
		check_transfer(in, MIME_ENC_BASE64, data[0] % 7 + 1U);
		check_transfer(in, MIME_ENC_QP, data[0] % 5 + 1U);
	}
	return 0;
}
