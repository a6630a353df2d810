noinst_LIBRARIES += core/mail/libmail.a
core_mail_libmail_a_SOURCES = \
	core/mail/address.c core/mail/address.h \
	core/mail/bodystructure.c core/mail/bodystructure.h \
	core/mail/charset.c core/mail/charset.h \
	core/mail/content.c core/mail/content.h \
	core/mail/date.c core/mail/date.h \
	core/mail/encoded.c core/mail/encoded.h \
	core/mail/envelope.c core/mail/envelope.h \
	core/mail/header.c core/mail/header.h \
	core/mail/imaptext.c core/mail/imaptext.h \
	core/mail/mailbox.c \
	core/mail/mime.c core/mail/mime_index.c core/mail/mime.h \
	core/mail/msgid.c core/mail/msgid.h \
	core/mail/param.c \
	core/mail/search.c core/mail/search.h \
	core/mail/subject.c core/mail/subject.h \
	core/mail/token.c core/mail/token.h \
	core/mail/transfer.c core/mail/transfer.h \
	core/mail/utf7.c core/mail/utf7.h
# What a program that uses mail links: $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
LIBMAIL = core/mail/libmail.a

check_PROGRAMS += tests/unit/test_mail
tests_unit_test_mail_SOURCES = tests/unit/test_mail.c
tests_unit_test_mail_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS) $(CMOCKA_LIBS)
# Prints ENVELOPE, BODYSTRUCTURE and BODY of a file, for tests/integration/test_mime_dovecot.py.
noinst_PROGRAMS += tests/tools/mailparse
tests_tools_mailparse_SOURCES = tests/tools/mailparse.c
tests_tools_mailparse_LDADD = $(LIBMAIL) $(LIBBASE) $(ICU_LIBS)
