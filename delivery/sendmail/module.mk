# postroom-sendmail: the command of programs on this machine.
noinst_LIBRARIES += delivery/sendmail/libsendmail.a
delivery_sendmail_libsendmail_a_SOURCES = \
	delivery/sendmail/compose.c delivery/sendmail/compose.h \
	delivery/sendmail/options.c delivery/sendmail/options.h \
	delivery/sendmail/talk.c delivery/sendmail/talk.h
LIBSENDMAIL = delivery/sendmail/libsendmail.a

pkglibexec_PROGRAMS += postroom-sendmail
postroom_sendmail_SOURCES = delivery/sendmail/main.c
postroom_sendmail_LDADD = $(LIBSENDMAIL) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)

check_PROGRAMS += tests/unit/test_sendmail
tests_unit_test_sendmail_SOURCES = tests/unit/test_sendmail.c
tests_unit_test_sendmail_LDADD = $(LIBSENDMAIL) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_sendmail
tests_fuzz_fuzz_sendmail_SOURCES = tests/fuzz/fuzz_sendmail.c
tests_fuzz_fuzz_sendmail_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_sendmail_LDADD = $(LIBSENDMAIL) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)

check_PROGRAMS += tests/fuzz/replay_sendmail
tests_fuzz_replay_sendmail_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_sendmail.c
tests_fuzz_replay_sendmail_LDADD = $(LIBSENDMAIL) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
EXTRA_DIST += tests/fuzz/sendmail.dict tests/fuzz/corpus/sendmail
