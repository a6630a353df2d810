#ifndef POSTROOM_CONFIG_TABLE_BACKENDS_H
#define POSTROOM_CONFIG_TABLE_BACKENDS_H

/* The rows of users that are in no directory: passwd-files, PAM, databases, in the form that
 * config/table.h explains. */

/* Helper processes of auth, for what may block: started when a passwd_file, pam or sql section
 * is there. */
#define SETTINGS_WORKER(X)                                                                         \
	X(processes, INT, 4, 1, 64, ROLE_AUTH,                                                     \
		"Helper processes; each answers one question at a time")                           \
	X(timeout, TIME, 15000, 200, 300000, ROLE_AUTHS,                                           \
		"A question without an answer ends as a temporary failure, and a helper that "     \
		"works on one for this long is started anew")                                      \
	X(queue_max, INT, 1000, 1, 100000, ROLE_AUTH,                                              \
		"Questions of one section that may wait for a helper; more fail at once")          \
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

#endif
