#ifndef POSTROOM_AUTH_POLICY_H
#define POSTROOM_AUTH_POLICY_H

#include "auth-ldap/backend/backend.h"

/* What a user may do who is who he says: pure functions. */

/* May u log in, asked in context c at now_sec (unix time)? REASON_NONE; REASON_DISABLED,
 * REASON_ACCOUNT_EXPIRED, REASON_SERVICE, REASON_NETWORK.
 * services: "imap" allows, "!imap" forbids, forbidding wins; where nothing is allowed by name, all
 * that is not forbidden is, but a whole list that is empty allows nothing. submission(s) and smtps
 * are smtp, imaps is imap. An empty c->service is in nobody's list and passes.
 * networks: one must contain c->remote_ip; an unknown address is in none, and a network that is
 * none contains nothing. */
enum auth_reason
policy_login(const struct auth_user *u, const struct auth_context *c, int64_t now_sec);
/* May u go on with what he logged in for? The same without the networks. */
enum auth_reason
policy_account(const struct auth_user *u, struct str service, int64_t now_sec);
/* Does u get mail? Only "!lmtp" among the services says no (REASON_SERVICE): mail for accounts
 * that are disabled, expired or lack a service is kept, not bounced. */
enum auth_reason
policy_delivery(const struct auth_user *u);

#endif
