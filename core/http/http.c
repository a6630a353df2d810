/* The one place that knows libcurl: its multi interface driven by our loop. The token examiner of
 * the auth service calls it. Invariants: libcurl never sleeps and never sees a signal; a request
 * ends by its answer, by our own timer or by http_cancel, whatever the peer does. */
#include "core/http/http.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/xalloc.h"

enum { CONNECTIONS_MAX = 32 };

struct http {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;
	struct list requests;
	struct list sockets;
};

struct http_socket {
	struct list link;
	struct http *http;
	struct loop_io io;
};

struct http_request {
	struct list link;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	http_fn fn;
	void *arg;
	struct loop_timer deadline;
	struct buf answer;
	struct buf body; /* of the query: libcurl reads it where it is */
	struct buf login;
	char error[CURL_ERROR_SIZE];
};

static void
request_free(struct http_request *r)
{
	list_remove(&r->link);
	loop_timer_stop(&r->deadline);
	if (r->easy != NULL) {
		(void)curl_multi_remove_handle(r->http->multi, r->easy);
		curl_easy_cleanup(r->easy);
	}
	curl_slist_free_all(r->headers);
	buf_fini(&r->answer);
	buf_fini(&r->body);
	buf_fini(&r->login);
	free(r);
}

static void
request_end(struct http_request *r, CURLcode code)
{
	struct http_answer a = { .err = ERR_OK, .body = buf_str(&r->answer), .detail = "" };
	long status = 0;
	(void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	a.status = (int)status;
	if (buf_check(&r->answer) != ERR_OK || code == CURLE_FILESIZE_EXCEEDED) {
		a.err = ERR_LIMIT;
		a.detail = "the answer is too large";
	} else if (code != CURLE_OK) {
		a.err = ERR_TEMP;
		a.detail = r->error[0] != '\0' ? r->error : curl_easy_strerror(code);
	}
	/* Out of the list first: fn may end others. */
	list_remove(&r->link);
	loop_timer_stop(&r->deadline);
	r->fn(r->arg, &a);
	request_free(r);
}

/* What libcurl has finished. */
static void
collect(struct http *h)
{
	CURLMsg *m;
	int left;
	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct http_request *r = NULL;
		CURLcode code = m->data.result;
		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r);
		request_end(r, code);
	}
}

static void
on_socket(struct loop_io *io, int events)
{
	struct http_socket *s = io->arg;
	struct http *h = s->http;
	int running, bits = ((events & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) |
			    ((events & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
	(void)curl_multi_socket_action(h->multi, io->fd, bits, &running);
	collect(h);
}

static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct http *h = arg;
	struct http_socket *s = socket;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s != NULL) {
			loop_io_forget(&s->io);
			list_remove(&s->link);
			free(s);
		}
		(void)curl_multi_assign(h->multi, fd, NULL);
		return 0;
	}
	if (s == NULL) {
		s = xcalloc(1, sizeof *s);
		s->http = h;
		loop_io_init(&s->io, h->loop, fd, on_socket, s);
		list_push_back(&h->sockets, &s->link);
		(void)curl_multi_assign(h->multi, fd, s);
	}
	loop_io_set(&s->io, ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0) |
				    ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0));
	return 0;
}

static void
on_timer(struct loop_timer *t)
{
	struct http *h = t->arg;
	int running;
	(void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(h);
}

static int
set_timer(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;
	(void)multi;
	if (ms < 0)
		loop_timer_stop(&h->timer);
	else
		loop_timer_start(&h->timer, ms);
	return 0;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_request *r = arg;
	buf_add(&r->answer, str_n(p, size * n));
	return buf_check(&r->answer) == ERR_OK ? size * n : 0;
}

static void
on_deadline(struct loop_timer *t)
{
	struct http_request *r = t->arg;
	request_end(r, CURLE_OPERATION_TIMEDOUT);
}

struct http *
http_new(struct loop *l)
{
	struct http *h = xcalloc(1, sizeof *h);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
	h->loop = l;
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		abort();
	list_init(&h->requests);
	list_init(&h->sockets);
	loop_timer_init(&h->timer, l, on_timer, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
	return h;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	while (!list_empty(&h->requests))
		request_free(CONTAINER_OF(h->requests.next, struct http_request, link));
	(void)curl_multi_cleanup(h->multi);
	while (!list_empty(&h->sockets)) {
		struct http_socket *s = CONTAINER_OF(h->sockets.next, struct http_socket, link);
		loop_io_forget(&s->io);
		list_remove(&s->link);
		free(s);
	}
	loop_timer_stop(&h->timer);
	curl_global_cleanup();
	free(h);
}

/* False: libcurl cannot do what must be; the request would not be safe. */
static bool
set_options(struct http_request *r, const struct http_query *q)
{
	CURL *e = r->easy;
	char *url = str_dup(q->url);
	bool https = str_istarts(q->url, STR("https://"));
	struct curl_blob ca = {
		.data = (void *)(uintptr_t)q->ca_pem.p, .len = q->ca_pem.n, .flags = CURL_BLOB_COPY
	};
	bool ok =
		curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
		curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, https ? "https" : "http") == CURLE_OK &&
		curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
		curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
		curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
		curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) ==
			CURLE_OK &&
		curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
		curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
		/* else the end of a request waits for the thread that resolves its name */
		curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
		curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	if (ok && q->ca_pem.n > 0)
		ok = curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &ca) == CURLE_OK;
	free(url);
	return ok;
}

static bool
set_content(struct http_request *r, const struct http_query *q)
{
	CURL *e = r->easy;
	buf_add(&r->body, q->body);
	if (q->user.n > 0) {
		buf_add(&r->login, q->user);
		buf_addc(&r->login, ':');
		buf_add(&r->login, q->password);
	}
	/* Neither "Expect: 100-continue", which waits, nor anything else of libcurl's choice. */
	r->headers = curl_slist_append(NULL, "Expect:");
	r->headers = curl_slist_append(r->headers, "Accept: application/json");
	return curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)r->body.n) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_POSTFIELDS, buf_str(&r->body).p) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK &&
	       (q->user.n == 0 ||
		       (curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK &&
			       curl_easy_setopt(e, CURLOPT_USERPWD, buf_z(&r->login)) ==
				       CURLE_OK)) &&
	       curl_easy_setopt(e, CURLOPT_USERAGENT, "postroom") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_MAXFILESIZE, (long)q->body_max_bytes) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEDATA, r) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_PRIVATE, r) == CURLE_OK;
}

struct http_request *
http_post(struct http *h, const struct http_query *q, http_fn fn, void *arg)
{
	struct http_request *r = xcalloc(1, sizeof *r);
	r->http = h;
	r->fn = fn;
	r->arg = arg;
	buf_init(&r->answer, q->body_max_bytes);
	buf_init_secret(&r->body, q->body.n + 1);
	buf_init_secret(&r->login, q->user.n + q->password.n + 2);
	list_push_back(&h->requests, &r->link);
	loop_timer_init(&r->deadline, h->loop, on_deadline, r);
	r->easy = curl_easy_init();
	if (r->easy == NULL)
		abort();
	bool ok = set_options(r, q) && set_content(r, q) &&
		  curl_multi_add_handle(h->multi, r->easy) == CURLM_OK;
	loop_timer_start(&r->deadline, ok ? q->timeout_ms : 0);
	return r;
}

void
http_cancel(struct http_request *r)
{
	if (r != NULL)
		request_free(r);
}

void
http_form_escape(struct buf *out, struct str text)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
			buf_addc(out, (char)c);
		} else {
			buf_addc(out, '%');
			buf_addc(out, hex[c >> 4]);
			buf_addc(out, hex[c & 15]);
		}
	}
}
