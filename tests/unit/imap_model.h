#ifndef POSTROOM_TESTS_IMAP_MODEL_H
#define POSTROOM_TESTS_IMAP_MODEL_H

#include "core/base/buf.h"
#include "core/base/hmap.h"
#include "tests/unit/imap_answer.h"
#include "tests/unit/imap_memory.h"

/* What one client knows of its selected mailbox from the server's answers alone, and whether these
 * may be true. Checked with every answer:
 *   EXISTS never goes down, EXPUNGE and FETCH name a message that is there, UIDs grow with the
 *   sequence numbers and never change, nothing is expunged while FETCH, STORE, SEARCH, SORT or
 * THREAD without UID run or no command does, the modseq of a message never goes down, what SEARCH,
 * SORT and ESEARCH name is there, each tag is answered once and in its turn, VANISHED instead of
 * EXPUNGE once QRESYNC or UIDONLY is on, MODSEQ with every change once CONDSTORE is, HIGHESTMODSEQ
 * of a mailbox is never below what was told of it, what SELECT with QRESYNC tells makes a memory
 * whole; with IMAP4rev2 no RECENT and no SEARCH, and the UID in every FETCH that was not asked for.
 * With NOTIFY anything may come at any time, and SELECT's answers begin with [CLOSED].
 * RFC 3501 7.3.1, 7.4.1; RFC 9051 7; RFC 7162 3. */
struct known {
	uint32_t uid; /* 0: not told yet */
	bool has_flags;
	uint64_t flags; /* of all but \Recent, whatever their order */
	uint64_t modseq;
};

/* The command in progress. */
struct asked {
	struct str text; /* borrowed; with the tag */
	struct str tag;
	char verb[24]; /* upper case, without UID */
	bool uid;
};

/* (UID validity, UID, modseq) names one state of one message: what all clients of a test were told
 * of it. */
struct truth;
struct truth *
truth_new(void);
void
truth_free(struct truth *t);

enum { MODEL_MESSAGES_MAX = 20000, MODEL_TOLD_MAX = 16, MODEL_CODE_MAX = 4096 };

struct model {
	struct truth *truth; /* keeps */
	const char *name;
	struct known *message; /* by sequence number, from 1 */
	uint32_t count;
	uint32_t uidvalidity;
	bool selected, selecting, read_only;
	bool uncertain; /* a refused SELECT, a DELETE: nobody can say what is selected */
	bool condstore, qresync, uidonly, rev2, notify;
	bool final; /* flags that are told now must be those that are known */
	bool bye;
	uint32_t rows; /* FETCH rows of the command in progress */
	/* up to where it knows all of what is selected: HIGHESTMODSEQ, or the MODSEQ of a message
	 * that was told when no HIGHESTMODSEQ came with the tagged reply; RFC 7162 3.2.7 */
	uint64_t highest, heard;
	bool corrected; /* HIGHESTMODSEQ came during the command in progress */
	/* the highest that was told of mailboxes before, by UIDVALIDITY; stays with a new
	 * connection */
	struct told {
		uint32_t uidvalidity;
		uint64_t modseq;
	} told[MODEL_TOLD_MAX];
	unsigned tellings;
	/* not NULL: SELECT with QRESYNC brings it up to date; borrowed */
	struct memory *memory;
	char code[MODEL_CODE_MAX]; /* of the last tagged reply */
	void *arg;		   /* of who is told by broken */
	/* called with what is wrong and the answer; does not return */
	void (*broken)(const struct model *m, const char *what, struct str answer);
};

/* Owned by the caller: model_fini. */
void
model_init(struct model *m, const char *name, struct truth *t,
	void (*broken)(const struct model *m, const char *what, struct str answer));
void
model_fini(struct model *m);
/* A new connection: everything but the truth is forgotten. */
void
model_reset(struct model *m);
/* Verb and UID of a command's text. */
void
asked_init(struct asked *a, struct str text);
/* One answer; asked NULL: no command is in progress. */
void
model_see(struct model *m, const struct asked *asked, const struct answer *a);

#endif
