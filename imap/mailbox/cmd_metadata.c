/* GETMETADATA, SETMETADATA. Called by step.c through the table. Every mailbox is its user's own, so
 * both kinds of entries, /private and /shared, may be read and set by the one user; of the server,
 * /shared is the operator's. RFC 5464. */
#include "core/store/metadata.h"
#include "imap/session/commands.h"
#include "imap/session/listing.h"
#include "imap/session/names.h"
#include "imap/session/write.h"

#define ADMIN STR("/shared/admin")

/* ---- GETMETADATA ---- */

struct getter {
	struct imap_session *s;
	const struct args_metadata *a;
	struct str mailbox; /* empty: the server */
	struct str below;   /* the entry that was asked for */
	bool begun;
	uint64_t longest; /* of what is over MAXSIZE */
};

static enum err
give(struct getter *g, struct str name, struct str value)
{
	if (g->a->has_maxsize && value.p != NULL && value.n > g->a->maxsize) {
		if (value.n > g->longest)
			g->longest = value.n;
		return ERR_OK;
	}
	metadata_write(g->s, g->mailbox, name, value, !g->begun);
	g->begun = true;
	return ERR_OK;
}

/* fn of metadata_walk: prefix is below's name. */
static enum err
give_below(void *arg, struct str name, struct str value)
{
	struct getter *g = arg;
	struct str rest = str_from(name, g->below.n);

	if (rest.n != 0 && rest.p[0] != '/')
		return ERR_OK;
	/* with DEPTH 1 one part more at most */
	if (g->a->depth == 1 && rest.n != 0 && str_chr(str_from(rest, 1), '/') < rest.n - 1)
		return ERR_OK;
	return give(g, name, value);
}

static enum err
give_entries(struct getter *g, struct txn *t, uint32_t id)
{
	const struct args_metadata *a = g->a;
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < a->names_count; i++) {
		struct str value = { NULL, 0 };

		g->below = a->names[i];
		if (g->mailbox.n == 0 && str_eq(g->below, ADMIN)) {
			e = give(g, g->below, buf_str(&g->s->imap->admin));
			continue;
		}
		if (a->depth != 0) {
			e = metadata_walk(t, id, g->below, give_below, g);
			continue;
		}
		e = metadata_get(t, id, g->below, &value);
		if (e == ERR_OK || e == ERR_NOTFOUND)
			e = give(g, g->below, value);
	}
	if (g->begun)
		buf_addz(session_out(g->s), ")\r\n");
	return e;
}

/* The id of a mailbox, a placeholder too; of the server 0. */
static enum err
find(struct txn *t, struct str name, uint32_t *id_out)
{
	struct mailbox_info m;
	enum err e = ERR_OK;

	*id_out = METADATA_ACCOUNT;
	if (name.n != 0 && (e = mailbox_find(t, name, &m)) == ERR_OK)
		*id_out = m.id;
	return e;
}

static enum err
name_of(struct imap_session *s, const struct args_metadata *a, struct str *out)
{
	*out = STR_EMPTY;
	return a->mailbox.n != 0 ? session_mailbox(s, a->mailbox, out) : ERR_OK;
}

enum step
run_getmetadata(struct imap_session *s, struct cmd *c)
{
	struct getter g = { .s = s, .a = &c->a.metadata };
	struct txn *t;
	uint32_t id;
	enum err e = name_of(s, g.a, &g.mailbox);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	e = session_read(s, &t);
	if (e == ERR_AGAIN)
		return STEP_MORE;
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	e = find(t, g.mailbox, &id);
	if (e == ERR_OK)
		e = give_entries(&g, t, id);
	store_read_end(t);
	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	if (g.longest != 0)
		buf_addf(&s->reply, "METADATA LONGENTRIES %llu", (unsigned long long)g.longest);
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

enum step
run_setmetadata(struct imap_session *s, struct cmd *c)
{
	const struct args_metadata *a = &c->a.metadata;
	struct metadata_args set = { .count = a->names_count,
		.entries_max = s->imap->limits.metadata_entries };
	struct metadata_pair *pairs;

	if (c->phase++ != 0) {
		if (c->op_err == ERR_LIMIT)
			return cmd_no(c, "METADATA TOOMANY", "Too many entries");
		return c->op_err == ERR_OK ? cmd_ok(c, "Metadata set") : cmd_fail(s, c, c->op_err);
	}
	if (refused(s, c))
		return STEP_DONE;
	enum err e = name_of(s, a, &set.mailbox);

	if (e != ERR_OK)
		return cmd_fail(s, c, e);
	pairs = arena_calloc(s->arena, a->names_count, sizeof *pairs);
	if (pairs == NULL)
		return cmd_fail(s, c, ERR_LIMIT);
	for (size_t i = 0; i < a->names_count; i++)
		pairs[i] = (struct metadata_pair){ a->names[i], a->values[i] };
	set.pairs = pairs;
	c->op = store_set_metadata(s->home, &set, on_set, s);
	return STEP_WAIT;
}
