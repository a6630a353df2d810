#ifndef POSTROOM_HTTP_HTTP_H
#define POSTROOM_HTTP_HTTP_H

#include "core/base/str.h"
#include "core/event/loop.h"

/* HTTP requests on the loop (libcurl). No redirect is followed, no proxy, cookie or .netrc is
 * used, and https means that certificate and name were verified. */
struct http;
struct http_request;

struct http_query {
	struct str url;		   /* https:// or http:// */
	struct str user, password; /* Basic; user empty: none */
	struct str body;	   /* form data; POSTed */
	struct str ca_pem;	   /* empty: the system's */
	int64_t timeout_ms;	   /* for all of it */
	size_t body_max_bytes;	   /* of the answer */
};
struct http_answer {
	enum err err;	    /* ERR_OK: an answer with any status; ERR_LIMIT: too large; ERR_TEMP */
	int status;	    /* 200 */
	struct str body;    /* dies with the call */
	const char *detail; /* with ERR_TEMP: why; never anything of the query's */
};
typedef void (*http_fn)(void *arg, const struct http_answer *a);

struct http *
http_new(struct loop *l);
/* Open requests are dropped without a call. NULL is allowed. */
void
http_free(struct http *h);
/* Exactly one call of fn, from the loop and never inside this call, or http_cancel. Copies. */
struct http_request *
http_post(struct http *h, const struct http_query *q, http_fn fn, void *arg);
/* NULL is allowed. */
void
http_cancel(struct http_request *r);
/* text, encoded for form data, added to out. */
struct buf;
void
http_form_escape(struct buf *out, struct str text);

#endif
