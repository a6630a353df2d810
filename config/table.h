#ifndef POSTROOM_CONFIG_TABLE_H
#define POSTROOM_CONFIG_TABLE_H

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
 * SECRET "/path"                  struct str: the content, last newline cut;
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
	X(user_worker, STRING, "postroom-worker", 1, 32, ROLE_AUTHWORKER,                          \
		"System user of the helper processes of auth (passwd_file, pam, sql)")             \
	X(user_mail, STRING, "vmail", 1, 32, ROLE_ALL,                                             \
		"System user of imap and lmtp, owner of the mail")                                 \
	X(libexec_dir, STRING, "", 0, 1000, 0, "Folder of the role programs; empty: as installed") \
	X(restart_wait_max, TIME, 10000, 100, 3600000, 0,                                          \
		"Longest wait before a role that keeps dying is started again")                    \
	X(recipient_delimiter, STRING, "+", 0, 1, ROLE_ALL,                                        \
		"Character between a user and a tag in addresses; empty: no tags")                 \
	X(dns_servers, LIST, "", 0, 16, ROLE_AUTH,                                                 \
		"DNS servers asked for SRV records and what they name, as 192.0.2.1 or "           \
		"192.0.2.1@5353; empty: those of /etc/resolv.conf")                                \
	X(dns_trust_anchor, FILE, "", 0, 65536, ROLE_AUTH,                                         \
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
	X(scram_seed, SECRET, "", 0, 4096, ROLE_AUTH,                                         \
		"File with random bytes from which users without SCRAM keys get a salt, so that nobody can tell; the same on servers that stand in for each other; empty: /etc/machine-id") \
	X(scram_iterations, INT, 4096, 1, 10000000, ROLE_AUTH,                                \
		"Iteration count shown for users without SCRAM keys: that of the others")     \
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

#define SETTINGS_IMAP(X)                                                                          \
	X(workers, INT, 0, 0, 256, ROLE_GATE, "imap processes; 0: one a core")                    \
	X(gate_workers, INT, 0, 0, 256, ROLE_GATE, "gate processes; 0: one a core")               \
	X(line_max, SIZE, 65536, 1024, 1048576, ROLE_IMAP | ROLE_GATE, "Longest command line")    \
	X(literal_max, SIZE, 65536, 1024, 16777216, ROLE_IMAP | ROLE_GATE,                        \
		"Largest literal that is not a message")                                          \
	X(message_max, SIZE, 52428800, 65536, 2147483647, ROLE_IMAP, "Largest message in APPEND") \
	X(pipeline_max, INT, 32, 1, 1000, ROLE_IMAP, "Commands of one connection that are run in a row before others get their turn") \
	X(login_timeout, TIME, 60000, 1000, 600000, ROLE_GATE, "Time before login")               \
	X(idle_timeout, TIME, 1800000, 60000, 86400000, ROLE_IMAP,                                \
		"Silent clients are logged out after this; in IDLE only when their line is dead")           \
	X(write_timeout, TIME, 300000, 1000, 3600000, ROLE_IMAP | ROLE_GATE,                      \
		"A client that reads nothing for this long is dropped")                           \
	X(connections_per_address, INT, 200, 1, 1000000, ROLE_GATE,                               \
		"Connections from one address")                                                   \
	X(connections_per_user, INT, 100, 1, 1000000, ROLE_IMAP, "Sessions of one user")          \
	X(mailboxes_default, LIST,                                                                \
		"Drafts:\\Drafts Junk:\\Junk Sent:\\Sent Trash:\\Trash Archive:\\Archive", 0, 64, \
		ROLE_STORE, "Mailboxes that every new home gets, as name:special-use")            \
	X(plaintext_login, BOOL, 0, 0, 1, ROLE_GATE, "Let clients log in without TLS from anywhere") \
	X(sasl_mechanisms, LIST, "", 0, 16, ROLE_AUTH | ROLE_GATE,                                \
		"Those of auth.sasl_mechanisms that IMAP offers; empty: all")

#define SETTINGS_SMTP(X)                                                                           \
	X(workers, INT, 0, 0, 256, ROLE_SMTP, "smtp processes; 0: one a core")                     \
	X(message_max, SIZE, 52428800, 65536, 2147483647, ROLE_SMTP | ROLE_QUEUE | ROLE_LMTP,      \
		"Largest message")                                                                 \
	X(header_max, SIZE, 262144, 4096, 16777216, ROLE_SMTP, "Largest header")                   \
	X(recipients_max, INT, 1000, 1, 100000, ROLE_SMTP, "Recipients of one message")            \
	X(connections_max, INT, 2000, 1, 100000, ROLE_SMTP, "Connections of one worker")           \
	X(connections_per_address, INT, 100, 1, 100000, ROLE_SMTP, "Connections from one address") \
	X(errors_max, INT, 20, 1, 1000, ROLE_SMTP, "Refused commands before the line is closed")   \
	X(command_timeout, TIME, 300000, 1000, 3600000, ROLE_SMTP, "Wait for a command")           \
	X(data_timeout, TIME, 180000, 1000, 3600000, ROLE_SMTP, "Wait for more of a message")      \
	X(login_timeout, TIME, 60000, 1000, 3600000, ROLE_SMTP, "Time before login")               \
	X(hops_max, INT, 50, 5, 1000, ROLE_SMTP,                                                   \
		"Received lines before a message counts as looping") \
	X(sasl_mechanisms, LIST, "", 0, 16, ROLE_AUTH | ROLE_SMTP,                                 \
		"Those of auth.sasl_mechanisms that submission offers; empty: all")

#define SETTINGS_LMTP(X)                                                                         \
	X(workers, INT, 0, 0, 256, ROLE_LMTP, "lmtp processes; 0: one a core")                   \
	X(recipients_max, INT, 2000, 1, 100000, ROLE_LMTP, "Recipients of one message")          \
	X(connections_max, INT, 1000, 1, 100000, ROLE_LMTP, "Connections of one worker")         \
	X(command_timeout, TIME, 300000, 1000, 3600000, ROLE_LMTP, "Wait for a command or data") \
	X(store_timeout, TIME, 20000, 1000, 600000, ROLE_LMTP,                                   \
		"A recipient whose home does not answer within this gets 451")                   \
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
	X(expansion_max, INT, 10000, 1, 1000000, ROLE_QUEUE, "Recipients after expansion")       \
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

/* One section each, with a name: directory "main" { ... }. The defaults are the preset openldap;
 * the other presets stand in config/schema.c. */
#define SETTINGS_DIRECTORY(X)                                                                      \
	X(domains, LIST, "", 0, 1000, ROLE_AUTH,                                                   \
		"Domains that only this directory is asked about; empty: any")                     \
	X(uris, LIST, "", 1, 16, ROLE_AUTH,                                                        \
		"ldap://, ldaps:// and ldapi:// servers, tried in this order")                     \
	X(srv_domain, STRING, "", 0, 253, ROLE_AUTH,                                               \
		"Find the servers by the SRV records _ldap._tcp of this domain, instead of uris")  \
	X(srv_site, STRING, "", 0, 63, ROLE_AUTH,                                                  \
		"Active Directory site, whose servers (_ldap._tcp.SITE._sites) are asked first")   \
	X(srv_ldaps_port, INT, 0, 0, 65535, ROLE_AUTH,                                             \
		"Port on which servers found by SRV speak ldaps; 0: ldap:// on their own port")    \
	X(srv_targets, LIST, "", 0, 64, ROLE_AUTH,                                                 \
		"Domains in which servers found by SRV must lie; empty: srv_domain")               \
	X(starttls, BOOL, 1, 0, 1, ROLE_AUTH, "StartTLS on ldap:// before anything else")          \
	X(ca, FILE, "", 0, 1048576, ROLE_AUTH, "PEM file of trusted CAs; the system's when empty") \
	X(verify, BOOL, 1, 0, 1, ROLE_AUTH, "Check the servers' certificates and names")           \
	X(tls_min_version, STRING, "1.2", 3, 3, ROLE_AUTH,                                         \
		"Oldest TLS version spoken with the servers: 1.2 or 1.3")                          \
	X(client_certificate, FILE, "", 0, 65536, ROLE_AUTH,                                       \
		"PEM file: our certificate and its chain, for servers that ask for one")           \
	X(client_key, SECRET, "", 0, 65536, ROLE_AUTH, "PEM file: the key of client_certificate")  \
	X(schema, STRING, "openldap", 1, 32, ROLE_AUTH,                                            \
		"What the entries look like: openldap, freeipa, 389ds or active-directory. Gives " \
		"every filter and attribute below that the file does not set; see PRESETS")        \
	X(base, STRING, "", 0, 1000, ROLE_AUTH,                                                    \
		"Where searches start; a template, as the other bases, in which every value is "   \
		"escaped as a part of a DN: ou=people,%{domain|dc}")                               \
	X(scope, STRING, "sub", 3, 4, ROLE_AUTH,                                                   \
		"How far searches for users, groups and domains go: sub (the whole tree below "    \
		"the base), one (its children) or base (it alone)")                                \
	X(user_base, STRING, "", 0, 1000, ROLE_AUTH,                                               \
		"Where searches for users start; empty: base. %{base} stands for base")            \
	X(group_base, STRING, "", 0, 1000, ROLE_AUTH,                                              \
		"Where searches for groups and aliases start; empty: base")                        \
	X(domain_base, STRING, "", 0, 1000, ROLE_AUTH,                                             \
		"Where searches for domains start; empty: base")                                   \
	X(bind_dn, STRING, "", 0, 1000, ROLE_AUTH, "Service account; anonymous when empty")        \
	X(bind_password, SECRET, "", 0, 4096, ROLE_AUTH,                                           \
		"File with the service account's password")                                        \
	X(bind_method, STRING, "simple", 4, 8, ROLE_AUTH,                                          \
		"How the service account binds: simple, external (SASL EXTERNAL: ldapi or a "      \
		"client certificate), gssapi (Kerberos) or none (anonymous)")                      \
	X(bind_keytab, STRING, "", 0, 1000, ROLE_AUTH,                                             \
		"bind_method = gssapi: keytab file, readable by user_auth")                        \
	X(bind_principal, STRING, "", 0, 500, ROLE_AUTH,                                           \
		"bind_method = gssapi: principal in it, such as postroom@EXAMPLE.ORG; the "        \
		"first one when empty")                                                            \
	X(page_size, INT, 500, 0, 100000, ROLE_AUTH,                                               \
		"Entries of one page of a long answer (RFC 2696); 0: never pages")                 \
	X(referrals, BOOL, 0, 0, 1, ROLE_AUTH,                                                     \
		"Follow referrals, to referral_hosts only; otherwise they are ignored")            \
	X(referral_hosts, LIST, "", 0, 64, ROLE_AUTH,                                              \
		"Hosts that referrals may lead to, such as dc2.example.org or *.example.org")      \
	X(login_domains, LIST, "", 0, 1000, ROLE_AUTH,                                             \
		"Further domains of login names that this directory is asked about, such as "      \
		"suffixes of userPrincipalName that are no mail domains; counts beside domains")   \
	X(netbios_domain, STRING, "", 0, 15, ROLE_AUTH,                                            \
		"Logins as NAME\\user, with this NAME, are asked of this directory only")          \
	X(user_dn, STRING, "", 0, 1000, ROLE_AUTH,                                                 \
		"DN of a user, such as uid=%{local},ou=people,dc=example,dc=org: a login binds "   \
		"as it without a search")                                                          \
	X(user_dn_read, BOOL, 1, 0, 1, ROLE_AUTH,                                                  \
		"After a login by user_dn read the entry as the service account (where there is "  \
		"one), for its home, quota and whether it may log in; no: none of these is known") \
	X(user_filter, STRING,                                                                     \
		"(&(objectClass=inetOrgPerson)(|(uid=%{user})(mail=%{user})(mailLocalAddress=%{"   \
		"user})))",                                                                        \
		0, 4000, ROLE_AUTH, "Who may log in: must find exactly one entry")                 \
	X(user_attribute, STRING, "mail", 1, 100, ROLE_AUTH,                                       \
		"Attribute with the user's one name; without a domain it gets "                    \
		"auth.default_domain")                                                             \
	X(user_attribute_fallback, STRING, "", 0, 100, ROLE_AUTH,                                  \
		"Attribute with the name of users who have no user_attribute")                     \
	X(home_attribute, STRING, "postroomHome", 0, 100, ROLE_AUTH,                               \
		"Attribute with the user's home; where it is missing mail_home counts")            \
	X(alias_attributes, LIST, "mail mailLocalAddress", 0, 16, ROLE_AUTH,                       \
		"Attributes with the user's further addresses; a prefix smtp: is cut, values "     \
		"with another prefix are left out")                                                \
	X(display_name_attribute, STRING, "displayName", 0, 100, ROLE_AUTH,                        \
		"Attribute with the user's name for people")                                       \
	X(quota_attribute, STRING, "mailQuota", 0, 100, ROLE_AUTH,                                 \
		"Attribute with the size of the user's mail store")                                \
	X(mail_host_attribute, STRING, "mailHost", 0, 100, ROLE_AUTH,                              \
		"Attribute with the server that keeps the user's mail")                            \
	X(enabled_attribute, STRING, "pwdAccountLockedTime", 0, 100, ROLE_AUTH,                    \
		"Attribute that says whether the account is on; an entry without it is")           \
	X(enabled_values, LIST, "*", 0, 16, ROLE_AUTH,                                             \
		"Its values that mean on, without regard to case; *: all that are not among "      \
		"disabled_values")                                                                 \
	X(disabled_values, LIST, "000001010000Z", 0, 16, ROLE_AUTH,                                \
		"Its values that mean off; bit:2 means every number with this bit. A value of "    \
		"neither list refuses the login")                                                  \
	X(expiry_attribute, STRING, "shadowExpire", 0, 100, ROLE_AUTH,                             \
		"Attribute with the time at which the account ends")                               \
	X(expiry_format, STRING, "days", 4, 16, ROLE_AUTH,                                         \
		"How it is written: days (since 1970, shadowExpire), seconds (since 1970), "       \
		"filetime (Active Directory), generalized-time, or auto (told by its look; a "     \
		"zero is refused then)")                                                           \
	X(services_attribute, STRING, "", 0, 100, ROLE_AUTH,                                       \
		"Attribute with the services that the user may use: imap, smtp, or !smtp for all " \
		"but this one; an entry without it may use all")                                   \
	X(networks_attribute, STRING, "", 0, 100, ROLE_AUTH,                                       \
		"Attribute with the networks from which the user may log in, such as "             \
		"192.0.2.0/24; an entry without it may from anywhere")                             \
	X(userdb_attributes, LIST, "", 0, 32, ROLE_AUTH,                                           \
		"More for whoever asks auth-userdb, as key=attribute")                             \
	X(certificate_filter, STRING, "", 0, 4000, ROLE_AUTH,                                      \
		"The user whom a client's certificate names, with %{certificate} for its subject " \
		"and %{certificate_cn}, %{certificate_uid}, %{certificate_mail} for parts of "     \
		"it; empty: certificates log nobody in")                                           \
	X(secret_attributes, LIST, "", 0, 8, ROLE_AUTH,                                            \
		"Attributes with keys for SCRAM, such as authPassword (RFC 5803) or userPassword " \
		"with {SCRAM-SHA-256}; empty: no SCRAM with this directory's users")               \
	X(master_filter, STRING, "", 0, 4000, ROLE_AUTH,                                           \
		"Must match the entry of a user who acts for another one (%{other}), such as "     \
		"(memberOf=cn=mail-masters,ou=groups,dc=example,dc=org); empty: nobody may")       \
	X(domain_filter, STRING, "(associatedDomain=%{domain})", 0, 4000, ROLE_AUTH,               \
		"Is this domain ours?")                                                            \
	X(mailbox_filter, STRING,                                                                  \
		"(&(objectClass=inetOrgPerson)(|(mail=%{address})(mailLocalAddress=%{address})))", \
		0, 4000, ROLE_AUTH, "The user who gets the mail of an address")                    \
	X(alias_filter, STRING,                                                                    \
		"(&(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass="      \
		"groupOfURLs)(objectClass=posixGroup)(objectClass=postroomAlias))(|(mail=%{"       \
		"address})(mailLocalAddress=%{address})))",                                        \
		0, 4000, ROLE_AUTH, "Groups and aliases with this address")                        \
	X(sender_filter, STRING, "", 0, 4000, ROLE_AUTH,                                           \
		"The users who may send as an address; empty: mailbox_filter")                     \
	X(member_attributes, LIST, "member uniqueMember", 0, 16, ROLE_AUTH,                        \
		"Attributes of a group with its members' DNs")                                     \
	X(forward_attributes, LIST, "postroomForward rfc822MailMember mailForwardingAddress", 0,   \
		16, ROLE_AUTH,                                                                     \
		"Attributes of a group, alias or user with addresses (or DNs) that get its mail")  \
	X(mail_attribute, STRING, "mail", 1, 100, ROLE_AUTH, "Attribute with a member's address")  \
	X(expansion_max, INT, 50000, 1, 10000000, ROLE_AUTH, "Addresses of one expanded alias")    \
	X(depth_max, INT, 50, 1, 1000, ROLE_AUTH, "Groups and aliases inside each other")          \
	X(catch_all_filter, STRING, "", 0, 4000, ROLE_AUTH,                                        \
		"Who gets what is sent to unknown addresses of a domain, such as "                 \
		"(mailLocalAddress=@%{domain}); empty: nobody")                                    \
	X(group_classes, LIST,                                                                     \
		"groupOfNames groupOfUniqueNames groupOfURLs groupOfEntries posixGroup group "     \
		"mailGroup nisMailAlias postroomAlias",                                            \
		0, 32, ROLE_AUTH,                                                                  \
		"Object classes of groups and aliases: such an entry without members stands for "  \
		"nobody, never for a mailbox")                                                     \
	X(url_attributes, LIST, "memberURL", 0, 16, ROLE_AUTH,                                     \
		"Attributes of a group with LDAP URLs that find its members (RFC 4516)")           \
	X(member_name_attributes, LIST, "memberUid", 0, 16, ROLE_AUTH,                             \
		"Attributes of a group with its members' names")                                   \
	X(member_name_filter, STRING, "(&(objectClass=inetOrgPerson)(uid=%{user}))", 0, 4000,      \
		ROLE_AUTH, "The member whom such a name means")                                    \
	X(members_filter, STRING, "", 0, 4000, ROLE_AUTH,                                          \
		"Members of a group are the entries that match, with %{dn} for the group's DN, "   \
		"such as (memberOf=%{dn}) or, for Active Directory to look into groups inside "    \
		"groups by itself, (memberOf:1.2.840.113556.1.4.1941:=%{dn}); member_attributes "  \
		"are not read then; empty: not so")                                                \
	X(member_batch, INT, 50, 0, 1000, ROLE_AUTH,                                               \
		"Members below one parent that are asked about by one search; 0: each by itself")  \
	X(terminal_result, LIST, "", 0, 16, ROLE_AUTH,                                             \
		"Result templates, such as %{maildrop}: an entry that has a result stands for "    \
		"these addresses, and nothing else of it counts; see RESULT TEMPLATES")            \
	X(alias_result, LIST, "", 0, 16, ROLE_AUTH,                                                \
		"Result templates of addresses that an entry stands for, beside those in "         \
		"forward_attributes, such as %{uid}@%{domain}")                                    \
	X(leaf_result, LIST, "", 0, 16, ROLE_AUTH,                                                 \
		"Result templates for entries that have no members and no forwarding; the first "  \
		"with a result counts; empty: user_attribute, or else mail_attribute")             \
	X(forward_keep_attribute, STRING, "mailDeliveryOption", 0, 100, ROLE_AUTH,                 \
		"Attribute that keeps a copy of forwarded mail in the user's own mailbox when it " \
		"is TRUE or mailbox (mailDeliveryOption); a user's own address among the "         \
		"addresses in forward_attributes does so too")                                     \
	X(routing_attribute, STRING, "mailRoutingAddress", 0, 100, ROLE_AUTH,                      \
		"Attribute with the address that an entry's mail is sent on to")                   \
	X(local_hosts, LIST, "", 0, 64, ROLE_AUTH,                                                 \
		"Names of this server, beside hostname, in mail_host_attribute: mail stays here")  \
	X(transport_filter, STRING, "", 0, 4000, ROLE_AUTH,                                        \
		"Entries that say where an address's mail goes; empty: those of mailbox_filter, "  \
		"alias_filter and routing_attribute")                                              \
	X(transport_result, LIST, "", 0, 16, ROLE_AUTH,                                            \
		"Result templates of transports, such as smtp:[%{mailHost}]:25; the first with a " \
		"result counts; empty: smtp:[host] for a mail_host_attribute that is not here")    \
	X(sender_attributes, LIST, "postroomSender", 0, 16, ROLE_AUTH,                             \
		"Attributes of a user or group with those who may send as it too: DNs, addresses " \
		"or names; a group's name stands for its members")                                 \
	X(group_send_as, STRING, "no", 2, 100, ROLE_AUTH,                                          \
		"May members of a group send as its address? yes, no, or the attribute of the "    \
		"group that says TRUE")                                                            \
	X(post_attributes, LIST, "postroomPoster", 0, 16, ROLE_AUTH,                               \
		"Attributes of a group with those who may post to it: DNs, addresses, LDAP URLs, " \
		"or the words everyone, users, members, owner, nobody; a group without them "      \
		"takes mail from everyone")                                                        \
	X(post_users_attribute, STRING, "", 0, 100, ROLE_AUTH,                                     \
		"Attribute that lets users of ours only post to a group when it is TRUE")          \
	X(owner_attributes, LIST, "owner", 0, 16, ROLE_AUTH,                                       \
		"Attributes of a group with its owner's DN or address, to whom errors of its "     \
		"mail go")                                                                         \
	X(connect_timeout, TIME, 1000, 50, 60000, ROLE_AUTH,                                       \
		"A server that does not take a connection is given up after this")                 \
	X(setup_timeout, TIME, 5000, 50, 300000, ROLE_AUTH,                                        \
		"TLS and the service account's bind end after this; the next server is tried "     \
		"much earlier")                                                                    \
	X(failback_after, TIME, 5000, 0, 86400000, ROLE_AUTH,                                      \
		"A better server that came back is used again once it was well for this long")     \
	X(search_timeout, TIME, 5000, 50, 300000, ROLE_AUTH,                                       \
		"A lookup without an answer ends as a temporary failure")                          \
	X(bind_timeout, TIME, 30000, 50, 300000, ROLE_AUTH,                                        \
		"A login without an answer ends as a temporary failure")                           \
	X(bind_connections_min, INT, 2, 1, 1000, ROLE_AUTH,                                        \
		"Connections kept for password checks")                                            \
	X(bind_connections_max, INT, 64, 1, 1000, ROLE_AUTH,                                       \
		"Most connections for password checks")                                            \
	X(bind_queue_max, INT, 1000, 1, 100000, ROLE_AUTH,                                         \
		"Logins that may wait for a connection; more fail at once")

/* Helper processes of auth, for what may block: started when a passwd_file, pam or sql section
 * is there. */
#define SETTINGS_WORKER(X)                                                                         \
	X(processes, INT, 4, 1, 64, ROLE_AUTH,                                                     \
		"Helper processes; each answers one question at a time")                           \
	X(timeout, TIME, 15000, 200, 300000, ROLE_AUTHS,                                           \
		"A question without an answer ends as a temporary failure, and a helper that "     \
		"works on one for this long is started anew")                                      \
	X(queue_max, INT, 1000, 1, 100000, ROLE_AUTH,                                              \
		"Questions that may wait for a helper; more fail at once")                         \
	X(groups, LIST, "", 0, 16, ROLE_AUTHWORKER,                                                \
		"Further system groups of the helpers, such as shadow for pam_unix")               \
	X(root, BOOL, 0, 0, 1, ROLE_AUTHWORKER,                                                    \
		"The helpers stay root: only for PAM modules that do not work otherwise")

/* passwd_file "local" { path = "/etc/postroom/users" } */
#define SETTINGS_PASSWD_FILE(X)                                                                    \
	X(domains, LIST, "", 0, 1000, ROLE_AUTH,                                                   \
		"Domains that only this file is asked about; empty: any")                          \
	X(path, STRING, "", 0, 1000, ROLE_AUTHWORKER,                                              \
		"File of lines user:{SCHEME}hash:uid:gid:gecos:home:shell:fields; read again when "\
		"it changes, refused when others can read it")                                     \
	X(default_scheme, STRING, "CRYPT", 1, 32, ROLE_AUTHWORKER,                                 \
		"Scheme of a password without {SCHEME} in front")

/* pam "system" { service = "postroom" } */
#define SETTINGS_PAM(X)                                                                            \
	X(domains, LIST, "", 0, 1000, ROLE_AUTHS,                                                  \
		"Domains that only PAM is asked about; empty: any")                                \
	X(service, STRING, "postroom", 1, 100, ROLE_AUTHWORKER,                                    \
		"Name of PAM's service; may hold %{service}: imap, smtp")                          \
	X(config_dir, STRING, "", 0, 1000, ROLE_AUTHWORKER,                                        \
		"Folder of PAM's service files; empty: the system's")                              \
	X(username, STRING, "", 0, 200, ROLE_AUTHWORKER,                                           \
		"Whom PAM is asked about, such as %{address}; empty: the name before the @, and "  \
		"only for names of auth.default_domain and names without a domain")                \
	X(users, STRING, "system", 3, 6, ROLE_AUTHWORKER,                                          \
		"Which users exist: system (those that NSS knows), all (every name) or none")      \
	X(uid_min, INT, 1000, 0, 4294967294, ROLE_AUTHWORKER,                                      \
		"System users with a smaller uid, such as root, are unknown here")

/* sql "accounts" { driver = pgsql ... }
 * In queries: %{user} %{local} %{domain} %{address} %{service} %{remote_ip} %{local_ip}, each a
 * parameter of the prepared statement: without quotes, and never pasted into the text. */
#define SETTINGS_SQL(X)                                                                            \
	X(domains, LIST, "", 0, 1000, ROLE_AUTH,                                                   \
		"Domains that only this database is asked about; empty: any")                      \
	X(driver, STRING, "", 0, 16, ROLE_AUTHWORKER, "mysql (MariaDB as well) or pgsql")          \
	X(host, STRING, "", 0, 255, ROLE_AUTHWORKER,                                               \
		"Name or address of the server, or the path of its socket (pgsql: the socket's "   \
		"folder)")                                                                         \
	X(port, INT, 0, 0, 65535, ROLE_AUTHWORKER, "TCP port; 0: the usual one")                   \
	X(database, STRING, "", 0, 200, ROLE_AUTHWORKER, "Name of the database")                   \
	X(user, STRING, "", 0, 200, ROLE_AUTHWORKER, "Account in the database")                    \
	X(password, SECRET, "", 0, 4096, ROLE_AUTHWORKER, "File with the account's password")      \
	X(tls, STRING, "verify", 4, 7, ROLE_AUTHWORKER,                                            \
		"verify (certificate and name are checked), require (unchecked) or none; a "       \
		"socket never has TLS")                                                            \
	X(ca, STRING, "", 0, 1000, ROLE_AUTHWORKER,                                                \
		"Path of a PEM file of trusted CAs; the system's when empty")                      \
	X(connect_timeout, TIME, 3000, 1000, 60000, ROLE_AUTHWORKER,                               \
		"A silent server is given up after this (whole seconds)")                          \
	X(query_timeout, TIME, 5000, 1000, 300000, ROLE_AUTHWORKER,                                \
		"A query without an answer ends as a temporary failure (whole seconds)")           \
	X(rows_max, INT, 50000, 1, 10000000, ROLE_AUTHWORKER,                                      \
		"Rows of one answer; more is an error (list_query has no limit)")                  \
	X(default_scheme, STRING, "CRYPT", 1, 32, ROLE_AUTHWORKER,                                 \
		"Scheme of a password without {SCHEME} in front")                                  \
	X(user_query, STRING, "", 0, 4000, ROLE_AUTHS,                                        \
		"A user by login name, one row with the columns password, user and, if wanted, "   \
		"home, quota, enabled, expires, services, networks, display_name, mail_host, "     \
		"aliases")                                                                         \
	X(mailbox_query, STRING, "", 0, 4000, ROLE_AUTHS,                                     \
		"The user who gets the mail of an address, same columns; empty: user_query")       \
	X(alias_query, STRING, "", 0, 4000, ROLE_AUTHWORKER,                                       \
		"The addresses that an alias stands for, one a row or comma separated")            \
	X(catchall_query, STRING, "", 0, 4000, ROLE_AUTHWORKER,                                    \
		"The addresses that get what is sent to unknown addresses of %{domain}")           \
	X(domain_query, STRING, "", 0, 4000, ROLE_AUTHWORKER, "Any row: the domain is ours")       \
	X(sender_query, STRING, "", 0, 4000, ROLE_AUTHWORKER,                                      \
		"The users who may send as an address beside its own user, one a row")             \
	X(list_query, STRING, "", 0, 4000, ROLE_AUTHWORKER, "Every user, columns as in user_query")

/* listen "submission" { protocol = submission ... } */
#define SETTINGS_LISTEN(X)                                                     \
	X(protocol, STRING, "", 1, 16, 0, "imap, submission or lmtp")          \
	X(address, LIST, "", 1, 16, 0,                                         \
		"\"*:143\", \"127.0.0.1:143\", \"[::1]:143\", \"unix:/path\"") \
	X(tls, STRING, "none", 1, 16, 0, "none, starttls (on offer) or implicit (from the start)")

/* X(section, SECTION): the sections without a name; GLOBAL stands outside any. */
#define SETTINGS_SECTIONS(S) \
	S(log, LOG)          \
	S(tls, TLS)          \
	S(auth, AUTH)        \
	S(imap, IMAP)        \
	S(smtp, SMTP)        \
	S(lmtp, LMTP)        \
	S(queue, QUEUE)      \
	S(store, STORE)      \
	S(worker, WORKER)

/* X(section, array): the sections with a name. */
#define SETTINGS_TITLED(X)            \
	X(directory, directories)     \
	X(passwd_file, passwd_files)  \
	X(pam, pams)                  \
	X(sql, sqls)                  \
	X(listen, listens)

#endif
