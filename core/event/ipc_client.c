/* A channel that is made again when it is needed; see ipc_client.h. The clients of relay and
 * resolver have one each. Invariant: between two tries to connect lies the wait, however often
 * somebody asks. */
#include "core/event/ipc_client.h"

#include <stdlib.h>

#include "core/base/xalloc.h"

enum { WAIT_MIN_MS = 50, WAIT_MAX_MS = 5000 };

void
ipc_client_init(struct ipc_client *c, struct loop *l, const char *path)
{
	*c = (struct ipc_client){ .loop = l, .path = xstrdup(path), .wait_ms = WAIT_MIN_MS };
}

void
ipc_client_fini(struct ipc_client *c)
{
	ipc_free(c->ipc);
	free(c->path);
}

static void
back_off(struct ipc_client *c)
{
	c->not_before_ms = loop_now_ms(c->loop) + c->wait_ms;
	c->wait_ms = c->wait_ms * 2 < WAIT_MAX_MS ? c->wait_ms * 2 : WAIT_MAX_MS;
}

enum err
ipc_client_open(struct ipc_client *c, const struct ipc_ops *ops, void *arg)
{
	int fd;

	if (c->ipc != NULL)
		return ERR_OK;
	if (loop_now_ms(c->loop) < c->not_before_ms)
		return ERR_TEMP;
	if (ipc_connect(c->path, &fd) != ERR_OK) {
		back_off(c);
		return ERR_TEMP;
	}
	c->ipc = ipc_new(c->loop, fd, ops, arg);
	return ERR_OK;
}

void
ipc_client_lost(struct ipc_client *c)
{
	ipc_free(c->ipc);
	c->ipc = NULL;
	back_off(c);
}

void
ipc_client_works(struct ipc_client *c)
{
	c->wait_ms = WAIT_MIN_MS;
}
