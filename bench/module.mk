# What this folder builds; see Makefile.am.
noinst_PROGRAMS += bench/bench_smtp
bench_bench_smtp_SOURCES = bench/bench_smtp.c
bench_bench_smtp_LDADD = $(LIBEVENT)
noinst_PROGRAMS += bench/bench_login
bench_bench_login_SOURCES = bench/bench_login.c
bench_bench_login_LDADD = $(LIBEVENT)
noinst_PROGRAMS += bench/bench_store
bench_bench_store_SOURCES = bench/bench_store.c
bench_bench_store_LDADD = $(LIBSTORE_ALL)
noinst_PROGRAMS += bench/bench_auth
bench_bench_auth_SOURCES = bench/bench_auth.c
bench_bench_auth_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS)
noinst_PROGRAMS += bench/delay_proxy
bench_delay_proxy_SOURCES = bench/delay_proxy.c
bench_delay_proxy_LDADD = $(LIBEVENT)
