noinst_LIBRARIES += core/store/libstore.a
core_store_libstore_a_SOURCES = \
	core/store/blob.h core/store/blob_local.c \
	core/store/body.c core/store/body.h \
	core/store/check.c core/store/check.h \
	core/store/claim.c \
	core/store/commit.c \
	core/store/deliver.c core/store/deliver.h \
	core/store/deliver_target.c core/store/deliver_target.h \
	core/store/entry.c core/store/entry.h \
	core/store/fault.c core/store/fault.h \
	core/store/garbage.c \
	core/store/home.c core/store/internal.h \
	core/store/kv.h core/store/kv_lmdb.c \
	core/store/mailbox.c core/store/mailbox.h \
	core/store/message.c core/store/message.h \
	core/store/metadata.c core/store/metadata.h \
	core/store/op.c core/store/op.h \
	core/store/op_append.c \
	core/store/op_copy.c \
	core/store/op_flags.c \
	core/store/op_mailbox.c \
	core/store/put.h \
	core/store/quota.c core/store/quota.h core/store/quota_parse.c \
	core/store/record.c core/store/record.h \
	core/store/refs.c \
	core/store/rows.c core/store/rows.h \
	core/store/setup.c \
	core/store/since.c core/store/since.h \
	core/store/store.h \
	core/store/sweep.c core/store/sweep.h \
	core/store/thread.c core/store/thread.h \
	core/store/uidset.c core/store/uidset.h \
	core/store/update.h \
	core/store/upgrade.c \
	core/store/view.c core/store/view.h \
	core/store/watch.c \
	core/store/writes.c core/store/writes.h
# Everything below it, in the order of linking; roles add their own in front.
LIBSTORE = core/store/libstore.a
LIBSTORE_ALL = $(LIBSTORE) $(LIBMAIL) $(LIBEVENT) $(LIBCONFIG) $(LIBBASE) $(LMDB_LIBS) $(ICU_LIBS) $(CONFUSE_LIBS)

check_PROGRAMS += tests/unit/test_store
tests_unit_test_store_SOURCES = tests/unit/test_store.c tests/unit/store_fixture.h
tests_unit_test_store_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_store_check
tests_unit_test_store_check_SOURCES = tests/unit/test_store_check.c tests/unit/store_fixture.h
tests_unit_test_store_check_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_store_deliver
tests_unit_test_store_deliver_SOURCES = tests/unit/test_store_deliver.c tests/unit/store_fixture.h
tests_unit_test_store_deliver_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_store_metadata
tests_unit_test_store_metadata_SOURCES = tests/unit/test_store_metadata.c tests/unit/store_fixture.h
tests_unit_test_store_metadata_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_store_upgrade
tests_unit_test_store_upgrade_SOURCES = tests/unit/test_store_upgrade.c tests/unit/store_fixture.h
tests_unit_test_store_upgrade_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=blob_open
tests_unit_test_store_upgrade_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_store_kv
tests_unit_test_store_kv_SOURCES = tests/unit/test_store_kv.c
tests_unit_test_store_kv_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_store_model
tests_unit_test_store_model_SOURCES = tests/unit/test_store_model.c tests/unit/store_fixture.h
tests_unit_test_store_model_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

# Another process on the same homes.
check_PROGRAMS += tests/unit/test_store_process
tests_unit_test_store_process_SOURCES = tests/unit/test_store_process.c tests/unit/store_child.h \
	tests/unit/store_fixture.h
tests_unit_test_store_process_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)
noinst_PROGRAMS += tests/tools/store_writer
tests_tools_store_writer_SOURCES = tests/tools/store_writer.c tests/unit/store_fixture.h
tests_tools_store_writer_LDADD = $(LIBSTORE_ALL) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_store_fault
tests_unit_test_store_fault_SOURCES = tests/unit/test_store_fault.c tests/unit/leave_out.h tests/unit/store_fixture.h
tests_unit_test_store_fault_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=blob_id_new
tests_unit_test_store_fault_LDADD = $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/crash/test_store_kill
tests_crash_test_store_kill_SOURCES = tests/crash/test_store_kill.c tests/unit/store_child.h \
	tests/unit/store_fixture.h
tests_crash_test_store_kill_LDADD = $(LIBSTORE_ALL) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_record
tests_fuzz_fuzz_record_SOURCES = tests/fuzz/fuzz_record.c
tests_fuzz_fuzz_record_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_record_LDADD = $(LIBSTORE_ALL)

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_record
tests_fuzz_replay_record_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_record.c
tests_fuzz_replay_record_LDADD = $(LIBSTORE_ALL)
EXTRA_DIST += tests/fuzz/record.dict \
	tests/fuzz/corpus/record
