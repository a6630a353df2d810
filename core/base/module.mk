noinst_LIBRARIES += core/base/libbase.a
core_base_libbase_a_SOURCES = \
	core/base/arena.c core/base/arena.h \
	core/base/buf.c core/base/buf.h \
	core/base/cidr.c core/base/cidr.h \
	core/base/clock.c core/base/clock.h \
	core/base/codec.c core/base/codec.h \
	core/base/digest.c core/base/digest.h \
	core/base/err.c core/base/err.h \
	core/base/hmap.c core/base/hmap.h \
	core/base/list.h \
	core/base/log.c core/base/log.h \
	core/base/rand.c core/base/rand.h \
	core/base/str.c core/base/str.h \
	core/base/xalloc.c core/base/xalloc.h
LIBBASE = core/base/libbase.a

check_PROGRAMS += tests/unit/test_base
tests_unit_test_base_SOURCES = tests/unit/test_base.c
tests_unit_test_base_LDADD = $(LIBBASE) $(LIBTEST) $(CMOCKA_LIBS)
