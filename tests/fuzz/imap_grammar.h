#ifndef POSTROOM_TESTS_IMAP_GRAMMAR_H
#define POSTROOM_TESTS_IMAP_GRAMMAR_H

#include "core/base/buf.h"

/* IMAP's grammar as a table of rules that are walked to make commands: for the fuzz targets, whose
 * bytes choose the alternatives, and for random tests, where a seed does. RFC 9051 9, RFC 3501 9
 * and the extensions.
 *
 * A rule is a name and its alternatives. In an alternative "<name>" stands for a rule and
 * everything else for itself; a "<" before anything but a small letter is itself too. The first one
 * must come to an end by itself: it is taken when the choices are used up or the nesting is deep.
 * What stands in front of an alternative:
 *   "?TOKEN "  only when imap_capabilities names TOKEN: such commands must be accepted then
 *   "!"        only with `loose`: what a server may refuse
 * A command of imap_commands that is not here fails test_imap_grammar. */
struct grammar {
	const uint8_t *choice; /* borrowed; a byte a choice */
	size_t left;
	uint64_t seed; /* used instead when it is not 0; changes */
	bool sync;     /* synchronising literals too */
	bool loose;    /* what no capability allows, too */
	unsigned depth;
	size_t most; /* bytes of output from where on the first alternatives are taken */
};

/* Room for everything; reads imap_capabilities once. Before anything else. */
void
grammar_setup(void);
/* A number below sides; 0 when the choices are used up. */
uint32_t
grammar_dice(struct grammar *g, uint32_t sides);
/* An expansion of a rule, appended: "command" is everything behind the tag but the line's end,
 * "session" the same with what clients do most and few mailboxes. */
void
grammar_add(struct grammar *g, const char *rule, struct buf *out);
/* Is there an alternative of the rule "command" that begins with these words? */
bool
grammar_has_command(struct str words);
/* The n-th rule's name; NULL behind the last. */
const char *
grammar_rule(size_t n);

#endif
