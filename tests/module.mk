# What this folder builds; see Makefile.am.

dist_check_SCRIPTS += tests/check-layers.sh tests/check-banned.sh
