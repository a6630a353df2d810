/* Prints the settings as mdoc, for postroom.conf(5): run by the build, not installed. */
#include <stdio.h>

#include "config/settings.h"

int
main(void)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	settings_manual(&out);
	size_t put = fwrite(buf_str(&out).p, 1, buf_str(&out).n, stdout);
	bool ok = buf_check(&out) == ERR_OK && put == out.n && fflush(stdout) == 0;

	buf_fini(&out);
	return ok ? 0 : 1;
}
