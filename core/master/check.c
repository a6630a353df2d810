/* `postroom check` and `postroom config`: what the configuration file says. */
#include <stdio.h>

#include "core/event/tls.h"
#include "core/master/commands.h"

/* The certificate and key must fit, or no client could ever start TLS. */
static int
check_tls(const struct settings *s)
{
	struct tls_server_options o = {
		.certificate_pem = s->tls.certificate, .key_pem = s->tls.key, .min_version = 12
	};
	struct tls_ctx *ctx = NULL;
	const char *why = "";

	if (o.certificate_pem.n == 0 && o.key_pem.n == 0)
		return 0;
	if (tls_ctx_new_server(&o, &ctx, &why) != ERR_OK) {
		(void)fprintf(stderr, "tls: %s\n", why);
		return 1;
	}
	tls_ctx_unref(ctx);
	return 0;
}

int
command_check(const struct command_args *a)
{
	struct settings *s = command_settings(a, true);
	int status;

	if (s == NULL)
		return 1;
	status = check_tls(s);
	settings_free(s);
	if (status == 0)
		(void)printf("%s: ok\n", a->config);
	return status;
}

int
command_config(const struct command_args *a)
{
	struct settings *s;
	struct buf out;

	if (a->argc == 1 && !str_eq(str_of(a->argv[0]), STR("-n"))) {
		(void)fprintf(stderr, "usage: postroom config [-n]\n");
		return EXIT_USAGE;
	}
	s = command_settings(a, false);
	if (s == NULL)
		return 1;
	buf_init(&out, 16 * 1024 * 1024);
	settings_print(s, a->argc == 1, &out);
	(void)fwrite(buf_str(&out).p, 1, out.n, stdout);
	buf_fini(&out);
	settings_free(s);
	return 0;
}
