#ifndef POSTROOM_MASTER_RELOAD_H
#define POSTROOM_MASTER_RELOAD_H

#include "config/settings.h"

/* What became of a reload: <runtime_dir>/master.reload, which master replaces when one begins and
 * when every role has answered. `postroom reload` sends a signal and waits for it there. */
struct reload_state {
	uint64_t begun; /* how many, since the server was started */
	uint64_t done;	/* the newest whose answers are all there */
	bool waits; /* of the newest: a setting was changed that counts at the next start only */
	/* Of the newest, once it is done: who keeps older settings and why, a line each; empty:
	 * nobody. */
	struct buf refused;
};

enum { RELOAD_TEXT_MAX = 64 * 1024 };

/* ERR_TEMP, with errno; the older state stays then. */
MUST_USE enum err
reload_write(const struct settings *s, const struct reload_state *r);
/* out->refused: initialized by the caller, replaced. ERR_NOTFOUND: there is none yet; ERR_TEMP,
 * with errno; ERR_SYNTAX. */
MUST_USE enum err
reload_read(const struct settings *s, struct reload_state *out);
void
reload_remove(const struct settings *s);

#endif
