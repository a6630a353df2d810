/* A module of PAM that does what the user's name says, for test_worker_pam.py: built by the test,
 *
 *   auth    required /path/pam_trial.so
 *   account required /path/pam_trial.so
 *
 * The right password is "right". */
#include <security/pam_modules.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *
user_of(pam_handle_t *h)
{
	const char *user = "";

	(void)pam_get_user(h, &user, NULL);
	return user;
}

static char *
ask(pam_handle_t *h, int style, const char *text)
{
	const struct pam_message m = { style, text };
	const struct pam_message *one = &m;
	struct pam_response *r = NULL;
	const void *item = NULL;
	const struct pam_conv *c;
	char *answer;

	if (pam_get_item(h, PAM_CONV, &item) != PAM_SUCCESS || item == NULL)
		return NULL;
	c = item;
	if (c->conv(1, &one, &r, c->appdata_ptr) != PAM_SUCCESS || r == NULL)
		return NULL;
	answer = r->resp;
	free(r);
	return answer;
}

int
pam_sm_authenticate(pam_handle_t *h, int flags, int argc, const char **argv)
{
	const char *user = user_of(h);
	const void *item = NULL;
	char *password;
	int rc;

	(void)flags;
	(void)argc;
	(void)argv;
	if (strncmp(user, "hang", 4) == 0)
		(void)sleep(30);
	if (strcmp(user, "crash") == 0)
		_exit(7);
	if (strcmp(user, "unavail") == 0)
		return PAM_AUTHINFO_UNAVAIL;
	if (strcmp(user, "stranger") == 0)
		return PAM_USER_UNKNOWN;
	if (strcmp(user, "tries") == 0)
		return PAM_MAXTRIES;
	if (strcmp(user, "ended") == 0)
		return PAM_ACCT_EXPIRED;
	if (strcmp(user, "says") == 0)
		(void)ask(h, PAM_TEXT_INFO, "the cat is away");
	password = ask(h, PAM_PROMPT_ECHO_OFF, "Password: ");
	if (password == NULL)
		return PAM_CONV_ERR;
	rc = strcmp(password, "right") == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
	free(password);
	if (strcmp(user, "two") == 0) {
		free(ask(h, PAM_PROMPT_ECHO_OFF, "One-time code: "));
		return PAM_CONV_ERR;
	}
	if (strcmp(user, "near") == 0 && (pam_get_item(h, PAM_RHOST, &item) != PAM_SUCCESS ||
						 item == NULL || strcmp(item, "192.0.2.7") != 0))
		return PAM_AUTH_ERR;
	if (rc != PAM_SUCCESS)
		(void)pam_fail_delay(h, 60000000);
	return rc;
}

int
pam_sm_setcred(pam_handle_t *h, int flags, int argc, const char **argv)
{
	(void)h;
	(void)flags;
	(void)argc;
	(void)argv;
	return PAM_SUCCESS;
}

int
pam_sm_acct_mgmt(pam_handle_t *h, int flags, int argc, const char **argv)
{
	static const struct {
		const char *user;
		int rc;
	} table[] = { { "expired", PAM_ACCT_EXPIRED }, { "change", PAM_NEW_AUTHTOK_REQD },
		{ "old", PAM_AUTHTOK_EXPIRED }, { "denied", PAM_PERM_DENIED },
		{ "broken", PAM_SYSTEM_ERR } };
	const char *user = user_of(h);

	(void)flags;
	(void)argc;
	(void)argv;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strcmp(user, table[i].user) == 0)
			return table[i].rc;
	return PAM_SUCCESS;
}
