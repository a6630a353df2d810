/* One role's slice of the settings as bytes, and back. Both ends are the same build: rows go by
 * their index, and anything odd is ERR_SYNTAX. Layout, all u32 little endian: section, instance
 * (TITLE rows first: row = ROW_TITLE), row, count, then count times length and bytes. */
#include "config/rows.h"

#include "core/base/arena.h"

enum { ROW_TITLE = 0xffff, LIST_MAX = 4096, INSTANCES_MAX = 256 };

static void
put_u32(struct buf *out, uint32_t v)
{
	buf_add(out, str_n(&v, sizeof v));
}

static void
put_str(struct buf *out, struct str s)
{
	put_u32(out, (uint32_t)s.n);
	buf_add(out, s);
}

static void
put_head(struct buf *out, size_t section, size_t instance, size_t row, size_t count)
{
	put_u32(out, (uint32_t)section);
	put_u32(out, (uint32_t)instance);
	put_u32(out, (uint32_t)row);
	put_u32(out, (uint32_t)count);
}

static void
put_value(struct buf *out, const struct setting_row *row, const void *field)
{
	struct str_list list;
	struct str text;
	int64_t num;
	bool flag;

	switch (row->type) {
	case SETTING_BOOL:
		memcpy(&flag, field, sizeof flag);
		num = flag;
		put_str(out, str_n(&num, sizeof num));
		break;
	case SETTING_INT:
	case SETTING_SIZE:
	case SETTING_TIME:
		put_str(out, str_n(field, sizeof num));
		break;
	case SETTING_STRING:
	case SETTING_FILE:
	case SETTING_SECRET:
		memcpy(&text, field, sizeof text);
		put_str(out, text);
		break;
	case SETTING_LIST:
		memcpy(&list, field, sizeof list);
		for (size_t i = 0; i < list.n; i++)
			put_str(out, list.v[i]);
		break;
	}
}

static size_t
value_count(const struct setting_row *row, const void *field)
{
	struct str_list list;

	if (row->type != SETTING_LIST)
		return 1;
	memcpy(&list, field, sizeof list);
	return list.n;
}

static bool
lmtp_has_tls(const struct settings *s)
{
	for (size_t i = 0; i < s->listens_count; i++)
		if (str_eq(s->listens[i].protocol, STR("lmtp")) &&
			!str_eq(s->listens[i].tls, STR("none")))
			return true;
	return false;
}

void
settings_pack(const struct settings *s, unsigned role, struct buf *out)
{
	/* settings_instance hands out writable memory; nothing here writes */
	struct settings *any = (struct settings *)(uintptr_t)s;

	if ((role & ROLE_LMTP) != 0 && lmtp_has_tls(s))
		role |= ROLE_LMTP_TLS;
	for (size_t i = 0; i < setting_sections_count; i++) {
		const struct setting_section *sec = &setting_sections[i];
		unsigned wanted = 0;
		for (size_t r = 0; r < sec->rows_count; r++)
			wanted |= sec->rows[r].roles;
		if ((wanted & role) == 0)
			continue;
		for (size_t k = 0; k < settings_instances(s, sec); k++) {
			const char *at = settings_instance(any, sec, k);
			put_head(out, i, k, ROW_TITLE, 1);
			put_str(out, settings_title(s, sec, k));
			for (size_t r = 0; r < sec->rows_count; r++) {
				const struct setting_row *row = &sec->rows[r];
				if ((row->roles & role) == 0)
					continue;
				put_head(out, i, k, r, value_count(row, at + row->offset));
				put_value(out, row, at + row->offset);
			}
		}
	}
}

static enum err
get_u32(struct str *in, uint32_t *out)
{
	if (in->n < sizeof *out)
		return ERR_SYNTAX;
	memcpy(out, in->p, sizeof *out);
	*in = str_from(*in, sizeof *out);
	return ERR_OK;
}

static enum err
get_str(struct str *in, struct arena *a, struct str *out)
{
	uint32_t n;

	if (get_u32(in, &n) != ERR_OK || n > in->n)
		return ERR_SYNTAX;
	enum err e = arena_str(a, str_sub(*in, 0, n), out);

	*in = str_from(*in, n);
	return e;
}

static enum err
get_value(
	struct str *in, const struct setting_row *row, uint32_t count, struct arena *a, void *field)
{
	struct str_list list = { .v = arena_calloc(a, count + 1, sizeof *list.v), .n = count };
	int64_t num;
	enum err e = list.v != NULL ? ERR_OK : ERR_LIMIT;

	for (uint32_t i = 0; e == ERR_OK && i < count; i++)
		e = get_str(in, a, &list.v[i]);
	if (e != ERR_OK)
		return e;
	if (row->type == SETTING_LIST) {
		memcpy(field, &list, sizeof list);
		return ERR_OK;
	}
	if (count != 1)
		return ERR_SYNTAX;
	if (row->text != NULL) {
		memcpy(field, &list.v[0], sizeof list.v[0]);
		return ERR_OK;
	}
	if (list.v[0].n != sizeof num)
		return ERR_SYNTAX;
	memcpy(&num, list.v[0].p, sizeof num);
	if (row->type == SETTING_BOOL)
		*(bool *)field = num != 0;
	else
		memcpy(field, &num, sizeof num);
	return ERR_OK;
}

/* A title begins an instance: arrays grow one by one, in order. */
static enum err
get_title(struct str *in, struct settings *s, const struct setting_section *sec, uint32_t instance)
{
	struct str title;
	enum err e = get_str(in, s->memory, &title);
	size_t n = settings_instances(s, sec);

	if (e != ERR_OK || !sec->titled)
		return e;
	if (instance != n || n >= INSTANCES_MAX)
		return ERR_SYNTAX;
	char *old = settings_instance(s, sec, 0);
	char *grown = arena_calloc(s->memory, n + 1, sec->size);

	if (grown == NULL)
		return ERR_LIMIT;
	if (n != 0)
		memcpy(grown, old, n * sec->size);
	memcpy(grown + n * sec->size, &title, sizeof title);
	for (size_t r = 0; r < sec->rows_count; r++)
		setting_default(
			&sec->rows[r], s->memory, grown + n * sec->size + sec->rows[r].offset);
	n++;
	memcpy((char *)s + sec->offset, &grown, sizeof grown);
	memcpy((char *)s + sec->offset + sizeof grown, &n, sizeof n);
	return ERR_OK;
}

static enum err
get_one(struct str *in, struct settings *s)
{
	uint32_t section, instance, row, count;

	if (get_u32(in, &section) != ERR_OK || get_u32(in, &instance) != ERR_OK ||
		get_u32(in, &row) != ERR_OK || get_u32(in, &count) != ERR_OK ||
		section >= setting_sections_count || count > LIST_MAX)
		return ERR_SYNTAX;
	const struct setting_section *sec = &setting_sections[section];

	if (row == ROW_TITLE)
		return get_title(in, s, sec, instance);
	if (row >= sec->rows_count || instance >= settings_instances(s, sec))
		return ERR_SYNTAX;
	char *at = settings_instance(s, sec, instance);

	return get_value(in, &sec->rows[row], count, s->memory, at + sec->rows[row].offset);
}

enum err
settings_unpack(struct str packed, struct settings **out)
{
	struct settings *s = settings_new();
	enum err e = ERR_OK;

	while (e == ERR_OK && packed.n != 0)
		e = get_one(&packed, s);
	if (e == ERR_OK)
		*out = s;
	else
		settings_free(s);
	return e;
}
