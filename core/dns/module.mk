noinst_LIBRARIES += core/dns/libdns.a
core_dns_libdns_a_SOURCES = core/dns/dns.c core/dns/dns.h
LIBDNS = core/dns/libdns.a $(LIBEVENT) $(UNBOUND_LIBS)

check_PROGRAMS += tests/unit/test_dns
tests_unit_test_dns_SOURCES = tests/unit/test_dns.c
tests_unit_test_dns_LDADD = $(LIBDNS) $(CMOCKA_LIBS)
