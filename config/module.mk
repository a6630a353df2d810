noinst_LIBRARIES += config/libconfig.a
config_libconfig_a_SOURCES = \
	config/check.c config/check_aliases.c config/check_backends.c config/check_relay.c config/check_smtp.c config/dnsbl.c config/dnsbl.h config/convert.c config/rows.c config/rows.h config/print.c config/pack.c config/relay_section.c \
	config/grammar.c config/grammar.h config/scan.c config/scan.h \
	config/schema.c \
	config/settings.c config/settings.h config/table.h config/table_backends.h config/table_checks.h config/table_directory.h config/table_imap.h config/table_relay.h config/table_smtp.h
LIBCONFIG = config/libconfig.a

noinst_PROGRAMS += config/manual
config_manual_SOURCES = config/manual.c
config_manual_LDADD = $(LIBCONFIG) $(LIBBASE) $(CONFUSE_LIBS)

check_PROGRAMS += tests/unit/test_settings
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_LDADD = $(LIBCONFIG) $(LIBBASE) $(CONFUSE_LIBS) $(LIBTEST) $(CMOCKA_LIBS)

