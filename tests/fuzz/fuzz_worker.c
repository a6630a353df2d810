/* Fuzzes both ends of the socket between auth and its helpers: what one end understands comes out
 * the same when it is written and read again, and is one line. */
#include <stdlib.h>

#include "auth-ldap/backend/worker_wire.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/* What a put function made: one line, its LF at the end. */
static struct str
one_line(const struct buf *b)
{
	CHECK(buf_check(b) == ERR_OK && b->n > 0);
	CHECK(str_chr(buf_str(b), '\n') == b->n - 1);
	return str_sub(buf_str(b), 0, b->n - 1);
}

static void
question(struct str line, struct arena *a, struct buf *b)
{
	struct worker_question q, again;

	if (worker_question_get(line, a, &q) != ERR_OK)
		return;
	worker_question_put(b, &q);
	CHECK(worker_question_get(one_line(b), a, &again) == ERR_OK);
	CHECK(q.id == again.id && q.kind == again.kind && q.section == again.section);
	CHECK(str_eq(q.title, again.title) && str_eq(q.user, again.user) &&
		str_eq(q.password, again.password) && str_eq(q.other, again.other) &&
		str_eq(q.service, again.service) && str_eq(q.remote_ip, again.remote_ip) &&
		str_eq(q.local_ip, again.local_ip));
}

static void
answer(struct str line, struct arena *a, struct buf *b)
{
	struct worker_answer r, again;

	if (worker_answer_get(line, a, &r) != ERR_OK)
		return;
	CHECK(r.line != WORKER_END || r.reason < REASON_COUNT);
	CHECK(r.line != WORKER_KEYS || r.scram.stored_key.n == (r.sha256 ? 32 : 20));
	worker_answer_put(b, &r);
	CHECK(worker_answer_get(one_line(b), a, &again) == ERR_OK);
	CHECK(r.line == again.line && r.id == again.id && r.err == again.err &&
		r.reason == again.reason && str_eq(r.value, again.value) &&
		str_eq(r.detail, again.detail));
	if (r.line == WORKER_USER)
		CHECK(str_eq(r.user.user, again.user.user) &&
			str_eq(r.user.home, again.user.home) &&
			str_eq(r.user.services, again.user.services) &&
			r.user.services_given == again.user.services_given &&
			r.user.disabled == again.user.disabled &&
			r.user.expires_sec == again.user.expires_sec);
	if (r.line == WORKER_KEYS)
		CHECK(str_eq(r.scram.salt, again.scram.salt) &&
			str_eq(r.scram.server_key, again.scram.server_key));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n(data, size), line;
	struct arena *a = arena_new(8 << 20);
	struct buf b;

	buf_init(&b, 1 << 20);
	while (rest.n != 0) {
		(void)str_cut(rest, '\n', &line, &rest);
		buf_reset(&b);
		question(line, a, &b);
		buf_reset(&b);
		answer(line, a, &b);
		arena_reset(a);
	}
	buf_fini(&b);
	arena_free(a);
	return 0;
}
