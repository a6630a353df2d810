/* Dates. Properties: what was read and is written reads as the same time. */
#include <stdlib.h>

#include "core/mail/date.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	int64_t t, back;
	int zone, zone_back;
	struct buf b;

	if (size > 4096)
		return 0;
	buf_init(&b, 200);
	if (date_parse(in, &t, &zone) == ERR_OK) {
		date_format(&b, t, zone);
		CHECK(date_parse(buf_str(&b), &back, &zone_back) == ERR_OK);
		CHECK(back == t && zone_back == zone);
	}
	buf_reset(&b);
	if (date_parse_imap(in, &t) == ERR_OK) {
		date_format_imap(&b, t);
		CHECK(date_parse_imap(buf_str(&b), &back) == ERR_OK);
		/* in UTC the year may have left 0 to 9999 */
		CHECK(back == t || (t < -62167219200 && back == -62167219200) ||
			(t > 253402300799 && back == 253402300799));
	}
	(void)!date_parse_imap_day(in, &t);
	buf_fini(&b);
	return 0;
}
