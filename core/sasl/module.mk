# What this folder builds; see Makefile.am.
noinst_LIBRARIES += core/sasl/libsasl.a
core_sasl_libsasl_a_SOURCES = core/sasl/exchange.c core/sasl/exchange.h
LIBSASL = core/sasl/libsasl.a $(LIBBASE) $(SASL_LIBS)

check_PROGRAMS += tests/unit/test_sasl
tests_unit_test_sasl_SOURCES = tests/unit/test_sasl.c
tests_unit_test_sasl_LDADD = $(LIBSASL) $(CMOCKA_LIBS)
