/* What a URL of CATENATE names; see url_part.h. Called by cmd_append.c. Invariant: the range was
 * cut to the file's size when it was opened, and a message's file never changes. */
#include "imap/append/url_part.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/mail/header.h"
#include "core/mail/utf7.h"
#include "core/store/message.h"
#include "imap/grammar/url.h"
#include "imap/session/names.h"
#include "imap/session/section_range.h"

enum { NAME_BYTES_MAX = 8192 };

/* What stands before a relative name: the selected mailbox's own without its last part. RFC 4469 3,
 * RFC 3986 5.2.3. With another separator a name is one part. */
static enum err
add_base(struct imap_session *s, struct txn *t, struct buf *out)
{
	struct buf path, outer;
	enum err e = ERR_OK;

	if (s->sel.view == NULL || s->imap->separator != '/')
		return ERR_OK;
	buf_init(&path, NAME_BYTES_MAX);
	buf_init(&outer, NAME_BYTES_MAX);
	e = mailbox_path(t, view_mailbox(s->sel.view), &path);
	session_outer_name(s, buf_str(&path), &outer);
	struct str base = buf_str(&outer);
	size_t slash = str_rchr(base, '/');

	if (e == ERR_OK && slash < base.n)
		buf_add(out, str_sub(base, 0, slash + 1));
	buf_fini(&path);
	buf_fini(&outer);
	return e;
}

/* URLs have names in UTF-8, whatever the session has. */
static enum err
find_mailbox(struct imap_session *s, struct txn *t, const struct message_url *url,
	struct mailbox_info *out)
{
	struct buf utf7, whole;
	enum err e = ERR_OK;

	if (url->mailbox.n == 0)
		return s->sel.view != NULL ? mailbox_get(t, view_mailbox(s->sel.view), out)
					   : ERR_NOTFOUND;
	buf_init(&utf7, NAME_BYTES_MAX);
	buf_init(&whole, NAME_BYTES_MAX);
	if (url->relative)
		e = add_base(s, t, &whole);
	buf_add(&whole, url->mailbox);
	if (e == ERR_OK)
		e = buf_check(&whole);
	struct str name = buf_str(&whole);

	if (e == ERR_OK && (s->modes & (MODE_UTF8 | MODE_REV2)) == 0) {
		e = utf7_from_utf8(&utf7, name);
		name = buf_str(&utf7);
	}
	if (e == ERR_OK)
		e = session_mailbox(s, name, &name);
	buf_fini(&utf7);
	buf_fini(&whole);
	return e == ERR_OK ? mailbox_find(t, name, out) : e;
}

/* The mailbox's and message's rows; *range is of the message's octets. */
static enum err
find_message(struct imap_session *s, struct txn *t, const struct message_url *url,
	uint64_t *msg_out, struct mime_range *range)
{
	struct mailbox_info box;
	struct entry entry;
	struct message m;
	enum err e = find_mailbox(s, t, url, &box);

	if (e == ERR_OK &&
		(box.noselect || (url->uidvalidity != 0 && url->uidvalidity != box.uidvalidity)))
		e = ERR_NOTFOUND;
	if (e == ERR_OK)
		e = entry_get(t, box.id, url->uid, &entry);
	if (e == ERR_OK)
		e = message_get(t, entry.msg, &m);
	if (e == ERR_OK)
		e = section_range(&url->section, &m, entry.size, range);
	if (e == ERR_OK)
		*msg_out = entry.msg;
	return e == ERR_SYNTAX || e == ERR_LIMIT ? ERR_NOTFOUND : e;
}

static void
cut_partial(const struct message_url *url, uint64_t *off, uint64_t *len)
{
	if (!url->partial)
		return;
	uint64_t skip = url->off < *len ? url->off : *len;

	*off += skip;
	*len -= skip;
	if (url->len != 0 && *len > url->len)
		*len = url->len;
}

/* ---- the file ---- */

enum { PIECE_BYTES = 64 * 1024 };

static enum err
ask_pool(struct imap_session *s, struct url_part *part, uint64_t off, uint64_t len,
	const struct header_set *select, bool negate)
{
	const struct cold_want want = { .msg = part->msg,
		.fd = part->fd,
		.off = off,
		.len = len,
		.select = select,
		.negate = negate };

	part->cold = cold_start(s, &want, NULL, 0);
	return ERR_BUSY;
}

/* What the pool has read. ERR_BUSY: it has not yet. */
static enum err
take_cold(struct url_part *part)
{
	int fd;

	if (part->cold == NULL)
		return ERR_OK;
	if (!cold_is_over(part->cold))
		return ERR_BUSY;
	enum err e = cold_end(part->cold, &fd, &part->fields, &part->code);

	part->cold = NULL;
	part->warm = e == ERR_OK && part->fd >= 0;
	if (fd >= 0)
		part->fd = fd;
	return e;
}

static enum err
read_file(struct imap_session *s, struct url_part *part, char *to, size_t n, uint64_t off)
{
	enum err e = cold_read(s, part->fd, part->warm, to, n, off, &part->code);

	part->warm = false;
	return e == ERR_BUSY ? ask_pool(s, part, off, n, NULL, false) : e;
}

static enum err
select_fields(struct imap_session *s, struct url_part *part, const struct mime_range *r,
	const struct header_set *set, bool negate)
{
	struct buf header;

	if (r->len > COLD_SELECT_BYTES && s->imap->pool != NULL) {
		part->selected = true;
		return ask_pool(s, part, r->off, r->len, set, negate);
	}
	buf_init(&header, (size_t)r->len + 1);
	buf_init(&part->fields, (size_t)r->len + 16);
	char *to = buf_reserve(&header, (size_t)r->len + 1);
	enum err e = to != NULL ? read_file(s, part, to, (size_t)r->len, r->off) : ERR_LIMIT;

	if (e == ERR_OK) {
		buf_commit(&header, (size_t)r->len);
		header_select(&part->fields, buf_str(&header), set, negate);
		e = buf_check(&part->fields);
	}
	buf_fini(&header);
	return e;
}

/* Header fields are picked now: a header is small. */
static enum err
pick_fields(struct imap_session *s, const struct message_url *url, const struct mime_range *r,
	struct url_part *part)
{
	const struct section *sec = &url->section;
	struct header_set set;
	enum err e = header_set_init(&set, s->arena, sec->fields, sec->fields_count);

	if (e == ERR_OK && !part->selected)
		e = select_fields(s, part, r, &set, sec->kind == SECTION_FIELDS_NOT);
	if (e != ERR_OK)
		return e;
	(void)close(part->fd);
	part->fd = -1;
	part->off = 0;
	part->left = part->fields.n;
	cut_partial(url, &part->off, &part->left);
	return ERR_OK;
}

static enum err
open_file(struct imap_session *s, const struct message_url *url, const struct mime_range *r,
	struct url_part *part)
{
	bool fields =
		url->section.kind == SECTION_FIELDS || url->section.kind == SECTION_FIELDS_NOT;
	struct stat st;
	enum err e = part->fd < 0 ? cold_open(s, part->msg, false, &part->fd, &part->code) : ERR_OK;

	if (e == ERR_BUSY)
		return ask_pool(
			s, part, r->off, r->len < PIECE_BYTES ? r->len : PIECE_BYTES, NULL, false);
	if (e != ERR_OK)
		return e;
	if (fstat(part->fd, &st) != 0)
		return ERR_TEMP;
	uint64_t size = (uint64_t)st.st_size;

	if (r->off > size || r->len > size - r->off)
		return ERR_CORRUPT;
	if (fields)
		return pick_fields(s, url, r, part);
	part->off = r->off;
	part->left = r->len;
	cut_partial(url, &part->off, &part->left);
	return ERR_OK;
}

static enum err
find_and_open(struct imap_session *s, struct str text, struct url_part *part)
{
	struct message_url url;
	struct txn *t;
	enum err e = message_url_parse(text, s->arena, &url);

	if (e != ERR_OK)
		return e == ERR_SYNTAX ? ERR_NOTFOUND : e;
	/* once: while the pool reads, another message may get this name */
	if (part->msg == 0) {
		e = session_read(s, &t);
		if (e != ERR_OK)
			return e;
		e = find_message(s, t, &url, &part->msg, &part->range);
		store_read_end(t);
	}
	if (e != ERR_OK)
		return e;
	e = take_cold(part);
	if (e == ERR_OK)
		e = open_file(s, &url, &part->range, part);
	if (e != ERR_OK && e != ERR_BUSY)
		cold_complain(s, part->msg, e, part->code);
	return e;
}

enum err
url_part_open(struct imap_session *s, struct str text, struct url_part *part)
{
	if (!part->open) {
		*part = (struct url_part){ .fd = -1, .open = true };
		buf_init(&part->fields, 16);
	}
	enum err e = find_and_open(s, text, part);

	if (e != ERR_OK && e != ERR_BUSY && e != ERR_AGAIN)
		url_part_close(part);
	return e;
}

enum err
url_part_read(struct imap_session *s, struct url_part *part, char *to, size_t max, size_t *got_out)
{
	size_t n = part->left < max ? (size_t)part->left : max;
	enum err e = take_cold(part);

	if (e == ERR_OK && part->fd < 0)
		memcpy(to, buf_str(&part->fields).p + part->off, n);
	else if (e == ERR_OK)
		e = read_file(s, part, to, n, part->off);
	if (e != ERR_OK) {
		if (e != ERR_BUSY)
			cold_complain(s, part->msg, e, part->code);
		return e == ERR_NOTFOUND ? ERR_TEMP : e;
	}
	part->off += n;
	part->left -= n;
	*got_out = n;
	return ERR_OK;
}

void
url_part_close(struct url_part *part)
{
	if (part->open) {
		cold_forget(part->cold);
		if (part->fd >= 0)
			(void)close(part->fd);
		buf_fini(&part->fields);
	}
	*part = (struct url_part){ .fd = -1 };
}
