#ifndef POSTROOM_IMAP_COMMANDS_H
#define POSTROOM_IMAP_COMMANDS_H

#include "imap/session/session.h"

/* Every command's run and end function, for the table. One file each, or each group. */

/* cmd_basic.c */
enum step
run_capability(struct imap_session *s, struct cmd *c);
enum step
run_noop(struct imap_session *s, struct cmd *c);
enum step
run_logout(struct imap_session *s, struct cmd *c);
enum step
run_id(struct imap_session *s, struct cmd *c);
enum step
run_enable(struct imap_session *s, struct cmd *c);
enum step
run_namespace(struct imap_session *s, struct cmd *c);
enum step
run_compress(struct imap_session *s, struct cmd *c);
enum step
run_idle(struct imap_session *s, struct cmd *c);

/* cmd_select.c */
enum step
run_select(struct imap_session *s, struct cmd *c);
enum step
run_examine(struct imap_session *s, struct cmd *c);
void
end_select(struct cmd *c);
enum step
run_close(struct imap_session *s, struct cmd *c);
enum step
run_unselect(struct imap_session *s, struct cmd *c);

/* cmd_mailbox.c */
enum step
run_create(struct imap_session *s, struct cmd *c);
enum step
run_delete(struct imap_session *s, struct cmd *c);
enum step
run_rename(struct imap_session *s, struct cmd *c);
enum step
run_subscribe(struct imap_session *s, struct cmd *c);
enum step
run_unsubscribe(struct imap_session *s, struct cmd *c);

/* cmd_metadata.c */
enum step
run_getmetadata(struct imap_session *s, struct cmd *c);
enum step
run_setmetadata(struct imap_session *s, struct cmd *c);

/* cmd_notify.c */
enum step
run_notify(struct imap_session *s, struct cmd *c);
void
end_notify(struct cmd *c);

/* cmd_quota.c */
enum step
run_getquota(struct imap_session *s, struct cmd *c);
enum step
run_getquotaroot(struct imap_session *s, struct cmd *c);

/* cmd_list.c, cmd_status.c */
enum step
run_list(struct imap_session *s, struct cmd *c);
enum step
run_lsub(struct imap_session *s, struct cmd *c);
enum step
run_status(struct imap_session *s, struct cmd *c);

/* cmd_append.c */
enum step
run_append(struct imap_session *s, struct cmd *c);
void
end_append(struct cmd *c);

/* cmd_copy.c */
enum step
run_expunge(struct imap_session *s, struct cmd *c);
enum step
run_copy(struct imap_session *s, struct cmd *c);
enum step
run_move(struct imap_session *s, struct cmd *c);
void
end_copy(struct cmd *c);

/* cmd_fetch.c */
enum step
run_fetch(struct imap_session *s, struct cmd *c);
void
end_fetch(struct cmd *c);
/* It cannot go on: the row under way is ended or taken back; in the middle of a literal the session
 * is dead. */
void
fetch_give_up(struct imap_session *s, struct cmd *c);

/* cmd_store.c */
enum step
run_store(struct imap_session *s, struct cmd *c);
void
end_store(struct cmd *c);

/* cmd_search.c */
enum step
run_search(struct imap_session *s, struct cmd *c);
void
end_search(struct cmd *c);

#endif
