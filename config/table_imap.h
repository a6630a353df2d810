#ifndef POSTROOM_CONFIG_TABLE_IMAP_H
#define POSTROOM_CONFIG_TABLE_IMAP_H

/* The settings of imap; see table.h. */
#define SETTINGS_IMAP(X)                                                                          \
	X(workers, INT, 0, 0, 256, ROLE_GATE, "imap processes; 0: one a core")                    \
	X(gate_workers, INT, 0, 0, 256, ROLE_GATE, "gate processes; 0: one a core")               \
	X(line_max, SIZE, 65536, 1024, 1048576, ROLE_IMAP | ROLE_GATE, "Longest command line")    \
	X(literal_max, SIZE, 65536, 1024, 16777216, ROLE_IMAP | ROLE_GATE,                        \
		"Largest literal that is not a message")                                          \
	X(message_max, SIZE, 52428800, 65536, 2147483647, ROLE_IMAP, "Largest message in APPEND") \
	X(append_8bit_headers, BOOL, 1, 0, 1, ROLE_IMAP,                                          \
		"Take messages with octets beyond ASCII in their header from clients that did not ENABLE UTF8=ACCEPT too; no: as RFC 9755 says, and old mail may be refused") \
	X(message_limit, INT, 0, 0, 10000000, ROLE_IMAP,                                          \
		"Messages that one FETCH, STORE, SEARCH, COPY, MOVE, APPEND or UID EXPUNGE may touch, at least 1000; 0: all") \
	X(pipeline_max, INT, 32, 1, 1000, ROLE_IMAP, "Commands of one connection that are run in a row before others get their turn") \
	X(login_timeout, TIME, 60000, 1000, 600000, ROLE_GATE, "Time before login")               \
	X(idle_timeout, TIME, 1800000, 1800000, 86400000, ROLE_IMAP,                                \
		"Silent clients are logged out after this; in IDLE only when their line is dead")           \
	X(write_timeout, TIME, 300000, 1000, 3600000, ROLE_IMAP | ROLE_GATE,                      \
		"A client that reads nothing for this long is dropped")                           \
	X(connections_per_address, INT, 200, 1, 1000000, ROLE_GATE,                               \
		"Connections from one address (IPv6: one /64), in all gates together")                            \
	X(connections_per_user, INT, 100, 1, 1000000, ROLE_IMAP,                                  \
		"Sessions of one user, in all workers together")                                  \
	X(user_check, TIME, 60000, 0, 86400000, ROLE_IMAP,                                        \
		"Sessions of a user whom the directory disabled or deleted end within this; 0: they go on") \
	X(metadata_size, SIZE, 16384, 1024, 65536, ROLE_IMAP,                                    \
		"Largest value of METADATA; imap.literal_max bounds it too")                      \
	X(metadata_entries, INT, 100, 10, 1000, ROLE_IMAP,                                        \
		"METADATA entries of one mailbox, and of the account")                            \
	X(admin_contact, STRING, "", 0, 1000, ROLE_IMAP,                                          \
		"Where the operator is reached, as mailto:help@example.org: /shared/admin of METADATA") \
	X(separator, STRING, "/", 1, 1, ROLE_IMAP | ROLE_LMTP,                                              \
		"Character between the parts of mailbox names as clients see them, / or .: for users who come from a server with the other") \
	X(inbox_prefix, BOOL, 0, 0, 1, ROLE_IMAP,                                                 \
		"Show all mailboxes below INBOX, as some servers did: INBOX/Sent for Sent")       \
	X(mailboxes_default, LIST,                                                                \
		"Drafts:\\Drafts Junk:\\Junk Sent:\\Sent Trash:\\Trash Archive:\\Archive", 0, 64, \
		ROLE_STORE, "Mailboxes that every new home gets, as name:special-use")            \
	X(plaintext_login, BOOL, 0, 0, 1, ROLE_GATE, "Let clients log in without TLS from anywhere") \
	X(sasl_mechanisms, LIST, "", 0, 16, ROLE_AUTH | ROLE_GATE,                                \
		"Those of auth.sasl_mechanisms that IMAP offers; empty: all")

#endif
