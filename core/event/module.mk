noinst_LIBRARIES += core/event/libevent.a
core_event_libevent_a_SOURCES = \
	core/event/ipc.c core/event/ipc.h \
	core/event/listener.c core/event/listener.h \
	core/event/loop.c core/event/loop.h
# What links this folder: the archive, what lies below it, and the foreign libraries.
LIBEVENT = core/event/libevent.a $(LIBBASE) $(LIBEV_LIBS) $(OPENSSL_LIBS)
