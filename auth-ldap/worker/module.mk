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

check_PROGRAMS += tests/unit/test_worker
tests_unit_test_worker_SOURCES = tests/unit/test_worker.c tests/unit/scripted.h
tests_unit_test_worker_LDADD = $(LIBAUTHWORKER) $(LIBCONFIG) $(CONFUSE_LIBS) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_worker tests/fuzz/fuzz_passwd
tests_fuzz_fuzz_worker_SOURCES = tests/fuzz/fuzz_worker.c
tests_fuzz_fuzz_worker_LDADD = $(LIBAUTHWORKER)
tests_fuzz_fuzz_worker_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_passwd_SOURCES = tests/fuzz/fuzz_passwd.c
tests_fuzz_fuzz_passwd_LDADD = $(LIBAUTHWORKER)
tests_fuzz_fuzz_passwd_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/worker.dict tests/fuzz/passwd.dict \
	tests/fuzz/corpus/worker tests/fuzz/corpus/passwd

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_worker tests/fuzz/replay_passwd
tests_fuzz_replay_worker_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_worker.c
tests_fuzz_replay_worker_LDADD = $(LIBAUTHWORKER)
tests_fuzz_replay_passwd_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_passwd.c
tests_fuzz_replay_passwd_LDADD = $(LIBAUTHWORKER)
