noinst_LIBRARIES += core/passwd/libpasswd.a
core_passwd_libpasswd_a_SOURCES = \
	core/passwd/argon2.c \
	core/passwd/crypt.c \
	core/passwd/passwd.c core/passwd/passwd.h \
	core/passwd/scheme.h \
	core/passwd/scram.c
LIBPASSWD = core/passwd/libpasswd.a $(LIBBASE) $(ARGON2_LIBS) $(CRYPT_LIBS) $(OPENSSL_LIBS)

check_PROGRAMS += tests/unit/test_passwd
tests_unit_test_passwd_SOURCES = tests/unit/test_passwd.c
tests_unit_test_passwd_LDADD = $(LIBPASSWD) $(LIBTEST) $(CMOCKA_LIBS)
