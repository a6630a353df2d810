/* RCPTs that stand in the input behind the command that waits for an answer (RFC 2920): the
 * directory is asked about them side by side; each is run, checked and answered in its turn. For
 * session.c and session_mail.c. Invariant: no more is asked than would be in turn, each question is
 * counted as its RCPT is, and its answer is that RCPT's or nobody's. */
#include "delivery/smtp/session_ahead.h"

#include <stdlib.h>

#include "core/base/xalloc.h"

enum { AHEAD_MAX = 32, ADDRESS_MAX = 1024 };

struct smtp_ahead {
	struct lookup *v[AHEAD_MAX]; /* a ring, in the order of the lines */
	unsigned first, n;
	size_t seen; /* octets of the input, the whole lines of these */
};

void
session_ahead_drop(struct smtp_session *s)
{
	struct smtp_ahead *a = s->ahead;

	if (a == NULL)
		return;
	for (unsigned i = 0; i < a->n; i++)
		lookup_cancel(a->v[(a->first + i) % AHEAD_MAX]);
	free(a);
	s->ahead = NULL;
}

void
session_ahead_consumed(struct smtp_session *s, size_t octets)
{
	if (s->ahead != NULL)
		s->ahead->seen -= octets < s->ahead->seen ? octets : s->ahead->seen;
}

struct lookup *
session_ahead_take(struct smtp_session *s)
{
	struct smtp_ahead *a = s->ahead;
	struct lookup *k;

	if (a == NULL || a->n == 0)
		return NULL;
	k = a->v[a->first];
	a->first = (a->first + 1) % AHEAD_MAX;
	a->n--;
	return k;
}

/* Would the session come to one more question, if all before are refused, and if all are taken? */
static bool
may_ask(const struct smtp_session *s, const struct smtp_ahead *a)
{
	const struct smtp_options *o = &s->server->o;
	const struct smtp_tx *tx = &s->tx;
	unsigned open = a->n + 1; /* with the one that is waited for */

	return a->n < AHEAD_MAX && tx->rcpts_count + open < o->recipients_max &&
	       tx->rcpts_refused + open < o->recipients_max && s->errors + open <= o->errors_max;
}

static bool
ask(struct smtp_session *s, struct smtp_ahead *a, struct str line)
{
	const struct smtp_options *o = &s->server->o;
	struct smtp_cmd c;
	struct buf address;
	bool asked = false;

	if (smtp_command_parse(line, &c) != REPLY_OK || c.verb != VERB_RCPT ||
		(c.path.utf8 && !s->tx.smtputf8))
		return false;
	buf_init(&address, ADDRESS_MAX);
	smtp_path_address(
		&c.path, s->policy->local ? o->local_domain : o->default_domain, &address);
	/* a bare name is none of the directory's */
	if (buf_check(&address) == ERR_OK && str_chr(buf_str(&address), '@') < address.n &&
		session_rcpt_in_time(s)) {
		a->v[(a->first + a->n++) % AHEAD_MAX] = lookup_recipient(s->server->peers.loop,
			s->server->peers.directory, buf_str(&address), o->delimiter, NULL, NULL);
		asked = true;
	}
	buf_fini(&address);
	return asked;
}

void
session_ahead_look(struct smtp_session *s)
{
	struct str all = buf_str(stream_in(s->stream));

	/* nothing before the first question: what a stranger must pass first stands before it */
	if (s->state != SMTP_WAIT || !s->tx.asked || s->tx.content)
		return;
	if (s->ahead == NULL && all.n == 0)
		return;
	if (s->ahead == NULL)
		s->ahead = xcalloc(1, sizeof(*s->ahead));
	while (may_ask(s, s->ahead)) {
		struct str rest = str_from(all, s->ahead->seen);
		size_t nl = str_chr(rest, '\n');

		if (nl == rest.n || nl > SMTP_LINE_MAX_BYTES ||
			!ask(s, s->ahead,
				str_sub(rest, 0, nl > 0 && rest.p[nl - 1] == '\r' ? nl - 1 : nl)))
			return;
		s->ahead->seen += nl + 1;
	}
}
