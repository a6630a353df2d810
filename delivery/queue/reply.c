/* The parser of LMTP replies, for client.c. A server is believed in its codes only: texts are cut
 * and cleaned before anybody logs them or puts them into a report. */
#include "delivery/queue/reply.h"

#include <stdio.h>

void
reply_init(struct reply *r)
{
	memset(r, 0, sizeof(*r));
}

static bool
status_parse(struct str s, unsigned code, char out[12], size_t *len_out)
{
	size_t dots = 0, digits = 0, i;

	for (i = 0; i < s.n && s.p[i] != ' '; i++) {
		if (ascii_is_digit(s.p[i]) && ++digits <= 3)
			continue;
		if (s.p[i] != '.' || digits == 0 || digits > 3 || ++dots > 2)
			return false;
		digits = 0;
	}
	if (dots != 2 || digits == 0 || i >= 12 || s.p[1] != '.' ||
		s.p[0] != (char)('0' + code / 100))
		return false;
	memcpy(out, s.p, i);
	out[i] = '\0';
	*len_out = i;
	return true;
}

static void
text_set(struct reply *r, struct str text)
{
	size_t n = text.n > REPLY_TEXT_MAX ? REPLY_TEXT_MAX : text.n;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		r->text[i] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
	}
	r->text[n] = '\0';
	r->text_len = n;
}

enum err
reply_add(struct reply *r, struct str line)
{
	uint32_t code;
	bool more;
	size_t len;
	struct str text;

	if (line.n < 3 || str_to_u32(str_sub(line, 0, 3), 599, &code) != ERR_OK || code < 200)
		return ERR_SYNTAX;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return ERR_SYNTAX;
	if (r->open && code != r->code)
		return ERR_SYNTAX;
	more = line.n > 3 && line.p[3] == '-';
	text = str_trim(str_from(line, 4));
	r->code = code;
	if (status_parse(text, code, r->status, &len))
		text = str_trim(str_from(text, len));
	else
		(void)snprintf(r->status, sizeof(r->status), "%c.0.0", (char)('0' + code / 100));
	text_set(r, text);
	r->open = more;
	return more ? ERR_AGAIN : ERR_OK;
}

void
reply_set(struct reply *r, unsigned code, const char *status, const char *text)
{
	reply_init(r);
	r->code = code;
	(void)snprintf(r->status, sizeof(r->status), "%s", status);
	text_set(r, str_of(text));
}
