# What this folder builds; see Makefile.am.
noinst_LIBRARIES += core/sasl/libsasl.a
core_sasl_libsasl_a_SOURCES = core/sasl/exchange.c core/sasl/exchange.h \
	core/sasl/bearer.c core/sasl/bearer.h core/sasl/library.c core/sasl/library.h \
	core/sasl/login.c core/sasl/login.h \
	core/sasl/mechanism.c core/sasl/mechanism.h
LIBSASL = core/sasl/libsasl.a $(LIBBASE) $(SASL_LIBS) $(GSSAPI_LIBS)

check_PROGRAMS += tests/unit/test_sasl
tests_unit_test_sasl_SOURCES = tests/unit/test_sasl.c
tests_unit_test_sasl_LDADD = $(LIBSASL) $(OPENSSL_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
