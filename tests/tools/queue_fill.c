/* Fills the spool of a server that does not run, as if messages waited there for a recipient who
 * could not be reached: for tests and bench/ of a long queue.
 *
 *   queue_fill SPOOL COUNT RECIPIENT SECONDS [SIZE]
 *
 * COUNT messages of SIZE octets (1024) to RECIPIENT; {} in it becomes the message's number modulo
 * 1000. Each was tried once, 10 minutes ago, and is tried again SECONDS from now, or up to half as
 * long later. The files belong to whoever runs this. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/codec.h"
#include "core/base/rand.h"
#include "core/base/xalloc.h"
#include "delivery/queue/record.h"
#include "delivery/queue/state.h"

enum { BATCH = 10000, NUMBERS = 1000, AGO_MS = 600000 };

#define SENDER STR("bench@example.org")

static struct loop *loop;
static struct buf front, body;

static void
die(const char *what)
{
	fprintf(stderr, "queue_fill: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t
number_of(const char *z, uint64_t max)
{
	uint64_t v;

	if (str_to_u64(str_of(z), max, &v) != ERR_OK)
		die("not a number");
	return v;
}

static void
make_body(uint64_t size)
{
	buf_init(&body, size + 1024);
	buf_addz(&body, "From: bench@example.org\r\nTo: later@example.org\r\nSubject: later\r\n"
			"Message-ID: <later@bench.invalid>\r\nDate: Sat, 21 Nov 2026 12:00:00 "
			"+0000\r\n\r\n");
	while (body.n < size)
		buf_addz(&body, "This one waits until somebody can take it, and then a while.\r\n");
}

static struct str
recipient_of(const char *pattern, uint64_t n, struct buf *out)
{
	struct str s = str_of(pattern);
	size_t at = str_find(s, STR("{}"));

	buf_reset(out);
	buf_add(out, str_sub(s, 0, at));
	if (at < s.n) {
		buf_addu(out, n % NUMBERS);
		buf_add(out, str_from(s, at + 2));
	}
	return buf_str(out);
}

static void
write_slot(int slots, struct str name, const struct spool_rcpt *rcpt, int64_t received_ms)
{
	const struct spool_envelope e = { .name = name,
		.sender = SENDER,
		.auth_user = SENDER,
		.sid = STR("0123456789abcdef"),
		.client = STR("192.0.2.1"),
		.received_ms = received_ms,
		.rcpts = rcpt,
		.rcpts_count = 1 };
	struct spool_fixed f = { .body_len = body.n, .record_off = SPOOL_FIXED_SIZE };
	char fixed[SPOOL_FIXED_SIZE], file[SPOOL_NAME_LEN + 1] = "", *room;
	struct buf record;
	int fd;

	buf_init(&record, SPOOL_FRONT_SIZE);
	if (spool_record_encode(&e, &record) != ERR_OK)
		die("record");
	f.record_len = (uint32_t)record.n;
	f.record_crc = crc32c(0, buf_str(&record));
	f.body_crc = crc32c(0, buf_str(&body));
	spool_fixed_encode(&f, fixed);
	buf_reset(&front);
	buf_add(&front, str_n(fixed, sizeof(fixed)));
	buf_add(&front, buf_str(&record));
	room = buf_reserve(&front, SPOOL_FRONT_SIZE - front.n);
	memset(room, 0, SPOOL_FRONT_SIZE - front.n);
	buf_commit(&front, SPOOL_FRONT_SIZE - front.n);
	memcpy(file, name.p, name.n);
	fd = openat(slots, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, buf_str(&front).p, front.n) != (ssize_t)front.n ||
		write(fd, buf_str(&body).p, body.n) != (ssize_t)body.n || close(fd) != 0)
		die("slot");
	buf_fini(&record);
}

static void
put_state(struct state *s, struct str name, const struct spool_rcpt *rcpt, int64_t now,
	int64_t next_ms)
{
	struct record_orig orig = { .address = rcpt->address, .expanded = true };
	struct record_rcpt final = { .address = rcpt->address,
		.attempts = 1,
		.next_ms = next_ms,
		.last_ms = now - AGO_MS,
		.reply = STR("451 4.3.0 Cannot store the message now") };
	const struct record r = { .id = name,
		.sender = SENDER,
		.sid = STR("0123456789abcdef"),
		.received_ms = now - AGO_MS,
		.size = body.n,
		.origs = &orig,
		.origs_count = 1,
		.rcpts = &final,
		.rcpts_count = 1,
		.rcpts_room = 1 };
	struct buf bytes;
	struct state_write w = { .id = name };

	buf_init(&bytes, RECORD_MAX);
	if (record_encode(&r, &bytes) != ERR_OK)
		die("record");
	w.record = buf_str(&bytes);
	state_put(s, &w, 1, NULL, NULL);
	buf_fini(&bytes);
}

static void
fill(int dir, struct pool *pool, struct state *s, uint64_t count, const char *pattern,
	int64_t wait_ms)
{
	int slots = openat(dir, "slots", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t now = clock_wall_ms();
	struct buf address;

	buf_init(&address, 1024);
	if (slots < 0)
		die("slots");
	for (uint64_t n = 0; n < count; n++) {
		char name[RAND_ID_SIZE];
		struct spool_rcpt rcpt = { .address = recipient_of(pattern, n, &address) };

		rand_id(name);
		write_slot(slots, str_of(name), &rcpt, now - AGO_MS);
		put_state(s, str_of(name), &rcpt, now,
			now + wait_ms + (int64_t)(n * 7919 % (uint64_t)(wait_ms / 2 + 1)));
		if (n % BATCH == BATCH - 1)
			pool_drain(pool);
	}
	pool_drain(pool);
	if (syncfs(dir) != 0)
		die("sync");
	close(slots);
	buf_fini(&address);
}

int
main(int argc, char **argv)
{
	const char *text = "";
	struct buf path;
	struct pool *pool;
	struct state *s;
	int dir;

	if (argc < 5 || argc > 6) {
		fputs("usage: queue_fill SPOOL COUNT RECIPIENT SECONDS [SIZE]\n", stderr);
		return 2;
	}
	make_body(argc == 6 ? number_of(argv[5], 1 << 20) : 1024);
	buf_init(&front, SPOOL_FRONT_SIZE);
	buf_init(&path, 4096);
	buf_addf(&path, "%s/queue.mdb", argv[1]);
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || (mkdirat(dir, "slots", 0700) != 0 && errno != EEXIST))
		die(argv[1]);
	loop = loop_new();
	pool = pool_new(loop, 2);
	if (state_open(pool, buf_z(&path), 64 << 20, &s, &text) != ERR_OK) {
		fprintf(stderr, "queue_fill: queue.mdb: %s\n", text);
		return 2;
	}
	fill(dir, pool, s, number_of(argv[2], 10000000), argv[3],
		(int64_t)number_of(argv[4], 10000000) * 1000);
	pool_free(pool);
	state_close(s);
	loop_free(loop);
	close(dir);
	buf_fini(&path);
	buf_fini(&front);
	buf_fini(&body);
	return 0;
}
