/* The sections whose questions go to helper processes, as one list; see kinds.h. Used by the
 * backends in auth and by the helpers themselves. */
#include "auth-ldap/backend/kinds.h"

const char *
worker_kind_name(enum worker_kind k)
{
	switch (k) {
	case WORKER_PASSWD_FILE:
		return "passwd_file";
	case WORKER_PAM:
		return "pam";
	case WORKER_SQL:
		return "sql";
	case WORKER_KINDS:
		break;
	}
	return "";
}

size_t
worker_kind_count(const struct settings *s, enum worker_kind k)
{
	switch (k) {
	case WORKER_PASSWD_FILE:
		return s->passwd_files_count;
	case WORKER_PAM:
		return s->pams_count;
	case WORKER_SQL:
		return s->sqls_count;
	case WORKER_KINDS:
		break;
	}
	return 0;
}

struct str
worker_kind_title(const struct settings *s, enum worker_kind k, size_t index)
{
	switch (k) {
	case WORKER_PASSWD_FILE:
		return s->passwd_files[index].title;
	case WORKER_PAM:
		return s->pams[index].title;
	case WORKER_SQL:
		return s->sqls[index].title;
	case WORKER_KINDS:
		break;
	}
	return STR_EMPTY;
}
