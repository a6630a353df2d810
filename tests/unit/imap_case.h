#ifndef POSTROOM_TESTS_IMAP_CASE_H
#define POSTROOM_TESTS_IMAP_CASE_H

/* What the tests/unit/test_imap_<PROGRAM>.c share: one worker, a fresh user and client for each
 * test, and the last test, which fails when a capability that names this program was not tested.
 * Define PROGRAM before. A test of a capability has the name that imap_capabilities gives and
 * begins with RAN(). */
#include "imap_client.h"

static struct world w;
static struct client *c;

static const char *ran[64];
static size_t ran_count;

#define RAN() (ran[ran_count++] = __func__)

static const char mail1[] = "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.org>\r\n"
			    "Subject: Lunch plans\r\nDate: Sat, 21 Nov 2026 08:00:00 +0100\r\n"
			    "Message-ID: <1@example.org>\r\nX-Odd: yes\r\n\r\nSee you at noon.\r\n";
static const char mail2[] =
	"From: Bob <bob@example.org>\r\nTo: Ann <ann@example.org>\r\nSubject: Re: Lunch plans\r\n"
	"Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nMIME-Version: 1.0\r\n"
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
	"Pasta\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\n\r\nInner text\r\n"
	"--b--\r\n";

static inline int
each_setup(void **state)
{
	char name[32];

	(void)state;
	(void)snprintf(name, sizeof name, "user%u", ++w.homes);
	c = client_login(&w, name, STR_EMPTY);
	return 0;
}

static inline int
each_teardown(void **state)
{
	(void)state;
	client_free(c);
	return 0;
}

static inline struct client *
second(void)
{
	char name[32];

	(void)snprintf(name, sizeof name, "user%u", w.homes);
	return client_login(&w, name, STR_EMPTY);
}

static inline void
two_messages(void)
{
	append(c, "INBOX", "()", mail1);
	append(c, "INBOX", "(\\Flagged $Junk) \"20-Nov-2020 09:00:00 +0100\"", mail2);
	EXPECT(c, "OK [READ-WRITE]", "SELECT INBOX");
}

static inline void
test_every_capability_was_tested(void **state)
{
	(void)state;
	for (const struct capability *cap = imap_capabilities; cap->token != NULL; cap++) {
		bool found = strcmp(cap->program, PROGRAM) != 0;

		for (size_t i = 0; i < ran_count; i++)
			found = found || strcmp(ran[i], cap->test) == 0;
		if (!found)
			print_error("%s is advertised, but its test %s did not run\n", cap->token,
				cap->test);
		assert_true(found);
	}
}

static inline int
group_setup(void **state)
{
	(void)state;
	world_start(&w);
	return 0;
}

static inline int
group_teardown(void **state)
{
	(void)state;
	world_stop(&w);
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, each_setup, each_teardown)

#endif
