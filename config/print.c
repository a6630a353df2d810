/* The settings as text: `postroom config`, and the list in postroom.conf(5). */
#include "config/rows.h"

#include "core/base/arena.h"

static void
print_text(struct buf *out, struct str s)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, s.p[i]);
	}
	buf_addc(out, '"');
}

static void
print_scaled(struct buf *out, int64_t v, const char *const *units, const int64_t *factors)
{
	size_t i = 0;

	while (units[i + 1] != NULL && v != 0 && v % factors[i + 1] == 0)
		i++;
	buf_addf(out, "%lld%s", (long long)(v / factors[i]), units[i]);
}

static void
print_value(struct buf *out, const struct setting_row *row, const void *field)
{
	static const char *const size_units[] = { "", "K", "M", "G", "T", NULL };
	static const int64_t size_factors[] = { 1, 1 << 10, 1 << 20, 1 << 30, (int64_t)1 << 40 };
	static const char *const time_units[] = { "ms", "s", "m", "h", "d", NULL };
	static const int64_t time_factors[] = { 1, 1000, 60000, 3600000, 86400000 };
	struct str_list list;
	struct str text;
	int64_t num;
	bool flag;

	switch (row->type) {
	case SETTING_BOOL:
		memcpy(&flag, field, sizeof flag);
		buf_addz(out, flag ? "yes" : "no");
		break;
	case SETTING_INT:
		memcpy(&num, field, sizeof num);
		buf_addu(out, (uint64_t)num);
		break;
	case SETTING_SIZE:
		memcpy(&num, field, sizeof num);
		print_scaled(out, num, size_units, size_factors);
		break;
	case SETTING_TIME:
		memcpy(&num, field, sizeof num);
		print_scaled(out, num, time_units, time_factors);
		break;
	case SETTING_STRING:
	case SETTING_FILE:
	case SETTING_SECRET:
		memcpy(&text, field, sizeof text);
		print_text(out, text);
		break;
	case SETTING_LIST:
		memcpy(&list, field, sizeof list);
		buf_addc(out, '{');
		for (size_t i = 0; i < list.n; i++) {
			buf_addz(out, i != 0 ? ", " : " ");
			print_text(out, list.v[i]);
		}
		buf_addz(out, list.n != 0 ? " }" : "}");
		break;
	}
}

/* FILE and SECRET are shown as the path that the file gave. */
static struct str
source_path(const struct settings *s, const struct setting_section *sec, size_t instance,
	const struct setting_row *row)
{
	for (const struct setting_source *src = s->sources; src != NULL; src = src->next)
		if (src->section == sec && src->row == row && src->instance == instance &&
			src->values_count != 0)
			return src->values[0];
	return str_of(row->text);
}

static void
print_row(const struct settings *s, const struct setting_section *sec, size_t instance,
	const struct setting_row *row, bool only_changed, struct buf *out)
{
	struct settings *any = (struct settings *)(uintptr_t)s;
	const char *at = settings_instance(any, sec, instance);
	struct arena *a = arena_new(1 << 20);
	struct buf now, dflt;
	char field[32] = { 0 };
	struct str path;

	buf_init(&now, 1 << 20);
	buf_init(&dflt, 1 << 20);
	if (setting_preset(s, sec, instance, row, a, field) != ERR_OK)
		setting_default(row, a, field);
	print_value(&dflt, row, field);
	if (row->type == SETTING_FILE || row->type == SETTING_SECRET) {
		path = source_path(s, sec, instance, row);
		print_text(&now, path);
	} else {
		print_value(&now, row, at + row->offset);
	}
	if (!only_changed || !str_eq(buf_str(&now), buf_str(&dflt)))
		buf_addf(out, "%s%s = %.*s\n", sec->name[0] != '\0' ? "\t" : "", row->name,
			STR_FMT(buf_str(&now)));
	buf_fini(&now);
	buf_fini(&dflt);
	arena_free(a);
}

void
settings_print(const struct settings *s, bool only_changed, struct buf *out)
{
	for (size_t i = 0; i < setting_sections_count; i++) {
		const struct setting_section *sec = &setting_sections[i];
		for (size_t k = 0; k < settings_instances(s, sec); k++) {
			struct buf rows;
			buf_init(&rows, 1 << 20);
			for (size_t r = 0; r < sec->rows_count; r++)
				print_row(s, sec, k, &sec->rows[r], only_changed, &rows);
			if (sec->name[0] == '\0') {
				buf_add(out, buf_str(&rows));
			} else if (rows.n != 0 || sec->titled) {
				buf_addz(out, sec->name);
				if (sec->titled) {
					buf_addc(out, ' ');
					print_text(out, settings_title(s, sec, k));
				}
				buf_addf(out, " {\n%.*s}\n", STR_FMT(buf_str(&rows)));
			}
			buf_fini(&rows);
		}
	}
}

void
manual_text(struct buf *out, const char *z)
{
	/* a line of mdoc must not begin with a control character, and \ is its escape */
	if (*z == '.' || *z == '\'')
		buf_addz(out, "\\&");
	for (; *z != '\0'; z++) {
		if (*z == '\\')
			buf_addz(out, "\\e");
		else
			buf_addc(out, *z);
	}
}

static void
manual_row(const struct setting_row *row, struct buf *out)
{
	static const char *const types[] = { "yes or no", "number", "size", "time", "text", "list",
		"file", "secret file" };
	struct arena *a = arena_new(1 << 20);
	char field[32] = { 0 };
	struct buf dflt;

	buf_init(&dflt, 1 << 16);
	setting_default(row, a, field);
	print_value(&dflt, row, field);
	buf_addf(out, ".It Ic %s Pq %s , default Ql ", row->name, types[row->type]);
	for (struct str s = buf_str(&dflt); s.n != 0; s = str_from(s, 1)) {
		char c = s.p[0];
		if (c == '"')
			buf_addz(out, "\\(dq");
		else if (c == '\\')
			buf_addz(out, "\\e");
		else if (c == ' ')
			buf_addz(out, "\\ ");
		else
			buf_addc(out, c);
	}
	buf_addc(out, '\n');
	manual_text(out, row->help);
	if (row->type == SETTING_INT)
		buf_addf(out, "; %lld to %lld", (long long)row->min, (long long)row->max);
	buf_addz(out, ".\n");
	buf_fini(&dflt);
	arena_free(a);
}

void
settings_manual(struct buf *out)
{
	for (size_t i = 0; i < setting_sections_count; i++) {
		const struct setting_section *sec = &setting_sections[i];
		if (sec->name[0] == '\0')
			buf_addz(out, ".Ss Outside any section\n");
		else
			buf_addf(out, ".Ss Section %s%s\n", sec->name,
				sec->titled ? " \\(dqname\\(dq" : "");
		buf_addz(out, ".Bl -tag -width Ds\n");
		for (size_t r = 0; r < sec->rows_count; r++)
			manual_row(&sec->rows[r], out);
		buf_addz(out, ".El\n");
	}
	presets_manual(out);
}
