/* Replies of servers; see answer.h. dialog.c feeds it. Invariant: whatever came, status and text
 * are printable, bounded, and fit the code's class. */
#include "delivery/remote/answer.h"

#include <stdio.h>

void
answer_init(struct answer *a)
{
	*a = (struct answer){ 0 };
}

static size_t
digits_at(struct str s, size_t at)
{
	size_t n = 0;

	while (at + n < s.n && ascii_is_digit(s.p[at + n]))
		n++;
	return n;
}

/* "5.1.1 " at the front, of the same class as code: its length, else 0. RFC 3463 2. */
static size_t
status_length(struct str s, unsigned code)
{
	size_t subject, detail;

	if (s.n < 5 || s.p[0] != (char)('0' + code / 100) || s.p[1] != '.')
		return 0;
	subject = digits_at(s, 2);
	if (subject < 1 || subject > 3 || 2 + subject >= s.n || s.p[2 + subject] != '.')
		return 0;
	detail = digits_at(s, 3 + subject);
	if (detail < 1 || detail > 3)
		return 0;
	subject += 3 + detail;
	return subject == s.n || s.p[subject] == ' ' ? subject : 0;
}

static void
text_add(struct answer *a, struct str text)
{
	if (text.n != 0 && a->text_len != 0 && a->text_len < RELAY_TEXT_MAX)
		a->text[a->text_len++] = ' ';
	for (size_t i = 0; i < text.n && a->text_len < RELAY_TEXT_MAX; i++) {
		unsigned char c = (unsigned char)text.p[i];
		a->text[a->text_len++] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
	}
	a->text[a->text_len] = '\0';
}

static void
status_default(struct answer *a)
{
	unsigned class = a->code / 100 == 3 ? 2 : a->code / 100;

	(void)snprintf(a->status, sizeof a->status, "%u.0.0", class % 10);
}

enum err
answer_add(struct answer *a, struct str line)
{
	struct str text;
	uint32_t code;
	size_t len;

	if (!a->open)
		answer_init(a);
	if (line.n < 3 || str_to_u32(str_sub(line, 0, 3), 599, &code) != ERR_OK || code < 200)
		return ERR_SYNTAX;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return ERR_SYNTAX;
	if (a->open && code != a->code)
		return ERR_SYNTAX;
	if (++a->lines > ANSWER_LINES_MAX)
		return ERR_LIMIT;
	a->open = line.n > 3 && line.p[3] == '-';
	a->code = code;
	text = str_trim(str_from(line, 4));
	len = status_length(text, code);
	if (a->lines == 1)
		status_default(a);
	if (len != 0 && len <= RELAY_STATUS_MAX) {
		memcpy(a->status, text.p, len);
		a->status[len] = '\0';
		text = str_trim(str_from(text, len));
	}
	text_add(a, text);
	return a->open ? ERR_AGAIN : ERR_OK;
}

void
answer_set(struct answer *a, unsigned code, const char *status, const char *text)
{
	answer_init(a);
	a->own = true;
	a->code = code;
	(void)snprintf(a->status, sizeof a->status, "%s", status);
	text_add(a, str_of(text));
}
