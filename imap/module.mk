# What this folder builds; see Makefile.am.
include imap/gate.mk

noinst_LIBRARIES += imap/libimap.a
imap_libimap_a_SOURCES = \
	imap/args.c imap/args.h imap/args_search.c \
	imap/cmd_append.c imap/cmd_basic.c imap/cmd_copy.c imap/cmd_fetch.c imap/cmd_list.c \
	imap/cmd_mailbox.c imap/cmd_search.c imap/cmd_select.c imap/cmd_store.c imap/commands.h \
	imap/fields.c imap/fields.h \
	imap/match.c imap/match.h \
	imap/parse.c imap/parse.h \
	imap/pattern.c imap/pattern.h \
	imap/reader.c imap/reader.h \
	imap/rows.c imap/rows.h \
	imap/section.c imap/section.h \
	imap/command.h imap/session.c imap/session.h imap/step.c imap/step.h \
	imap/sync.c \
	imap/table.c imap/use.c \
	imap/write.c imap/write.h
LIBIMAP = imap/libimap.a

check_PROGRAMS += tests/unit/test_imap_parse
tests_unit_test_imap_parse_SOURCES = tests/unit/test_imap_parse.c
tests_unit_test_imap_parse_LDADD = $(LIBIMAP) $(LIBBASE) $(CMOCKA_LIBS)

pkglibexec_PROGRAMS += postroom-imap
postroom_imap_SOURCES = imap/main.c
postroom_imap_LDADD = $(LIBIMAP) $(LIBHANDOVER) $(LIBSTORE_ALL) $(LIBROLE)

check_PROGRAMS += tests/unit/test_imap_session
tests_unit_test_imap_session_SOURCES = tests/unit/test_imap_session.c tests/unit/imap_client.h
tests_unit_test_imap_session_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_imap_random
tests_unit_test_imap_random_SOURCES = tests/unit/test_imap_random.c tests/unit/imap_client.h
tests_unit_test_imap_random_LDADD = $(LIBIMAP) $(LIBSTORE_ALL) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_imap
tests_fuzz_fuzz_imap_SOURCES = tests/fuzz/fuzz_imap.c
tests_fuzz_fuzz_imap_LDADD = $(LIBIMAP) $(LIBSTORE_ALL)
tests_fuzz_fuzz_imap_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_imap
tests_fuzz_replay_imap_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_imap.c
tests_fuzz_replay_imap_LDADD = $(LIBIMAP) $(LIBSTORE_ALL)
EXTRA_DIST += tests/fuzz/imap.dict \
	tests/fuzz/corpus/imap
