/* The program postroom-gate: the role around imap/gate/gate.c and core/gate. `postroom-gate
 * --capabilities` prints the capability table with the test of each token. */
#include <stdio.h>

#include "core/role/role.h"
#include "imap/gate/gate.h"
#include "imap/gate/capability.h"

static enum err
start(struct role_ctx *c)
{
	return gate_service_start(c, &imap_gate_protocol, "imap");
}

static int
print_capabilities(void)
{
	for (size_t i = 0; gate_capability_token(i) != NULL; i++)
		(void)printf("%s %s\n", gate_capability_token(i), gate_capability_test(i));
	return 0;
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
	if (argc == 2 && str_eq(str_of(argv[1]), STR("--capabilities")))
		return print_capabilities();
	return role_main(argc, argv, &role);
}
