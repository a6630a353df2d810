# The spool: slot files that smtp writes and queue owns.
noinst_LIBRARIES += delivery/spool/libspool.a
delivery_spool_libspool_a_SOURCES = \
	delivery/spool/format.c delivery/spool/format.h \
	delivery/spool/client.c \
	delivery/spool/server.c delivery/spool/server.h \
	delivery/spool/message.c delivery/spool/message.h \
	delivery/spool/spool.h \
	delivery/spool/writer.c delivery/spool/writer.h
LIBSPOOL = delivery/spool/libspool.a

check_PROGRAMS += tests/unit/test_spool
tests_unit_test_spool_SOURCES = tests/unit/test_spool.c
tests_unit_test_spool_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fdatasync -Wl,--wrap=pwritev
tests_unit_test_spool_LDADD = $(LIBSPOOL) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_spool_reuse
tests_unit_test_spool_reuse_SOURCES = tests/unit/test_spool_reuse.c tests/unit/leave_out.h
tests_unit_test_spool_reuse_LDADD = $(LIBSPOOL) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_spool
tests_fuzz_fuzz_spool_SOURCES = tests/fuzz/fuzz_spool.c
tests_fuzz_fuzz_spool_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_spool_LDADD = $(LIBSPOOL) $(LIBBASE)

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_spool
tests_fuzz_replay_spool_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_spool.c
tests_fuzz_replay_spool_LDADD = $(LIBSPOOL) $(LIBBASE)
EXTRA_DIST += tests/fuzz/corpus/spool
