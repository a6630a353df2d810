/* A message's header: checked and completed. Called by session_data.c once a message,
 * when its header has come whole. The grammar is core/mail's. */
#include "delivery/smtp/header.h"

#include "core/mail/address.h"
#include "core/mail/header.h"
#include "core/mail/idn.h"

struct seen {
	unsigned from, sender, date, message_id;
};

size_t
header_end(struct str msg, size_t from)
{
	size_t start = from > 3 ? from - 3 : 0, at;

	if (str_starts(msg, STR("\r\n")))
		return 2;
	at = str_find(str_from(msg, start), STR("\r\n\r\n"));
	return start + at == msg.n ? 0 : start + at + 4;
}

/* local@domain of one mailbox into the arena. */
static enum smtp_reply
add_address(const struct address *from, bool utf8, struct arena *a, struct str *out)
{
	struct buf b;
	enum smtp_reply r = REPLY_OK;

	if (from->bad || from->local.n == 0 || from->domain.n == 0 ||
		(!utf8 && (str_has_8bit(from->local) || str_has_8bit(from->domain))))
		return REPLY_BAD_FROM;
	buf_init(&b, 1024);
	address_add_local(&b, from->local);
	buf_addc(&b, '@');
	if (idn_has_controls(from->local) || idn_domain(&b, from->domain) != ERR_OK ||
		buf_check(&b) != ERR_OK || arena_str(a, buf_str(&b), out) != ERR_OK)
		r = REPLY_BAD_FROM;
	buf_fini(&b);
	return r;
}

/* Every mailbox of a From or Sender field. Groups are refused: they would hide who writes. */
static enum smtp_reply
add_addresses(
	struct str value, size_t max, bool utf8, struct arena *a, struct str **v_out, size_t *n_out)
{
	struct address_list list;
	struct str *v;

	if (address_parse_list(value, max, a, &list) != ERR_OK || list.cut || list.n == 0)
		return REPLY_BAD_FROM;
	v = arena_calloc(a, list.n, sizeof(*v));
	if (v == NULL)
		return REPLY_BAD_FROM;
	for (size_t i = 0; i < list.n; i++) {
		enum smtp_reply r = REPLY_BAD_FROM;
		if (list.v[i].kind == ADDRESS_MAILBOX)
			r = add_address(&list.v[i], utf8, a, &v[i]);
		if (r != REPLY_OK)
			return r;
	}
	*v_out = v;
	*n_out = list.n;
	return REPLY_OK;
}

/* White space and comments off the front. */
static struct str
skip_comments(struct str s)
{
	unsigned depth = 0;

	while (s.n > 0) {
		if (s.p[0] == '(')
			depth++;
		else if (s.p[0] == ')' && depth > 0)
			depth--;
		else if (s.p[0] == '\\' && depth > 0 && s.n > 1)
			s = str_from(s, 1);
		else if (depth == 0 && !ascii_is_space((unsigned char)s.p[0]))
			break;
		s = str_from(s, 1);
	}
	return s;
}

/* Does an Authentication-Results field say that we wrote it? */
static bool
claims_to_be_ours(struct str value, struct str hostname)
{
	struct str s = skip_comments(value);

	if (s.n > 0 && s.p[0] == '"') {
		s = str_from(s, 1);
		if (str_chr(s, '\\') < str_chr(s, '"'))
			return true; /* nobody hides an honest name */
	}
	return hostname.n > 0 && str_istarts(s, hostname) &&
	       (s.n == hostname.n || (!ascii_is_alnum(s.p[hostname.n]) &&
					     memchr("-._", s.p[hostname.n], 3) == NULL));
}

/* keep_out: the field stays in the message. */
static enum smtp_reply
one_field(const struct header_context *c, const struct header_field *f, struct arena *a,
	struct seen *seen, struct header_facts *facts, bool *keep_out)
{
	*keep_out = true;
	if (c->demand_from && !header_name_ok(f->name))
		return REPLY_BAD_HEADER;
	if (str_ieq(f->name, STR("From")) && c->demand_from) {
		if (seen->from++ > 0)
			return REPLY_BAD_FROM;
		return add_addresses(
			f->value, HEADER_FROM_MAX, c->utf8, a, &facts->from, &facts->from_count);
	}
	if (str_ieq(f->name, STR("Sender")) && c->demand_from) {
		if (seen->sender++ > 0)
			return REPLY_BAD_FROM;
		return add_addresses(f->value, 1, c->utf8, a, &facts->sender, &facts->sender_count);
	}
	if (str_ieq(f->name, STR("Date"))) {
		seen->date++;
	} else if (str_ieq(f->name, STR("Message-ID"))) {
		seen->message_id++;
		facts->message_id = str_trim(f->value);
	} else if (str_ieq(f->name, STR("Received"))) {
		facts->hops++;
	} else if (str_ieq(f->name, STR("Authentication-Results"))) {
		*keep_out = !claims_to_be_ours(f->value, c->hostname);
	} else if (str_ieq(f->name, STR("Return-Path")) ||
		   (c->complete &&
			   (str_ieq(f->name, STR("Bcc")) || str_ieq(f->name, STR("Resent-Bcc"))))) {
		*keep_out = false;
	}
	return REPLY_OK;
}

enum smtp_reply
header_rewrite(struct str header, const struct header_context *c, struct arena *a, struct buf *out,
	struct header_facts *facts_out)
{
	struct header_iter it;
	struct header_field f;
	struct seen seen = { 0 };

	*facts_out = (struct header_facts){ .message_id = STR_EMPTY };
	/* It would become a part of our Received. */
	if (header.n > 0 && (header.p[0] == ' ' || header.p[0] == '\t'))
		return REPLY_BAD_HEADER;
	if (c->utf8 && !str_is_utf8(header))
		return REPLY_HEADER_NOT_UTF8;
	buf_add(out, c->received);
	header_iter_init(&it, header);
	while (header_next(&it, &f)) {
		bool keep;
		enum smtp_reply r = one_field(c, &f, a, &seen, facts_out, &keep);
		if (r != REPLY_OK)
			return r;
		if (keep)
			buf_add(out, f.whole);
	}
	if (c->demand_from && seen.from == 0)
		return REPLY_NO_FROM;
	if (facts_out->hops >= c->hops_max)
		return REPLY_LOOP;
	if (c->complete && seen.date == 0)
		buf_addf(out, "Date: %.*s\r\n", STR_FMT(c->date));
	if (c->complete && seen.message_id == 0) {
		buf_addf(out, "Message-ID: %.*s\r\n", STR_FMT(c->message_id));
		facts_out->message_id = c->message_id;
	}
	buf_add(out, STR("\r\n"));
	return buf_check(out) == ERR_OK ? REPLY_OK : REPLY_HEADER_TOO_LARGE;
}
