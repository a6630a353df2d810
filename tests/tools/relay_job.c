/* Hands one message to postroom-relay, as queue would, and prints what comes back:
 *
 *   relay_job SOCKET FILE ROUTE SECTION SENDER RCPT… [flags=N] [times=N] [crc=bad] [dsn]
 * [cancel=MS] rcpt 0 250 2.0.0 mx.example.net 127.0.0.1 passed=0 Ok: queued end ok 250 2.0.0
 * mx.example.net 127.0.0.1 tls="TLSv1.3 …" text
 *
 * times: the same message so many times, one after the other, over one channel. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "delivery/relay/relay.h"

static struct loop *loop;
static struct relay_client *client;
static struct relay_job job;
static struct relay_rcpt rcpts[RELAY_RCPTS_MAX];
static const char *path;
static unsigned times = 1;
static uint64_t cancel_ms;
static struct loop_timer retry;

static const char *
text(struct str s)
{
	static char room[8][600];
	static unsigned at;
	char *z = room[at++ % 8];

	(void)snprintf(z, sizeof room[0], "%.*s", s.n != 0 ? (int)s.n : 1, s.n != 0 ? s.p : "-");
	return z;
}

static void
on_rcpt(struct relay_job *j, const struct relay_result *r)
{
	(void)j;
	(void)printf("rcpt %u %u %s %s %s passed=%d %s\n", r->index, r->code, text(r->status),
		text(r->host), text(r->address), r->dsn_passed, text(r->text));
	(void)fflush(stdout);
}

static void
submit(struct loop_timer *t)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)t;
	if (fd < 0 || relay_submit(client, &job, fd) != ERR_OK) {
		(void)printf("refused\n");
		loop_stop(loop);
	}
}

static void
on_end(struct relay_job *j, const struct relay_end *e)
{
	(void)j;
	(void)printf("end %s %u %s %s %s tls=\"%.*s\" %s\n", err_name(e->how), e->code,
		text(e->status), text(e->host), text(e->address), STR_FMT(e->tls), text(e->text));
	(void)fflush(stdout);
	if (--times != 0)
		loop_timer_start(&retry, 30);
	else
		loop_stop(loop);
}

static void
on_cancel(struct loop_timer *t)
{
	(void)t;
	relay_cancel(client, &job);
	(void)printf("cancelled\n");
	loop_stop(loop);
}

static uint32_t
sum(uint64_t *size_out)
{
	static char data[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint32_t crc = 0;
	ssize_t n;

	*size_out = 0;
	while (fd >= 0 && (n = read(fd, data, sizeof data)) > 0) {
		crc = crc32c(crc, str_n(data, (size_t)n));
		*size_out += (uint64_t)n;
	}
	if (fd >= 0)
		(void)close(fd);
	return crc;
}

static bool
option(struct relay_request *r, struct str arg)
{
	uint64_t v = 0;

	if (str_eq(arg, STR("crc=bad"))) {
		r->body_crc ^= 1;
	} else if (str_eq(arg, STR("dsn"))) {
		r->ret = RELAY_RET_HDRS;
		r->envid = STR("QQ1");
		for (size_t i = 0; i < r->rcpts_count; i++) {
			rcpts[i].notify = RELAY_NOTIFY_SUCCESS | RELAY_NOTIFY_FAILURE;
			rcpts[i].orcpt = STR("rfc822;a@example.net");
		}
	} else if (str_starts(arg, STR("flags=")) &&
		   str_to_u64(str_from(arg, 6), 7, &v) == ERR_OK) {
		r->flags = (unsigned)v;
	} else if (str_starts(arg, STR("times=")) &&
		   str_to_u64(str_from(arg, 6), 1000, &v) == ERR_OK) {
		times = (unsigned)v;
	} else if (str_starts(arg, STR("cancel=")) &&
		   str_to_u64(str_from(arg, 7), 60000, &v) == ERR_OK) {
		cancel_ms = v;
	} else {
		return false;
	}
	return true;
}

int
main(int argc, char **argv)
{
	struct relay_request *r = &job.request;
	struct loop_timer cancel;

	if (argc < 7)
		return 2;
	path = argv[2];
	*r = (struct relay_request){ .qid = STR("0123456789abcdef"),
		.sender = str_of(argv[5]),
		.route = str_of(argv[3]),
		.section = str_of(argv[4]),
		.rcpts = rcpts };
	r->body_crc = sum(&r->body_len);
	for (int i = 6; i < argc; i++)
		if (!option(r, str_of(argv[i])) && r->rcpts_count < RELAY_RCPTS_MAX)
			rcpts[r->rcpts_count++].address = str_of(argv[i]);
	loop = loop_new();
	client = relay_client_new(loop, argv[1]);
	job.on_rcpt = on_rcpt;
	job.on_end = on_end;
	loop_timer_init(&retry, loop, submit, NULL);
	loop_timer_init(&cancel, loop, on_cancel, NULL);
	loop_timer_start(&retry, 0);
	if (cancel_ms != 0)
		loop_timer_start(&cancel, (int64_t)cancel_ms);
	loop_run(loop);
	loop_timer_stop(&retry);
	loop_timer_stop(&cancel);
	relay_client_free(client);
	loop_free(loop);
	return 0;
}
