#ifndef POSTROOM_TESTS_IMAP_PAIR_H
#define POSTROOM_TESTS_IMAP_PAIR_H

#include "tests/fuzz/imap_grammar.h"
#include "tests/unit/imap_client.h"
#include "tests/unit/imap_model.h"

/* Two clients of one user in one mailbox, over socketpairs to a worker in this process: commands
 * from the grammar go to both without waiting for answers, and every answer goes through its
 * client's model; what must not be ends the program with a report. For test_imap_random and
 * fuzz_imap_session. */

enum { PEER_COMMANDS_MAX = 16 };

/* A command that was not answered yet. */
struct command_sent {
	char *text; /* with its CRLF, and DONE behind IDLE; owned */
	size_t n, sent;
	bool waits; /* for "+" */
};

struct peer {
	struct pair *pair;
	int fd; /* -1: not connected */
	struct loop_io io;
	struct buf in;
	struct model model;
	struct command_sent queue[PEER_COMMANDS_MAX];
	size_t queued;
	bool raw; /* sends anything: only the form of the answers is checked */
	bool ended;
	unsigned tags;
	struct buf script; /* all that was said, for the report */
};

struct pair {
	struct world *w;
	struct loop_timer timer;
	bool late;
	char user[32];
	struct truth *truth;
	struct peer peer[2];
	unsigned commands;
};

/* Both log in as user and select INBOX. Keeps w. */
void
pair_start(struct pair *p, struct world *w, const char *user);
/* Random steps until the choices are used up or this many were made: each sends some commands to
 * one client or to both, and waits until all are answered. */
void
pair_steps(struct pair *p, struct grammar *g, unsigned steps);
/* The first client sends these octets and hangs up; the second one works on meanwhile. Only the
 * form of what the first one hears is checked. */
void
pair_raw(struct pair *p, struct str octets);
/* Both look once more: they must see the same mailbox, and what their models know is so. */
void
pair_agree(struct pair *p);
/* One client leaves at some moment, the mailbox changes, and it comes back with QRESYNC: what it
 * kept and what it is told must be the whole mailbox. */
void
pair_resync(struct pair *p, struct grammar *g);
/* STORE with UNCHANGEDSINCE, while the other one changes flags: exactly the messages that changed
 * since are in MODIFIED, and no others change. */
void
pair_conditional(struct pair *p, struct grammar *g);
/* For these: a command behind those that wait; until all are answered; logged in and INBOX
 * selected; logged in; without a connection. */
void
pair_say(struct peer *p, struct str command);
void
pair_run(struct pair *p);
void
pair_return(struct peer *p);
void
pair_connect(struct peer *p);
void
pair_hang_up(struct peer *p);
/* One command of this rule. */
void
pair_random(struct peer *p, struct grammar *g, const char *rule);
/* Ends the program with what both said and heard. */
void
pair_broken(const struct peer *p, const char *what);
/* Closes; frees. */
void
pair_stop(struct pair *p);

#endif
