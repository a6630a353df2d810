# What this folder builds; see Makefile.am.
EXTRA_DIST += config/ldap/postroom.schema config/ldap/slapd.conf.in config/ldap/example.ldif \
	config/ldap/make-example tests/integration/harness/slapd.py
