/* Reports to senders, for report.c. Whatever came from outside (addresses, replies, xtext) was
 * checked or cleaned where it came in; here it is only cut to lines. RFC 3461 6, 3462, 3464, 5322,
 * 6533. */
#include "delivery/queue/dsn.h"

#include "core/mail/date.h"
#include "core/mail/header.h"

enum { MSGID_MAX = 900 };

/* "\x{E4}" at the front of s: its length, or 0. Controls and what is no character stay as they
 * are. */
static size_t
embedded(struct str s, uint32_t *c_out)
{
	uint32_t c = 0;
	size_t n = 3;

	if (!str_starts(s, STR("\\x{")))
		return 0;
	while (n < s.n && n < 9 && ascii_hex_value(s.p[n]) >= 0)
		c = c * 16 + (uint32_t)ascii_hex_value(s.p[n++]);
	if (n == 3 || n >= s.n || s.p[n] != '}')
		return 0;
	if (c < 32 || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return 0;
	*c_out = c;
	return n + 1;
}

void
dsn_xtext(struct str in, bool utf8, struct buf *out)
{
	while (in.n != 0) {
		int high = in.n > 2 && in.p[0] == '+' ? ascii_hex_value(in.p[1]) : -1;
		int low = high >= 0 ? ascii_hex_value(in.p[2]) : -1;
		uint32_t c = 0;
		size_t n = utf8 ? embedded(in, &c) : 0;
		if (n != 0) {
			buf_add_utf8(out, c);
		} else if (low >= 0) {
			c = (uint32_t)(high * 16 + low);
			buf_addc(out, c < 32 || c > 126 ? '?' : (char)c);
			n = 3;
		} else {
			buf_addc(out, in.p[0]);
			n = 1;
		}
		in = str_from(in, n);
	}
}

static void
add_date(struct buf *out, const char *name, int64_t ms)
{
	buf_addf(out, "%s: ", name);
	date_format(out, ms / 1000, 0);
	buf_addz(out, "\r\n");
}

/* A bare CR in a header that nobody read would be a line end on the report's way. */
static bool
is_printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 32 || s.p[i] > 126)
			return false;
	}
	return true;
}

/* The message's own id, for those who sort by threads. */
static void
add_references(const struct dsn *d, struct buf *out)
{
	struct header_field f;
	struct buf id;

	if (!header_find(d->content, STR("Message-ID"), 0, &f) || f.value.n > MSGID_MAX)
		return;
	buf_init(&id, MSGID_MAX);
	header_unfold(&id, f.value);
	if (str_starts(buf_str(&id), STR("<")) && str_ends(buf_str(&id), STR(">")) &&
		is_printable(buf_str(&id)))
		buf_addf(out, "References: %.*s\r\n", STR_FMT(buf_str(&id)));
	buf_fini(&id);
}

static void
add_head(const struct dsn *d, struct buf *out, bool utf8, bool eight_bit)
{
	add_date(out, "Date", d->now_ms);
	buf_addf(out,
		"From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\n"
		"To: <%.*s>\r\n"
		"Subject: %s\r\n"
		"Message-ID: <%.*s@%.*s>\r\n",
		STR_FMT(d->hostname), STR_FMT(d->to), dsn_subject(d), STR_FMT(d->report_qid),
		STR_FMT(d->hostname));
	add_references(d, out);
	buf_addf(out,
		"Auto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=%s;\r\n"
		"\tboundary=\"=_%.*s\"\r\n",
		utf8 ? "global-delivery-status" : "delivery-status", STR_FMT(d->report_qid));
	if (eight_bit)
		buf_addz(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_addz(out, "\r\nThis is a report in parts (MIME).\r\n");
}

static void
add_part(const struct dsn *d, struct buf *out, const char *what, const char *type, bool eight_bit)
{
	buf_addf(out, "\r\n--=_%.*s\r\nContent-Description: %s\r\nContent-Type: %s\r\n%s\r\n",
		STR_FMT(d->report_qid), what, type,
		eight_bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

static void
add_address(struct buf *out, const char *field, struct str address)
{
	buf_addf(out, "%s: %s; %.*s\r\n", field, str_has_8bit(address) ? "utf-8" : "rfc822",
		STR_FMT(address));
}

/* RFC 3461 6.3 f: only where the sender gave one. */
static void
add_original(const struct dsn_rcpt *r, bool utf8, struct buf *out)
{
	struct str type, address;

	if (!str_cut(r->orcpt, ';', &type, &address))
		return;
	buf_addf(out, "Original-Recipient: %.*s; ", STR_FMT(type));
	dsn_xtext(address, utf8 && str_ieq(type, STR("utf-8")), out);
	buf_addz(out, "\r\n");
}

static const char *
action_word(enum action a)
{
	switch (a) {
	case ACTION_FAILED:
		return "failed";
	case ACTION_DELAYED:
		return "delayed";
	case ACTION_DELIVERED:
		return "delivered";
	case ACTION_RELAYED:
		return "relayed";
	case ACTION_EXPANDED:
		return "expanded";
	case ACTION_NONE:
		break;
	}
	return "";
}

/* A name of DNS, or an address as mail writes it where that is all that is known. */
static void
add_remote(const struct dsn_rcpt *r, struct buf *out)
{
	if (r->host.n == 0)
		return;
	if (!str_eq(r->host, r->host_address))
		buf_addf(out, "Remote-MTA: dns; %.*s\r\n", STR_FMT(r->host));
	else
		buf_addf(out, "Remote-MTA: dns; [%s%.*s]\r\n",
			str_chr(r->host, ':') < r->host.n ? "IPv6:" : "", STR_FMT(r->host));
}

static void
add_rcpt(const struct dsn *d, const struct dsn_rcpt *r, bool utf8, struct buf *out)
{
	buf_addz(out, "\r\n");
	add_original(r, utf8, out);
	add_address(out, "Final-Recipient", r->address);
	buf_addf(out, "Action: %s\r\nStatus: %.*s\r\n", action_word(r->action),
		STR_FMT(dsn_status(r)));
	add_remote(r, out);
	if (r->reply.n != 0)
		buf_addf(out, "Diagnostic-Code: %s; %.*s\r\n",
			r->host.n != 0 ? "smtp" : "x-postroom", STR_FMT(r->reply));
	if (r->last_ms != 0)
		add_date(out, "Last-Attempt-Date", r->last_ms);
	if (r->action == ACTION_DELAYED)
		add_date(out, "Will-Retry-Until", d->until_ms);
}

static void
add_fields(const struct dsn *d, bool utf8, struct buf *out)
{
	if (d->envid.n != 0) {
		buf_addz(out, "Original-Envelope-Id: ");
		dsn_xtext(d->envid, false, out);
		buf_addz(out, "\r\n");
	}
	buf_addf(out, "Reporting-MTA: dns; %.*s\r\nX-Postroom-Queue-ID: %.*s\r\n",
		STR_FMT(d->hostname), STR_FMT(d->qid));
	add_date(out, "Arrival-Date", d->received_ms);
	for (size_t i = 0; i < d->rcpts_count; i++)
		add_rcpt(d, &d->rcpts[i], utf8, out);
}

/* Does an address need the types of RFC 6533? */
static bool
has_utf8_address(const struct dsn *d)
{
	bool yes = str_has_8bit(d->to);

	for (size_t i = 0; i < d->rcpts_count; i++)
		yes = yes || str_has_8bit(d->rcpts[i].address) || str_has_8bit(d->rcpts[i].orig);
	return yes;
}

static void
add_content(const struct dsn *d, bool utf8, struct buf *out)
{
	const char *type = utf8 ? "message/global" : "message/rfc822";

	if (!d->whole)
		type = utf8 ? "message/global-headers" : "text/rfc822-headers";
	add_part(d, out, d->whole ? "Your message" : "The header of your message", type,
		str_has_8bit(d->content));
	buf_add(out, d->content);
}

enum err
dsn_build(const struct dsn *d, bool utf8, struct buf *out, unsigned *flags_out)
{
	struct buf text, fields;
	bool eight_bit;
	enum err e;

	buf_init(&text, out->max);
	buf_init(&fields, out->max);
	utf8 = utf8 || has_utf8_address(d);
	dsn_add_text(d, &text);
	add_fields(d, utf8, &fields);
	eight_bit = str_has_8bit(buf_str(&text)) || str_has_8bit(buf_str(&fields)) ||
		    str_has_8bit(d->content);
	/* The header of a report can only be beyond ASCII where it names the sender. */
	*flags_out = (eight_bit ? SPOOL_8BITMIME : 0) | (utf8 ? SPOOL_SMTPUTF8 : 0);
	add_head(d, out, utf8, eight_bit);
	add_part(d, out, "What happened",
		str_has_8bit(buf_str(&text)) ? "text/plain; charset=utf-8"
					     : "text/plain; charset=us-ascii",
		str_has_8bit(buf_str(&text)));
	buf_add(out, buf_str(&text));
	add_part(d, out, "The same for programs",
		utf8 ? "message/global-delivery-status" : "message/delivery-status",
		str_has_8bit(buf_str(&fields)));
	buf_add(out, buf_str(&fields));
	add_content(d, utf8, out);
	buf_addf(out, "\r\n--=_%.*s--\r\n", STR_FMT(d->report_qid));
	e = buf_check(&text);
	if (e == ERR_OK)
		e = buf_check(&fields);
	buf_fini(&text);
	buf_fini(&fields);
	return e == ERR_OK ? buf_check(out) : e;
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
