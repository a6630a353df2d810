/* SMTP command lines: every line gets a verb and a reply of the table; what was accepted borrows
 * from the line, and its address is one that the parser accepts again, unchanged. */
#include <assert.h>

#include "core/base/buf.h"
#include "delivery/smtp/command.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
address_round_trip(const struct smtp_path *p)
{
	struct buf first, second;
	struct smtp_path again;
	struct str in;

	buf_init(&first, 4096);
	buf_init(&second, 4096);
	buf_addc(&first, '<');
	smtp_path_address(p, STR("example.org"), &first);
	buf_addc(&first, '>');
	in = buf_str(&first);
	assert(smtp_path_parse(&in, &again) == ERR_OK && in.n == 0);
	buf_addc(&second, '<');
	smtp_path_address(&again, STR("example.org"), &second);
	buf_addc(&second, '>');
	assert(str_eq(buf_str(&first), buf_str(&second)));
	buf_fini(&first);
	buf_fini(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_cmd c;
	enum smtp_reply r = smtp_command_parse(str_n(data, size), &c);

	assert(smtp_reply_row(r)->code >= 250);
	assert(r != REPLY_OK || c.verb != VERB_UNKNOWN);
	if (r == REPLY_OK && (c.verb == VERB_MAIL || c.verb == VERB_RCPT) && !c.path.null)
		address_round_trip(&c.path);
	assert(r != REPLY_OK || (spool_notify_valid(c.notify) && c.envid.n <= SPOOL_ENVID_MAX &&
					c.orcpt.n <= SPOOL_ORCPT_MAX));
	if (r == REPLY_OK && str_has_8bit(c.orcpt)) {
		struct buf b;
		buf_init(&b, 4096);
		assert(str_is_utf8(c.orcpt));
		smtp_orcpt_ascii(c.orcpt, &b);
		assert(buf_check(&b) == ERR_OK && !str_has_8bit(buf_str(&b)));
		buf_fini(&b);
	}
	return 0;
}
