/* Posting rights of groups at RCPT; see posting.h. Called by session_mail.c. Invariant: only the
 * directory's "no such group" and its "yes" let a sender in; what went wrong is LOOKUP_TEMP. */
#include "delivery/smtp/posting.h"

#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"

/* The questions in their order; each answer says which comes next. */
enum step {
	STEP_ANYBODY, /* may a stranger without a name post? */
	STEP_DOMAIN,  /* is the stranger's domain ours? */
	STEP_MAILBOX, /* is the stranger's address one of ours? */
	STEP_SENDER,
	STEP_USER,
};

struct posting {
	struct socketmap *map;
	struct socketmap_request *request;
	struct loop_task answer; /* fn is never called inside posting_ask */
	enum lookup_answer result;
	lookup_fn fn;
	void *arg;
	enum step step;
	struct buf group, sender, user;
};

void
posting_cancel(struct posting *p)
{
	if (p == NULL)
		return;
	if (p->request != NULL)
		socketmap_cancel(p->request);
	loop_task_cancel(&p->answer);
	buf_fini(&p->group);
	buf_fini(&p->sender);
	buf_fini(&p->user);
	free(p);
}

static void
on_answer(struct loop_task *t)
{
	struct posting *p = t->arg;
	lookup_fn fn = p->fn;
	void *arg = p->arg;
	enum lookup_answer result = p->result;

	posting_cancel(p);
	fn(arg, result);
}

static void
finish(struct posting *p, enum lookup_answer result)
{
	p->result = result;
	loop_task_queue(&p->answer);
}

static void
ask(struct posting *p, enum step step);

/* The map `post` said no: who else may it be who writes? */
static void
denied(struct posting *p)
{
	if (p->step == STEP_ANYBODY && p->sender.n > 0)
		ask(p, STEP_DOMAIN);
	else if (p->step == STEP_SENDER && p->user.n > 0)
		ask(p, STEP_USER);
	else
		finish(p, LOOKUP_NO);
}

static void
on_reply(void *arg, enum err e, struct str value)
{
	struct posting *p = arg;
	bool about_sender = p->step == STEP_DOMAIN || p->step == STEP_MAILBOX;

	(void)value;
	p->request = NULL;
	if (e != ERR_OK && e != ERR_NOTFOUND && e != ERR_DENIED)
		finish(p, LOOKUP_TEMP);
	else if (about_sender && e != ERR_NOTFOUND)
		finish(p, LOOKUP_NO); /* one of ours, and nobody showed that he is it */
	else if (about_sender)
		ask(p, p->step == STEP_DOMAIN ? STEP_MAILBOX : STEP_SENDER);
	else if (e == ERR_DENIED)
		denied(p);
	else
		finish(p, LOOKUP_YES);
}

static void
ask(struct posting *p, enum step step)
{
	struct str sender = buf_str(&p->sender), who = STR("<>");
	const char *map = "post";
	struct buf key;

	p->step = step;
	buf_init(&key, 4096);
	if (step == STEP_DOMAIN) {
		map = "domain";
		buf_add(&key, str_from(sender, str_rchr(sender, '@') + 1));
	} else if (step == STEP_MAILBOX) {
		map = "mailbox";
		buf_add(&key, sender);
	} else {
		if (step == STEP_USER)
			who = buf_str(&p->user);
		else if (step == STEP_SENDER && sender.n > 0)
			who = sender;
		buf_addf(&key, "%.*s %.*s", STR_FMT(buf_str(&p->group)), STR_FMT(who));
	}
	p->request = socketmap_lookup(p->map, str_of(map), buf_str(&key), on_reply, p);
	/* what cannot be asked about is nobody's address */
	if (p->request == NULL)
		finish(p, LOOKUP_NO);
	buf_fini(&key);
}

struct posting *
posting_ask(struct loop *l, struct socketmap *map, const struct posting_question *q, lookup_fn fn,
	void *arg)
{
	struct posting *p = xcalloc(1, sizeof(*p));

	p->map = map;
	p->fn = fn;
	p->arg = arg;
	loop_task_init(&p->answer, l, on_answer, p);
	buf_init(&p->group, 1024);
	buf_init(&p->sender, 1024);
	buf_init(&p->user, 1024);
	buf_add(&p->group, q->group);
	buf_add(&p->sender, q->sender);
	buf_add(&p->user, q->user);
	if (str_chr(q->group, ' ') < q->group.n)
		finish(p, LOOKUP_NO); /* "a b"@example.org: the key could not say where it ends */
	else
		ask(p, q->trusted ? STEP_SENDER : STEP_ANYBODY);
	return p;
}
