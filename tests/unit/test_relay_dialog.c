/* delivery/remote: replies, line ends and dots, and the SMTP client's state machine as a table of
 * dialogs: each runs whole and octet by octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/xalloc.h"
#include "delivery/remote/dialog.h"
#include "delivery/remote/lines.h"

#define EHLO	   "S:220 mx.example.net ESMTP\r\n", "C:EHLO relay.example.org\r\n"
#define PLAIN_EHLO EHLO, "S:250 mx.example.net\r\n"
#define FULL_EHLO                                                                   \
	EHLO, "S:250-mx.example.net hello\r\n250-PIPELINING\r\n250-SIZE 100000\r\n" \
	      "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 HELP\r\n"
#define CHUNK_EHLO \
	EHLO, "S:250-mx.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
#define MAIL "MAIL FROM:<anna@example.org>"

struct sasl_script {
	const char *mechanism;
	struct str first; /* p NULL: none */
	const char *challenge, *response;
	bool refuses;	 /* knows no mechanism */
	bool incomplete; /* the server proved nothing */
};

struct talk {
	const char *name;
	enum dialog_tls tls;
	const struct sasl_script *sasl;
	bool no_chunking, no_pipelining;
	unsigned flags;
	uint64_t size; /* claimed; 0: the body's */
	const char *rcpts[3];
	const char *sender;
	bool dsn;
	const char *body;
	bool damaged;
	bool at_once; /* what the server says must come in one go */
	/* "S:" the server says, "C:" must have been written since, "TLS" the hand-shake ends,
	 * "LOST" the connection does */
	const char *lines[24];
	const char *results; /* "0=250/2.0.0 1=550/5.1.1+" (+: DSN passed) */
	const char *end;     /* "ready", "over" and why, "?" behind it: unsure */
};

static const struct sasl_script plain = { .mechanism = "PLAIN", .first = { "\0u\0p", 4 } };
static const struct sasl_script empty_first = { .mechanism = "EXTERNAL", .first = { "", 0 } };
static const struct sasl_script login = {
	.mechanism = "LOGIN", .challenge = "Username:", .response = "u"
};
static const struct sasl_script none_fits = { .refuses = true };
static const struct sasl_script no_proof = {
	.mechanism = "PLAIN", .first = { "x", 1 }, .incomplete = true
};

#define TLS_EHLO EHLO, "S:250-mx.example.net\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"

static const struct talk talks[] = {
	{ .name = "no extensions, one after the other",
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:250 ok\r\n",
			"C:RCPT TO:<a@example.net>\r\n", "S:250 ok\r\n",
			"C:RCPT TO:<b@example.net>\r\n", "S:550 5.1.1 nobody\r\n", "C:DATA\r\n",
			"S:354 go\r\n", "C:Subject: x\r\n\r\n..dot\r\n.\r\n",
			"S:250 2.6.0 taken\r\n" },
		.rcpts = { "a@example.net", "b@example.net" },
		.body = "Subject: x\r\n\r\n.dot\r\n",
		.results = "1=550/5.1.1 0=250/2.6.0",
		.end = "ready" },
	{ .name = "pipelined, with size and DSN",
		.lines = { FULL_EHLO,
			"C:" MAIL " SIZE=3 RET=HDRS ENVID=QQ1\r\n"
			"RCPT TO:<a@example.net> NOTIFY=SUCCESS,FAILURE "
			"ORCPT=rfc822;A@x\r\nDATA\r\n",
			"S:250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n", "C:x\r\n.\r\n",
			"S:250 2.0.0 queued as 1\r\n" },
		.rcpts = { "a@example.net" },
		.dsn = true,
		.body = "x\r\n",
		.results = "0=250/2.0.0+",
		.end = "ready" },
	{ .name = "DSN to a server without it is not passed",
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:250 ok\r\n",
			"C:RCPT TO:<a@example.net>\r\n", "S:250 ok\r\n", "C:DATA\r\n", "S:354\r\n",
			"C:x\r\n.\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.dsn = true,
		.body = "x\r\n",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "bounce with empty sender",
		.lines = { PLAIN_EHLO, "C:MAIL FROM:<>\r\n", "S:550 5.7.1 no bounces here\r\n" },
		.sender = "",
		.rcpts = { "a@example.net", "b@example.net" },
		.results = "0=550/5.7.1 1=550/5.7.1",
		.end = "ready" },
	{ .name = "pipelined, sender refused: the other replies are read, none counts",
		.lines = { FULL_EHLO,
			"C:" MAIL
			" SIZE=3\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\n"
			"DATA\r\n",
			"S:450 4.7.1 later\r\n503 5.5.1 need MAIL\r\n503 5.5.1 need MAIL\r\n",
			"S:503 5.5.1 need RCPT\r\n", "C:RSET\r\n", "S:250 ok\r\n" },
		.rcpts = { "a@example.net", "b@example.net" },
		.body = "x\r\n",
		.results = "0=450/4.7.1 1=450/4.7.1",
		.end = "ready" },
	{ .name = "sender refused, recipients taken: not a server to talk to",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:550 5.7.1 no\r\n250 ok\r\n354 go\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=550/5.7.1",
		.end = "over 1" },
	{ .name = "sender refused and 354: nothing is sent",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:550 5.7.1 no\r\n503 no\r\n354 go\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=550/5.7.1",
		.end = "over 1" },
	{ .name = "all recipients refused and 354: an empty message that nobody gets",
		.lines = { FULL_EHLO,
			"C:" MAIL
			" SIZE=3\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\n"
			"DATA\r\n",
			"S:250 ok\r\n550 5.1.1 a\r\n551 5.1.6 b\r\n354 go\r\n", "C:.\r\n",
			"S:250 thanks for nothing\r\n" },
		.rcpts = { "a@example.net", "b@example.net" },
		.body = "x\r\n",
		.results = "0=550/5.1.1 1=551/5.1.6",
		.end = "ready" },
	{ .name = "all recipients refused, DATA refused",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250 ok\r\n450 4.2.0 greylisted\r\n554 5.5.1 no valid recipients\r\n",
			"C:RSET\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=450/4.2.0",
		.end = "ready" },
	{ .name = "DATA refused: the accepted ones hear it",
		.lines = { FULL_EHLO,
			"C:" MAIL
			" SIZE=3\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\n"
			"DATA\r\n",
			"S:250 ok\r\n250 ok\r\n550 5.1.1 b\r\n451 4.3.0 disk\r\n", "C:RSET\r\n",
			"S:500 what\r\n" },
		.rcpts = { "a@example.net", "b@example.net" },
		.body = "x\r\n",
		.results = "1=550/5.1.1 0=451/4.3.0",
		.end = "over 1" },
	{ .name = "DATA answered with nonsense",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250 ok\r\n250 ok\r\n250 ok\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "",
		.end = "over 1" },
	{ .name = "the message refused",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250 ok\r\n250 ok\r\n354 go\r\n", "C:x\r\n.\r\n",
			"S:554-5.7.1 this is\r\n554 5.7.1 spam\r\n", "C:RSET\r\n", "S:250 ok\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=554/5.7.1",
		.end = "ready" },
	{ .name = "421 to the message is an answer",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250 ok\r\n250 ok\r\n354 go\r\n", "C:x\r\n.\r\n",
			"S:421 4.3.2 going down\r\n", "C:RSET\r\n", "LOST" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=421/4.3.2",
		.end = "over 1" },
	{ .name = "421 to RCPT ends it, nobody has a result",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250 ok\r\n421 4.7.0 too many\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "",
		.end = "over 1" },
	{ .name = "lost before the reply to the message: nobody knows",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250 ok\r\n250 ok\r\n354 go\r\n", "C:x\r\n.\r\n", "LOST" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "",
		.end = "over 1 ?" },
	{ .name = "too many recipients: the rest later",
		.lines = { FULL_EHLO,
			"C:" MAIL
			" SIZE=3\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\n"
			"DATA\r\n",
			"S:250 ok\r\n250 ok\r\n552 too many\r\n354 go\r\n", "C:x\r\n.\r\n",
			"S:250 ok\r\n" },
		.rcpts = { "a@example.net", "b@example.net" },
		.body = "x\r\n",
		.results = "1=452/4.5.3 0=250/2.0.0",
		.end = "ready" },
	{ .name = "a message that fails its sum is never ended",
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250 ok\r\n250 ok\r\n354 go\r\n", "C:x\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.damaged = true,
		.results = "",
		.end = "over 1" },
	{ .name = "bare CR and LF never leave, dots behind them are stuffed",
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:250\r\n",
			"C:RCPT TO:<a@example.net>\r\n", "S:250\r\n", "C:DATA\r\n", "S:354\r\n",
			"C:a\r\n..\r\nMAIL FROM:<evil@x>\r\n..\r\n\r\n..\r\n\r\nb\r\n.\r\n",
			"S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "a\n.\nMAIL FROM:<evil@x>\r.\r\r\n.\n\rb",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "chunks",
		.lines = { CHUNK_EHLO, "C:" MAIL "\r\nRCPT TO:<a@example.net>\r\n",
			"S:250 ok\r\n250 ok\r\n", "C:BDAT 8 LAST\r\n.\r\nx\r\n\r\n",
			"S:250 2.0.0 got it\r\n" },
		.rcpts = { "a@example.net" },
		.body = ".\nx\r\n\n",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "no chunk before somebody is accepted",
		.lines = { CHUNK_EHLO, "C:" MAIL "\r\nRCPT TO:<a@example.net>\r\n",
			"S:250 ok\r\n550 5.1.1 no\r\n", "C:RSET\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=550/5.1.1",
		.end = "ready" },
	{ .name = "a chunk refused",
		.lines = { CHUNK_EHLO, "C:" MAIL "\r\nRCPT TO:<a@example.net>\r\n",
			"S:250 ok\r\n250 ok\r\n", "C:BDAT 3 LAST\r\nx\r\n",
			"S:552 5.3.4 too big\r\n", "C:RSET\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=552/5.3.4",
		.end = "ready" },
	{ .name = "chunks lost: nobody knows",
		.lines = { CHUNK_EHLO, "C:" MAIL "\r\nRCPT TO:<a@example.net>\r\n",
			"S:250 ok\r\n250 ok\r\n", "C:BDAT 3 LAST\r\nx\r\n", "LOST" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "",
		.end = "over 1 ?" },
	{ .name = "chunks switched off",
		.no_chunking = true,
		.lines = { CHUNK_EHLO, "C:" MAIL "\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250 ok\r\n250 ok\r\n354\r\n", "C:x\r\n.\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "pipelining switched off",
		.no_pipelining = true,
		.lines = { FULL_EHLO, "C:" MAIL " SIZE=3\r\n", "S:250 ok\r\n",
			"C:RCPT TO:<a@example.net>\r\n", "S:550 5.1.1 no\r\n",
			"C:RCPT TO:<b@example.net>\r\n", "S:250 ok\r\n", "C:DATA\r\n", "S:354\r\n",
			"C:x\r\n.\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net", "b@example.net" },
		.body = "x\r\n",
		.results = "0=550/5.1.1 1=250/2.0.0",
		.end = "ready" },
	{ .name = "binary needs BINARYMIME",
		.flags = RELAY_BINARY,
		.lines = { CHUNK_EHLO },
		.rcpts = { "a@example.net" },
		.body = "x\n\0y",
		.results = "0=554/5.6.3",
		.end = "ready" },
	{ .name = "binary goes as it is",
		.flags = RELAY_BINARY,
		.no_chunking = true,
		.lines = { EHLO, "S:250-mx.example.net\r\n250-CHUNKING\r\n250 BINARYMIME\r\n",
			"C:" MAIL " BODY=BINARYMIME\r\n", "S:250\r\n",
			"C:RCPT TO:<a@example.net>\r\n", "S:250\r\n", "C:BDAT 3 LAST\r\n\n\rx",
			"S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "\n\rx",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "8-bit message to a server without 8BITMIME",
		.flags = RELAY_8BIT,
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:250\r\n",
			"C:RCPT TO:<a@example.net>\r\n", "S:250\r\n", "C:DATA\r\n", "S:354\r\n" },
		.rcpts = { "a@example.net" },
		.body = "Subject: x\r\n\r\n\xc3\xa4\r\n",
		.results = "0=554/5.6.3",
		.end = "over 1" },
	{ .name = "BODY=8BITMIME, yet 7-bit: goes",
		.flags = RELAY_8BIT,
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:250\r\n",
			"C:RCPT TO:<a@example.net>\r\n", "S:250\r\n", "C:DATA\r\n", "S:354\r\n",
			"C:x\r\n.\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "8-bit message to a server with 8BITMIME",
		.flags = RELAY_8BIT,
		.lines = { FULL_EHLO,
			"C:" MAIL " SIZE=4 BODY=8BITMIME\r\nRCPT TO:<a@example.net>\r\nDATA\r\n",
			"S:250\r\n250\r\n354\r\n", "C:\xc3\xa4\r\n.\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "\xc3\xa4\r\n",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "8-bit header to a server without SMTPUTF8",
		.flags = RELAY_8BIT | RELAY_SMTPUTF8,
		.lines = { CHUNK_EHLO, "C:" MAIL " BODY=8BITMIME\r\nRCPT TO:<a@example.net>\r\n",
			"S:250\r\n250\r\n", "C:RSET\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "Subject: \xc3\xa4\r\n\r\nx\r\n",
		.results = "0=554/5.6.9",
		.end = "ready" },
	{ .name = "UTF-8 recipient to a server without SMTPUTF8, the other goes",
		.flags = RELAY_SMTPUTF8,
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:250\r\n",
			"C:RCPT TO:<b@example.net>\r\n", "S:250\r\n", "C:DATA\r\n", "S:354\r\n",
			"C:x\r\n.\r\n", "S:250\r\n" },
		.rcpts = { "\xc3\xa4@example.net", "b@example.net" },
		.body = "x\r\n",
		.results = "0=553/5.6.7 1=250/2.0.0",
		.end = "ready" },
	{ .name = "UTF-8 sender to a server without SMTPUTF8",
		.flags = RELAY_SMTPUTF8,
		.lines = { PLAIN_EHLO },
		.sender = "\xc3\xa4@example.org",
		.rcpts = { "b@example.net" },
		.body = "x\r\n",
		.results = "0=553/5.6.7",
		.end = "ready" },
	{ .name = "SMTPUTF8",
		.flags = RELAY_SMTPUTF8,
		.lines = { FULL_EHLO,
			"C:" MAIL " SIZE=3 SMTPUTF8\r\nRCPT TO:<\xc3\xa4@example.net>\r\nDATA\r\n",
			"S:250\r\n250\r\n354\r\n", "C:x\r\n.\r\n", "S:250\r\n" },
		.rcpts = { "\xc3\xa4@example.net" },
		.body = "x\r\n",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "too large for the server",
		.size = 100001,
		.lines = { FULL_EHLO },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=552/5.3.4",
		.end = "ready" },
	{ .name = "HELO where EHLO is not known; what it lists is no promise",
		.lines = { "S:220 old\r\n", "C:EHLO relay.example.org\r\n", "S:502 what\r\n",
			"C:HELO relay.example.org\r\n", "S:250-old\r\n250 PIPELINING\r\n",
			"C:" MAIL "\r\n", "S:250\r\n", "C:RCPT TO:<a@example.net>\r\n", "S:250\r\n",
			"C:DATA\r\n", "S:354\r\n", "C:x\r\n.\r\n", "S:250\r\n" },
		.rcpts = { "a@example.net" },
		.body = "x\r\n",
		.results = "0=250/2.0.0",
		.end = "ready" },
	{ .name = "HELO is no way out when TLS is required",
		.tls = DIALOG_TLS_MUST,
		.lines = { EHLO, "S:502 what\r\n" },
		.results = "",
		.end = "over 1" },
	{ .name = "greeting 554",
		.lines = { "S:554 no mail here\r\n" },
		.results = "",
		.end = "over 1" },
	{ .name = "greeting 521",
		.lines = { "S:521 5.3.2 no mail here\r\n" },
		.results = "",
		.end = "over 2" },
	{ .name = "ourselves",
		.lines = { EHLO, "S:250 Relay.Example.org\r\n" },
		.results = "",
		.end = "over 3" },
	{ .name = "TLS, and what was said before it is forgotten",
		.tls = DIALOG_TLS_MAY,
		.lines = { EHLO, "S:250-mx.example.net\r\n250-PIPELINING\r\n250 STARTTLS\r\n",
			"C:STARTTLS\r\n", "S:220 go\r\n", "TLS", "C:EHLO relay.example.org\r\n",
			"S:250 mx.example.net\r\n", "C:" MAIL "\r\n", "S:550 5.7.1 no\r\n" },
		.rcpts = { "a@example.net" },
		.results = "0=550/5.7.1",
		.end = "ready" },
	{ .name = "injected behind STARTTLS",
		.at_once = true,
		.tls = DIALOG_TLS_MAY,
		.lines = { TLS_EHLO, "C:STARTTLS\r\n", "S:220 go\r\n250 evil\r\n" },
		.results = "",
		.end = "over 1" },
	{ .name = "STARTTLS refused, may",
		.tls = DIALOG_TLS_MAY,
		.lines = { TLS_EHLO, "C:STARTTLS\r\n", "S:454 4.7.0 not now\r\n", "C:" MAIL "\r\n",
			"S:450 4.1.1 x\r\n" },
		.rcpts = { "a@example.net" },
		.results = "0=450/4.1.1",
		.end = "ready" },
	{ .name = "STARTTLS refused, must",
		.tls = DIALOG_TLS_MUST,
		.lines = { TLS_EHLO, "C:STARTTLS\r\n", "S:454 4.7.0 not now\r\n" },
		.results = "",
		.end = "over 4" },
	{ .name = "STARTTLS not offered, must",
		.tls = DIALOG_TLS_MUST,
		.lines = { PLAIN_EHLO },
		.results = "",
		.end = "over 4" },
	{ .name = "login with PLAIN",
		.tls = DIALOG_TLS_DONE,
		.sasl = &plain,
		.lines = { TLS_EHLO, "C:AUTH PLAIN AHUAcA==\r\n", "S:235 2.7.0 ok\r\n" },
		.results = "",
		.end = "ready" },
	{ .name = "an empty first response",
		.tls = DIALOG_TLS_DONE,
		.sasl = &empty_first,
		.lines = { TLS_EHLO, "C:AUTH EXTERNAL =\r\n", "S:235 ok\r\n" },
		.results = "",
		.end = "ready" },
	{ .name = "login in steps",
		.tls = DIALOG_TLS_DONE,
		.sasl = &login,
		.lines = { TLS_EHLO, "C:AUTH LOGIN\r\n", "S:334 VXNlcm5hbWU6\r\n", "C:dQ==\r\n",
			"S:235 ok\r\n" },
		.results = "",
		.end = "ready" },
	{ .name = "login: a challenge that is no base64",
		.tls = DIALOG_TLS_DONE,
		.sasl = &login,
		.lines = { TLS_EHLO, "C:AUTH LOGIN\r\n", "S:334 !!\r\n", "C:*\r\n" },
		.results = "",
		.end = "over 5" },
	{ .name = "login refused: never the message's fault",
		.tls = DIALOG_TLS_DONE,
		.sasl = &plain,
		.lines = { TLS_EHLO, "C:AUTH PLAIN AHUAcA==\r\n", "S:535 5.7.8 no\r\n" },
		.results = "",
		.end = "over 5" },
	{ .name = "login: no mechanism",
		.tls = DIALOG_TLS_DONE,
		.sasl = &none_fits,
		.lines = { TLS_EHLO },
		.results = "",
		.end = "over 5" },
	{ .name = "login: not offered",
		.tls = DIALOG_TLS_DONE,
		.sasl = &plain,
		.lines = { PLAIN_EHLO },
		.results = "",
		.end = "over 5" },
	{ .name = "login: the server proved nothing",
		.tls = DIALOG_TLS_DONE,
		.sasl = &no_proof,
		.lines = { TLS_EHLO, "C:AUTH PLAIN eA==\r\n", "S:235 ok\r\n" },
		.results = "",
		.end = "over 5" },
	{ .name = "login before TLS was refused to us",
		.tls = DIALOG_TLS_MAY,
		.sasl = &none_fits,
		.lines = { TLS_EHLO, "C:STARTTLS\r\n", "S:454 no\r\n" },
		.results = "",
		.end = "over 5" },
	{ .name = "garbage", .lines = { "S:SSH-2.0-OpenSSH\r\n" }, .results = "", .end = "over 1" },
	{ .name = "mixed codes",
		.lines = { "S:220-a\r\n250 b\r\n" },
		.results = "",
		.end = "over 1" },
	{ .name = "a reply too many",
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:550 no\r\n", "S:250 what\r\n" },
		.rcpts = { "a@example.net" },
		.results = "0=550/5.0.0",
		.end = "over 1" },
	{ .name = "good-bye between messages",
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:550 no\r\n", "S:421 idle\r\n" },
		.rcpts = { "a@example.net" },
		.results = "0=550/5.0.0",
		.end = "over 1" },
	{ .name = "a reply before the message is no reply to it",
		.at_once = true,
		.lines = { PLAIN_EHLO, "C:" MAIL "\r\n", "S:250\r\n",
			"C:RCPT TO:<a@example.net>\r\n", "S:250\r\n", "C:DATA\r\n",
			"S:354\r\n250 early\r\n" },
		.rcpts = { "a@example.net" },
		.results = "",
		.end = "over 1" },
};

struct run {
	const struct talk *t;
	struct dialog *d;
	struct relay_request r;
	struct relay_rcpt rcpts[3];
	struct buf results, written, in;
	bool begun, fed;
};

static void
on_result(void *arg, size_t i, const struct answer *a, bool passed)
{
	struct run *r = arg;

	buf_addf(&r->results, "%s%zu=%u/%s%s", r->results.n != 0 ? " " : "", i, a->code, a->status,
		passed && r->t->dsn ? "+" : "");
}

static enum err
sasl_start(void *arg, struct str mechanisms, bool tls, const char **mechanism_out,
	struct str *response_out)
{
	const struct sasl_script *s = arg;

	assert_true(mechanisms.n != 0);
	if (s->refuses)
		return ERR_NOTFOUND;
	assert_true(tls);
	*mechanism_out = s->mechanism;
	*response_out = s->first;
	return ERR_OK;
}

static enum err
sasl_step(void *arg, struct str challenge, struct str *response_out)
{
	const struct sasl_script *s = arg;

	if (s->challenge == NULL || !str_eq(challenge, str_of(s->challenge)))
		return ERR_DENIED;
	*response_out = str_of(s->response);
	return ERR_OK;
}

static bool
sasl_complete(void *arg)
{
	const struct sasl_script *s = arg;

	return !s->incomplete;
}

/* What the owner does after every step. */
static void
pump(struct run *r)
{
	struct buf *out = dialog_output(r->d);

	if (dialog_phase(r->d) == DIALOG_READY && !r->begun && r->r.rcpts_count != 0) {
		r->begun = true;
		dialog_begin(r->d, &r->r);
	}
	if (dialog_phase(r->d) == DIALOG_BODY && !r->fed) {
		size_t n = r->r.body_len;
		r->fed = true;
		for (size_t i = 0; i < n && dialog_phase(r->d) == DIALOG_BODY; i++)
			dialog_body(r->d, str_n(r->t->body + i, 1));
		if (dialog_phase(r->d) == DIALOG_BODY)
			dialog_body_end(r->d, !r->t->damaged);
	}
	/* what DATA carried of a message that is then not ended does not matter */
	if (dialog_phase(r->d) == DIALOG_OVER && r->fed && !r->t->damaged)
		buf_reset(out);
	buf_add(&r->written, buf_str(out));
	buf_reset(out);
}

static void
say(struct run *r, struct str text, bool slowly)
{
	for (size_t i = 0; i < text.n; i += slowly ? 1 : text.n) {
		buf_add(&r->in, str_sub(text, i, slowly ? 1 : text.n));
		for (size_t before = 0; before != r->in.n;) {
			before = r->in.n;
			dialog_input(r->d, &r->in);
			pump(r);
		}
	}
}

static void
check_end(struct run *r)
{
	const struct answer *a;
	char end[32];

	if (dialog_phase(r->d) == DIALOG_OVER) {
		(void)snprintf(end, sizeof end, "over %d%s", (int)dialog_failure(r->d, &a),
			dialog_unsure(r->d) ? " ?" : "");
		assert_true(a->code >= 400 && a->status[0] != '\0');
	} else {
		(void)snprintf(end, sizeof end, "%s",
			dialog_phase(r->d) == DIALOG_READY ? "ready" : "waits");
		assert_false(dialog_in_transaction(r->d));
	}
	assert_string_equal(end, r->t->end);
	buf_addc(&r->results, '\0');
	assert_string_equal(buf_str(&r->results).p, r->t->results);
}

static void
run_talk(const struct talk *t, bool slowly)
{
	struct run r = { .t = t };
	struct dialog_sasl sasl = { .start = sasl_start,
		.step = sasl_step,
		.complete = sasl_complete,
		.arg = (void *)(uintptr_t)t->sasl };
	struct dialog_options o = { .hostname = STR("relay.example.org"),
		.tls = t->tls,
		.sasl = t->sasl != NULL ? &sasl : NULL,
		.no_chunking = t->no_chunking,
		.no_pipelining = t->no_pipelining,
		.on_result = on_result,
		.arg = &r };

	buf_init(&r.results, 4096);
	buf_init(&r.written, 1 << 20);
	buf_init(&r.in, 65536);
	r.r.sender = str_of(t->sender != NULL ? t->sender : "anna@example.org");
	r.r.flags = t->flags;
	r.r.body_len = t->size != 0 ? t->size : t->body != NULL ? strlen(t->body) : 0;
	r.r.rcpts = r.rcpts;
	for (size_t i = 0; i < 3 && t->rcpts[i] != NULL; i++) {
		r.rcpts[i].address = str_of(t->rcpts[i]);
		r.r.rcpts_count++;
		if (t->dsn) {
			r.rcpts[i].notify = RELAY_NOTIFY_SUCCESS | RELAY_NOTIFY_FAILURE;
			r.rcpts[i].orcpt = STR("rfc822;A@x");
		}
	}
	if (t->dsn) {
		r.r.ret = RELAY_RET_HDRS;
		r.r.envid = STR("QQ1");
	}
	r.d = dialog_new(&o);
	for (size_t i = 0; i < ARRAY_LEN(t->lines) && t->lines[i] != NULL; i++) {
		struct str line = str_of(t->lines[i]), text = str_from(line, 2);
		if (str_starts(line, STR("S:"))) {
			assert_int_equal(r.written.n, 0); /* nothing was written unasked */
			say(&r, text, slowly);
		} else if (str_starts(line, STR("C:"))) {
			if (!str_eq(buf_str(&r.written), text))
				fail_msg("%s: wrote \"%.*s\", not \"%.*s\"", t->name,
					STR_FMT(buf_str(&r.written)), STR_FMT(text));
			buf_reset(&r.written);
		} else if (str_eq(line, STR("TLS"))) {
			assert_int_equal(dialog_phase(r.d), DIALOG_TLS);
			dialog_tls_done(r.d);
			pump(&r);
		} else {
			dialog_lost(r.d, "connection lost");
			pump(&r);
		}
	}
	if (r.written.n != 0 && strcmp(t->end, "over 1") != 0)
		fail_msg("%s: wrote \"%.*s\" at the end", t->name, STR_FMT(buf_str(&r.written)));
	check_end(&r);
	dialog_free(r.d);
	buf_fini(&r.results);
	buf_fini(&r.written);
	buf_fini(&r.in);
}

static void
test_talks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
		print_message("# %s\n", talks[i].name);
		run_talk(&talks[i], false);
		if (!talks[i].at_once)
			run_talk(&talks[i], true);
	}
}

/* A server that never ends: greetings, lines, options. */
static void
test_endless(void **state)
{
	const struct dialog_options o = { .hostname = STR("relay.example.org") };
	struct buf in;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		struct dialog *d = dialog_new(&o);
		size_t fed = 0;
		buf_init(&in, 65536);
		if (kind == 2) {
			buf_addz(&in, "220 x\r\n");
			dialog_input(d, &in);
		}
		for (; dialog_phase(d) != DIALOG_OVER && fed < 1000000; fed++) {
			buf_addz(&in, kind == 0	  ? "220-hello\r\n"
				      : kind == 1 ? "220 x"
						  : "250-X\r\n");
			dialog_input(d, &in);
		}
		assert_int_equal(dialog_phase(d), DIALOG_OVER);
		assert_true(fed < 1000);
		buf_fini(&in);
		dialog_free(d);
	}
}

/* Many chunks: no more than a few without reply, each whole, and the sizes are right. */
static void
test_chunks(void **state)
{
	struct relay_rcpt rcpt = { .address = STR("a@example.net") };
	struct relay_request r = {
		.sender = STR("x@y"), .rcpts = &rcpt, .rcpts_count = 1, .body_len = 1000000
	};
	struct run run = { .t = &talks[0] };
	const struct dialog_options o = {
		.hostname = STR("relay.example.org"), .on_result = on_result, .arg = &run
	};
	struct dialog *d = dialog_new(&o);
	struct buf in, all;
	static char line[1000];
	size_t fed = 0, chunks = 0, bytes = 0, open = 0;
	bool last = false;

	(void)state;
	memset(line, 'a', sizeof line);
	line[sizeof line - 1] = '\n';
	buf_init(&in, 65536);
	buf_init(&all, 1 << 20);
	buf_init(&run.results, 4096);
	buf_addz(&in, "220 x\r\n250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
	dialog_input(d, &in);
	dialog_begin(d, &r);
	buf_addz(&in, "250 ok\r\n250 ok\r\n");
	dialog_input(d, &in);
	buf_reset(dialog_output(d));
	while (!last) {
		struct str head, size;
		uint32_t n;
		while (dialog_phase(d) == DIALOG_BODY && fed < 1000) {
			dialog_body(d, str_n(line, sizeof line));
			fed++;
		}
		if (dialog_phase(d) == DIALOG_BODY)
			dialog_body_end(d, true);
		buf_add(&all, buf_str(dialog_output(d)));
		buf_reset(dialog_output(d));
		while (all.n != 0) {
			size_t lf = str_chr(buf_str(&all), '\n');
			head = str_sub(buf_str(&all), 0, lf - 1);
			last = str_ends(head, STR(" LAST"));
			size = str_from(head, 5);
			if (last)
				size.n -= 5;
			assert_true(str_starts(head, STR("BDAT ")));
			assert_int_equal(str_to_u32(size, 1000000, &n), ERR_OK);
			assert_true(all.n >= lf + 1 + n);
			buf_consume(&all, lf + 1 + n);
			bytes += n;
			chunks++;
			open++;
		}
		assert_true(open > 0 && open <= 5);
		while (open > 0) {
			buf_addz(&in, "250 2.0.0 ok\r\n");
			open--;
		}
		dialog_input(d, &in);
	}
	assert_int_equal(bytes, 1001000);
	assert_true(chunks > 10);
	assert_int_equal(dialog_phase(d), DIALOG_READY);
	buf_addc(&run.results, '\0');
	assert_string_equal(buf_str(&run.results).p, "0=250/2.0.0");
	dialog_free(d);
	buf_fini(&in);
	buf_fini(&all);
	buf_fini(&run.results);
}

static void
test_answers(void **state)
{
	struct answer a;

	(void)state;
	answer_init(&a);
	assert_int_equal(answer_add(&a, STR("550-5.1.1 one")), ERR_AGAIN);
	assert_int_equal(answer_add(&a, STR("550 5.1.1 t\xc3\xa4wo")), ERR_OK);
	assert_string_equal(a.text, "one t??wo");
	assert_string_equal(a.status, "5.1.1");
	assert_int_equal(answer_add(&a, STR("450 5.1.1 wrong class")), ERR_OK);
	assert_string_equal(a.status, "4.0.0");
	assert_string_equal(a.text, "5.1.1 wrong class");
	assert_int_equal(answer_add(&a, STR("250")), ERR_OK);
	assert_string_equal(a.status, "2.0.0");
	assert_int_equal(answer_add(&a, STR("250 2.1000.1 x")), ERR_OK);
	assert_string_equal(a.status, "2.0.0");
	static const char *const bad[] = { "", "25", "250x", "199 a", "600 a", "2 50", "abc d" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(answer_add(&a, str_of(bad[i])), ERR_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_talks),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
