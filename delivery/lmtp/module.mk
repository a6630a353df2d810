noinst_LIBRARIES += delivery/lmtp/liblmtp.a
delivery_lmtp_liblmtp_a_SOURCES = \
	delivery/lmtp/command.c delivery/lmtp/command.h \
	delivery/lmtp/dot.c delivery/lmtp/dot.h \
	delivery/lmtp/session.c delivery/lmtp/session.h delivery/lmtp/session_impl.h \
	delivery/lmtp/session_data.c \
	delivery/lmtp/session_rcpt.c \
	delivery/lmtp/users.c delivery/lmtp/users.h
LIBLMTP = delivery/lmtp/liblmtp.a

pkglibexec_PROGRAMS += delivery/lmtp/postroom-lmtp
delivery_lmtp_postroom_lmtp_SOURCES = delivery/lmtp/main.c
delivery_lmtp_postroom_lmtp_LDADD = $(LIBLMTP) $(LIBAUTHCLIENT) $(LIBROLE) $(LIBSTORE_ALL)

check_PROGRAMS += tests/unit/test_lmtp_command tests/unit/test_lmtp_session
tests_unit_test_lmtp_command_SOURCES = tests/unit/test_lmtp_command.c
tests_unit_test_lmtp_command_LDADD = $(LIBLMTP) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
# With a store of its own, so that it decides when and in what order deliveries end.
tests_unit_test_lmtp_session_SOURCES = tests/unit/test_lmtp_session.c tests/unit/lmtp_case.h core/store/quota_parse.c
tests_unit_test_lmtp_session_LDADD = $(LIBLMTP) $(LIBAUTHCLIENT) $(LIBMAIL) $(LIBEVENT) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_lmtp
tests_fuzz_fuzz_lmtp_SOURCES = tests/fuzz/fuzz_lmtp.c
tests_fuzz_fuzz_lmtp_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_lmtp_LDADD = $(LIBLMTP) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
EXTRA_DIST += tests/fuzz/lmtp.dict tests/fuzz/corpus/lmtp

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_lmtp
tests_fuzz_replay_lmtp_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_lmtp.c
tests_fuzz_replay_lmtp_LDADD = $(LIBLMTP) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
