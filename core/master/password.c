/* Reading a password for `postroom auth test` and `postroom pw`: never on the command line, where
 * everybody on the machine could read it. Invariant: the terminal echoes again whenever this
 * process stops or ends by a signal that can be caught. */
#include "core/master/password.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "core/base/xalloc.h"

static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
static volatile sig_atomic_t caught;

static void
on_signal(int signum)
{
	caught = signum;
}

struct terminal {
	const char *prompt;
	struct termios before;
	struct sigaction actions[ARRAY_LEN(watched)];
	sigset_t mask; /* while waiting; the watched ones come in only then */
};

static void
silence(struct terminal *t)
{
	const struct sigaction catch = { .sa_handler = on_signal };
	struct termios silent = t->before;
	struct sigaction ignored;
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(watched); i++)
		(void)sigaddset(&set, watched[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &t->mask);
	for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
		(void)sigaction(watched[i], NULL, &t->actions[i]);
		if (t->actions[i].sa_handler != SIG_IGN)
			(void)sigaction(watched[i], &catch, &ignored);
	}
	silent.c_lflag &= ~(tcflag_t)ECHO;
	/* first: what is typed at the prompt must not be flushed */
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	(void)fputs(t->prompt, stderr);
	(void)fflush(stderr);
}

static void
restore(const struct terminal *t)
{
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
	(void)fputc('\n', stderr);
	for (size_t i = 0; i < ARRAY_LEN(watched); i++)
		(void)sigaction(watched[i], &t->actions[i], NULL);
	(void)sigprocmask(SIG_SETMASK, &t->mask, NULL);
}

/* A byte of the password is there, or the end. */
static void
wait_byte(struct terminal *t)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	while (ppoll(&p, 1, NULL, &t->mask) < 0 && errno == EINTR) {
		int signum = caught;
		if (signum == 0)
			continue;
		caught = 0;
		restore(t);
		/* ends or stops us, as it would have without us */
		(void)raise(signum);
		silence(t);
	}
}

enum err
password_read(const char *prompt, struct buf *out)
{
	struct terminal t = { .prompt = prompt };
	bool terminal = tcgetattr(STDIN_FILENO, &t.before) == 0;
	bool some = false;
	char c = '\0';

	if (terminal)
		silence(&t);
	/* Byte by byte: what stands behind the line is the next reader's. */
	for (;;) {
		if (terminal)
			wait_byte(&t);
		if (read(STDIN_FILENO, &c, 1) != 1)
			break;
		some = true;
		if (c == '\n')
			break;
		buf_addc(out, c);
	}
	if (terminal)
		restore(&t);
	return some ? buf_check(out) : ERR_EOF;
}
