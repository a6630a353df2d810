/* The use of a home and its limit; see quota.h. Called by imap and lmtp on the loop, and by
 * commit.c on the pool for every update. Invariant: the two numbers in meta are the sums over all
 * rows of mailboxes that are not being deleted. */
#include "core/store/quota.h"

#include "core/store/internal.h"

void
home_set_quota(struct home *h, struct quota_limit limit)
{
	h->quota = limit;
}

struct quota_limit
home_quota(const struct home *h)
{
	return h->quota;
}

enum err
quota_use_get(struct txn *t, struct quota_use *out)
{
	enum err e = meta_get(t, "used-messages", &out->messages);

	return e == ERR_OK ? meta_get(t, "used-bytes", &out->bytes) : e;
}

static bool
over(uint64_t limit, uint64_t use, uint64_t more)
{
	return limit != 0 && more != 0 && (use >= limit || more > limit - use);
}

bool
quota_exceeded(struct quota_limit limit, struct quota_use use, struct quota_use more)
{
	return over(limit.messages, use.messages, more.messages) ||
	       over(limit.bytes, use.bytes, more.bytes);
}

/* A number that wrapped below 0 as what it adds: nothing. */
static uint64_t
growth(uint64_t added)
{
	return added > INT64_MAX ? 0 : added;
}

enum err
use_apply(struct txn *t)
{
	struct quota_use use;
	struct quota_use more = { growth(t->added.messages), growth(t->added.bytes) };

	if (t->added.messages == 0 && t->added.bytes == 0)
		return ERR_OK;
	enum err e = quota_use_get(t, &use);

	if (e != ERR_OK)
		return e;
	if (quota_exceeded(t->quota, use, more))
		return ERR_QUOTA;
	meta_put(t, "used-messages", use.messages + t->added.messages);
	meta_put(t, "used-bytes", use.bytes + t->added.bytes);
	return ERR_OK;
}
