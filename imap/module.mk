# What this folder builds; see Makefile.am.
include imap/gate/module.mk

noinst_LIBRARIES += imap/libimap.a
imap_libimap_a_SOURCES = \
	imap/grammar/args_append.c imap/grammar/args_append.h \
	imap/grammar/args_fetch.c imap/grammar/args_fetch.h \
	imap/grammar/args_list.c imap/grammar/args_list.h \
	imap/grammar/args_mailbox.c imap/grammar/args_mailbox.h \
	imap/grammar/args_metadata.c imap/grammar/args_metadata.h \
	imap/grammar/args_notify.c imap/grammar/args_notify.h \
	imap/grammar/args_return.c \
	imap/grammar/args_search.c imap/grammar/args_search.h \
	imap/grammar/parse.c imap/grammar/parse.h \
	imap/grammar/pattern.c imap/grammar/pattern.h \
	imap/grammar/reader.c imap/grammar/reader.h \
	imap/grammar/url.c imap/grammar/url.h \
	imap/session/announce.c imap/session/announce.h \
	imap/session/command.h imap/session/commands.h \
	imap/session/changed.c imap/session/changed.h \
	imap/session/cmd_basic.c \
	imap/session/cold.c imap/session/cold.h \
	imap/session/fields.c imap/session/fields.h \
	imap/session/limit.c imap/session/limit.h \
	imap/session/listing.c imap/session/listing.h \
	imap/session/names.c imap/session/names.h \
	imap/session/mark.h \
	imap/session/notify.c imap/session/notify.h \
	imap/session/notify_entries.c \
	imap/session/notify_look.c \
	imap/session/objectid.c imap/session/objectid.h \
	imap/session/recall.c imap/session/recall.h \
	imap/session/rows.c imap/session/rows.h \
	imap/session/section_range.c imap/session/section_range.h \
	imap/session/session.c imap/session/session.h \
	imap/session/step.c imap/session/step.h \
	imap/session/sync.c imap/session/sync.h \
	imap/session/told.c imap/session/told.h \
	imap/session/use.c \
	imap/session/user.c imap/session/user.h \
	imap/session/write.c imap/session/write.h \
	imap/append/cmd_append.c \
	imap/append/cmd_copy.c \
	imap/append/url_part.c imap/append/url_part.h \
	imap/fetch/binary.c imap/fetch/binary.h \
	imap/fetch/cmd_fetch.c \
	imap/fetch/cmd_store.c \
	imap/fetch/partial.c imap/fetch/partial.h \
	imap/fetch/row.c imap/fetch/row.h \
	imap/fetch/section.c imap/fetch/section.h \
	imap/mailbox/cmd_list.c \
	imap/mailbox/cmd_mailbox.c \
	imap/mailbox/cmd_metadata.c \
	imap/mailbox/cmd_notify.c \
	imap/mailbox/cmd_quota.c \
	imap/mailbox/cmd_select.c \
	imap/mailbox/cmd_status.c \
	imap/search/aside.c imap/search/aside.h \
	imap/search/batch.c imap/search/batch.h \
	imap/search/cmd_search.c \
	imap/search/match.c imap/search/match.h \
	imap/search/order.c imap/search/order.h \
	imap/search/result.c imap/search/result.h \
	imap/search/sort.c imap/search/sort.h \
	imap/search/sort_insert.c imap/search/sort_insert.h \
	imap/search/sortkey.c imap/search/sortkey.h \
	imap/search/thread.c imap/search/thread.h \
	imap/search/thread_job.c imap/search/thread_job.h \
	imap/search/thread_words.c imap/search/thread_words.h \
	imap/table.c
LIBIMAP = imap/libimap.a core/authclient/libauthclient.a

check_PROGRAMS += tests/unit/test_imap_parse
tests_unit_test_imap_parse_SOURCES = tests/unit/test_imap_parse.c
tests_unit_test_imap_parse_LDADD = $(LIBIMAP) $(LIBBASE) $(LIBTEST) $(CMOCKA_LIBS)

pkglibexec_PROGRAMS += postroom-imap
postroom_imap_SOURCES = imap/main.c
postroom_imap_LDADD = $(LIBIMAP) $(LIBHANDOVER) $(LIBSTORE_ALL) $(LIBROLE)

check_PROGRAMS += tests/unit/test_imap_session
tests_unit_test_imap_session_SOURCES = tests/unit/test_imap_session.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_session_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_sync
tests_unit_test_imap_sync_SOURCES = tests/unit/test_imap_sync.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_sync_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_imap_notify
tests_unit_test_imap_notify_SOURCES = tests/unit/test_imap_notify.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_notify_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_imap_fetch
tests_unit_test_imap_fetch_SOURCES = tests/unit/test_imap_fetch.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_fetch_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

imap_disk_ldflags = $(AM_LDFLAGS) -Wl,--wrap=preadv2 -Wl,--wrap=pread -Wl,--wrap=posix_fadvise \
	-Wl,--wrap=mincore -Wl,--wrap=madvise -Wl,--wrap=blob_open_cached -Wl,--wrap=message_envelope
check_PROGRAMS += tests/unit/test_imap_cold
tests_unit_test_imap_cold_SOURCES = tests/unit/test_imap_cold.c tests/unit/imap_disk.h tests/unit/imap_client.h \
	tests/unit/imap_case.h
tests_unit_test_imap_cold_LDFLAGS = $(imap_disk_ldflags)
tests_unit_test_imap_cold_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_imap_unreadable
tests_unit_test_imap_unreadable_SOURCES = tests/unit/test_imap_unreadable.c tests/unit/imap_disk.h tests/unit/imap_client.h \
	tests/unit/imap_case.h
tests_unit_test_imap_unreadable_LDFLAGS = $(imap_disk_ldflags)
tests_unit_test_imap_unreadable_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

IMAP_GRAMMAR = tests/fuzz/imap_grammar.c tests/fuzz/imap_grammar.h tests/fuzz/imap_rules.h
IMAP_PAIR = tests/unit/imap_answer.c tests/unit/imap_answer.h tests/unit/imap_model.c tests/unit/imap_model.h \
	tests/unit/imap_memory.c tests/unit/imap_memory.h tests/unit/imap_pair_sync.c \
	tests/unit/imap_pair.c tests/unit/imap_pair.h tests/unit/imap_client.h $(IMAP_GRAMMAR)

check_PROGRAMS += tests/unit/test_imap_grammar
tests_unit_test_imap_grammar_SOURCES = tests/unit/test_imap_grammar.c $(IMAP_GRAMMAR)
tests_unit_test_imap_grammar_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_model
tests_unit_test_imap_model_SOURCES = tests/unit/test_imap_model.c tests/unit/imap_answer.c tests/unit/imap_answer.h \
	tests/unit/imap_model.c tests/unit/imap_model.h tests/unit/imap_memory.c tests/unit/imap_memory.h
tests_unit_test_imap_model_LDADD = $(LIBBASE) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_append
tests_unit_test_imap_append_SOURCES = tests/unit/test_imap_append.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_append_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_rev2
tests_unit_test_imap_rev2_SOURCES = tests/unit/test_imap_rev2.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_rev2_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_limit
tests_unit_test_imap_limit_SOURCES = tests/unit/test_imap_limit.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_limit_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_resync
tests_unit_test_imap_resync_SOURCES = tests/unit/test_imap_resync.c tests/unit/imap_client.h
tests_unit_test_imap_resync_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_search
tests_unit_test_imap_search_SOURCES = tests/unit/test_imap_search.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_search_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_thread
tests_unit_test_imap_thread_SOURCES = tests/unit/test_imap_thread.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_thread_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_recall
tests_unit_test_imap_recall_SOURCES = tests/unit/test_imap_recall.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_recall_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_store
tests_unit_test_imap_store_SOURCES = tests/unit/test_imap_store.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_store_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_fault
tests_unit_test_imap_fault_SOURCES = tests/unit/test_imap_fault.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_fault_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_mailbox
tests_unit_test_imap_mailbox_SOURCES = tests/unit/test_imap_mailbox.c tests/unit/imap_client.h tests/unit/imap_case.h
tests_unit_test_imap_mailbox_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_random
tests_unit_test_imap_random_SOURCES = tests/unit/test_imap_random.c $(IMAP_PAIR)
tests_unit_test_imap_random_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_imap
tests_fuzz_fuzz_imap_SOURCES = tests/fuzz/fuzz_imap.c tests/fuzz/imap_mutator.c $(IMAP_GRAMMAR)
tests_fuzz_fuzz_imap_LDADD = $(LIBIMAP) $(LIBSTORE_ALL)
tests_fuzz_fuzz_imap_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

FUZZ_TARGETS += tests/fuzz/fuzz_imap_command
tests_fuzz_fuzz_imap_command_SOURCES = tests/fuzz/fuzz_imap_command.c $(IMAP_GRAMMAR)
tests_fuzz_fuzz_imap_command_LDADD = $(LIBIMAP) $(LIBSTORE_ALL)
tests_fuzz_fuzz_imap_command_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

FUZZ_TARGETS += tests/fuzz/fuzz_imap_session
tests_fuzz_fuzz_imap_session_SOURCES = tests/fuzz/fuzz_imap_session.c $(IMAP_PAIR)
tests_fuzz_fuzz_imap_session_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(CMOCKA_LIBS)
tests_fuzz_fuzz_imap_session_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_imap tests/fuzz/replay_imap_command
tests_fuzz_replay_imap_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_imap.c
tests_fuzz_replay_imap_LDADD = $(LIBIMAP) $(LIBSTORE_ALL)
tests_fuzz_replay_imap_command_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_imap_command.c $(IMAP_GRAMMAR)
tests_fuzz_replay_imap_command_LDADD = $(LIBIMAP) $(LIBSTORE_ALL)
EXTRA_DIST += tests/fuzz/imap.dict \
	tests/fuzz/corpus/imap tests/fuzz/corpus/imap_command tests/fuzz/corpus/imap_session

dist_check_SCRIPTS += tests/check-capabilities.sh
tests/check-capabilities.log: postroom-imap
