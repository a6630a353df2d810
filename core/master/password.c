/* Reading a password for `postroom auth test` and `postroom pw`: never on the command line, where
 * everybody on the machine could read it. */
#include "core/master/password.h"

#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum err
password_read(const char *prompt, struct buf *out)
{
	struct termios before, silent;
	bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
	bool some = false;
	char c = '\0';

	if (terminal) {
		silent = before;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		(void)fputs(prompt, stderr);
		(void)fflush(stderr);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	/* Byte by byte: what stands behind the line is the next reader's. */
	while (read(STDIN_FILENO, &c, 1) == 1) {
		some = true;
		if (c == '\n')
			break;
		buf_addc(out, c);
	}
	if (terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		(void)fputc('\n', stderr);
	}
	return some ? buf_check(out) : ERR_EOF;
}
