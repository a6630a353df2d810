#ifndef POSTROOM_ROLE_CONTROL_H
#define POSTROOM_ROLE_CONTROL_H

/* What master and a role say to each other over the control socket, messages of
 * core/event/ipc.h. Fields in the order of their encoding. */
enum control_msg {
	/* master to role */
	CONTROL_SETTINGS_PART = 1, /* raw bytes of settings_pack, appended */
	CONTROL_SETTINGS_END,	   /* they are whole now: the first ones, or a reload */
	CONTROL_START,		   /* u64 worker, u64 worker count; fd: the log socket */
	CONTROL_LISTENER,	   /* str protocol, u64 enum listen_tls; fd */
	CONTROL_COUNTS,		   /* fd: the role's core/event/counts.h */
	CONTROL_GO,		   /* everything was sent: begin */
	CONTROL_DIED,		   /* str role, u64 pid */
	CONTROL_STOP,
	/* role to master */
	CONTROL_READY,	  /* start() came back well */
	CONTROL_RELOADED, /* u64 enum err, str why not: of each reload's settings */
};

enum { CONTROL_FD = 3, CONTROL_PART_BYTES = 64 * 1024, CONTROL_SETTINGS_MAX = 16 * 1024 * 1024 };

#endif
