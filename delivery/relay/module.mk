# The channel between queue and relay, both ends.
noinst_LIBRARIES += delivery/relay/librelay.a
delivery_relay_librelay_a_SOURCES = \
	delivery/relay/client.c \
	delivery/relay/relay.h \
	delivery/relay/wire.c
LIBRELAY = delivery/relay/librelay.a

check_PROGRAMS += tests/unit/test_relay_channel
tests_unit_test_relay_channel_SOURCES = tests/unit/test_relay_channel.c
tests_unit_test_relay_channel_LDADD = $(LIBRELAY) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_relay_channel
tests_fuzz_fuzz_relay_channel_SOURCES = tests/fuzz/fuzz_relay_channel.c
tests_fuzz_fuzz_relay_channel_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_relay_channel_LDADD = $(LIBRELAY) $(LIBEVENT)

check_PROGRAMS += tests/fuzz/replay_relay_channel
tests_fuzz_replay_relay_channel_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_relay_channel.c
tests_fuzz_replay_relay_channel_LDADD = $(LIBRELAY) $(LIBEVENT)
EXTRA_DIST += tests/fuzz/corpus/relay_channel
