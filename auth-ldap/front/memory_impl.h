#ifndef POSTROOM_AUTH_LDAP_FRONT_MEMORY_IMPL_H
#define POSTROOM_AUTH_LDAP_FRONT_MEMORY_IMPL_H

#include "auth-ldap/front/memory.h"
#include "auth-ldap/front/walk.h"

/* What memory.c (questions, and who waits for them) and memory_keep.c (what answers leave behind)
 * share. */

struct memory {
	struct loop *loop;
	const struct settings *settings;
	struct cache *known, *unknown;
	struct hmap flights;
	int64_t since_ms; /* what is older comes from other settings: only for outages */
	uint64_t joined, outages;
	int64_t (*now_ms)(void);
};

/* A question that the backends are being asked, and those who wait for its answer. */
struct flight {
	struct hmap_node node;
	bool in_map; /* others may join */
	struct memory *m;
	struct backends *b;
	enum memory_kind kind;
	struct buf key, full_key; /* without and with the proof */
	unsigned char proof[DIGEST_SHA256_BYTES];
	unsigned char digest[DIGEST_SHA256_BYTES]; /* of the password, for other proofs of it */
	struct walk *walk;
	struct expansion *expansion;
	struct list askings;
};

/* ---- memory_keep.c ---- */

/* b is made of the settings that the memory has now. */
bool
memory_is_of(const struct memory *m, const struct backends *b);
bool
memory_fresh(const struct memory *m, const struct cached *a, int64_t ttl_ms);
int64_t
memory_known_ttl(const struct memory *m, enum memory_kind k);
int64_t
memory_outage_ttl(const struct memory *m, enum memory_kind k);
/* Where the wrong password with this proof is remembered. */
void
memory_wrong_key(struct str key, const unsigned char *proof, struct buf *out);
/* That password is wrong for the name of key. True: it was known to be, so that it is no new guess:
 * the same for names that nobody has as for those of users, or the delays would tell. */
bool
memory_note_wrong(
	struct memory *m, struct str key, const unsigned char *proof, enum auth_reason reason);
/* What is known under key, not older than ttl_ms. */
bool
memory_recall(struct memory *m, const struct backends *b, enum memory_kind kind, struct str key,
	const unsigned char *proof, int64_t ttl_ms, struct cached *out);
enum memory_from
memory_keep(struct flight *x, const struct auth_answer *a);
/* May that be told, now that a->failed failed? Not where the backend that knew the user was asked
 * before it, and said no. The record becomes that of the user's last login. */
bool
memory_outage_allows(struct flight *x, const struct auth_answer *a, struct cached *c);
/* Is it a new guess at a password by which its user could come in during this outage? */
bool
memory_outage_guess(struct flight *x);

#endif
