/* delivery/smtp: who may send from where, as whom, to whom; and mail from other servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/xalloc.h"
#include "core/mail/srs.h"
#include "delivery/smtp/proxy.h"
#include "delivery/smtp/rates.h"
#include "tests/unit/smtp_fakes.h"

#define AUTH "AUTH PLAIN AGFubmEAZ29vZA==\r\n" /* "\0anna\0good" */
#define MAIL "EHLO c.else.org\r\nMAIL FROM:<x@else.org>\r\nRCPT TO:<known@ok.org>\r\n"
#define TEXT "Subject: s\r\n\r\nbody\r\n"

static void
mx_options(struct smtp_options *o)
{
	o->postmaster = STR("known.admin@ok.org");
}

static void
login_options(struct smtp_options *o)
{
	mx_options(o);
	o->mx_login = true;
}

static int
setup(void **state)
{
	(void)state;
	fakes_start(mx_options);
	fakes_connect_mx("203.0.113.9");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fakes_stop();
	return 0;
}

/* The codes of all replies, continuation lines left out. */
static void
expect(const char *want, const char *what)
{
	struct str rest = buf_str(&fakes.output), line;
	struct buf b;

	buf_init(&b, 65536);
	while (str_cut(rest, '\n', &line, &rest))
		if (line.n > 3 && line.p[3] != '-') {
			buf_addz(&b, b.n > 0 ? " " : "");
			buf_add(&b, str_sub(line, 0, 3));
		}
	if (!str_eq(buf_str(&b), str_of(want)))
		fail_msg("%s\ngot  %s\nwant %s\n%s", what, buf_z(&b), want, buf_z(&fakes.output));
	buf_fini(&b);
}

enum door { MX, MX_LOGIN, SUBMISSION };
#define OUTSIDE "203.0.113.9"
#define INSIDE	"192.0.2.77"

/* login: AUTH is tried. mail, rcpt: the codes. open: rcpt's when there is a relay (0: the same).
 * Without one nothing is accepted for other domains, whoever asks: nobody would carry it there. */
static const struct {
	enum door door;
	const char *from;
	bool login;
	const char *sender, *rcpt;
	int mail, rcpt_code, open;
} matrix[] = {
	/* other servers: to our users, nobody else */
	{ MX, OUTSIDE, false, "x@else.org", "known@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "known+tag@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "known@OK.ORG", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "nobody@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "temp@ok.org", 250, 451, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "known@third.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "known@else.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "known@sub.ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "known@ok.org.else.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "third.org!user@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "user%third.org@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "@ok.org:user@third.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "@third.org:known@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "\"user@third.org\"@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "user@third.org@ok.org", 250, 501, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "known@[192.0.2.1]", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "", 250, 501, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "postmaster@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "PostMaster@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "Postmaster", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "postmaster@third.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "known", 250, 250, 0 },
	{ MX, OUTSIDE, false, "", "known@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "", "nobody@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "", "x@else.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "me@ok.org", "known@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "me@ok.org", "x@else.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "known@ok.org", "x@else.org", 250, 550, 0 },
	/* groups: a stranger's sender counts only where it is none of ours */
	{ MX, OUTSIDE, false, "x@else.org", "list-open@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "", "list-open@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "me@ok.org", "list-open@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "list-alias@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "list-temp@ok.org", 250, 451, 0 },
	{ MX, OUTSIDE, false, "x@else.org", "list-closed@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "", "list-closed@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "partner@else.org", "list-closed@ok.org", 250, 250, 0 },
	{ MX, OUTSIDE, false, "me@ok.org", "list-closed@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "own@second.org", "list-closed@ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "temp@else.org", "list-closed@ok.org", 250, 451, 0 },
	{ MX, OUTSIDE, false, "partner@else.org", "\"list b\"@ok.org", 250, 550, 0 },
	/* return addresses of forwarded mail: only those that we made */
	{ MX, OUTSIDE, false, "", "SRS0=AAAAAAAA=AA=else.org=x@srs.ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "", "SRS1=AAAAAAAA=else.org==x=y=z@srs.ok.org", 250, 550, 0 },
	{ MX, OUTSIDE, false, "", "x@srs.ok.org", 250, 550, 0 },
	{ MX, INSIDE, false, "me@ok.org", "list-closed@ok.org", 250, 250, 0 },
	{ MX, INSIDE, false, "own@second.org", "list-closed@ok.org", 250, 250, 0 },
	{ MX, INSIDE, false, "x@else.org", "list-closed@ok.org", 250, 550, 0 },
	{ MX, INSIDE, false, "", "list-closed@ok.org", 250, 550, 0 },
	{ MX_LOGIN, OUTSIDE, true, "me@ok.org", "list-closed@ok.org", 250, 250, 0 },
	{ SUBMISSION, OUTSIDE, true, "me@ok.org", "list-closed@ok.org", 250, 250, 0 },
	{ SUBMISSION, OUTSIDE, true, "anna@ok.org", "list-closed@ok.org", 250, 250, 0 },
	{ SUBMISSION, OUTSIDE, true, "", "list-closed@ok.org", 250, 250, 0 },
	{ SUBMISSION, OUTSIDE, true, "me@ok.org", "list-temp@ok.org", 250, 451, 0 },
	/* a login there counts only where it is wanted */
	{ MX, OUTSIDE, true, "me@ok.org", "x@else.org", 250, 550, 0 },
	{ MX, OUTSIDE, true, "ben@ok.org", "known@ok.org", 250, 250, 0 },
	{ MX_LOGIN, OUTSIDE, true, "me@ok.org", "known@ok.org", 250, 250, 0 },
	{ MX_LOGIN, OUTSIDE, true, "ben@ok.org", "known@ok.org", 553, 503, 0 },
	{ MX_LOGIN, OUTSIDE, true, "x@else.org", "known@ok.org", 553, 503, 0 },
	{ MX_LOGIN, OUTSIDE, true, "me@ok.org", "x@else.org", 250, 550, 250 },
	{ MX_LOGIN, OUTSIDE, false, "me@ok.org", "x@else.org", 250, 550, 0 },
	/* networks of ours */
	{ MX, INSIDE, false, "printer@ok.org", "known@ok.org", 250, 250, 0 },
	{ MX, INSIDE, false, "x@else.org", "known@ok.org", 250, 250, 0 },
	{ MX, INSIDE, false, "printer@ok.org", "nobody@ok.org", 250, 550, 0 },
	{ MX, INSIDE, false, "printer@ok.org", "x@else.org", 250, 550, 250 },
	{ MX, INSIDE, false, "", "x@else.org", 250, 550, 250 },
	{ MX_LOGIN, INSIDE, true, "ben@ok.org", "known@ok.org", 553, 503, 0 },
	/* submission: nothing without a login, from wherever */
	{ SUBMISSION, INSIDE, false, "me@ok.org", "known@ok.org", 530, 530, 0 },
	{ SUBMISSION, INSIDE, false, "", "known@ok.org", 530, 530, 0 },
	{ SUBMISSION, INSIDE, false, "", "postmaster@ok.org", 530, 530, 0 },
	{ SUBMISSION, INSIDE, true, "me@ok.org", "known@ok.org", 250, 250, 0 },
	{ SUBMISSION, INSIDE, true, "anna@ok.org", "known@ok.org", 250, 250, 0 },
	{ SUBMISSION, INSIDE, true, "", "known@ok.org", 250, 250, 0 },
	{ SUBMISSION, INSIDE, true, "ben@ok.org", "known@ok.org", 553, 503, 0 },
	{ SUBMISSION, INSIDE, true, "x@else.org", "known@ok.org", 553, 503, 0 },
	{ SUBMISSION, INSIDE, true, "me@ok.org", "x@else.org", 250, 550, 250 },
	{ SUBMISSION, INSIDE, true, "me@ok.org", "nobody@ok.org", 250, 550, 0 },
	{ SUBMISSION, INSIDE, true, "me@ok.org", "postmaster@ok.org", 250, 250, 0 },
	{ SUBMISSION, INSIDE, true, "me@ok.org", "x@[192.0.2.1]", 250, 550, 250 },
	{ SUBMISSION, INSIDE, true, "me@ok.org", "postmaster@else.org", 250, 550, 250 },
	{ SUBMISSION, INSIDE, true, "me@ok.org", "temp@ok.org", 250, 451, 0 },
	{ SUBMISSION, INSIDE, true, "", "x@else.org", 250, 550, 250 },
	{ SUBMISSION, INSIDE, true, "ben@ok.org", "x@else.org", 553, 503, 0 },
	{ SUBMISSION, INSIDE, false, "me@ok.org", "x@else.org", 530, 530, 0 },
	{ MX, INSIDE, false, "printer@ok.org", "temp@ok.org", 250, 451, 0 },
};

static bool with_relay;

static void
matrix_options(struct smtp_options *o)
{
	mx_options(o);
	o->outbound = with_relay;
}

static void
matrix_login_options(struct smtp_options *o)
{
	login_options(o);
	o->outbound = with_relay;
}

static void
run_matrix(void)
{
	for (size_t i = 0; i < ARRAY_LEN(matrix); i++) {
		bool login = matrix[i].door != MX;
		struct buf in, want;

		buf_init(&in, 4096);
		buf_init(&want, 256);
		buf_addf(&in,
			"EHLO c.else.org\r\n%sMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n"
			"QUIT\r\n",
			matrix[i].login ? AUTH : "", matrix[i].sender, matrix[i].rcpt);
		buf_addf(&want, "220 250 %s%d %d 221",
			!matrix[i].login ? ""
			: login		 ? "235 "
					 : "503 ",
			matrix[i].mail,
			with_relay && matrix[i].open != 0 ? matrix[i].open : matrix[i].rcpt_code);
		fakes_start(matrix[i].door == MX_LOGIN ? matrix_login_options : matrix_options);
		if (matrix[i].door == SUBMISSION)
			fakes_connect();
		else
			fakes_connect_mx(matrix[i].from);
		fakes_send(buf_str(&in), 0);
		fakes_end();
		expect(buf_z(&want), buf_z(&in));
		fakes_stop();
		buf_fini(&in);
		buf_fini(&want);
	}
}

/* A return address that we made is a recipient, whoever sends to it; an old one is not. */
static void
test_return_addresses(void **state)
{
	const struct srs srs = { .domain = STR("srs.ok.org"), .secrets = STR(FAKES_SRS_SECRET) };
	struct buf in;

	(void)state;
	for (int days = 0; days <= 30; days += 10) {
		buf_init(&in, 4096);
		buf_addz(&in, "EHLO c.else.org\r\nMAIL FROM:<>\r\nRCPT TO:<");
		assert_int_equal(srs_forward(&srs, STR("ben@far.example"),
					 time(NULL) - (int64_t)days * 86400, &in),
			ERR_OK);
		buf_addz(&in, ">\r\nQUIT\r\n");
		fakes_start(mx_options);
		fakes_connect_mx(OUTSIDE);
		fakes_send(buf_str(&in), 0);
		fakes_end();
		expect(days < 30 ? "220 250 250 250 221" : "220 250 250 550 221", buf_z(&in));
		fakes_stop();
		buf_fini(&in);
	}
}

static void
test_relay_matrix(void **state)
{
	(void)state;
	with_relay = false;
	run_matrix();
	with_relay = true;
	run_matrix();
}

/* Mail from elsewhere stays as it is, but for the trace and what claims to be ours. */
static void
test_mx_header(void **state)
{
	(void)state;
	fakes_send(
		STR(MAIL
			"DATA\r\n"
			"Authentication-Results: (x) mx.ok.org; spf=pass\r\n"
			"Authentication-Results: mx.ok.org.else.org; spf=pass\r\n"
			"authentication-results :\r\n \"MX.OK.ORG\" 1; none\r\n"
			"Authentication-Results: \"mx\\.ok.org\"; none\r\n"
			"Bcc: a@b.c\r\nno field\r\nReturn-Path: <z@y>\r\nFrom: a\r\nFrom: b\r\n\r\n"
			"..x\r\n.\r\n"),
		0);
	expect("220 250 250 250 354 250", "");
	assert_int_equal(fakes.commits, 1);
	assert_true(str_starts(buf_str(&fakes.body),
		STR("Received: from c.else.org ([203.0.113.9])\r\n\tby mx.ok.org with ESMTP id "
		    "0123456789abcdef;\r\n\t")));
	assert_true(str_ends(buf_str(&fakes.body),
		STR("\r\nAuthentication-Results: mx.ok.org.else.org; spf=pass\r\n"
		    "Bcc: a@b.c\r\nno field\r\nFrom: a\r\nFrom: b\r\n\r\n"
		    ".x\r\n")));
}

static void
test_network_of_ours(void **state)
{
	(void)state;
	fakes_start(mx_options);
	fakes_connect_mx(INSIDE);
	fakes_send(STR("HELO printer\r\nMAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\nDATA\r\n"
		       "Bcc: a@b.c\r\nSubject: s\r\n\r\nscan\nready\r\n.\r\n"),
		0);
	fakes_end();
	expect("220 250 250 250 354 250", "");
	assert_true(str_find(buf_str(&fakes.body), STR(" with SMTP id ")) < fakes.body.n);
	assert_true(str_find(buf_str(&fakes.body), STR("\r\nSubject: s\r\nDate: ")) < fakes.body.n);
	assert_true(str_find(buf_str(&fakes.body), STR("\r\nMessage-ID: <")) < fakes.body.n);
	assert_true(str_find(buf_str(&fakes.body), STR("Bcc")) == fakes.body.n);
	assert_true(str_ends(buf_str(&fakes.body), STR("\r\n\r\nscan\r\nready\r\n")));
	fakes_stop();
}

static void
test_postmaster(void **state)
{
	(void)state;
	fakes_send(STR("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\n"
		       "RCPT TO:<POSTMASTER@ok.org>\r\nRCPT TO:<abuse@ok.org>\r\nDATA\r\n" TEXT
		       ".\r\n"),
		0);
	expect("220 250 250 250 250 550 354 250", "");
	assert_string_equal(buf_z(&fakes.rcpts), "known.admin@ok.org\nknown.admin@ok.org\n");
}

static void
no_default_domain(struct smtp_options *o)
{
	mx_options(o);
	o->default_domain = STR_EMPTY;
}

static void
test_postmaster_without_domain(void **state)
{
	(void)state;
	fakes_start(no_default_domain);
	fakes_connect_mx(OUTSIDE);
	fakes_send(STR("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<known>\r\n"), 0);
	expect("220 250 250 250 501", "");
	fakes_stop();
}

/* What may be said on port 25 before and after EHLO. */
static void
test_commands(void **state)
{
	(void)state;
	fakes_send(STR("VRFY anna\r\nEXPN all\r\nHELP\r\nMAIL FROM:<>\r\nAUTH PLAIN\r\nEHLO c\r\n"
		       "AUTH PLAIN AGFubmEAZ29vZA==\r\nVRFY anna\r\nSTARTTLS\r\nMAIL FROM:<>\r\n"),
		0);
	expect("220 252 252 214 503 503 250 503 252 454 250", "");
	assert_true(str_find(buf_str(&fakes.output), STR("250-AUTH")) == fakes.output.n);
}

/* Every published way to end a message that is no end, and to hide a second one behind it; each is
 * refused, and nothing of it is run as a command. */
static void
test_smuggling(void **state)
{
	static const char *const ends[] = { "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n",
		"\r\n.\r", "\n.\r", "\r.\n", "\r\r\n.\r\r\n", "\n\r.\n\r", "\r\n.\r\r\n",
		"\r\n\r.\r\n", "\n\n.\r\n", "\r\n.\n\r\n", "\n.\r\n.\n" };
	static const char inner[] = "MAIL FROM:<admin@ok.org>\r\nRCPT TO:<known@ok.org>\r\n"
				    "DATA\r\nSubject: smuggled\r\n\r\nx\r\n";

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(ends); i++) {
		struct buf b;
		buf_init(&b, 4096);
		buf_addf(&b, MAIL "DATA\r\nSubject: outer\r\n\r\nfirst%s%s.\r\nQUIT\r\n",
			ends[i / 2], inner);
		fakes_start(mx_options);
		fakes_connect_mx(OUTSIDE);
		fakes_send(buf_str(&b), i % 2);
		fakes_end();
		expect("220 250 250 250 354 554 221", ends[i / 2]);
		assert_int_equal(fakes.commits, 0);
		fakes_stop();
		buf_fini(&b);
	}
}

/* The same within chunks, and between DATA and BDAT. */
static void
test_smuggling_bdat(void **state)
{
	static const struct {
		const char *in, *codes;
		unsigned commits;
	} table[] = {
		{ "BDAT 13 LAST\r\nS: s\r\n\r\nx\n.\n\rQUIT\r\n", "554 221", 0 },
		{ "BDAT 16 LAST\r\nS: s\r\n\r\nx\r\n.\r\n\r\nQUIT\r\n", "250 221", 1 },
		{ "BDAT 9\r\nS: s\r\n\r\nxBDAT 5\r\n\r\n.\r\nBDAT 6 LAST\r\nQUIT\r\nQUIT\r\n",
			"250 250 250 221", 1 },
		{ "BDAT 9\r\nS: s\r\n\r\nx\r\n.\r\nQUIT\r\n", "250 500 500 221", 0 },
		{ "BDAT 8\r\nS: s\r\n\r\nDATA\r\nBDAT 0 LAST\r\nQUIT\r\n", "250 503 250 221", 1 },
		{ "BDAT 9\r\nS: s\r\n\r\n\rBDAT 1 LAST\r\n\nQUIT\r\n", "250 250 221", 1 },
		{ "BDAT 9\r\nS: s\r\n\r\n\rBDAT 1 LAST\r\nxQUIT\r\n", "250 554 221", 0 },
		{ "BDAT 9 LAST\r\nS: s\r\n\r\n\rQUIT\r\n", "554 221", 0 },
		{ "BDAT 99999999999999999999 LAST\r\nQUIT\r\n", "501 221", 0 },
		{ "BDAT -1 LAST\r\nBDAT\r\nBDAT 1 FIRST\r\nBDAT x\r\nQUIT\r\n",
			"501 501 501 501 221", 0 },
		{ "DATA\r\nS: s\r\n\r\nBDAT 5 LAST\r\n.\r\nQUIT\r\n", "354 250 221", 1 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(table); i++) {
		struct buf b, want;
		buf_init(&b, 4096);
		buf_init(&want, 4096);
		buf_addf(&b, MAIL "%s", table[i / 2].in);
		buf_addf(&want, "220 250 250 250 %s", table[i / 2].codes);
		fakes_start(mx_options);
		fakes_connect_mx(OUTSIDE);
		fakes_send(buf_str(&b), i % 2);
		fakes_end();
		expect(buf_z(&want), table[i / 2].in);
		assert_int_equal(fakes.commits, table[i / 2].commits);
		fakes_stop();
		buf_fini(&b);
		buf_fini(&want);
	}
}

/* After a refused MAIL, RCPT or DATA nothing of the refused is left. */
static void
test_desync(void **state)
{
	static const struct {
		const char *in, *codes;
		const char *rcpts;
	} table[] = {
		{ "MAIL FROM:<x@else.org>\r\nRCPT TO:<nobody@ok.org>\r\nDATA\r\n"
		  "RCPT TO:<known@ok.org>\r\nDATA\r\n" TEXT ".\r\nQUIT\r\n",
			"250 550 554 250 354 250 221", "known@ok.org\n" },
		{ "DATA\r\nRCPT TO:<known@ok.org>\r\nDATA\r\nQUIT\r\n", "503 503 503 221", "" },
		{ "MAIL FROM:<a@else.org>\r\nDATA\r\nMAIL FROM:<b@else.org>\r\nRSET\r\n"
		  "RCPT TO:<known@ok.org>\r\nDATA\r\nQUIT\r\n",
			"250 503 503 250 503 503 221", "" },
		{ "MAIL FROM:<a@else.org>\r\nRCPT TO:<known@ok.org>\r\nDATA\r\n x\r\n\r\n.\r\n"
		  "DATA\r\nRCPT TO:<known2@ok.org>\r\nQUIT\r\n",
			"250 250 354 554 503 503 221", "" },
		{ "MAIL FROM:<a@else.org>\r\nRCPT TO:<known@ok.org>\r\nEHLO again\r\nDATA\r\n"
		  "QUIT\r\n",
			"250 250 250 503 221", "" },
		{ "MAIL FROM:<a@else.org>\r\nRCPT TO:<known@ok.org>\r\nRCPT TO:<bad\r\n"
		  "RCPT TO:<known2@else.org>\r\nDATA\r\n" TEXT ".\r\nDATA\r\nQUIT\r\n",
			"250 250 501 550 354 250 503 221", "known@ok.org\n" },
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(table); i++) {
		struct buf b, want;
		buf_init(&b, 4096);
		buf_init(&want, 4096);
		buf_addf(&b, "EHLO c\r\n%s", table[i / 2].in);
		buf_addf(&want, "220 250 %s", table[i / 2].codes);
		fakes_start(mx_options);
		fakes_connect_mx(OUTSIDE);
		fakes_send(buf_str(&b), i % 2);
		fakes_end();
		expect(buf_z(&want), table[i / 2].in);
		assert_string_equal(buf_z(&fakes.rcpts), table[i / 2].rcpts);
		fakes_stop();
		buf_fini(&b);
		buf_fini(&want);
	}
}

static void
strict(struct smtp_options *o)
{
	mx_options(o);
	o->helo_fqdn = o->sender_fqdn = o->pipelining_check = true;
}

/* What strangers must keep to, and what users and networks of ours need not. Each line is sent when
 * the reply to the one before came. */
static void
test_checks(void **state)
{
	static const struct {
		const char *from;
		const char *lines[6];
		const char *codes;
	} table[] = {
		{ OUTSIDE, { "EHLO far\r\n", "MAIL FROM:<x@else.org>\r\n", "QUIT\r\n" },
			"220 504 503 221" },
		{ OUTSIDE,
			{ "HELO far_name.else.org\r\n", "EHLO [192.0.2.300]\r\n",
				"EHLO [203.0.113.9]\r\n", "EHLO far.else.org\r\n" },
			"220 504 504 250 250" },
		{ OUTSIDE,
			{ "EHLO c.else.org\r\n", "MAIL FROM:<root>\r\n",
				"MAIL FROM:<root@localhost>\r\n", "MAIL FROM:<>\r\n" },
			"220 250 504 504 250" },
		{ INSIDE, { "EHLO printer\r\n", "MAIL FROM:<root>\r\n" }, "220 250 250" },
		{ OUTSIDE, { "EHLO c.else.org\r\nMAIL FROM:<>\r\n" }, "220 554" },
		{ OUTSIDE, { "HELO c.else.org\r\n", "MAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\n" },
			"220 250 554" },
		{ OUTSIDE,
			{ "EHLO c.else.org\r\n",
				"MAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\n"
				"DATA\r\n",
				TEXT ".\r\nQUIT\r\n" },
			"220 250 250 250 354 250 221" },
		{ OUTSIDE,
			{ "EHLO c.else.org\r\n", "MAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\n"
						 "DATA\r\n" TEXT ".\r\n" },
			"220 250 250 250 554" },
		{ OUTSIDE,
			{ "EHLO c.else.org\r\n", "MAIL FROM:<>\r\nRCPT TO:<no@ok.org>\r\n"
						 "DATA\r\nMAIL FROM:<y@ok.org>\r\n" },
			"220 250 250 550 554" },
		{ OUTSIDE,
			{ "EHLO c.else.org\r\n", "MAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\n"
						 "BDAT 4 LAST\r\n\r\nx\nNOOP\r\nQUIT\r\n" },
			"220 250 250 250 554 250 221" },
		{ INSIDE,
			{ "EHLO p\r\nMAIL FROM:<>\r\nRCPT TO:<known@ok.org>\r\nDATA\r\n" TEXT
			  ".\r\n" },
			"220 250 250 250 354 250" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		fakes_start(strict);
		fakes_connect_mx(table[i].from);
		fakes_run(1);
		for (size_t k = 0; k < 6 && table[i].lines[k] != NULL; k++)
			fakes_send(str_of(table[i].lines[k]), 0);
		expect(table[i].codes, table[i].lines[0]);
		fakes_stop();
	}
}

static void
delayed(struct smtp_options *o)
{
	mx_options(o);
	o->greet_delay_ms = 30;
}

static void
test_early_talkers(void **state)
{
	(void)state;
	fakes_start(delayed);
	fakes_connect_mx(OUTSIDE);
	fakes_run(5);
	expect("", "no greeting yet");
	fakes_run(40);
	fakes_send(STR("EHLO c\r\n"), 0);
	expect("220 250", "who waits");
	fakes_stop();
	fakes_start(delayed);
	fakes_connect_mx(OUTSIDE);
	fakes_send(STR("EHLO c\r\n"), 0);
	fakes_end();
	expect("554", "who does not");
	fakes_stop();
	fakes_start(delayed);
	fakes_connect_mx(OUTSIDE);
	fakes_end();
	expect("", "who goes");
	fakes_stop();
	fakes_start(delayed);
	fakes_connect_mx(INSIDE);
	fakes_run(5);
	expect("220", "a network of ours");
	fakes_stop();
}

static void
slow(struct smtp_options *o)
{
	mx_options(o);
	o->errors_max = 3;
	o->rates = (struct smtp_rate_limits){ .connections = 3,
		.errors = 5,
		.messages = 3,
		.recipients = 4,
		.user_messages = 2,
		.user_recipients = 3 };
}

/* One connection after the other, from the same address. */
static void
session_of(const char *from, const char *in)
{
	buf_reset(&fakes.output);
	fakes_connect_mx(from);
	fakes_send(str_of(in), 0);
	fakes_end();
}

#define ONE "MAIL FROM:<x@else.org>\r\nRCPT TO:<known@ok.org>\r\n"

static void
test_rates_of_addresses(void **state)
{
	(void)state;
	fakes_start(slow);
	session_of(OUTSIDE,
		"EHLO c\r\n" ONE "RCPT TO:<known2@ok.org>\r\nRSET\r\n" ONE "RSET\r\nQUIT\r\n");
	expect("220 250 250 250 250 250 250 250 250 221", "two messages, three recipients");
	session_of(OUTSIDE, "EHLO c\r\n" ONE "RCPT TO:<known2@ok.org>\r\nRSET\r\n" ONE "QUIT\r\n");
	expect("220 250 250 250 450 250 450 503 221", "one more of each");
	session_of("2001:db8::1", "EHLO c\r\n" ONE "QUIT\r\n");
	expect("220 250 250 250 221", "somebody else");
	session_of(OUTSIDE, "QUIT\r\n");
	expect("220 221", "the third connection");
	buf_reset(&fakes.output);
	fakes_connect_mx(OUTSIDE);
	fakes_run(3);
	expect("421", "the fourth");
	assert_int_equal(smtp_server_count(fakes.server), 0);
	for (int i = 0; i < 6; i++) {
		session_of(INSIDE, "HELO c\r\n" ONE "QUIT\r\n");
		expect("220 250 250 250 221", "networks of ours are not limited");
	}
	fakes_stop();
}

static void
two_at_once(struct smtp_options *o)
{
	mx_options(o);
	o->connections_per_address = 2;
}

/* One place may have so many connections, from whichever of its addresses they come. */
static void
test_connections_of_a_place(void **state)
{
	static const struct {
		const char *address;
		unsigned open; /* then */
	} table[] = { { "2001:db8::1", 1 }, { "2001:db8::2", 2 }, { "2001:db8::3:4:5:6", 2 },
		{ "2001:db8:0:1::1", 3 }, { OUTSIDE, 4 }, { OUTSIDE, 5 }, { OUTSIDE, 5 },
		{ "203.0.113.10", 6 } };
	const struct smtp_policy *mx = smtp_policy_find(STR("smtp"), LISTEN_TLS_NONE);
	int fds[ARRAY_LEN(table)][2];

	(void)state;
	fakes_start(two_at_once);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct peer peer = { .addr = "" };
		(void)snprintf(peer.addr, sizeof(peer.addr), "%s", table[i].address);
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds[i]),
			0);
		smtp_server_accept(fakes.server, fds[i][1], &peer, mx);
		assert_int_equal(smtp_server_count(fakes.server), table[i].open);
	}
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		(void)close(fds[i][0]);
	fakes_stop();
}

static void
test_rates_of_errors(void **state)
{
	(void)state;
	fakes_start(slow);
	session_of(OUTSIDE, "FROB\r\nFROB\r\nFROB\r\nQUIT\r\n");
	expect("220 500 500 500 221", "as many as one connection may");
	session_of(OUTSIDE, "FROB\r\nFROB\r\nFROB\r\nNOOP\r\n");
	expect("220 500 500 500 421", "more than the address may");
	buf_reset(&fakes.output);
	fakes_connect_mx(OUTSIDE);
	fakes_run(3);
	expect("421", "and again");
	fakes_stop();
}

static void
test_rates_of_users(void **state)
{
	(void)state;
	fakes_start(slow);
	fakes_connect();
	fakes_send(STR("EHLO c\r\n" AUTH "MAIL FROM:<me@ok.org>\r\nRCPT TO:<known@ok.org>\r\n"
		       "RCPT TO:<known@ok.org>\r\nRCPT TO:<known@ok.org>\r\n"
		       "RCPT TO:<known@ok.org>\r\nRSET\r\nMAIL FROM:<me@ok.org>\r\nRSET\r\n"
		       "MAIL FROM:<me@ok.org>\r\nNOOP\r\n"),
		0);
	expect("220 250 235 250 250 250 250 450 250 250 250 450 250", "");
	fakes_stop();
}

static void
test_rates(void **state)
{
	char place[CIDR_PLACE_SIZE];
	struct loop *l = loop_new();
	struct rates *r = rates_new(l, NULL);

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_true(rates_take(r, RATE_MESSAGES, STR("a"), i < 3 ? 3 : 0));
	assert_false(rates_take(r, RATE_MESSAGES, STR("a"), 3));
	assert_true(rates_over(r, RATE_MESSAGES, STR("a"), 3));
	assert_false(rates_over(r, RATE_MESSAGES, STR("a"), 4));
	assert_false(rates_over(r, RATE_MESSAGES, STR("a"), 0));
	assert_true(rates_take(r, RATE_RECIPIENTS, STR("a"), 1));
	assert_true(rates_take(r, RATE_MESSAGES, STR("b"), 1));
	rates_forget(r);
	assert_true(rates_take(r, RATE_MESSAGES, STR("a"), 1));
	for (int i = 0; i < 10000; i++) {
		char who[16];
		(void)snprintf(who, sizeof(who), "u%d", i);
		assert_true(rates_take(r, RATE_MESSAGES, str_of(who), 1));
	}
	/* who comes from thousands of places is a user with a limit all the same */
	assert_true(rates_take(r, RATE_USER_MESSAGES, STR("anna"), 1));
	assert_false(rates_take(r, RATE_USER_MESSAGES, STR("anna"), 1));
	rates_free(r);
	loop_free(l);
	cidr_place("2001:db8:1:2:3:4:5:6", place);
	assert_string_equal(place, "2001:db8:1:2::");
	cidr_place("192.0.2.7", place);
	assert_string_equal(place, "192.0.2.7");
	cidr_place("::ffff:192.0.2.7", place);
	assert_string_equal(place, "192.0.2.7");
	cidr_place("uid:1000", place);
	assert_string_equal(place, "uid:1000");
}

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static void
test_proxy_headers(void **state)
{
	static const struct {
		struct str in;
		enum err err;
		const char *addr; /* "": the balancer itself */
		uint16_t port, local_port;
	} table[] = {
		{ STR("PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n"), ERR_OK, "203.0.113.9", 4711,
			25 },
		{ STR("PROXY TCP6 2001:DB8:0::9 ::1 65535 0\r\n"), ERR_OK, "2001:db8::9", 65535,
			0 },
		{ STR("PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 4711 25\r\n"), ERR_OK,
			"203.0.113.9", 4711, 25 },
		{ STR("PROXY UNKNOWN\r\n"), ERR_OK, "", 0, 0 },
		{ STR("PROXY UNKNOWN a b c d e f\r\n"), ERR_OK, "", 0, 0 },
		{ STR("PROXY TCP4 203.0.113.9 192.0.2.1 4711 65536\r\n"), ERR_SYNTAX, "", 0, 0 },
		{ STR("PROXY TCP4 2001:db8::9 192.0.2.1 4711 25\r\n"), ERR_SYNTAX, "", 0, 0 },
		{ STR("PROXY TCP4 203.0.113.9 192.0.2.1 4711 25 x\r\n"), ERR_SYNTAX, "", 0, 0 },
		{ STR("PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n"), ERR_SYNTAX, "", 0, 0 },
		{ STR("PROXY TCP4 203.0.113.9\0 192.0.2.1 4711 25\r\n"), ERR_SYNTAX, "", 0, 0 },
		{ STR("PROXY UDP4 203.0.113.9 192.0.2.1 4711 25\r\n"), ERR_SYNTAX, "", 0, 0 },
		{ STR("PROXY \r\n"), ERR_SYNTAX, "", 0, 0 },
		{ STR("EHLO far.else.org\r\n"), ERR_SYNTAX, "", 0, 0 },
		{ STR(V2 "\x21\x11\0\x0c\xcb\0\x71\x09\xc0\0\x02\x01\x12\x67\0\x19"), ERR_OK,
			"203.0.113.9", 4711, 25 },
		{ STR(V2 "\x21\x11\0\x0f\xcb\0\x71\x09\xc0\0\x02\x01\x12\x67\0\x19tlv"), ERR_OK,
			"203.0.113.9", 4711, 25 },
		{ STR(V2 "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"
			 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\0\x19"),
			ERR_OK, "2001:db8::9", 4711, 25 },
		{ STR(V2 "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\0\x71\x09"
			 "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\x12\x67\0\x19"),
			ERR_OK, "203.0.113.9", 4711, 25 },
		{ STR(V2 "\x20\0\0\0"), ERR_OK, "", 0, 0 },
		{ STR(V2 "\x21\x31\0\x02uu"), ERR_OK, "", 0, 0 },
		{ STR(V2 "\x21\x11\0\x08\xcb\0\x71\x09\xc0\0\x02\x01"), ERR_SYNTAX, "", 0, 0 },
		{ STR(V2 "\x31\x11\0\0"), ERR_SYNTAX, "", 0, 0 },
		{ STR(V2 "\x22\x11\0\0"), ERR_SYNTAX, "", 0, 0 },
		{ STR(V2 "\x21\x11\xff\xff"), ERR_SYNTAX, "", 0, 0 },
	};
	char longest[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct proxy_header h;
		size_t used = 0;
		enum err e = proxy_parse(table[i].in, &h, &used);
		if (e != table[i].err)
			fail_msg("%zu: %d", i, e);
		for (size_t n = 0; e == ERR_OK && n < table[i].in.n; n++)
			assert_int_equal(
				proxy_parse(str_sub(table[i].in, 0, n), &h, &used), ERR_AGAIN);
		e = proxy_parse(table[i].in, &h, &used);
		if (e != ERR_OK)
			continue;
		assert_int_equal(used, table[i].in.n);
		assert_int_equal(h.own, table[i].addr[0] == '\0');
		assert_string_equal(h.own ? "" : h.addr, table[i].addr);
		assert_int_equal(h.port, table[i].port);
		assert_int_equal(h.local_port, table[i].local_port);
	}
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "PROXY TCP4 ", 11);
	for (size_t n = 0; n <= sizeof(longest); n++) {
		struct proxy_header h;
		size_t used;
		assert_int_equal(proxy_parse(str_n(longest, n), &h, &used),
			n < 107 ? ERR_AGAIN : ERR_SYNTAX);
	}
}

static void
balanced(struct smtp_options *o)
{
	static const struct cidr balancer = { .addr = { 10, 0, 0, 1 }, .bits = 32 };

	slow(o);
	o->proxy_networks = &balancer;
	o->proxy_networks_count = 1;
	o->proxy_timeout_ms = 50;
	o->connections_max = 10;
	o->relay_networks_count = 0;
}

static void
test_proxy_sessions(void **state)
{
	static const char far[] = "PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n";
	static const char other[] = "PROXY TCP4 203.0.113.8 192.0.2.1 4711 25\r\n";

	(void)state;
	fakes_start(balanced);
	for (size_t i = 0; i < 3; i++) { /* at once, in pieces, and with the client's first words */
		buf_reset(&fakes.output);
		fakes_connect_mx("10.0.0.1");
		fakes_send(str_of(far), i == 1 ? 7 : 0);
		fakes_run(30);
		fakes_send(STR("HELO c\r\n" ONE "DATA\r\n" TEXT ".\r\nQUIT\r\n"), 0);
		fakes_run(20);
		expect("220 250 250 250 354 250 221", "behind the balancer");
		assert_true(str_find(buf_str(&fakes.body), STR("from c ([203.0.113.9])")) <
			    fakes.body.n);
	}
	buf_reset(&fakes.output);
	fakes_connect_mx("10.0.0.1");
	fakes_send(str_of(far), 0);
	fakes_run(20);
	expect("421", "the client's limit, not the balancer's");
	buf_reset(&fakes.output);
	fakes_connect_mx("10.0.0.1");
	fakes_send(str_of(other), 0);
	fakes_send(STR("QUIT\r\n"), 0);
	fakes_run(20);
	expect("220 221", "another client");
	buf_reset(&fakes.output);
	fakes_connect_mx("10.0.0.1");
	fakes_send(STR("EHLO c\r\n"), 0);
	fakes_run(20);
	expect("", "no header, no talk");
	fakes_connect_mx("10.0.0.1");
	fakes_send(STR("PROXY TCP4"), 0);
	fakes_run(100);
	expect("", "half a header, and silence");
	assert_int_equal(smtp_server_count(fakes.server), 0);
	buf_reset(&fakes.output);
	fakes_connect_mx("203.0.113.7");
	fakes_send(str_of(far), 0);
	expect("220 500", "from elsewhere it is no command");
	fakes_stop();
	fakes_start(balanced);
	fakes_connect_mx("10.0.0.1");
	fakes_run(5);
	fakes_stop(); /* the end comes first */
}

/* Thousands of recipients at once: as many as a message may have, the others are put off, and the
 * message goes to the first. Of thousands of unknown ones the sender hears
 * of no more than of so many. */
static void
test_floods(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_addz(&b, "EHLO c\r\nMAIL FROM:<>\r\n");
	for (int i = 0; i < 3000; i++)
		buf_addf(&b, "RCPT TO:<known%d@ok.org>\r\n", i);
	buf_addz(&b, "DATA\r\n" TEXT ".\r\n");
	fakes_send(buf_str(&b), 0);
	assert_int_equal(fakes.commits, 1);
	assert_string_equal(buf_z(&fakes.rcpts), "known0@ok.org\nknown1@ok.org\nknown2@ok.org\n"
						 "known3@ok.org\nknown4@ok.org\n");
	buf_reset(&fakes.output);
	buf_reset(&b);
	for (int i = 0; i < 3000; i++)
		buf_addz(&b, "NOOP\r\n");
	buf_addz(&b, "MAIL FROM:<>\r\n");
	for (int i = 0; i < 3000; i++)
		buf_addf(&b, "RCPT TO:<nobody%d@ok.org>\r\n", i);
	fakes_send(buf_str(&b), 0);
	fakes_end();
	assert_int_equal(str_find(buf_str(&fakes.output), STR("250 2.1.0")),
		3000 * strlen("250 2.0.0 Ok\r\n"));
	assert_true(str_ends(buf_str(&fakes.output), STR("452 4.5.3 Too many recipients\r\n")));
	buf_fini(&b);
}

/* Bytes and addresses that are none. */
static void
test_bad_commands(void **state)
{
	static const struct {
		struct str in;
		const char *codes;
	} table[] = {
		{ STR("NO\0OP\r\n"), "500" },
		{ STR("MAIL FROM:<a\x01@else.org>\r\n"), "500" },
		{ STR("MAIL FROM:<a\r@else.org>\r\n"), "500" },
		{ STR("MAIL FROM:<\xc3\xa4@else.org>\r\n"), "553" },
		{ STR("MAIL FROM:<\xff@else.org>\r\n"), "501" },
		{ STR("MAIL FROM:<a@else.org\r\n"), "501" },
		{ STR("MAIL FROM:a@else.org\r\n"), "501" },
		{ STR("MAIL FROM:<a@-else.org>\r\n"), "501" },
		{ STR("MAIL FROM:<\"a\\@else.org>\r\n"), "501" },
		{ STR("MAIL FROM:<a@else.org>x\r\n"), "501" },
		{ STR("MAIL FROM:<a@else.org> SMTPUTF8=1\r\n"), "501" },
		{ STR("MAIL FROM:<a@else.org> BODY=BINARYMIME BODY=7BIT\r\n"), "501" },
		{ STR("MAIL FROM:<a@else.org> RET=BODY\r\n"), "501" },
		{ STR("MAIL TO:<a@else.org>\r\n"), "501" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b;
		buf_init(&b, 256);
		buf_addf(&b, "220 250 %s 503", table[i].codes);
		fakes_start(mx_options);
		fakes_connect_mx(OUTSIDE);
		fakes_send(STR("EHLO c\r\n"), 0);
		fakes_send(table[i].in, 0);
		fakes_send(STR("RCPT TO:<known@ok.org>\r\n"), 0);
		expect(buf_z(&b), table[i].in.p);
		fakes_stop();
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relay_matrix),
		cmocka_unit_test(test_return_addresses),
		cmocka_unit_test_setup_teardown(test_mx_header, setup, teardown),
		cmocka_unit_test(test_network_of_ours),
		cmocka_unit_test_setup_teardown(test_postmaster, setup, teardown),
		cmocka_unit_test(test_postmaster_without_domain),
		cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
		cmocka_unit_test(test_smuggling),
		cmocka_unit_test(test_smuggling_bdat),
		cmocka_unit_test(test_desync),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_early_talkers),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_rates_of_addresses),
		cmocka_unit_test(test_connections_of_a_place),
		cmocka_unit_test(test_rates_of_errors),
		cmocka_unit_test(test_rates_of_users),
		cmocka_unit_test_setup_teardown(test_floods, setup, teardown),
		cmocka_unit_test(test_bad_commands),
		cmocka_unit_test(test_proxy_headers),
		cmocka_unit_test(test_proxy_sessions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
