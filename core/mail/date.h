#ifndef POSTROOM_MAIL_DATE_H
#define POSTROOM_MAIL_DATE_H

#include "core/base/buf.h"

/* Dates of messages and of IMAP. Times are unix seconds, zones minutes east of UTC. Years have four
 * digits: a time before or behind them is written as the first or the last that can be. */

/* "Sat, 21 Nov 2026 08:00:00 +0100 (CET)", with comments, two-digit years, missing seconds,
 * obsolete and unknown zones (counted as +0000). ERR_SYNTAX. RFC 5322 3.3, 4.3. */
MUST_USE enum err
date_parse(struct str value, int64_t *unix_out, int *zone_minutes_out);
/* "Sat, 21 Nov 2026 08:00:00 +0100". Appended. */
void
date_format(struct buf *out, int64_t unix_sec, int zone_minutes);

/* "21-Nov-2026 08:00:00 +0100", the day may be " 1". ERR_SYNTAX. RFC 3501 9 date-time. */
MUST_USE enum err
date_parse_imap(struct str in, int64_t *unix_out);
/* The same, in UTC: "21-Nov-2026 07:00:00 +0000". Appended. */
void
date_format_imap(struct buf *out, int64_t unix_sec);
/* "1-Feb-1994" as in SEARCH SINCE -> days since 1970-01-01. ERR_SYNTAX. */
MUST_USE enum err
date_parse_imap_day(struct str in, int64_t *day_out);
/* The calendar day of a time, in the zone it was written in: SEARCH SENTSINCE disregards time and
 * zone. RFC 3501 6.4.4. */
int64_t
date_day(int64_t unix_sec, int zone_minutes);

/* Minutes east of UTC here and now, for fields that we add. */
int
date_local_zone(int64_t unix_sec);

#endif
