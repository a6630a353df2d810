/* The two tables: commands, and capabilities. Read by step.c, the tests, the fuzz target and
 * `postroom-imap --capabilities`. */
#include "imap/session/commands.h"

#define NAMES_PARSER(fn, member)                                              \
	static enum err args_##member##_##fn(struct parser *p, struct cmd *c) \
	{                                                                     \
		return fn(p, &c->a.member);                                   \
	}
NAMES_PARSER(parse_fetch, fetch)
NAMES_PARSER(parse_store, store)
NAMES_PARSER(parse_search, search)
NAMES_PARSER(parse_sort, search)
NAMES_PARSER(parse_thread, search)
NAMES_PARSER(parse_status, status)
NAMES_PARSER(parse_mailbox, names)
NAMES_PARSER(parse_select, select)
NAMES_PARSER(parse_rename, names)
NAMES_PARSER(parse_list, list)
NAMES_PARSER(parse_lsub, list)
NAMES_PARSER(parse_getmetadata, metadata)
NAMES_PARSER(parse_setmetadata, metadata)
NAMES_PARSER(parse_create, create)
NAMES_PARSER(parse_notify, notify)
NAMES_PARSER(parse_copy, copy)
NAMES_PARSER(parse_uid_expunge, copy)
NAMES_PARSER(parse_id, id)
NAMES_PARSER(parse_enable, enable)

/* From the command's first octet on; see command_parse. */
static enum err
args_append_whole(struct parser *p, struct cmd *c)
{
	p->at = 0;
	return parse_append(p, APPEND_AT_START, &c->a.append);
}

static enum err
args_compress(struct parser *p, struct cmd *c)
{
	return parse_atom(p, &c->a.names.a);
}

/* For commands that cannot be used any more: any arguments. */
static enum err
args_any(struct parser *p, struct cmd *c UNUSED)
{
	size_t end = p->in.n;

	if (end > p->at && p->in.p[end - 1] == '\n')
		end--;
	if (end > p->at && p->in.p[end - 1] == '\r')
		end--;
	p->at = end;
	return ERR_OK;
}

#define UID_MAY	 true, false
#define UID_ONLY true, true
#define UID_NO	 false, false
const struct command imap_commands[] = {
	{ "CAPABILITY", IN_ANY, UID_NO, false, SYNC_NONE, NULL, run_capability, NULL },
	{ "NOOP", IN_ANY, UID_NO, true, SYNC_ALL, NULL, run_noop, NULL },
	{ "LOGOUT", IN_ANY, UID_NO, false, SYNC_NONE, NULL, run_logout, NULL },
	{ "ID", IN_ANY, UID_NO, false, SYNC_NONE, args_id_parse_id, run_id, NULL },
	{ "ENABLE", IN_ANY, UID_NO, false, SYNC_NONE, args_enable_parse_enable, run_enable, NULL },
	{ "NAMESPACE", IN_ANY, UID_NO, false, SYNC_NONE, NULL, run_namespace, NULL },
	{ "IDLE", IN_ANY, UID_NO, false, SYNC_NONE, NULL, run_idle, NULL },
	{ "COMPRESS", IN_ANY, UID_NO, false, SYNC_NONE, args_compress, run_compress, NULL },
	{ "STARTTLS", 0, UID_NO, false, SYNC_NONE, NULL, run_noop, NULL },
	{ "LOGIN", 0, UID_NO, false, SYNC_NONE, args_any, run_noop, NULL },
	{ "AUTHENTICATE", 0, UID_NO, false, SYNC_NONE, args_any, run_noop, NULL },
	{ "SELECT", IN_ANY, UID_NO, true, SYNC_NONE, args_select_parse_select, run_select,
		end_select },
	{ "EXAMINE", IN_ANY, UID_NO, true, SYNC_NONE, args_select_parse_select, run_examine,
		end_select },
	{ "CREATE", IN_ANY, UID_NO, true, SYNC_ALL, args_create_parse_create, run_create, NULL },
	{ "DELETE", IN_ANY, UID_NO, true, SYNC_ALL, args_names_parse_mailbox, run_delete, NULL },
	{ "RENAME", IN_ANY, UID_NO, true, SYNC_ALL, args_names_parse_rename, run_rename, NULL },
	{ "SUBSCRIBE", IN_ANY, UID_NO, true, SYNC_ALL, args_names_parse_mailbox, run_subscribe,
		NULL },
	{ "UNSUBSCRIBE", IN_ANY, UID_NO, true, SYNC_ALL, args_names_parse_mailbox, run_unsubscribe,
		NULL },
	{ "LIST", IN_ANY, UID_NO, true, SYNC_ALL, args_list_parse_list, run_list, NULL },
	{ "LSUB", IN_ANY, UID_NO, true, SYNC_ALL, args_list_parse_lsub, run_lsub, NULL },
	{ "GETMETADATA", IN_ANY, UID_NO, true, SYNC_ALL, args_metadata_parse_getmetadata,
		run_getmetadata, NULL },
	{ "SETMETADATA", IN_ANY, UID_NO, true, SYNC_ALL, args_metadata_parse_setmetadata,
		run_setmetadata, NULL },
	{ "NOTIFY", IN_ANY, UID_NO, true, SYNC_ALL, args_notify_parse_notify, run_notify,
		end_notify },
	{ "GETQUOTA", IN_ANY, UID_NO, true, SYNC_ALL, args_names_parse_mailbox, run_getquota,
		NULL },
	{ "GETQUOTAROOT", IN_ANY, UID_NO, true, SYNC_ALL, args_names_parse_mailbox,
		run_getquotaroot, NULL },
	{ "STATUS", IN_ANY, UID_NO, true, SYNC_ALL, args_status_parse_status, run_status, NULL },
	{ "APPEND", IN_ANY, UID_NO, true, SYNC_ALL, args_append_whole, run_append, end_append },
	/* it is run without a selected mailbox too: its message is on its way already */
	{ "REPLACE", IN_ANY, UID_MAY, true, SYNC_ALL, args_append_whole, run_append, end_append },
	{ "CHECK", IN_SELECTED, UID_NO, true, SYNC_ALL, NULL, run_noop, NULL },
	{ "CLOSE", IN_SELECTED, UID_NO, true, SYNC_NONE, NULL, run_close, NULL },
	{ "UNSELECT", IN_SELECTED, UID_NO, false, SYNC_NONE, NULL, run_unselect, NULL },
	{ "EXPUNGE", IN_SELECTED, UID_NO, true, SYNC_ALL, NULL, run_expunge, NULL },
	{ "EXPUNGE", IN_SELECTED, UID_ONLY, true, SYNC_ALL, args_copy_parse_uid_expunge,
		run_expunge, end_copy },
	{ "SEARCH", IN_SELECTED, UID_MAY, true, SYNC_NO_EXPUNGE, args_search_parse_search,
		run_search, end_search },
	{ "SORT", IN_SELECTED, UID_MAY, true, SYNC_NO_EXPUNGE, args_search_parse_sort, run_search,
		end_search },
	{ "THREAD", IN_SELECTED, UID_MAY, true, SYNC_NO_EXPUNGE, args_search_parse_thread,
		run_search, end_search },
	{ "FETCH", IN_SELECTED, UID_MAY, true, SYNC_NO_EXPUNGE, args_fetch_parse_fetch, run_fetch,
		end_fetch },
	{ "STORE", IN_SELECTED, UID_MAY, true, SYNC_NO_EXPUNGE, args_store_parse_store, run_store,
		end_store },
	{ "COPY", IN_SELECTED, UID_MAY, true, SYNC_ALL, args_copy_parse_copy, run_copy, end_copy },
	{ "MOVE", IN_SELECTED, UID_MAY, true, SYNC_ALL, args_copy_parse_copy, run_move, end_copy },
	{ NULL, 0, UID_NO, false, SYNC_NONE, NULL, NULL, NULL },
};

const struct capability imap_capabilities[] = {
	{ "IMAP4rev1", "session", "imap4rev1" },
	{ "IMAP4rev2", "rev2", "imap4rev2" },
	{ "LITERAL+", "session", "literal_plus" },
	{ "ENABLE", "session", "enable" },
	{ "ID", "session", "id" },
	{ "IDLE", "session", "idle" },
	{ "NAMESPACE", "session", "namespace" },
	{ "UIDPLUS", "session", "uidplus" },
	{ "UNSELECT", "session", "unselect" },
	{ "MOVE", "session", "move" },
	{ "CHILDREN", "session", "children" },
	{ "SPECIAL-USE", "session", "special_use" },
	{ "CREATE-SPECIAL-USE", "session", "create_special_use" },
	{ "MULTIAPPEND", "append", "multiappend" },
	{ "CATENATE", "append", "catenate" },
	{ "REPLACE", "append", "replace" },
	{ "APPENDLIMIT=", "append", "appendlimit" },
	{ "MESSAGELIMIT=", "limit", "messagelimit" },
	{ "ESEARCH", "search", "esearch" },
	{ "SEARCHRES", "search", "searchres" },
	{ "CONDSTORE", "sync", "condstore" },
	{ "QRESYNC", "sync", "qresync" },
	{ "UIDONLY", "sync", "uidonly" },
	{ "WITHIN", "search", "within" },
	{ "INPROGRESS", "search", "inprogress" },
	{ "SORT", "search", "sort" },
	{ "SORT=DISPLAY", "search", "sort_display" },
	{ "ESORT", "search", "esort" },
	{ "THREAD=REFERENCES", "thread", "thread_references" },
	{ "THREAD=ORDEREDSUBJECT", "thread", "thread_orderedsubject" },
	{ "I18NLEVEL=1", "search", "i18nlevel" },
	{ "LIST-EXTENDED", "mailbox", "list_extended" },
	{ "LIST-STATUS", "mailbox", "list_status" },
	{ "STATUS=SIZE", "mailbox", "status_size" },
	{ "BINARY", "fetch", "binary" },
	{ "OBJECTID", "fetch", "objectid" },
	{ "PREVIEW", "fetch", "preview" },
	{ "SAVEDATE", "fetch", "savedate" },
	{ "PARTIAL", "fetch", "partial" },
	{ "METADATA", "mailbox", "metadata" },
	{ "LIST-METADATA", "mailbox", "list_metadata" },
	{ "NOTIFY", "notify", "notify" },
	{ "QUOTA", "mailbox", "quota" },
	{ "QUOTA=RES-STORAGE", "mailbox", "quota" },
	{ "QUOTA=RES-MESSAGE", "mailbox", "quota" },
	{ "COMPRESS=DEFLATE", "append", "compress_deflate" },
	{ "UTF8=ACCEPT", "append", "utf8_accept" },
	{ NULL, NULL, NULL },
};

const struct enable imap_enables[] = {
	{ "IMAP4rev2", MODE_REV2 },
	{ "CONDSTORE", MODE_CONDSTORE },
	{ "QRESYNC", MODE_QRESYNC | MODE_CONDSTORE },
	{ "UIDONLY", MODE_UIDONLY },
	{ "UTF8=ACCEPT", MODE_UTF8 },
	{ NULL, 0 },
};

static void
write_token(struct imap_session *s, const char *token)
{
	struct buf *out = session_out(s);
	bool messages = str_eq(str_of(token), STR("MESSAGELIMIT="));

	if (messages && s->imap->limits.message_limit == 0)
		return;
	buf_addc(out, ' ');
	buf_addz(out, token);
	if (messages)
		buf_addu(out, s->imap->limits.message_limit);
	if (str_eq(str_of(token), STR("APPENDLIMIT=")))
		buf_addu(out, s->imap->limits.reader.message_max);
}

void
capability_write(struct imap_session *s)
{
	buf_addz(session_out(s), "CAPABILITY");
	for (const struct capability *c = imap_capabilities; c->token != NULL; c++)
		write_token(s, c->token);
}

static const struct command *
find(struct str name, bool uid)
{
	for (const struct command *d = imap_commands; d->name != NULL; d++) {
		if (uid ? !d->uid : d->uid_only)
			continue;
		if (str_ieq(name, str_of(d->name)))
			return d;
	}
	return NULL;
}

const struct command *
command_find(struct str name)
{
	return find(name, false);
}

static enum err
parse_name(struct parser *p, struct cmd *c)
{
	struct str name;
	enum err e = parse_atom(p, &name);

	if (e == ERR_OK && str_ieq(name, STR("UID"))) {
		c->uid = true;
		e = parse_sp(p);
		if (e == ERR_OK)
			e = parse_atom(p, &name);
	}
	if (e == ERR_OK)
		c->def = find(name, c->uid);
	return e == ERR_OK && c->def != NULL ? ERR_OK : parse_fail(p, "Unknown command");
}

enum err
command_parse(struct str text, struct arena *a, struct cmd *c, const char **why_out)
{
	struct parser p;

	parser_init(&p, text, a);
	enum err e = parse_tag(&p, &c->tag);

	if (e == ERR_OK)
		e = parse_sp(&p);
	if (e != ERR_OK)
		c->tag = STR_EMPTY;
	if (e == ERR_OK)
		e = parse_name(&p, c);
	if (e == ERR_OK && c->def->parse == args_append_whole) {
		/* ends with the line, or where octets of a message begin */
		e = c->def->parse(&p, c);
	} else if (e == ERR_OK) {
		if (c->def->parse != NULL)
			e = parse_sp(&p);
		if (e == ERR_OK && c->def->parse != NULL)
			e = c->def->parse(&p, c);
		if (e == ERR_OK)
			e = parse_end(&p);
	}
	*why_out = p.why;
	/* a command that was not understood has nothing to give back */
	if (e != ERR_OK)
		c->def = NULL;
	return e;
}
