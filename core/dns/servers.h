#ifndef POSTROOM_DNS_SERVERS_H
#define POSTROOM_DNS_SERVERS_H

#include "config/settings.h"
#include "core/base/buf.h"

/* The DNS servers that a role asks, found before its cage closes the files: those of
 * dns_servers, else the "nameserver" lines of /etc/resolv.conf, else 127.0.0.1. */
enum { DNS_SERVERS_MAX = 16 };

struct dns_servers {
	struct str v[DNS_SERVERS_MAX]; /* for struct dns_options */
	size_t n;
	struct buf text; /* what v may point into */
};
/* v borrows from s as well. resolv_conf: "/etc/resolv.conf". */
void
dns_servers_find(const struct settings *s, const char *resolv_conf, struct dns_servers *out);
void
dns_servers_fini(struct dns_servers *d);

#endif
