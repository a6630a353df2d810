#ifndef POSTROOM_CONFIG_TABLE_SMTP_H
#define POSTROOM_CONFIG_TABLE_SMTP_H

#include "config/table_checks.h"

/* The settings of smtp; see table.h. */
#define SETTINGS_SMTP(X)                                                                           \
	X(workers, INT, 0, 0, 256, ROLE_SMTP, "smtp processes; 0: one a core")                     \
	X(message_max, SIZE, 52428800, 65536, 2147483647, ROLE_SMTP | ROLE_QUEUE | ROLE_LMTP,      \
		"Largest message")                                                                 \
	X(header_max, SIZE, 262144, 4096, 16777216, ROLE_SMTP, "Largest header")                   \
	X(recipients_max, INT, 1000, 1, 100000, ROLE_SMTP, "Recipients of one message")            \
	X(connections_max, INT, 2000, 1, 100000, ROLE_SMTP, "Connections of one worker")           \
	X(connections_per_address, INT, 100, 1, 100000, ROLE_SMTP, "Connections from one address (IPv6: one /64), in all workers together") \
	X(errors_max, INT, 20, 1, 1000, ROLE_SMTP, "Refused commands before the line is closed")   \
	X(command_timeout, TIME, 300000, 1000, 3600000, ROLE_SMTP, "Wait for a command")           \
	X(data_timeout, TIME, 180000, 1000, 3600000, ROLE_SMTP, "Wait for more of a message")      \
	X(login_timeout, TIME, 60000, 1000, 3600000, ROLE_SMTP, "Time before login")               \
	X(hops_max, INT, 50, 5, 1000, ROLE_SMTP,                                                   \
		"Received lines before a message counts as looping") \
	X(sasl_mechanisms, LIST, "", 0, 16, ROLE_AUTH | ROLE_SMTP,                                 \
		"Those of auth.sasl_mechanisms that submission offers; empty: all")                \
	X(mx_login, BOOL, 0, 0, 1, ROLE_SMTP,                                                      \
		"Let users log in on listeners with protocol = smtp too, after STARTTLS")          \
	X(relay_networks, LIST, "", 0, 256, ROLE_SMTP,                                             \
		"Networks of our own programs and devices that may send through protocol = smtp without a login; none wider than /8 (IPv6: /32)") \
	X(proxy_networks, LIST, "", 0, 256, ROLE_SMTP,                                             \
		"Load balancers, whose connections begin with a PROXY header (version 1 or 2) that names the client; none wider than /8 (IPv6: /32)") \
	X(xclient_networks, LIST, "", 0, 256, ROLE_SMTP,                                           \
		"Proxies and filters of ours that may say with XCLIENT for whom they speak; none wider than /8 (IPv6: /32)") \
	X(xclient_login, BOOL, 0, 0, 1, ROLE_SMTP,                                                 \
		"Believe the user, too, whom XCLIENT names (LOGIN): no password is asked, and nothing is asked about the account") \
	X(postmaster, STRING, "", 0, 320, ROLE_SMTP | ROLE_QUEUE,                                  \
		"Address that reads mail to postmaster where the directory has no such address; protocol = smtp needs it") \
	X(local_domain, STRING, "", 0, 255, ROLE_SMTP,                                             \
		"Domain of senders and recipients without one that local programs give to postroom-sendmail; empty: auth.default_domain, else hostname") \
	X(local_users, LIST, "", 0, 1000, ROLE_SMTP,                                               \
		"System users that may send with postroom-sendmail beside root; empty: all")       \
	X(helo_fqdn, BOOL, 0, 0, 1, ROLE_SMTP,                                                     \
		"Other servers must greet with a full domain name or an address literal")          \
	X(sender_fqdn, BOOL, 1, 0, 1, ROLE_SMTP,                                                   \
		"Senders of other servers' mail must have a full domain name")                     \
	X(pipelining_check, BOOL, 1, 0, 1, ROLE_SMTP,                                              \
		"Hang up on other servers that send more behind EHLO or DATA before they saw the reply") \
	X(greet_delay, TIME, 0, 0, 60000, ROLE_SMTP,                                               \
		"Let other servers wait this long for the greeting, and hang up on those that talk before it") \
	X(connections_per_minute, INT, 300, 0, 1000000, ROLE_SMTP,                                 \
		"Connections to protocol = smtp from one address (IPv6: a /64) in a minute; 0: any number") \
	X(messages_per_minute, INT, 300, 0, 1000000, ROLE_SMTP,                                    \
		"Messages from one address in a minute, without a login; 0: any number")           \
	X(recipients_per_minute, INT, 3000, 0, 10000000, ROLE_SMTP,                                \
		"Recipients from one address in a minute, without a login; 0: any number")         \
	X(errors_per_minute, INT, 100, 0, 1000000, ROLE_SMTP,                                      \
		"Refused commands from one address in a minute, without a login, before it is turned away; 0: any number") \
	X(user_messages_per_minute, INT, 100, 0, 1000000, ROLE_SMTP,                               \
		"Messages of one user in a minute; 0: any number")                                 \
	X(user_recipients_per_minute, INT, 3000, 0, 10000000, ROLE_SMTP,                           \
		"Recipients of one user in a minute; 0: any number")                               \
	X(quota_check, BOOL, 1, 0, 1, ROLE_SMTP,                                                   \
		"Ask lmtp at RCPT whether the mailbox has room, and refuse mail to a full one then") \
	SETTINGS_SMTP_CHECKS(X)

#endif
