#ifndef POSTROOM_ROLE_CAGE_H
#define POSTROOM_ROLE_CAGE_H

#include "core/role/role.h"

/* Built with a sanitizer: its run time needs a few more system calls, and /proc. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAGE_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAGE_SANITIZED 1
#endif
#ifndef CAGE_SANITIZED
#define CAGE_SANITIZED 0
#endif

/* Giving up privileges, once and for good: what a role may not touch is out of its reach even
 * when its code is taken over. Called by role_main between init and start. */
struct cage_plan {
	const struct role_cage *cage;
	const struct settings *settings;
	struct str user;    /* system user; its group, and the settings' group as supplementary */
	char reason[640];   /* out: why cage_enter failed */
	bool separated;	    /* out: running under a user of its own */
	bool chrooted;	    /* out */
	bool landlock_none; /* out: this kernel has no Landlock; the rest holds */
};

/* In this order: names looked up, chroot, groups and user, no_new_privs, not dumpable, file size
 * limit, Landlock, seccomp. Without root: no chroot and no user, the rest all the same. ERR_TEMP
 * with reason; the process must leave then, for it is half in its cage. */
MUST_USE enum err
cage_enter(struct cage_plan *p);

#endif
