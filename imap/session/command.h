#ifndef POSTROOM_IMAP_COMMAND_H
#define POSTROOM_IMAP_COMMAND_H

#include "core/store/update.h"
#include "imap/grammar/args_append.h"
#include "imap/grammar/args_fetch.h"
#include "imap/grammar/args_list.h"
#include "imap/grammar/args_mailbox.h"
#include "imap/grammar/args_metadata.h"
#include "imap/grammar/args_notify.h"
#include "imap/grammar/args_search.h"

/* The table of commands, one command as it runs, and the table of capabilities. */
struct imap_session;
struct cmd;

enum step {
	STEP_DONE, /* the result is set */
	STEP_MORE, /* call again: when the output drained, or soon */
	STEP_WAIT, /* a callback or input will come */
};

enum {
	IN_AUTH = 1 << 0,
	IN_SELECTED = 1 << 1,
	IN_ANY = IN_AUTH | IN_SELECTED,
};

/* What may be announced when the command ends. */
enum sync_kind {
	SYNC_NONE,	 /* nothing: it changed the selection, or ends the session */
	SYNC_NO_EXPUNGE, /* sequence numbers stay; with UID in front they need not */
	SYNC_ALL,
};

struct command {
	const char *name;
	unsigned states; /* IN_; 0: before login only */
	bool uid;	 /* UID may stand in front; uid_only: it must */
	bool uid_only;
	bool pins; /* the home is pinned while it runs */
	enum sync_kind sync;
	/* Arguments behind the name and a space; NULL: none allowed. */
	enum err (*parse)(struct parser *p, struct cmd *c);
	enum step (*run)(struct imap_session *s, struct cmd *c);
	/* Gives back what is not in the arena; also when the session dies. May be NULL. */
	void (*end)(struct cmd *c);
};
/* By name, any case; NULL. */
const struct command *
command_find(struct str name);
/* All rows, for tests; ends with a name of NULL. */
extern const struct command imap_commands[];

/* Parse a whole command. ERR_SYNTAX, ERR_LIMIT: *why_out says what is wrong, c->tag is set
 * when there was one. The text must live as long as c. */
MUST_USE enum err
command_parse(struct str text, struct arena *a, struct cmd *c, const char **why_out);

enum result { RESULT_OK, RESULT_NO, RESULT_BAD };

struct cmd {
	const struct command *def;
	struct str tag;
	bool uid;
	union {
		struct args_append append;
		struct args_fetch fetch;
		struct args_store store;
		struct args_search search;
		struct args_status status;
		struct args_names names;
		struct args_select select;
		struct args_list list;
		struct args_metadata metadata;
		struct args_create create;
		struct args_copy copy;
		struct args_id id;
		struct args_enable enable;
		struct args_notify notify;
	} a;
	unsigned phase;	     /* where run goes on */
	void *state;	     /* run's own, in the arena */
	struct store_op *op; /* in flight; forgotten when the session dies */
	bool goes_on;	     /* run is called although op is in flight: a part of it is done */
	enum err op_err;
	int64_t progress_us;	/* the last INPROGRESS */
	uint64_t progress_past; /* what its phases that ended have looked at */
	int64_t rest_until_ms;	/* IDLE: no news before; see announce.c */
	bool news_wait;		/* IDLE: … although there are some; the timer runs */
	uint32_t limit_uid;	/* messages below it were left out: limit.h; 0: none */
	bool wants_input;	/* run is called when input came */
	bool unpinned;		/* run gave up the pin for a long wait */
	bool tells_all;		/* at its end all that changed is told, whatever NOTIFY asked for */
	bool own;		/* the server's own: no tagged line */
	bool keeps_numbers; /* no EXPUNGE or VANISHED at its end, although it is a UID command */
	enum err pin_err;   /* APPEND only: no pin, but what the client sends is to be taken */
	enum result result;
	const char *code; /* "TRYCREATE", static; NULL: none */
	const char *text; /* static */
};

/* Each sets the result and returns STEP_DONE. */
enum step
cmd_ok(struct cmd *c, const char *text);
enum step
cmd_no(struct cmd *c, const char *code, const char *text);
enum step
cmd_bad(struct cmd *c, const char *text);
/* BAD [UIDREQUIRED]: sequence numbers, with UIDONLY. RFC 9586 3.2. */
enum step
cmd_uid_required(struct cmd *c);
/* The one place where enum err becomes a response code. */
enum step
cmd_fail(struct imap_session *s, struct cmd *c, enum err e);

/* ---- capabilities ---- */

struct capability {
	const char *token; /* "APPENDLIMIT=": its number is put behind it */
	/* make check fails when tests/unit/test_imap_<program>.c did not run its test */
	const char *program, *test;
};
/* What is said after login; ends with a token of NULL. The gate has its own list for before. */
extern const struct capability imap_capabilities[];
/* What ENABLE knows; ends with a name of NULL. */
struct enable {
	const char *name;
	unsigned modes; /* enum imap_mode */
};
extern const struct enable imap_enables[];
/* "CAPABILITY IMAP4rev1 ..." for this session as it is now, to its output. */
void
capability_write(struct imap_session *s);

#endif
