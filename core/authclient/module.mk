noinst_LIBRARIES += core/authclient/libauthclient.a
core_authclient_libauthclient_a_SOURCES = \
	core/authclient/auth.c core/authclient/auth.h \
	core/authclient/channel.c core/authclient/channel.h \
	core/authclient/socketmap.c core/authclient/socketmap.h \
	core/authclient/userdb.c core/authclient/userdb.h \
	core/authclient/wire.c core/authclient/wire.h
# What links this folder: the archive and what lies below it (of core/sasl only the table of
# mechanisms, which needs no library).
LIBAUTHCLIENT = core/authclient/libauthclient.a core/sasl/libsasl.a $(LIBEVENT)

check_PROGRAMS += tests/unit/test_authclient
tests_unit_test_authclient_SOURCES = tests/unit/test_authclient.c tests/unit/scripted.h
tests_unit_test_authclient_LDADD = $(LIBAUTHCLIENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_authclient
tests_fuzz_fuzz_authclient_SOURCES = tests/fuzz/fuzz_authclient.c
tests_fuzz_fuzz_authclient_LDADD = $(LIBAUTHCLIENT)
tests_fuzz_fuzz_authclient_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_authclient
tests_fuzz_replay_authclient_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_authclient.c
tests_fuzz_replay_authclient_LDADD = $(LIBAUTHCLIENT)
EXTRA_DIST += tests/fuzz/authclient.dict \
	tests/fuzz/corpus/authclient
