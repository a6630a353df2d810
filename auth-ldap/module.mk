# What this folder builds; see Makefile.am.
noinst_LIBRARIES += auth-ldap/libauth.a
auth_ldap_libauth_a_SOURCES = \
	auth-ldap/auth_server.c \
	auth-ldap/directory.c auth-ldap/directory.h auth-ldap/directory_impl.h \
	auth-ldap/expand.c \
	auth-ldap/ldap_conn.c auth-ldap/ldap_conn.h \
	auth-ldap/ldap_pool.c auth-ldap/ldap_pool.h \
	auth-ldap/name.c auth-ldap/name.h \
	auth-ldap/proto.c auth-ldap/proto.h \
	auth-ldap/service.c auth-ldap/service.h \
	auth-ldap/socketmap_server.c \
	auth-ldap/userdb_server.c
LIBAUTH = auth-ldap/libauth.a

pkglibexec_PROGRAMS += postroom-auth
postroom_auth_SOURCES = auth-ldap/main.c
postroom_auth_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBROLE) $(LIBSASL) $(LDAP_LIBS)

EXTRA_DIST += config/ldap/postroom.schema config/ldap/slapd.conf.in config/ldap/example.ldif \
	config/ldap/make-example tests/integration/harness/slapd.py

noinst_PROGRAMS += tests/tools/run_role
tests_tools_run_role_SOURCES = tests/tools/run_role.c
tests_tools_run_role_LDADD = $(LIBROLE)
