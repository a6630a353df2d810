/* Reports to senders, for report.c. Whatever came from outside (addresses, replies) was checked or
 * cleaned where it came in; here it is only cut to lines. RFC 3462, 3464, 5322. */
#include "delivery/queue/dsn.h"

#include "core/mail/date.h"

/* "5.1.1" out of "550 5.1.1 text"; "5.0.0" where there is none. */
static struct str
status_of(struct str reply)
{
	struct str code, rest, status, text;

	if (!str_cut(reply, ' ', &code, &rest))
		return STR("5.0.0");
	(void)str_cut(rest, ' ', &status, &text);
	return status.n >= 5 && status.p[1] == '.' ? status : STR("5.0.0");
}

/* A status that says "for good", also when the last reply was "not now" and the time is over. */
static void
add_status(struct buf *out, struct str reply, bool delayed)
{
	struct str s = status_of(reply);

	if (delayed)
		buf_add(out, s.p[0] == '4' ? s : STR("4.0.0"));
	else if (s.p[0] == '4')
		buf_addz(out, "5.4.7");
	else
		buf_add(out, s);
}

static void
add_head(const struct dsn *d, struct buf *out, bool eight_bit)
{
	buf_addz(out, "Date: ");
	date_format(out, d->now_ms / 1000, 0);
	buf_addf(out,
		"\r\nFrom: Mail Delivery System <postmaster@%.*s>\r\n"
		"To: <%.*s>\r\n"
		"Subject: %s\r\n"
		"Message-ID: <%.*s@%.*s>\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status;\r\n"
		"\tboundary=\"=_%.*s\"\r\n",
		STR_FMT(d->hostname), STR_FMT(d->to),
		d->delayed ? "Your message is delayed" : "Your message could not be delivered",
		STR_FMT(d->report_qid), STR_FMT(d->hostname), STR_FMT(d->report_qid));
	if (eight_bit)
		buf_addz(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_addz(out, "\r\n");
}

static void
add_part(const struct dsn *d, struct buf *out, const char *type)
{
	buf_addf(out, "--=_%.*s\r\nContent-Type: %s\r\n", STR_FMT(d->report_qid), type);
}

static void
add_text(const struct dsn *d, struct buf *out)
{
	add_part(d, out, "text/plain; charset=us-ascii");
	buf_addf(out, "\r\nThis is the mail system at %.*s.\r\n\r\n", STR_FMT(d->hostname));
	if (d->delayed) {
		buf_addz(out, "Your message has not been delivered to the recipients below yet. "
			      "There is\r\n"
			      "nothing that you need to do: it will be tried again, until\r\n");
		date_format(out, d->until_ms / 1000, 0);
		buf_addz(out, ". You hear of it if that fails.\r\n\r\n");
	} else {
		buf_addz(out, "Your message could not be delivered to the recipients below. It "
			      "will not\r\n"
			      "be tried again. The reason stands behind each address; for help "
			      "write to\r\n"
			      "postmaster and include this report.\r\n\r\n");
	}
	for (size_t i = 0; i < d->rcpts_count; i++) {
		const struct dsn_rcpt *r = &d->rcpts[i];
		buf_addf(out, "  <%.*s>", STR_FMT(r->orig));
		if (!str_ieq(r->orig, r->address))
			buf_addf(out, " (delivered to <%.*s>)", STR_FMT(r->address));
		if (r->reply.n != 0)
			buf_addf(out, ":\r\n      %.*s", STR_FMT(r->reply));
		buf_addz(out, "\r\n");
	}
	buf_addz(out, "\r\n");
}

static void
add_fields(const struct dsn *d, struct buf *out)
{
	add_part(d, out, "message/delivery-status");
	buf_addf(out, "\r\nReporting-MTA: dns; %.*s\r\nX-Postroom-Queue-ID: %.*s\r\nArrival-Date: ",
		STR_FMT(d->hostname), STR_FMT(d->qid));
	date_format(out, d->received_ms / 1000, 0);
	buf_addz(out, "\r\n");
	for (size_t i = 0; i < d->rcpts_count; i++) {
		const struct dsn_rcpt *r = &d->rcpts[i];
		buf_addf(out,
			"\r\nOriginal-Recipient: rfc822; %.*s\r\n"
			"Final-Recipient: rfc822; %.*s\r\n"
			"Action: %s\r\nStatus: ",
			STR_FMT(r->orig), STR_FMT(r->address), d->delayed ? "delayed" : "failed");
		add_status(out, r->reply, d->delayed);
		buf_addz(out, "\r\n");
		if (r->reply.n != 0)
			buf_addf(out, "Diagnostic-Code: smtp; %.*s\r\n", STR_FMT(r->reply));
		if (d->delayed) {
			buf_addz(out, "Will-Retry-Until: ");
			date_format(out, d->until_ms / 1000, 0);
			buf_addz(out, "\r\n");
		}
	}
	buf_addz(out, "\r\n");
}

enum err
dsn_build(const struct dsn *d, struct buf *out)
{
	bool eight_bit = str_has_8bit(d->header);

	add_head(d, out, eight_bit);
	add_text(d, out);
	add_fields(d, out);
	add_part(d, out, "text/rfc822-headers");
	if (eight_bit)
		buf_addz(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_addz(out, "\r\n");
	buf_add(out, d->header);
	buf_addf(out, "\r\n--=_%.*s--\r\n", STR_FMT(d->report_qid));
	return buf_check(out);
}

struct str
dsn_header_of(struct str text, size_t max_bytes)
{
	struct str head = str_sub(text, 0, str_find(text, STR("\r\n\r\n")));
	size_t n;

	if (head.n + 2 <= text.n && head.n < text.n)
		head.n += 2;
	if (head.n <= max_bytes && str_ends(head, STR("\r\n")))
		return head;
	head = str_sub(head, 0, max_bytes);
	for (n = head.n; n >= 2; n--) {
		if (head.p[n - 2] == '\r' && head.p[n - 1] == '\n')
			break;
	}
	return str_sub(head, 0, n >= 2 ? n : 0);
}
