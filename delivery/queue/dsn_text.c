/* What people read of a report, for dsn.c: what happened to each recipient, in words, and what one
 * can do. Invariant: lines are ours and short, but for addresses and the words of servers. */
#include "core/base/xalloc.h"
#include "core/mail/date.h"
#include "core/mail/encoded.h"
#include "core/mail/header.h"
#include "delivery/queue/dsn.h"

enum { WIDTH = 74, SUBJECT_MAX = 200 };

/* The longest that matches the status: "5.1." before "5.". RFC 3463, RFC 7505, RFC 6531 */
static const struct {
	const char *status, *words;
} failures[] = {
	{ "5.1.1",
		"There is no such mailbox. Look for a typing mistake in the address and send the "
		"message again, or ask the recipient for the right address." },
	{ "5.1.2",
		"The part of the address behind the @ does not exist, or takes no mail. Look for "
		"a typing mistake in it." },
	{ "5.1.3", "The address is not written as an address must be. Look for a typing mistake." },
	{ "5.1.6",
		"The mailbox has moved, and nobody knows where to. Ask the recipient for the new "
		"address." },
	{ "5.1.10", "The recipient's organisation takes no mail at this address. Ask the recipient "
		    "for another one." },
	{ "5.1.", "The address was refused. Look for a typing mistake in it, or ask the recipient "
		  "for the right address." },
	{ "5.2.1", "The mailbox is closed. Try to reach the recipient in another way." },
	{ "5.2.2", "The recipient's mailbox is full. Tell the recipient, if you can, and send the "
		   "message again later." },
	{ "5.2.3", "The message is too large for the recipient. Send it without its attachments, "
		   "or in several parts." },
	{ "5.2.4",
		"The address stands for too many recipients. The administrator can change that." },
	{ "5.3.4", "The message is too large for the recipient's system. Send it without its "
		   "attachments, or in several parts." },
	{ "5.4.6", "The message went round in circles between mail systems. The administrators of "
		   "the recipient's system, or ours, have to repair that." },
	{ "5.4.7", "It was tried again and again, and time is over now. Send the message again "
		   "later, or try to reach the recipient in another way." },
	{ "5.4.", "The recipient's mail system could not be reached. Look for a typing mistake in "
		  "the part behind the @; if it is right, send the message again later." },
	{ "5.6.7", "The recipient's mail system does not know addresses with letters like these. "
		   "Ask the recipient for an address with plain letters." },
	{ "5.6.",
		"The recipient's mail system cannot take a message of this form. Send it as plain "
		"text, or without its attachments." },
	{ "5.7.1", "You may not send to this address, or the recipient's mail system took the "
		   "message for unwanted mail. Its own words are below." },
	{ "5.7.", "The recipient's mail system refused the message by its rules. Its own words are "
		  "below." },
	{ "5.", "The message was refused. The mail system's own words are below." },
};

static struct str
status_of(struct str reply)
{
	struct str code, rest, status, text;

	if (!str_cut(reply, ' ', &code, &rest))
		return STR_EMPTY;
	(void)str_cut(rest, ' ', &status, &text);
	return status.n >= 5 && status.p[1] == '.' ? status : STR_EMPTY;
}

struct str
dsn_status(const struct dsn_rcpt *r)
{
	struct str s = status_of(r->reply);
	char first = s.n != 0 ? s.p[0] : '\0';

	switch (r->action) {
	case ACTION_FAILED:
		/* "Not now" to the end is for good. */
		return first == '5' ? s : first == '4' ? STR("5.4.7") : STR("5.0.0");
	case ACTION_DELAYED:
		return first == '4' ? s : STR("4.0.0");
	case ACTION_DELIVERED:
	case ACTION_RELAYED:
	case ACTION_EXPANDED:
	case ACTION_NONE:
		break;
	}
	return first == '2' ? s : STR("2.0.0");
}

static size_t
count(const struct dsn *d, enum action a)
{
	size_t n = 0;

	for (size_t i = 0; i < d->rcpts_count; i++)
		n += d->rcpts[i].action == a;
	return n;
}

const char *
dsn_subject(const struct dsn *d)
{
	size_t failed = count(d, ACTION_FAILED), delayed = count(d, ACTION_DELAYED);

	if (d->twice)
		return "A report could not be delivered";
	if (failed != 0)
		return failed == d->rcpts_count
			       ? "Your message could not be delivered"
			       : "Your message could not be delivered to everybody";
	if (delayed != 0)
		return "Your message is delayed";
	if (count(d, ACTION_RELAYED) == d->rcpts_count)
		return "Your message was passed on";
	return "Your message was delivered";
}

/* Words, broken into lines that begin with indent blanks. */
static void
add_words(struct buf *out, size_t indent, struct str words)
{
	size_t at = 0;

	while (words.n != 0) {
		struct str word;
		(void)str_cut(words, ' ', &word, &words);
		if (at != 0 && at + 1 + word.n > WIDTH) {
			buf_addz(out, "\r\n");
			at = 0;
		}
		if (at == 0) {
			buf_addf(out, "%*s", (int)indent, "");
			at = indent;
		} else {
			buf_addc(out, ' ');
			at++;
		}
		buf_add(out, word);
		at += word.n;
	}
	buf_addz(out, "\r\n");
}

static void
add_wordsz(struct buf *out, size_t indent, const char *words)
{
	add_words(out, indent, str_of(words));
}

/* The subject of the message in quotes, readable; nothing where there is none. */
static void
add_subject(const struct dsn *d, struct buf *out)
{
	struct header_field f;
	struct buf decoded;
	size_t n;

	if (!header_find(d->content, STR("Subject"), 0, &f) || f.value.n == 0)
		return;
	buf_init(&decoded, 4 * f.value.n + 64);
	encoded_decode(&decoded, f.value);
	n = decoded.n > SUBJECT_MAX ? SUBJECT_MAX : decoded.n;
	while (n < decoded.n && n > 0 && ((unsigned char)buf_str(&decoded).p[n] & 0xc0) == 0x80)
		n--;
	if (buf_check(&decoded) == ERR_OK && n != 0) {
		buf_addz(out, " \"");
		for (size_t i = 0; i < n; i++) {
			unsigned char c = (unsigned char)buf_str(&decoded).p[i];
			buf_addc(out, c < 32 || c == 127 ? ' ' : (char)c);
		}
		buf_addz(out, n < decoded.n ? "...\"" : "\"");
	}
	buf_fini(&decoded);
}

static const char *
failure_words(struct str status)
{
	const char *words = "";
	size_t longest = 0;

	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		struct str s = str_of(failures[i].status);
		bool whole = s.p[s.n - 1] != '.';
		if (s.n <= longest || !(whole ? str_eq(status, s) : str_starts(status, s)))
			continue;
		longest = s.n;
		words = failures[i].words;
	}
	return words;
}

static void
add_reply(const struct dsn_rcpt *r, struct buf *out)
{
	struct buf b;

	if (r->reply.n == 0)
		return;
	buf_init(&b, 4096);
	if (r->host.n != 0) {
		buf_add(&b, r->host);
		if (r->host_address.n != 0 && !str_eq(r->host, r->host_address))
			buf_addf(&b, " [%.*s]", STR_FMT(r->host_address));
		buf_addz(&b, " said: ");
	}
	buf_add(&b, r->reply);
	add_words(out, 6, buf_str(&b));
	buf_fini(&b);
}

static void
add_address(const struct dsn *d, const struct dsn_rcpt *r, struct buf *out)
{
	struct str shown = r->orig.n != 0 && !d->twice ? r->orig : r->address;

	buf_addf(out, "\r\n  <%.*s>\r\n", STR_FMT(shown));
	if (!str_ieq(shown, r->address))
		buf_addf(out, "      (which leads to <%.*s>)\r\n", STR_FMT(r->address));
}

static void
add_failed(const struct dsn *d, struct buf *out)
{
	struct buf head;

	buf_init(&head, 4096);
	if (d->twice) {
		buf_addz(&head, "A report about somebody's message could not be delivered to that "
				"sender, whose address may be wrong or forged. You get it because "
				"you are the postmaster here. The report is below.");
	} else {
		buf_addz(&head, "Your message");
		add_subject(d, &head);
		buf_addz(&head, " could not be delivered to the following. It will not be tried "
				"again. What went wrong, and what you can do:");
	}
	add_words(out, 0, buf_str(&head));
	buf_fini(&head);
	for (size_t i = 0; i < d->rcpts_count; i++) {
		const struct dsn_rcpt *r = &d->rcpts[i];
		if (r->action != ACTION_FAILED)
			continue;
		add_address(d, r, out);
		if (!d->twice)
			add_wordsz(out, 6, failure_words(dsn_status(r)));
		add_reply(r, out);
	}
	if (!d->twice) {
		buf_addz(out, "\r\n");
		add_wordsz(out, 0,
			"If that does not help, send this report to your administrator or to "
			"postmaster.");
	}
	buf_addz(out, "\r\n");
}

static void
add_delayed(const struct dsn *d, struct buf *out)
{
	struct buf head;

	buf_init(&head, 4096);
	buf_addz(&head, "Your message");
	add_subject(d, &head);
	buf_addz(&head, " has not reached the following yet. You need not do anything: it is tried "
			"again, until ");
	date_format(&head, d->until_ms / 1000, 0);
	buf_addz(&head, ". If it cannot be delivered by then, you get another report.");
	add_words(out, 0, buf_str(&head));
	buf_fini(&head);
	for (size_t i = 0; i < d->rcpts_count; i++) {
		if (d->rcpts[i].action != ACTION_DELAYED)
			continue;
		add_address(d, &d->rcpts[i], out);
		add_reply(&d->rcpts[i], out);
	}
	buf_addz(out, "\r\n");
}

static void
add_good(const struct dsn *d, enum action a, const char *words, struct buf *out)
{
	struct buf head;

	if (count(d, a) == 0)
		return;
	buf_init(&head, 4096);
	buf_addz(&head, "Your message");
	add_subject(d, &head);
	buf_addf(&head, " %s", words);
	add_words(out, 0, buf_str(&head));
	buf_fini(&head);
	for (size_t i = 0; i < d->rcpts_count; i++) {
		if (d->rcpts[i].action == a)
			add_address(d, &d->rcpts[i], out);
	}
	buf_addz(out, "\r\n");
}

void
dsn_add_text(const struct dsn *d, struct buf *out)
{
	buf_addf(out, "This is the mail system at %.*s.\r\n\r\n", STR_FMT(d->hostname));
	if (count(d, ACTION_FAILED) != 0)
		add_failed(d, out);
	if (count(d, ACTION_DELAYED) != 0)
		add_delayed(d, out);
	add_good(d, ACTION_DELIVERED,
		"was delivered, as you asked to be told. It lies in the mailbox of:", out);
	add_good(d, ACTION_RELAYED,
		"was handed to another mail system, which does not tell of what it delivers. You "
		"hear no more of it unless something goes wrong there. It is on its way to:",
		out);
	add_good(d, ACTION_EXPANDED,
		"was passed on to all whom this address stands for. You hear of them only if "
		"something goes wrong:",
		out);
}
