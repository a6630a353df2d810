/* LIST and LSUB. Called by step.c through the table. A walk over the mailboxes, or over the
 * subscribed names, that stops when a step has done enough and goes on behind the name it had
 * reached; names are compared with the patterns in the form in which the client sees them.
 * RFC 3501 6.3.8, 6.3.9; RFC 5258; RFC 5819; RFC 6154; RFC 9051 6.3.9. */
#include "core/base/clock.h"
#include "core/store/metadata.h"
#include "imap/grammar/pattern.h"
#include "imap/session/commands.h"
#include "imap/session/listing.h"
#include "imap/session/write.h"
#include "imap/session/names.h"

enum {
	LIST_GATHER, /* the names with a special use, for RECURSIVEMATCH */
	LIST_WALK,
	PATTERN_BYTES_MAX = 4096, /* of those with wildcards, together */
	SPECIALS_MAX = 1000,
	BELOW_MAX = 64, /* names that are looked at for one CHILDINFO */
};

struct lister {
	struct imap_session *s;
	struct cmd *c;
	const struct args_list *a;
	bool lsub;
	struct str *pattern; /* outer */
	size_t pattern_count;
	struct str *special; /* outer names */
	size_t special_count;
	unsigned phase;
	/* The name that was looked at last: of the store, and the same for the client. */
	size_t last_len, outer_len;
	char last[MAILBOX_NAME_MAX], outer[MAILBOX_NAME_MAX + 16];
	/* of the running step */
	struct txn *t;
	int64_t began_us;
};

/* ---- names and patterns ---- */

static bool
has_wildcard(struct str pattern)
{
	return str_chr(pattern, '*') < pattern.n || str_chr(pattern, '%') < pattern.n;
}

/* tail: only patterns that end in "*", which match all that is below a name they match. */
static bool
matches(const struct lister *l, struct str outer, bool tail)
{
	for (size_t i = 0; i < l->pattern_count; i++) {
		struct str p = l->pattern[i];

		if (tail && (p.n == 0 || p.p[p.n - 1] != '*'))
			continue;
		if (p.n != outer.n && !has_wildcard(p))
			continue;
		if (pattern_matches(p, outer))
			return true;
	}
	return false;
}

/* Where the walk stands, for the next step. */
static void
remember(struct lister *l, struct str name, struct str outer)
{
	memcpy(l->last, name.p, name.n);
	l->last_len = name.n;
	memcpy(l->outer, outer.p, outer.n);
	l->outer_len = outer.n;
}

/* The client's form of name, in l->outer's size at most. */
static struct str
outer_of(const struct lister *l, struct str name, struct buf *b)
{
	buf_reset(b);
	session_outer_name(l->s, name, b);
	return str_sub(buf_str(b), 0, sizeof l->outer);
}

static bool
is_below(struct str name, struct str parent)
{
	return name.n > parent.n && name.p[parent.n] == '/' && str_starts(name, parent);
}

static enum err
go_on(const struct lister *l)
{
	return session_enough(l->s, l->began_us) ? ERR_EOF : ERR_OK;
}

/* ---- CHILDINFO ---- */

struct below {
	const struct lister *l;
	struct str parent; /* outer */
	bool unmatched;	   /* only what no pattern matches */
	unsigned seen;
	bool found;
	struct buf outer;
};

static enum err
below_one(void *arg, struct str name)
{
	struct below *b = arg;
	const struct lister *l = b->l;
	struct str outer = outer_of(l, name, &b->outer);
	struct mailbox_info m;

	if (!is_below(outer, b->parent))
		return ERR_OK;
	/* to say too much is allowed, to look at everything for it is not */
	b->found = ++b->seen > BELOW_MAX ||
		   ((l->a->select & LIST_SPECIAL_USE) == 0 ||
			   (mailbox_find(l->t, name, &m) == ERR_OK && m.special_use != 0));
	if (b->seen <= BELOW_MAX && b->unmatched && matches(l, outer, false))
		b->found = false;
	return b->found ? ERR_EOF : ERR_OK;
}

/* Is something below outer selected; unmatched: that no line of its own will tell of? */
static enum err
selected_below(const struct lister *l, struct str outer, bool unmatched, bool *found_out)
{
	struct below b = { .l = l, .parent = outer, .unmatched = unmatched };
	struct str inner;
	enum err e = ERR_OK;

	*found_out = false;
	if (unmatched && matches(l, outer, true))
		return ERR_OK;
	if ((l->a->select & LIST_SUBSCRIBED) == 0) {
		for (size_t i = 0; i < l->special_count && !b.found; i++)
			b.found = is_below(l->special[i], outer) &&
				  !(unmatched && matches(l, l->special[i], false));
		*found_out = b.found;
		return ERR_OK;
	}
	buf_init(&b.outer, 2048);
	/* with a prefix everything lies below INBOX for the client */
	if (l->s->imap->inbox_prefix && str_eq(outer, STR("INBOX"))) {
		e = subscribed_walk(l->t, below_one, &b);
	} else if (session_inner_name(l->s, outer, &inner)) {
		struct buf prefix;

		buf_init(&prefix, 2048);
		buf_add(&prefix, inner);
		buf_addc(&prefix, '/');
		e = subscribed_walk_prefix(l->t, buf_str(&prefix), below_one, &b);
		buf_fini(&prefix);
	}
	buf_fini(&b.outer);
	*found_out = b.found;
	return e == ERR_EOF ? ERR_OK : e;
}

/* ---- one name ---- */

/* Entries that are not there are NIL: RFC 9590 3. */
static enum err
write_metadata(const struct lister *l, const struct mailbox_info *m)
{
	const struct args_list *a = l->a;

	struct buf use;
	enum err e = ERR_OK;

	buf_init(&use, 200);
	struct str uses = metadata_use(m->special_use, &use);

	for (size_t i = 0; e == ERR_OK && i < a->entries_count; i++) {
		struct str value = { NULL, 0 };

		if (str_eq(a->entries[i], METADATA_USE))
			value = uses;
		else
			e = metadata_get(l->t, m->id, a->entries[i], &value);
		if (e == ERR_NOTFOUND)
			e = ERR_OK;
		metadata_write(l->s, m->name, a->entries[i], value, i == 0);
	}
	buf_fini(&use);
	buf_addz(session_out(l->s), ")\r\n");
	return e;
}

static enum err
write_one(const struct lister *l, struct str outer, const struct mailbox_info *m, unsigned flags)
{
	struct list_line line = { .outer = outer, .m = m, .flags = flags };
	struct mailbox_info copy;
	enum err e = ERR_OK;

	if (m != NULL) {
		copy = *m;
		e = listing_children(l->s, l->t, &copy);
		line.m = &copy;
	}
	if (e != ERR_OK)
		return e;
	list_line_write(l->s, session_out(l->s), &line);
	/* a name that only leads to others has neither: RFC 9590 3, RFC 5819 2 */
	if (m == NULL || m->noselect)
		return ERR_OK;
	if ((l->a->returns & LIST_METADATA) != 0)
		e = write_metadata(l, m);
	if (e == ERR_OK && (l->a->returns & LIST_STATUS) != 0) {
		if ((l->a->status & STATUS_HIGHESTMODSEQ) != 0)
			session_condstore(l->s);
		e = status_write(l->s, l->t, m, m->name, l->a->status);
	}
	return e;
}

/* Says what there is to say about a name; m: NULL when there is no such mailbox. */
static enum err
consider(const struct lister *l, struct str outer, const struct mailbox_info *m, bool subscribed)
{
	const struct args_list *a = l->a;
	bool below = false;
	unsigned flags = a->extended || (l->s->modes & MODE_REV2) != 0 ? LINE_EXTENDED : 0;

	if (!matches(l, outer, false))
		return ERR_OK;
	bool selected = ((a->select & LIST_SUBSCRIBED) == 0 || subscribed) &&
			((a->select & LIST_SPECIAL_USE) == 0 || (m != NULL && m->special_use != 0));
	enum err e = (a->select & LIST_RECURSIVEMATCH) != 0
			     ? selected_below(l, outer, !selected, &below)
			     : ERR_OK;

	if (e != ERR_OK || (!selected && !below))
		return e;
	if (subscribed && ((a->select | a->returns) & LIST_SUBSCRIBED) != 0)
		flags |= LINE_SUBSCRIBED;
	if (below && (a->select & LIST_SUBSCRIBED) != 0)
		flags |= LINE_CHILD_SUBSCRIBED;
	if (below && (a->select & LIST_SPECIAL_USE) != 0)
		flags |= LINE_CHILD_SPECIAL_USE;
	return write_one(l, outer, m, flags);
}

/* ---- the walk over mailboxes ---- */

static enum err
mailbox_one(void *arg, const struct mailbox_info *m)
{
	struct lister *l = arg;
	struct buf b;

	buf_init(&b, 2048);
	struct str outer = outer_of(l, m->name, &b);
	bool subscribed = (l->a->returns & LIST_SUBSCRIBED) != 0 && subscribed_has(l->t, m->name);
	enum err e = consider(l, outer, m, subscribed);

	remember(l, m->name, outer);
	buf_fini(&b);
	return e == ERR_OK ? go_on(l) : e;
}

static enum err
gather_one(void *arg, const struct mailbox_info *m)
{
	struct lister *l = arg;
	struct buf b;

	buf_init(&b, 2048);
	struct str outer = outer_of(l, m->name, &b);

	remember(l, m->name, outer);
	if (m->special_use != 0 && l->special_count < SPECIALS_MAX &&
		arena_str(l->s->arena, outer, &l->special[l->special_count]) == ERR_OK)
		l->special_count++;
	buf_fini(&b);
	return go_on(l);
}

/* ---- the walk over subscribed names ---- */

static enum err
lsub_line(const struct lister *l, const char *attributes, struct str outer)
{
	struct buf *out = session_out(l->s);

	buf_addz(out, "* LSUB (");
	buf_addz(out, attributes);
	buf_addz(out, ") \"");
	buf_addc(out, l->s->imap->separator);
	buf_addz(out, "\" ");
	session_write_outer(l->s, out, outer);
	buf_addz(out, "\r\n");
	return ERR_OK;
}

/* A name as it stands in the store's table of subscriptions, or one above such a name. */
static enum err
subscribed_name(const struct lister *l, struct str outer, struct str inner, bool subscribed)
{
	struct mailbox_info m;

	if (l->lsub)
		return matches(l, outer, false)
			       ? lsub_line(l, subscribed ? "" : "\\Noselect", outer)
			       : ERR_OK;
	enum err e = mailbox_find(l->t, inner, &m);

	if (e != ERR_OK && e != ERR_NOTFOUND)
		return e;
	return consider(l, outer, e == ERR_OK ? &m : NULL, subscribed);
}

/* With "%", LSUB names a parent of something subscribed with \Noselect (RFC 3501 6.3.9), and
 * RECURSIVEMATCH the parents that the patterns match: each once, at the first name below it. */
static enum err
subscribed_parents(const struct lister *l, struct str outer)
{
	struct str before = str_n(l->outer, l->outer_len), inner;

	for (size_t n = 0; n < outer.n; n++) {
		struct str parent = str_sub(outer, 0, n);

		if (outer.p[n] != '/' || is_below(before, parent) ||
			!session_inner_name(l->s, parent, &inner) || subscribed_has(l->t, inner))
			continue;
		enum err e = subscribed_name(l, parent, inner, false);

		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}

static bool
wants_parents(const struct lister *l)
{
	struct str p = l->pattern[0];

	if (!l->lsub)
		return (l->a->select & LIST_RECURSIVEMATCH) != 0;
	return p.n != 0 && p.p[p.n - 1] == '%';
}

static enum err
subscribed_one(void *arg, struct str name)
{
	struct lister *l = arg;
	enum err e = ERR_OK;
	struct buf b;

	buf_init(&b, 2048);
	struct str outer = outer_of(l, name, &b);

	if (wants_parents(l))
		e = subscribed_parents(l, outer);
	if (e == ERR_OK)
		e = subscribed_name(l, outer, name, true);
	remember(l, name, outer);
	buf_fini(&b);
	return e == ERR_OK ? go_on(l) : e;
}

/* ---- the command ---- */

/* ERR_EOF: nothing can match. */
static enum err
make_patterns(struct lister *l)
{
	size_t bytes = 0;

	l->pattern = arena_calloc(l->s->arena, l->a->patterns_count, sizeof *l->pattern);
	if (l->pattern == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < l->a->patterns_count; i++) {
		struct str *p = &l->pattern[l->pattern_count];

		/* what is no name matches none; nothing at all is passed over: RFC 5258 3 */
		if ((l->a->extended && l->a->patterns[i].n == 0) ||
			session_pattern(l->s, l->a->reference, l->a->patterns[i], p) != ERR_OK)
			continue;
		bytes += has_wildcard(*p) ? p->n : 0;
		l->pattern_count++;
	}
	if (bytes > PATTERN_BYTES_MAX)
		return ERR_LIMIT;
	return l->pattern_count > 0 ? ERR_OK : ERR_EOF;
}

static enum err
make_lister(struct imap_session *s, struct cmd *c, bool lsub)
{
	const unsigned gather = LIST_RECURSIVEMATCH | LIST_SPECIAL_USE;
	struct lister *l = arena_calloc(s->arena, 1, sizeof *l);

	if (l == NULL)
		return ERR_LIMIT;
	c->state = l;
	l->s = s;
	l->c = c;
	l->a = &c->a.list;
	l->lsub = lsub;
	l->phase = LIST_WALK;
	if ((l->a->select & (gather | LIST_SUBSCRIBED)) == gather) {
		l->phase = LIST_GATHER;
		l->special = arena_calloc(s->arena, SPECIALS_MAX, sizeof *l->special);
		if (l->special == NULL)
			return ERR_LIMIT;
	}
	return make_patterns(l);
}

/* ERR_EOF: enough for this step. */
static enum err
walk(struct lister *l)
{
	/* l->last is written while the walk goes by it */
	char place[MAILBOX_NAME_MAX];
	struct str last = str_n(place, l->last_len);
	bool subscribed = l->lsub || (l->a->select & LIST_SUBSCRIBED) != 0;

	memcpy(place, l->last, l->last_len);
	if (l->phase == LIST_GATHER) {
		enum err e = mailbox_walk_after(l->t, last, gather_one, l);

		if (e != ERR_OK)
			return e;
		l->phase = LIST_WALK;
		l->last_len = l->outer_len = 0;
		return ERR_EOF;
	}
	return subscribed ? subscribed_walk_after(l->t, last, subscribed_one, l)
			  : mailbox_walk_after(l->t, last, mailbox_one, l);
}

static enum step
run(struct imap_session *s, struct cmd *c, bool lsub)
{
	struct lister *l = c->state;
	enum err e = ERR_OK;

	if (l == NULL) {
		e = make_lister(s, c, lsub);
		if (e != ERR_OK)
			return e == ERR_EOF ? cmd_ok(c, "List completed") : cmd_fail(s, c, e);
		l = c->state;
	}
	e = session_read(s, &l->t);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	l->began_us = clock_us();
	e = walk(l);
	store_read_end(l->t);
	if (e == ERR_EOF)
		return STEP_MORE;
	return e == ERR_OK ? cmd_ok(c, "List completed") : cmd_fail(s, c, e);
}

enum step
run_list(struct imap_session *s, struct cmd *c)
{
	const struct args_list *a = &c->a.list;
	struct buf *out = session_out(s);

	/* the separator is asked for, and where names begin; not by an extended LIST: RFC 5258 3 */
	if (c->state == NULL && !a->extended && a->patterns[0].n == 0) {
		buf_addz(out, "* LIST (\\Noselect) \"");
		buf_addc(out, s->imap->separator);
		buf_addz(out, "\" \"\"\r\n");
		return cmd_ok(c, "List completed");
	}
	return run(s, c, false);
}

enum step
run_lsub(struct imap_session *s, struct cmd *c)
{
	return run(s, c, true);
}
