#ifndef POSTROOM_SMTP_CHECKS_H
#define POSTROOM_SMTP_CHECKS_H

#include "core/base/cidr.h"
#include "delivery/smtp/client_name.h"
#include "delivery/smtp/dnslist.h"
#include "delivery/smtp/reply.h"

/* What the DNS says of a stranger: its address (PTR and back, RFC 8601 2.7.3), the name it greets
 * with, the sender's domain, and DNS lists. Everything is asked as soon as it is known and answered
 * while the client talks; the verdict is wanted at RCPT. */
enum check_mode { CHECK_OFF, CHECK_LOG, CHECK_DEFER, CHECK_REFUSE };

struct check_options {
	enum check_mode client_ptr, client_confirmed, helo_known, sender_known;
	enum check_mode recipient_known; /* of those who may relay: session_check.h, not here */
	enum check_mode dnsbl;
	int dnsbl_threshold;
	bool failure_defers; /* a check that the DNS does not answer: 450; else it passes */
	int64_t timeout_ms;  /* of each; of PTR and back together */
	const struct cidr *exempt;
	size_t exempt_count;
	struct dnslist *lists; /* what is counted in them changes; kept */
	size_t lists_count;
};

/* "off", "log", "defer", "refuse", as config/check_smtp.c allows. */
enum check_mode
check_mode_of(struct str word);
/* Does any of them ask about clients, greetings or senders? */
bool
checks_wanted(const struct check_options *o);

struct checks;

/* Questions about address leave now. o: kept. sid for the log: kept. */
struct checks *
checks_new(struct loop *l, struct resolver_client *r, const struct check_options *o,
	const char *address, const char *sid);
/* NULL is allowed. */
void
checks_free(struct checks *c);
/* The client's greeting: a name, or a literal (not asked about). */
void
checks_helo(struct checks *c, struct str name);
/* The domain of MAIL's sender; "" for <>, or a literal: not asked about. */
void
checks_sender(struct checks *c, struct str domain);

/* True: all is known, *reply_out is REPLY_OK or why the mail of this client, greeting and sender is
 * not taken; what stands behind its text is in detail_out (dies with c). Each finding is logged
 * once. False: fn is called once, from the loop, when it is; no later than timeout_ms from the last
 * of checks_new, checks_helo, checks_sender. */
bool
checks_verdict(struct checks *c, enum smtp_reply *reply_out, struct str *detail_out,
	void (*fn)(void *arg), void *arg);
/* fn will not be called. */
void
checks_forget(struct checks *c);

enum client_state
checks_client(const struct checks *c);
/* The name that leads back to the client, "" when there is none (yet). Dies with c. */
const char *
checks_client_name(const struct checks *c);

#endif
