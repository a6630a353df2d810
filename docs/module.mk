dist_man_MANS += docs/man/postroom.8 docs/man/postroom-auth.8 docs/man/postroom-authworker.8 docs/man/postroom-gate.8 \
	docs/man/postroom-imap.8 docs/man/postroom-lmtp.8 docs/man/postroom-queue.8 docs/man/postroom-relay.8 docs/man/postroom-resolver.8 \
	docs/man/postroom-sendmail.8 \
	docs/man/postroom-smtp.8
nodist_man_MANS = docs/man/postroom.conf.5
dist_doc_DATA = README.md docs/admin.md docs/design.md docs/directory.md docs/backends.md docs/imap.md docs/mechanisms.md docs/performance.md docs/smtp.md config/postroom.conf
EXTRA_DIST += docs/performance-scale.svg
productdir = $(docdir)/directory
dist_product_DATA = docs/directory/389ds.md docs/directory/active-directory.md \
	docs/directory/freeipa.md docs/directory/openldap.md
dist_pkgdata_DATA = config/ldap/postroom.schema
fail2bandir = $(pkgdatadir)/fail2ban
dist_fail2ban_DATA = config/fail2ban/postroom.conf config/fail2ban/postroom-jail.conf
dist_pkgdata_SCRIPTS = build-aux/create-users
EXTRA_DIST += docs/man/postroom.conf.5.in

# The list of settings comes from the table that the programs use.
# [@]: `configure` puts its own words in the place of names between two @, here as well.
docs/man/postroom.conf.5: $(srcdir)/docs/man/postroom.conf.5.in config/manual$(EXEEXT) Makefile
	$(AM_V_GEN)$(MKDIR_P) docs/man && config/manual$(EXEEXT) >$@.settings && \
	$(SED) -e '/^[@]SETTINGS[@]$$/{' -e 'r $@.settings' -e 'd' -e '}' \
		-e 's|[@]sysconfdir[@]|$(sysconfdir)|' $(srcdir)/docs/man/postroom.conf.5.in >$@.tmp && \
	rm -f $@.settings && mv $@.tmp $@

systemdunitdir = $(prefix)/lib/systemd/system
nodist_systemdunit_DATA = config/systemd/postroom.service
config/systemd/postroom.service: $(srcdir)/config/systemd/postroom.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) config/systemd && \
	$(SED) -e 's|[@]sbindir[@]|$(sbindir)|g' $(srcdir)/config/systemd/postroom.service.in >$@.tmp && \
	mv $@.tmp $@
EXTRA_DIST += config/systemd/postroom.service.in
CLEANFILES += docs/man/postroom.conf.5 config/systemd/postroom.service

# The manual pages have no mistakes that mandoc sees.
dist_check_SCRIPTS += tests/check-manuals.sh
tests/check-manuals.log: docs/man/postroom.conf.5

# What names the folders of `configure` names them.
dist_check_SCRIPTS += tests/check-folders.sh
tests/check-folders.log: docs/man/postroom.conf.5 config/systemd/postroom.service
