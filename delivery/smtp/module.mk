# postroom-smtp: submission, and mail from other servers.
noinst_LIBRARIES += delivery/smtp/libsmtp.a
delivery_smtp_libsmtp_a_SOURCES = \
	delivery/smtp/checks.c delivery/smtp/checks.h \
	delivery/smtp/client_name.c delivery/smtp/client_name.h \
	delivery/smtp/command.c delivery/smtp/command.h \
	delivery/smtp/dnslist.c delivery/smtp/dnslist.h \
	delivery/smtp/domain.c delivery/smtp/domain.h \
	delivery/smtp/dots.c delivery/smtp/dots.h \
	delivery/smtp/header.c delivery/smtp/header.h \
	delivery/smtp/lookup.c delivery/smtp/lookup.h \
	delivery/smtp/path.c \
	delivery/smtp/posting.c delivery/smtp/posting.h \
	delivery/smtp/proxy.c delivery/smtp/proxy.h \
	delivery/smtp/rates.c delivery/smtp/rates.h \
	delivery/smtp/room.c delivery/smtp/room.h \
	delivery/smtp/reply.c delivery/smtp/reply.h \
	delivery/smtp/server.c delivery/smtp/server.h \
	delivery/smtp/session.c delivery/smtp/session.h \
	delivery/smtp/session_ahead.c delivery/smtp/session_ahead.h \
	delivery/smtp/session_auth.c \
	delivery/smtp/session_check.c delivery/smtp/session_check.h \
	delivery/smtp/session_data.c \
	delivery/smtp/session_mail.c \
	delivery/smtp/session_xclient.c \
	delivery/smtp/xclient.c delivery/smtp/xclient.h \
	delivery/smtp/wishes.c
LIBSMTP = delivery/smtp/libsmtp.a

pkglibexec_PROGRAMS += postroom-smtp
postroom_smtp_SOURCES = delivery/smtp/main.c
postroom_smtp_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBSPOOL) $(LIBMAIL) $(LIBAUTHCLIENT) $(LIBROLE) $(ICU_LIBS)

check_PROGRAMS += tests/unit/test_smtp
tests_unit_test_smtp_SOURCES = tests/unit/test_smtp.c
tests_unit_test_smtp_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBSPOOL) $(LIBMAIL) $(LIBAUTHCLIENT) $(LIBCONFIG) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_smtp_command
tests_fuzz_fuzz_smtp_command_SOURCES = tests/fuzz/fuzz_smtp_command.c
tests_fuzz_fuzz_smtp_command_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_smtp_command_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_smtp_data
tests_fuzz_fuzz_smtp_data_SOURCES = tests/fuzz/fuzz_smtp_data.c
tests_fuzz_fuzz_smtp_data_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_smtp_data_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)

check_PROGRAMS += tests/unit/test_smtp_session
tests_unit_test_smtp_session_SOURCES = tests/unit/test_smtp_session.c \
	tests/unit/smtp_fakes.c tests/unit/smtp_fakes.h
tests_unit_test_smtp_session_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBMAIL) core/sasl/libsasl.a $(LIBCONFIG) $(LIBEVENT) $(ICU_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_smtp_relay
tests_unit_test_smtp_relay_SOURCES = tests/unit/test_smtp_relay.c \
	tests/unit/smtp_fakes.c tests/unit/smtp_fakes.h
tests_unit_test_smtp_relay_LDADD = $(tests_unit_test_smtp_session_LDADD)

check_PROGRAMS += tests/unit/test_smtp_utf8
tests_unit_test_smtp_utf8_SOURCES = tests/unit/test_smtp_utf8.c tests/unit/smtp_say.h \
	tests/unit/smtp_fakes.c tests/unit/smtp_fakes.h
tests_unit_test_smtp_utf8_LDADD = $(tests_unit_test_smtp_session_LDADD)

check_PROGRAMS += tests/unit/test_smtp_xclient
tests_unit_test_smtp_xclient_SOURCES = tests/unit/test_smtp_xclient.c tests/unit/smtp_say.h \
	tests/unit/smtp_fakes.c tests/unit/smtp_fakes.h
tests_unit_test_smtp_xclient_LDADD = $(tests_unit_test_smtp_session_LDADD)

check_PROGRAMS += tests/unit/test_smtp_room
tests_unit_test_smtp_room_SOURCES = tests/unit/test_smtp_room.c tests/unit/scripted.h
tests_unit_test_smtp_room_LDADD = $(LIBSMTP) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_smtp_checks
tests_unit_test_smtp_checks_SOURCES = tests/unit/test_smtp_checks.c \
	tests/unit/smtp_fakes.c tests/unit/smtp_fakes.h
tests_unit_test_smtp_checks_LDADD = $(tests_unit_test_smtp_session_LDADD)

check_PROGRAMS += tests/unit/test_smtp_binary
tests_unit_test_smtp_binary_SOURCES = tests/unit/test_smtp_binary.c tests/unit/smtp_say.h \
	tests/unit/smtp_fakes.c tests/unit/smtp_fakes.h
tests_unit_test_smtp_binary_LDADD = $(tests_unit_test_smtp_session_LDADD)

FUZZ_TARGETS += tests/fuzz/fuzz_smtp_session
tests_fuzz_fuzz_smtp_session_SOURCES = tests/fuzz/fuzz_smtp_session.c \
	tests/unit/smtp_fakes.c tests/unit/smtp_fakes.h
tests_fuzz_fuzz_smtp_session_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_smtp_session_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBMAIL) core/sasl/libsasl.a $(LIBCONFIG) $(LIBEVENT) $(ICU_LIBS)

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_smtp_command tests/fuzz/replay_smtp_data tests/fuzz/replay_smtp_session
tests_fuzz_replay_smtp_command_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_smtp_command.c
tests_fuzz_replay_smtp_command_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_replay_smtp_data_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_smtp_data.c
tests_fuzz_replay_smtp_data_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
tests_fuzz_replay_smtp_session_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_smtp_session.c tests/unit/smtp_fakes.c tests/unit/smtp_fakes.h
tests_fuzz_replay_smtp_session_LDADD = $(LIBSMTP) $(LIBRESOLVER) $(LIBMAIL) core/sasl/libsasl.a $(LIBCONFIG) $(LIBEVENT) $(ICU_LIBS)
EXTRA_DIST += tests/fuzz/smtp_command.dict \
	tests/fuzz/corpus/smtp_command \
	tests/fuzz/smtp_data.dict \
	tests/fuzz/corpus/smtp_data \
	tests/fuzz/smtp_session.dict \
	tests/fuzz/corpus/smtp_session
