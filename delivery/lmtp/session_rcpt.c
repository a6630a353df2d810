/* MAIL and RCPT: parameters, and who a recipient is. Lookups run side by side, replies leave in
 * order. For session.c. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/store/quota.h"
#include "delivery/lmtp/session_impl.h"

void
lmtp_rcpt_free(struct rcpt *r)
{
	if (r->request != NULL)
		r->session->server->lookup_cancel(r->request);
	home_pin_cancel(&r->wait);
	if (r->home != NULL)
		home_unref(r->home);
	list_remove(&r->link);
	free(r->mailbox);
	free(r);
}

static void
rcpt_reply(struct session *s, struct rcpt *r)
{
	const char *text = NULL;

	r->replied = true;
	if (r->stage == RCPT_ACCEPTED) {
		lmtp_reply(s, "250 2.1.5 OK");
		return;
	}
	switch (r->why) {
	case ERR_NOTFOUND:
		text = "550 5.1.1 No such user here";
		break;
	case ERR_TEMP:
	case ERR_BUSY:
	case ERR_AGAIN:
	case ERR_EOF:
		text = "451 4.4.3 Directory not available";
		break;
	case ERR_QUOTA:
		text = s->server->full_is_temporary ? "452 4.2.2 Mailbox is full"
						    : "552 5.2.2 Mailbox is full";
		break;
	case ERR_OK:
	case ERR_SYNTAX:
	case ERR_LIMIT:
	case ERR_EXISTS:
	case ERR_DENIED:
	case ERR_CORRUPT:
	case ERR_BUG:
		text = "451 4.3.5 The user's home is not usable";
		break;
	}
	lmtp_reply(s, text);
	log_event(LVL_INFO, "lmtp.rcpt", log_z("sid", s->sid), log_z("rcpt", r->address),
		log_z("res", r->why == ERR_NOTFOUND ? "unknown" : "defer"),
		log_e("reason", r->why));
	s->rcpts_count--;
	lmtp_rcpt_free(r);
}

/* Write the replies that are due in order; r was decided just now. */
static void
rcpt_decided(struct rcpt *r, enum rcpt_stage stage, enum err why)
{
	struct session *s = r->session;

	r->stage = stage;
	r->why = why;
	s->rcpts_pending--;
	if (stage == RCPT_ACCEPTED)
		s->rcpts_accepted++;
	LIST_FOREACH (l, &s->rcpts) {
		struct rcpt *first = rcpt_of(l);
		if (first->replied)
			continue;
		if (first->stage != RCPT_ACCEPTED && first->stage != RCPT_REFUSED)
			break;
		rcpt_reply(s, first);
	}
	if (s->rcpts_pending == 0)
		stream_read_again(s->stream);
}

/* The mailbox of the tag: written as clients write it, with their separator. */
static char *
tag_mailbox(const struct lmtp_server *v, struct str address)
{
	char *name = str_dup(lmtp_address_tag(address, v->delimiter));

	for (char *p = name; v->separator != '/' && *p != '\0'; p++) {
		if (*p == v->separator)
			*p = '/';
		else if (*p == '/')
			*p = v->separator;
	}
	return name;
}

static enum err
rcpt_take_home(struct rcpt *r, const struct user_known *u)
{
	const struct lmtp_server *v = r->session->server;
	struct str root = v->mail_root, home = u->home;
	enum err e;

	if (!str_starts(home, root) || home.n <= root.n + 1 ||
		(home.p[root.n] != '/' && !str_ends(root, STR("/"))))
		return ERR_DENIED;
	e = home_get(v->store, home, &r->home);
	if (e != ERR_OK)
		return e;
	home_set_quota(r->home, u->quota);
	if (u->tagged && v->tag_is_mailbox)
		r->mailbox = tag_mailbox(v, str_n(r->address, r->address_len));
	return ERR_OK;
}

/* What cannot be read is no limit: mail is not refused for a word that somebody mistyped. */
static struct quota_limit
rcpt_quota(const struct rcpt *r, struct str fields)
{
	struct quota_limit limit = { 0, 0 };
	struct buf text;

	buf_init(&text, 8192);
	enum err e = auth_field(fields, "quota_rule", &text);

	if (e == ERR_OK && (e = quota_parse(buf_str(&text), &limit)) != ERR_OK)
		log_event(LVL_WARN, "lmtp.quota", log_z("sid", r->session->sid),
			log_z("rcpt", r->address), log_s("quota", buf_str(&text)), log_e("err", e));
	buf_fini(&text);
	return limit;
}

/* The home is pinned. What cannot be read is no reason to refuse: the delivery will see. */
static enum err
rcpt_room(struct rcpt *r)
{
	const struct quota_use more = { .messages = 1, .bytes = r->session->size };
	struct quota_use use;
	struct txn *t;
	enum err e = store_read_begin(r->home, &t);

	if (e == ERR_OK) {
		e = quota_use_get(t, &use);
		store_read_end(t);
	}
	home_unpin(r->home);
	return e == ERR_OK && quota_exceeded(home_quota(r->home), use, more) ? ERR_QUOTA : ERR_OK;
}

static void
rcpt_has_room(struct rcpt *r, enum err room)
{
	rcpt_decided(r, room == ERR_OK ? RCPT_ACCEPTED : RCPT_REFUSED, room);
}

static void
on_pinned(struct home_wait *w, enum err e)
{
	rcpt_has_room(w->arg, e == ERR_OK ? rcpt_room(w->arg) : ERR_OK);
}

/* Its home is known. A user without a limit costs nothing more. */
static void
rcpt_known(struct rcpt *r)
{
	const struct quota_limit limit = home_quota(r->home);
	enum err e;

	if (!r->session->ask_room || (limit.messages == 0 && limit.bytes == 0)) {
		rcpt_decided(r, RCPT_ACCEPTED, ERR_OK);
		return;
	}
	r->wait.fn = on_pinned;
	r->wait.arg = r;
	e = home_pin(r->home, &r->wait);
	if (e != ERR_AGAIN)
		rcpt_has_room(r, e == ERR_OK ? rcpt_room(r) : ERR_OK);
}

static void
rcpt_lookup(struct rcpt *r);

static void
rcpt_found(void *arg, enum err e, const struct userdb_user *u)
{
	struct rcpt *r = arg;

	r->request = NULL;
	if (e == ERR_OK) {
		const struct user_known known = { .home = u->home,
			.quota = rcpt_quota(r, u->fields),
			.tagged = r->stage == RCPT_LOOKUP_BARE };

		e = rcpt_take_home(r, &known);
		if (e == ERR_OK) {
			user_cache_put(r->session->server->cache, str_n(r->address, r->address_len),
				&known, loop_now_ms(r->session->server->loop));
			rcpt_known(r);
			return;
		}
		log_event(LVL_ERROR, "lmtp.home", log_z("sid", r->session->sid),
			log_z("rcpt", r->address), log_s("home", u->home), log_e("reason", e));
		rcpt_decided(r, RCPT_REFUSED, ERR_DENIED);
		return;
	}
	if (e == ERR_NOTFOUND && r->stage == RCPT_LOOKUP_WHOLE) {
		r->stage = RCPT_LOOKUP_BARE;
		rcpt_lookup(r);
		return;
	}
	rcpt_decided(r, RCPT_REFUSED, e == ERR_NOTFOUND ? ERR_NOTFOUND : ERR_TEMP);
}

static void
rcpt_lookup(struct rcpt *r)
{
	struct lmtp_server *v = r->session->server;
	struct str name = str_n(r->address, r->address_len);
	char bare[LMTP_PATH_MAX + 1];
	size_t bare_len;

	if (r->stage == RCPT_LOOKUP_BARE) {
		if (!lmtp_address_without_tag(name, v->delimiter, bare, &bare_len)) {
			rcpt_decided(r, RCPT_REFUSED, ERR_NOTFOUND);
			return;
		}
		name = str_n(bare, bare_len);
	}
	r->request = v->lookup(v->users, name, STR("lmtp"), rcpt_found, r);
}

static const char too_many[] = "452 4.5.3 Too many recipients";
static const char needs_utf8[] = "553 5.6.7 Addresses beyond ASCII need SMTPUTF8 in MAIL";

const char *
lmtp_rcpt_objection(const struct session *s, const struct lmtp_command *c, struct str *id_out)
{
	*id_out = STR_EMPTY;
	if (!s->mail)
		return "503 5.5.1 MAIL first";
	if (s->bdat)
		return "503 5.5.1 The message has begun";
	if (c->utf8 && !s->smtputf8)
		return needs_utf8;
	if (s->rcpts_count >= s->server->recipients_max)
		return too_many;
	for (size_t i = 0; i < c->params_count; i++) {
		const struct lmtp_param *p = &c->params[i];
		if (!str_ieq(p->key, STR("XDELIVERYID")))
			return "555 5.5.4 Parameter not known";
		if (!s->peer.is_unix || s->peer.uid != s->server->queue_uid)
			return "550 5.7.1 XDELIVERYID is not for you";
		if (p->value.n <= 16 || p->value.n > DELIVERY_ID_MAX)
			return "501 5.5.4 Bad delivery id";
		*id_out = p->value;
	}
	return NULL;
}

bool
lmtp_command_rcpt(struct session *s, const struct lmtp_command *c)
{
	struct str address = lmtp_command_path(c), id;
	const char *objection = lmtp_rcpt_objection(s, c, &id);
	struct user_known known;
	struct rcpt *r;

	if (objection == too_many) {
		/* Put off, no fault of the client's: RFC 5321 4.5.3.1.10. */
		lmtp_reply(s, objection);
		return true;
	}
	if (objection != NULL)
		return lmtp_refuse(s, objection);
	r = xcalloc(1, sizeof(*r) + address.n + 1);
	r->session = s;
	memcpy(r->address, address.p, address.n);
	r->address_len = address.n;
	memcpy(r->delivery_id, id.p, id.n);
	list_push_back(&s->rcpts, &r->link);
	s->rcpts_count++;
	s->rcpts_pending++;
	r->stage = RCPT_LOOKUP_WHOLE;
	if (user_cache_get(s->server->cache, address, loop_now_ms(s->server->loop), &known) &&
		rcpt_take_home(r, &known) == ERR_OK)
		rcpt_known(r);
	else
		rcpt_lookup(r);
	return true;
}

static bool
mail_params(struct session *s, const struct lmtp_command *c, const char **line_out)
{
	for (size_t i = 0; i < c->params_count; i++) {
		const struct lmtp_param *p = &c->params[i];
		uint64_t size;
		if (str_ieq(p->key, STR("SIZE"))) {
			if (str_to_u64(p->value, UINT64_MAX, &size) != ERR_OK) {
				*line_out = "501 5.5.4 Bad SIZE";
				return false;
			}
			if (size > s->server->message_max_bytes) {
				*line_out = "552 5.3.4 Message too large";
				return false;
			}
			s->size = size;
		} else if (str_ieq(p->key, STR("XROOM")) && p->value.n == 0 && s->peer.is_unix) {
			s->ask_room = true;
		} else if (str_ieq(p->key, STR("BODY"))) {
			s->binary = str_ieq(p->value, STR("BINARYMIME"));
			if (!str_ieq(p->value, STR("7BIT")) &&
				!str_ieq(p->value, STR("8BITMIME")) && !s->binary) {
				*line_out = "501 5.5.4 Bad BODY";
				return false;
			}
		} else if (str_ieq(p->key, STR("SMTPUTF8")) && p->value.n == 0) {
			s->smtputf8 = true;
		} else {
			*line_out = "555 5.5.4 Parameter not known";
			return false;
		}
	}
	if (c->utf8 && !s->smtputf8)
		*line_out = needs_utf8;
	return *line_out == NULL;
}

bool
lmtp_command_mail(struct session *s, const struct lmtp_command *c)
{
	const char *line = NULL;

	if (!s->greeted)
		return lmtp_refuse(s, "503 5.5.1 LHLO first");
	if (s->mail)
		return lmtp_refuse(s, "503 5.5.1 Sender already given");
	if (!mail_params(s, c, &line)) {
		s->smtputf8 = s->binary = s->ask_room = false;
		s->size = 0;
		return lmtp_refuse(s, line);
	}
	s->mail = true;
	memcpy(s->sender, c->path, c->path_len + 1);
	lmtp_reply(s, "250 2.1.0 OK");
	return true;
}
