#ifndef POSTROOM_SMTP_XCLIENT_H
#define POSTROOM_SMTP_XCLIENT_H

#include "core/base/str.h"

/* XCLIENT, by which a proxy or filter of ours says for whom it speaks (Postfix's XCLIENT_README,
 * its attributes and replies). Pure functions over bytes. */

enum xclient_attribute {
	XCLIENT_NAME = 1 << 0,
	XCLIENT_ADDR = 1 << 1,
	XCLIENT_PORT = 1 << 2,
	XCLIENT_PROTO = 1 << 3,
	XCLIENT_HELO = 1 << 4,
	XCLIENT_LOGIN = 1 << 5,
	XCLIENT_DESTADDR = 1 << 6,
	XCLIENT_DESTPORT = 1 << 7,
};

enum { XCLIENT_TEXT_MAX = 255 };

/* What stands there; of the rest, and of "[UNAVAILABLE]" and "[TEMPUNAVAIL]", "" or 0. */
struct xclient {
	unsigned given; /* enum xclient_attribute */
	char name[XCLIENT_TEXT_MAX + 1];
	char addr[64], local_addr[64]; /* as inet_ntop writes them */
	uint16_t port, local_port;
	bool esmtp;
	char helo[XCLIENT_TEXT_MAX + 1];  /* letters, digits, "-._:[]" */
	char login[XCLIENT_TEXT_MAX + 1]; /* UTF-8 without control characters and blanks */
};

/* arg: "ADDR=192.0.2.1 NAME=mx.example.net", xtext. ERR_SYNTAX: no attribute, an unknown one, one
 * twice, a value that is none of its kind, ADDR that is not available: without an address there are
 * no limits and no networks. */
MUST_USE enum err
xclient_parse(struct str arg, struct xclient *out);

#endif
