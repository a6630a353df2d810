/* Names of the error codes; see err.h. */
#include "core/base/err.h"

const char *
err_name(enum err e)
{
	switch (e) {
	case ERR_OK:
		return "ok";
	case ERR_AGAIN:
		return "again";
	case ERR_EOF:
		return "eof";
	case ERR_SYNTAX:
		return "syntax";
	case ERR_LIMIT:
		return "limit";
	case ERR_NOTFOUND:
		return "notfound";
	case ERR_EXISTS:
		return "exists";
	case ERR_DENIED:
		return "denied";
	case ERR_BUSY:
		return "busy";
	case ERR_TEMP:
		return "temp";
	case ERR_CORRUPT:
		return "corrupt";
	case ERR_QUOTA:
		return "quota";
	case ERR_BUG:
		return "bug";
	}
	return "unknown";
}
