sbin_PROGRAMS += core/master/postroom
core_master_postroom_SOURCES = \
	core/master/auth.c \
	core/master/check.c \
	core/master/children.c core/master/children.h \
	core/master/client.c core/master/client.h \
	core/master/commands.c core/master/commands.h \
	core/master/fixed.c core/master/fixed.h \
	core/master/logsink.c core/master/logsink.h \
	core/master/lookup.c \
	core/master/main.c \
	core/master/password.c core/master/password.h \
	core/master/pw.c \
	core/master/queue.c \
	core/master/reload.c core/master/reload.h \
	core/master/serve.c \
	core/master/signal.c \
	core/master/sockets.c core/master/sockets.h \
	core/master/store.c \
	core/master/system.c core/master/system.h \
	core/master/trial.c core/master/trial.h
core_master_postroom_LDADD = $(LIBPASSWD) $(LIBAUTHCLIENT) $(LIBROLE) $(LIBSTORE_ALL)

check_PROGRAMS += tests/unit/test_logsink
tests_unit_test_logsink_SOURCES = tests/unit/test_logsink.c core/master/logsink.c
tests_unit_test_logsink_LDADD = $(LIBEVENT) $(LIBTEST) $(CMOCKA_LIBS)

# mailq, where no other mail server has one.
install-exec-hook:
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	test -e '$(DESTDIR)$(bindir)/mailq' || test -h '$(DESTDIR)$(bindir)/mailq' || \
		ln -s '$(sbindir)/postroom' '$(DESTDIR)$(bindir)/mailq'
uninstall-hook:
	if test "`readlink '$(DESTDIR)$(bindir)/mailq'`" = '$(sbindir)/postroom'; then \
		rm -f '$(DESTDIR)$(bindir)/mailq'; fi

# Folders of `configure` are compiled into these: others there, and they are compiled again.
FOLDER_OBJECTS = core/master/main.$(OBJEXT) core/master/serve.$(OBJEXT) core/master/trial.$(OBJEXT) \
	delivery/sendmail/main.$(OBJEXT)
$(FOLDER_OBJECTS): Makefile
