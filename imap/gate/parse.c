/* IMAP before login, as grammar: where a command ends, its words, strings and the ID list. Used
 * by imap/gate/gate.c on bytes of clients that nobody knows. Invariant: no function looks beyond
 * the input it was given, and every loop consumes. */
#include "imap/gate/parse.h"

enum {
	TAG_MAX = 256,
	LITERAL_DIGITS_MAX = 10,
	ID_PAIRS_MAX = 30,
	ID_KEY_MAX = 64,
	ID_VALUE_MAX = 1024
};

/* RFC 3501 9: ATOM-CHAR, and "]" which an astring may hold. */
static bool
is_astring_char(char ch)
{
	unsigned char c = (unsigned char)ch;
	return c > 0x20 && c < 0x7f && c != '(' && c != ')' && c != '{' && c != '%' && c != '*' &&
	       c != '"' && c != '\\';
}

/* line ends in "{12}" or "{12+}". ERR_NOTFOUND: in neither. */
static enum err
literal_header(struct str line, uint64_t *size_out, bool *sync_out)
{
	if (line.n < 3 || line.p[line.n - 1] != '}')
		return ERR_NOTFOUND;
	size_t open = str_rchr(line, '{');
	if (open == line.n)
		return ERR_NOTFOUND;
	struct str digits = str_sub(line, open + 1, line.n - open - 2);
	*sync_out = !str_ends(digits, STR("+"));
	if (!*sync_out)
		digits.n--;
	if (digits.n == 0 || digits.n > LITERAL_DIGITS_MAX)
		return ERR_NOTFOUND;
	return str_to_u64(digits, UINT64_MAX, size_out) == ERR_OK ? ERR_OK : ERR_NOTFOUND;
}

static struct str
without_cr(struct str line)
{
	if (str_ends(line, STR("\r")))
		line.n--;
	return line;
}

enum err
gate_frame(struct str in, size_t literal_max, struct gate_frame *out)
{
	size_t at = 0;
	*out = (struct gate_frame){ .end = 0 };
	for (;;) {
		struct str rest = str_from(in, at);
		size_t lf = str_chr(rest, '\n');
		uint64_t size = 0;
		bool sync = false;
		if (lf == rest.n)
			return ERR_AGAIN;
		at += lf + 1;
		if (literal_header(without_cr(str_sub(rest, 0, lf)), &size, &sync) != ERR_OK) {
			out->end = at;
			return ERR_OK;
		}
		if (size > literal_max) {
			out->end = at;
			out->literal_coming = !sync;
			return ERR_LIMIT;
		}
		out->in_literal = true;
		if (in.n - at < size || in.n == at) {
			out->literal_at = sync ? at : 0;
			return ERR_AGAIN;
		}
		at += (size_t)size;
	}
}

enum err
gate_command(struct str bytes, struct gate_command *out)
{
	struct str s = bytes, word;
	*out = (struct gate_command){ .tag = STR_EMPTY };
	if (str_ends(s, STR("\n")))
		s.n--;
	s = without_cr(s);
	size_t n = str_chr(s, ' ');
	word = str_sub(s, 0, n);
	if (n == 0 || n > TAG_MAX)
		return ERR_SYNTAX;
	for (size_t i = 0; i < n; i++)
		if (!is_astring_char(word.p[i]) || word.p[i] == '+')
			return ERR_SYNTAX;
	out->tag = word;
	s = str_from(s, n + 1);
	n = str_chr(s, ' ');
	out->name = str_sub(s, 0, n);
	if (out->name.n == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < n; i++)
		if (!is_astring_char(s.p[i]))
			return ERR_SYNTAX;
	out->has_args = n < s.n;
	out->args = str_from(s, n + 1);
	return ERR_OK;
}

enum err
gate_space(struct str *args)
{
	if (args->n == 0 || args->p[0] != ' ')
		return ERR_SYNTAX;
	*args = str_from(*args, 1);
	return ERR_OK;
}

static enum err
quoted(struct str *args, struct buf *out)
{
	struct str s = str_from(*args, 1);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '"') {
			*args = str_from(s, i + 1);
			return buf_check(out);
		}
		if (c == '\\') {
			if (++i == s.n || (s.p[i] != '"' && s.p[i] != '\\'))
				return ERR_SYNTAX;
			c = s.p[i];
		}
		if (c == '\0' || c == '\r' || c == '\n')
			return ERR_SYNTAX;
		buf_addc(out, c);
	}
	return ERR_SYNTAX;
}

static enum err
literal(struct str *args, struct buf *out)
{
	uint64_t size = 0;
	bool sync = false;
	size_t lf = str_chr(*args, '\n');
	if (lf == args->n ||
		literal_header(without_cr(str_sub(*args, 0, lf)), &size, &sync) != ERR_OK ||
		str_chr(str_sub(*args, 1, lf - 1), '{') < lf - 1 || size > args->n - lf - 1)
		return ERR_SYNTAX;
	struct str value = str_sub(*args, lf + 1, (size_t)size);
	if (str_has_nul(value))
		return ERR_SYNTAX;
	*args = str_from(*args, lf + 1 + (size_t)size);
	buf_add(out, value);
	return buf_check(out);
}

enum err
gate_astring(struct str *args, struct buf *out)
{
	size_t n = 0;
	if (args->n > 0 && args->p[0] == '"')
		return quoted(args, out);
	if (args->n > 0 && args->p[0] == '{')
		return literal(args, out);
	while (n < args->n && is_astring_char(args->p[n]))
		n++;
	if (n == 0)
		return ERR_SYNTAX;
	buf_add(out, str_sub(*args, 0, n));
	*args = str_from(*args, n);
	return buf_check(out);
}

enum err
gate_nastring(struct str *args, struct buf *out, bool *nil_out)
{
	size_t n = 0;
	while (n < args->n && is_astring_char(args->p[n]))
		n++;
	*nil_out = str_ieq(str_sub(*args, 0, n), STR("NIL"));
	if (*nil_out) {
		*args = str_from(*args, n);
		return ERR_OK;
	}
	return gate_astring(args, out);
}

static enum err
id_pair(struct str *args, struct buf *key, struct buf *value)
{
	bool nil;
	buf_reset(key);
	buf_reset(value);
	enum err e = gate_nastring(args, key, &nil);
	if (e == ERR_OK && nil)
		e = ERR_SYNTAX;
	if (e == ERR_OK)
		e = gate_space(args);
	if (e == ERR_OK)
		e = gate_nastring(args, value, &nil);
	return e == ERR_OK ? ERR_OK : ERR_SYNTAX;
}

enum err
gate_id_list(struct str args, void (*fn)(void *arg, struct str key, struct str value), void *arg)
{
	struct buf key, value;
	enum err e = ERR_OK;
	if (str_ieq(args, STR("NIL")) || str_eq(args, STR("()")))
		return ERR_OK;
	if (args.n < 2 || args.p[0] != '(')
		return ERR_SYNTAX;
	args = str_from(args, 1);
	buf_init(&key, ID_KEY_MAX);
	buf_init(&value, ID_VALUE_MAX);
	for (int pairs = 0; e == ERR_OK; pairs++) {
		e = pairs < ID_PAIRS_MAX ? id_pair(&args, &key, &value) : ERR_SYNTAX;
		if (e == ERR_OK && fn != NULL)
			fn(arg, buf_str(&key), buf_str(&value));
		if (e == ERR_OK && str_eq(args, STR(")")))
			break;
		if (e == ERR_OK)
			e = gate_space(&args);
	}
	buf_fini(&key);
	buf_fini(&value);
	return e;
}
