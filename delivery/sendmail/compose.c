/* A message of a local program made fit for SMTP; see compose.h. Called by main.c. */
#include "delivery/sendmail/compose.h"

#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "core/mail/address.h"
#include "core/mail/header.h"

enum { ADDRESSES_MAX = 10000, ADDRESS_MAX = 1000, WORD_BYTES = 45 };

/* ---- lines ---- */

void
compose_lines_init(struct compose_lines *l, bool dot_is_text)
{
	*l = (struct compose_lines){ .dot_is_text = dot_is_text };
	buf_init(&l->held, 64);
}

void
compose_lines_fini(struct compose_lines *l)
{
	buf_fini(&l->held);
}

static bool
is_from_line(struct str begin)
{
	return str_starts(begin, STR("From ")) || str_starts(begin, STR(">From "));
}

/* May more octets decide what the line is that begins with what is held? */
static bool
undecided(const struct compose_lines *l)
{
	struct str h = buf_str(&l->held);

	if (h.n == 0 || (!l->dot_is_text && (str_eq(h, STR(".")) || str_eq(h, STR(".\r")))))
		return true;
	return !l->past_from && (str_starts(STR("From "), h) || str_starts(STR(">From "), h)) &&
	       !is_from_line(h);
}

static void
begin_line(struct compose_lines *l, struct buf *out)
{
	if (!l->past_from && is_from_line(buf_str(&l->held)))
		l->skipping = true;
	else
		l->past_from = true;
	if (!l->skipping)
		buf_add(out, buf_str(&l->held));
	buf_reset(&l->held);
	l->in_line = true;
}

static void
end_line(struct compose_lines *l, struct buf *out)
{
	struct str h = buf_str(&l->held);

	if (!l->in_line && !l->dot_is_text && (str_eq(h, STR(".")) || str_eq(h, STR(".\r")))) {
		l->ended = true;
		return;
	}
	/* what is held is the line's last CR, or all of a short line */
	if (str_ends(h, STR("\r")))
		buf_truncate(&l->held, h.n - 1);
	if (!l->in_line)
		begin_line(l, out);
	buf_reset(&l->held);
	if (!l->skipping)
		buf_add(out, STR("\r\n"));
	l->in_line = l->skipping = false;
}

static void
one_octet(struct compose_lines *l, char c, struct buf *out)
{
	l->has_nul |= c == '\0';
	if (c == '\n') {
		end_line(l, out);
		return;
	}
	if (l->in_line) {
		if (l->held.n > 0 && !l->skipping)
			buf_addc(out, '\r');
		buf_reset(&l->held);
		if (c == '\r')
			buf_addc(&l->held, c);
		else if (!l->skipping)
			buf_addc(out, c);
		return;
	}
	buf_addc(&l->held, c);
	if (undecided(l))
		return;
	if (c != '\r') {
		begin_line(l, out);
		return;
	}
	buf_truncate(&l->held, l->held.n - 1);
	begin_line(l, out);
	buf_addc(&l->held, c);
}

void
compose_lines_feed(struct compose_lines *l, struct str piece, struct buf *out)
{
	while (piece.n > 0 && !l->ended) {
		size_t run = 0;
		if (l->in_line && l->held.n == 0) {
			run = str_chr(piece, '\n');
			run = str_chr(str_sub(piece, 0, run), '\r');
		}
		if (run == 0) {
			one_octet(l, piece.p[0], out);
			piece = str_from(piece, 1);
			continue;
		}
		l->has_nul |= str_has_nul(str_sub(piece, 0, run));
		if (!l->skipping)
			buf_add(out, str_sub(piece, 0, run));
		piece = str_from(piece, run);
	}
}

void
compose_lines_end(struct compose_lines *l, struct buf *out)
{
	if (!l->ended && (l->in_line || l->held.n > 0))
		end_line(l, out);
}

/* ---- the header ---- */

/* A line that a header may have: a field's first. */
static bool
is_field(struct str line)
{
	struct str name, value;

	return str_cut(line, ':', &name, &value) && header_name_ok(str_trim(name)) &&
	       name.p[0] != ' ' && name.p[0] != '\t';
}

struct compose_split
compose_split(struct str text)
{
	size_t at = 0;

	while (at < text.n) {
		struct str rest = str_from(text, at);
		size_t end = str_chr(rest, '\n');
		struct str line = str_sub(rest, 0, end);
		bool goes_on = at > 0 && line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
		size_t next = end < rest.n ? at + end + 1 : text.n;
		if (str_eq(line, STR("\r")) || line.n == 0)
			return (struct compose_split){ .fields = at, .body = next };
		if (!goes_on && !is_field(line))
			return (struct compose_split){ .fields = at, .body = at };
		at = next;
	}
	return (struct compose_split){ .fields = at, .body = at };
}

/* ---- addresses ---- */

static enum err
add_address(struct compose_list *l, struct str address)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_ieq(l->v[i], address))
			return ERR_OK;
	if (l->n >= ADDRESSES_MAX)
		return ERR_LIMIT;
	if (l->n == l->room) {
		l->room = l->room == 0 ? 16 : 2 * l->room;
		l->v = xrealloc(l->v, l->room * sizeof(*l->v));
	}
	enum err e = arena_str(l->arena, address, &l->v[l->n]);
	l->n += e == ERR_OK;
	return e;
}

static bool
fit_for_command(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
			return false;
	return true;
}

static enum err
add_mailbox(struct compose_list *l, const struct address *a)
{
	struct buf b;
	enum err e = ERR_SYNTAX;

	if (a->broken || (a->bad && a->domain.n > 0) || a->local.n == 0 ||
		!fit_for_command(a->local) || !fit_for_command(a->domain) ||
		str_chr(a->domain, ' ') < a->domain.n || str_chr(a->domain, '>') < a->domain.n)
		return ERR_SYNTAX;
	buf_init(&b, ADDRESS_MAX);
	address_add_local(&b, a->local);
	if (a->domain.n > 0)
		buf_addf(&b, "@%.*s", STR_FMT(a->domain));
	if (buf_check(&b) == ERR_OK)
		e = add_address(l, buf_str(&b));
	buf_fini(&b);
	return e;
}

enum err
compose_add_list(struct compose_list *l, struct str text)
{
	struct address_iter it;
	struct address a;
	enum err e = ERR_OK;

	address_iter_init(&it, text);
	while (e == ERR_OK && address_next(&it, &a))
		if (a.kind == ADDRESS_MAILBOX)
			e = add_mailbox(l, &a);
	address_iter_fini(&it);
	return e;
}

static bool
is_one_of(struct str name, const char *const names[3])
{
	for (size_t i = 0; i < 3; i++)
		if (str_ieq(name, str_of(names[i])))
			return true;
	return false;
}

enum err
compose_add_header(struct compose_list *l, struct str header)
{
	static const char *const plain[3] = { "To", "Cc", "Bcc" };
	static const char *const resent[3] = { "Resent-To", "Resent-Cc", "Resent-Bcc" };
	const char *const *names = plain;
	struct header_iter it;
	struct header_field f;
	enum err e = ERR_OK;

	header_iter_init(&it, header);
	while (header_next(&it, &f))
		if (is_one_of(f.name, resent))
			names = resent;
	header_iter_init(&it, header);
	while (e == ERR_OK && header_next(&it, &f))
		if (is_one_of(f.name, names))
			e = compose_add_list(l, f.value);
	return e;
}

/* ---- From ---- */

/* RFC 2047 2: words of at most 75 octets, no character cut in two. */
static void
add_encoded(struct buf *out, struct str name)
{
	while (name.n > 0) {
		size_t n = name.n < WORD_BYTES ? name.n : WORD_BYTES;
		while (n < name.n && n > 1 && ((unsigned char)name.p[n] & 0xc0) == 0x80)
			n--;
		buf_addz(out, "=?UTF-8?B?");
		base64_encode(out, str_sub(name, 0, n));
		buf_addz(out, n < name.n ? "?=\r\n " : "?=");
		name = str_from(name, n);
	}
}

static void
add_quoted(struct buf *out, struct str name)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, name.p[i]);
	}
	buf_addc(out, '"');
}

void
compose_from(struct str header, struct str name, struct str address, struct buf *out)
{
	struct header_field f;

	if (header_find(header, STR("From"), 0, &f))
		return;
	name = str_trim(name);
	if (!fit_for_command(name) || !str_is_utf8(name))
		name = STR_EMPTY;
	buf_addz(out, "From: ");
	if (name.n > 0 && str_has_8bit(name))
		add_encoded(out, name);
	else if (name.n > 0)
		add_quoted(out, name);
	buf_addf(out, name.n > 0 ? " <%.*s>\r\n" : "%.*s\r\n", STR_FMT(address));
}
