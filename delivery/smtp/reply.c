/* The reply table and its one formatter; session*.c answer through it only, so that code, status
 * and text never drift apart. */
#include "delivery/smtp/reply.h"

#define SMTP_REPLY_ROW(name, code, status, text, reason) { code, status, text, reason },
static const struct smtp_reply_row rows[] = { SMTP_REPLIES(SMTP_REPLY_ROW) };

const struct smtp_reply_row *
smtp_reply_row(enum smtp_reply r)
{
	return &rows[r];
}

void
smtp_reply_format(struct buf *out, enum smtp_reply r, struct str detail)
{
	const struct smtp_reply_row *row = &rows[r];

	buf_addu(out, (uint64_t)row->code);
	buf_addc(out, ' ');
	if (row->status[0] != '\0') {
		buf_addz(out, row->status);
		buf_addc(out, ' ');
	}
	buf_addz(out, row->text);
	if (detail.n > 0) {
		buf_addz(out, ": ");
		buf_add(out, detail);
	}
	buf_addz(out, "\r\n");
}
