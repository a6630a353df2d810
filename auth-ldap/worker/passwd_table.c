/* The lines of a passwd-file: see passwd_file.h. Built whole at each change of the file and never
 * changed afterwards. Invariant: what is indexed was parsed without fault, with a password of a
 * known scheme. */
#include <stdlib.h>

#include "auth-ldap/worker/passwd_file.h"
#include "core/base/hmap.h"
#include "core/base/xalloc.h"
#include "core/passwd/passwd.h"

enum { LINES_MAX = 5000000, FIELDS = 8, KEYS_BYTES = 1 << 30 };

struct entry {
	struct hmap_node node; /* key: the canonical name */
	struct str line;
	bool twice;
};
struct alias {
	struct hmap_node node;
	size_t entry;
	bool twice;
};

struct passwd_table {
	struct buf text;
	struct str default_domain, default_scheme;
	struct arena *keys;
	struct entry *entries;
	size_t entries_count;
	struct hmap names, aliases, domains;
};

/* "quota=1G services=imap,smtp userdb_mail=x" */
static const char *
parse_extra(struct str extra, struct account *out)
{
	struct str word, key, value;

	while (extra.n != 0) {
		(void)str_cut(extra, ' ', &word, &extra);
		if (word.n == 0)
			continue;
		bool pair = str_cut(word, '=', &key, &value);
		/* Dovecot's, for programs that are not here */
		if (str_starts(key, STR("userdb_")) || str_starts(key, STR("event_")))
			continue;
		if (!pair)
			value = STR("yes");
		/* these stand in front */
		if (str_ieq(key, STR("user")) || str_ieq(key, STR("password")))
			return "user and password have fields of their own";
		enum err e = account_set(out, key, value);
		if (e == ERR_NOTFOUND)
			return "an unknown field at the end";
		if (e != ERR_OK)
			return "a field at the end whose value is none";
	}
	return NULL;
}

/* NULL: well. */
static const char *
parse_line(struct str line, struct account *out)
{
	struct str field[FIELDS], rest = line;
	size_t n = 0;
	bool more = true;

	account_init(out);
	for (size_t i = 0; i < FIELDS; i++)
		field[i] = STR_EMPTY;
	while (more && n < FIELDS - 1)
		more = str_cut(rest, ':', &field[n++], &rest);
	/* the last field may hold colons */
	if (more)
		field[n++] = rest;
	if (n < 2)
		return "no password field";
	if (str_has_nul(line))
		return "a NUL byte";
	out->user.user = field[0];
	out->password = field[1];
	(void)str_cut(field[4], ',', &out->user.display_name, &rest);
	out->user.home = field[5];
	return parse_extra(field[7], out);
}

/* Spelled as in the line; canonical is what it is found by. */
static enum err
canonical(struct passwd_table *t, struct str raw, struct str *out)
{
	struct name n;
	enum err e = name_parse(str_trim(raw), t->default_domain, &n);

	return e == ERR_OK ? arena_str(t->keys, n.address, out) : e;
}

static void
add_domain(struct passwd_table *t, struct str address)
{
	struct str domain = str_from(address, str_chr(address, '@') + 1);
	struct hmap_node *node;

	if (domain.n == 0 || hmap_get(&t->domains, domain) != NULL)
		return;
	node = arena_calloc(t->keys, 1, sizeof *node);
	if (node != NULL)
		hmap_put(&t->domains, node, domain);
}

static const char *
add_aliases(struct passwd_table *t, size_t entry, struct str list)
{
	struct str one, key;

	while (list.n != 0) {
		(void)str_cut(list, ',', &one, &list);
		if (str_trim(one).n == 0)
			continue;
		if (canonical(t, one, &key) != ERR_OK)
			return "an alias that is no address";
		struct hmap_node *old = hmap_get(&t->aliases, key);
		if (old != NULL) {
			struct alias *a = CONTAINER_OF(old, struct alias, node);
			a->twice |= a->entry != entry;
			continue;
		}
		struct alias *a = arena_calloc(t->keys, 1, sizeof *a);
		if (a == NULL)
			return "the file is too large";
		a->entry = entry;
		hmap_put(&t->aliases, &a->node, key);
		add_domain(t, key);
	}
	return NULL;
}

static const char *
check_aliases(struct str list)
{
	struct str one;
	struct name n;

	while (list.n != 0) {
		(void)str_cut(list, ',', &one, &list);
		if (str_trim(one).n != 0 && name_parse(str_trim(one), STR("invalid"), &n) != ERR_OK)
			return "an alias that is no address";
	}
	return NULL;
}

static const char *
add_line(struct passwd_table *t, struct str line)
{
	struct entry *e = &t->entries[t->entries_count];
	struct account a;
	struct str key;
	const char *why = parse_line(line, &a);

	if (why == NULL && canonical(t, a.user.user, &key) != ERR_OK)
		why = "a user's name that is none";
	if (why == NULL && passwd_check(a.password, t->default_scheme) != ERR_OK)
		why = "a password of an unknown scheme, or not of its form";
	/* before the first of them is indexed */
	if (why == NULL)
		why = check_aliases(a.user.aliases);
	if (why != NULL)
		return why;
	struct hmap_node *old = hmap_get(&t->names, key);

	if (old != NULL) {
		CONTAINER_OF(old, struct entry, node)->twice = true;
		return "a user who stands here twice: neither line counts";
	}
	e->line = line;
	hmap_put(&t->names, &e->node, key);
	add_domain(t, key);
	return add_aliases(t, t->entries_count++, a.user.aliases);
}

static size_t
count_lines(struct str text)
{
	size_t n = 1;

	for (size_t at = 0; (at += str_chr(str_from(text, at), '\n')) < text.n; at++)
		n++;
	return n;
}

enum err
passwd_table_new(struct buf *text, struct str default_domain, struct str default_scheme,
	passwd_bad_fn bad, void *arg, struct passwd_table **out)
{
	size_t lines = count_lines(buf_str(text));
	struct passwd_table *t;
	struct str rest, line;

	if (lines > LINES_MAX)
		return ERR_LIMIT;
	t = xcalloc(1, sizeof *t);
	t->text = *text;
	buf_init_secret(text, text->max);
	t->keys = arena_new(KEYS_BYTES);
	if (arena_str(t->keys, default_domain, &t->default_domain) != ERR_OK ||
		arena_str(t->keys, default_scheme, &t->default_scheme) != ERR_OK)
		t->default_domain = t->default_scheme = STR_EMPTY;
	t->entries = xcalloc(lines, sizeof *t->entries);
	hmap_init(&t->names);
	hmap_init(&t->aliases);
	hmap_init(&t->domains);
	rest = buf_str(&t->text);
	for (unsigned n = 1; rest.n != 0; n++) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_ends(line, STR("\r")))
			line.n--;
		if (line.n == 0 || line.p[0] == '#' || str_trim(line).n == 0)
			continue;
		const char *why = add_line(t, line);
		if (why != NULL)
			bad(arg, n, why);
	}
	*out = t;
	return ERR_OK;
}

void
passwd_table_free(struct passwd_table *t)
{
	if (t == NULL)
		return;
	hmap_fini(&t->names);
	hmap_fini(&t->aliases);
	hmap_fini(&t->domains);
	free(t->entries);
	arena_free(t->keys);
	buf_fini(&t->text);
	free(t);
}

size_t
passwd_table_users(const struct passwd_table *t)
{
	return t->entries_count;
}

static enum err
give(const struct entry *e, struct account *out)
{
	if (e->twice)
		return ERR_DENIED;
	if (parse_line(e->line, out) != NULL)
		return ERR_DENIED;
	/* one name, however the line spells it */
	out->user.user = out->user.source = e->node.key;
	return ERR_OK;
}

enum err
passwd_table_find(const struct passwd_table *t, const struct name *n, struct account *out)
{
	struct hmap_node *node = hmap_get(&t->names, n->address);

	if (node != NULL)
		return give(CONTAINER_OF(node, struct entry, node), out);
	node = hmap_get(&t->aliases, n->address);
	if (node == NULL)
		return ERR_NOTFOUND;
	const struct alias *al = CONTAINER_OF(node, struct alias, node);

	return al->twice ? ERR_DENIED : give(&t->entries[al->entry], out);
}

bool
passwd_table_has_domain(const struct passwd_table *t, struct str domain)
{
	return hmap_get(&t->domains, domain) != NULL;
}

bool
passwd_table_next(const struct passwd_table *t, size_t *cursor, struct account *out)
{
	while (*cursor < t->entries_count)
		if (give(&t->entries[(*cursor)++], out) == ERR_OK)
			return true;
	return false;
}
