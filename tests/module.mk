# What this folder builds; see Makefile.am.

dist_check_SCRIPTS += tests/check-layers.sh tests/check-banned.sh

# What every unit test is linked with, behind its libraries.
check_LIBRARIES = tests/unit/libtest.a
tests_unit_libtest_a_SOURCES = tests/unit/steady.c tests/unit/steady.h
LIBTEST = tests/unit/libtest.a
