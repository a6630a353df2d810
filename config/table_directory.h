#ifndef POSTROOM_CONFIG_TABLE_DIRECTORY_H
#define POSTROOM_CONFIG_TABLE_DIRECTORY_H

/* The rows of directory sections, in the form that config/table.h explains. */

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
		"What the entries look like: openldap, freeipa, 389ds or active-directory; it gives " \
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
		"user})(postroomAddress=%{user})))",                                               \
		0, 4000, ROLE_AUTH, "Who may log in: must find exactly one entry")                 \
	X(user_attribute, STRING, "mail", 1, 100, ROLE_AUTH,                                       \
		"Attribute with the user's one name; without a domain it gets "                    \
		"auth.default_domain")                                                             \
	X(user_attribute_fallback, STRING, "", 0, 100, ROLE_AUTH,                                  \
		"Attribute with the name of users who have no user_attribute")                     \
	X(home_attribute, STRING, "postroomHome", 0, 100, ROLE_AUTH,                               \
		"Attribute with the user's home; where it is missing mail_home counts")            \
	X(alias_attributes, LIST, "mail mailLocalAddress postroomAddress", 0, 16, ROLE_AUTH,       \
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
		"Its values that mean off; bit:2 means every number with this bit; a value of "    \
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
		"(&(objectClass=inetOrgPerson)(|(mail=%{address})(mailLocalAddress=%{address})(" \
		"postroomAddress=%{address})))",                                                   \
		0, 4000, ROLE_AUTH, "The user who gets the mail of an address")                    \
	X(alias_filter, STRING,                                                                    \
		"(&(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass="      \
		"groupOfURLs)(objectClass=posixGroup)(objectClass=postroomAlias))(|(mail=%{"       \
		"address})(mailLocalAddress=%{address})(postroomAddress=%{address})))",            \
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
	X(bind_idle_timeout, TIME, 60000, 100, 86400000, ROLE_AUTH,                                \
		"A connection for password checks beyond bind_connections_min is closed when no "  \
		"login needed it for this long")                                                   \
	X(bind_queue_max, INT, 1000, 1, 100000, ROLE_AUTH,                                         \
		"Logins that may wait for a connection; more fail at once")

#endif
