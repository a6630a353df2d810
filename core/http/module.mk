# What this folder builds; see Makefile.am.
noinst_LIBRARIES += core/http/libhttp.a
core_http_libhttp_a_SOURCES = core/http/http.c core/http/http.h
LIBHTTP = core/http/libhttp.a $(LIBEVENT) $(CURL_LIBS)

check_PROGRAMS += tests/unit/test_http
tests_unit_test_http_SOURCES = tests/unit/test_http.c
tests_unit_test_http_LDADD = $(LIBHTTP) $(LIBTEST) $(CMOCKA_LIBS)
