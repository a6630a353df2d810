/* What a URL of CATENATE names; see url_part.h. Called by cmd_append.c. Invariant: the range was
 * cut to the file's size when it was opened, and a message's file never changes. */
#include "imap/append/url_part.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mail/header.h"
#include "core/mail/utf7.h"
#include "core/store/message.h"
#include "imap/grammar/url.h"
#include "imap/session/section_range.h"

/* URLs have names in UTF-8, whatever the session has. */
static enum err
find_mailbox(struct imap_session *s, struct txn *t, struct str name, struct mailbox_info *out)
{
	struct buf utf7;
	enum err e = ERR_OK;

	buf_init(&utf7, 8192);
	if ((s->modes & (MODE_UTF8 | MODE_REV2)) == 0) {
		e = utf7_from_utf8(&utf7, name);
		name = buf_str(&utf7);
	}
	if (e == ERR_OK)
		e = session_mailbox(s, name, &name);
	buf_fini(&utf7);
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
	enum err e = find_mailbox(s, t, url->mailbox, &box);

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

/* Header fields are picked now: a header is small. */
static enum err
pick_fields(struct imap_session *s, const struct message_url *url, const struct mime_range *r,
	uint64_t size, struct url_part *out)
{
	const struct section *sec = &url->section;
	struct header_set set;
	enum err e = header_set_init(&set, s->arena, sec->fields, sec->fields_count);

	if (e != ERR_OK)
		return e;
	void *map = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, out->fd, 0);

	if (map == MAP_FAILED)
		return ERR_TEMP;
	buf_init(&out->fields, (size_t)r->len + 16);
	header_select(&out->fields, str_n((const char *)map + r->off, (size_t)r->len), &set,
		sec->kind == SECTION_FIELDS_NOT);
	(void)munmap(map, (size_t)size);
	(void)close(out->fd);
	out->fd = -1;
	out->off = 0;
	out->left = out->fields.n;
	cut_partial(url, &out->off, &out->left);
	return buf_check(&out->fields);
}

static enum err
open_file(struct imap_session *s, const struct message_url *url, uint64_t msg,
	const struct mime_range *r, struct url_part *out)
{
	bool fields =
		url->section.kind == SECTION_FIELDS || url->section.kind == SECTION_FIELDS_NOT;
	struct stat st;
	enum err e = message_open(s->home, msg, &out->fd);

	if (e != ERR_OK)
		return e;
	out->open = true;
	if (fstat(out->fd, &st) != 0)
		return ERR_TEMP;
	uint64_t size = (uint64_t)st.st_size;

	if (r->off > size || r->len > size - r->off)
		return ERR_CORRUPT;
	if (fields && size != 0)
		return pick_fields(s, url, r, size, out);
	out->off = r->off;
	out->left = r->len;
	cut_partial(url, &out->off, &out->left);
	return ERR_OK;
}

enum err
url_part_open(struct imap_session *s, struct str text, struct url_part *out)
{
	struct message_url url;
	struct mime_range range;
	struct txn *t;
	uint64_t msg = 0;

	*out = (struct url_part){ .fd = -1 };
	buf_init(&out->fields, 16);
	enum err e = message_url_parse(text, s->arena, &url);

	if (e != ERR_OK)
		return e == ERR_SYNTAX ? ERR_NOTFOUND : e;
	e = session_read(s, &t);
	if (e != ERR_OK)
		return e;
	e = find_message(s, t, &url, &msg, &range);
	store_read_end(t);
	if (e == ERR_OK)
		e = open_file(s, &url, msg, &range, out);
	if (e != ERR_OK)
		url_part_close(out);
	return e;
}

enum err
url_part_read(struct url_part *part, char *to, size_t max, size_t *got_out)
{
	size_t n = part->left < max ? (size_t)part->left : max;
	ssize_t got = (ssize_t)n;

	if (part->fd < 0)
		memcpy(to, buf_str(&part->fields).p + part->off, n);
	else
		got = pread(part->fd, to, n, (off_t)part->off);
	if (got <= 0 && n != 0)
		return ERR_TEMP;
	part->off += (uint64_t)got;
	part->left -= (uint64_t)got;
	*got_out = (size_t)got;
	return ERR_OK;
}

void
url_part_close(struct url_part *part)
{
	if (part->open) {
		if (part->fd >= 0)
			(void)close(part->fd);
		buf_fini(&part->fields);
	}
	*part = (struct url_part){ .fd = -1 };
}
