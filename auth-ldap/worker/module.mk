# The helper processes of auth: what may block.
noinst_LIBRARIES += auth-ldap/libauthworker.a
auth_ldap_libauthworker_a_SOURCES = \
	auth-ldap/worker/account.c \
	auth-ldap/worker/job.c \
	auth-ldap/worker/pam.c \
	auth-ldap/worker/passwd_file.c auth-ldap/worker/passwd_file.h \
	auth-ldap/worker/passwd_table.c \
	auth-ldap/worker/sql.c auth-ldap/worker/sql_db.h \
	auth-ldap/worker/sql_mysql.c \
	auth-ldap/worker/sql_pgsql.c \
	auth-ldap/worker/variables.c auth-ldap/worker/variables.h \
	auth-ldap/worker/worker.h
LIBAUTHWORKER = auth-ldap/libauthworker.a $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBPASSWD) \
	$(PAM_LIBS) $(MARIADB_LIBS) $(POSTGRESQL_LIBS)

pkglibexec_PROGRAMS += postroom-authworker
postroom_authworker_SOURCES = auth-ldap/worker/main.c
postroom_authworker_LDADD = $(LIBAUTHWORKER) $(LIBROLE)
