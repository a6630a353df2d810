# Both sides of the hand-over; imap links it too.
noinst_LIBRARIES += core/gate/libhandover.a core/gate/libgate.a
core_gate_libhandover_a_SOURCES = \
	core/gate/handover.c core/gate/handover.h \
	core/gate/handover_client.c core/gate/handover_server.c
LIBHANDOVER = core/gate/libhandover.a $(LIBAUTHCLIENT)
core_gate_libgate_a_SOURCES = \
	core/gate/gate.c core/gate/gate.h \
	core/gate/relay.c core/gate/relay.h \
	core/gate/service.c
LIBGATE = core/gate/libgate.a core/gate/libhandover.a $(LIBROLE) $(LIBAUTHCLIENT)

check_PROGRAMS += tests/unit/test_handover tests/unit/test_relay
tests_unit_test_handover_SOURCES = tests/unit/test_handover.c tests/unit/scripted.h
tests_unit_test_handover_LDADD = $(LIBHANDOVER) $(LIBTEST) $(CMOCKA_LIBS)
tests_unit_test_relay_SOURCES = tests/unit/test_relay.c core/gate/relay.c tests/unit/scripted.h
tests_unit_test_relay_LDADD = $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_handover
tests_fuzz_fuzz_handover_SOURCES = tests/fuzz/fuzz_handover.c
tests_fuzz_fuzz_handover_LDADD = $(LIBHANDOVER)
tests_fuzz_fuzz_handover_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_handover
tests_fuzz_replay_handover_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_handover.c
tests_fuzz_replay_handover_LDADD = $(LIBHANDOVER)
EXTRA_DIST += tests/fuzz/handover.dict \
	tests/fuzz/corpus/handover
