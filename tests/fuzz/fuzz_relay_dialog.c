/* A whole SMTP dialog with a server that says what the fuzzer wants. The first octets choose
 * options and message; the rest are replies, in pieces. Whatever comes: each recipient hears at
 * most one result, and exactly one when the transaction ends by itself; 2xx only after the end of
 * data was written and while the RCPT stood accepted; what is written is lines of our own verbs,
 * and within DATA exactly one end of data. */
#include <assert.h>
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "delivery/remote/dialog.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	bool heard[3];
	bool ended; /* the end of the message is written */
	bool intact;
	bool begun;
};

static void
on_result(void *arg, size_t i, const struct answer *a, bool passed)
{
	struct run *r = arg;

	(void)passed;
	assert(i < 3 && !r->heard[i]);
	r->heard[i] = true;
	assert(a->code >= 200 && a->code <= 599 && a->code / 100 != 3);
	assert(a->status[0] == (char)('0' + a->code / 100));
	if (a->code / 100 == 2)
		assert(r->ended && r->intact);
}

static enum err
sasl_start(void *arg, struct str mechanisms, bool tls, const char **mechanism_out,
	struct str *response_out)
{
	(void)arg;
	(void)mechanisms;
	if (!tls)
		return ERR_NOTFOUND;
	*mechanism_out = "PLAIN";
	*response_out = STR("secret");
	return ERR_OK;
}

static enum err
sasl_step(void *arg, struct str challenge, struct str *response_out)
{
	(void)arg;
	*response_out = STR("again");
	return challenge.n > 100 ? ERR_DENIED : ERR_OK;
}

static bool
sasl_complete(void *arg)
{
	(void)arg;
	return true;
}

/* Lines of commands: our verbs only. */
static void
check_commands(struct str out)
{
	static const char *const verbs[] = { "EHLO us", "HELO us", "STARTTLS", "AUTH PLAIN ",
		"MAIL FROM:<", "RCPT TO:<", "DATA", "RSET", "QUIT", "c2VjcmV0", "YWdhaW4=", "*",
		"." };
	struct str line;

	while (out.n != 0) {
		bool known = false;
		size_t lf = str_chr(out, '\n');
		assert(lf > 0 && lf < out.n && out.p[lf - 1] == '\r');
		line = str_sub(out, 0, lf - 1);
		assert(str_chr(line, '\r') == line.n);
		for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
			known |= str_starts(line, str_of(verbs[i]));
		assert(known);
		out = str_from(out, lf + 1);
	}
}

/* The message in clear: CR and LF as pairs, and one end. */
static void
check_message(struct str out, bool whole)
{
	size_t ends = 0;

	if (str_starts(out, STR(".\r\n")))
		ends++;
	for (size_t i = 0; i < out.n; i++) {
		if (out.p[i] == '\n')
			assert(i > 0 && out.p[i - 1] == '\r');
		if (out.p[i] == '\r')
			assert(i + 1 < out.n && out.p[i + 1] == '\n');
		if (str_starts(str_from(out, i), STR("\r\n.\r\n")))
			ends++;
	}
	assert(ends == (whole ? 1 : 0));
}

static void
feed(struct dialog *d, struct run *r, struct str body)
{
	struct buf *out = dialog_output(d);
	bool data = false;
	size_t before;

	check_commands(buf_str(out));
	buf_reset(out);
	dialog_body(d, body);
	if (dialog_phase(d) == DIALOG_BODY) {
		r->ended = r->intact;
		dialog_body_end(d, r->intact);
	}
	data = !str_starts(buf_str(out), STR("BDAT ")) && !str_starts(buf_str(out), STR("RSET"));
	before = out->n;
	if (data && before != 0)
		check_message(buf_str(out), dialog_phase(d) == DIALOG_WAIT);
	buf_reset(out);
}

static void
pump(struct dialog *d, struct run *r, const struct relay_request *req, struct str body, int *jobs)
{
	/* a transaction that is over has told everybody */
	if (r->begun && !dialog_in_transaction(d)) {
		assert(r->heard[0] && r->heard[1] && r->heard[2]);
		r->begun = false;
	}
	switch (dialog_phase(d)) {
	case DIALOG_TLS:
		dialog_tls_done(d);
		break;
	case DIALOG_READY:
		check_commands(buf_str(dialog_output(d)));
		buf_reset(dialog_output(d));
		if ((*jobs)-- > 0) {
			*r = (struct run){ .intact = r->intact, .begun = true };
			dialog_begin(d, req);
		} else {
			dialog_quit(d);
		}
		break;
	case DIALOG_BODY:
		feed(d, r, body);
		break;
	case DIALOG_WAIT:
	case DIALOG_OVER:
		break;
	}
	if (dialog_phase(d) != DIALOG_OVER) {
		check_commands(buf_str(dialog_output(d)));
		buf_reset(dialog_output(d));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relay_rcpt rcpts[3] = { { .address = STR("a@b") }, { .address = STR("\xc3\xa4@b") },
		{ .address = STR("c@d"), .notify = RELAY_NOTIFY_SUCCESS } };
	const struct dialog_sasl sasl = {
		.start = sasl_start, .step = sasl_step, .complete = sasl_complete
	};
	struct run r = { .intact = true };
	struct relay_request req = { .sender = STR("x@y"), .rcpts = rcpts, .rcpts_count = 3 };
	struct dialog_options o = { .hostname = STR("us"), .on_result = on_result, .arg = &r };
	struct str body, replies;
	struct dialog *d;
	struct buf in;
	size_t step;
	int jobs = 3;

	if (size < 4)
		return 0;
	o.tls = (enum dialog_tls)(data[0] & 3);
	o.sasl = (data[0] & 4) != 0 ? &sasl : NULL;
	o.no_pipelining = (data[0] & 8) != 0;
	o.no_chunking = (data[0] & 16) != 0;
	r.intact = (data[0] & 32) == 0;
	req.flags = data[1] & 3;
	step = 1 + data[2];
	body = str_sub(str_n(data + 4, size - 4), 0, data[3]);
	replies = str_from(str_n(data + 4, size - 4), data[3]);
	req.body_len = body.n;
	d = dialog_new(&o);
	buf_init(&in, 65536);
	while (replies.n != 0 && dialog_phase(d) != DIALOG_OVER) {
		size_t before = SIZE_MAX;
		buf_add(&in, str_sub(replies, 0, step));
		replies = str_from(replies, step);
		while (before != in.n && dialog_phase(d) != DIALOG_OVER) {
			before = in.n;
			dialog_input(d, &in);
			pump(d, &r, &req, body, &jobs);
		}
		if (buf_room(&in) < 512)
			break;
	}
	dialog_lost(d, "the end");
	assert(dialog_phase(d) == DIALOG_OVER);
	dialog_free(d);
	buf_fini(&in);
	return 0;
}
