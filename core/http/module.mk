# What this folder builds; see Makefile.am.
noinst_LIBRARIES += core/http/libhttp.a
core_http_libhttp_a_SOURCES = core/http/http.c core/http/http.h
LIBHTTP = core/http/libhttp.a $(LIBEVENT) $(CURL_LIBS)
