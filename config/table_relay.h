#ifndef POSTROOM_CONFIG_TABLE_RELAY_H
#define POSTROOM_CONFIG_TABLE_RELAY_H

/* The settings of relay, which carries mail to other servers; see table.h. */
#define SETTINGS_OUTBOUND(X)                                                                       \
	X(enabled, BOOL, 0, 0, 1, ROLE_QUEUE | ROLE_SMTP,                                          \
		"Run postroom-relay, which sends mail to other servers, and take such mail from users and smtp.relay_networks") \
	X(jobs_max, INT, 1000, 1, 100000, ROLE_RELAY | ROLE_QUEUE, "Messages on their way at once") \
	X(concurrency_start, INT, 5, 1, 1000, ROLE_QUEUE,                                          \
		"Messages on their way to one destination at once, before anything is known of it") \
	X(concurrency_max, INT, 20, 1, 1000, ROLE_QUEUE,                                           \
		"… at most, when all goes well; each failure to reach it halves the number")       \
	X(rest_min, TIME, 60000, 100, 86400000, ROLE_QUEUE,                                        \
		"A destination that cannot be reached is left alone for this long, then twice as long each time; its messages wait") \
	X(rest_max, TIME, 3600000, 100, 86400000, ROLE_QUEUE, "… at most")                         \
	X(smarthost, STRING, "", 0, 255, ROLE_QUEUE | ROLE_SMTP,                                   \
		"Title of the relay section that takes all mail to other servers that no other section takes; empty: by MX records") \
	X(transports, BOOL, 1, 0, 1, ROLE_QUEUE,                                                   \
		"Ask the directory which server has an address's mailbox (mailHost, transport_result)") \
	X(null_client, BOOL, 0, 0, 1, ROLE_QUEUE | ROLE_SMTP,                                      \
		"Everything goes to outbound.smarthost, also mail for our own domains; nothing is delivered here") \
	X(port, INT, 25, 1, 65535, ROLE_RELAY, "Port of other servers where a route names none")   \
	X(addresses, LIST, "ipv6 ipv4", 1, 2, ROLE_RELAY,                                          \
		"Kinds of addresses that are tried, the first one first: ipv6, ipv4")              \
	X(source_ipv4, STRING, "", 0, 15, ROLE_RELAY, "Address of ours that connections come from; empty: the system decides") \
	X(source_ipv6, STRING, "", 0, 45, ROLE_RELAY, "The same for IPv6")                         \
	X(refused_networks, LIST,                                                                  \
		"0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 224.0.0.0/4 ::/128 ::1/128 fe80::/10 ff00::/8", 0, 256, ROLE_RELAY | ROLE_QUEUE, \
		"Addresses here are not believed when the DNS gives them as a domain's servers, nor sent to as user@[address]; hosts that the settings name may have them") \
	X(tries_max, INT, 10, 1, 100, ROLE_RELAY,                                                  \
		"Addresses of a domain that are tried before it waits for its next turn")          \
	X(reuse_max, INT, 100, 1, 100000, ROLE_RELAY, "Messages over one connection")              \
	X(idle_timeout, TIME, 5000, 0, 300000, ROLE_RELAY,                                         \
		"A connection is kept this long for the next message of its route")                \
	X(pipelining, BOOL, 1, 0, 1, ROLE_RELAY, "Use PIPELINING where it is offered")             \
	X(chunking, BOOL, 1, 0, 1, ROLE_RELAY, "Use CHUNKING where it is offered")                 \
	X(tls, STRING, "may", 1, 16, ROLE_RELAY,                                                   \
		"TLS to other servers: none; may (where offered, without looking at certificates); encrypt (always, the same); dane (as the domain's DNSSEC-signed TLSA records say, else may); dane-only; verify (the certificate carries the server's name); secure (it carries the domain's name, so that DNS is not trusted)") \
	X(tls_min_version, STRING, "1.2", 3, 3, ROLE_RELAY, "Oldest TLS version spoken: 1.2 or 1.3") \
	X(tls_ca, FILE, "", 0, 4194304, ROLE_RELAY,                                                \
		"PEM file of CAs for verify and secure; the system's when empty")                  \
	X(dns_timeout, TIME, 20000, 100, 300000, ROLE_RELAY, "Wait for an answer of the DNS")      \
	X(connect_timeout, TIME, 30000, 100, 600000, ROLE_RELAY, "Wait for a connection")          \
	X(greeting_timeout, TIME, 300000, 100, 3600000, ROLE_RELAY, "Wait for the greeting")       \
	X(helo_timeout, TIME, 300000, 100, 3600000, ROLE_RELAY, "Wait for the answer to EHLO, AUTH, STARTTLS and the hand-shake") \
	X(mail_timeout, TIME, 300000, 100, 3600000, ROLE_RELAY, "Wait for the answer to MAIL")     \
	X(rcpt_timeout, TIME, 300000, 100, 3600000, ROLE_RELAY, "Wait for the answer to RCPT")     \
	X(data_timeout, TIME, 120000, 100, 3600000, ROLE_RELAY, "Wait for the answer to DATA")     \
	X(body_timeout, TIME, 180000, 100, 3600000, ROLE_RELAY,                                    \
		"A server that takes nothing of a message for this long is given up")              \
	X(end_timeout, TIME, 600000, 100, 3600000, ROLE_RELAY, "Wait for the answer to a message") \
	X(quit_timeout, TIME, 30000, 100, 3600000, ROLE_RELAY, "Wait for the answer to RSET")

/* relay "provider" { host = "[smtp.example.net]:587" … } */
#define SETTINGS_RELAY(X)                                                                          \
	X(host, STRING, "", 0, 300, ROLE_RELAY | ROLE_QUEUE | ROLE_SMTP,                           \
		"Where it sends to, as [smtp.example.net]:587, or without brackets where MX records lead on; empty: to the route that uses this section") \
	X(domains, LIST, "", 0, 1000, ROLE_QUEUE | ROLE_SMTP,                                      \
		"Mail to these domains goes here: example.net, .example.net for what lies below, * for all") \
	X(sender_domains, LIST, "", 0, 1000, ROLE_QUEUE | ROLE_SMTP,                               \
		"Mail from these domains goes here, where no section has the recipient's domain")  \
	X(username, STRING, "", 0, 255, ROLE_RELAY, "Login name there; empty: no login")           \
	X(password, SECRET, "", 0, 4096, ROLE_RELAY, "File with the password")                     \
	X(sasl_mechanisms, LIST, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN", 1, 16, ROLE_RELAY,       \
		"Mechanisms that may be used for the login")                                       \
	X(plaintext_login, BOOL, 0, 0, 1, ROLE_RELAY, "Log in without TLS too, with PLAIN and LOGIN as well") \
	X(tls, STRING, "", 0, 16, ROLE_RELAY,                                                      \
		"As outbound.tls; empty: secure where there is a username, else outbound.tls")     \
	X(tls_implicit, BOOL, 0, 0, 1, ROLE_RELAY, "TLS from the first octet on (port 465)")       \
	X(tls_names, LIST, "", 0, 16, ROLE_RELAY,                                                  \
		"Names that the certificate may carry, .example.net for what lies below; empty: the host's")

/* tls_policy "example.net" { tls = secure } */
#define SETTINGS_TLS_POLICY(X)                                                                     \
	X(tls, STRING, "", 1, 16, ROLE_RELAY,                                                      \
		"As outbound.tls, for the domain or host that the section is named after; .example.net is for all below it") \
	X(tls_names, LIST, "", 0, 16, ROLE_RELAY,                                                  \
		"Names that the certificate may carry, beside the usual ones")

#endif
