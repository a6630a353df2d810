#ifndef POSTROOM_STORE_DELIVER_TARGET_H
#define POSTROOM_STORE_DELIVER_TARGET_H

#include "core/store/deliver.h"
#include "core/store/rows.h"

/* Which mailbox a delivered message goes to: deliver.c's. */

/* name in the store's form, allocated; empty for what can be no mailbox's. */
struct str
deliver_mailbox(struct str name);
/* In the update that delivers. to->mailbox: of deliver_mailbox. Made and put where to says so;
 * INBOX whatever is wrong with the name. */
MUST_USE enum err
deliver_target(struct txn *t, const struct deliver_rcpt *to, struct mailbox_row *out);

#endif
