noinst_LIBRARIES += core/role/librole.a
core_role_librole_a_SOURCES = \
	core/role/cage.c core/role/cage.h \
	core/role/control.h \
	core/role/role.c core/role/role.h
# What a role's program links besides its own parts.
LIBROLE = core/role/librole.a $(LIBCONFIG) $(CONFUSE_LIBS) $(LIBEVENT) $(SECCOMP_LIBS)
