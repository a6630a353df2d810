noinst_LIBRARIES += core/mail/libmail.a
core_mail_libmail_a_SOURCES = \
	core/mail/address.c core/mail/address.h \
	core/mail/bodystructure.c core/mail/bodystructure.h \
	core/mail/charset.c core/mail/charset.h \
	core/mail/content.c core/mail/content.h \
	core/mail/date.c core/mail/date.h \
	core/mail/encoded.c core/mail/encoded.h \
	core/mail/envelope.c core/mail/envelope.h \
	core/mail/gist.c core/mail/gist.h \
	core/mail/header.c core/mail/header.h \
	core/mail/idn.c core/mail/idn.h \
	core/mail/imaptext.c core/mail/imaptext.h \
	core/mail/mailbox.c \
	core/mail/mime.c core/mail/mime_index.c core/mail/mime.h \
	core/mail/msgid.c core/mail/msgid.h \
	core/mail/param.c \
	core/mail/preview.c core/mail/preview.h \
	core/mail/search.c core/mail/search.h \
	core/mail/srs.c core/mail/srs.h \
	core/mail/subject.c core/mail/subject.h \
	core/mail/textual.c core/mail/textual.h \
	core/mail/token.c core/mail/token.h \
	core/mail/transfer.c core/mail/transfer.h \
	core/mail/utf7.c core/mail/utf7.h
# What a program that uses mail links: $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
LIBMAIL = core/mail/libmail.a

check_PROGRAMS += tests/unit/test_mail_header tests/unit/test_mail_mime \
	tests/unit/test_mail_preview tests/unit/test_mail_text
tests_unit_test_mail_preview_SOURCES = tests/unit/test_mail_preview.c tests/unit/mailtest.h
tests_unit_test_mail_preview_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
tests_unit_test_mail_header_SOURCES = tests/unit/test_mail_header.c tests/unit/mailtest.h
tests_unit_test_mail_header_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
tests_unit_test_mail_mime_SOURCES = tests/unit/test_mail_mime.c tests/unit/mailtest.h
tests_unit_test_mail_mime_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
tests_unit_test_mail_text_SOURCES = tests/unit/test_mail_text.c tests/unit/mailtest.h
tests_unit_test_mail_text_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
# Prints ENVELOPE, BODYSTRUCTURE and BODY of a file, for tests/integration/test_mime_nasty.py.
noinst_PROGRAMS += tests/tools/mailparse
tests_tools_mailparse_SOURCES = tests/tools/mailparse.c
tests_tools_mailparse_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_mime tests/fuzz/fuzz_address \
	 tests/fuzz/fuzz_date tests/fuzz/fuzz_utf7 tests/fuzz/fuzz_encoded
tests_fuzz_fuzz_mime_SOURCES = tests/fuzz/fuzz_mime.c
tests_fuzz_fuzz_mime_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_mime_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_fuzz_address_SOURCES = tests/fuzz/fuzz_address.c
tests_fuzz_fuzz_address_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_address_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_fuzz_date_SOURCES = tests/fuzz/fuzz_date.c
tests_fuzz_fuzz_date_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_date_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_fuzz_utf7_SOURCES = tests/fuzz/fuzz_utf7.c
tests_fuzz_fuzz_utf7_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_utf7_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_fuzz_encoded_SOURCES = tests/fuzz/fuzz_encoded.c
tests_fuzz_fuzz_encoded_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_encoded_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)

noinst_PROGRAMS += bench/bench_mail
bench_bench_mail_SOURCES = bench/bench_mail.c
bench_bench_mail_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_mime tests/fuzz/replay_address tests/fuzz/replay_date \
	tests/fuzz/replay_utf7 tests/fuzz/replay_encoded
tests_fuzz_replay_mime_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_mime.c
tests_fuzz_replay_mime_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_replay_address_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_address.c
tests_fuzz_replay_address_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_replay_date_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_date.c
tests_fuzz_replay_date_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_replay_utf7_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_utf7.c
tests_fuzz_replay_utf7_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_replay_encoded_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_encoded.c
tests_fuzz_replay_encoded_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
EXTRA_DIST += tests/fuzz/mime.dict tests/fuzz/address.dict tests/fuzz/date.dict tests/fuzz/utf7.dict tests/fuzz/encoded.dict \
	tests/fuzz/corpus/mime tests/fuzz/corpus/address tests/fuzz/corpus/date tests/fuzz/corpus/utf7 tests/fuzz/corpus/encoded

check_PROGRAMS += tests/unit/test_srs
tests_unit_test_srs_SOURCES = tests/unit/test_srs.c
tests_unit_test_srs_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(OPENSSL_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_srs
tests_fuzz_fuzz_srs_SOURCES = tests/fuzz/fuzz_srs.c
tests_fuzz_fuzz_srs_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_srs_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(OPENSSL_LIBS)

check_PROGRAMS += tests/fuzz/replay_srs
tests_fuzz_replay_srs_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_srs.c
tests_fuzz_replay_srs_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(OPENSSL_LIBS)
EXTRA_DIST += tests/fuzz/srs.dict tests/fuzz/corpus/srs
