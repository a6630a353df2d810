/* Schemes that are crypt(3)'s; the only file that sees libcrypt. */
#include <crypt.h>
#include <stdlib.h>

#include "core/base/codec.h"
#include "core/base/xalloc.h"
#include "core/passwd/scheme.h"

/* libcrypt's own default for bcrypt is 5, from another century. */
enum { BCRYPT_COST = 10, DES_CHARS = 13 };

enum err
crypt_check(const struct scheme *s, struct str hash)
{
	if (!str_starts(hash, str_of(s->form)) || hash.n < 3 || hash.n >= CRYPT_OUTPUT_SIZE ||
		str_has_nul(hash))
		return ERR_SYNTAX;
	/* anything long enough would do as a salt of the oldest form: a password that stands there
	 * in clear must not look like a hash */
	if (hash.p[0] != '$' && hash.p[0] != '_' && hash.n != DES_CHARS)
		return ERR_SYNTAX;
	return ERR_OK;
}

enum err
crypt_verify(const struct scheme *s, struct str hash, struct str password)
{
	struct crypt_data *data;
	char *setting, *phrase, *made;
	enum err e = ERR_DENIED;

	(void)s;
	if (str_has_nul(password) || password.n >= CRYPT_MAX_PASSPHRASE_SIZE)
		return ERR_DENIED;
	data = xcalloc(1, sizeof *data);
	setting = str_dup(hash);
	phrase = str_dup(password);
	made = crypt_rn(phrase, setting, data, (int)sizeof *data);
	if (made == NULL || made[0] == '*')
		e = ERR_SYNTAX;
	else if (secret_eq(str_of(made), hash))
		e = ERR_OK;
	explicit_bzero(phrase, password.n);
	explicit_bzero(data, sizeof *data);
	free(phrase);
	free(setting);
	free(data);
	return e;
}

enum err
crypt_make(const struct scheme *s, struct str password, struct buf *out)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	bool bcrypt = str_eq(str_of(s->form), STR("$2"));
	/* without a form: libcrypt's best is a matter of its build, ours is always the same */
	const char *prefix = bcrypt ? "$2y$" : s->form[0] != '\0' ? s->form : "$y$";
	struct crypt_data *data;
	char *phrase, *made;
	enum err e = ERR_TEMP;

	if (str_has_nul(password) || password.n >= CRYPT_MAX_PASSPHRASE_SIZE)
		return ERR_SYNTAX;
	if (crypt_gensalt_rn(prefix, bcrypt ? BCRYPT_COST : 0, NULL, 0, setting,
		    (int)sizeof setting) == NULL)
		return ERR_TEMP;
	data = xcalloc(1, sizeof *data);
	phrase = str_dup(password);
	made = crypt_rn(phrase, setting, data, (int)sizeof *data);
	if (made != NULL && made[0] != '*') {
		buf_addz(out, made);
		e = buf_check(out);
	}
	explicit_bzero(phrase, password.n);
	explicit_bzero(data, sizeof *data);
	free(phrase);
	free(data);
	return e;
}
