# The role relay: carries messages to other servers.
noinst_LIBRARIES += delivery/remote/libremote.a
delivery_remote_libremote_a_SOURCES = \
	delivery/remote/answer.c delivery/remote/answer.h \
	delivery/remote/dialog.c delivery/remote/dialog.h delivery/remote/dialog_impl.h \
	delivery/remote/lines.c delivery/remote/lines.h \
	delivery/remote/transfer.c
LIBREMOTE = delivery/remote/libremote.a

check_PROGRAMS += tests/unit/test_relay_dialog
tests_unit_test_relay_dialog_SOURCES = tests/unit/test_relay_dialog.c
tests_unit_test_relay_dialog_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBEVENT) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_relay_dialog
tests_fuzz_fuzz_relay_dialog_SOURCES = tests/fuzz/fuzz_relay_dialog.c
tests_fuzz_fuzz_relay_dialog_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_relay_dialog_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBEVENT)

check_PROGRAMS += tests/fuzz/replay_relay_dialog
tests_fuzz_replay_relay_dialog_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_relay_dialog.c
tests_fuzz_replay_relay_dialog_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBEVENT)
EXTRA_DIST += tests/fuzz/relay_dialog.dict tests/fuzz/corpus/relay_dialog
