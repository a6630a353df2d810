/* libFuzzer's mutations for texts of IMAP commands: beside its own, a command or a word is put in
 * or replaced by what the grammar says, valid or nearly so, and words are repeated and nested.
 * Linked to fuzz_imap only; its corpus stays plain text. */
#include "tests/fuzz/imap_grammar.h"

enum { TEXT_MAX = 65536, WORD_MOST = 512, COMMAND_MOST = 2048, REPEAT_MAX = 60 };

size_t
LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A run of bytes that are (or, behind it, are not) separators, around a place chosen at random. */
static struct str
word_at(struct grammar *g, struct str s)
{
	size_t at = s.n != 0 ? grammar_dice(g, (uint32_t)s.n) : 0, from = at, to = at;

	while (from > 0 && memchr(" ()[]\r\n", s.p[from - 1], 7) == NULL)
		from--;
	while (to < s.n && memchr(" ()[]\r\n", s.p[to], 7) == NULL)
		to++;
	return str_sub(s, from, to - from);
}

static struct str
line_at(struct grammar *g, struct str s)
{
	size_t at = s.n != 0 ? grammar_dice(g, (uint32_t)s.n) : 0, from = at;

	while (from > 0 && s.p[from - 1] != '\n')
		from--;
	return str_sub(s, from, str_chr(str_from(s, at), '\n') + 1 + at - from);
}

static void
add_command(struct grammar *g, struct buf *out)
{
	buf_addf(out, "t%u ", grammar_dice(g, 100));
	grammar_add(g, "command", out);
	buf_addz(out, "\r\n");
}

static void
add_word(struct grammar *g, struct buf *out)
{
	size_t rules = 0;

	while (grammar_rule(rules) != NULL)
		rules++;
	grammar_add(g, grammar_rule(grammar_dice(g, (uint32_t)rules)), out);
}

static void
add_nested(struct grammar *g, struct str word, struct buf *out)
{
	static const char *const open[] = { "(", "NOT ", "1.", "OR ALL ", "%", "{0+}\r\n ", "1,",
		"" };
	const char *with = open[grammar_dice(g, 8)];
	uint32_t n = 1 + grammar_dice(g, REPEAT_MAX);

	for (uint32_t i = 0; i < n; i++)
		buf_addz(out, with);
	buf_add(out, word);
	if (with[0] != '(')
		return;
	for (uint32_t i = 0; i < n; i++)
		buf_addc(out, ')');
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct grammar g = { .seed = seed * 0x9e3779b97f4a7c15 + 1, .sync = true, .loose = true };
	struct str s = str_n(data, size), place;
	struct buf out, put;

	grammar_setup();
	uint32_t what = grammar_dice(&g, 8);

	if (what < 3 || size > TEXT_MAX / 2)
		return LLVMFuzzerMutate(data, size, max_size);
	buf_init(&put, TEXT_MAX);
	g.most = what < 6 ? COMMAND_MOST : WORD_MOST;
	place = what < 6 ? line_at(&g, s) : word_at(&g, s);
	if (what < 6)
		add_command(&g, &put);
	else if (what == 6)
		add_word(&g, &put);
	else
		add_nested(&g, place, &put);
	size_t from = (size_t)(place.p - s.p), to = what == 3 ? from : from + place.n;

	buf_init(&out, TEXT_MAX);
	buf_add(&out, str_sub(s, 0, from));
	buf_add(&out, buf_str(&put));
	buf_add(&out, str_from(s, to));
	if (buf_check(&out) == ERR_OK && buf_check(&put) == ERR_OK && out.n <= max_size) {
		size = out.n;
		memcpy(data, buf_str(&out).p, size);
	} else {
		size = LLVMFuzzerMutate(data, size, max_size);
	}
	buf_fini(&put);
	buf_fini(&out);
	return size;
}
