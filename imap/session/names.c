/* Names of mailboxes at the edge: what a client calls them and what the store does. Called by the
 * commands. Invariant: the two forms can be turned into each other without loss, whatever the
 * separator and the prefix: "/" and the separator change places, so that a name with the other of
 * the two in it stays one. RFC 3501 5.1, RFC 2342. */
#include "core/mail/charset.h"
#include "core/mail/utf7.h"
#include "imap/session/session.h"
#include "imap/session/write.h"
#include "imap/session/names.h"

enum { NAME_MAX_BYTES = 8192 };

#define PREFIX STR("INBOX/")

/* "/" for the separator and the separator for "/". */
static void
swap_separators(const struct imap_session *s, char *p, size_t n)
{
	char sep = s->imap->separator;

	if (sep == '/')
		return;
	for (size_t i = 0; i < n; i++)
		if (p[i] == '/' || p[i] == sep)
			p[i] = p[i] == '/' ? sep : '/';
}

/* As the client wrote it: UTF-8 in NFC, "/" as the separator; appended. What has 8-bit octets is
 * no modified UTF-7, and is taken for UTF-8 from clients too that did not enable it: RFC 9755 3. */
static enum err
decode(const struct imap_session *s, struct str raw, struct buf *out)
{
	struct buf utf8;
	enum err e = ERR_OK;

	buf_init(&utf8, NAME_MAX_BYTES);
	if ((s->modes & (MODE_UTF8 | MODE_REV2)) == 0 && !str_has_8bit(raw))
		e = utf7_to_utf8(&utf8, raw);
	else if (str_is_utf8(raw))
		buf_add(&utf8, raw);
	else
		e = ERR_SYNTAX;
	if (e == ERR_OK)
		e = buf_check(&utf8);
	if (e == ERR_OK) {
		if (utf8.n != 0)
			swap_separators(s, utf8.mem + utf8.head, utf8.n);
		e = charset_nfc(out, buf_str(&utf8));
	}
	buf_fini(&utf8);
	return e == ERR_OK ? buf_check(out) : e;
}

void
session_outer_name(const struct imap_session *s, struct str name, struct buf *out)
{
	if (s->imap->inbox_prefix && !str_eq(name, STR("INBOX")))
		buf_add(out, PREFIX);
	buf_add(out, name);
}

bool
session_inner_name(const struct imap_session *s, struct str outer, struct str *out)
{
	*out = outer;
	if (!s->imap->inbox_prefix || str_ieq(outer, STR("INBOX")))
		return true;
	*out = str_from(outer, PREFIX.n);
	/* INBOX is the one name without the prefix */
	return str_istarts(outer, PREFIX) && out->n != 0 && !str_ieq(*out, STR("INBOX"));
}

void
session_write_outer(const struct imap_session *s, struct buf *out, struct str outer)
{
	char name[MAILBOX_NAME_MAX + 16];

	if (outer.n > sizeof name)
		outer.n = sizeof name;
	memcpy(name, outer.p, outer.n);
	swap_separators(s, name, outer.n);
	if ((s->modes & (MODE_UTF8 | MODE_REV2)) != 0)
		write_utf8_quoted(out, str_n(name, outer.n));
	else
		write_mailbox(out, str_n(name, outer.n));
}

void
session_write_mailbox(const struct imap_session *s, struct buf *out, struct str name)
{
	struct buf outer;

	buf_init(&outer, NAME_MAX_BYTES);
	session_outer_name(s, name, &outer);
	session_write_outer(s, out, buf_str(&outer));
	buf_fini(&outer);
}

enum err
session_pattern(struct imap_session *s, struct str reference, struct str pattern, struct str *out)
{
	struct buf raw, nfc;

	buf_init(&raw, NAME_MAX_BYTES);
	buf_init(&nfc, NAME_MAX_BYTES);
	buf_add(&raw, reference);
	buf_add(&raw, pattern);
	enum err e = buf_check(&raw);

	if (e == ERR_OK)
		e = decode(s, buf_str(&raw), &nfc);
	if (e == ERR_OK)
		e = arena_str(s->arena, buf_str(&nfc), out);
	buf_fini(&raw);
	buf_fini(&nfc);
	return e;
}

enum err
session_mailbox(struct imap_session *s, struct str raw, struct str *out)
{
	struct buf nfc, name;
	struct str inner;

	buf_init(&nfc, NAME_MAX_BYTES);
	buf_init(&name, NAME_MAX_BYTES);
	enum err e = decode(s, raw, &nfc);

	if (e == ERR_OK && !session_inner_name(s, buf_str(&nfc), &inner))
		e = ERR_SYNTAX;
	if (e == ERR_OK)
		e = mailbox_name_check(inner, &name);
	if (e == ERR_OK)
		e = buf_check(&name);
	if (e == ERR_OK)
		e = arena_str(s->arena, buf_str(&name), out);
	buf_fini(&nfc);
	buf_fini(&name);
	return e;
}

bool
session_is_called(const struct imap_session *s, struct str name, struct str raw)
{
	struct buf quoted, want;

	buf_init(&quoted, 8192);
	buf_init(&want, 8192);
	session_write_mailbox(s, &quoted, name);
	write_utf8_quoted(&want, raw);
	bool same = str_eq(buf_str(&quoted), buf_str(&want));

	buf_fini(&quoted);
	buf_fini(&want);
	return same;
}
