#ifndef POSTROOM_IMAP_SESSION_H
#define POSTROOM_IMAP_SESSION_H

#include "core/authclient/userdb.h"
#include "core/base/hmap.h"
#include "core/event/counts.h"
#include "core/event/stream.h"
#include "core/store/since.h"
#include "core/store/store.h"
#include "core/store/update.h"
#include "core/store/view.h"
#include "imap/session/command.h"
#include "imap/session/mark.h"
#include "imap/session/told.h"
#include "imap/grammar/reader.h"

/* One worker's IMAP service and its sessions; what the cmd_ files work with. */

/* ---- the worker ---- */

struct imap_limits {
	struct reader_limits reader;
	int64_t idle_ms;	    /* a silent client outside IDLE */
	int64_t write_ms;	    /* output that does not move */
	int64_t probe_ms;	    /* "* OK Still here" in IDLE */
	int64_t idle_rest_ms;	    /* in IDLE, compressed: before the first news. See announce.c */
	int64_t progress_ms;	    /* INPROGRESS of a long command */
	int64_t step_us;	    /* a step's share of the loop; 0: as little as can be */
	unsigned message_limit;	    /* messages that a command may touch; 0: all. See limit.h */
	unsigned commands_in_a_row; /* of one session, before others get their turn */
	size_t sessions_per_user;
	size_t sessions_max;
	size_t metadata_size;	   /* octets of a value */
	unsigned metadata_entries; /* of a mailbox, or the account */
	size_t notify_mailboxes;   /* of an account whose mailboxes NOTIFY may watch */
	int64_t check_ms;   /* a user who may not log in any more is out after this; 0: not asked */
	bool plain_headers; /* APPEND refuses 8-bit headers before ENABLE UTF8=ACCEPT */
};

struct imap {
	struct loop *loop;
	struct store *store;
	struct pool *pool; /* for what would hold up the loop; NULL: all is done on it */
	struct imap_limits limits;
	struct hmap users; /* struct imap_user by name */
	struct list sessions;
	size_t sessions_count;
	struct counts *counts; /* sessions of a user in all workers; NULL: in this one */
	struct userdb *userdb; /* asked whether users may go on; NULL: nobody is */
	struct buf out;	       /* what the running step says; handed to the stream at its end */
	void (*on_empty)(struct imap *i); /* the last session ended; NULL: nobody asks */
	bool stopping;
	struct recall *recall; /* of SORT and THREAD; see imap/session/recall.h */
	/* How mailboxes are called by clients; see names.c. */
	struct buf admin; /* /shared/admin of METADATA */
	char separator;
	bool inbox_prefix;
};

/* Keeps l and st; reads imap.* of set. */
void
imap_init(struct imap *i, struct loop *l, struct store *st, const struct settings *set);
void
imap_fini(struct imap *i);
/* New settings; sessions go on. */
void
imap_set_limits(struct imap *i, const struct settings *set);
/* Say BYE to all: idle ones at once, others behind their command. */
void
imap_stop(struct imap *i);

struct imap_login {
	struct str user, home, sid;
	struct str check; /* for userdb_check; may be empty */
	struct str quota; /* as the directory has it: quota_parse; may be empty */
	struct str tag;	  /* of the login command, for the tagged OK */
	struct str input; /* what came behind it */
};
/* Takes fd. The tagged answer to the login is written here. */
void
imap_session_start(struct imap *i, const struct imap_login *login, int fd);

/* ---- the session ---- */

/* What the client has switched on, by ENABLE or by using it (RFC 5161, RFC 7162 3.1); never off
 * again. What each row of imap_enables allows is in its own RFC. */
enum imap_mode {
	MODE_REV2 = 1 << 0,	 /* RFC 9051 */
	MODE_CONDSTORE = 1 << 1, /* RFC 7162 3.1 */
	MODE_QRESYNC = 1 << 2,	 /* RFC 7162 3.2; implies CONDSTORE */
	MODE_UTF8 = 1 << 3,	 /* RFC 9755 */
	MODE_UIDONLY = 1 << 4,	 /* RFC 9586 */
};

enum session_state {
	SESSION_READING, /* a command is awaited or incomplete */
	SESSION_RUNNING,
	SESSION_SYNCING, /* the command ended; changes are announced, then the tagged line */
	SESSION_IDLE,	 /* IDLE: changes are announced as they come, DONE is awaited */
};

/* What is announced step by step; see sync.c. */
struct sync {
	bool active;
	struct view *new;
	struct view_diff diff;
	struct since since;
	struct uidset changed; /* in both views, flags or keywords may differ */
	bool flags;	       /* changed flags are told too */
	uint64_t held_modseq;  /* not 0: what was expunged is not told yet; the mailbox's modseq */
	unsigned phase;
	size_t range;
	uint32_t uid;
};

struct selected {
	struct view *view; /* NULL: nothing is selected */
	bool read_only;
	uint32_t recent_from;	/* UIDs from here on are \Recent for this session */
	uint32_t claimed_until; /* UIDs from here on were not claimed as \Recent yet */
	uint32_t told_recent;
	unsigned keywords;		      /* how many the client was told of */
	bool dirty;			      /* the watch said "look" */
	struct told_flags told, told_unasked; /* by the command; while an EXPUNGE waits */
	uint64_t told_max;		      /* the largest MODSEQ told by the running command */
	bool tell_highest;		      /* HIGHESTMODSEQ is due when it ends */
	/* NOTIFY; not 0: changes after it were not told, the view's modseq is not the client's */
	uint64_t held_modseq;
	struct uidset made;  /* by the running command, in this mailbox; with NOTIFY */
	struct uidset saved; /* "$": UIDs; those expunged since are left out when it is used */
	struct home_watch watch;
};

/* A user with live sessions; see user.h. */
struct imap_user {
	struct hmap_node node;
	struct imap *imap;
	char *name;
	char *check; /* userdb_check's token of the last login; NULL: none */
	size_t sessions, refs;
	bool dismissed; /* some sessions end behind their command */
	struct str bye; /* what they say then; owned */
	struct loop_timer timer;
	struct userdb_request *request;
};

struct imap_session {
	struct imap *imap;
	struct list link;
	struct imap_user *user;
	struct home *home;
	struct stream *stream;
	char sid[32];
	enum session_state state;
	unsigned modes; /* enum imap_mode */
	struct selected sel;
	struct sync sync;
	struct notify *notify; /* NULL: NOTIFY was not used */
	struct binary_mark binary_mark;
	struct reader reader;
	struct arena *arena; /* of the command; NULL between commands */
	struct cmd *cmd;
	struct buf reply; /* COPYUID and such, behind the code; freed between commands */
	struct home_wait wait;
	bool pinned, pin_waiting;
	enum err pin_err;
	bool stepping, dead, eof, released, missed; /* a look at the home, which was away */
	bool dismissed;			/* BYE behind the running command, with user->bye */
	bool closing;			/* LOGOUT: close behind the tagged line */
	bool compressed, compress_next; /* COMPRESS; next: behind its tagged line */
	bool stuck;			/* nothing more will leave */
	unsigned bad_commands;
	struct loop_task task;
	struct loop_timer timer;
	int64_t last_input_ms;	/* or the last command's end */
	int64_t last_output_ms; /* the output moved, or had nothing to move */
	int64_t last_probe_ms;
	uint64_t last_output_bytes;
	int64_t command_us; /* when the command began */
	uint64_t commands_count;
};

/* The scratch of the running step. */
static inline struct buf *
session_out(struct imap_session *s)
{
	return &s->imap->out;
}
/* The step has done enough: 2 ms passed since it began, or the output is full. Cheap enough
 * to ask for every few messages. */
bool
session_enough(struct imap_session *s, int64_t since_us);
/* Give what the step said so far to the stream. */
void
session_flush(struct imap_session *s);
/* An operation that the command waits for has ended: run it again. Called by completions. */
void
session_resume(struct imap_session *s);
/* A read step. ERR_AGAIN: return STEP_MORE, the home is opened again before the next step.
 * End with store_read_end. */
MUST_USE enum err
session_read(struct imap_session *s, struct txn **out);
/* The next command, or the next text of an APPEND, with the limits of this session. */
enum read_event
session_next(struct imap_session *s, struct read_result *out);
/* Give the pin back while a command waits for its client. */
void
session_unpin(struct imap_session *s);
/* The end of the selection: claims what came meanwhile, drops the view. */
void
session_deselect(struct imap_session *s);
/* Is \Recent shown for uid? IMAP4rev2 knows no \Recent. */
static inline bool
session_recent(const struct imap_session *s, uint32_t uid)
{
	return uid >= s->sel.recent_from && (s->modes & MODE_REV2) == 0;
}
/* The client knows modseqs from now on; says HIGHESTMODSEQ when that is new to it and a mailbox is
 * selected. Every CONDSTORE enabling command calls it. RFC 7162 3.1. */
void
session_condstore(struct imap_session *s);
/* Of the selected mailbox: the HIGHESTMODSEQ that the client may keep. */
static inline uint64_t
session_known_modseq(const struct imap_session *s)
{
	return s->sel.held_modseq != 0 ? s->sel.held_modseq : view_modseq(s->sel.view);
}
/* A MODSEQ goes out: the client may take the largest for the mailbox's own. RFC 7162 6. */
static inline void
session_tells_modseq(struct imap_session *s, uint64_t modseq)
{
	if (modseq > s->sel.told_max)
		s->sel.told_max = modseq;
}
/* A set of the command ("$" too), as UIDs that the view holds, added to out. ERR_SYNTAX: a sequence
 * number beyond the mailbox. */
MUST_USE enum err
session_select_set(struct imap_session *s, struct cmd *c, struct seq_set *set, struct uidset *out);
/* How far the running command is, said every progress_ms. Not in the middle of an answer. Total 0:
 * it is not known, as in all phases behind the first (progress_past). RFC 9585 4. */
void
session_progress(struct imap_session *s, struct cmd *c, uint64_t done, uint64_t total);
/* A mailbox name of the client's in the store's form, in the arena. ERR_SYNTAX, ERR_LIMIT. */
MUST_USE enum err
session_mailbox(struct imap_session *s, struct str raw, struct str *out);
/* BYE and the end, behind what is already written. */
void
session_bye(struct imap_session *s, const char *text);

#endif
