/* The program postroom-gate: the role around imap/gate.c and core/gate. */
#include "core/role/role.h"
#include "imap/gate.h"

static enum err
start(struct role_ctx *c)
{
	return gate_service_start(c, &imap_gate_protocol, "imap");
}

int
main(int argc, char **argv)
{
	const struct role role = {
		.name = "gate",
		.bit = ROLE_GATE,
		.user = gate_service_user,
		.cage = { .chroot_below_runtime = "gate",
			.no_file_writes = true,
			.landlock_no_files = true,
			.allow_syscalls = role_syscalls_common,
			.no_inet = true },
		.init = gate_service_init,
		.start = start,
		.reload = gate_service_reload,
		.stop = gate_service_stop,
	};
	return role_main(argc, argv, &role);
}
