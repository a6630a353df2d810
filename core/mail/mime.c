/* The MIME parser: one pass over the octets of a message that builds the table of parts; called at
 * delivery and APPEND (store), and by SEARCH on bodies. Invariants: no recursion, time linear in
 * the message (at most MIME_DEPTH_MAX short comparisons for a line that begins with "--"), every
 * range lies inside its parent's body. */
#include "core/mail/mime.h"

#include <stdlib.h>

#include "core/base/xalloc.h"
#include "core/mail/content.h"
#include "core/mail/header.h"
#include "core/mail/token.h"

const struct mime_limits mime_limits_default = {
	.depth = 50,
	.parts = 10000,
};

/* RFC 2046 allows 70; longer ones are compared by their beginning, as all are. */
enum { BOUNDARY_MAX = 120, PARAMS_MAX = 16 * 1024 * 1024 };

/* A multipart whose boundary is looked for. */
struct level {
	uint32_t part;
	uint32_t last_child;
	size_t n;
	char boundary[BOUNDARY_MAX];
};

struct parser {
	struct mime *m;
	struct str msg;
	const struct mime_limits *limits;
	struct arena *arena; /* for parameters; made when first needed */
	size_t pos;	     /* always at the beginning of a line */
	size_t counted;	     /* lines = line feeds in front of this offset */
	uint64_t lines;
	uint32_t cur;	/* the part whose octets pos is in */
	uint32_t depth; /* of cur; the message itself is 1 */
	uint32_t level_count;
	uint32_t levels_cap;
	struct level *levels;  /* the innermost last */
	uint64_t *start_lines; /* for each depth: lines in front of the part's body */
};

/* What one header section said. */
struct seen {
	bool type, version, encoding;
	bool boundary;
	struct str boundary_text; /* lives in the arena or the message */
};

static uint64_t
count_lf_words(const char *p, size_t words)
{
	const uint64_t ones = 0x0101010101010101U, low = 0x7f7f7f7f7f7f7f7fU;
	uint64_t total = 0;

	while (words != 0) {
		size_t n = words > 255 ? 255 : words;
		uint64_t sums = 0;

		words -= n;
		for (; n != 0; n--, p += 8) {
			uint64_t x;

			memcpy(&x, p, 8);
			x ^= ones * '\n';
			sums += (~(((x & low) + low) | x) >> 7) & ones;
		}
		/* Two steps, as the sum of eight octets may pass 255. */
		sums = (sums & 0x00ff00ff00ff00ffU) + ((sums >> 8) & 0x00ff00ff00ff00ffU);
		total += (sums * 0x0001000100010001U) >> 48;
	}
	return total;
}

/* Lines in front of offset to; offsets only grow. */
static uint64_t
lines_at(struct parser *ps, size_t to)
{
	const char *p = ps->msg.p + ps->counted;
	size_t n = to - ps->counted;

	if (n >= 8)
		ps->lines += count_lf_words(p, n / 8);
	for (size_t i = n / 8 * 8; i < n; i++)
		ps->lines += p[i] == '\n';
	ps->counted = to;
	return ps->lines;
}

/* The offset behind the line at pos. */
static size_t
next_line(const struct parser *ps, size_t pos)
{
	const char *lf = memchr(ps->msg.p + pos, '\n', ps->msg.n - pos);

	return lf != NULL ? (size_t)(lf - ps->msg.p) + 1 : ps->msg.n;
}

/* --- boundaries ------------------------------------------------------------------------- */

/* The level whose boundary the line at pos is, counted from 1; 0: none. Compared with the
 * beginning of the line; of several the longest counts, of equal ones the innermost. RFC 2046
 * 5.1.1, 5.1.2. */
static uint32_t
match_boundary(const struct parser *ps, size_t pos, bool *closing_out)
{
	struct str rest = str_from(ps->msg, pos);
	uint32_t best = 0;

	if (rest.n < 2 || rest.p[0] != '-' || rest.p[1] != '-')
		return 0;
	rest = str_sub(rest, 2, BOUNDARY_MAX + 4);
	struct str line = str_sub(rest, 0, str_chr(rest, '\n'));

	if (line.n != 0 && line.p[line.n - 1] == '\r')
		line.n--;
	bool dashes = str_ends(line, STR("--"));

	for (uint32_t i = ps->level_count; i != 0; i--) {
		const struct level *l = &ps->levels[i - 1];

		if (!str_starts(line, str_n(l->boundary, l->n)) ||
			(best != 0 && ps->levels[best - 1].n >= l->n))
			continue;
		best = i;
		if (l->n == line.n || (dashes && l->n == line.n - 2))
			break;
	}
	if (best != 0)
		*closing_out = str_starts(str_from(line, ps->levels[best - 1].n), STR("--"));
	return best;
}

static void
push_level(struct parser *ps, struct str boundary)
{
	if (ps->level_count == ps->levels_cap) {
		ps->levels_cap = ps->levels_cap == 0 ? 4 : ps->levels_cap * 2;
		ps->levels = xrealloc(ps->levels, ps->levels_cap * sizeof *ps->levels);
	}
	struct level *l = &ps->levels[ps->level_count++];

	*l = (struct level){ .part = ps->cur, .last_child = MIME_NONE };
	boundary = str_sub(boundary, 0, BOUNDARY_MAX);
	memcpy(l->boundary, boundary.p, boundary.n);
	l->n = boundary.n;
}

/* --- parts ------------------------------------------------------------------------------ */

static struct mime_part *
current(struct parser *ps)
{
	return &ps->m->parts[ps->cur];
}

/* A new part below parent, current from now on; its header begins at pos. */
static void
begin_part(struct parser *ps, uint32_t parent)
{
	struct mime *m = ps->m;

	if (m->n == m->cap) {
		m->cap = m->cap == 0 ? 4 : m->cap * 2;
		m->parts = xrealloc(m->parts, m->cap * sizeof *m->parts);
	}
	uint32_t i = m->n++;

	m->parts[i] = (struct mime_part){
		.header_off = ps->pos,
		.body_off = ps->pos,
		.parent = parent,
		.next = MIME_NONE,
		.kind = MIME_TEXT,
	};
	if (parent != MIME_NONE)
		m->parts[parent].child_count++;
	ps->cur = i;
	ps->depth++;
}

static void
begin_multipart_child(struct parser *ps, struct level *l)
{
	uint32_t multipart = l->part;

	begin_part(ps, multipart);
	struct mime_part *p = current(ps);

	p->number = ps->m->parts[multipart].child_count;
	p->is_mime = true;
	if (l->last_child != MIME_NONE)
		ps->m->parts[l->last_child].next = ps->cur;
	l->last_child = ps->cur;
}

/* The current part and its parents up to, but not including, `until` end at offset end. */
static void
end_parts(struct parser *ps, uint32_t until, size_t end)
{
	uint64_t lines = lines_at(ps, end);

	while (ps->cur != until) {
		struct mime_part *p = current(ps);

		p->body_len = end - p->body_off;
		p->body_lines = lines - ps->start_lines[ps->depth];
		ps->cur = p->parent;
		ps->depth--;
	}
}

/* The line end in front of offset line belongs to the boundary there, but not to octets
 * before floor. RFC 2046 5.1.1. */
static size_t
before_boundary(const struct parser *ps, size_t line, size_t floor)
{
	if (line > floor && ps->msg.p[line - 1] == '\n')
		line--;
	else
		return line;
	if (line > floor && ps->msg.p[line - 1] == '\r')
		line--;
	return line;
}

/* --- header sections -------------------------------------------------------------------- */

static void
see_type(struct parser *ps, struct str value, struct seen *seen)
{
	struct mime_part *p = current(ps);
	struct str in = value = str_sub(value, 0, CONTENT_FIELD_MAX);
	struct str type, subtype = STR_EMPTY;

	token_skip_cfws(&in);
	type = token_mime(&in);
	if (type.n == 0)
		return;
	seen->type = true;
	token_skip_cfws(&in);
	if (in.n != 0 && in.p[0] == '/') {
		in = str_from(in, 1);
		token_skip_cfws(&in);
		subtype = token_mime(&in);
	}
	p->kind = MIME_LEAF;
	if (str_ieq(type, STR("text"))) {
		p->kind = MIME_TEXT;
	} else if (str_ieq(type, STR("message"))) {
		if (str_ieq(subtype, STR("rfc822")) || str_ieq(subtype, STR("global")))
			p->kind = MIME_MESSAGE;
	} else if (str_ieq(type, STR("multipart")) && subtype.n != 0) {
		struct content_params params;

		p->kind = MIME_MULTIPART;
		p->digest = str_ieq(subtype, STR("digest"));
		if (ps->arena == NULL)
			ps->arena = arena_new(PARAMS_MAX);
		arena_reset(ps->arena);
		if (content_value_parse(value, true, ps->arena, &type, &subtype, &params) == ERR_OK)
			seen->boundary = content_param_get(&params, STR("boundary"), ps->arena,
						 &seen->boundary_text) == ERR_OK;
	}
}

static void
see_field(struct parser *ps, struct str whole, struct seen *seen)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, whole);
	if (!header_next(&it, &f))
		return;
	if (!seen->type && str_ieq(f.name, STR("content-type"))) {
		see_type(ps, f.value, seen);
	} else if (!seen->encoding && str_ieq(f.name, STR("content-transfer-encoding"))) {
		seen->encoding = true;
		current(ps)->encoding = content_encoding(f.value);
	} else if (str_ieq(f.name, STR("mime-version"))) {
		seen->version = true;
	}
}

static bool
may_matter(const struct parser *ps, size_t pos)
{
	int c = ascii_lower((unsigned char)ps->msg.p[pos]);

	return (c == 'c' || c == 'm') && pos + 8 < ps->msg.n &&
	       (ps->msg.p[pos + 7] == '-' || ps->msg.p[pos + 4] == '-');
}

static struct str
field_at(const struct parser *ps, size_t begin)
{
	return str_sub(ps->msg, begin, ps->pos - begin);
}

/* Read lines up to the empty one, a boundary or the end; pos moves there (behind the empty
 * line). Returns the boundary's level or 0. */
static uint32_t
scan_header(struct parser *ps, struct seen *seen, bool *closing_out)
{
	size_t field = SIZE_MAX;
	uint32_t level = 0;

	while (ps->pos < ps->msg.n) {
		const char *p = ps->msg.p + ps->pos;
		bool folded = *p == ' ' || *p == '\t';

		if (!folded && field != SIZE_MAX) {
			see_field(ps, field_at(ps, field), seen);
			field = SIZE_MAX;
		}
		if (*p == '\n' || (*p == '\r' && ps->pos + 1 < ps->msg.n && p[1] == '\n')) {
			ps->pos += *p == '\n' ? 1 : 2;
			return 0;
		}
		if (*p == '-' && ps->level_count != 0)
			level = match_boundary(ps, ps->pos, closing_out);
		if (level != 0)
			return level;
		if (!folded && may_matter(ps, ps->pos))
			field = ps->pos;
		ps->pos = next_line(ps, ps->pos);
	}
	if (field != SIZE_MAX)
		see_field(ps, field_at(ps, field), seen);
	return 0;
}

/* What kind of part it is, now that its header is known. */
static void
decide_kind(struct parser *ps, const struct seen *seen)
{
	struct mime_part *p = current(ps);
	const struct mime_part *parent = p->parent != MIME_NONE ? &ps->m->parts[p->parent] : NULL;

	p->is_mime = p->is_mime || seen->type || seen->version;
	if (!p->is_mime)
		p->encoding = MIME_ENC_7BIT;
	if (!seen->type && parent != NULL && parent->digest)
		p->kind = MIME_MESSAGE;
	/* an invalid Content-Type counts as text/plain; RFC 2045 5.2 */
	if (p->kind == MIME_MULTIPART && !seen->boundary) {
		p->kind = MIME_TEXT;
		p->digest = false;
	}
	if ((p->kind == MIME_MULTIPART || p->kind == MIME_MESSAGE) &&
		(ps->depth >= ps->limits->depth || ps->depth >= MIME_DEPTH_MAX ||
			ps->m->n >= ps->limits->parts)) {
		p->kind = MIME_LEAF;
		p->digest = false;
		ps->m->cut = true;
	}
}

/* Parse headers from pos on, going down into messages, until a body begins. Returns the level of
 * the boundary that ended a header early, or 0. */
static uint32_t
parse_headers(struct parser *ps, bool *closing_out)
{
	for (;;) {
		struct seen seen = { 0 };
		struct mime_part *p = current(ps);
		uint64_t lines = lines_at(ps, p->header_off);
		uint32_t level = scan_header(ps, &seen, closing_out);
		size_t end = ps->pos;

		if (level != 0)
			end = before_boundary(ps, end, p->header_off);
		p->header_len = end - p->header_off;
		p->body_off = end;
		ps->start_lines[ps->depth] = lines_at(ps, end);
		p->header_lines = ps->lines - lines;
		decide_kind(ps, &seen);
		if (p->kind == MIME_MULTIPART)
			push_level(ps, seen.boundary_text);
		if (p->kind != MIME_MESSAGE)
			return level;
		begin_part(ps, ps->cur);
		if (level != 0) {
			/* the boundary cut the header short: the message inside is empty */
			current(ps)->header_off = current(ps)->body_off = end;
			ps->start_lines[ps->depth] = ps->lines;
			return level;
		}
	}
}

/* --- bodies ----------------------------------------------------------------------------- */

/* Move pos to the next boundary line; 0 at the end of the message. */
static uint32_t
scan_body(struct parser *ps, bool *closing_out)
{
	if (ps->level_count == 0)
		ps->pos = ps->msg.n;
	while (ps->pos < ps->msg.n) {
		if (ps->msg.p[ps->pos] == '-') {
			uint32_t level = match_boundary(ps, ps->pos, closing_out);

			if (level != 0)
				return level;
		}
		ps->pos = next_line(ps, ps->pos);
	}
	return 0;
}

/* pos is at a boundary line of `level`: end what it ends and begin what it begins. */
static void
cross_boundary(struct parser *ps, uint32_t level, bool closing)
{
	struct level *l = &ps->levels[level - 1];
	size_t line = ps->pos;
	size_t floor = current(ps)->body_off;

	end_parts(ps, l->part, before_boundary(ps, line, floor));
	ps->level_count = closing ? level - 1 : level;
	ps->pos = next_line(ps, line);
	if (closing || ps->msg.p[ps->pos - 1] != '\n')
		return;
	if (ps->m->n >= ps->limits->parts) {
		ps->m->cut = true;
		return;
	}
	begin_multipart_child(ps, l);
}

void
mime_parse(struct mime *m, struct str msg, const struct mime_limits *limits)
{
	uint64_t start_lines[MIME_DEPTH_MAX + 2];
	struct parser ps = {
		.m = m,
		.msg = msg,
		.limits = limits,
		.start_lines = start_lines,
	};
	uint32_t before;

	*m = (struct mime){ 0 };
	begin_part(&ps, MIME_NONE);
	do {
		bool closing = false;
		uint32_t level = parse_headers(&ps, &closing);

		before = m->n;
		/* Boundaries that begin no part (closing ones, those over the limit) follow one
		 * another here. */
		while (before == m->n) {
			if (level == 0)
				level = scan_body(&ps, &closing);
			if (level == 0)
				break;
			cross_boundary(&ps, level, closing);
			level = 0;
		}
	} while (before != m->n);
	end_parts(&ps, MIME_NONE, msg.n);
	arena_free(ps.arena);
	free(ps.levels);
}

void
mime_fini(struct mime *m)
{
	free(m->parts);
	*m = (struct mime){ 0 };
}
