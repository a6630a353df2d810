/* Arguments of APPEND and REPLACE; see args_append.h. Called by the reader, which asks whether a
 * literal is a message's, by the command for each further text, and by the fuzz target. */
#include "imap/grammar/args_append.h"

enum { EVENTS_MAX = 1024 };

static enum err
add_event(struct parser *p, struct args_append *out, const struct append_event *event)
{
	size_t n = out->events_count;

	/* room doubles: 4, 8, 16 ... */
	if (n >= EVENTS_MAX)
		return parse_full(p);
	if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) {
		struct append_event *more =
			arena_alloc(p->arena, (n == 0 ? 4 : n * 2) * sizeof *more);

		if (more == NULL)
			return parse_full(p);
		if (n != 0)
			memcpy(more, out->events, n * sizeof *more);
		out->events = more;
	}
	out->events[out->events_count++] = *event;
	return ERR_OK;
}

static enum err
add_end(struct parser *p, struct args_append *out)
{
	return add_event(p, out, &(struct append_event){ .kind = APPEND_END });
}

/* The text ends here, its literal follows; with only8 it must be a literal8. */
static enum err
parse_octets(struct parser *p, struct args_append *out, bool only8, enum append_place next)
{
	if (!parse_accept(p, '~') && only8)
		return parse_fail(p, "literal8 expected");
	if (p->at != p->in.n)
		return parse_fail(p, "message literal expected");
	out->more = true;
	out->next = next;
	return ERR_OK;
}

/* `UTF8 (~{12}` behind its word. */
static enum err
parse_utf8(struct parser *p, struct args_append *out, enum append_place next)
{
	enum err e = parse_sp(p);

	if (e == ERR_OK)
		e = parse_char(p, '(');
	return e == ERR_OK ? parse_octets(p, out, true, next) : e;
}

/* One part of CATENATE; out->more is set when its octets follow. */
static enum err
parse_part(struct parser *p, struct args_append *out)
{
	struct append_event event = { .kind = APPEND_URL };
	enum err e;

	if (parse_accept_word(p, "TEXT")) {
		e = parse_sp(p);
		return e == ERR_OK ? parse_octets(p, out, false, APPEND_BEHIND_TEXT) : e;
	}
	if (parse_accept_word(p, "UTF8"))
		return parse_utf8(p, out, APPEND_BEHIND_TEXT_UTF8);
	if (!parse_accept_word(p, "URL"))
		return parse_fail(p, "TEXT or URL expected");
	e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_astring(p, &event.url);
	return e == ERR_OK ? add_event(p, out, &event) : e;
}

/* The parts from here to the ")", or to the octets of one. */
static enum err
parse_parts(struct parser *p, struct args_append *out)
{
	enum err e;

	do {
		e = parse_part(p, out);
	} while (e == ERR_OK && !out->more && parse_accept(p, ' '));
	if (e != ERR_OK || out->more)
		return e;
	e = parse_char(p, ')');
	return e == ERR_OK ? add_end(p, out) : e;
}

/* One message: flags, date, and how its octets come. */
static enum err
parse_message(struct parser *p, struct args_append *out)
{
	struct append_event event = { .kind = APPEND_BEGIN };
	enum err e = ERR_OK;

	if (parse_peek(p) == '(') {
		e = parse_flag_list(p, &event.flags);
		if (e == ERR_OK)
			e = parse_sp(p);
	}
	if (e == ERR_OK && parse_peek(p) == '"') {
		event.has_date = true;
		e = parse_date_time(p, &event.date_sec, &event.date_zone_min);
		if (e == ERR_OK)
			e = parse_sp(p);
	}
	if (e == ERR_OK)
		e = add_event(p, out, &event);
	if (e != ERR_OK)
		return e;
	if (parse_accept_word(p, "UTF8"))
		return parse_utf8(p, out, APPEND_BEHIND_UTF8);
	if (!parse_accept_word(p, "CATENATE"))
		return parse_octets(p, out, false, APPEND_BEHIND_MESSAGE);
	e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_char(p, '(');
	return e == ERR_OK ? parse_parts(p, out) : e;
}

/* Behind a whole message: the next one, or the end. */
static enum err
parse_next(struct parser *p, struct args_append *out)
{
	enum err e = ERR_OK;

	while (e == ERR_OK && !out->more) {
		size_t at = p->at;

		if (parse_end(p) == ERR_OK)
			return ERR_OK;
		p->at = at;
		e = parse_sp(p);
		if (e == ERR_OK)
			e = parse_message(p, out);
	}
	return e;
}

/* `a1 UID REPLACE 4 Drafts ` up to the message. */
static enum err
parse_start(struct parser *p, struct args_append *out)
{
	enum err e = parse_tag(p, &out->tag);

	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK && parse_accept_word(p, "UID")) {
		out->uid = true;
		e = parse_sp(p);
	}
	if (e != ERR_OK)
		return e;
	out->replace = parse_accept_word(p, "REPLACE");
	if (!out->replace && (out->uid || !parse_accept_word(p, "APPEND")))
		return parse_fail(p, "APPEND expected");
	e = parse_sp(p);
	if (e == ERR_OK && out->replace && !parse_accept(p, '*'))
		e = parse_nz_number(p, &out->number);
	if (e == ERR_OK && out->replace)
		e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_astring(p, &out->mailbox);
	return e == ERR_OK ? parse_sp(p) : e;
}

/* Behind a part of CATENATE that was octets. */
static enum err
parse_more_parts(struct parser *p, struct args_append *out)
{
	if (parse_accept(p, ' '))
		return parse_parts(p, out);
	enum err e = parse_char(p, ')');

	return e == ERR_OK ? add_end(p, out) : e;
}

static enum err
parse_from(struct parser *p, enum append_place from, struct args_append *out)
{
	enum err e = ERR_OK;

	switch (from) {
	case APPEND_AT_START:
		e = parse_start(p, out);
		return e == ERR_OK ? parse_message(p, out) : e;
	case APPEND_BEHIND_MESSAGE:
		return add_end(p, out);
	case APPEND_BEHIND_UTF8:
		e = parse_char(p, ')');
		return e == ERR_OK ? add_end(p, out) : e;
	case APPEND_BEHIND_TEXT:
		return parse_more_parts(p, out);
	case APPEND_BEHIND_TEXT_UTF8:
		e = parse_char(p, ')');
		return e == ERR_OK ? parse_more_parts(p, out) : e;
	}
	return e;
}

enum err
parse_append(struct parser *p, enum append_place from, struct args_append *out)
{
	*out = (struct args_append){ 0 };
	enum err e = parse_from(p, from, out);

	return e == ERR_OK && !out->more ? parse_next(p, out) : e;
}
