/* IMAP before login, the protocol that postroom-gate speaks with core/gate below it. It knows
 * CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN and AUTHENTICATE; everything else is imap's, after
 * the hand-over. Invariant: a reply to a login is written here only when it failed; passwords leave
 * only towards auth and are not written anywhere else. */
#include <stdlib.h>

#include "core/base/codec.h"
#include "core/base/log.h"
#include "core/base/xalloc.h"
#include "core/gate/gate.h"
#include "imap/gate/gate.h"
#include "imap/gate/capability.h"
#include "imap/gate/parse.h"

enum {
	IN_MAX_BYTES = 64 * 1024,
	LITERAL_MAX_BYTES = 8 * 1024, /* a name or a password */
	TAG_MAX = 256,
	BAD_MAX = 10,	   /* commands that are none */
	FAILURES_MAX = 10, /* logins */
};

struct session {
	struct gate_conn *conn;
	struct buf tag;	   /* of the login in progress */
	bool exchange;	   /* the next line is a SASL response */
	bool skip_line;	   /* the rest of a line that was too long */
	size_t granted_at; /* the literal that got its "+" */
	int bad, failures;
	bool left; /* BYE was said */
};

static void
say_bye(struct session *s, const char *text)
{
	if (!s->left)
		gate_writef(s->conn, "* BYE %s\r\n", text);
	s->left = true;
	gate_hang_up(s->conn);
}

static void
say(struct session *s, const struct gate_command *c, const char *text)
{
	gate_writef(s->conn, "%.*s %s\r\n", STR_FMT(c->tag), text);
}

static void
bad(struct session *s, struct str tag, const char *text)
{
	gate_writef(s->conn, "%.*s BAD %s\r\n", STR_FMT(tag.n > 0 ? tag : STR("*")), text);
	if (++s->bad >= BAD_MAX)
		say_bye(s, "Too many bad commands");
}

static void
run_capability(struct session *s, const struct gate_command *c)
{
	struct buf b;
	buf_init(&b, 2048);
	gate_capabilities(s->conn, &b);
	gate_writef(s->conn, "* CAPABILITY %.*s\r\n", STR_FMT(buf_str(&b)));
	buf_fini(&b);
	say(s, c, "OK Capability completed");
}

static void
run_noop(struct session *s, const struct gate_command *c)
{
	say(s, c, "OK Noop completed");
}

static void
run_logout(struct session *s, const struct gate_command *c)
{
	gate_write(s->conn, STR("* BYE Logging out\r\n"));
	say(s, c, "OK Logout completed");
	gate_hang_up(s->conn);
}

static void
log_id_pair(void *arg, struct str key, struct str value)
{
	struct session *s = arg;
	log_event(LVL_DEBUG, "imap.id", log_z("sid", gate_sid(s->conn)), log_s("key", key),
		log_s("value", value));
}

static void
run_id(struct session *s, const struct gate_command *c)
{
	if (gate_id_list(str_trim(c->args), log_id_pair, s) != ERR_OK) {
		bad(s, c->tag, "ID wants NIL or a list of pairs");
		return;
	}
	gate_write(s->conn, STR("* ID (\"name\" \"Postroom\")\r\n"));
	say(s, c, "OK ID completed");
}

static void
run_starttls(struct session *s, const struct gate_command *c)
{
	if (!gate_offers_tls(s->conn)) {
		bad(s, c->tag, "STARTTLS is not available here");
		return;
	}
	say(s, c, "OK Begin TLS negotiation now");
	gate_start_tls(s->conn);
}

static void
begin(struct session *s, struct str tag, struct str mechanism, bool has_initial, struct str initial)
{
	buf_reset(&s->tag);
	buf_add(&s->tag, tag);
	if (gate_login(s->conn, tag, mechanism, has_initial, initial) != ERR_OK)
		bad(s, tag, "Name or password is too long");
}

/* Some clients put them behind the last argument; imap bears that after login. */
static bool
is_blank(struct str s)
{
	return str_trim(s).n == 0;
}

static void
run_login(struct session *s, const struct gate_command *c)
{
	struct str args = c->args;
	struct buf plain;
	if (!gate_is_secure(s->conn)) {
		say(s, c, "NO [PRIVACYREQUIRED] Passwords need TLS first");
		return;
	}
	/* PLAIN: authorisation identity (none), NUL, name, NUL, password. RFC 4616. */
	buf_init_secret(&plain, LITERAL_MAX_BYTES * 2 + 2);
	buf_addc(&plain, '\0');
	enum err e = gate_astring(&args, &plain);
	buf_addc(&plain, '\0');
	if (e == ERR_OK)
		e = gate_space(&args);
	if (e == ERR_OK)
		e = gate_astring(&args, &plain);
	if (e == ERR_OK && is_blank(args))
		begin(s, c->tag, STR("PLAIN"), true, buf_str(&plain));
	else
		bad(s, c->tag, "LOGIN wants a name and a password");
	buf_fini(&plain);
}

static void
run_authenticate(struct session *s, const struct gate_command *c)
{
	struct str mechanism, text;
	struct buf initial;
	bool has_initial = str_cut(c->args, ' ', &mechanism, &text);
	if (!gate_mechanism_offered(s->conn, mechanism)) {
		bool hidden = gate_mechanism_known(s->conn, mechanism);
		say(s, c,
			hidden ? "NO [PRIVACYREQUIRED] Passwords need TLS first"
			       : "NO [CANNOT] This mechanism is not offered");
		return;
	}
	buf_init_secret(&initial, AUTH_RESPONSE_MAX);
	/* "=" is an initial response of no bytes. RFC 4959 3. */
	bool empty = has_initial && str_eq(text, STR("="));
	enum err e = has_initial && !empty ? base64_decode(&initial, text) : ERR_OK;
	if (e == ERR_OK && has_initial && !empty && text.n == 0)
		e = ERR_SYNTAX;
	if (e == ERR_OK)
		begin(s, c->tag, mechanism, has_initial, buf_str(&initial));
	else
		bad(s, c->tag, "The initial response is no base64");
	buf_fini(&initial);
}

static const struct {
	const char *name;
	bool args;
	void (*run)(struct session *s, const struct gate_command *c);
} COMMANDS[] = {
	{ "CAPABILITY", false, run_capability },
	{ "NOOP", false, run_noop },
	{ "LOGOUT", false, run_logout },
	{ "ID", true, run_id },
	{ "STARTTLS", false, run_starttls },
	{ "LOGIN", true, run_login },
	{ "AUTHENTICATE", true, run_authenticate },
};

static void
run_command(struct session *s, struct str bytes)
{
	struct gate_command c;
	if (gate_command(bytes, &c) != ERR_OK) {
		bad(s, c.tag, "This is no command");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
		if (!str_ieq(c.name, str_of(COMMANDS[i].name)))
			continue;
		bool has_args = c.has_args && !is_blank(c.args);
		if (has_args != COMMANDS[i].args)
			bad(s, c.tag,
				has_args ? "No argument is wanted here" : "An argument is missing");
		else
			COMMANDS[i].run(s, &c);
		return;
	}
	bad(s, c.tag, "Unknown command, or one for after login");
}

/* A line of a SASL exchange. */
static void
run_response(struct session *s, struct str line)
{
	struct buf response;
	s->exchange = false;
	if (str_ends(line, STR("\r")))
		line.n--;
	if (str_eq(line, STR("*"))) {
		gate_abort(s->conn);
		bad(s, buf_str(&s->tag), "Authentication given up");
		return;
	}
	buf_init_secret(&response, AUTH_RESPONSE_MAX);
	enum err e = base64_decode(&response, line);
	if (e == ERR_OK)
		e = gate_respond(s->conn, buf_str(&response));
	if (e != ERR_OK) {
		gate_abort(s->conn);
		bad(s, buf_str(&s->tag), "The response is no base64");
	}
	buf_fini(&response);
}

/* True when something was consumed. */
static bool
take_line(struct session *s, struct buf *in)
{
	struct str all = buf_str(in);
	size_t lf = str_chr(all, '\n');
	if (s->skip_line) {
		s->skip_line = lf == all.n;
		buf_consume(in, lf == all.n ? all.n : lf + 1);
		return lf < all.n;
	}
	if (lf == all.n)
		return false;
	run_response(s, str_sub(all, 0, lf));
	buf_consume(in, lf + 1);
	return true;
}

static void
too_long(struct session *s, struct buf *in, bool in_literal)
{
	bool exchange = s->exchange;
	s->exchange = false;
	if (exchange)
		gate_abort(s->conn);
	bad(s, exchange ? buf_str(&s->tag) : STR_EMPTY, "The line is too long");
	if (in_literal)
		say_bye(s, "The command is too long");
	s->skip_line = true;
	buf_consume(in, in->n);
}

static void
literal_too_large(struct session *s, struct buf *in, const struct gate_frame *f)
{
	struct gate_command c;
	bool has_tag = gate_command(str_sub(buf_str(in), 0, f->end), &c) == ERR_OK || c.tag.n > 0;
	bad(s, has_tag ? c.tag : STR_EMPTY, "[TOOBIG] The literal is too large");
	if (f->literal_coming)
		say_bye(s, "The literal is too large");
	buf_consume(in, f->end);
}

/* True when a command was consumed. */
static bool
take_command(struct session *s, struct buf *in)
{
	const struct settings *set = gate_settings(s->conn);
	struct gate_frame f;
	size_t literal_max = LITERAL_MAX_BYTES, line_max = IN_MAX_BYTES;
	if (set->imap.literal_max < LITERAL_MAX_BYTES)
		literal_max = (size_t)set->imap.literal_max;
	if (set->imap.line_max < IN_MAX_BYTES)
		line_max = (size_t)set->imap.line_max;
	enum err e = gate_frame(buf_str(in), literal_max, &f);
	if (e == ERR_OK && f.end <= line_max) {
		s->granted_at = 0;
		run_command(s, str_sub(buf_str(in), 0, f.end));
		/* STARTTLS has thrown away what was left. */
		buf_consume(in, f.end < in->n ? f.end : in->n);
		return true;
	}
	if (e == ERR_LIMIT) {
		s->granted_at = 0;
		literal_too_large(s, in, &f);
		return true;
	}
	if (e == ERR_OK) {
		bad(s, STR_EMPTY, "The line is too long");
		buf_consume(in, f.end);
		return true;
	}
	if (in->n >= line_max) {
		too_long(s, in, f.in_literal);
		return true;
	}
	if (f.literal_at > s->granted_at) {
		s->granted_at = f.literal_at;
		gate_write(s->conn, STR("+ Go on\r\n"));
	}
	return false;
}

static void
on_input(void *session, struct buf *in)
{
	struct session *s = session;
	bool more = true;
	while (more && in->n > 0 && gate_listening(s->conn)) {
		if (s->exchange && in->n >= IN_MAX_BYTES && str_chr(buf_str(in), '\n') == in->n)
			too_long(s, in, false);
		else if (s->exchange || s->skip_line)
			more = take_line(s, in);
		else
			more = take_command(s, in);
	}
}

static void *
on_open(struct gate_conn *c)
{
	struct session *s = xcalloc(1, sizeof(*s));
	struct buf b;
	s->conn = c;
	buf_init(&s->tag, TAG_MAX);
	buf_init(&b, 2048);
	gate_capabilities(c, &b);
	gate_writef(c, "* OK [CAPABILITY %.*s] %.*s Postroom ready\r\n", STR_FMT(buf_str(&b)),
		STR_FMT(gate_settings(c)->hostname));
	buf_fini(&b);
	return s;
}

static void
on_close(void *session)
{
	struct session *s = session;
	buf_fini(&s->tag);
	free(s);
}

static void
on_challenge(void *session, struct str challenge)
{
	struct session *s = session;
	struct buf b;
	buf_init_secret(&b, AUTH_RESPONSE_MAX * 2);
	base64_encode(&b, challenge);
	gate_writef(s->conn, "+ ");
	gate_write(s->conn, buf_str(&b));
	gate_write(s->conn, STR("\r\n"));
	buf_fini(&b);
	s->exchange = true;
}

/* RFC 5530 3. The one place where a login's end becomes a reply: code, and text where the directory
 * gives none. */
static const struct failure {
	const char *code, *text;
	bool told; /* the right password was there: the reason may be said */
} FAILURES[] = {
	[AUTH_FAIL_CREDENTIALS] = { "AUTHENTICATIONFAILED", "Authentication failed", false },
	[AUTH_FAIL_TEMP] = { "UNAVAILABLE", "Logins are not possible now, try again later", false },
	[AUTH_FAIL_EXPIRED] = { "EXPIRED", "The password has expired", true },
	[AUTH_FAIL_DISABLED] = { "CONTACTADMIN", "This account is locked", true },
	[AUTH_FAIL_AUTHZ] = { "AUTHORIZATIONFAILED", "Not allowed", true },
	[AUTH_FAIL_MECHANISM] = { "CANNOT", "This mechanism is not offered", false },
};

static void
on_failed(void *session, enum auth_fail why, struct str reason)
{
	struct session *s = session;
	const struct failure *f = &FAILURES[why];
	s->exchange = false;
	/* If it can be one line. */
	bool tell = f->told && reason.n > 0 && reason.n < 400 && !str_has_8bit(reason) &&
		    !str_has_nul(reason) && str_chr(reason, '\n') == reason.n &&
		    str_chr(reason, '\r') == reason.n;
	gate_writef(s->conn, "%.*s NO [%s] %.*s\r\n", STR_FMT(buf_str(&s->tag)), f->code,
		STR_FMT(tell ? reason : str_of(f->text)));
	if (++s->failures >= FAILURES_MAX)
		say_bye(s, "Too many failed logins");
}

static void
on_leave(void *session, bool stopping)
{
	struct session *s = session;
	say_bye(s, stopping ? "[UNAVAILABLE] The server is stopping" : "Login took too long");
}

const struct gate_protocol imap_gate_protocol = {
	.service = "imap",
	.too_many = "* BYE [LIMIT] Too many connections from your address\r\n",
	.in_max_bytes = IN_MAX_BYTES,
	.open = on_open,
	.close = on_close,
	.input = on_input,
	.challenge = on_challenge,
	.failed = on_failed,
	.leave = on_leave,
};
