/* The grammar of SMTP commands. Called by session.c with each line; the invariant is that every
 * line gets a verb and one reply of the table, whatever its bytes are. */
#include "delivery/smtp/command.h"

#include "core/base/xalloc.h"

#define SMTP_VERB_STR(v) #v,
static const char *const verbs[] = { SMTP_VERBS(SMTP_VERB_STR) };

const char *
smtp_verb_name(enum smtp_verb v)
{
	return v == VERB_UNKNOWN ? "?" : verbs[v];
}

static enum smtp_verb
verb_of(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_ieq(word, str_of(verbs[i])))
			return (enum smtp_verb)i;
	return VERB_UNKNOWN;
}

/* Command lines are printable ASCII and blanks; UTF-8 may only stand in a path, where it gets an
 * answer of its own. */
static bool
bytes_allowed(struct str line)
{
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];
		if ((c < 32 && c != '\t') || c == 127)
			return false;
	}
	return true;
}

static struct str
skip_blanks(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_from(s, 1);
	return s;
}

/* The next word; *s moves behind it and the blanks that follow. */
static struct str
next_word(struct str *s)
{
	size_t n = 0;
	struct str word;

	while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t')
		n++;
	word = str_sub(*s, 0, n);
	*s = skip_blanks(str_from(*s, n));
	return word;
}

static enum smtp_reply
mail_parameter(struct str word, struct smtp_cmd *out)
{
	struct str key, value;
	bool has_value = str_cut(word, '=', &key, &value);

	if (str_ieq(key, STR("SIZE"))) {
		enum err e = str_to_u64(value, INT64_MAX, &out->size);
		if (!has_value || out->has_size || e == ERR_SYNTAX)
			return REPLY_BAD_SYNTAX;
		if (e == ERR_LIMIT)
			out->size = INT64_MAX;
		out->has_size = true;
		return REPLY_OK;
	}
	if (str_ieq(key, STR("BODY"))) {
		if (out->body != BODY_NONE)
			return REPLY_BAD_SYNTAX;
		if (str_ieq(value, STR("7BIT")))
			out->body = BODY_7BIT;
		else if (str_ieq(value, STR("8BITMIME")))
			out->body = BODY_8BITMIME;
		else if (str_ieq(value, STR("BINARYMIME")))
			out->body = BODY_BINARYMIME;
		else
			return REPLY_BAD_PARAMETER;
		return REPLY_OK;
	}
	if (str_ieq(key, STR("SMTPUTF8"))) {
		if (has_value || out->smtputf8)
			return REPLY_BAD_SYNTAX;
		out->smtputf8 = true;
		return REPLY_OK;
	}
	/* Read and not believed: the user is known (RFC 4954 5). */
	if (str_ieq(key, STR("AUTH")))
		return smtp_xtext_valid(value, false) ? REPLY_OK : REPLY_BAD_SYNTAX;
	return smtp_wish_of_mail(key, value, out);
}

static enum smtp_reply
rcpt_parameter(struct str word, struct smtp_cmd *out)
{
	struct str key, value;

	(void)str_cut(word, '=', &key, &value);
	return smtp_wish_of_rcpt(key, value, out);
}

/* "FROM:<…> params" or "TO:<…> params". */
static enum smtp_reply
parse_path_command(struct str rest, struct str keyword, struct smtp_cmd *out)
{
	bool mail = out->verb == VERB_MAIL;
	enum err e;

	if (!str_istarts(rest, keyword))
		return REPLY_BAD_SYNTAX;
	/* A blank behind the colon is wrong and common. */
	rest = skip_blanks(str_from(rest, keyword.n));
	e = smtp_path_parse(&rest, &out->path);
	if (e != ERR_OK || (out->path.null && !mail))
		return mail ? REPLY_BAD_SENDER : REPLY_BAD_RCPT;
	if (rest.n > 0 && rest.p[0] != ' ' && rest.p[0] != '\t')
		return mail ? REPLY_BAD_SENDER : REPLY_BAD_RCPT;
	rest = skip_blanks(rest);
	while (rest.n > 0) {
		struct str word = next_word(&rest);
		enum smtp_reply r = mail ? mail_parameter(word, out) : rcpt_parameter(word, out);
		if (r != REPLY_OK)
			return r;
	}
	return mail && out->path.utf8 && !out->smtputf8 ? REPLY_NEEDS_UTF8 : REPLY_OK;
}

static enum smtp_reply
parse_auth(struct str rest, struct smtp_cmd *out)
{
	out->arg = next_word(&rest);
	if (out->arg.n == 0 || out->arg.n > 20)
		return REPLY_BAD_SYNTAX;
	out->has_initial = rest.n > 0;
	out->initial = next_word(&rest);
	return rest.n == 0 ? REPLY_OK : REPLY_BAD_SYNTAX;
}

static enum smtp_reply
parse_bdat(struct str rest, struct smtp_cmd *out)
{
	struct str size = next_word(&rest);

	if (str_to_u64(size, INT64_MAX, &out->chunk) != ERR_OK)
		return REPLY_BAD_SYNTAX;
	out->last = str_ieq(rest, STR("LAST"));
	return out->last || rest.n == 0 ? REPLY_OK : REPLY_BAD_SYNTAX;
}

static enum smtp_reply
parse_helo(struct str rest, struct smtp_cmd *out)
{
	out->arg = next_word(&rest);
	/* Clients behind NAT say all kinds of names; what counts is that it fits a Received line.
	 */
	if (out->arg.n == 0 || out->arg.n > 255 || rest.n > 0)
		return REPLY_BAD_HELO;
	for (size_t i = 0; i < out->arg.n; i++)
		if (!ascii_is_alnum(out->arg.p[i]) && memchr("-._:[]", out->arg.p[i], 6) == NULL)
			return REPLY_BAD_HELO;
	return REPLY_OK;
}

enum smtp_reply
smtp_command_parse(struct str line, struct smtp_cmd *out)
{
	struct str rest = line;

	*out = (struct smtp_cmd){ .verb = VERB_UNKNOWN, .arg = STR_EMPTY, .initial = STR_EMPTY };
	if (!bytes_allowed(line))
		return REPLY_BAD_BYTES;
	while (rest.n > 0 && (rest.p[rest.n - 1] == ' ' || rest.p[rest.n - 1] == '\t'))
		rest.n--;
	out->verb = verb_of(next_word(&rest));
	switch (out->verb) {
	case VERB_HELO:
	case VERB_EHLO:
		return parse_helo(rest, out);
	case VERB_MAIL:
		return parse_path_command(rest, STR("FROM:"), out);
	case VERB_RCPT:
		return parse_path_command(rest, STR("TO:"), out);
	case VERB_AUTH:
		return parse_auth(rest, out);
	case VERB_BDAT:
		return parse_bdat(rest, out);
	case VERB_STARTTLS:
	case VERB_DATA:
	case VERB_RSET:
	case VERB_QUIT:
		return rest.n == 0 ? REPLY_OK : REPLY_NO_PARAMETERS;
	case VERB_XCLIENT:
	case VERB_VRFY:
		out->arg = rest;
		return rest.n > 0 ? REPLY_OK : REPLY_BAD_SYNTAX;
	case VERB_EXPN:
	case VERB_NOOP:
	case VERB_HELP:
		out->arg = rest;
		return REPLY_OK;
	case VERB_UNKNOWN:
		break;
	}
	return REPLY_UNKNOWN;
}
