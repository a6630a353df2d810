/* A setting's text to its value: one function a type, all limits in one place. */
#include <assert.h>

#include "config/rows.h"
#include "core/base/arena.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = { { "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 },
	{ "G", 1 << 30 }, { "T", (int64_t)1 << 40 }, { NULL, 0 } };
static const struct unit time_units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
	{ "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };

static enum err
convert_number(const struct setting_row *row, struct str text, const struct unit *units,
	const char *hint, int64_t *out, struct buf *err_out)
{
	size_t digits = 0;
	uint64_t v;

	while (digits < text.n && ascii_is_digit((unsigned char)text.p[digits]))
		digits++;
	struct str unit = str_from(text, digits);

	if (str_to_u64(str_sub(text, 0, digits), INT64_MAX, &v) == ERR_OK) {
		for (; units->name != NULL; units++) {
			int64_t scaled;
			if (!str_eq(unit, str_of(units->name)) && !(v == 0 && unit.n == 0))
				continue;
			if (__builtin_mul_overflow((int64_t)v, units->factor, &scaled) ||
				scaled < row->min || scaled > row->max) {
				buf_addf(err_out, "must lie between %lld and %lld%s",
					(long long)row->min, (long long)row->max,
					row->type == SETTING_TIME   ? " ms"
					: row->type == SETTING_SIZE ? " bytes"
								    : "");
				return ERR_LIMIT;
			}
			*out = scaled;
			return ERR_OK;
		}
	}
	buf_addf(err_out, "\"%.*s\" is no %s", STR_FMT(text), hint);
	return ERR_SYNTAX;
}

static enum err
convert_bool(struct str text, bool *out, struct buf *err_out)
{
	*out = str_eq(text, STR("yes"));
	if (*out || str_eq(text, STR("no")))
		return ERR_OK;
	buf_addf(err_out, "\"%.*s\" is neither yes nor no", STR_FMT(text));
	return ERR_SYNTAX;
}

static enum err
convert_text(const struct setting_row *row, struct str text, struct arena *a, struct str *out,
	struct buf *err_out)
{
	if ((int64_t)text.n < row->min || (int64_t)text.n > row->max) {
		buf_addf(err_out, "must be %lld to %lld bytes long", (long long)row->min,
			(long long)row->max);
		return ERR_LIMIT;
	}
	if (arena_str(a, text, out) == ERR_OK)
		return ERR_OK;
	buf_addz(err_out, "the configuration is too large");
	return ERR_LIMIT;
}

static enum err
convert_list(const struct setting_row *row, const struct str *values, size_t count, struct arena *a,
	struct str_list *out, struct buf *err_out)
{
	if ((int64_t)count < row->min || (int64_t)count > row->max) {
		buf_addf(err_out, "must hold %lld to %lld values", (long long)row->min,
			(long long)row->max);
		return ERR_LIMIT;
	}
	out->n = count;
	out->v = arena_calloc(a, count != 0 ? count : 1, sizeof *out->v);
	bool fits = out->v != NULL;

	for (size_t i = 0; fits && i < count; i++)
		fits = arena_str(a, values[i], &out->v[i]) == ERR_OK;
	if (fits)
		return ERR_OK;
	buf_addz(err_out, "the configuration is too large");
	return ERR_LIMIT;
}

enum err
setting_convert(const struct setting_row *row, const struct str *values, size_t count,
	struct arena *a, void *field, struct buf *err_out)
{
	struct str_list list;
	struct str text = count != 0 ? values[0] : STR_EMPTY;
	int64_t num = 0;
	bool flag = false;
	enum err e = ERR_BUG;

	switch (row->type) {
	case SETTING_BOOL:
		e = convert_bool(text, &flag, err_out);
		if (e == ERR_OK)
			memcpy(field, &flag, sizeof flag);
		return e;
	case SETTING_INT:
		e = convert_number(row, text, no_units, "whole number", &num, err_out);
		break;
	case SETTING_SIZE:
		e = convert_number(
			row, text, size_units, "size, such as 64K, 50M or 1G", &num, err_out);
		break;
	case SETTING_TIME:
		e = convert_number(row, text, time_units, "time, such as 500ms, 60s, 5m, 4h or 5d",
			&num, err_out);
		break;
	case SETTING_STRING:
	case SETTING_FILE:
	case SETTING_SECRET:
		e = convert_text(row, text, a, &text, err_out);
		if (e == ERR_OK)
			memcpy(field, &text, sizeof text);
		return e;
	case SETTING_LIST:
		e = convert_list(row, values, count, a, &list, err_out);
		if (e == ERR_OK)
			memcpy(field, &list, sizeof list);
		return e;
	}
	if (e == ERR_OK)
		memcpy(field, &num, sizeof num);
	return e;
}
