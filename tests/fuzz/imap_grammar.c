/* Commands from the grammar; see imap_grammar.h. Used by fuzz_imap, fuzz_imap_command,
 * fuzz_imap_session and the random tests. Invariant: what is made without `loose` is a command that
 * the parser has to accept. */
#include "tests/fuzz/imap_grammar.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/hmap.h"
#include "core/base/xalloc.h"
#include "imap/session/command.h"
#include "tests/fuzz/imap_rules.h"

enum { RULES_MAX = 256, USABLE_MAX = 96, DEPTH_MAX = 40, TEXT_MAX = 256 * 1024 };

struct state {
	struct hmap_node node;
	const struct grammar_rule *rule;
	uint8_t strict[USABLE_MAX], all[USABLE_MAX];
	uint8_t strict_count, all_count;
};

static struct hmap by_name;
static struct state states[RULES_MAX];

static bool
advertised(struct str token)
{
	for (const struct capability *c = imap_capabilities; c->token != NULL; c++)
		if (str_eq(token, str_of(c->token)))
			return true;
	return false;
}

/* The text of an alternative, and whether it is for everybody. */
static struct str
alternative(const char *z, bool *strict_out)
{
	struct str s = str_of(z), token, rest;

	*strict_out = true;
	if (s.n != 0 && s.p[0] == '!') {
		*strict_out = false;
		return str_from(s, 1);
	}
	if (s.n == 0 || s.p[0] != '?' || !str_cut(str_from(s, 1), ' ', &token, &rest))
		return s;
	*strict_out = advertised(token);
	return rest;
}

void
grammar_setup(void)
{
	if (by_name.slots != NULL || by_name.n != 0)
		return;
	hmap_init(&by_name);
	for (size_t i = 0; grammar_rules[i].name != NULL; i++) {
		struct state *s = &states[i];

		if (i == RULES_MAX)
			abort();
		s->rule = &grammar_rules[i];
		for (uint8_t k = 0; s->rule->alternatives[k] != NULL; k++) {
			bool strict;

			if (k == USABLE_MAX)
				abort();
			(void)alternative(s->rule->alternatives[k], &strict);
			s->all[s->all_count++] = k;
			if (strict)
				s->strict[s->strict_count++] = k;
		}
		hmap_put(&by_name, &s->node, str_of(s->rule->name));
	}
}

uint32_t
grammar_dice(struct grammar *g, uint32_t sides)
{
	if (g->seed != 0) {
		g->seed ^= g->seed << 13;
		g->seed ^= g->seed >> 7;
		g->seed ^= g->seed << 17;
		return (uint32_t)(g->seed >> 20) % sides;
	}
	if (g->left == 0)
		return 0;
	g->left--;
	return *g->choice++ % sides;
}

static void
add_text(struct grammar *g, struct str text, struct buf *out);

/* "literal:RULE": an expansion of the rule behind its length. The last letter says whether the
 * client may wait for the server. */
static void
add_literal(struct grammar *g, struct str rule, bool eight, struct buf *out)
{
	struct buf text;
	bool sync = g->sync && grammar_dice(g, 4) == 0;
	size_t most = g->most;

	buf_init(&text, TEXT_MAX);
	g->most = most > out->n ? most - out->n : 0;
	grammar_add(g, rule.n != 0 ? rule.p : "text", &text);
	g->most = most;
	if (buf_check(&text) != ERR_OK)
		buf_reset(&text);
	buf_addf(out, "%s{%zu%s}\r\n", eight ? "~" : "", text.n, sync ? "" : "+");
	buf_add(out, buf_str(&text));
	buf_fini(&text);
}

static void
add_number(struct grammar *g, uint64_t max, struct buf *out)
{
	static const uint64_t edges[] = { 1, 2, 3, 7, 255, 65535, 2147483647, 2147483648,
		4294967294, 4294967295, 9223372036854775806, 9223372036854775807 };
	uint64_t n = edges[grammar_dice(g, ARRAY_LEN(edges))];

	if (grammar_dice(g, 3) == 0)
		n = 1 + grammar_dice(g, 64);
	buf_addu(out, n <= max ? n : 1 + n % 100);
}

/* Rules that no table can say. */
static bool
add_builtin(struct grammar *g, struct str name, struct buf *out)
{
	if (str_eq(name, STR("literal")))
		add_literal(g, STR_EMPTY, false, out);
	else if (str_eq(name, STR("literal-message")))
		add_literal(g, STR("message"), false, out);
	else if (str_eq(name, STR("literal-eight")))
		add_literal(g, STR("message"), true, out);
	else if (str_eq(name, STR("nz-number")))
		add_number(g, UINT32_MAX, out);
	else if (str_eq(name, STR("nz-number-sixty-three")))
		add_number(g, INT64_MAX, out);
	else
		return false;
	return true;
}

static void
add_rule(struct grammar *g, struct str name, struct buf *out)
{
	struct hmap_node *n = hmap_get(&by_name, name);

	if (n == NULL) {
		if (add_builtin(g, name, out))
			return;
		(void)fprintf(stderr, "imap_rules.h: no rule %.*s\n", STR_FMT(name));
		abort();
	}
	const struct state *s = CONTAINER_OF(n, struct state, node);
	bool ends = g->depth >= DEPTH_MAX || out->n >= g->most;
	uint8_t count = g->loose ? s->all_count : s->strict_count;
	uint8_t pick = ends || count < 2 ? 0 : (uint8_t)grammar_dice(g, count);
	bool strict;

	if (count == 0)
		abort();
	g->depth++;
	add_text(g,
		alternative(
			s->rule->alternatives[g->loose ? s->all[pick] : s->strict[pick]], &strict),
		out);
	g->depth--;
}

static void
add_text(struct grammar *g, struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		size_t end = str_chr(str_from(text, i), '>');
		bool is_rule = text.p[i] == '<' && i + end < text.n && i + 1 < text.n &&
			       text.p[i + 1] >= 'a' && text.p[i + 1] <= 'z';

		if (!is_rule) {
			buf_addc(out, text.p[i]);
			continue;
		}
		add_rule(g, str_sub(text, i + 1, end - 1), out);
		i += end;
	}
}

void
grammar_add(struct grammar *g, const char *rule, struct buf *out)
{
	add_rule(g, str_of(rule), out);
}

bool
grammar_has_command(struct str words)
{
	struct hmap_node *n = hmap_get(&by_name, STR("command"));
	const struct state *s = CONTAINER_OF(n, struct state, node);

	for (size_t i = 0; s->rule->alternatives[i] != NULL; i++) {
		bool strict;
		struct str text = alternative(s->rule->alternatives[i], &strict);
		size_t end = words.n;

		if (str_starts(text, words) &&
			(end == text.n || text.p[end] == ' ' || text.p[end] == '<'))
			return true;
	}
	return false;
}

const char *
grammar_rule(size_t n)
{
	return n < RULES_MAX && states[n].rule != NULL ? states[n].rule->name : NULL;
}
