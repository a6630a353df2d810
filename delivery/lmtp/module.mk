noinst_LIBRARIES += delivery/lmtp/liblmtp.a
delivery_lmtp_liblmtp_a_SOURCES = \
	delivery/lmtp/command.c delivery/lmtp/command.h \
	delivery/lmtp/dot.c delivery/lmtp/dot.h
LIBLMTP = delivery/lmtp/liblmtp.a

check_PROGRAMS += tests/unit/test_lmtp_command
tests_unit_test_lmtp_command_SOURCES = tests/unit/test_lmtp_command.c
tests_unit_test_lmtp_command_LDADD = $(LIBLMTP) $(LIBBASE) $(CMOCKA_LIBS)
