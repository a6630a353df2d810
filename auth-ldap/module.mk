# What this folder builds; see Makefile.am.
noinst_LIBRARIES += auth-ldap/libauth.a
auth_ldap_libauth_a_SOURCES = \
	auth-ldap/backend/backend.c auth-ldap/backend/backend.h \
	auth-ldap/backend/kinds.c auth-ldap/backend/kinds.h \
	auth-ldap/backend/worker_backend.c \
	auth-ldap/backend/worker_wire.c auth-ldap/backend/worker_wire.h \
	auth-ldap/backend/workers.c auth-ldap/backend/workers.h \
	auth-ldap/backend/reason.c auth-ldap/backend/reason.h \
	auth-ldap/backend/salt.c auth-ldap/backend/salt.h \
	auth-ldap/backend/trace.c auth-ldap/backend/trace.h \
	auth-ldap/backend/user.c auth-ldap/backend/user.h \
	auth-ldap/front/aliases.c auth-ldap/front/aliases.h \
	auth-ldap/front/expand.c auth-ldap/front/expand.h \
	auth-ldap/front/expand_impl.h auth-ldap/front/expand_items.c \
	auth-ldap/server/fake_keys.c auth-ldap/server/fake_keys.h \
	auth-ldap/server/token.c auth-ldap/server/token.h \
	auth-ldap/front/backends.c auth-ldap/front/backends.h \
	auth-ldap/front/cache.c auth-ldap/front/cache.h \
	auth-ldap/front/check.c \
	auth-ldap/front/front.c auth-ldap/front/front.h auth-ldap/front/front_impl.h \
	auth-ldap/front/homes.c auth-ldap/front/homes.h \
	auth-ldap/front/login.c \
	auth-ldap/front/memory.c auth-ldap/front/memory.h auth-ldap/front/memory_impl.h \
	auth-ldap/front/memory_keep.c \
	auth-ldap/front/penalty.c auth-ldap/front/penalty.h \
	auth-ldap/front/policy.c auth-ldap/front/policy.h \
	auth-ldap/front/same_name.c auth-ldap/front/same_name.h \
	auth-ldap/front/walk.c auth-ldap/front/walk.h \
	auth-ldap/server/access.c auth-ldap/server/access.h \
	auth-ldap/server/admin_server.c \
	auth-ldap/server/auth_server.c \
	auth-ldap/server/login.c auth-ldap/server/login.h auth-ldap/server/login_answer.c \
	auth-ldap/ldap/bind.c auth-ldap/ldap/entry.c auth-ldap/ldap/wire.c \
	auth-ldap/ldap/conn.c auth-ldap/ldap/conn.h auth-ldap/ldap/conn_impl.h \
	auth-ldap/ldap/gss.c auth-ldap/ldap/gss.h \
	auth-ldap/ldap/options.c auth-ldap/ldap/options.h \
	auth-ldap/ldap/op.h auth-ldap/ldap/ranges.c auth-ldap/ldap/referral.c \
	auth-ldap/ldap/search.c auth-ldap/ldap/search.h auth-ldap/ldap/search_impl.h \
	auth-ldap/ldap/reason.c auth-ldap/ldap/reason.h \
	auth-ldap/ldap/binders.c \
	auth-ldap/ldap/frame.c auth-ldap/ldap/frame.h \
	auth-ldap/ldap/pool.c auth-ldap/ldap/pool.h auth-ldap/ldap/pool_impl.h \
	auth-ldap/ldap/searches.c auth-ldap/ldap/servers.c \
	auth-ldap/ldap/srv.c auth-ldap/ldap/srv.h \
	auth-ldap/ldap/target.c \
	auth-ldap/ldap/url.c auth-ldap/ldap/url.h \
	auth-ldap/directory/result.c auth-ldap/directory/result.h \
	auth-ldap/directory/entry_members.c auth-ldap/directory/member_batch.c \
	auth-ldap/directory/member_settings.c \
	auth-ldap/directory/probe.c auth-ldap/directory/probe.h \
	auth-ldap/directory/members.c auth-ldap/directory/members.h auth-ldap/directory/members_impl.h \
	auth-ldap/directory/rdn.c auth-ldap/directory/rdn.h \
	auth-ldap/directory/rights.c auth-ldap/directory/transport.c \
	auth-ldap/name/filter.c auth-ldap/name/filter.h \
	auth-ldap/name/name.c auth-ldap/name/name.h \
	auth-ldap/directory/attributes.c auth-ldap/directory/attributes.h \
	auth-ldap/directory/entry.c auth-ldap/directory/users.c auth-ldap/directory/users_impl.h \
	auth-ldap/directory/login.c \
	auth-ldap/directory/secret.c auth-ldap/directory/secret.h \
	auth-ldap/directory/section.c auth-ldap/directory/section.h auth-ldap/directory/section_impl.h \
	auth-ldap/name/template.c auth-ldap/name/template.h \
	auth-ldap/server/proto.c auth-ldap/server/proto.h \
	auth-ldap/server/service.c auth-ldap/server/service.h \
	auth-ldap/server/socketmap_server.c \
	auth-ldap/server/userdb_server.c
LIBAUTH = auth-ldap/libauth.a $(LIBMAIL) $(ICU_LIBS) $(LIBDNS) $(LIBHTTP) $(LIBPASSWD) $(JSONC_LIBS)

pkglibexec_PROGRAMS += postroom-auth
postroom_auth_SOURCES = auth-ldap/main.c
postroom_auth_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBROLE) $(LIBSASL) $(LDAP_LIBS)

noinst_PROGRAMS += tests/tools/run_role
tests_tools_run_role_SOURCES = tests/tools/run_role.c
tests_tools_run_role_LDADD = $(LIBROLE)

check_PROGRAMS += tests/unit/test_front tests/unit/test_auth_service
tests_unit_test_auth_service_SOURCES = tests/unit/test_auth_service.c
tests_unit_test_auth_service_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBCONFIG) $(CONFUSE_LIBS) $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)
tests_unit_test_front_SOURCES = tests/unit/test_front.c tests/unit/front_case.h
tests_unit_test_front_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=hmap_get -Wl,--wrap=hmap_next
tests_unit_test_front_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBCONFIG) $(CONFUSE_LIBS) $(LIBEVENT) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_front_guesses
tests_unit_test_front_guesses_SOURCES = tests/unit/test_front_guesses.c tests/unit/front_case.h
tests_unit_test_front_guesses_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBCONFIG) $(CONFUSE_LIBS) $(LIBEVENT) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_front_cache
tests_unit_test_front_cache_SOURCES = tests/unit/test_front_cache.c tests/unit/front_case.h
tests_unit_test_front_cache_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBCONFIG) $(CONFUSE_LIBS) $(LIBEVENT) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_auth_name tests/unit/test_auth_proto tests/unit/test_auth_server
tests_unit_test_auth_name_SOURCES = tests/unit/test_auth_name.c
tests_unit_test_auth_name_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
tests_unit_test_auth_proto_SOURCES = tests/unit/test_auth_proto.c
tests_unit_test_auth_proto_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBTEST) $(CMOCKA_LIBS)
tests_unit_test_auth_server_SOURCES = tests/unit/test_auth_server.c
tests_unit_test_auth_server_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBSASL) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_auth_protocol tests/fuzz/fuzz_socketmap
tests_fuzz_fuzz_auth_protocol_SOURCES = tests/fuzz/fuzz_auth_protocol.c
tests_fuzz_fuzz_auth_protocol_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBSASL) $(LDAP_LIBS)
tests_fuzz_fuzz_auth_protocol_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_socketmap_SOURCES = tests/fuzz/fuzz_socketmap.c
tests_fuzz_fuzz_socketmap_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS)
tests_fuzz_fuzz_socketmap_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/auth_protocol.dict tests/fuzz/socketmap.dict \
	tests/fuzz/corpus/auth_protocol tests/fuzz/corpus/socketmap

# The targets' own corpora, replayed by make check.
check_PROGRAMS += tests/fuzz/replay_auth_protocol tests/fuzz/replay_socketmap
tests_fuzz_replay_auth_protocol_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_auth_protocol.c
tests_fuzz_replay_auth_protocol_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBSASL) $(LDAP_LIBS)
tests_fuzz_replay_socketmap_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_socketmap.c
tests_fuzz_replay_socketmap_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS)

# The examiner of tokens.
check_PROGRAMS += tests/unit/test_auth_token tests/fuzz/replay_token
tests_unit_test_auth_token_SOURCES = tests/unit/test_auth_token.c
tests_unit_test_auth_token_LDADD = $(LIBAUTH) $(LIBTEST) $(CMOCKA_LIBS)
FUZZ_TARGETS += tests/fuzz/fuzz_token
tests_fuzz_fuzz_token_SOURCES = tests/fuzz/fuzz_token.c
tests_fuzz_fuzz_token_LDADD = $(LIBAUTH)
tests_fuzz_fuzz_token_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_replay_token_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_token.c
tests_fuzz_replay_token_LDADD = $(LIBAUTH)
EXTRA_DIST += tests/fuzz/token.dict tests/fuzz/corpus/token

check_PROGRAMS += tests/unit/test_auth_expand
tests_unit_test_auth_expand_SOURCES = tests/unit/test_auth_expand.c
tests_unit_test_auth_expand_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBCONFIG) $(LIBBASE) $(LDAP_LIBS) $(CONFUSE_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_auth_result
tests_unit_test_auth_result_SOURCES = tests/unit/test_auth_result.c
tests_unit_test_auth_result_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_ldap_url
tests_fuzz_fuzz_ldap_url_SOURCES = tests/fuzz/fuzz_ldap_url.c
tests_fuzz_fuzz_ldap_url_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS)
tests_fuzz_fuzz_ldap_url_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/ldap_url.dict tests/fuzz/corpus/ldap_url
check_PROGRAMS += tests/fuzz/replay_ldap_url
tests_fuzz_replay_ldap_url_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_ldap_url.c
tests_fuzz_replay_ldap_url_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS)

include auth-ldap/ldap/module.mk

check_PROGRAMS += tests/unit/test_auth_filter
tests_unit_test_auth_filter_SOURCES = tests/unit/test_auth_filter.c tests/unit/ldap_syntax.h
tests_unit_test_auth_filter_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_auth_template
tests_unit_test_auth_template_SOURCES = tests/unit/test_auth_template.c tests/unit/ldap_syntax.h
tests_unit_test_auth_template_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_template
tests_fuzz_fuzz_template_SOURCES = tests/fuzz/fuzz_template.c tests/unit/ldap_syntax.h
tests_fuzz_fuzz_template_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS)
tests_fuzz_fuzz_template_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/template.dict tests/fuzz/corpus/template
check_PROGRAMS += tests/fuzz/replay_template
tests_fuzz_replay_template_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz_template.c
tests_fuzz_replay_template_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS)

check_PROGRAMS += tests/unit/test_ldap_srv
tests_unit_test_ldap_srv_SOURCES = tests/unit/test_ldap_srv.c
tests_unit_test_ldap_srv_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_auth_attributes
tests_unit_test_auth_attributes_SOURCES = tests/unit/test_auth_attributes.c
tests_unit_test_auth_attributes_LDADD = $(LIBAUTH) $(LIBAUTHCLIENT) $(LIBTEST) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_auth_section
tests_unit_test_auth_section_SOURCES = tests/unit/test_auth_section.c tests/unit/auth_section_case.h \
	tests/unit/fake_pool.h
tests_unit_test_auth_section_LDADD = $(LIBAUTH) $(LIBCONFIG) $(LIBAUTHCLIENT) $(CONFUSE_LIBS) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_auth_section_settings
tests_unit_test_auth_section_settings_SOURCES = tests/unit/test_auth_section_settings.c \
	tests/unit/auth_section_case.h tests/unit/fake_pool.h
tests_unit_test_auth_section_settings_LDADD = $(LIBAUTH) $(LIBCONFIG) $(LIBAUTHCLIENT) $(CONFUSE_LIBS) $(LDAP_LIBS) $(LIBTEST) $(CMOCKA_LIBS)
