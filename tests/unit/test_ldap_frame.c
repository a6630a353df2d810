/* The outside of LDAP messages, whole and cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "auth-ldap/ldap/frame.h"

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

static const struct {
	struct str in;
	enum err err;
	size_t size;
	uint32_t id;
	uint8_t op;
} rows[] = {
	{ BYTES("\x30\x0c\x02\x01\x07\x61\x07\x0a\x01\x00\x04\x00\x04\x00"), ERR_OK, 14, 7, 0x61 },
	{ BYTES("\x30\x05\x02\x02\x01\x02\x64"), ERR_OK, 7, 258, 0x64 },
	{ BYTES("\x30\x84\x00\x00\x00\x04\x02\x01\x03\x65"), ERR_OK, 10, 3, 0x65 },
	{ BYTES("\x30\x07\x02\x04\x7f\xff\xff\xff\x78"), ERR_OK, 9, 0x7fffffff, 0x78 },
	{ BYTES("\x30\x04\x02\x01\x00\x78"), ERR_OK, 6, 0, 0x78 },
	{ BYTES("\x30\x81\x04\x02\x01\x03\x73"), ERR_OK, 7, 3, 0x73 },
	{ BYTES("\x30\x05\x02\x81\x01\x03\x79"), ERR_OK, 7, 3, 0x79 },
	{ BYTES("\x30\x83\x0f\xff\xff\x02\x01\x03\x64"), ERR_LIMIT, 0, 0, 0 },
	{ BYTES("\x30\x84\xff\xff\xff\xff\x02\x01\x03\x64"), ERR_LIMIT, 0, 0, 0 },
	{ BYTES("\x30\x03\x02\x01\x01"), ERR_SYNTAX, 0, 0, 0 }, /* no operation */
	{ BYTES("\x30\x00"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x30\x80\x02\x01\x01\x61"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x30\x85\x00\x00\x00\x00\x04"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x30\x04\x02\x01\xff\x61"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x30\x08\x02\x05\x00\x00\x00\x00\x01\x61"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x30\x04\x02\x00\x61\x61"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x30\x04\x04\x01\x01\x61"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x30\x04\x02\x01\x01\x60"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x31\x04\x02\x01\x01\x61"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("HTTP/1.1 400"), ERR_SYNTAX, 0, 0, 0 },
	{ BYTES("\x00"), ERR_SYNTAX, 0, 0, 0 },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct frame f;
		assert_int_equal(frame_read(rows[i].in, 0xffff, &f), rows[i].err);
		if (rows[i].err != ERR_OK)
			continue;
		assert_int_equal(f.size, rows[i].size);
		assert_int_equal(f.id, rows[i].id);
		assert_int_equal(f.op, rows[i].op);
	}
}

/* Cut anywhere: more is wanted, or it is as wrong as the whole; never another answer. */
static void
test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (size_t n = 0; n < rows[i].in.n; n++) {
			struct frame f;
			enum err e = frame_read(str_sub(rows[i].in, 0, n), 0xffff, &f);
			assert_true(e == ERR_AGAIN || e == rows[i].err);
			if (e == ERR_OK)
				assert_int_equal(f.id, rows[i].id);
		}
	struct frame f;
	assert_int_equal(frame_read(STR_EMPTY, 0xffff, &f), ERR_AGAIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
