# The role relay: carries messages to other servers.
noinst_LIBRARIES += delivery/remote/libremote.a
delivery_remote_libremote_a_SOURCES = \
	delivery/remote/answer.c delivery/remote/answer.h \
	delivery/remote/conn.c delivery/remote/conn.h \
	delivery/remote/dialog.c delivery/remote/dialog.h delivery/remote/dialog_impl.h \
	delivery/remote/finder.c delivery/remote/finder.h \
	delivery/remote/job.c delivery/remote/job.h \
	delivery/remote/lines.c delivery/remote/lines.h \
	delivery/remote/route.c delivery/remote/route.h \
	delivery/remote/server.c delivery/remote/server.h \
	delivery/remote/transfer.c
LIBREMOTE = delivery/remote/libremote.a

pkglibexec_PROGRAMS += postroom-relay
postroom_relay_SOURCES = delivery/remote/main.c
postroom_relay_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBDNS) $(LIBSASL) $(LIBROLE)

noinst_PROGRAMS += tests/tools/relay_job
tests_tools_relay_job_SOURCES = tests/tools/relay_job.c
tests_tools_relay_job_LDADD = $(LIBRELAY) $(LIBEVENT)

check_PROGRAMS += tests/unit/test_relay_dialog
tests_unit_test_relay_dialog_SOURCES = tests/unit/test_relay_dialog.c
tests_unit_test_relay_dialog_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_relay_dialog
tests_fuzz_fuzz_relay_dialog_SOURCES = tests/fuzz/fuzz_relay_dialog.c
tests_fuzz_fuzz_relay_dialog_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_relay_dialog_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBEVENT)

check_PROGRAMS += tests/fuzz/replay_relay_dialog
tests_fuzz_replay_relay_dialog_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_relay_dialog.c
tests_fuzz_replay_relay_dialog_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBEVENT)
EXTRA_DIST += tests/fuzz/relay_dialog.dict tests/fuzz/corpus/relay_dialog

check_PROGRAMS += tests/unit/test_relay_route
tests_unit_test_relay_route_SOURCES = tests/unit/test_relay_route.c
tests_unit_test_relay_route_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBROLE) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_relay_server
tests_unit_test_relay_server_SOURCES = tests/unit/test_relay_server.c
tests_unit_test_relay_server_LDADD = $(LIBREMOTE) $(LIBRELAY) $(LIBDNS) $(LIBSASL) $(LIBROLE) $(LIBTEST) $(CMOCKA_LIBS)
