/* The arguments of NOTIFY; see args_notify.h. Called by table.c. Invariant: at most one group is of
 * the selected mailbox, and it names events of messages alone. RFC 5465 5, 6.1, 8. */
#include "imap/grammar/args_notify.h"

#include "core/base/xalloc.h"
#include "imap/grammar/args_fetch.h"

enum { GROUPS_MAX = 64, NAMES_MAX = 4096, FETCH_BYTES_MAX = 4096, ITEMS_MAX = 50 };

static const struct {
	const char *name;
	enum notify_event event;
} events[] = {
	{ "MESSAGENEW", EVENT_MESSAGE_NEW },
	{ "MESSAGEEXPUNGE", EVENT_MESSAGE_EXPUNGE },
	{ "FLAGCHANGE", EVENT_FLAG_CHANGE },
	{ "MAILBOXNAME", EVENT_MAILBOX_NAME },
	{ "SUBSCRIPTIONCHANGE", EVENT_SUBSCRIPTION },
	{ "MAILBOXMETADATACHANGE", EVENT_MAILBOX_METADATA },
	{ "SERVERMETADATACHANGE", EVENT_SERVER_METADATA },
};

static const struct {
	const char *name;
	enum notify_filter filter;
} filters[] = {
	{ "SELECTED", NOTIFY_SELECTED },
	{ "SELECTED-DELAYED", NOTIFY_SELECTED_DELAYED },
	{ "INBOXES", NOTIFY_PERSONAL },
	{ "PERSONAL", NOTIFY_PERSONAL },
	{ "SUBSCRIBED", NOTIFY_SUBSCRIBED },
	{ "SUBTREE", NOTIFY_SUBTREE },
	{ "MAILBOXES", NOTIFY_MAILBOXES },
};

static bool
of_selected(const struct notify_group *g)
{
	return g->filter == NOTIFY_SELECTED || g->filter == NOTIFY_SELECTED_DELAYED;
}

static enum err
parse_name(struct parser *p, struct notify_group *g)
{
	struct str name;
	enum err e = parse_astring(p, &name);

	return e == ERR_OK ? parse_add_str(p, &g->names, &g->names_count, NAMES_MAX, name) : e;
}

/* One mailbox, or some in parentheses. */
static enum err
parse_names(struct parser *p, struct notify_group *g)
{
	enum err e = parse_sp(p);

	if (e != ERR_OK)
		return e;
	if (!parse_accept(p, '('))
		return parse_name(p, g);
	do {
		e = parse_name(p, g);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

static enum err
parse_filter(struct parser *p, struct notify_group *g)
{
	struct str word;
	enum err e = parse_atom(p, &word);

	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		if (!str_ieq(word, str_of(filters[i].name)))
			continue;
		g->filter = filters[i].filter;
		return g->filter == NOTIFY_SUBTREE || g->filter == NOTIFY_MAILBOXES
			       ? parse_names(p, g)
			       : ERR_OK;
	}
	return parse_fail(p, "unknown mailbox specifier");
}

/* " (UID FLAGS)" behind MessageNew. */
static enum err
parse_atts(struct parser *p, struct notify_group *g)
{
	struct args_fetch items;
	size_t from = p->at + 1;

	if (!str_starts(str_from(p->in, p->at), STR(" (")))
		return ERR_OK;
	if (!of_selected(g))
		return parse_fail(p, "FETCH items are for the selected mailbox");
	p->at = from;
	enum err e = parse_fetch_atts(p, &items);

	g->fetch = str_sub(p->in, from, p->at - from);
	if (e == ERR_OK && (g->fetch.n > FETCH_BYTES_MAX || items.items_count > ITEMS_MAX))
		return parse_full(p);
	return e;
}

static enum err
parse_event(struct parser *p, struct notify_group *g)
{
	struct str word;
	enum err e = parse_atom(p, &word);
	unsigned event = EVENT_UNKNOWN;

	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (str_ieq(word, str_of(events[i].name)))
			event = events[i].event;
	/* what it asks for in vain has the same conditions: RFC 5465 5 */
	if (str_ieq(word, STR("ANNOTATIONCHANGE")))
		event |= EVENT_FLAG_CHANGE;
	g->events |= event;
	return event == EVENT_MESSAGE_NEW ? parse_atts(p, g) : ERR_OK;
}

static enum err
check_events(struct parser *p, const struct notify_group *g)
{
	const unsigned both = EVENT_MESSAGE_NEW | EVENT_MESSAGE_EXPUNGE;

	if (of_selected(g) && (g->events & ~(unsigned)(EVENT_OF_MESSAGES | EVENT_UNKNOWN)) != 0)
		return parse_fail(p, "not an event of the selected mailbox");
	if ((g->events & EVENT_OF_MESSAGES) != 0 && (g->events & both) != both)
		return parse_fail(p, "MessageNew and MessageExpunge go together");
	return ERR_OK;
}

static enum err
parse_events(struct parser *p, struct notify_group *g)
{
	if (parse_accept_word(p, "NONE"))
		return ERR_OK;
	enum err e = parse_char(p, '(');

	if (e != ERR_OK)
		return e;
	do {
		e = parse_event(p, g);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	e = parse_char(p, ')');
	return e == ERR_OK ? check_events(p, g) : e;
}

static enum err
parse_group(struct parser *p, struct args_notify *out)
{
	struct notify_group *g = &out->groups[out->groups_count];
	enum err e = parse_char(p, '(');

	if (e == ERR_OK)
		e = parse_filter(p, g);
	for (size_t i = 0; e == ERR_OK && of_selected(g) && i < out->groups_count; i++)
		if (of_selected(&out->groups[i]))
			return parse_fail(p, "the selected mailbox is named twice");
	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_events(p, g);
	if (e == ERR_OK)
		e = parse_char(p, ')');
	out->groups_count++;
	return e;
}

enum err
parse_notify(struct parser *p, struct args_notify *out)
{
	enum err e;

	*out = (struct args_notify){ .none = false };
	if (parse_accept_word(p, "NONE")) {
		out->none = true;
		return ERR_OK;
	}
	if (!parse_accept_word(p, "SET"))
		return parse_fail(p, "SET or NONE expected");
	e = parse_sp(p);
	if (e == ERR_OK && parse_accept_word(p, "STATUS")) {
		out->status = true;
		e = parse_sp(p);
	}
	if (e != ERR_OK)
		return e;
	out->groups = arena_calloc(p->arena, GROUPS_MAX, sizeof *out->groups);
	if (out->groups == NULL)
		return parse_full(p);
	do {
		if (out->groups_count == GROUPS_MAX)
			return parse_full(p);
		e = parse_group(p, out);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return ERR_OK;
}
