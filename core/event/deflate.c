/* zlib behind a small wrapper; see deflate.h. Called by stream.c. Invariants: a compressor ends
 * only on an octet's boundary, behind a flush; an inflater ends only between two blocks, so that
 * nothing but its window is needed to go on. */
#include "core/event/deflate.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <zlib.h>

#include "core/base/xalloc.h"

enum {
	LEVEL = 3, /* mail shrinks nearly as well as by 6, at twice the speed */
	WINDOW_BITS = -15,
	WINDOW_BYTES = 32 * 1024,
	MEM_LEVEL = 8,
	PIECE_BYTES = 16 * 1024,
	/* what zlib says of itself in zconf.h */
	PACK_BYTES = (1 << (15 + 2)) + (1 << (MEM_LEVEL + 9)),
	UNPACK_BYTES = 11 * 1024 + WINDOW_BYTES,
	ALIGN = 64,
};

/* Pages of zlib's own, which go back to the system at once: freed pieces of a heap between those of
 * other sessions would stay. */
struct room {
	char *p; /* NULL: none */
	size_t size, used;
};

struct deflate {
	z_stream pack, unpack;
	struct room pack_room, unpack_room;
	bool packing, unpacking;
	bool more;     /* the last read was full: there may be text inside */
	struct buf in; /* of the peer, not inflated */
	char *window;  /* packed; NULL: none */
	size_t window_n, text_n;
};

struct deflate *
deflate_new(void)
{
	struct deflate *d = xcalloc(1, sizeof *d);

	buf_init(&d->in, WINDOW_BYTES * 2);
	return d;
}

/* Twice what is wanted of this zlib, as others want more: pages that nobody writes to are none. */
static void
room_open(struct room *r, size_t wanted)
{
	void *p =
		mmap(NULL, wanted * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*r = (struct room){ 0 };
	if (p != MAP_FAILED)
		*r = (struct room){ .p = p, .size = wanted * 2 };
}

static void
room_close(struct room *r)
{
	if (r->p != NULL)
		(void)munmap(r->p, r->size);
	*r = (struct room){ 0 };
}

/* From the heap where the room is full, or was not to be had. */
static void *
z_alloc(void *opaque, unsigned n, unsigned size)
{
	struct room *r = opaque;
	size_t bytes = (size_t)n * size;

	if (bytes > r->size - r->used)
		return xcalloc(n, size);
	char *p = r->p + r->used;
	size_t step = (bytes + ALIGN - 1) / ALIGN * ALIGN;

	r->used = step > r->size - r->used ? r->size : r->used + step;
	return p;
}

static void
z_free(void *opaque, void *p)
{
	const struct room *r = opaque;

	if (r->p == NULL || (char *)p < r->p || (char *)p >= r->p + r->size)
		free(p);
}

static void
end_pack(struct deflate *d)
{
	if (d->packing)
		(void)deflateEnd(&d->pack);
	d->packing = false;
	room_close(&d->pack_room);
}

static void
end_unpack(struct deflate *d)
{
	if (d->unpacking)
		(void)inflateEnd(&d->unpack);
	d->unpacking = false;
	room_close(&d->unpack_room);
}

void
deflate_free(struct deflate *d)
{
	if (d == NULL)
		return;
	end_pack(d);
	end_unpack(d);
	buf_fini(&d->in);
	free(d->window);
	free(d);
}

void
deflate_add(struct deflate *d, struct str in, bool flush, struct buf *out)
{
	z_stream *z = &d->pack;

	if (!d->packing) {
		room_open(&d->pack_room, PACK_BYTES);
		*z = (z_stream){ .zalloc = z_alloc, .zfree = z_free, .opaque = &d->pack_room };
		int rc = deflateInit2(
			z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY);

		assert(rc == Z_OK);
		d->packing = true;
	}
	z->next_in = (unsigned char *)(uintptr_t)in.p;
	z->avail_in = (unsigned)in.n;
	do {
		char *to = buf_reserve(out, PIECE_BYTES);

		assert(to != NULL);
		z->next_out = (unsigned char *)to;
		z->avail_out = PIECE_BYTES;
		(void)deflate(z, flush ? Z_SYNC_FLUSH : Z_NO_FLUSH);
		buf_commit(out, PIECE_BYTES - z->avail_out);
	} while (z->avail_out == 0);
}

void
deflate_feed(struct deflate *d, struct str in)
{
	buf_add(&d->in, in);
}

bool
deflate_pending(const struct deflate *d)
{
	return d->more || d->in.n != 0;
}

static void
begin_unpack(struct deflate *d)
{
	z_stream *z = &d->unpack;

	room_open(&d->unpack_room, UNPACK_BYTES);
	*z = (z_stream){ .zalloc = z_alloc, .zfree = z_free, .opaque = &d->unpack_room };
	int rc = inflateInit2(z, WINDOW_BITS);

	assert(rc == Z_OK);
	d->unpacking = true;
	if (d->window == NULL)
		return;
	unsigned char *text = xmalloc(WINDOW_BYTES);
	uLongf n = WINDOW_BYTES;

	rc = uncompress(text, &n, (unsigned char *)d->window, d->window_n);
	assert(rc == Z_OK && n == d->text_n);
	rc = inflateSetDictionary(z, text, (unsigned)n);
	assert(rc == Z_OK);
	free(text);
	free(d->window);
	d->window = NULL;
}

enum err
deflate_read(struct deflate *d, char *to, size_t max, size_t *got_out)
{
	z_stream *z = &d->unpack;

	*got_out = 0;
	if (!deflate_pending(d))
		return ERR_AGAIN;
	if (!d->unpacking)
		begin_unpack(d);
	struct str in = buf_str(&d->in);

	z->next_in = (unsigned char *)(uintptr_t)in.p;
	z->avail_in = (unsigned)in.n;
	z->next_out = (unsigned char *)to;
	z->avail_out = (unsigned)max;
	int rc = inflate(z, Z_SYNC_FLUSH);

	/* some end their stream at times, and begin another */
	while (rc == Z_STREAM_END) {
		(void)inflateReset(z);
		rc = z->avail_in != 0 && z->avail_out != 0 ? inflate(z, Z_SYNC_FLUSH) : Z_OK;
	}
	buf_consume(&d->in, in.n - z->avail_in);
	d->more = z->avail_out == 0;
	*got_out = max - z->avail_out;
	/* no progress was possible: that is no error */
	if (rc != Z_OK && rc != Z_BUF_ERROR)
		return ERR_CORRUPT;
	if (d->in.n == 0 && !d->more)
		buf_release(&d->in);
	return *got_out != 0 ? ERR_OK : ERR_AGAIN;
}

/* Between two blocks and on an octet's boundary: zlib.h, data_type. */
static bool
between_blocks(const z_stream *z)
{
	return (z->data_type & 128) != 0 && (z->data_type & 127) == 0;
}

static void
rest_unpack(struct deflate *d)
{
	if (!d->unpacking || deflate_pending(d) || !between_blocks(&d->unpack))
		return;
	unsigned char *text = xmalloc(WINDOW_BYTES);
	unsigned n = 0;
	int rc = inflateGetDictionary(&d->unpack, text, &n);

	assert(rc == Z_OK && n <= WINDOW_BYTES);
	if (n != 0) {
		uLongf packed = compressBound(n);
		unsigned char *p = xmalloc(packed);

		rc = compress2(p, &packed, text, n, 6);
		assert(rc == Z_OK);
		d->window = xmalloc(packed);
		memcpy(d->window, p, packed);
		d->window_n = packed;
		d->text_n = n;
		free(p);
	}
	free(text);
	end_unpack(d);
}

void
deflate_rest(struct deflate *d)
{
	end_pack(d);
	rest_unpack(d);
}

size_t
deflate_memory(const struct deflate *d)
{
	return sizeof *d + d->in.cap + (d->packing ? PACK_BYTES : 0) +
	       (d->unpacking ? UNPACK_BYTES : 0) + (d->window != NULL ? d->window_n : 0);
}
