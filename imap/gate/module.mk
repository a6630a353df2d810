# postroom-gate: IMAP before login on top of core/gate.
noinst_LIBRARIES += imap/libimapgate.a
imap_libimapgate_a_SOURCES = \
	imap/gate/gate.c imap/gate/gate.h \
	imap/gate/capability.c imap/gate/capability.h \
	imap/gate/parse.c imap/gate/parse.h

pkglibexec_PROGRAMS += postroom-gate
postroom_gate_SOURCES = imap/gate/main.c
postroom_gate_LDADD = imap/libimapgate.a $(LIBGATE)

check_PROGRAMS += tests/unit/test_gate tests/unit/test_imap_gate
tests_unit_test_gate_SOURCES = tests/unit/test_gate.c tests/unit/leave_out.h tests/unit/scripted.h tests/unit/tls_pem.h
tests_unit_test_gate_LDADD = imap/libimapgate.a $(LIBGATE) $(LIBTEST) $(CMOCKA_LIBS)
tests_unit_test_imap_gate_SOURCES = tests/unit/test_imap_gate.c
tests_unit_test_imap_gate_LDADD = imap/libimapgate.a $(LIBBASE) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_imap_gate
tests_fuzz_fuzz_imap_gate_SOURCES = tests/fuzz/fuzz_imap_gate.c
tests_fuzz_fuzz_imap_gate_LDADD = imap/libimapgate.a $(LIBBASE)
tests_fuzz_fuzz_imap_gate_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_imap_gate
tests_fuzz_replay_imap_gate_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_imap_gate.c
tests_fuzz_replay_imap_gate_LDADD = imap/libimapgate.a $(LIBBASE)
EXTRA_DIST += tests/fuzz/imap_gate.dict \
	tests/fuzz/corpus/imap_gate
