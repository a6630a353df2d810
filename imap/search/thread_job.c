/* THREAD's part that knows the store; see thread_job.h. Called by cmd_search.c. Invariant: no
 * message file is opened, and nothing of the index outlives its step. */
#include "imap/search/thread_job.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/hmap.h"
#include "core/base/xalloc.h"
#include "core/mail/msgid.h"
#include "core/mail/subject.h"
#include "imap/search/batch.h"
#include "imap/search/sortkey.h"
#include "imap/search/thread_words.h"
#include "imap/session/fields.h"
#include "imap/session/recall.h"
#include "imap/session/write.h"

enum {
	LOOK_EVERY = 64,
	COST_MESSAGE = 64,
	COST_LOOK = 4096,
	MOVES = 8192,
	PIECES = 512,
	PIECES_BYTES = 4096,
	TEXT_MAX = 1024 * 1024
};

/* The last ones: each half is full now and then. */
struct refs {
	size_t n;
	uint64_t v[2 * THREAD_REFS_MAX];
};

struct thread_job {
	enum thread_algorithm algorithm;
	struct uidset found;
	uint64_t count;
	struct walk walk;
	struct thread *thread;
	size_t loaded;
	size_t root; /* whose subject is next */
	bool linked, threaded, incomplete;
	struct thread_words words;
	struct recalled *answer; /* words, or what is remembered */
	struct thread_reader reader;
	struct thread_piece piece; /* what of it is still to be said */
	bool space;		   /* before what opens in it, or its number */
	bool begun;
	struct arena *arena;	  /* of ids with quotes or comments */
	struct buf text, subject; /* scratch */
	struct refs refs[MESSAGE_SOME_MAX];
};

static struct recall_key
key_of(const struct imap_session *s, const struct thread_job *j)
{
	return (struct recall_key){
		.home = s->home,
		.mailbox = view_mailbox(s->sel.view),
		.uidvalidity = view_uidvalidity(s->sel.view),
		.how = j->algorithm == THREAD_REFERENCES ? STR("TR") : STR("TO"),
	};
}

/* The answer to the same question. */
static void
recall_answer(struct imap_session *s, struct thread_job *j)
{
	const struct recall_key key = key_of(s, j);
	struct recalled *w = j->count >= RECALL_LEAST ? recall_get(s->imap->recall, &key) : NULL;

	if (w != NULL && uidset_equal(&w->uids, &j->found))
		j->answer = recalled_ref(w);
	recalled_unref(w);
}

struct thread_job *
thread_job_new(struct imap_session *s, const struct args_search *a, const struct search_result *r)
{
	struct thread_job *j = xcalloc(1, sizeof *j);

	j->algorithm = a->algorithm;
	j->count = r->count;
	uidset_copy(&j->found, &r->uids);
	buf_init(&j->text, TEXT_MAX);
	buf_init(&j->subject, TEXT_MAX);
	recall_answer(s, j);
	if (j->answer == NULL) {
		j->thread = thread_new((size_t)r->count);
		j->arena = arena_new(TEXT_MAX);
	}
	return j;
}

void
thread_job_free(struct thread_job *j)
{
	if (j == NULL)
		return;
	thread_free(j->thread);
	arena_free(j->arena);
	free(j->words.v);
	recalled_unref(j->answer);
	uidset_fini(&j->found);
	buf_fini(&j->text);
	buf_fini(&j->subject);
	free(j);
}

/* ---- ids ---- */

static uint64_t
hash_of(struct str s)
{
	uint64_t h = hash_bytes(s);

	return h != 0 ? h : 1;
}

/* The next id of *rest, as most are: nothing quoted in it, no comments, no white space.
 * ERR_SYNTAX: not so, nothing was consumed. */
static enum err
next_plain_id(struct str *rest, struct str *id_out)
{
	size_t open = str_chr(*rest, '<');

	if (open == rest->n)
		return ERR_NOTFOUND;
	struct str id = str_from(*rest, open + 1);
	size_t at = 0, n = 0;

	for (; n < id.n && id.p[n] != '>'; n++) {
		char c = id.p[n];

		if (c <= ' ' || c == '"' || c == '(' || c == '<' || c == '\\')
			return ERR_SYNTAX;
		if (c == '@')
			at = n;
	}
	if (n == id.n || at == 0 || at + 1 == n)
		return ERR_SYNTAX;
	*id_out = str_sub(id, 0, n);
	*rest = str_from(id, n + 1);
	return ERR_OK;
}

static bool
next_id(struct thread_job *j, struct str *rest, uint64_t *out)
{
	struct str id;
	enum err e = next_plain_id(rest, &id);

	if (e == ERR_SYNTAX)
		e = msgid_next(rest, j->arena, &id);
	if (e == ERR_OK)
		*out = hash_of(id);
	return e == ERR_OK;
}

static void
add_ref(struct refs *r, uint64_t ref)
{
	if (r->n == ARRAY_LEN(r->v)) {
		memmove(r->v, r->v + THREAD_REFS_MAX, THREAD_REFS_MAX * sizeof *r->v);
		r->n = THREAD_REFS_MAX;
	}
	r->v[r->n++] = ref;
}

struct id_fields {
	struct str own, references, reply_to;
};

static void
keep_field(struct str name, struct str value, struct id_fields *out)
{
	if (name.n == 10 && out->own.n == 0 && str_ieq(name, STR("Message-ID")))
		out->own = value;
	else if (name.n == 10 && out->references.n == 0 && str_ieq(name, STR("References")))
		out->references = value;
	else if (name.n == 11 && out->reply_to.n == 0 && str_ieq(name, STR("In-Reply-To")))
		out->reply_to = value;
}

/* Most lines are passed by their first octet, continued ones too. */
static void
find_fields(struct str run, struct id_fields *out)
{
	struct str name, value, whole;

	*out = (struct id_fields){ .own = STR_EMPTY };
	while (run.n != 0) {
		unsigned char first = (unsigned char)run.p[0] | 0x20;

		if (first != 'm' && first != 'r' && first != 'i')
			run = str_from(run, str_chr(run, '\n') + 1);
		else if (field_next(&run, &name, &value, &whole))
			keep_field(name, value, out);
		else
			break;
	}
}

static enum err
read_ids(struct thread_job *j, struct message *m, struct refs *r, struct thread_message *out)
{
	struct id_fields f;
	struct str run;
	uint64_t id;
	enum err e = message_fields(m, &run);

	if (e != ERR_OK)
		return e;
	find_fields(run, &f);
	arena_reset(j->arena);
	if (next_id(j, &f.own, &id))
		out->own = id;
	r->n = 0;
	while (next_id(j, &f.references, &id))
		add_ref(r, id);
	if (r->n == 0 && next_id(j, &f.reply_to, &id))
		add_ref(r, id);
	size_t over = r->n > THREAD_REFS_MAX ? r->n - THREAD_REFS_MAX : 0;

	out->refs = r->v + over;
	out->refs_count = r->n - over;
	thread_expect(j->thread, out);
	return ERR_OK;
}

/* *hash: of the base subject, 0 when it is empty. */
static enum err
read_subject(struct thread_job *j, struct message *m, uint64_t *hash, bool *reply)
{
	struct str envelope, subject;
	enum err e = message_envelope(m, &envelope);

	buf_reset(&j->subject);
	*reply = false;
	if (e == ERR_OK && sortkey_subject(envelope, &j->text, &subject))
		subject_base(&j->subject, subject, reply);
	*hash = j->subject.n != 0 ? hash_of(buf_str(&j->subject)) : 0;
	return e;
}

/* ---- the steps ---- */

static enum err
read_one(struct thread_job *j, struct batch *b, size_t i, struct thread_message *out)
{
	struct message *m = &b->messages[i];
	enum err e = ERR_OK;

	*out = (struct thread_message){
		.uid = b->uids[i], .msg = m->id, .date = sortkey_date(&b->entries[i], m)
	};
	if (j->algorithm == THREAD_REFERENCES)
		e = read_ids(j, m, &j->refs[i], out);
	/* what refers to nothing is a root most likely */
	out->knows_subject = out->refs_count == 0;
	if (e == ERR_OK && out->knows_subject)
		e = read_subject(j, m, &out->subject, &out->reply);
	return e;
}

static enum err
load_some(struct thread_job *j, struct batch *b, bool *missing, size_t *cost)
{
	struct thread_message tm[MESSAGE_SOME_MAX];
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < b->n; i++)
		if (!b->missing[i])
			e = read_one(j, b, i, &tm[i]);
	for (size_t i = 0; e == ERR_OK && i < b->n; i++) {
		if (b->missing[i])
			*missing = j->incomplete = true;
		else
			e = thread_add(j->thread, &tm[i], cost);
	}
	j->loaded += b->n;
	*cost += b->n * COST_MESSAGE;
	return e;
}

/* ERR_AGAIN: the step is full. */
static enum err
load_rows(struct imap_session *s, struct thread_job *j, struct batch *b, bool *missing)
{
	enum message_part part =
		j->algorithm == THREAD_REFERENCES ? MESSAGE_FIELDS : MESSAGE_ENVELOPE;
	int64_t began = clock_us();
	size_t cost = 0;

	for (;;) {
		enum err e = batch_next(b, &j->walk, &j->found, part);

		if (e == ERR_OK)
			e = load_some(j, b, missing, &cost);
		if (e != ERR_OK || b->n == 0)
			return e;
		if (cost < COST_LOOK)
			continue;
		cost = 0;
		if (session_enough(s, began))
			return ERR_AGAIN;
	}
}

static enum err
load(struct imap_session *s, struct cmd *c, struct thread_job *j, bool *missing)
{
	struct batch b;
	uint32_t uid;

	if (!walk_at(&j->walk, &j->found, &uid))
		return ERR_OK;
	enum err e = batch_begin(&b, s, uid);

	if (e != ERR_OK)
		return e;
	e = load_rows(s, j, &b, missing);
	batch_end(&b);
	if (e == ERR_AGAIN)
		session_progress(s, c, j->loaded, j->count);
	return e;
}

static enum err
root_subject(struct thread_job *j, struct message_scan *scan)
{
	uint64_t msg = thread_root(j->thread, j->root), subject;
	struct message m;
	bool reply = false;

	if (msg == 0)
		return ERR_OK;
	enum err e = message_scan_get(scan, msg, &m);

	if (e == ERR_OK)
		e = read_subject(j, &m, &subject, &reply);
	if (e == ERR_OK)
		thread_set_subject(j->thread, j->root, subject, reply);
	/* without a subject nothing is gathered by it */
	return e == ERR_NOTFOUND ? ERR_OK : e;
}

static enum err
root_subjects(struct imap_session *s, struct thread_job *j)
{
	int64_t began = clock_us();
	struct message_scan scan;
	struct txn *txn;

	if (j->root >= thread_roots(j->thread))
		return ERR_OK;
	enum err e = session_read(s, &txn);

	if (e != ERR_OK)
		return e;
	e = message_scan_begin(&scan, txn);
	if (e == ERR_OK) {
		while (e == ERR_OK && j->root < thread_roots(j->thread)) {
			e = root_subject(j, &scan);
			j->root += e == ERR_OK;
			if (e == ERR_OK && j->root % LOOK_EVERY == 0 && session_enough(s, began))
				e = ERR_AGAIN;
		}
		message_scan_end(&scan);
	}
	store_read_end(txn);
	return e;
}

static enum err
passes(struct imap_session *s, struct thread_job *j, bool (*pass)(struct thread *t, size_t budget))
{
	int64_t began = clock_us();

	while (!pass(j->thread, MOVES))
		if (session_enough(s, began))
			return ERR_AGAIN;
	return ERR_OK;
}

/* The tree is not needed any more then. */
static enum err
write_words(struct imap_session *s, struct thread_job *j)
{
	const struct recall_key key = key_of(s, j);
	int64_t began = clock_us();
	struct thread_piece piece;

	for (unsigned n = 1; thread_next(j->thread, &piece); n++) {
		thread_words_add(&j->words, &piece);
		if (n % PIECES == 0 && session_enough(s, began))
			return ERR_AGAIN;
	}
	thread_free(j->thread);
	j->thread = NULL;
	j->answer = recalled_new(&j->found, j->words.v, j->words.n);
	j->words = (struct thread_words){ .v = NULL };
	if (j->count >= RECALL_LEAST && !j->incomplete)
		recall_put(s->imap->recall, &key, j->answer);
	return ERR_OK;
}

static enum err
make_threads(struct imap_session *s, struct cmd *c, struct thread_job *j, bool *missing)
{
	enum err e = load(s, c, j, missing);

	if (e == ERR_OK && j->algorithm == THREAD_ORDEREDSUBJECT)
		return passes(s, j, thread_by_subject);
	if (e == ERR_OK && !j->linked)
		e = passes(s, j, thread_link);
	if (e != ERR_OK)
		return e;
	j->linked = true;
	e = root_subjects(s, j);
	return e == ERR_OK ? passes(s, j, thread_gather) : e;
}

enum err
thread_job_run(struct imap_session *s, struct cmd *c, struct thread_job *j, bool *missing)
{
	enum err e = ERR_OK;

	if (j->answer == NULL && !j->threaded)
		e = make_threads(s, c, j, missing);
	if (e != ERR_OK)
		return e;
	j->threaded = true;
	if (j->answer == NULL)
		e = write_words(s, j);
	if (e == ERR_OK)
		j->reader = (struct thread_reader){ .v = j->answer->v, .n = j->answer->n };
	return e;
}

/* ---- the answer ---- */

static char *
put_many(char *p, const char *end, char what, uint32_t *n)
{
	for (; *n != 0 && p < end; --*n)
		*p++ = what;
	return p;
}

/* What of the piece fits before end; behind end there is room for a number. */
static char *
put_piece(
	struct imap_session *s, const struct cmd *c, struct thread_job *j, char *p, const char *end)
{
	struct thread_piece *w = &j->piece;

	p = put_many(p, end, ')', &w->closes);
	if (w->closes != 0)
		return p;
	if (j->space)
		*p++ = ' ';
	j->space = false;
	p = put_many(p, end, '(', &w->opens);
	if (w->opens != 0 || w->uid == 0)
		return p;
	p = put_number(p, c->uid ? w->uid : view_seq_of_uid(s->sel.view, w->uid));
	w->uid = 0;
	return p;
}

/* False: all is said. */
static bool
have_piece(struct thread_job *j)
{
	if ((j->piece.closes | j->piece.opens | j->piece.uid) != 0)
		return true;
	bool first = j->reader.at == 0, more = thread_reader_next(&j->reader, &j->piece);

	j->space = !first && j->piece.closes == 0;
	return more;
}

enum step
thread_job_say(struct imap_session *s, const struct cmd *c, struct thread_job *j)
{
	struct buf *out = session_out(s);
	int64_t began = clock_us();
	char text[PIECES_BYTES];
	bool more = true;

	if (!j->begun)
		buf_addz(out, j->answer->n != 0 ? "* THREAD " : "* THREAD");
	j->begun = true;
	while (more) {
		char *p = text, *end = text + sizeof text - PUT_MAX;

		while (p < end && (more = have_piece(j)))
			p = put_piece(s, c, j, p, end);
		buf_add(out, str_n(text, (size_t)(p - text)));
		if (more && session_enough(s, began))
			return STEP_MORE;
	}
	buf_addz(out, "\r\n");
	return STEP_DONE;
}
