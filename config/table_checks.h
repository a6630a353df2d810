#ifndef POSTROOM_CONFIG_TABLE_CHECKS_H
#define POSTROOM_CONFIG_TABLE_CHECKS_H

/* The checks of smtp that ask the DNS; see table.h. SETTINGS_SMTP takes the first list in. */
#define SETTINGS_SMTP_CHECKS(X)                                                                    \
	X(client_ptr, STRING, "off", 1, 8, ROLE_SMTP,                                              \
		"Other servers must have a name in the DNS (PTR): off, log (note who has not), defer (450) or refuse (550)") \
	X(client_confirmed, STRING, "off", 1, 8, ROLE_SMTP,                                        \
		"That name must lead back to their address: off, log, defer or refuse")            \
	X(helo_known, STRING, "off", 1, 8, ROLE_SMTP,                                              \
		"The name that other servers greet with must be in the DNS: off, log, defer or refuse") \
	X(sender_known, STRING, "off", 1, 8, ROLE_SMTP,                                            \
		"Domains of senders must be in the DNS and take mail (MX or address, no null MX): off, log, defer or refuse") \
	X(recipient_known, STRING, "off", 1, 8, ROLE_SMTP,                                         \
		"Domains that users and smtp.relay_networks send to must be in the DNS and take mail, where MX records lead there: off, log, defer or refuse") \
	X(dnsbl_action, STRING, "refuse", 1, 8, ROLE_SMTP,                                         \
		"What becomes of mail of a client whose weights in dnsbl sections, less those in dnswl sections, reach smtp.dnsbl_threshold: off, log, defer or refuse") \
	X(dnsbl_threshold, INT, 1, 1, 10000, ROLE_SMTP, "Sum of weights from which on a client is unwanted") \
	X(dns_failure, STRING, "pass", 1, 8, ROLE_SMTP,                                            \
		"When the DNS does not answer for a check that defers or refuses: pass (as if all were well) or defer (450); lists that do not answer count 0 in any case") \
	X(check_timeout, TIME, 5000, 100, 60000, ROLE_SMTP, "Longest wait for what the DNS says of a client, a greeting, a domain; and for all of a message's recipients together where it does not answer") \
	X(check_exempt_networks, LIST, "", 0, 256, ROLE_SMTP,                                      \
		"Networks whose clients are looked up, but not refused by these checks")

/* dnsbl "zen.example.org" { weight = 2 reply = { "127.0.0.2-11" } } */
#define SETTINGS_DNSBL(X)                                                                          \
	X(zone, STRING, "", 0, 180, ROLE_SMTP, "Zone of the list; empty: the section's name")      \
	X(weight, INT, 1, 1, 1000, ROLE_SMTP, "What being listed counts")                          \
	X(reply, LIST, "127.0.0-254.0-255", 1, 16, ROLE_SMTP,                                      \
		"Answers that count as listed, as 127.0.0.2 or 127.0.0.2-11; others do not")

/* dnswl "list.example.org" { weight = 5 } */
#define SETTINGS_DNSWL(X)                                                                          \
	X(zone, STRING, "", 0, 180, ROLE_SMTP, "Zone of the list; empty: the section's name")      \
	X(weight, INT, 1, 1, 1000, ROLE_SMTP,                                                      \
		"What being listed takes from the sum; a client whose sum is below 0 passes all these checks") \
	X(reply, LIST, "127.0.0-254.0-255", 1, 16, ROLE_SMTP,                                      \
		"Answers that count as listed, as 127.0.0.2 or 127.0.1-9.1-3; others do not")

#endif
