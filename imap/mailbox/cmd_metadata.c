/* GETMETADATA, SETMETADATA. Called by step.c through the table. Every mailbox is its user's own, so
 * both kinds of entries, /private and /shared, may be read and set by the one user; of the server,
 * /shared is the operator's. RFC 5464. */
#include "core/base/clock.h"
#include "core/store/metadata.h"
#include "imap/session/notify.h"
#include "imap/session/commands.h"
#include "imap/session/listing.h"
#include "imap/session/names.h"
#include "imap/session/write.h"

#define ADMIN STR("/shared/admin")

/* ---- GETMETADATA ---- */

/* Where a command of several steps is, and one step's means. */
struct getter {
	struct imap_session *s;
	const struct args_metadata *a;
	struct txn *t;
	int64_t began_us;
	unsigned special_use;
	size_t name; /* of the entries that were asked for */
	/* the last that was given of those below it */
	size_t last_len;
	char last[METADATA_NAME_MAX];
	struct str mailbox; /* empty: the server */
	bool begun;	    /* a response, which is still open */
	uint64_t longest;   /* of what is over MAXSIZE */
};

static void
give(struct getter *g, struct str name, struct str value)
{
	if (g->a->has_maxsize && value.p != NULL && value.n > g->a->maxsize) {
		if (value.n > g->longest)
			g->longest = value.n;
		return;
	}
	metadata_write(g->s, g->mailbox, name, value, !g->begun);
	g->begun = true;
}

/* Is it name, or below it as far as DEPTH goes? */
static bool
is_within(const struct getter *g, struct str name)
{
	struct str rest = str_from(name, g->a->names[g->name].n);

	if (rest.n == 0)
		return true;
	return rest.p[0] == '/' &&
	       (g->a->depth != 1 || str_chr(str_from(rest, 1), '/') == rest.n - 1);
}

/* fn of metadata_walk */
static enum err
give_below(void *arg, struct str name, struct str value)
{
	struct getter *g = arg;

	if (name.n > sizeof g->last)
		return ERR_CORRUPT;
	if (!is_within(g, name) || str_cmp(name, str_n(g->last, g->last_len)) <= 0)
		return ERR_OK;
	give(g, name, value);
	memcpy(g->last, name.p, name.n);
	g->last_len = name.n;
	return session_enough(g->s, g->began_us) ? ERR_EOF : ERR_OK;
}

/* The one shared entry of the server. */
static void
give_admin(struct getter *g)
{
	struct str admin = buf_str(&g->s->imap->admin);

	if (g->a->depth == 0)
		give(g, ADMIN, admin.n != 0 ? admin : (struct str){ NULL, 0 });
	else if (admin.n != 0 && is_within(g, ADMIN))
		give(g, ADMIN, admin);
}

/* The mailbox's special use, an entry that is no row. True: that was all that was asked for. */
static bool
give_use(struct getter *g, struct str entry)
{
	struct buf b;

	if (g->mailbox.n == 0 || !str_starts(METADATA_USE, entry) || g->last_len != 0)
		return false;
	buf_init(&b, 200);
	struct str value = metadata_use(g->special_use, &b);
	bool exact = entry.n == METADATA_USE.n;

	if (g->a->depth == 0 ? exact : value.p != NULL && is_within(g, METADATA_USE))
		give(g, METADATA_USE, value);
	buf_fini(&b);
	return exact && g->a->depth == 0;
}

/* The entry that was asked for, and those below it. ERR_EOF: enough for this step. */
static enum err
give_entry(struct getter *g, uint32_t id, struct str entry)
{
	struct str value = { NULL, 0 };

	if (g->mailbox.n == 0 && str_starts(ADMIN, entry) &&
		(g->a->depth != 0 || entry.n == ADMIN.n)) {
		give_admin(g);
		return ERR_OK;
	}
	if (give_use(g, entry))
		return ERR_OK;
	if (g->a->depth != 0)
		return metadata_walk(g->t, id, entry, give_below, g);
	enum err e = metadata_get(g->t, id, entry, &value);

	if (e != ERR_OK && e != ERR_NOTFOUND)
		return e;
	give(g, entry, value);
	return ERR_OK;
}

static enum err
give_entries(struct getter *g, uint32_t id)
{
	enum err e = ERR_OK;

	while (e == ERR_OK && g->name < g->a->names_count) {
		e = give_entry(g, id, g->a->names[g->name]);
		if (e != ERR_OK)
			break;
		g->name++;
		g->last_len = 0;
		if (session_enough(g->s, g->began_us))
			e = ERR_EOF;
	}
	if (g->begun)
		buf_addz(session_out(g->s), ")\r\n");
	g->begun = false;
	return e;
}

/* The id of a mailbox, a placeholder too; of the server 0. */
static enum err
find(struct getter *g, uint32_t *id_out)
{
	struct mailbox_info m;
	enum err e = ERR_OK;

	*id_out = METADATA_ACCOUNT;
	if (g->mailbox.n != 0 && (e = mailbox_find(g->t, g->mailbox, &m)) == ERR_OK) {
		*id_out = m.id;
		g->special_use = m.special_use;
	}
	return e;
}

static enum err
name_of(struct imap_session *s, const struct args_metadata *a, struct str *out)
{
	*out = STR_EMPTY;
	return a->mailbox.n != 0 ? session_mailbox(s, a->mailbox, out) : ERR_OK;
}

static enum err
make_getter(struct imap_session *s, struct cmd *c)
{
	struct getter *g = arena_calloc(s->arena, 1, sizeof *g);

	if (g == NULL)
		return ERR_LIMIT;
	c->state = g;
	g->s = s;
	g->a = &c->a.metadata;
	return name_of(s, g->a, &g->mailbox);
}

enum step
run_getmetadata(struct imap_session *s, struct cmd *c)
{
	enum err e = c->state == NULL ? make_getter(s, c) : ERR_OK;
	struct getter *g = c->state;
	uint32_t id;

	if (e == ERR_OK)
		e = session_read(s, &g->t);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	g->began_us = clock_us();
	e = find(g, &id);
	if (e == ERR_OK)
		e = give_entries(g, id);
	store_read_end(g->t);
	if (e == ERR_EOF)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	if (g->longest != 0)
		buf_addf(&s->reply, "METADATA LONGENTRIES %llu", (unsigned long long)g->longest);
	return cmd_ok(c, "Metadata completed");
}

/* ---- SETMETADATA ---- */

static void
on_set(void *arg, enum err e, const struct mailbox_result *r UNUSED)
{
	struct imap_session *s = arg;

	s->cmd->op = NULL;
	s->cmd->op_err = e;
	session_resume(s);
}

/* NULL: all may be set; else why not, with c's result set. */
static bool
refused(struct imap_session *s, struct cmd *c)
{
	const struct args_metadata *a = &c->a.metadata;

	for (size_t i = 0; i < a->names_count; i++) {
		struct str name = a->names[i];
		bool shared = str_starts(name, STR("/shared/"));

		if (!shared && !str_starts(name, STR("/private/"))) {
			(void)cmd_bad(c, "Entries begin with /private/ or /shared/");
			return true;
		}
		if (shared && a->mailbox.n == 0) {
			(void)cmd_no(c, "NOPERM", "The server's shared entries are read-only");
			return true;
		}
		if (a->values[i].n > s->imap->limits.metadata_size) {
			buf_addf(&s->reply, "METADATA MAXSIZE %zu", s->imap->limits.metadata_size);
			(void)cmd_no(c, NULL, "Value is too large");
			return true;
		}
	}
	return false;
}

/* "\Sent", "\Sent \Archive". False: not all are known; \All and \Flagged are views of other
 * mailboxes, which we do not make. */
static bool
parse_uses(struct str value, unsigned *out)
{
	struct str word;

	*out = 0;
	while (value.n != 0) {
		(void)str_cut(value, ' ', &word, &value);
		unsigned bit = special_use_parse(word);

		if (bit == 0 || (bit & (USE_ALL | USE_FLAGGED)) != 0)
			return false;
		*out |= bit;
	}
	return true;
}

static enum step
finish_set(struct imap_session *s, struct cmd *c)
{
	if (c->op_err == ERR_LIMIT)
		return cmd_no(c, "METADATA TOOMANY", "Too many entries");
	if (c->op_err == ERR_EXISTS || c->op_err == ERR_DENIED)
		return cmd_no(
			c, "USEATTR", "Another mailbox has this use, or this one can have none");
	return c->op_err == ERR_OK ? cmd_ok(c, "Metadata set") : cmd_fail(s, c, c->op_err);
}

enum step
run_setmetadata(struct imap_session *s, struct cmd *c)
{
	const struct args_metadata *a = &c->a.metadata;
	struct metadata_args set = { .entries_max = s->imap->limits.metadata_entries };
	struct metadata_pair *pairs;

	if (c->phase++ != 0)
		return finish_set(s, c);
	if (refused(s, c))
		return STEP_DONE;
	enum err e = name_of(s, a, &set.mailbox);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	pairs = arena_calloc(s->arena, a->names_count, sizeof *pairs);
	if (pairs == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	for (size_t i = 0; i < a->names_count; i++) {
		if (!str_eq(a->names[i], METADATA_USE)) {
			pairs[set.count++] = (struct metadata_pair){ a->names[i], a->values[i] };
			continue;
		}
		set.sets_use = true;
		if (!parse_uses(a->values[i], &set.special_use))
			return cmd_no(c, "USEATTR", "Special use is unknown here");
	}
	set.pairs = pairs;
	notify_own(s, set.mailbox);
	c->op = store_set_metadata(s->home, &set, on_set, s);
	return STEP_WAIT;
}
