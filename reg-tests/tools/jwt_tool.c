/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_tool.c - keys and tokens for tests, the demo and the benchmark.
 *
 *   jwt_tool keygen ALG PATH [KID]
 *       writes PATH.pem (private), PATH.pub.pem, PATH.jwk and PATH.jwks (public; one key, kid =
 *       KID or the last part of PATH)
 *   jwt_tool jwks FILE.jwk …
 *       prints one JWKS of several .jwk files
 *   jwt_tool mint --key PEM --alg ALG [--kid KID] --claims JSON
 *       prints a token. In the claims "exp": "+300", "nbf": "-5" and "iat": "+0" as strings are
 *       seconds from now.
 *
 * RS* and ES* are signed by libjwt, so that our verifier meets a stranger's tokens; PS* and EdDSA,
 * which libjwt 1.10 lacks, by OpenSSL. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <jwt.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "reg-tests/tools/jwt_make.h"

static const char *const algs[] = { "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
				    "ES256", "ES384", "ES512", "EdDSA", NULL };

_Noreturn static void die(const char *what, const char *why)
{
	fprintf(stderr, "jwt_tool: %s: %s\n", what, why);
	exit(1);
}

static void check_alg(const char *alg)
{
	for (size_t i = 0; algs[i] != NULL; i++)
		if (strcmp(algs[i], alg) == 0)
			return;
	die(alg, "no such algorithm: RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA");
}

static FILE *create_file(const char *path, const char *suffix, mode_t mode)
{
	char name[4096];
	int fd;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		die(name, strerror(errno));
	return fdopen(fd, "w");
}

static int keygen(const char *alg, const char *path, const char *kid)
{
	EVP_PKEY *key;
	FILE *f;
	char *jwk;

	check_alg(alg);
	if (kid == NULL)
		kid = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	key = make_key(alg);
	jwk = make_jwk(key, kid, alg);
	f = create_file(path, ".pem", 0600);
	must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(f);
	f = create_file(path, ".pub.pem", 0644);
	must(PEM_write_PUBKEY(f, key) == 1);
	fclose(f);
	f = create_file(path, ".jwk", 0644);
	fprintf(f, "%s\n", jwk);
	fclose(f);
	f = create_file(path, ".jwks", 0644);
	fprintf(f, "{\"keys\":[%s]}\n", jwk);
	fclose(f);
	free(jwk);
	EVP_PKEY_free(key);
	return 0;
}

static int print_jwks(char **files, int count)
{
	json_t *keys = json_array(), *set;

	for (int i = 0; i < count; i++) {
		json_error_t error;
		json_t *jwk = json_load_file(files[i], 0, &error);

		if (jwk == NULL)
			die(files[i], error.text);
		json_array_append_new(keys, jwk);
	}
	set = json_pack("{s:o}", "keys", keys);
	json_dumpf(set, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(set);
	return 0;
}

/* "+300" becomes the number of seconds since 1970 five minutes from now. */
static void resolve_times(json_t *claims)
{
	static const char *const names[] = { "exp", "nbf", "iat" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = json_string_value(json_object_get(claims, names[i]));

		if (text != NULL && (text[0] == '+' || text[0] == '-'))
			json_object_set_new(claims, names[i],
					    json_integer((json_int_t)time(NULL) + atoll(text)));
	}
}

static char *read_file(const char *path, size_t *len)
{
	static char bytes[65536];
	FILE *f = fopen(path, "r");

	if (f == NULL)
		die(path, strerror(errno));
	*len = fread(bytes, 1, sizeof(bytes) - 1, f);
	bytes[*len] = '\0';
	fclose(f);
	return bytes;
}

/* libjwt writes the header itself: alg, typ and kid. */
static char *mint_by_libjwt(const char *pem, size_t pem_len, const char *alg, const char *kid,
			    const char *claims)
{
	jwt_t *jwt;
	char *token;

	must(jwt_new(&jwt) == 0);
	must(jwt_add_grants_json(jwt, claims) == 0);
	if (kid != NULL)
		must(jwt_add_header(jwt, "kid", kid) == 0);
	if (jwt_set_alg(jwt, jwt_str_alg(alg), (const unsigned char *)pem, (int)pem_len) != 0)
		die(alg, "libjwt refuses the key");
	token = jwt_encode_str(jwt);
	if (token == NULL)
		die(alg, "the key does not suit the algorithm");
	jwt_free(jwt);
	return token;
}

static char *mint_by_openssl(const char *pem, size_t pem_len, const char *alg, const char *kid,
			     const char *claims)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	char *token;

	BIO_free(bio);
	if (key == NULL)
		die(alg, "the key file holds no private key");
	token = make_token(key, alg, kid, claims);
	EVP_PKEY_free(key);
	return token;
}

static int mint(const char *key_file, const char *alg, const char *kid, const char *claims_text)
{
	json_error_t error;
	json_t *claims = json_loads(claims_text, 0, &error);
	size_t pem_len;
	char *pem, *compact, *token;

	check_alg(alg);
	if (!json_is_object(claims))
		die("--claims", claims == NULL ? error.text : "no JSON object");
	resolve_times(claims);
	compact = json_dumps(claims, JSON_COMPACT);
	pem = read_file(key_file, &pem_len);
	if (alg[0] == 'P' || strcmp(alg, "EdDSA") == 0)
		token = mint_by_openssl(pem, pem_len, alg, kid, compact);
	else
		token = mint_by_libjwt(pem, pem_len, alg, kid, compact);
	puts(token);
	free(token);
	free(compact);
	json_decref(claims);
	return 0;
}

static int usage(void)
{
	fputs("usage: jwt_tool keygen ALG PATH [KID]\n"
	      "       jwt_tool jwks FILE.jwk ...\n"
	      "       jwt_tool mint --key PEM --alg ALG [--kid KID] --claims JSON\n", stderr);
	return 2;
}

static int mint_command(int argc, char **argv)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, 'k' }, { "alg", required_argument, NULL, 'a' },
		{ "kid", required_argument, NULL, 'i' }, { "claims", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 }
	};
	const char *key = NULL, *alg = NULL, *kid = NULL, *claims = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'k':	key = optarg;		break;
		case 'a':	alg = optarg;		break;
		case 'i':	kid = optarg;		break;
		case 'c':	claims = optarg;	break;
		default:	return usage();
		}
	}
	return key != NULL && alg != NULL && claims != NULL ? mint(key, alg, kid, claims) : usage();
}

int main(int argc, char **argv)
{
	if (argc >= 4 && argc <= 5 && strcmp(argv[1], "keygen") == 0)
		return keygen(argv[2], argv[3], argc == 5 ? argv[4] : NULL);
	if (argc >= 3 && strcmp(argv[1], "jwks") == 0)
		return print_jwks(argv + 2, argc - 2);
	if (argc >= 2 && strcmp(argv[1], "mint") == 0)
		return mint_command(argc - 1, argv + 1);
	return usage();
}
