include delivery/spool/module.mk
include delivery/relay/module.mk
include delivery/remote/module.mk
include delivery/resolver/module.mk
include delivery/lmtp/module.mk
include delivery/queue/module.mk
include delivery/smtp/module.mk
include delivery/sendmail/module.mk
