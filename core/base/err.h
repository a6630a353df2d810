#ifndef POSTROOM_BASE_ERR_H
#define POSTROOM_BASE_ERR_H

/* The one error convention: every function that can fail returns enum err.
 * No -1, errno or library code crosses a module boundary; the object that
 * failed keeps the text that explains it. */
enum err {
	ERR_OK = 0,
	ERR_AGAIN,    /* not now: call again when more arrived or drained */
	ERR_EOF,      /* the other side ended */
	ERR_SYNTAX,   /* the bytes break their grammar */
	ERR_LIMIT,    /* larger than a limit of ours */
	ERR_NOTFOUND, /* a definite "there is none" */
	ERR_EXISTS,   /* there is one already */
	ERR_DENIED,   /* known, and not allowed */
	ERR_BUSY,     /* somebody else holds it; later may work */
	ERR_TEMP,     /* something we need is broken now; never a "no" */
	ERR_CORRUPT,  /* our own data is damaged */
	ERR_QUOTA,    /* the owner's quota is used up */
	ERR_BUG,      /* our own mistake */
};

#define MUST_USE __attribute__((warn_unused_result))
#define UNUSED	 __attribute__((unused))

/* The lower-case word for e, for log lines ("notfound"). Static storage. */
const char *
err_name(enum err e);

#endif
