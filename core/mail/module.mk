# What this folder builds; see Makefile.am.
