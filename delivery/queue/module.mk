noinst_LIBRARIES += delivery/queue/libqueue.a
delivery_queue_libqueue_a_SOURCES = \
	delivery/queue/record.c delivery/queue/record.h \
	delivery/queue/reply.c delivery/queue/reply.h \
	delivery/queue/retry.c delivery/queue/retry.h
LIBQUEUE = delivery/queue/libqueue.a
