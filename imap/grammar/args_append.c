/* Arguments of APPEND; see args_append.h. Called by the reader's users and by the fuzz target. */
#include "imap/grammar/args_append.h"

enum err
parse_append_prefix(struct parser *p, struct args_append *out)
{
	*out = (struct args_append){ 0 };
	enum err e = parse_tag(p, &out->tag);

	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK && !parse_accept_word(p, "APPEND"))
		e = parse_fail(p, "APPEND expected");
	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_astring(p, &out->mailbox);
	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK && parse_peek(p) == '(') {
		e = parse_flag_list(p, &out->flags);
		if (e == ERR_OK)
			e = parse_sp(p);
	}
	if (e == ERR_OK && parse_peek(p) == '"') {
		out->has_date = true;
		e = parse_date_time(p, &out->date_sec, &out->date_zone_min);
		if (e == ERR_OK)
			e = parse_sp(p);
	}
	if (e == ERR_OK && p->at != p->in.n)
		e = parse_fail(p, "message literal expected");
	return e;
}
