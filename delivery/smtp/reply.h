#ifndef POSTROOM_SMTP_REPLY_H
#define POSTROOM_SMTP_REPLY_H

#include "core/base/buf.h"

/* Every reply that smtp gives, once: X(name, code, enhanced status, text, reason for the log).
 * Positive replies have no reason. RFC 5321 4.2, RFC 3463, RFC 5248, RFC 4954 6, RFC 3207 4, RFC
 * 7505 4. */
#define SMTP_REPLIES(X)                                                                            \
	X(OK, 250, "2.0.0", "Ok", "")                                                              \
	X(FLUSHED, 250, "2.0.0", "Flushed", "")                                                    \
	X(SENDER_OK, 250, "2.1.0", "Sender ok", "")                                                \
	X(RCPT_OK, 250, "2.1.5", "Recipient ok", "")                                               \
	X(CHUNK_OK, 250, "2.0.0", "Chunk received", "")                                            \
	X(VRFY, 252, "2.5.2", "Cannot verify, but will take messages for users who exist", "")     \
	X(HELP, 214, "2.0.0",                                                                      \
		"Commands: EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP QUIT "                 \
		"(RFC 5321, RFC 6409)",                                                            \
		"")                                                                                \
	X(BYE, 221, "2.0.0", "Bye", "")                                                            \
	X(TLS_READY, 220, "2.0.0", "Ready to start TLS", "")                                       \
	X(AUTH_OK, 235, "2.7.0", "Authentication successful", "")                                  \
	X(DATA_GO, 354, "", "End data with <CR><LF>.<CR><LF>", "")                                 \
	X(CLOSING, 421, "4.3.2", "Service is closing, try again", "shutdown")                      \
	X(TIMEOUT, 421, "4.4.2", "Timeout, closing connection", "timeout")                         \
	X(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors, closing connection", "errors")          \
	X(TOO_MANY_LOGINS, 421, "4.7.0", "Too many failed logins, closing connection", "logins")   \
	X(TOO_MANY_CONNECTIONS, 421, "4.7.0", "Too many connections from your address",            \
		"connections")                                                                     \
	X(FAST_CONNECTIONS, 421, "4.7.0", "Too many connections from your address in a minute",    \
		"connections a minute")                                                            \
	X(FLOOD, 421, "4.7.0", "Message far above the size limit, closing connection", "flood")    \
	X(FAST_MESSAGES, 450, "4.7.1", "Too many messages in a minute, try again later",           \
		"messages a minute")                                                               \
	X(FAST_RCPTS, 450, "4.7.1", "Too many recipients in a minute, try again later",            \
		"recipients a minute")                                                             \
	X(CLIENT_NO_PTR_YET, 450, "4.7.25", "Your address has no name in the DNS (PTR)", "no ptr") \
	X(CLIENT_UNCONFIRMED_YET, 450, "4.7.25",                                                   \
		"The name of your address does not lead back to it", "ptr not confirmed")          \
	X(HELO_UNKNOWN_YET, 450, "4.7.1", "The name that you greeted with is not in the DNS",      \
		"helo unknown")                                                                    \
	X(SENDER_UNKNOWN_YET, 450, "4.1.8", "The sender's domain has neither MX nor address",      \
		"sender domain unknown")                                                           \
	X(SENDER_NULL_MX_YET, 450, "4.7.27", "The sender's domain takes no mail (null MX)",        \
		"sender null mx")                                                                  \
	X(RCPT_DOMAIN_UNKNOWN_YET, 450, "4.1.2",                                                   \
		"The recipient's domain has neither MX nor address", "recipient domain unknown")   \
	X(RCPT_NULL_MX_YET, 450, "4.1.10", "The recipient's domain takes no mail (null MX)",       \
		"recipient null mx")                                                               \
	X(LISTED_YET, 450, "4.7.1", "Your address is on a block list", "dnsbl")                    \
	X(DNS_FAILED, 450, "4.4.3", "The DNS does not answer for a check of this message",         \
		"dns unavailable")                                                                 \
	X(QUEUE_AWAY, 451, "4.3.0", "Cannot store the message now, try again later", "queue away") \
	X(WRITE_FAILED, 451, "4.3.0", "Cannot store the message now, try again later",             \
		"spool write failed")                                                              \
	X(LOOKUP_FAILED, 451, "4.4.3", "Directory is not available, try again later",              \
		"directory unavailable")                                                           \
	X(NO_SPACE, 452, "4.3.1", "Insufficient system storage, try again later", "no space")      \
	X(NO_SLOT, 452, "4.3.1", "Too much mail at once, try again later", "no slot")              \
	X(TOO_MANY_RCPTS, 452, "4.5.3", "Too many recipients", "too many recipients")              \
	X(MAILBOX_FULL_YET, 452, "4.2.2", "Mailbox is full", "mailbox full")                       \
	X(AUTH_TEMP, 454, "4.7.0", "Temporary authentication failure, try again later",            \
		"auth unavailable")                                                                \
	X(TLS_NOT_AVAILABLE, 454, "4.7.0", "TLS is not available", "no certificate")               \
	X(LINE_TOO_LONG, 500, "5.5.6", "Line too long", "line too long")                           \
	X(UNKNOWN, 500, "5.5.1", "Command not recognised", "unknown command")                      \
	X(BAD_BYTES, 500, "5.5.2", "Command holds bytes that are not allowed", "bad bytes")        \
	X(BAD_SYNTAX, 501, "5.5.4", "Syntax error in parameters", "syntax")                        \
	X(BAD_HELO, 501, "5.5.4", "A domain name or address literal is needed", "syntax")          \
	X(BAD_SENDER, 501, "5.1.7", "Bad sender address syntax", "sender syntax")                  \
	X(BAD_RCPT, 501, "5.1.3", "Bad recipient address syntax", "recipient syntax")              \
	X(BAD_BASE64, 501, "5.5.2", "Response is not base64", "not base64")                        \
	X(AUTH_CANCELLED, 501, "5.7.0", "Authentication cancelled", "cancelled")                   \
	X(AUTH_TOO_LONG, 500, "5.5.6", "Authentication exchange line is too long", "too long")     \
	X(NO_PARAMETERS, 501, "5.5.4", "This command takes no parameters", "syntax")               \
	X(BAD_SEQUENCE, 503, "5.5.1", "Bad sequence of commands", "sequence")                      \
	X(NEED_HELLO, 503, "5.5.1", "Send EHLO first", "sequence")                                 \
	X(NEED_MAIL, 503, "5.5.1", "Need MAIL first", "sequence")                                  \
	X(NEED_RCPT, 503, "5.5.1", "Need RCPT first", "sequence")                                  \
	X(NESTED_MAIL, 503, "5.5.1", "A message is being sent already", "sequence")                \
	X(TLS_ACTIVE, 503, "5.5.1", "TLS is active already", "sequence")                           \
	X(NO_LOGIN, 503, "5.5.1", "Authentication is not enabled here", "no login here")           \
	X(AUTH_AGAIN, 503, "5.5.1", "Already authenticated", "sequence")                           \
	X(BINARY_NEEDS_BDAT, 503, "5.5.1", "Binary messages come with BDAT only", "binary")        \
	X(BDAT_BROKEN, 503, "5.5.1", "A chunk of this message was refused, send RSET", "sequence") \
	X(AUTH_MECHANISM, 504, "5.5.4", "Authentication mechanism is not available", "mechanism")  \
	X(HELO_NOT_FULL, 504, "5.5.2", "Greet with a full domain name or an address literal",      \
		"helo not full")                                                                   \
	X(SENDER_NOT_FULL, 504, "5.5.2", "The sender needs a full domain name", "sender not full") \
	X(NEED_TLS, 530, "5.7.0", "Must issue a STARTTLS command first", "no tls")                 \
	X(NEED_AUTH, 530, "5.7.0", "Authentication required", "no auth")                           \
	X(AUTH_FAILED, 535, "5.7.8", "Authentication credentials invalid", "credentials")          \
	X(NOT_AUTHORISED, 535, "5.7.8", "Not allowed for this account, service or place",          \
		"not authorised")                                                                  \
	X(PASSWORD_EXPIRED, 535, "5.7.8", "Password has expired, change it first",                 \
		"password expired")                                                                \
	X(USER_DISABLED, 535, "5.7.8", "Account is disabled, ask the administrator",               \
		"account disabled")                                                                \
	X(XCLIENT_DENIED, 550, "5.7.0", "XCLIENT is not for you", "xclient")                       \
	X(CLIENT_NO_PTR, 550, "5.7.25", "Your address has no name in the DNS (PTR)", "no ptr")     \
	X(CLIENT_UNCONFIRMED, 550, "5.7.25", "The name of your address does not lead back to it",  \
		"ptr not confirmed")                                                               \
	X(HELO_UNKNOWN, 550, "5.7.1", "The name that you greeted with is not in the DNS",          \
		"helo unknown")                                                                    \
	X(SENDER_UNKNOWN, 550, "5.1.8", "The sender's domain has neither MX nor address",          \
		"sender domain unknown")                                                           \
	X(SENDER_NULL_MX, 550, "5.7.27", "The sender's domain takes no mail (null MX)",            \
		"sender null mx")                                                                  \
	X(UNKNOWN_RCPT, 550, "5.1.1", "No such user here", "unknown recipient")                    \
	X(RCPT_DOMAIN_UNKNOWN, 550, "5.1.2", "The recipient's domain has neither MX nor address",  \
		"recipient domain unknown")                                                        \
	X(NOT_FORWARDED, 550, "5.1.1", "This return address is not one of ours, or too old",       \
		"srs address")                                                                     \
	X(GROUP_CLOSED, 550, "5.7.2", "You may not write to this list", "group closed to sender")  \
	X(RELAYING, 550, "5.7.1", "Relaying not available, this server sends to its own domains",  \
		"foreign domain")                                                                  \
	X(RELAY_DENIED, 550, "5.7.1", "Relaying denied, that domain is not served here",           \
		"relaying denied")                                                                 \
	X(FROM_DENIED, 550, "5.7.1", "The From header names an address that is not yours",         \
		"from not owned")                                                                  \
	X(SENDER_HEADER_DENIED, 550, "5.7.1",                                                      \
		"The Sender header names an address that is not yours", "sender header not owned") \
	X(MAILBOX_FULL, 552, "5.2.2", "Mailbox is full", "mailbox full")                           \
	X(TOO_LARGE, 552, "5.3.4", "Message exceeds the size limit", "too large")                  \
	X(NOT_OWNER, 553, "5.7.1", "Sender address is not yours", "sender not owned")              \
	X(NEEDS_UTF8, 553, "5.6.7", "Addresses beyond ASCII need SMTPUTF8 in MAIL",                \
		"utf-8 address")                                                                   \
	X(LISTED, 554, "5.7.1", "Your address is on a block list", "dnsbl")                        \
	X(LOCAL_DENIED, 554, "5.7.1", "You may not send mail from this machine",                   \
		"not in smtp.local_users")                                                         \
	X(EARLY_TALKER, 554, "5.5.0", "You talked before the greeting", "early talker")            \
	X(PIPELINING, 554, "5.5.0", "You did not wait for a reply that had to be waited for",      \
		"unauthorised pipelining")                                                         \
	X(LOOP, 554, "5.4.6", "Too many hops, mail is looping", "hops")                            \
	X(HEADER_TOO_LARGE, 554, "5.3.4", "Message header exceeds the size limit",                 \
		"header too large")                                                                \
	X(BAD_HEADER, 554, "5.6.0", "Message header is malformed", "malformed header")             \
	X(HEADER_NOT_UTF8, 554, "5.6.0", "Message header is not UTF-8", "header not utf-8")        \
	X(NO_FROM, 554, "5.6.0", "Message has no From header", "no from")                          \
	X(BAD_FROM, 554, "5.6.0", "The From header cannot be read", "from syntax")                 \
	X(HAS_NUL, 554, "5.6.0", "Message holds NUL bytes", "nul")                                 \
	X(BARE_NEWLINE, 554, "5.6.0", "Message holds bare CR or LF", "bare newline")               \
	X(NO_VALID_RCPTS, 554, "5.5.1", "No valid recipients", "no recipients")                    \
	X(BAD_PARAMETER, 555, "5.5.4", "Parameter not recognised or not implemented", "parameter") \
	X(RCPT_NULL_MX, 556, "5.1.10", "The recipient's domain takes no mail (null MX)",           \
		"recipient null mx")

#define SMTP_REPLY_NAME(name, code, status, text, reason) REPLY_##name,
enum smtp_reply { SMTP_REPLIES(SMTP_REPLY_NAME) REPLY_COUNT };

struct smtp_reply_row {
	int code;
	const char *status; /* "5.7.1"; "" for none */
	const char *text;
	const char *reason;
};

const struct smtp_reply_row *
smtp_reply_row(enum smtp_reply r);
/* "550 5.1.1 No such user here\r\n"; detail, when not empty, stands behind the text after a
 * colon. Appended. */
void
smtp_reply_format(struct buf *out, enum smtp_reply r, struct str detail);

#endif
