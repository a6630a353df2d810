#ifndef POSTROOM_TESTS_UNIT_TLS_PEM_H
#define POSTROOM_TESTS_UNIT_TLS_PEM_H

/* A self-signed certificate for localhost and 127.0.0.1 that lasts a century, for tests. */
#define TEST_CERTIFICATE                                                     \
	"-----BEGIN CERTIFICATE-----\n"                                      \
	"MIIBnDCCAUGgAwIBAgIUKZrmmTC896x9bW3FTilm2cS3W4IwCgYIKoZIzj0EAwIw\n" \
	"FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA4MTgxMVoYDzIxMjYxMDI4\n" \
	"MDgxODExWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n" \
	"PQMBBwNCAARSK4iGmoZYGRWpsVaL1CFjYKf1dz3N++hvUg1vwvnOgFqLk0RLksPJ\n" \
	"wjwj3fogqGcuLxK2e0HOiZamaVfrixCmo28wbTAdBgNVHQ4EFgQUuwHCcs28MgSq\n" \
	"/J039xmydSCm2JAwHwYDVR0jBBgwFoAUuwHCcs28MgSq/J039xmydSCm2JAwDwYD\n" \
	"VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI\n" \
	"zj0EAwIDSQAwRgIhAIxE4N3UBIAz5HTRVd3mBfqqgKdvuS1PJdToml1M6fP7AiEA\n" \
	"syrbokEZa4wQVXD79NkVDoTWDTEYrW+dTA93nFbJoDg=\n"                     \
	"-----END CERTIFICATE-----\n"
#define TEST_KEY                                                             \
	"-----BEGIN PRIVATE KEY-----\n"                                      \
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgC/8y2W+q79Qr5HME\n" \
	"FtjSTknUeZjvCF6vWZzF+SOE4QOhRANCAARSK4iGmoZYGRWpsVaL1CFjYKf1dz3N\n" \
	"++hvUg1vwvnOgFqLk0RLksPJwjwj3fogqGcuLxK2e0HOiZamaVfrixCm\n"         \
	"-----END PRIVATE KEY-----\n"

#endif
