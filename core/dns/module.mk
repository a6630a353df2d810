noinst_LIBRARIES += core/dns/libdns.a
core_dns_libdns_a_SOURCES = core/dns/dns.c core/dns/dns.h \
	core/dns/servers.c core/dns/servers.h
LIBDNS = core/dns/libdns.a $(LIBEVENT) $(UNBOUND_LIBS)

check_PROGRAMS += tests/unit/test_dns
tests_unit_test_dns_SOURCES = tests/unit/test_dns.c
tests_unit_test_dns_LDADD = $(LIBDNS) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_dns_record
tests_fuzz_fuzz_dns_record_SOURCES = tests/fuzz/fuzz_dns_record.c
tests_fuzz_fuzz_dns_record_LDADD = $(LIBDNS)
tests_fuzz_fuzz_dns_record_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/dns_record.dict tests/fuzz/corpus/dns_record

check_PROGRAMS += tests/fuzz/replay_dns_record
tests_fuzz_replay_dns_record_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_dns_record.c
tests_fuzz_replay_dns_record_LDADD = $(LIBDNS)
