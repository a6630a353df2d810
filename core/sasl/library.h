#ifndef POSTROOM_SASL_LIBRARY_H
#define POSTROOM_SASL_LIBRARY_H

#include <sasl/sasl.h>

/* Callbacks of Cyrus SASL that its server side (exchange.c) and its client side (login.c) share. */
typedef int (*sasl_callback_fn)(void);

/* SASL_CB_LOG, on the level debug; nothing that may hold secrets. */
int
sasl_library_log(void *context, int level, const char *message);
/* SASL_CB_GETCONFPATH: nothing is read from /etc/sasl2. */
int
sasl_library_confpath(void *context, char **path);
/* SASL_CB_VERIFYFILE: plug-ins that nobody asks for stay out of the process. context: the names'
 * beginnings ("libplain."), the last one NULL. */
int
sasl_library_verify_file(void *context, const char *file, sasl_verify_type_t type);

#endif
