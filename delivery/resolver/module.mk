# The role resolver, which asks the DNS for smtp, and both ends of the channel between them.
noinst_LIBRARIES += delivery/resolver/libresolver.a
delivery_resolver_libresolver_a_SOURCES = \
	delivery/resolver/client.c \
	delivery/resolver/resolver.h \
	delivery/resolver/service.c delivery/resolver/service.h \
	delivery/resolver/wire.c
LIBRESOLVER = delivery/resolver/libresolver.a

pkglibexec_PROGRAMS += postroom-resolver
postroom_resolver_SOURCES = delivery/resolver/main.c
postroom_resolver_LDADD = $(LIBRESOLVER) $(LIBDNS) $(LIBROLE)

check_PROGRAMS += tests/unit/test_resolver
tests_unit_test_resolver_SOURCES = tests/unit/test_resolver.c
tests_unit_test_resolver_LDADD = $(LIBRESOLVER) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_resolver
tests_fuzz_fuzz_resolver_SOURCES = tests/fuzz/fuzz_resolver.c
tests_fuzz_fuzz_resolver_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_resolver_LDADD = $(LIBRESOLVER) $(LIBEVENT)

check_PROGRAMS += tests/fuzz/replay_resolver
tests_fuzz_replay_resolver_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_resolver.c
tests_fuzz_replay_resolver_LDADD = $(LIBRESOLVER) $(LIBEVENT)
EXTRA_DIST += tests/fuzz/corpus/resolver
