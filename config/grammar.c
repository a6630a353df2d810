/* The only file that knows libConfuse. Options are made from the setting rows, all as strings or
 * lists of strings; what they mean is decided by convert.c. */
#include "config/grammar.h"

#include <confuse.h>
#include <stdlib.h>

#include "core/base/xalloc.h"

enum { LIST_VALUES_MAX = 1024, SECTIONS_MAX = 64 };

/* libConfuse's error hook has no argument of ours. Parsing happens in one thread at start. */
static struct {
	const char *path;
	struct buf *out;
} errors;

__attribute__((format(printf, 2, 0))) static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	buf_addf(errors.out, "%s:%d: ", errors.path, cfg->line);
	buf_addv(errors.out, fmt, ap);
	buf_addc(errors.out, '\n');
}

static void
fill_options(cfg_opt_t *opts, const struct setting_section *sec)
{
	for (size_t i = 0; i < sec->rows_count; i++) {
		cfg_opt_t one = CFG_STR(sec->rows[i].name, NULL, CFGF_NODEFAULT);
		cfg_opt_t list = CFG_STR_LIST(sec->rows[i].name, NULL, CFGF_NODEFAULT);
		opts[i] = sec->rows[i].type == SETTING_LIST ? list : one;
	}
}

static void
emit_rows(cfg_t *cfg, const struct setting_section *sec, size_t instance,
	const struct grammar_sink *sink)
{
	struct str *values = xcalloc(LIST_VALUES_MAX, sizeof *values);

	for (size_t i = 0; i < sec->rows_count; i++) {
		cfg_opt_t *opt = cfg_getopt(cfg, sec->rows[i].name);
		unsigned n = opt != NULL ? cfg_opt_size(opt) : 0;
		if (opt == NULL || !(opt->flags & CFGF_MODIFIED))
			continue;
		if (n > LIST_VALUES_MAX)
			n = LIST_VALUES_MAX;
		for (unsigned k = 0; k < n; k++)
			values[k] = str_of(cfg_opt_getnstr(opt, k));
		sink->value(sink->arg, sec, instance, &sec->rows[i], values, n);
	}
	free(values);
}

static void
emit_all(cfg_t *cfg, const struct grammar_sink *sink)
{
	for (size_t i = 0; i < setting_sections_count; i++) {
		const struct setting_section *sec = &setting_sections[i];
		if (sec->name[0] == '\0') {
			emit_rows(cfg, sec, 0, sink);
			continue;
		}
		unsigned n = cfg_size(cfg, sec->name);
		for (unsigned k = 0; k < n; k++)
			if (sec->titled)
				sink->section(sink->arg, sec,
					str_of(cfg_title(cfg_getnsec(cfg, sec->name, k))));
		for (unsigned k = 0; k < n; k++)
			emit_rows(cfg_getnsec(cfg, sec->name, k), sec, k, sink);
	}
}

enum err
grammar_parse(
	const char *path, struct str text, const struct grammar_sink *sink, struct buf *err_out)
{
	/* option arrays end with a zeroed one */
	cfg_opt_t *subs[SECTIONS_MAX] = { NULL };
	size_t root_rows = setting_sections[0].rows_count;
	cfg_opt_t *root = xcalloc(root_rows + setting_sections_count + 1, sizeof *root);

	fill_options(root, &setting_sections[0]);
	for (size_t i = 1; i < setting_sections_count; i++) {
		const struct setting_section *sec = &setting_sections[i];
		subs[i] = xcalloc(sec->rows_count + 1, sizeof **subs);
		fill_options(subs[i], sec);
		cfg_opt_t one = CFG_SEC(sec->name, subs[i],
			sec->titled ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NONE);
		root[root_rows + i - 1] = one;
	}
	char *z = str_dup(text);
	cfg_t *cfg = cfg_init(root, CFGF_NONE);

	errors.path = path;
	errors.out = err_out;
	(void)cfg_set_error_function(cfg, on_error);
	enum err e = cfg_parse_buf(cfg, z) == CFG_SUCCESS ? ERR_OK : ERR_SYNTAX;

	if (e == ERR_OK)
		emit_all(cfg, sink);
	cfg_free(cfg);
	free(z);
	for (size_t i = 1; i < setting_sections_count; i++)
		free(subs[i]);
	free(root);
	return e;
}
