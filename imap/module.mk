# What this folder builds; see Makefile.am.
include imap/gate.mk
