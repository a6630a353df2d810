/* What a bearer token is worth; see token.h. login.c asks. The token service is a stranger to us
 * beyond its certificate: whatever it sends is bounded, and anything but a whole answer of RFC 7662
 * is a temporary failure, never a "no" and never a "yes". */
#include "auth-ldap/server/token.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/digest.h"
#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "core/http/http.h"

enum {
	ANSWER_MAX_BYTES = 64 * 1024,
	DEPTH_MAX = 16,
	NAME_MAX_BYTES = 1000,
	REMEMBERED_MAX = 10000,
	KEY_BYTES = 32,
};

/* A token that was good. */
struct remembered {
	struct hmap_node node;
	struct list link; /* oldest first */
	unsigned char key[KEY_BYTES];
	int64_t until_ms;
	char *name;
};

struct tokens {
	struct loop *loop;
	const struct settings *settings;
	struct http *http;
	struct hmap by_key;
	struct list remembered;
	size_t count;
	unsigned settings_number; /* so many were there before these */
	struct list requests;
	unsigned char secret[32];
};

struct token_request {
	struct list link;
	struct tokens *tokens;
	token_fn fn;
	void *arg;
	struct http_request *http;
	struct loop_task soon;
	unsigned char key[KEY_BYTES];
	unsigned settings_number; /* of when it was asked */
	struct buf name;	  /* of one that is remembered */
};

/* ---- the answer ---- */

static bool
get_string(struct json_object *o, const char *key, struct str *out)
{
	struct json_object *v;
	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return false;
	*out = str_n(json_object_get_string(v), (size_t)json_object_get_string_len(v));
	return true;
}

/* False: it is there and is no time. 0: it is not there. */
static bool
get_time(struct json_object *o, const char *key, int64_t *out)
{
	struct json_object *v;
	*out = 0;
	if (!json_object_object_get_ex(o, key, &v))
		return true;
	if (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double))
		return false;
	*out = json_object_get_int64(v);
	return *out > 0;
}

/* A word of a list that is split at blanks. */
static bool
has_word(struct str list, struct str word)
{
	struct str one;
	while (list.n > 0) {
		(void)str_cut(list, ' ', &one, &list);
		if (str_eq(one, word))
			return true;
	}
	return false;
}

/* RFC 7519 4.1.3: a string, or an array of strings. */
static bool
has_audience(struct json_object *o, struct str wanted)
{
	struct json_object *v;
	struct str one;
	if (get_string(o, "aud", &one))
		return str_eq(one, wanted);
	if (!json_object_object_get_ex(o, "aud", &v) || !json_object_is_type(v, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		struct json_object *m = json_object_array_get_idx(v, i);
		if (json_object_is_type(m, json_type_string) &&
			str_eq(str_n(json_object_get_string(m),
				       (size_t)json_object_get_string_len(m)),
				wanted))
			return true;
	}
	return false;
}

static enum err
refuse(const char **status_out, const char *status, const char **why_out, const char *why)
{
	*status_out = status;
	*why_out = why;
	return ERR_DENIED;
}

static enum err
read_object(struct json_object *o, const struct settings_auth *s, int64_t now_sec,
	struct buf *name_out, int64_t *expires_out, const char **status_out, const char **why_out)
{
	struct json_object *active;
	struct str name, scope = STR_EMPTY;
	int64_t begins;
	if (!json_object_object_get_ex(o, "active", &active) ||
		!json_object_is_type(active, json_type_boolean)) {
		*why_out = "the answer has no \"active\"";
		return ERR_SYNTAX;
	}
	if (!json_object_get_boolean(active))
		return refuse(status_out, "invalid_token", why_out, "the token is not active");
	if (!get_time(o, "exp", expires_out) || !get_time(o, "nbf", &begins)) {
		*why_out = "the answer has a time that is none";
		return ERR_SYNTAX;
	}
	if ((*expires_out != 0 && *expires_out <= now_sec) || begins > now_sec)
		return refuse(status_out, "invalid_token", why_out, "the token has expired");
	(void)get_string(o, "scope", &scope);
	if (s->oauth_scope.n > 0 && !has_word(scope, s->oauth_scope))
		return refuse(
			status_out, "insufficient_scope", why_out, "the token lacks the scope");
	if (s->oauth_audience.n > 0 && !has_audience(o, s->oauth_audience))
		return refuse(status_out, "invalid_token", why_out, "the token is for others");
	/* json-c lets longer encodings of ASCII through. */
	if (!get_string(o, s->oauth_user_claim.p, &name) || name.n == 0 || str_has_nul(name) ||
		!str_is_utf8(name))
		return refuse(status_out, "invalid_token", why_out, "the token names no user");
	buf_add(name_out, name);
	if (buf_check(name_out) != ERR_OK)
		return refuse(status_out, "invalid_token", why_out, "the user's name is too long");
	return ERR_OK;
}

enum err
token_answer_read(struct str json, const struct settings_auth *s, int64_t now_sec,
	struct buf *name_out, int64_t *expires_out, const char **status_out, const char **why_out)
{
	struct json_tokener *t = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *o = NULL;
	enum err e = ERR_SYNTAX;
	*why_out = "the answer is no JSON object";
	*status_out = "";
	*expires_out = 0;
	if (t == NULL || json.n > ANSWER_MAX_BYTES)
		goto out;
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS |
					  JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, json.p, (int)json.n);
	/* Numbers at the very end, and no more than white space behind. */
	if (json_tokener_get_error(t) == json_tokener_success &&
		str_trim(str_from(json, json_tokener_get_parse_end(t))).n == 0 &&
		json_object_is_type(o, json_type_object))
		e = read_object(o, s, now_sec, name_out, expires_out, status_out, why_out);
out:
	json_object_put(o);
	if (t != NULL)
		json_tokener_free(t);
	return e;
}

/* ---- what is remembered ---- */

static void
forget(struct tokens *t, struct remembered *m)
{
	hmap_remove(&t->by_key, &m->node);
	list_remove(&m->link);
	t->count--;
	free(m->name);
	free(m);
}

static void
remember(struct token_request *r, struct str name, int64_t expires_sec)
{
	struct tokens *t = r->tokens;
	int64_t keep_ms = t->settings->auth.oauth_cache;
	int64_t now_ms = clock_wall_ms();
	if (expires_sec > 0 && expires_sec - now_ms / 1000 <= keep_ms / 1000 + 1) {
		int64_t left_ms = expires_sec * 1000 - now_ms;
		if (left_ms < keep_ms)
			keep_ms = left_ms;
	}
	struct hmap_node *n = hmap_get(&t->by_key, str_n(r->key, KEY_BYTES));
	if (n != NULL)
		forget(t, CONTAINER_OF(n, struct remembered, node));
	/* what other settings name may have answered */
	if (keep_ms <= 0 || r->settings_number != t->settings_number)
		return;
	if (t->count >= REMEMBERED_MAX)
		forget(t, CONTAINER_OF(t->remembered.next, struct remembered, link));
	struct remembered *m = xcalloc(1, sizeof *m);
	memcpy(m->key, r->key, KEY_BYTES);
	m->until_ms = clock_ms() + keep_ms;
	m->name = str_dup(name);
	hmap_put(&t->by_key, &m->node, str_n(m->key, KEY_BYTES));
	list_push_back(&t->remembered, &m->link);
	t->count++;
}

static struct remembered *
recall(struct tokens *t, const unsigned char *key)
{
	struct hmap_node *n = hmap_get(&t->by_key, str_n(key, KEY_BYTES));
	if (n == NULL)
		return NULL;
	struct remembered *m = CONTAINER_OF(n, struct remembered, node);
	if (m->until_ms > clock_ms())
		return m;
	forget(t, m);
	return NULL;
}

/* ---- requests ---- */

static void
request_free(struct token_request *r)
{
	list_remove(&r->link);
	http_cancel(r->http);
	loop_task_cancel(&r->soon);
	buf_fini(&r->name);
	free(r);
}

static void
request_end(struct token_request *r, const struct token_answer *a)
{
	list_remove(&r->link);
	r->fn(r->arg, a);
	request_free(r);
}

static void
on_remembered(struct loop_task *task)
{
	struct token_request *r = task->arg;
	const struct token_answer a = { .err = ERR_OK, .name = buf_str(&r->name) };
	request_end(r, &a);
}

static void
on_answer(void *arg, const struct http_answer *h)
{
	struct token_request *r = arg;
	struct token_answer a = { .err = ERR_TEMP, .status = "" };
	const char *why = h->detail;
	int64_t expires = 0;
	struct buf detail;
	r->http = NULL;
	buf_init(&detail, 512);
	if (h->err == ERR_OK && h->status == 200) {
		enum err e = token_answer_read(h->body, &r->tokens->settings->auth,
			(int64_t)time(NULL), &r->name, &expires, &a.status, &why);
		a.err = e == ERR_OK || e == ERR_DENIED ? e : ERR_TEMP;
	} else if (h->err == ERR_OK) {
		why = "the answer's status is not 200";
	}
	if (a.err == ERR_OK) {
		a.name = buf_str(&r->name);
		remember(r, a.name, expires);
	} else {
		buf_addf(&detail, "%s%s", a.err == ERR_TEMP ? "token service: " : "", why);
		if (h->err == ERR_OK && h->status != 200)
			buf_addf(&detail, ": %d", h->status);
		a.detail = buf_str(&detail);
	}
	request_end(r, &a);
	buf_fini(&detail);
}

static void
ask(struct token_request *r, struct str token)
{
	const struct settings_auth *s = &r->tokens->settings->auth;
	struct buf body, user, password;
	buf_init_secret(&body, 3 * token.n + 100);
	buf_init(&user, 4 * 1024);
	buf_init_secret(&password, 16 * 1024);
	buf_addz(&body, "token=");
	http_form_escape(&body, token);
	buf_addz(&body, "&token_type_hint=access_token");
	/* RFC 6749 2.3.1 */
	http_form_escape(&user, s->oauth_client_id);
	http_form_escape(&password, s->oauth_client_secret);
	const struct http_query q = { .url = s->oauth_introspection_url,
		.user = buf_str(&user),
		.password = buf_str(&password),
		.body = buf_str(&body),
		.ca_pem = s->oauth_ca,
		.timeout_ms = s->oauth_timeout,
		.body_max_bytes = ANSWER_MAX_BYTES };
	r->http = http_post(r->tokens->http, &q, on_answer, r);
	buf_fini(&body);
	buf_fini(&user);
	buf_fini(&password);
}

struct token_request *
tokens_examine(struct tokens *t, struct str token, token_fn fn, void *arg)
{
	struct token_request *r = xcalloc(1, sizeof *r);
	unsigned char digest[DIGEST_BYTES_MAX];
	const struct remembered *m = NULL;
	r->tokens = t;
	r->settings_number = t->settings_number;
	r->fn = fn;
	r->arg = arg;
	list_push_back(&t->requests, &r->link);
	loop_task_init(&r->soon, t->loop, on_remembered, r);
	buf_init(&r->name, NAME_MAX_BYTES);
	if (digest_hmac(DIGEST_SHA256, str_n(t->secret, sizeof t->secret), token, digest) ==
		ERR_OK) {
		memcpy(r->key, digest, KEY_BYTES);
		m = recall(t, r->key);
	} else {
		rand_bytes(r->key, KEY_BYTES);
	}
	if (m != NULL) {
		buf_addz(&r->name, m->name);
		loop_task_queue(&r->soon);
	} else {
		ask(r, token);
	}
	return r;
}

void
tokens_cancel(struct token_request *r)
{
	if (r != NULL)
		request_free(r);
}

struct tokens *
tokens_new(struct loop *l, const struct settings *s)
{
	struct tokens *t = xcalloc(1, sizeof *t);
	t->loop = l;
	t->settings = s;
	t->http = http_new(l);
	hmap_init(&t->by_key);
	list_init(&t->remembered);
	list_init(&t->requests);
	rand_bytes(t->secret, sizeof t->secret);
	return t;
}

static void
forget_all(struct tokens *t)
{
	while (!list_empty(&t->remembered))
		forget(t, CONTAINER_OF(t->remembered.next, struct remembered, link));
}

void
tokens_reload(struct tokens *t, const struct settings *s)
{
	t->settings = s;
	t->settings_number++;
	forget_all(t);
}

void
tokens_free(struct tokens *t)
{
	if (t == NULL)
		return;
	while (!list_empty(&t->requests))
		request_free(CONTAINER_OF(t->requests.next, struct token_request, link));
	forget_all(t);
	http_free(t->http);
	hmap_fini(&t->by_key);
	explicit_bzero(t->secret, sizeof t->secret);
	free(t);
}
