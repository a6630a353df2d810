/* sendmail's options; see options.h. Called by main.c. */
#include "delivery/sendmail/options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>

#include "core/base/str.h"

/* -L, -h, -p, -X and their like take a value that means nothing here. */
static const char letters[] = "+A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:q::r:tv";

static enum err
take_mode(const char *value, struct sendmail_options *o)
{
	static const struct {
		const char *value;
		enum sendmail_mode mode;
	} modes[] = { { "m", SENDMAIL_DELIVER }, { "s", SENDMAIL_SMTP }, { "p", SENDMAIL_LIST },
		{ "i", SENDMAIL_NEWALIASES } };

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (str_eq(str_of(value), str_of(modes[i].value))) {
			o->mode = modes[i].mode;
			return ERR_OK;
		}
	return ERR_SYNTAX;
}

static enum err
take_body(const char *value, struct sendmail_options *o)
{
	if (str_ieq(str_of(value), STR("8BITMIME")))
		o->body = "8BITMIME";
	else if (str_ieq(str_of(value), STR("7BIT")))
		o->body = "7BIT";
	else
		return ERR_SYNTAX;
	return ERR_OK;
}

static enum err
take_notify(const char *value, struct sendmail_options *o)
{
	struct str rest = str_of(value), one;
	bool more = true;

	o->notify = value;
	if (str_ieq(rest, STR("never")))
		return ERR_OK;
	while (more) {
		more = str_cut(rest, ',', &one, &rest);
		if (!str_ieq(one, STR("success")) && !str_ieq(one, STR("failure")) &&
			!str_ieq(one, STR("delay")))
			return ERR_SYNTAX;
	}
	return ERR_OK;
}

static enum err
take_ret(const char *value, struct sendmail_options *o)
{
	o->ret = value;
	return str_ieq(str_of(value), STR("full")) || str_ieq(str_of(value), STR("hdrs"))
		       ? ERR_OK
		       : ERR_SYNTAX;
}

static enum err
take(int letter, const char *value, struct sendmail_options *o)
{
	switch (letter) {
	case 'b':
		return take_mode(value, o);
	case 'B':
		return take_body(value, o);
	case 'C':
		o->config = value;
		break;
	case 'f':
	case 'r':
		o->sender = value;
		break;
	case 'F':
		o->name = value;
		break;
	case 'i':
		o->dot_is_text = true;
		break;
	case 'o':
		o->dot_is_text |= value[0] == 'i';
		break;
	case 'N':
		return take_notify(value, o);
	case 'R':
		return take_ret(value, o);
	case 'V':
		o->envid = value;
		break;
	case 'q':
		o->mode = SENDMAIL_FLUSH;
		break;
	case 't':
		o->from_header = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	case '?':
		return ERR_SYNTAX;
	default: /* of no meaning here */
		break;
	}
	return ERR_OK;
}

enum err
sendmail_options_parse(int argc, char **argv, struct sendmail_options *out, const char **why_out)
{
	static char why[32];
	struct str name = str_of(argc > 0 ? argv[0] : "");
	size_t slash = str_rchr(name, '/');
	int letter;

	*out = (struct sendmail_options){ .mode = SENDMAIL_DELIVER };
	if (slash < name.n)
		name = str_from(name, slash + 1);
	if (str_eq(name, STR("mailq")))
		out->mode = SENDMAIL_LIST;
	else if (str_eq(name, STR("newaliases")))
		out->mode = SENDMAIL_NEWALIASES;
	opterr = 0;
	while ((letter = getopt(argc, argv, letters)) != -1) {
		if (take(letter, optarg, out) == ERR_OK)
			continue;
		(void)snprintf(why, sizeof why, "-%c", letter == '?' ? optopt : letter);
		*why_out = why;
		return ERR_SYNTAX;
	}
	out->recipients = argv + optind;
	out->recipients_count = argc - optind;
	return ERR_OK;
}
