/* Clocks; see clock.h. */
#include "core/base/clock.h"

#include <string.h>
#include <time.h>

static int64_t
read_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t
clock_ms(void)
{
	return clock_us() / 1000;
}

int64_t
clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

void
clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	/* most calls are of the second of the one before: a line of the log each */
	static _Thread_local struct {
		time_t sec;
		size_t n;
		char date[20];
	} last;
	time_t sec = (time_t)(wall_ms / 1000);
	unsigned ms = (unsigned)(wall_ms % 1000);

	if (last.n == 0 || sec != last.sec) {
		struct tm tm;
		(void)gmtime_r(&sec, &tm);
		last.n = strftime(last.date, sizeof last.date, "%Y-%m-%dT%H:%M:%S", &tm);
		last.sec = sec;
	}
	memcpy(out, last.date, last.n);
	out += last.n;
	*out++ = '.';
	*out++ = (char)('0' + ms / 100 % 10);
	*out++ = (char)('0' + ms / 10 % 10);
	*out++ = (char)('0' + ms % 10);
	*out++ = 'Z';
	*out = '\0';
}
