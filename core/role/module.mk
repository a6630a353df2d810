noinst_LIBRARIES += core/role/librole.a
core_role_librole_a_SOURCES = \
	core/role/cage.c core/role/cage.h \
	core/role/control.h \
	core/role/role.c core/role/role.h
# What a role's program links besides its own parts.
LIBROLE = core/role/librole.a $(LIBCONFIG) $(CONFUSE_LIBS) $(LIBEVENT) $(SECCOMP_LIBS)

# Stands in for every role in the tests of master and of the cages.
noinst_PROGRAMS += tests/unit/tiny_role
tests_unit_tiny_role_SOURCES = tests/unit/tiny_role.c
tests_unit_tiny_role_LDADD = $(LIBROLE)
