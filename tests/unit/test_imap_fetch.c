/* FETCH beyond RFC 3501: BINARY, PREVIEW, OBJECTID, SAVEDATE, PARTIAL. */
#define PROGRAM "fetch"
#include "imap_case.h"

#include "core/base/codec.h"
#include "imap/session/objectid.h"

/* Parts: 1 text, quoted-printable; 2 base64 with a NUL; 3 unknown encoding; 4 message/rfc822 with
 * a base64 body; 5 empty base64; 6 base64 with noise. */
static const char parts[] =
	"From: a@example.org\r\nSubject: parts\r\nMIME-Version: 1.0\r\n"
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
	"Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 =\r\nau lait\r\n"
	"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	"AAECAwQFBgcICQ==\r\n"
	"--b\r\nContent-Type: application/x-y\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n"
	"begin\r\n"
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\nMIME-Version: 1.0\r\n"
	"Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n"
	"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	"SG*Vs bG8\r\n--b--\r\n";

static void
put_parts(void)
{
	append(c, "INBOX", "()", parts);
	EXPECT(c, "OK", "SELECT INBOX");
}

static bool
said_octets(const void *p, size_t n)
{
	return str_find(buf_str(&c->in), str_n(p, n)) < c->in.n;
}

#define SAID_OCTETS(s) assert_true(said_octets(s, sizeof s - 1))

/* What n octets of a literal8 "name ~{n}" are. */
static struct str
literal_of(const char *name, size_t n)
{
	char head[100];
	struct str in = buf_str(&c->in);

	(void)snprintf(head, sizeof head, "%s ~{%zu}\r\n", name, n);
	size_t at = str_find(in, str_of(head));

	if (at == in.n)
		(void)snprintf(head, sizeof head, "%s {%zu}\r\n", name, n);
	at = str_find(in, str_of(head));
	if (at == in.n) {
		print_error("no %s of %zu octets in %.400s\n", name, n, in.p);
		fail();
	}
	return str_sub(in, at + strlen(head), n);
}

static void
binary(void **state)
{
	(void)state;
	RAN();
	put_parts();
	EXPECT(c, "OK", "FETCH 1 (UID BINARY.PEEK[1] FLAGS)");
	SAID(c, "* 1 FETCH (UID 1 FLAGS (\\Recent) BINARY[1] {13}\r\ncaf\xc3\xa9 au lait)\r\n");
	EXPECT(c, "OK", "FETCH 1 BINARY.PEEK[2]");
	SAID_OCTETS("(BINARY[2] ~{10}\r\n\0\1\2\3\4\5\6\7\10\11)\r\n");
	EXPECT(c, "OK", "FETCH 1 (BINARY.SIZE[1] BINARY.SIZE[2] BINARY.SIZE[5] BINARY.SIZE[9])");
	SAID(c, "(BINARY.SIZE[1] 13 BINARY.SIZE[2] 10 BINARY.SIZE[5] 0 BINARY.SIZE[9] 0)\r\n");
	/* a range counts decoded octets; without the NUL it is a plain literal */
	EXPECT(c, "OK", "FETCH 1 (BINARY.PEEK[2]<3.4> BINARY.PEEK[2]<9.5> BINARY.PEEK[2]<10.5>)");
	SAID(c, "BINARY[2]<3> {4}\r\n\3\4\5\6 BINARY[2]<9> {1}\r\n\11 BINARY[2]<10> {0}\r\n)");
	EXPECT(c, "OK", "FETCH 1 (BINARY.PEEK[5] BINARY.PEEK[6] BINARY.PEEK[9])");
	SAID(c, "BINARY[5] {0}\r\n BINARY[6] {5}\r\nHello BINARY[9] NIL)");
	/* an enclosed message is not encoded, its body is */
	EXPECT(c, "OK", "FETCH 1 (BINARY.PEEK[4] BINARY.PEEK[4.1])");
	SAID(c, "Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8= BINARY[4.1] {5}\r\nHello)");
	EXPECT(c, "OK", "FETCH 1 BINARY.PEEK[]");
	assert_true(str_eq(literal_of("BINARY[]", strlen(parts)), str_of(parts)));
	SILENT(c, "\\Seen");
	EXPECT(c, "OK", "FETCH 1 BINARY[1]");
	SAID(c, "(FLAGS (\\Seen \\Recent) BINARY[1]");
}

static void
test_binary_refusals(void **state)
{
	(void)state;
	put_parts();
	EXPECT(c, "NO [UNKNOWN-CTE]", "FETCH 1 BINARY.PEEK[3]");
	SILENT(c, "FETCH (");
	EXPECT(c, "NO [UNKNOWN-CTE]", "FETCH 1 (UID BINARY.SIZE[3] BINARY.SIZE[1])");
	SAID(c, "(UID 1 BINARY.SIZE[1] 13)");
	EXPECT(c, "OK", "FETCH 1 BODY.PEEK[3]");
	SAID(c, "{5}\r\nbegin)");
	static const char *const bad[] = { "BINARY", "BINARY.PEEK", "BINARY.SIZE", "BINARY[TEXT]",
		"BINARY[1.MIME]", "BINARY[1.]", "BINARY[0]", "BINARY.SIZE[1]<0.3>",
		"BINARY[1]<0.0>", "BINARY[1", "BINARY[HEADER.FIELDS (A)]" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		EXPECT(c, "BAD", "FETCH 1 %s", bad[i]);
	EXPECT(c, "OK", "ENABLE UIDONLY");
	EXPECT(c, "OK", "UID FETCH 1 (BINARY.PEEK[1] UID)");
	SAID(c, "* 1 UIDFETCH (UID 1 BINARY[1] {13}\r\n");
	EXPECT(c, "OK", "UID FETCH 1 BINARY.SIZE[1]");
	SAID(c, "* 1 UIDFETCH (BINARY.SIZE[1] 13)\r\n");
	EXPECT(c, "NO [UNKNOWN-CTE]", "UID FETCH 1 BINARY.PEEK[3]");
	SILENT(c, "UIDFETCH");
}

/* Larger than a step and than the session's buffers: by the whole, in ranges in order and not, two
 * at once, and beside another session. */
enum { LARGE_BYTES = 3 * 1024 * 1024 };

static void
put_large(struct buf *plain)
{
	struct buf msg, text;
	uint32_t x = 12345;

	buf_init(plain, LARGE_BYTES);
	buf_init(&text, 2 * LARGE_BYTES);
	buf_init(&msg, 3 * LARGE_BYTES);
	for (size_t i = 0; i < LARGE_BYTES; i++) {
		x = x * 1103515245 + 12345;
		buf_addc(plain, (char)(x >> 16));
	}
	base64_encode(&text, buf_str(plain));
	buf_addz(&msg, "MIME-Version: 1.0\r\nContent-Type: application/zip\r\n"
		       "Content-Transfer-Encoding: base64\r\n\r\n");
	for (struct str rest = buf_str(&text); rest.n != 0; rest = str_from(rest, 76)) {
		buf_add(&msg, str_sub(rest, 0, 76));
		buf_addz(&msg, "\r\n");
	}
	char line[64];
	(void)snprintf(line, sizeof line, "a APPEND INBOX {%zu+}\r\n", msg.n);
	client_sendz(c, line);
	client_send(c, buf_str(&msg));
	client_sendz(c, "\r\n");
	assert_true(client_await(c, "a OK", false, CLIENT_WAIT_MS));
	buf_fini(&msg);
	buf_fini(&text);
}

static void
test_binary_large(void **state)
{
	struct buf plain;

	(void)state;
	put_large(&plain);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1] UID BINARY.PEEK[1]<5.7>)");
	SAID(c, "(UID 1 BINARY.SIZE[1] 3145728 BINARY[1] ~{");
	assert_true(str_eq(literal_of("BINARY[1]", LARGE_BYTES), buf_str(&plain)));
	assert_true(str_eq(literal_of("BINARY[1]<5>", 7), str_sub(buf_str(&plain), 5, 7)));
	static const uint64_t ranges[][2] = { { 0, 100000 }, { 100000, 100000 }, { 200000, 1 },
		{ 200001, 65536 }, { 3000000, 1000000 }, { 50, 50 }, { 3145727, 10 },
		{ 3145728, 10 }, { 1000000, 300000 }, { 4294967295, 1 } };

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		uint64_t off = ranges[i][0], n = ranges[i][1];
		char name[64];
		struct str want = str_sub(buf_str(&plain), off, n);

		(void)snprintf(name, sizeof name, "BINARY[1]<%u>", (unsigned)off);
		EXPECT(c, "OK", "FETCH 1 BINARY.PEEK[1]<%u.%u>", (unsigned)off, (unsigned)n);
		assert_true(str_eq(literal_of(name, want.n), want));
	}
	buf_fini(&plain);
}

static void
append_binary(struct str msg)
{
	char line[64];

	(void)snprintf(line, sizeof line, "b APPEND INBOX ~{%zu+}\r\n", msg.n);
	client_sendz(c, line);
	client_send(c, msg);
	client_sendz(c, "\r\n");
	assert_true(client_await(c, "b OK", false, CLIENT_WAIT_MS));
}

static const char binary_parts[] =
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	"--b\r\nContent-Transfer-Encoding: binary\r\nContent-Type: image/png\r\n\r\n"
	"\0PNG\r\n\n\r\xff\r\n"
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\nMIME-Version: 1.0\r\n"
	"content-transfer-encoding:\r\n BINARY\r\nX: y\r\n\r\n\1\0\2\r\n"
	"--b\r\nContent-Transfer-Encoding: binary\r\n\r\nno NUL \xe9\r\n"
	"--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nwrong\r\n--b--\r\n";

/* What holds NUL is base64 to those who ask for BODY: RFC 3516 4.2, RFC 9051 4.3.1. */
static void
test_binary_appended(void **state)
{
	(void)state;
	append_binary(str_n(binary_parts, sizeof binary_parts - 1));
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "FETCH 1 (BODY.PEEK[1.MIME] BODY.PEEK[1] BODY.PEEK[2])");
	SAID(c, "{62}\r\nContent-Transfer-Encoding: base64\r\nContent-Type: image/png\r\n\r\n ");
	SAID(c, "BODY[1] {12}\r\nAFBORw0KCg3/ BODY[2] {");
	SAID(c, "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\nX: y\r\n\r\nAQAC)");
	EXPECT(c, "OK", "FETCH 1 BINARY.PEEK[1]");
	SAID_OCTETS("BINARY[1] ~{9}\r\n\0PNG\r\n\n\r\xff)");
	EXPECT(c, "OK", "FETCH 1 (BINARY.SIZE[1] BINARY.SIZE[2.1] BINARY.PEEK[2.1])");
	SAID_OCTETS("BINARY.SIZE[1] 9 BINARY.SIZE[2.1] 3 BINARY[2.1] ~{3}\r\n\1\0\2)");
	EXPECT(c, "OK", "FETCH 1 (BODY.PEEK[3] BODY.PEEK[4])");
	SAID(c, "BODY[3] {8}\r\nno NUL \xe9 BODY[4] {5}\r\nwrong)");
	EXPECT(c, "OK", "FETCH 1 (BODYSTRUCTURE)");
	SAID(c, "(\"image\" \"png\" NIL NIL NIL \"base64\" 12");
	EXPECT(c, "OK", "FETCH 1 (RFC822.SIZE BODY.PEEK[])");
	struct str in = buf_str(&c->in);

	assert_false(str_has_nul(in));
	/* no binary part: as it is */
	append_binary(str_n("A: 1\r\n\r\n\0\r\n", 11));
	EXPECT(c, "OK", "FETCH 2 BODY.PEEK[]");
	SAID_OCTETS("BODY[] {11}\r\nA: 1\r\n\r\n\0\r\n)");
}

/* Through a file, and larger than memory holds of it. */
static void
test_binary_appended_large(void **state)
{
	static const char head[] = "MIME-Version: 1.0\r\nContent-Type: application/zip\r\n"
				   "Content-Transfer-Encoding: binary\r\n\r\n";
	struct buf msg;
	uint32_t x = 99;

	(void)state;
	buf_init(&msg, 3 * LARGE_BYTES);
	buf_addz(&msg, head);
	for (size_t i = 0; i < LARGE_BYTES; i++) {
		x = x * 1103515245 + 12345;
		buf_addc(&msg, (char)(x >> 16));
	}
	append_binary(buf_str(&msg));
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "FETCH 1 BODY.PEEK[1]");
	SAID(c, "BODY[1] {4304680}\r\n");
	assert_false(str_has_nul(buf_str(&c->in)));
	EXPECT(c, "OK", "FETCH 1 BINARY.PEEK[1]");
	assert_true(str_eq(
		literal_of("BINARY[1]", LARGE_BYTES), str_from(buf_str(&msg), sizeof head - 1)));
	buf_fini(&msg);
}

/* One who reads slowly, and goes in the middle. */
static void
test_binary_vanishes(void **state)
{
	struct client *other = second();
	struct buf plain;

	(void)state;
	put_large(&plain);
	EXPECT(other, "OK", "SELECT INBOX");
	loop_io_set(&other->io, 0);
	client_sendz(other, "x FETCH 1 BINARY.PEEK[1]\r\n");
	client_rest(c, 50);
	EXPECT(c, "OK", "NOOP");
	client_free(other);
	client_rest(c, 50);
	EXPECT(c, "OK", "NOOP");
	buf_fini(&plain);
}

static void
savedate(void **state)
{
	char before[64], after[64];

	(void)state;
	RAN();
	two_messages();
	EXPECT(c, "OK", "CREATE Copies");
	EXPECT(c, "OK", "FETCH 2 (INTERNALDATE SAVEDATE)");
	SAID(c, "INTERNALDATE \"20-Nov-2020 09:00:00 +0100\" SAVEDATE \"");
	SILENT(c, "SAVEDATE \"20-Nov-2020");
	SAID(c, " +0000\")");
	struct str in = buf_str(&c->in);

	(void)snprintf(before, sizeof before, "%.28s",
		in.p + str_find(in, STR("SAVEDATE ")) + strlen("SAVEDATE "));
	client_rest(c, 1100);
	EXPECT(c, "OK", "COPY 2 Copies");
	EXPECT(c, "OK", "FETCH 2 SAVEDATE");
	SAID(c, before);
	EXPECT(c, "OK", "SELECT Copies");
	EXPECT(c, "OK", "FETCH 1 (INTERNALDATE SAVEDATE)");
	SAID(c, "INTERNALDATE \"20-Nov-2020 09:00:00 +0100\"");
	in = buf_str(&c->in);
	(void)snprintf(after, sizeof after, "%.28s",
		in.p + str_find(in, STR("SAVEDATE ")) + strlen("SAVEDATE "));
	assert_string_not_equal(before, after);
}

/* The ends of what a date can say, and the leap second behind them. */
static void
test_dates_at_the_ends(void **state)
{
	static const struct {
		const char *given, *said;
	} dates[] = {
		{ "01-Jan-0000 00:00:00 +1400", "01-Jan-0000 00:00:00 +1400" },
		{ "31-Dec-9999 23:59:59 -1200", "31-Dec-9999 23:59:59 -1200" },
		{ "31-Dec-9999 23:59:60 -1200", "31-Dec-9999 23:59:59 -1200" },
		{ "31-Dec-9999 23:59:60 +0000", "31-Dec-9999 23:59:59 +0000" },
	};
	char line[80];

	(void)state;
	EXPECT(c, "OK", "CREATE Dates");
	EXPECT(c, "OK", "SELECT Dates");
	for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
		EXPECT(c, "OK", "APPEND Dates \"%s\" {5+}\r\nA: b\n", dates[i].given);
		EXPECT(c, "OK", "FETCH * (INTERNALDATE)");
		(void)snprintf(line, sizeof line, "(INTERNALDATE \"%s\")", dates[i].said);
		SAID(c, line);
		EXPECT(c, "OK", "FETCH * (INTERNALDATE SAVEDATE)");
		(void)snprintf(line, sizeof line, "(INTERNALDATE \"%s\" SAVE", dates[i].said);
		SAID(c, line);
	}
}

/* "EMAILID (M...)" of the answer. */
static void
id_of(const char *item, char out[32])
{
	struct str in = buf_str(&c->in);
	size_t at = str_find(in, str_of(item));

	assert_true(at < in.n);
	struct str rest = str_from(in, at + strlen(item));

	(void)snprintf(out, 32, "%.*s", (int)str_chr(rest, ')'), rest.p);
}

static void
objectid(void **state)
{
	char email[32], again[32], thread[32], box[32], created[32];
	uint64_t n;

	(void)state;
	RAN();
	two_messages();
	SAID(c, "* OK [MAILBOXID (F");
	id_of("MAILBOXID (", box);
	EXPECT(c, "OK", "STATUS INBOX (MAILBOXID)");
	SAID(c, "(MAILBOXID (F");
	id_of("MAILBOXID (", again);
	assert_string_equal(box, again);
	EXPECT(c, "OK [MAILBOXID (F", "CREATE Kept");
	id_of("MAILBOXID (", created);
	assert_string_not_equal(box, created);
	EXPECT(c, "OK", "FETCH 1:2 (EMAILID THREADID)");
	id_of("1 FETCH (EMAILID (", email);
	id_of("2 FETCH (EMAILID (", again);
	assert_string_not_equal(email, again);
	assert_true(objectid_parse(str_of(email), OBJECT_EMAIL, &n));
	assert_false(objectid_parse(str_of(email), OBJECT_THREAD, &n));
	id_of("THREADID (", thread);
	assert_true(objectid_parse(str_of(thread), OBJECT_THREAD, &n));
	EXPECT(c, "OK", "COPY 1 Kept");
	EXPECT(c, "OK", "MOVE 1 Kept");
	EXPECT(c, "OK", "RENAME Kept Moved");
	EXPECT(c, "OK", "SELECT Moved");
	id_of("MAILBOXID (", again);
	assert_string_equal(created, again);
	EXPECT(c, "OK", "FETCH 1:2 (EMAILID THREADID)");
	id_of("1 FETCH (EMAILID (", again);
	assert_string_equal(email, again);
	id_of("2 FETCH (EMAILID (", again);
	assert_string_equal(email, again);
	EXPECT(c, "OK", "LIST \"\" Moved RETURN (STATUS (MAILBOXID MESSAGES))");
	SAID(c, "* STATUS \"Moved\" (MESSAGES 2 MAILBOXID (F");
	id_of("MAILBOXID (", again);
	assert_string_equal(created, again);
	EXPECT(c, "OK", "EXAMINE INBOX");
	id_of("MAILBOXID (", again);
	assert_string_equal(box, again);
	/* what was in INBOX is elsewhere, INBOX is what it was: RFC 8474 4.1 */
	EXPECT(c, "OK", "RENAME INBOX Old");
	EXPECT(c, "OK", "STATUS INBOX (MAILBOXID)");
	id_of("MAILBOXID (", again);
	assert_string_equal(box, again);
	EXPECT(c, "OK", "STATUS Old (MAILBOXID)");
	id_of("MAILBOXID (", again);
	assert_string_not_equal(box, again);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "DELETE Moved");
	EXPECT(c, "OK [MAILBOXID (F", "CREATE Moved");
	id_of("MAILBOXID (", again);
	assert_string_not_equal(created, again);
}

static void
test_objectid_search(void **state)
{
	char email[32], thread[32];

	(void)state;
	two_messages();
	append(c, "INBOX", "()", "In-Reply-To: <1@example.org>\r\n\r\nx\r\n");
	EXPECT(c, "OK", "COPY 1 INBOX");
	EXPECT(c, "OK", "FETCH 1 (EMAILID THREADID)");
	id_of("1 FETCH (EMAILID (", email);
	id_of("THREADID (", thread);
	EXPECT(c, "OK", "SEARCH EMAILID %s", email);
	SAID(c, "* SEARCH 1 4\r\n");
	EXPECT(c, "OK", "UID SEARCH RETURN (ALL) THREADID %s", thread);
	SAID(c, "UID ALL 1,3:4\r\n");
	EXPECT(c, "OK", "SEARCH THREADID %s NOT emailid %s", thread, email);
	SAID(c, "* SEARCH 3\r\n");
	EXPECT(c, "OK", "SORT (SIZE) UTF-8 THREADID %s", thread);
	SAID(c, "* SORT 3 1 4\r\n");
	/* ids of nothing, of something else, and what no id looks like */
	static const char *const none[] = { "x", "M0", "M00000000000000001", "M0000000000000000",
		"T0000000000000000", "M000000000000000g", "-", "_" };

	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		EXPECT(c, "OK", "SEARCH OR EMAILID %s THREADID %s", none[i], none[i]);
		SAID(c, "* SEARCH\r\n");
	}
	EXPECT(c, "OK", "SEARCH OR EMAILID %s THREADID %s", thread, email);
	SAID(c, "* SEARCH\r\n");
	EXPECT(c, "OK", "SEARCH EMAILID %0255d", 0);
	static const char *const bad[] = { "", " ", "a.b", "\"a\"", "(M0)", "{1+}\r\na", "a]" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT(c, "BAD", "SEARCH EMAILID %s", bad[i]);
		EXPECT(c, "BAD", "SEARCH THREADID %s", bad[i]);
	}
	EXPECT(c, "BAD", "SEARCH EMAILID %0256d", 0);
}

/* Threads: by reference, by reply, answered before it came, a loose one, and a long list. */
static void
test_threads(void **state)
{
	static const struct {
		const char *id, *reply, *references;
		unsigned same_as; /* the message whose thread it joins; itself: a new one */
	} table[] = {
		{ "<a@x>", "", "", 1 },
		{ "<b@x>", "<a@x>", "", 1 },
		{ "<c@x>", "", "<gone@x> <b@x>", 1 },
		{ "<d@x>", "<unknown@x>", "", 4 },
		{ "<e@x>", "", "<unknown@x>", 4 },
		{ "<unknown@x>", "", "", 4 },
		{ "", "", "", 7 },
		{ "", "", "", 8 },
		{ "<f@x>", "<gone@x>", "", 1 },
		{ "<a@x>", "", "", 1 },
		{ "<g@x>", "<d@x>", "<zz@x>", 4 },
		{ "not an id", "neither", "", 12 },
	};
	char ids[ARRAY_LEN(table)][32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char msg[400];

		(void)snprintf(msg, sizeof msg,
			"Message-ID: %s\r\nIn-Reply-To: %s\r\nReferences: %s\r\n\r\nx\r\n",
			table[i].id, table[i].reply, table[i].references);
		append(c, "INBOX", "()", msg);
	}
	EXPECT(c, "OK", "SELECT INBOX");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		EXPECT(c, "OK", "FETCH %zu THREADID", i + 1);
		id_of("THREADID (", ids[i]);
		for (size_t k = 0; k < i; k++)
			if ((strcmp(ids[i], ids[k]) == 0) != (table[i].same_as == table[k].same_as))
				fail_msg("messages %zu and %zu", i + 1, k + 1);
	}
}

static void
test_threads_long(void **state)
{
	char first[32], again[32];
	struct buf msg;

	(void)state;
	append(c, "INBOX", "()", "Message-ID: <0@x>\r\n\r\nx\r\n");
	append(c, "INBOX", "()", "Message-ID: <999@x>\r\nIn-Reply-To: <0@x>\r\n\r\nx\r\n");
	buf_init(&msg, 1024 * 1024);
	buf_addz(&msg, "References:");
	for (int i = 0; i < 2000; i++)
		buf_addf(&msg, " <%d@x>", i);
	buf_addz(&msg, "\r\nMessage-ID: <last@x>\r\n\r\nx\r\n");
	append(c, "INBOX", "()", buf_z(&msg));
	append(c, "INBOX", "()", "Message-ID: <y@x>\r\nIn-Reply-To: <1999@x>\r\n\r\nx\r\n");
	append(c, "INBOX", "()", "Message-ID: <z@x>\r\nIn-Reply-To: <1000@x>\r\n\r\nx\r\n");
	buf_fini(&msg);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "FETCH 1 THREADID");
	id_of("THREADID (", first);
	for (int i = 2; i <= 5; i++) {
		EXPECT(c, "OK", "FETCH %d THREADID", i);
		id_of("THREADID (", again);
		/* what stands in the middle of a long list is not kept */
		assert_int_equal(strcmp(first, again) == 0, i != 5);
	}
}

static void
preview(void **state)
{
	(void)state;
	RAN();
	two_messages();
	EXPECT(c, "OK", "FETCH 1 PREVIEW");
	SAID(c, "* 1 FETCH (PREVIEW \"See you at noon.\")\r\n");
	EXPECT(c, "OK", "FETCH 1:2 (PREVIEW (LAZY) UID)");
	SAID(c, "* 2 FETCH (PREVIEW \"Pasta\" UID 2)\r\n");
	EXPECT(c, "OK", "UID FETCH 1 PREVIEW (LAZY) (PARTIAL 1:1)");
	SAID(c, "PREVIEW \"See");
	EXPECT(c, "OK", "UID FETCH 1 PREVIEW (PARTIAL 1:1)");
	SAID(c, "PREVIEW \"See");
	EXPECT(c, "BAD", "FETCH 1 (PREVIEW (EAGER))");
	EXPECT(c, "BAD", "FETCH 1 (PREVIEW (LAZY)");
	put_parts();
	EXPECT(c, "OK", "FETCH 3 PREVIEW");
	SAID(c, "(PREVIEW {13}\r\ncaf\xc3\xa9 au lait)\r\n");
	append(c, "INBOX", "()", "Subject: x\r\n\r\nsay \"hi\" \\ there\r\n");
	append(c, "INBOX", "()", "Subject: nothing\r\n\r\n");
	EXPECT(c, "OK", "FETCH 4:5 PREVIEW");
	SAID(c, "4 FETCH (PREVIEW \"say \\\"hi\\\" \\\\ there\")");
	SAID(c, "5 FETCH (PREVIEW \"\")");
	SILENT(c, "\\Seen");
}

static void
partial(void **state)
{
	static const struct {
		const char *set, *range, *uids; /* those that are said, in order */
	} table[] = {
		{ "1:*", "1:3", "1 2 4 " },
		{ "1:*", "3:1", "1 2 4 " },
		{ "1:*", "-1:-2", "7 8 " },
		{ "1:*", "-2:-3", "6 7 " },
		{ "1:*", "2:2", "2 " },
		{ "1:*", "-100:-6", "1 " },
		{ "1:*", "7:9", "" },
		{ "1:*", "-7:-9", "" },
		{ "1:*", "1:4294967295", "1 2 4 6 7 8 " },
		{ "2:6", "-1:-2", "4 6 " },
		{ "2,4,8", "2:3", "4 8 " },
		{ "100:200", "1:3", "" },
	};

	(void)state;
	RAN();
	for (int i = 0; i < 8; i++)
		append(c, "INBOX", "()", mail1);
	EXPECT(c, "OK", "SELECT INBOX");
	EXPECT(c, "OK", "STORE 3,5 +FLAGS.SILENT (\\Deleted)");
	EXPECT(c, "OK", "EXPUNGE");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char got[100] = "";

		EXPECT(c, "OK", "UID FETCH %s (FLAGS) (PARTIAL %s)", table[i].set, table[i].range);
		for (int uid = 1; uid <= 8; uid++) {
			char want[32];

			(void)snprintf(want, sizeof want, "FETCH (UID %d FLAGS", uid);
			if (said(c, want))
				(void)snprintf(got + strlen(got), 8, "%d ", uid);
		}
		assert_string_equal(got, table[i].uids);
	}
	/* \Seen is set on those that are said alone */
	EXPECT(c, "OK", "UID FETCH 1:* BODY[TEXT] (PARTIAL -1:-1)");
	EXPECT(c, "OK", "UID SEARCH SEEN");
	SAID(c, "* SEARCH 8\r\n");
	static const char *const bad[] = { "0:1", "1:0", "1", "-1:2", "1:-2", "1:*", ":", "a:b",
		"" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		EXPECT(c, "BAD", "UID FETCH 1:* FLAGS (PARTIAL %s)", bad[i]);
	EXPECT(c, "BAD", "UID FETCH 1:* FLAGS (PARTIAL 1:2 PARTIAL 1:2)");
	EXPECT(c, "BAD", "UID FETCH 1:* FLAGS (UNKNOWN 1:2)");
	EXPECT(c, "BAD", "UID FETCH 1:* FLAGS ()");
	EXPECT(c, "BAD", "FETCH 1:* FLAGS (PARTIAL 1:2)");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(binary),
		TEST(test_binary_refusals),
		TEST(test_binary_large),
		TEST(test_binary_vanishes),
		TEST(test_binary_appended),
		TEST(test_binary_appended_large),
		TEST(savedate),
		TEST(objectid),
		TEST(test_dates_at_the_ends),
		TEST(test_objectid_search),
		TEST(test_threads),
		TEST(test_threads_long),
		TEST(preview),
		TEST(partial),
		cmocka_unit_test(test_every_capability_was_tested),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
