#ifndef POSTROOM_CONFIG_TABLE_H
#define POSTROOM_CONFIG_TABLE_H

#include "config/table_backends.h"
#include "config/table_directory.h"
#include "config/table_imap.h"
#include "config/table_relay.h"
#include "config/table_smtp.h"

/* Every setting, once: X(name, TYPE, default, min, max, roles, help).
 * The struct in settings.h, the parser, `postroom check`, `postroom config` and
 * the list in postroom.conf(5) come from these rows.
 *
 * TYPE   in the file              in the struct
 * BOOL   yes | no                 bool
 * INT    10                       int64_t
 * SIZE   64K, 50M, 1G             int64_t, bytes
 * TIME   500ms, 60s, 5m, 4h, 5d   int64_t, milliseconds
 * STRING "text"                   struct str, NUL behind it
 * LIST   { "a", "b" }             struct str_list; the default is split at blanks
 * FILE   "/path"                  struct str: the file's content (certificates)
 * SECRET "/path"                  struct str: the content, last end of line cut;
 *                                 refused at start when others can read it
 * roles: who is sent the value (ROLE_* of config/settings.h); the others see the default. */

#define SETTINGS_GLOBAL(X)                                                                         \
	X(hostname, STRING, "", 0, 255, ROLE_ALL,                                                  \
		"Name in greetings, Received and Message-ID; the machine's own when empty")        \
	X(runtime_dir, STRING, "/run/postroom", 1, 80, ROLE_ALL,                                   \
		"Folder of the sockets that the parts and Postfix or Exim talk over")              \
	X(mail_root, STRING, "/var/lib/postroom/mail", 1, 1000, ROLE_STORE | ROLE_AUTH,            \
		"Folder below which every user's home lies")                                       \
	X(mail_home, STRING, "%{domain}/%{local}", 1, 500, ROLE_STORE | ROLE_AUTH,                 \
		"A user's home below mail_root, where the directory gives none")                   \
	X(spool_dir, STRING, "/var/spool/postroom", 1, 1000, ROLE_QUEUE,                           \
		"Folder of accepted messages that wait for delivery")                              \
	X(group, STRING, "postroom", 1, 32, ROLE_ALL, "Group that may use the sockets")            \
	X(user_auth, STRING, "postroom-auth", 1, 32, ROLE_AUTHS, "System user of the auth service") \
	X(user_gate, STRING, "postroom-gate", 1, 32, ROLE_ALL, "System user of the gate")          \
	X(user_smtp, STRING, "postroom-smtp", 1, 32, ROLE_ALL, "System user of smtp")              \
	X(user_queue, STRING, "postroom-queue", 1, 32, ROLE_ALL, "System user of the queue")       \
	X(user_relay, STRING, "postroom-relay", 1, 32, ROLE_ALL, "System user of relay")           \
	X(user_resolver, STRING, "postroom-resolver", 1, 32, ROLE_ALL,                             \
		"System user of resolver")                                                         \
	X(user_worker, STRING, "postroom-worker", 1, 32, ROLE_AUTHWORKER,                          \
		"System user of the helper processes of auth (passwd_file, pam, sql)")             \
	X(user_mail, STRING, "vmail", 1, 32, ROLE_ALL,                                             \
		"System user of imap and lmtp, owner of the mail")                                 \
	X(libexec_dir, STRING, "", 0, 1000, 0, "Folder of the role programs; empty: as installed") \
	X(restart_wait_max, TIME, 10000, 100, 3600000, 0,                                          \
		"Longest wait before a role that keeps dying is started again")                    \
	X(recipient_delimiter, STRING, "+", 0, 1, ROLE_ALL,                                        \
		"Character between a user and a tag in addresses; empty: no tags")                 \
	X(dns_servers, LIST, "", 0, 16, ROLE_DNS,                                                  \
		"DNS servers that are asked (SRV, MX, TLSA, the checks of smtp), as 192.0.2.1 or "  \
		"192.0.2.1@5353; empty: those of /etc/resolv.conf")                                \
	X(dns_trust_anchor, FILE, "", 0, 65536, ROLE_DNS,                                          \
		"File with DNSSEC trust anchors (DS or DNSKEY records); empty: no DNSSEC")

#define SETTINGS_LOG(X)                                                        \
	X(level, STRING, "info", 1, 8, ROLE_ALL, "error, warn, info or debug") \
	X(file, STRING, "", 0, 1000, 0, "Where lines go: a file, or standard error when empty")

#define SETTINGS_TLS(X)                                                                         \
	X(certificate, FILE, "", 0, 65536, ROLE_TLS, "PEM file: the certificate and its chain") \
	X(key, SECRET, "", 0, 65536, ROLE_TLS, "PEM file: the private key")                     \
	X(min_version, STRING, "1.2", 3, 3, ROLE_TLS, "Oldest TLS version spoken: 1.2 or 1.3") \
	X(client_ca, FILE, "", 0, 1048576, ROLE_TLS,                                            \
		"PEM file of the CAs whose client certificates count for EXTERNAL; empty: none is asked for")

#define SETTINGS_AUTH(X)                                                                      \
	X(default_domain, STRING, "", 0, 255, ROLE_AUTHS | ROLE_SMTP | ROLE_QUEUE,             \
		"Domain of a login name or recipient that has none")                          \
	X(listen_tcp, STRING, "", 0, 100, 0, "TCP address for the auth socket as well")       \
	X(listen_tcp_userdb, STRING, "", 0, 100, 0,                                           \
		"TCP address for the auth-userdb socket as well: it gives away every user's name and home") \
	X(listen_tcp_directory, STRING, "", 0, 100, 0,                                        \
		"TCP address for the directory socket as well")                               \
	X(networks, LIST, "127.0.0.0/8 ::1/128", 0, 256, ROLE_AUTH,                           \
		"Networks that may connect to these TCP addresses")                           \
	X(extra_socket, LIST, "", 0, 16, 0,                                                   \
		"More auth sockets, as path:mode:user:group, such as Postfix's private/auth") \
	X(clients_max, INT, 1000, 1, 100000, ROLE_AUTH,                                       \
		"Connections on all auth sockets together")                                   \
	X(requests_max, INT, 10000, 1, 1000000, ROLE_AUTH, "Logins in progress")              \
	X(failure_delay, TIME, 2000, 0, 60000, ROLE_AUTH,                                     \
		"A failed login is answered no earlier than this")                            \
	X(sasl_mechanisms, LIST, "PLAIN LOGIN", 1, 16, ROLE_AUTH | ROLE_GATE | ROLE_SMTP,     \
		"Mechanisms offered: PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-1, GSSAPI, EXTERNAL, OAUTHBEARER, XOAUTH2") \
	X(sasl_without_tls, LIST, "", 0, 16, ROLE_AUTH | ROLE_GATE | ROLE_SMTP,               \
		"Those of them that are offered without TLS as well: SCRAM-SHA-256, SCRAM-SHA-1, GSSAPI") \
	X(plaintext_login, BOOL, 0, 0, 1, ROLE_AUTH,                                          \
		"Let Postfix or Exim ask with passwords that came without TLS from another machine") \
	X(scram_seed, SECRET, "", 0, 4096, ROLE_AUTH | ROLE_AUTHWORKER,                       \
		"File with random bytes from which users without SCRAM keys, and those with a password in clear, get a salt, so that nobody can tell; the same on servers that stand in for each other; empty: /etc/machine-id") \
	X(scram_iterations, INT, 4096, 1, 10000000, ROLE_AUTH | ROLE_AUTHWORKER,              \
		"Iteration count for users without SCRAM keys, and for those with a password in clear: that of the others") \
	X(gssapi_keytab, STRING, "", 0, 1000, ROLE_AUTH,                                      \
		"Keytab with the keys of imap/HOST and smtp/HOST, readable for user_auth")    \
	X(gssapi_hostname, STRING, "", 0, 255, ROLE_AUTH,                                     \
		"HOST in those principals; empty: hostname")                                  \
	X(gssapi_domains, LIST, "", 0, 100, ROLE_AUTH,                                        \
		"Kerberos realms and the domains of their users, as REALM=domain; empty: the machine's realm and auth.default_domain") \
	X(oauth_introspection_url, STRING, "", 0, 1000, ROLE_AUTH,                            \
		"Where OAUTHBEARER and XOAUTH2 tokens are examined (RFC 7662): https://, or http:// on this machine") \
	X(oauth_client_id, STRING, "", 0, 1000, ROLE_AUTH, "Our name there")                  \
	X(oauth_client_secret, SECRET, "", 0, 4096, ROLE_AUTH, "File with our password there") \
	X(oauth_ca, FILE, "", 0, 1048576, ROLE_AUTH,                                          \
		"PEM file of CAs trusted there; the system's when empty")                     \
	X(oauth_user_claim, STRING, "username", 1, 100, ROLE_AUTH,                            \
		"Member of the answer with the login name")                                   \
	X(oauth_scope, STRING, "", 0, 255, ROLE_AUTH, "Scope that a token must have")         \
	X(oauth_audience, STRING, "", 0, 255, ROLE_AUTH, "Audience that a token must have")   \
	X(oauth_discovery_url, STRING, "", 0, 1000, ROLE_AUTH,                                \
		"OpenID configuration that clients are pointed at when their token is refused") \
	X(oauth_timeout, TIME, 5000, 50, 60000, ROLE_AUTH,                                    \
		"A token without an answer ends as a temporary failure")                      \
	X(oauth_cache, TIME, 60000, 0, 3600000, ROLE_AUTH,                                    \
		"A token that was good is not examined again within this time") \
	X(idle_timeout, TIME, 1800000, 1000, 86400000, ROLE_AUTH,                             \
		"A connection of somebody else's (Postfix, Exim) that is silent for this long is closed") \
	X(backends, LIST, "", 0, 64, ROLE_AUTH,                                               \
		"Titles of the sections that know users, in the order in which they are asked; empty: directories first, then the others as in the file") \
	X(cache_size, SIZE, 67108864, 0, 68719476736, ROLE_AUTH,                              \
		"Memory for answers of the backends; 0: remember nothing, ask every time")                    \
	X(cache_ttl, TIME, 60000, 0, 86400000, ROLE_AUTH,                                     \
		"A found user or address is not asked about again for this long")             \
	X(cache_negative_ttl, TIME, 10000, 0, 86400000, ROLE_AUTH,                            \
		"The same for one that was not found: a new user can log in after this")      \
	X(cache_login_ttl, TIME, 60000, 0, 86400000, ROLE_AUTH,                               \
		"A login with the password that was right before is let in without a question for this long: when a password was changed, the old one stops after this") \
	X(wrong_password_ttl, TIME, 60000, 0, 60000, ROLE_AUTH,                               \
		"The same wrong password of the same user is refused without a question for this long") \
	X(outage_login, TIME, 0, 0, 2592000000, ROLE_AUTH,                                    \
		"While no backend answers, users may log in with a password that was right within this time; 0: never") \
	X(outage_lookup, TIME, 3600000, 0, 2592000000, ROLE_AUTH,                             \
		"While no backend answers, users and addresses found within this time are still known") \
	X(trusted_networks, LIST, "", 0, 256, ROLE_AUTH,                                      \
		"Proxies and webmail servers, whose own addresses are never blocked")         \
	X(penalty_delay_max, TIME, 15000, 0, 60000, ROLE_AUTH,                                \
		"Longest delay of a refusal; it doubles with each failure from auth.failure_delay on") \
	X(penalty_address, INT, 50, 0, 1000000, ROLE_AUTH,                                    \
		"Failures after which an address (IPv6: a /64) is blocked; users who logged in from there raise it; 0: never") \
	X(penalty_user, INT, 10, 0, 1000000, ROLE_AUTH,                                       \
		"Failures of one user after which one address may not try that user; 0: never") \
	X(penalty_window, TIME, 1800000, 1000, 86400000, ROLE_AUTH,                           \
		"So many failures are forgotten in this time")                                \
	X(penalty_block, TIME, 60000, 1000, 86400000, ROLE_AUTH,                              \
		"The first block of an address; each further one lasts twice as long")        \
	X(penalty_block_max, TIME, 3600000, 1000, 604800000, ROLE_AUTH, "The longest block")

#define SETTINGS_LMTP(X)                                                                         \
	X(workers, INT, 0, 0, 256, ROLE_LMTP, "lmtp processes; 0: one a core")                   \
	X(recipients_max, INT, 2000, 1, 100000, ROLE_LMTP, "Recipients of one message")          \
	X(connections_max, INT, 1000, 1, 100000, ROLE_LMTP, "Connections of one worker")         \
	X(command_timeout, TIME, 300000, 1000, 3600000, ROLE_LMTP, "Wait for a command or data") \
	X(store_timeout, TIME, 20000, 1000, 600000, ROLE_LMTP,                                   \
		"A recipient whose home does not answer within this gets 451")                   \
	X(full_is_temporary, BOOL, 0, 0, 1, ROLE_LMTP,                                           \
		"Answer 452 4.2.2, not 552 5.2.2, when a user's quota is used up: the sender's server tries again instead of returning the message") \
	X(detail, STRING, "ignore", 1, 8, ROLE_LMTP,                                             \
		"Where mail to user+tag goes: ignore (INBOX), folder (the mailbox named tag, if the user has it, else INBOX) or create (it is made when it is missing)") \
	X(detail_mailboxes_max, INT, 200, 1, 100000, ROLE_LMTP,                                  \
		"With detail = create: a user who has so many mailboxes gets no new ones by tags") \
	X(networks, LIST, "127.0.0.0/8 ::1/128", 0, 256, ROLE_LMTP,                              \
		"Networks that may use LMTP over TCP")                                           \
	X(extra_socket, LIST, "", 0, 16, 0,                                                      \
		"More LMTP sockets, as path:mode:user:group, such as Postfix's private/lmtp")

#define SETTINGS_QUEUE(X)                                                                        \
	X(concurrency, INT, 20, 1, 1000, ROLE_QUEUE, "Deliveries at once to lmtp")               \
	X(retry_min, TIME, 300000, 100, 86400000, ROLE_QUEUE, "First wait after a failed try")   \
	X(retry_max, TIME, 14400000, 100, 864000000, ROLE_QUEUE, "Longest wait between tries")   \
	X(lifetime, TIME, 432000000, 1000, 8640000000, ROLE_QUEUE,                               \
		"A recipient that could not be reached for this long is returned to the sender") \
	X(delay_notice, TIME, 14400000, 0, 8640000000, ROLE_QUEUE,                               \
		"The sender hears once of a recipient that waits for so long; 0: never")         \
	X(bounce_size_max, SIZE, 1048576, 0, 67108864, ROLE_QUEUE,                               \
		"Reports of failures hold the whole message up to this size, above it the header; the sender may ask for the header alone") \
	X(postmaster, STRING, "", 0, 320, ROLE_QUEUE,                                            \
		"Address that hears of reports whose own delivery failed; empty: smtp.postmaster, and where that is empty, too, only the log says so") \
	X(expansion_max, INT, 10000, 1, 1000000, ROLE_QUEUE, "Recipients after expansion")       \
	X(srs_domain, STRING, "", 0, 255, ROLE_QUEUE | ROLE_SMTP,                                \
		"Domain of the senders that forwarded mail from elsewhere gets when it leaves us (SRS); empty: it keeps its own") \
	X(srs_secret, SECRET, "", 0, 4096, ROLE_QUEUE | ROLE_SMTP,                               \
		"File with the secrets of these addresses, one a line, at least 16 characters each: the first makes them, all are read") \
	X(reserve, SIZE, 104857600, 0, 1099511627776, ROLE_QUEUE,                                \
		"Free disk space below which mail is answered 452")                              \
	X(slots_ahead, INT, 64, 4, 4096, ROLE_QUEUE | ROLE_SMTP,                                 \
		"Spool files made ahead for each smtp worker")

#define SETTINGS_STORE(X)                                                        \
	X(pool_threads, INT, 16, 1, 256, ROLE_STORE | ROLE_SMTP | ROLE_QUEUE,    \
		"Threads that wait for the disk")                                \
	X(open_max, INT, 0, 0, 20000, ROLE_STORE,                                \
		"Homes kept open in one process; 0: by the limit of open files") \
	X(map_initial, SIZE, 67108864, 1048576, 1099511627776, ROLE_STORE,       \
		"First size of an index's map; it grows by need")                \
	X(sync_directories, STRING, "auto", 2, 4, ROLE_STORE,                    \
		"Sync folders after a rename: yes, no, or auto (not on ext4 and xfs)")

/* listen "submission" { protocol = submission ... } */
#define SETTINGS_LISTEN(X)                                                     \
	X(protocol, STRING, "", 1, 16, 0, "imap, submission, smtp or lmtp")    \
	X(address, LIST, "", 1, 16, 0,                                         \
		"\"*:143\", \"127.0.0.1:143\", \"[::1]:143\", \"unix:/path\"") \
	X(tls, STRING, "none", 1, 16, 0, "none, starttls (on offer) or implicit (from the start)")

/* alias "root" { to = { "it@example.org" } } */
#define SETTINGS_ALIAS(X)                                                      \
	X(to, LIST, "", 1, 1000, ROLE_AUTH,                                    \
		"Addresses that get the mail to the address, or to the local part in every domain of ours, that the section is named after; before the directory is asked; one without a domain gets the domain of that address")

/* X(section, SECTION): the sections without a name; GLOBAL stands outside any. */
#define SETTINGS_SECTIONS(S) \
	S(log, LOG)          \
	S(tls, TLS)          \
	S(auth, AUTH)        \
	S(imap, IMAP)        \
	S(smtp, SMTP)        \
	S(lmtp, LMTP)        \
	S(queue, QUEUE)      \
	S(outbound, OUTBOUND) \
	S(store, STORE)      \
	S(worker, WORKER)

/* X(section, array): the sections with a name. */
#define SETTINGS_TITLED(X)            \
	X(directory, directories)     \
	X(passwd_file, passwd_files)  \
	X(pam, pams)                  \
	X(sql, sqls)                  \
	X(relay, relays)              \
	X(dnsbl, dnsbls)              \
	X(dnswl, dnswls)              \
	X(tls_policy, tls_policies)   \
	X(alias, aliases)             \
	X(listen, listens)

#endif
