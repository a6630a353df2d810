noinst_LIBRARIES += core/event/libevent.a
core_event_libevent_a_SOURCES = \
	core/event/connect.c core/event/connect.h \
	core/event/counts.c core/event/counts.h \
	core/event/deflate.c core/event/deflate.h \
	core/event/ipc.c core/event/ipc.h \
	core/event/ipc_client.c core/event/ipc_client.h \
	core/event/listener.c core/event/listener.h \
	core/event/loop.c core/event/loop.h \
	core/event/outq.c core/event/outq.h \
	core/event/pool.c core/event/pool.h \
	core/event/stream.c core/event/stream.h \
	core/event/tls.c core/event/tls.h
# What links this folder: the archive, what lies below it, and the foreign libraries.
LIBEVENT = core/event/libevent.a $(LIBBASE) $(LIBEV_LIBS) $(OPENSSL_LIBS) $(ZLIB_LIBS)

check_PROGRAMS += tests/unit/test_stream
tests_unit_test_stream_SOURCES = tests/unit/test_stream.c tests/unit/stream_case.h tests/unit/tls_pem.h
tests_unit_test_stream_LDADD = $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_stream_deflate
tests_unit_test_stream_deflate_SOURCES = tests/unit/test_stream_deflate.c tests/unit/stream_case.h tests/unit/tls_pem.h
tests_unit_test_stream_deflate_LDADD = $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_event
tests_unit_test_event_SOURCES = tests/unit/test_event.c
tests_unit_test_event_LDADD = $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_pool
tests_unit_test_pool_SOURCES = tests/unit/test_pool.c
tests_unit_test_pool_LDADD = $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_counts
tests_unit_test_counts_SOURCES = tests/unit/test_counts.c
tests_unit_test_counts_LDADD = $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_tls_peer
tests_unit_test_tls_peer_SOURCES = tests/unit/test_tls_peer.c tests/unit/tls_pem.h
tests_unit_test_tls_peer_LDADD = $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)
