#ifndef POSTROOM_QUEUE_HOP_H
#define POSTROOM_QUEUE_HOP_H

#include "core/base/hmap.h"
#include "core/event/loop.h"

/* The schedule of mail to other servers: what is known of each next hop, how many jobs it may have
 * at once, and which messages wait for it. A hop is a route and a `relay` section (relay.h).
 *
 * A hop begins with `start` jobs at once; as many successes in a row as it may have jobs make it
 * one more, up to `max`; a job that reached no server halves it. When no job went well since the
 * failed one began, the hop rests: nothing is given to it for rest_min_ms, twice as long each time,
 * up to rest_max_ms, a quarter more or less by chance; then one job tries.
 *
 * A message that may not begin stands in the hop's line: a few words of memory, no record. When
 * there is room, the first in line is called: its place is kept until it enters or leaves the
 * line. Between hops the places (jobs_max in all) go round. Times are the loop's, monotonic. */
struct hops;
struct hop;

/* A message's places in lines; embedded in it. */
struct hop_waits {
	struct list list;
};

struct hops_options {
	unsigned start, max;
	unsigned jobs_max;
	int64_t rest_min_ms, rest_max_ms;
	/* A place is kept for the owner of w. May not call anything here; may come inside
	 * everything here but hops_new. */
	void (*on_call)(void *arg, struct hop_waits *w);
	void *arg;
};

struct hops *
hops_new(struct loop *l, const struct hops_options *o);
/* The owners of waits are forgotten, without a call: after hop_waits_drop of each, or never again
 * using them. */
void
hops_free(struct hops *h);
/* Other limits from now on; on_call and arg stay. */
void
hops_set(struct hops *h, const struct hops_options *o);

/* Made when it is not there. Stays for as long as jobs, lines or a rest need it, and ten minutes.
 */
struct hop *
hops_get(struct hops *h, struct str route, struct str section);
struct str
hop_route(const struct hop *p);
struct str
hop_section(const struct hop *p);

/* May a job begin? True: it counts until hop_leave. False: w's owner stands in the line now, where
 * it stood before if it did. */
bool
hop_enter(struct hop *p, struct hop_waits *w);
enum hop_result {
	HOP_OK,	     /* a server took it, or spoke of its recipients */
	HOP_FAILED,  /* no server could be used */
	HOP_NOTHING, /* says nothing about the hop */
};
/* The end of a job that began at began_ms. reply: "451 4.4.1 Connection refused", with HOP_FAILED.
 */
void
hop_leave(struct hop *p, enum hop_result how, int64_t began_ms, struct str reply);
/* Somebody asks for it by hand: its rest is over. */
void
hop_wake(struct hop *p);
void
hops_wake_all(struct hops *h);

/* When a resting hop is tried again (ms from now, at least 1); 0: it does not rest. */
int64_t
hop_rests_ms(const struct hop *p);
/* Of the last failure since the last success; empty: none. */
struct str
hop_reply(const struct hop *p);

void
hop_waits_init(struct hop_waits *w);
/* Is a place kept for w, of p or (NULL) of any? */
bool
hop_called(const struct hop_waits *w, const struct hop *p);
/* Gives back places that are kept and were not used; the others stay in line. */
void
hop_waits_release(struct hop_waits *w);
/* Leaves all lines. True: it stood in one. */
bool
hop_waits_drop(struct hop_waits *w);
/* Each hop that w stands in line for. */
void
hop_waits_each(const struct hop_waits *w, void (*fn)(void *arg, const struct hop *p), void *arg);
/* Jobs that have begun, and places kept. */
unsigned
hops_jobs(const struct hops *h);
size_t
hops_count(const struct hops *h);
unsigned
hop_limit(const struct hop *p);

#endif
