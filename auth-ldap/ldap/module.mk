# The LDAP client's own tests; see ../module.mk.
check_PROGRAMS += tests/unit/test_ldap_reason
tests_unit_test_ldap_reason_SOURCES = tests/unit/test_ldap_reason.c
tests_unit_test_ldap_reason_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_ldap_reason
tests_fuzz_fuzz_ldap_reason_SOURCES = tests/fuzz/fuzz_ldap_reason.c
tests_fuzz_fuzz_ldap_reason_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT)
tests_fuzz_fuzz_ldap_reason_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/ldap_reason.dict tests/fuzz/corpus/ldap_reason

check_PROGRAMS += tests/fuzz/replay_ldap_reason
tests_fuzz_replay_ldap_reason_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_ldap_reason.c
tests_fuzz_replay_ldap_reason_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT)

noinst_PROGRAMS += tests/tools/ldap_probe
tests_tools_ldap_probe_SOURCES = tests/tools/ldap_probe.c
tests_tools_ldap_probe_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBROLE) $(LDAP_LIBS)

check_PROGRAMS += tests/unit/test_ldap_entry
tests_unit_test_ldap_entry_SOURCES = tests/unit/test_ldap_entry.c
tests_unit_test_ldap_entry_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBROLE) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ldap_frame
tests_unit_test_ldap_frame_SOURCES = tests/unit/test_ldap_frame.c
tests_unit_test_ldap_frame_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_ldap_frame
tests_fuzz_fuzz_ldap_frame_SOURCES = tests/fuzz/fuzz_ldap_frame.c
tests_fuzz_fuzz_ldap_frame_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT)
tests_fuzz_fuzz_ldap_frame_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/ldap_frame.dict tests/fuzz/corpus/ldap_frame

check_PROGRAMS += tests/fuzz/replay_ldap_frame
tests_fuzz_replay_ldap_frame_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_ldap_frame.c
tests_fuzz_replay_ldap_frame_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT)

check_PROGRAMS += tests/unit/test_ldap_pool
tests_unit_test_ldap_pool_SOURCES = tests/unit/test_ldap_pool.c
tests_unit_test_ldap_pool_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBROLE) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
