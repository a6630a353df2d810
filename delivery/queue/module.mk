noinst_LIBRARIES += delivery/queue/libqueue.a
delivery_queue_libqueue_a_SOURCES = \
	delivery/queue/admin.c delivery/queue/admin.h \
	delivery/queue/admin_list.c delivery/queue/admin_impl.h \
	delivery/queue/attempt.c delivery/queue/attempt_impl.h \
	delivery/queue/attempt_local.c delivery/queue/attempt_relay.c \
	delivery/queue/client.c delivery/queue/client.h \
	delivery/queue/domains.c delivery/queue/domains.h \
	delivery/queue/dsn.c delivery/queue/dsn.h \
	delivery/queue/dsn_text.c \
	delivery/queue/expand.c delivery/queue/expand.h \
	delivery/queue/hop.c delivery/queue/hop.h \
	delivery/queue/notice.c delivery/queue/notice.h \
	delivery/queue/owed.c delivery/queue/owed.h \
	delivery/queue/queue.c delivery/queue/queue.h \
	delivery/queue/record.c delivery/queue/record.h \
	delivery/queue/reply.c delivery/queue/reply.h \
	delivery/queue/report.c delivery/queue/report.h \
	delivery/queue/retry.c delivery/queue/retry.h \
	delivery/queue/route.c delivery/queue/route.h \
	delivery/queue/state.c delivery/queue/state.h \
	delivery/queue/stored.c delivery/queue/stored.h
LIBQUEUE = delivery/queue/libqueue.a

pkglibexec_PROGRAMS += delivery/queue/postroom-queue
delivery_queue_postroom_queue_SOURCES = delivery/queue/main.c
delivery_queue_postroom_queue_LDADD = $(LIBQUEUE) $(LIBRELAY) $(LIBSPOOL) $(LIBMAIL) $(LIBAUTHCLIENT) $(LIBROLE) $(ICU_LIBS) $(LMDB_LIBS)

noinst_PROGRAMS += tests/tools/queue_fill
tests_tools_queue_fill_SOURCES = tests/tools/queue_fill.c
tests_tools_queue_fill_LDADD = $(LIBQUEUE) $(LIBSPOOL) $(LIBEVENT) $(LMDB_LIBS)

check_PROGRAMS += tests/unit/test_queue
tests_unit_test_queue_SOURCES = tests/unit/test_queue.c
tests_unit_test_queue_LDADD = $(LIBQUEUE) $(LIBCONFIG) $(LIBRELAY) $(LIBSPOOL) $(LIBMAIL) $(ICU_LIBS) $(LIBAUTHCLIENT) $(LIBEVENT) $(LMDB_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_queue_expand
tests_unit_test_queue_expand_SOURCES = tests/unit/test_queue_expand.c
tests_unit_test_queue_expand_LDADD = $(LIBQUEUE) $(LIBMAIL) $(ICU_LIBS) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_queue_record
tests_unit_test_queue_record_SOURCES = tests/unit/test_queue_record.c
tests_unit_test_queue_record_LDADD = $(LIBQUEUE) $(LIBRELAY) $(LIBBASE) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_queue_dsn
tests_unit_test_queue_dsn_SOURCES = tests/unit/test_queue_dsn.c
tests_unit_test_queue_dsn_LDADD = $(LIBQUEUE) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_queue_report
tests_unit_test_queue_report_SOURCES = tests/unit/test_queue_report.c tests/unit/queue_case.h
tests_unit_test_queue_report_LDADD = $(LIBQUEUE) $(LIBCONFIG) $(LIBRELAY) $(LIBSPOOL) $(LIBMAIL) $(ICU_LIBS) $(LIBAUTHCLIENT) $(LMDB_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_queue_flow
tests_unit_test_queue_flow_SOURCES = tests/unit/test_queue_flow.c tests/unit/queue_case.h
tests_unit_test_queue_flow_LDADD = $(LIBQUEUE) $(LIBCONFIG) $(LIBRELAY) $(LIBSPOOL) $(LIBMAIL) $(ICU_LIBS) $(LIBAUTHCLIENT) $(LMDB_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_queue_hop
tests_unit_test_queue_hop_SOURCES = tests/unit/test_queue_hop.c
tests_unit_test_queue_hop_LDADD = $(LIBQUEUE) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_queue_relay
tests_unit_test_queue_relay_SOURCES = tests/unit/test_queue_relay.c tests/unit/queue_case.h
tests_unit_test_queue_relay_LDADD = $(LIBQUEUE) $(LIBRELAY) $(LIBSPOOL) $(LIBMAIL) $(ICU_LIBS) $(LIBCONFIG) $(CONFUSE_LIBS) $(LIBAUTHCLIENT) $(LMDB_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_queue_admin
tests_unit_test_queue_admin_SOURCES = tests/unit/test_queue_admin.c tests/unit/queue_case.h
tests_unit_test_queue_admin_LDADD = $(LIBQUEUE) $(LIBCONFIG) $(LIBRELAY) $(LIBSPOOL) $(LIBMAIL) $(ICU_LIBS) $(LIBAUTHCLIENT) $(LMDB_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_queue_record
tests_fuzz_fuzz_queue_record_SOURCES = tests/fuzz/fuzz_queue_record.c
tests_fuzz_fuzz_queue_record_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_queue_record_LDADD = $(LIBQUEUE) $(LIBBASE)
EXTRA_DIST += tests/fuzz/queue_record.dict tests/fuzz/corpus/queue_record

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_queue_record
tests_fuzz_replay_queue_record_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_queue_record.c
tests_fuzz_replay_queue_record_LDADD = $(LIBQUEUE) $(LIBBASE)
