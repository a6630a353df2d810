/* Evaluates SEARCH's tree; see match.h. Called by cmd_search.c. Invariant: the tree was limited in
 * depth when it was parsed, so recursion is bounded; a message's file is opened at most once. */
#include "imap/search/match.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/mail/charset.h"
#include "core/mail/date.h"
#include "core/mail/header.h"
#include "core/mail/search.h"
#include "core/store/entry.h"
#include "imap/session/fields.h"
#include "imap/session/objectid.h"

enum { READ_BYTES = 256 * 1024 }; /* smaller files are read, larger ones mapped */

struct search_prepared {
	struct search_key key;
	bool has_key;
	bool kept;  /* the field is in the index */
	bool plain; /* plain holds the text in capitals: it is ASCII */
	struct str capitals;
	uint64_t answered_msg; /* a message that the pool looked into; 0: none */
	bool found;	       /* in that one */
};

enum cost { COST_ENTRY, COST_RECORD, COST_FILE };

/* ---- before ---- */

/* Of the key itself, without those inside of it. */
static enum cost
own_cost(const struct search_node *n)
{
	switch (n->kind) {
	case SEARCH_SENTBEFORE:
	case SEARCH_SENTON:
	case SEARCH_SENTSINCE:
	case SEARCH_THREADID:
		return COST_RECORD;
	case SEARCH_HEADER:
		return n->prepared->kept ? COST_RECORD : COST_FILE;
	case SEARCH_BODY:
	case SEARCH_TEXT:
		return COST_FILE;
	case SEARCH_AND:
	case SEARCH_OR:
	case SEARCH_NOT:
	case SEARCH_SEQ:
	case SEARCH_UID:
	case SEARCH_FLAG_SET:
	case SEARCH_FLAG_UNSET:
	case SEARCH_RECENT:
	case SEARCH_OLD:
	case SEARCH_NEW:
	case SEARCH_KEYWORD:
	case SEARCH_UNKEYWORD:
	case SEARCH_BEFORE:
	case SEARCH_ON:
	case SEARCH_SINCE:
	case SEARCH_LARGER:
	case SEARCH_SMALLER:
	case SEARCH_OLDER:
	case SEARCH_YOUNGER:
	case SEARCH_SAVEDBEFORE:
	case SEARCH_SAVEDON:
	case SEARCH_SAVEDSINCE:
	case SEARCH_MODSEQ:
	case SEARCH_EMAILID:
		break;
	}
	return COST_ENTRY;
}

/* Stable: those of equal cost stay in the client's order. */
static void
sort_by_cost(struct search_node *n)
{
	struct search_node *lists[3] = { NULL, NULL, NULL };
	struct search_node **ends[3] = { &lists[0], &lists[1], &lists[2] };

	for (struct search_node *c = n->first, *next; c != NULL; c = next) {
		unsigned cost = c->cost;

		next = c->next;
		c->next = NULL;
		*ends[cost] = c;
		ends[cost] = &c->next;
	}
	*ends[1] = lists[2];
	*ends[0] = lists[1];
	n->first = lists[0];
}

/* A text of ASCII alone can be looked for without decoding where the value is ASCII too. */
static enum err
prepare_plain(struct search_prepared *p, struct str utf8, struct arena *a)
{
	p->plain = utf8.n != 0 && utf8.n < 256;
	for (size_t i = 0; i < utf8.n; i++)
		p->plain = p->plain && utf8.p[i] >= ' ' && utf8.p[i] < 0x7f;
	if (!p->plain)
		return ERR_OK;
	char *to = arena_alloc(a, utf8.n);

	if (to == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < utf8.n; i++)
		to[i] = (char)ascii_upper(utf8.p[i]);
	p->capitals = str_n(to, utf8.n);
	return ERR_OK;
}

static enum err
prepare_text(struct search_node *n, struct str charset, struct arena *a)
{
	struct buf utf8;

	n->prepared = arena_calloc(a, 1, sizeof *n->prepared);
	if (n->prepared == NULL)
		return ERR_LIMIT;
	buf_init(&utf8, 1024 * 1024);
	enum err e =
		charset_to_utf8_strict(&utf8, charset.n != 0 ? charset : STR("UTF-8"), n->text);

	if (e == ERR_OK)
		e = search_key_init(&n->prepared->key, buf_str(&utf8));
	n->prepared->has_key = e == ERR_OK;
	if (e == ERR_OK)
		e = prepare_plain(n->prepared, buf_str(&utf8), a);
	buf_fini(&utf8);
	if (e == ERR_OK && n->kind == SEARCH_HEADER)
		n->prepared->kept = message_field_kept(n->field);
	return e;
}

static bool
looks_into_text(const struct search_node *n)
{
	return n->kind == SEARCH_HEADER || n->kind == SEARCH_BODY || n->kind == SEARCH_TEXT;
}

static enum err
prepare_key(struct search_node *n, const struct matcher_options *o, struct arena *a)
{
	if (n->kind == SEARCH_SEQ)
		seq_set_resolve(&n->set, o->largest_seq);
	if (n->kind == SEARCH_UID)
		seq_set_resolve(&n->set, o->largest_uid);
	if (n->kind == SEARCH_EMAILID)
		n->flag = objectid_parse(n->text, OBJECT_EMAIL, &n->size);
	if (n->kind == SEARCH_THREADID)
		n->flag = objectid_parse(n->text, OBJECT_THREAD, &n->size);
	return looks_into_text(n) ? prepare_text(n, o->charset, a) : ERR_OK;
}

/* From the leaves up, so that each key is looked at once. */
static enum err
prepare(struct search_node *n, const struct matcher_options *o, struct arena *a)
{
	enum err e = prepare_key(n, o, a);

	if (e != ERR_OK)
		return e;
	n->cost = own_cost(n);
	for (struct search_node *c = n->first; c != NULL; c = c->next) {
		e = prepare(c, o, a);
		if (e != ERR_OK)
			return e;
		n->cost = c->cost > n->cost ? c->cost : n->cost;
	}
	if (n->kind == SEARCH_AND || n->kind == SEARCH_OR)
		sort_by_cost(n);
	return ERR_OK;
}

static void
unprepare(struct search_node *n)
{
	if (n->prepared != NULL && n->prepared->has_key)
		search_key_fini(&n->prepared->key);
	n->prepared = NULL;
	for (struct search_node *c = n->first; c != NULL; c = c->next)
		unprepare(c);
}

static size_t
count_texts(const struct search_node *n)
{
	size_t count = looks_into_text(n);

	for (const struct search_node *c = n->first; c != NULL; c = c->next)
		count += count_texts(c);
	return count;
}

enum err
matcher_init(struct matcher *m, struct search_node *root, const struct matcher_options *o,
	struct home *h, struct arena *a)
{
	*m = (struct matcher){ .root = root, .home = h, .saved = o->saved, .now_sec = o->now_sec };
	m->texts = count_texts(root);
	buf_init(&m->file_buf, READ_BYTES + 1);
	if (o->charset.n != 0 && !charset_known(o->charset))
		return ERR_NOTFOUND;
	return prepare(root, o, a);
}

void
matcher_fini(struct matcher *m)
{
	aside_forget(m->aside);
	m->aside = NULL;
	unprepare(m->root);
	buf_fini(&m->file_buf);
}

static void
narrow(const struct matcher *m, const struct search_node *n, uint32_t *lo, uint32_t *hi)
{
	const struct uidset *saved = m->saved;
	size_t ranges = n->set.saved ? saved->n : n->set.n;

	if (ranges == 0) {
		*hi = 0;
		return;
	}
	uint32_t first = n->set.saved ? saved->v[0].lo : n->set.r[0].lo;
	uint32_t last = n->set.saved ? saved->v[ranges - 1].hi : n->set.r[ranges - 1].hi;

	*lo = first > *lo ? first : *lo;
	*hi = last < *hi ? last : *hi;
}

void
matcher_bounds(const struct matcher *m, uint32_t *lo_out, uint32_t *hi_out)
{
	*lo_out = 1;
	*hi_out = UINT32_MAX;
	if (m->root->kind != SEARCH_AND)
		return;
	for (const struct search_node *c = m->root->first; c != NULL && *hi_out != 0; c = c->next)
		if (c->kind == SEARCH_UID || (c->kind == SEARCH_SEQ && c->set.saved))
			narrow(m, c, lo_out, hi_out);
}

static enum message_part
part_of(const struct search_node *n)
{
	if (n == NULL || n->cost != COST_RECORD)
		return MESSAGE_NONE;
	if (n->kind == SEARCH_AND || n->kind == SEARCH_OR || n->kind == SEARCH_NOT)
		return part_of(n->first);
	return n->kind == SEARCH_HEADER ? MESSAGE_FIELDS : MESSAGE_DATE;
}

enum message_part
matcher_part(const struct matcher *m)
{
	return part_of(m->root);
}

static bool
wants_unseen(const struct search_node *n)
{
	if (n->kind == SEARCH_AND) {
		for (const struct search_node *c = n->first; c != NULL; c = c->next)
			if (wants_unseen(c))
				return true;
		return false;
	}
	return n->kind == SEARCH_FLAG_UNSET && n->flag == FLAG_SEEN;
}

bool
matcher_wants_unseen(const struct matcher *m)
{
	return wants_unseen(m->root);
}

bool
matcher_takes_all(const struct matcher *m)
{
	for (const struct search_node *c = m->root->first; c != NULL; c = c->next)
		if (c->kind != SEARCH_AND || c->first != NULL)
			return false;
	return m->root->kind == SEARCH_AND;
}

void
matcher_use_pool(struct matcher *m, struct pool *p, void (*fn)(void *arg), void *arg)
{
	m->pool = p;
	m->fn = fn;
	m->arg = arg;
}

/* ---- one message ---- */

struct target {
	struct matcher *m;
	const struct match_step *step;
	const struct entry *entry;
	uint32_t seq;
	uint64_t cost;
	bool has_record, has_file, has_mime, mapped;
	struct message *msg; /* the matcher's own, unless it was loaded */
	struct mime mime;
	struct str file;
	enum err err; /* the first one; the result does not count then */
};

static bool
failed(struct target *t, enum err e)
{
	if (e != ERR_OK && t->err == ERR_OK)
		t->err = e;
	return t->err != ERR_OK;
}

static bool
need_record(struct target *t)
{
	if (t->has_record || t->err != ERR_OK)
		return t->err == ERR_OK;
	t->cost += 8;
	struct message *own = &t->m->message;

	t->msg = t->step->loaded != NULL ? t->step->loaded : own;
	t->has_record =
		t->msg != own || !failed(t, message_scan_get(t->step->scan, t->entry->msg, own));
	return t->has_record;
}

/* ---- aside ---- */

/* n: NULL: only bring the file into memory. */
static bool
ask_aside(struct target *t, const struct search_node *n, struct mime *mime)
{
	struct matcher *m = t->m;
	const struct aside_question q = { .home = m->home,
		.msg = t->entry->msg,
		.size = t->entry->size,
		.key = n != NULL ? &n->prepared->key : NULL,
		.mime = mime,
		.with_header = n != NULL && n->kind == SEARCH_TEXT,
		.field = n != NULL ? n->field : STR_EMPTY,
		.warm_only = n == NULL };

	if (m->probes)
		return !failed(t, ERR_BUSY);
	m->aside = aside_new(&q);
	m->aside_node = n;
	m->aside_msg = t->entry->msg;
	return !failed(t, ERR_BUSY);
}

/* A large text: ERR_OK: *out says; else it is asked now, or t has failed. */
static enum err
match_aside(struct target *t, const struct search_node *n, bool *out)
{
	struct mime mime;

	if (t->err != ERR_OK)
		return t->err;
	if (n->prepared->answered_msg == t->entry->msg) {
		*out = n->prepared->found;
		return ERR_OK;
	}
	if (n->kind == SEARCH_HEADER) {
		(void)ask_aside(t, n, NULL);
		return t->err;
	}
	if (!need_record(t) || failed(t, message_mime(t->msg, &mime)))
		return t->err;
	(void)ask_aside(t, n, &mime);
	mime_fini(&mime);
	return t->err;
}

/* Do the keys together have more to read than the loop bears at once? */
static bool
goes_aside(const struct target *t, uint64_t size)
{
	return t->m->pool != NULL && size > READ_BYTES / t->m->texts;
}

/* What was asked about the entry before this one, or about it. */
static enum err
take_aside(struct matcher *m, uint64_t msg)
{
	bool found = false;
	int code;

	if (m->aside == NULL)
		return ERR_OK;
	if (!aside_is_done(m->aside))
		return ERR_BUSY;
	enum err e = aside_result(m->aside, &found, &code);

	aside_forget(m->aside);
	m->aside = NULL;
	if (m->aside_msg != msg)
		return ERR_OK;
	if (e != ERR_OK) {
		m->code = code;
		return e;
	}
	if (m->aside_node == NULL) {
		m->warm_msg = msg;
	} else {
		m->aside_node->prepared->answered_msg = msg;
		m->aside_node->prepared->found = found;
	}
	return ERR_OK;
}

/* As pread; ERR_BUSY: not in memory. */
static enum err
read_some(struct target *t, int fd, char *to, size_t size, size_t at, size_t *n_out)
{
	bool wait = t->m->pool == NULL || t->m->warm_msg == t->entry->msg;
	const struct iovec v = { .iov_base = to, .iov_len = size };
	ssize_t n = preadv2(fd, &v, 1, (off_t)at, wait ? 0 : RWF_NOWAIT);

	if (n < 0 && !wait && errno == EAGAIN)
		return ERR_BUSY;
	/* a file system without it */
	if (n < 0 && !wait && errno == EOPNOTSUPP)
		n = pread(fd, to, size, (off_t)at);
	if (n < 0)
		t->m->code = errno;
	if (n <= 0)
		return n < 0 ? ERR_TEMP : ERR_CORRUPT;
	*n_out = (size_t)n;
	return ERR_OK;
}

static enum err
read_small(struct target *t, int fd, size_t size)
{
	struct buf *b = &t->m->file_buf;

	buf_reset(b);
	char *to = buf_reserve(b, size);

	if (to == NULL)
		return ERR_LIMIT;
	for (size_t got = 0, n = 0; got < size; got += n) {
		enum err e = read_some(t, fd, to + got, size - got, got, &n);

		if (e != ERR_OK)
			return e;
	}
	buf_commit(b, size);
	t->file = buf_str(b);
	return ERR_OK;
}

static enum err
map_large(struct target *t, int fd, size_t size)
{
	enum err e = message_map(fd, 0, size, &t->file);

	if (e == ERR_TEMP)
		t->m->code = errno;
	t->mapped = e == ERR_OK;
	return e;
}

static bool
need_file(struct target *t)
{
	size_t size = (size_t)t->entry->size;
	int fd;

	if (t->has_file || t->err != ERR_OK)
		return t->err == ERR_OK;
	if (t->m->probes)
		return ask_aside(t, NULL, NULL);
	t->cost += 256 + size / 64;
	bool wait = t->m->pool == NULL || t->m->warm_msg == t->entry->msg;
	enum err e = message_open(t->m->home, t->entry->msg, wait, &fd);

	if (e == ERR_AGAIN)
		return ask_aside(t, NULL, NULL);
	if (e == ERR_TEMP)
		t->m->code = errno;
	if (failed(t, e))
		return false;
	e = size <= READ_BYTES ? read_small(t, fd, size) : map_large(t, fd, size);
	(void)close(fd);
	if (e == ERR_BUSY)
		return ask_aside(t, NULL, NULL);
	t->has_file = !failed(t, e);
	return t->has_file;
}

static bool
need_mime(struct target *t)
{
	if (t->has_mime)
		return true;
	if (!need_record(t) || !need_file(t))
		return false;
	t->has_mime = !failed(t, message_mime(t->msg, &t->mime));
	return t->has_mime;
}

static bool
has_keyword(struct target *t, struct str name)
{
	int bit = keywords_find(t->step->keywords, name);

	return bit >= 0 && (t->entry->keywords >> bit & 1) != 0;
}

enum { PLAIN_MAX = 1000 };

/* A value of plain ASCII on one line, as most are, needs no decoding. ERR_NOTFOUND: it is another.
 */
static enum err
find_plain(const struct search_prepared *p, struct str value, bool *out)
{
	char capitals[PLAIN_MAX];

	value = str_trim(value);
	if (!p->plain || value.n > sizeof capitals)
		return ERR_NOTFOUND;
	for (size_t i = 0; i < value.n; i++) {
		unsigned char b = (unsigned char)value.p[i];

		if (b < ' ' || b >= 0x7f || (b == '=' && i + 1 < value.n && value.p[i + 1] == '?'))
			return ERR_NOTFOUND;
		capitals[i] = (char)(b >= 'a' && b <= 'z' ? b - 32 : b);
	}
	*out = memmem(capitals, value.n, p->capitals.p, p->capitals.n) != NULL;
	return ERR_OK;
}

static bool
match_value(const struct search_prepared *p, struct str value)
{
	bool found;

	if (find_plain(p, value, &found) == ERR_OK)
		return found;
	return search_value(&p->key, value);
}

/* A run of kept fields is walked here, as it has none of the oddities of a raw header. */
static bool
match_kept(const struct search_node *n, struct str run)
{
	struct str name, value, whole;

	while (field_next(&run, &name, &value, &whole)) {
		if (name.n != n->field.n || !str_ieq(name, n->field))
			continue;
		if (n->text.n == 0 || match_value(n->prepared, value))
			return true;
	}
	return false;
}

static bool
match_header(struct target *t, const struct search_node *n)
{
	bool kept = n->prepared->kept, found = false;
	uint64_t size = t->entry->size;
	struct str run;

	if (kept) {
		if (!need_record(t) || failed(t, message_fields(t->msg, &run)))
			return false;
		size = run.n;
	}
	if (goes_aside(t, size))
		return match_aside(t, n, &found) == ERR_OK && found;
	if (kept)
		return match_kept(n, run);
	if (!need_file(t))
		return false;
	return search_header(&n->prepared->key, t->file, n->field);
}

static bool
match_body(struct target *t, const struct search_node *n)
{
	bool found = false;

	if (goes_aside(t, t->entry->size))
		return match_aside(t, n, &found) == ERR_OK && found;
	if (!need_mime(t))
		return false;
	return search_body(&n->prepared->key, &t->mime, t->file, n->kind == SEARCH_TEXT);
}

/* -1, 0, 1: the day that the Date field names against n's; 2: there is none. */
static int
compare_sent(struct target *t, const struct search_node *n)
{
	if (!need_record(t) || !t->msg->has_sent)
		return 2;
	int64_t day = date_day(t->msg->sent_sec, t->msg->sent_zone_min);

	return day < n->day ? -1 : day > n->day;
}

static int
compare_internal(const struct target *t, const struct search_node *n)
{
	int64_t day = date_day(t->entry->internal_sec, t->entry->internal_zone_min);

	return day < n->day ? -1 : day > n->day;
}

static int
compare_saved(const struct target *t, const struct search_node *n)
{
	int64_t day = date_day(t->entry->save_ms / 1000, 0);

	return day < n->day ? -1 : day > n->day;
}

/* In seconds; a message from the future is no age old. */
static int64_t
age_of(const struct target *t)
{
	return t->m->now_sec - t->entry->internal_sec;
}

static bool
in_set(const struct target *t, const struct search_node *n)
{
	if (n->set.saved)
		return uidset_has(t->m->saved, t->entry->uid);
	return seq_set_has(&n->set, n->kind == SEARCH_SEQ ? t->seq : t->entry->uid);
}

static bool
matches(struct target *t, const struct search_node *n)
{
	const struct entry *e = t->entry;
	bool recent = e->uid >= t->step->recent_from;

	switch (n->kind) {
	case SEARCH_AND:
		for (const struct search_node *c = n->first; c != NULL; c = c->next)
			if (!matches(t, c))
				return false;
		return true;
	case SEARCH_OR:
		return matches(t, n->first) || matches(t, n->first->next);
	case SEARCH_NOT:
		return !matches(t, n->first);
	case SEARCH_SEQ:
	case SEARCH_UID:
		return in_set(t, n);
	case SEARCH_FLAG_SET:
		return (e->flags & n->flag) != 0;
	case SEARCH_FLAG_UNSET:
		return (e->flags & n->flag) == 0;
	case SEARCH_RECENT:
		return recent;
	case SEARCH_OLD:
		return !recent;
	case SEARCH_NEW:
		return recent && (e->flags & FLAG_SEEN) == 0;
	case SEARCH_KEYWORD:
		return has_keyword(t, n->text);
	case SEARCH_UNKEYWORD:
		return !has_keyword(t, n->text);
	case SEARCH_BEFORE:
		return compare_internal(t, n) < 0;
	case SEARCH_ON:
		return compare_internal(t, n) == 0;
	case SEARCH_SINCE:
		return compare_internal(t, n) >= 0;
	case SEARCH_SENTBEFORE:
		return compare_sent(t, n) == -1;
	case SEARCH_SENTON:
		return compare_sent(t, n) == 0;
	case SEARCH_SENTSINCE:
		return (unsigned)compare_sent(t, n) <= 1;
	case SEARCH_LARGER:
		return e->size > n->size;
	case SEARCH_SMALLER:
		return e->size < n->size;
	case SEARCH_OLDER:
		return age_of(t) >= (int64_t)n->size;
	case SEARCH_YOUNGER:
		return age_of(t) <= (int64_t)n->size;
	case SEARCH_SAVEDBEFORE:
		return compare_saved(t, n) < 0;
	case SEARCH_SAVEDON:
		return compare_saved(t, n) == 0;
	case SEARCH_SAVEDSINCE:
		return compare_saved(t, n) >= 0;
	case SEARCH_MODSEQ:
		return e->modseq >= n->size;
	case SEARCH_EMAILID:
		return n->flag != 0 && e->msg == n->size;
	case SEARCH_THREADID:
		return n->flag != 0 && need_record(t) && t->msg->thread == n->size;
	case SEARCH_HEADER:
		return match_header(t, n);
	case SEARCH_BODY:
	case SEARCH_TEXT:
		return match_body(t, n);
	}
	return false;
}

enum err
matcher_run(struct matcher *m, const struct match_step *step, uint32_t seq,
	const struct entry *entry, bool *out, uint64_t *cost_out)
{
	struct target t = { .m = m, .step = step, .entry = entry, .seq = seq, .cost = 1 };

	m->code = 0;
	t.err = take_aside(m, entry->msg);
	if (t.err != ERR_OK)
		return t.err;
	*out = matches(&t, m->root) && t.err == ERR_OK;
	*cost_out += t.cost;
	if (t.has_mime)
		mime_fini(&t.mime);
	if (t.mapped)
		message_unmap(t.file);
	return t.err;
}

bool
matcher_is_to_ask(const struct matcher *m)
{
	return m->aside != NULL && !aside_is_started(m->aside);
}

void
matcher_ask(struct matcher *m, const struct aside_soon *soon, size_t n)
{
	aside_start(m->aside, m->pool, soon, n, m->fn, m->arg);
}

bool
matcher_wants_file(
	struct matcher *m, const struct match_step *step, uint32_t seq, const struct entry *entry)
{
	struct target t = { .m = m, .step = step, .entry = entry, .seq = seq, .cost = 1 };

	m->probes = true;
	(void)matches(&t, m->root);
	m->probes = false;
	return t.err == ERR_BUSY;
}
