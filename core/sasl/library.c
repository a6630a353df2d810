/* What both sides of Cyrus SASL are told; see library.h. */
#include "core/sasl/library.h"

#include "core/base/log.h"
#include "core/base/str.h"

int
sasl_library_log(void *context UNUSED, int level, const char *message)
{
	/* Levels from SASL_LOG_TRACE on may hold secrets. */
	if (level < SASL_LOG_TRACE && message != NULL)
		log_event(LVL_DEBUG, "sasl.library", log_n("level", level), log_z("text", message));
	return SASL_OK;
}

int
sasl_library_confpath(void *context UNUSED, char **path)
{
	static char nowhere[] = "/nonexistent";

	*path = nowhere;
	return SASL_OK;
}

int
sasl_library_verify_file(void *context, const char *file, sasl_verify_type_t type)
{
	const char *const *wanted = context;
	struct str name = str_of(file);

	name = str_from(name, str_rchr(name, '/') + 1);
	if (type != SASL_VRFY_PLUGIN)
		return SASL_CONTINUE;
	for (; *wanted != NULL; wanted++)
		if (str_starts(name, str_of(*wanted)))
			return SASL_OK;
	return SASL_CONTINUE;
}
