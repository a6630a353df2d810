#ifndef POSTROOM_SENDMAIL_OPTIONS_H
#define POSTROOM_SENDMAIL_OPTIONS_H

#include <stdbool.h>

#include "core/base/err.h"

/* The command line of sendmail(8) as programs use it: the options of Sendmail and Postfix, those
 * without a meaning here read and forgotten. */
enum sendmail_mode {
	SENDMAIL_DELIVER,    /* -bm, the default */
	SENDMAIL_SMTP,	     /* -bs */
	SENDMAIL_LIST,	     /* -bp, mailq */
	SENDMAIL_FLUSH,	     /* -q */
	SENDMAIL_NEWALIASES, /* -bi, newaliases */
};

/* All strings are borrowed from argv. */
struct sendmail_options {
	enum sendmail_mode mode;
	bool from_header;   /* -t */
	bool dot_is_text;   /* -i, -oi */
	bool verbose;	    /* -v */
	const char *sender; /* -f, -r; NULL: the user. "" and "<>": none */
	const char *name;   /* -F */
	const char *body;   /* -B: "7BIT" or "8BITMIME"; NULL: what the content shows */
	const char *notify; /* -N: "never" or a list of success, failure, delay; NULL */
	const char *ret;    /* -R: "full", "hdrs"; NULL */
	const char *envid;  /* -V; NULL */
	const char *config; /* -C: the configuration for -bp and -q; NULL */
	char **recipients;
	int recipients_count;
};

/* argv[0] counts: a link called mailq or newaliases is the mode of that name. ERR_SYNTAX: why_out
 * says which option (static storage). Calls getopt(3): once a process. */
MUST_USE enum err
sendmail_options_parse(int argc, char **argv, struct sendmail_options *out, const char **why_out);

#endif
