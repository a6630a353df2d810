/* Arguments of the commands about mailboxes and of the small ones; see args_mailbox.h. Called
 * through the command table. */
#include "imap/grammar/args_mailbox.h"

#include "core/base/xalloc.h"

enum { USES_MAX = 16, ID_PAIRS_MAX = 60, ENABLE_MAX = 1000 };

enum err
parse_mailbox(struct parser *p, struct args_names *out)
{
	*out = (struct args_names){ .b = STR_EMPTY };
	return parse_astring(p, &out->a);
}

static enum err
parse_known_set(struct parser *p, struct seq_set *out)
{
	enum err e = parse_seq_set(p, out);

	for (size_t i = 0; e == ERR_OK && i < out->n; i++)
		if (out->r[i].lo == 0 || out->r[i].hi == 0)
			return parse_fail(p, "* is not allowed here");
	if (e == ERR_OK && out->saved)
		e = parse_fail(p, "$ is not allowed here");
	if (e == ERR_OK)
		seq_set_resolve(out, UINT32_MAX);
	return e;
}

/* "5000,7500 15000,22500)" behind its parenthesis. */
static enum err
parse_match_data(struct parser *p, struct args_select *out)
{
	enum err e = parse_known_set(p, &out->match_seqs);

	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_known_set(p, &out->match_uids);
	return e == ERR_OK ? parse_char(p, ')') : e;
}

static enum err
parse_qresync(struct parser *p, struct args_select *out)
{
	enum err e = parse_sp(p);

	out->qresync = true;
	if (e == ERR_OK)
		e = parse_char(p, '(');
	if (e == ERR_OK)
		e = parse_nz_number(p, &out->uidvalidity);
	if (e == ERR_OK)
		e = parse_sp(p);
	if (e == ERR_OK)
		e = parse_number64(p, &out->modseq);
	if (e == ERR_OK && parse_accept(p, ' ') && parse_peek(p) != '(') {
		out->has_known = true;
		e = parse_known_set(p, &out->known);
		if (e == ERR_OK)
			(void)parse_accept(p, ' ');
	}
	if (e == ERR_OK && parse_accept(p, '('))
		e = parse_match_data(p, out);
	return e == ERR_OK ? parse_char(p, ')') : e;
}

static enum err
parse_select_param(struct parser *p, struct args_select *out)
{
	if (parse_accept_word(p, "CONDSTORE")) {
		out->condstore = true;
		return ERR_OK;
	}
	if (!out->qresync && parse_accept_word(p, "QRESYNC"))
		return parse_qresync(p, out);
	return parse_fail(p, "unknown SELECT parameter");
}

enum err
parse_select(struct parser *p, struct args_select *out)
{
	*out = (struct args_select){ .condstore = false };
	enum err e = parse_astring(p, &out->mailbox);

	if (e != ERR_OK || !parse_accept(p, ' '))
		return e;
	e = parse_char(p, '(');
	if (e != ERR_OK)
		return e;
	do {
		e = parse_select_param(p, out);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

enum err
parse_rename(struct parser *p, struct args_names *out)
{
	*out = (struct args_names){ .b = STR_EMPTY };
	enum err e = parse_astring(p, &out->a);

	if (e == ERR_OK)
		e = parse_sp(p);
	return e == ERR_OK ? parse_astring(p, &out->b) : e;
}

static enum err
parse_use(struct parser *p, struct args_create *out)
{
	enum err e = parse_sp(p);

	out->has_use = true;
	if (e == ERR_OK)
		e = parse_char(p, '(');
	if (e != ERR_OK || parse_accept(p, ')'))
		return e;
	do {
		struct str name;
		size_t from = p->at;

		if (!parse_accept(p, '\\'))
			return parse_fail(p, "special use expected");
		e = parse_atom(p, &name);
		if (e == ERR_OK)
			e = parse_add_str(p, &out->uses, &out->uses_count, USES_MAX,
				str_sub(p->in, from, p->at - from));
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return parse_char(p, ')');
}

enum err
parse_create(struct parser *p, struct args_create *out)
{
	*out = (struct args_create){ 0 };
	enum err e = parse_astring(p, &out->mailbox);

	if (e != ERR_OK || !parse_accept(p, ' '))
		return e;
	e = parse_char(p, '(');
	if (e == ERR_OK && !parse_accept_word(p, "USE"))
		return parse_fail(p, "unknown CREATE option");
	if (e == ERR_OK)
		e = parse_use(p, out);
	return e == ERR_OK ? parse_char(p, ')') : e;
}

enum err
parse_copy(struct parser *p, struct args_copy *out)
{
	*out = (struct args_copy){ 0 };
	enum err e = parse_seq_set(p, &out->set);

	if (e == ERR_OK)
		e = parse_sp(p);
	return e == ERR_OK ? parse_astring(p, &out->mailbox) : e;
}

enum err
parse_uid_expunge(struct parser *p, struct args_copy *out)
{
	*out = (struct args_copy){ 0 };
	return parse_seq_set(p, &out->set);
}

enum err
parse_id(struct parser *p, struct args_id *out)
{
	*out = (struct args_id){ 0 };
	if (parse_accept_word(p, "NIL"))
		return ERR_OK;
	enum err e = parse_char(p, '(');

	if (e != ERR_OK || parse_accept(p, ')'))
		return e;
	do {
		struct str s = { NULL, 0 };
		bool nil = parse_accept_word(p, "NIL");

		if (nil && out->pairs_count % 2 == 0)
			return parse_fail(p, "string expected");
		/* RFC 2971 wants strings; clients send atoms too */
		e = nil ? ERR_OK : parse_astring(p, &s);
		if (e == ERR_OK)
			e = parse_add_str(p, &out->pairs, &out->pairs_count, ID_PAIRS_MAX, s);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	if (out->pairs_count % 2 != 0)
		return parse_fail(p, "value expected");
	return parse_char(p, ')');
}

enum err
parse_enable(struct parser *p, struct args_enable *out)
{
	*out = (struct args_enable){ 0 };
	do {
		struct str name;
		enum err e = parse_atom(p, &name);

		if (e == ERR_OK)
			e = parse_add_str(p, &out->names, &out->names_count, ENABLE_MAX, name);
		if (e != ERR_OK)
			return e;
	} while (parse_accept(p, ' '));
	return ERR_OK;
}
