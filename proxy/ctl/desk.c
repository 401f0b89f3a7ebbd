/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ctl/desk.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proxy/ctl/jose.h"
#include "sallyport/base64.h"
#include "spoa/token.h"

#define FAILED_STATUS	1
#define USAGE_STATUS	2
#define LINE_BYTES_MAX	(64u << 10)

struct desk_options {
	const char *key, *alg, *kid, *claims, *jwks, *issuer, *audience;
	char **rest;
	int rest_count;
};

static int usage(void)
{
	fputs("usage: sallyctl token mint --key PEM --claims JSON [--alg ALG] [--kid KID]\n"
	      "       sallyctl token inspect TOKEN|-\n"
	      "       sallyctl token verify --jwks FILE [--issuer ISSUER] [--audience AUDIENCE] TOKEN|-\n"
	      "       sallyctl jwks from-pem FILE ... [--kid KID] [--alg ALG]\n", stderr);
	return USAGE_STATUS;
}

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "sallyctl: %s: %s\n", what, why);
	return FAILED_STATUS;
}

static bool parse(int count, char **words, struct desk_options *o)
{
	static const struct option names[] = {
		{ "key", required_argument, NULL, 'k' }, { "alg", required_argument, NULL, 'a' },
		{ "kid", required_argument, NULL, 'i' }, { "claims", required_argument, NULL, 'c' },
		{ "jwks", required_argument, NULL, 'j' }, { "issuer", required_argument, NULL, 's' },
		{ "audience", required_argument, NULL, 'u' }, { 0 },
	};
	int c;

	*o = (struct desk_options){ 0 };
	optind = 0;	/* anew: the words before were sallyctl's own */
	while ((c = getopt_long(count, words, "", names, NULL)) != -1) {
		switch (c) {
		case 'k':	o->key = optarg;	break;
		case 'a':	o->alg = optarg;	break;
		case 'i':	o->kid = optarg;	break;
		case 'c':	o->claims = optarg;	break;
		case 'j':	o->jwks = optarg;	break;
		case 's':	o->issuer = optarg;	break;
		case 'u':	o->audience = optarg;	break;
		default:	return false;
		}
	}
	o->rest = words + optind;
	o->rest_count = count - optind;
	return true;
}

/* ---- mint ---- */

/* "+300" and "-5" are seconds from now. */
static void resolve_times(json_t *claims)
{
	static const char *const names[] = { "exp", "nbf", "iat" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const char *text = json_string_value(json_object_get(claims, names[i]));

		if (text != NULL && (text[0] == '+' || text[0] == '-'))
			json_object_set_new(claims, names[i], json_integer((json_int_t)time(NULL) + atoll(text)));
	}
}

static const char *alg_for(const struct desk_options *o, const char **why)
{
	EVP_PKEY *key;
	const char *alg;

	if (o->alg != NULL) {
		*why = "no such algorithm: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA";
		return jwt_alg_parse(slice_of(o->alg)) != JWT_ALG_UNSUPPORTED ? o->alg : NULL;
	}
	key = jose_read_key(o->key, why);
	if (key == NULL)
		return NULL;
	alg = jose_alg_of(key);
	*why = "is no key to sign tokens with";
	EVP_PKEY_free(key);
	return alg;
}

static int mint(const struct desk_options *o)
{
	const char *why, *alg;
	json_error_t error;
	struct text token;
	json_t *claims;
	char *compact;
	bool ok;

	if (o->key == NULL || o->claims == NULL || o->rest_count > 0)
		return usage();
	alg = alg_for(o, &why);
	if (alg == NULL)
		return fail(o->alg != NULL ? o->alg : o->key, why);
	claims = json_loads(o->claims, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(claims))
		return fail("--claims", claims == NULL ? error.text : "no JSON object");
	resolve_times(claims);
	compact = json_dumps(claims, JSON_COMPACT);
	text_init(&token);
	ok = jose_sign(o->key, alg, o->kid, compact, &token, &why);
	if (ok)
		puts(token.at);
	text_fini(&token);
	free(compact);
	json_decref(claims);
	return ok ? 0 : fail(o->key, why);
}

/* ---- inspect ---- */

/* The word itself, or a line of standard input; without "Bearer ". */
static struct slice token_of(const char *word)
{
	static char line[LINE_BYTES_MAX];
	struct slice text = slice_of(word);

	if (strcmp(word, "-") == 0)
		text = fgets(line, sizeof(line), stdin) != NULL ? slice_of(line) : SLICE("");
	while (text.len > 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == '\r'))
		text.len--;
	text = slice_trim(text);
	return slice_starts_nocase(text, SLICE("bearer ")) ? slice_trim(slice_from(text, 7)) : text;
}

static bool print_part(const char *name, struct slice encoded)
{
	unsigned char *bytes = malloc(BASE64_DECODED_MAX(encoded.len));
	ptrdiff_t len = base64url_decode(encoded, bytes);
	json_t *part = len >= 0 ? json_loadb((char *)bytes, (size_t)len, 0, NULL) : NULL;

	printf("%s ", name);
	if (part != NULL)
		json_dumpf(part, stdout, JSON_INDENT(2));
	else
		printf("is no JSON in base64url");
	putchar('\n');
	json_decref(part);
	free(bytes);
	return part != NULL;
}

static void print_time(const char *name, uint64_t at)
{
	time_t s = (time_t)at, now = time(NULL);
	char text[32];
	struct tm tm;

	if (at == 0 || gmtime_r(&s, &tm) == NULL)
		return;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%s %s, %lld s %s\n", name, text, (long long)(s > now ? s - now : now - s),
	       s > now ? "from now" : "ago");
}

static int inspect(const struct desk_options *o)
{
	struct slice text, rest, header, payload;
	struct token *t = NULL;
	enum jwt_status status;
	bool readable;

	if (o->rest_count != 1)
		return usage();
	text = rest = token_of(o->rest[0]);
	header = slice_cut(&rest, '.');
	payload = slice_cut(&rest, '.');
	readable = print_part("header", header);
	readable = print_part("claims", payload) && readable;
	status = token_parse(text, &t);
	if (status != JWT_OK)
		return fail("token", jwt_status_text(status));
	print_time("issued", t->iat);
	print_time("valid from", t->nbf);
	print_time("expires", t->exp);
	puts("The signature was not checked: sallyctl token verify does.");
	token_unref(&t);
	return readable ? 0 : FAILED_STATUS;
}

/* ---- verify ---- */

/* As large a set as the agent would take from an issuer; NULL: it cannot be read, or is larger. */
static struct jwk_set *read_jwks(const char *path)
{
	char *bytes = malloc(JWKS_DOCUMENT_BYTES_MAX + 1);
	FILE *f = fopen(path, "re");
	struct jwk_set *set = NULL;
	size_t len;

	if (f != NULL && bytes != NULL) {
		len = fread(bytes, 1, JWKS_DOCUMENT_BYTES_MAX + 1, f);
		if (len <= JWKS_DOCUMENT_BYTES_MAX)
			set = jwk_set_parse(slice_make(bytes, len), NULL, NULL);
	}
	if (f != NULL)
		fclose(f);
	free(bytes);
	return set;
}

/* In the order in which the agent asks. */
static enum jwt_status judge(const struct desk_options *o, struct slice text, const struct jwk_set *set,
			     struct token **t, const struct jwk **used)
{
	struct slice issuer = o->issuer != NULL ? slice_of(o->issuer) : NO_SLICE;
	struct slice audience = o->audience != NULL ? slice_of(o->audience) : NO_SLICE;
	enum jwt_status status = token_parse(text, t);

	if (status == JWT_OK)
		status = token_check_issuer(*t, issuer);
	if (status == JWT_OK)
		status = token_check_time(*t, time(NULL));
	if (status == JWT_OK)
		status = token_check_audience(*t, &audience, o->audience != NULL);
	if (status == JWT_OK)
		status = jwk_set_status(set);
	return status == JWT_OK ? token_verify(*t, set, used) : status;
}

static int verify(const struct desk_options *o)
{
	const struct jwk *used = NULL;
	struct token *t = NULL;
	struct jwk_set *set;
	enum jwt_status status;

	if (o->rest_count != 1 || o->jwks == NULL)
		return usage();
	set = read_jwks(o->jwks);
	if (set == NULL)
		return fail(o->jwks, "cannot be read, or is larger than a key set may be (1 MiB)");
	status = judge(o, token_of(o->rest[0]), set, &t, &used);
	if (status == JWT_OK)
		printf("OK: %s, key \"%.*s\", principal %.*s/%.*s\n", jwt_alg_name(t->alg), SLICE_ARG(used->kid),
		       SLICE_ARG(t->iss), SLICE_ARG(t->sub));
	else
		printf("FAILED: %s\n", jwt_status_text(status));
	token_unref(&t);
	jwk_set_unref(&set);
	return status == JWT_OK ? 0 : FAILED_STATUS;
}

/* ---- keys ---- */

static int from_pem(const struct desk_options *o)
{
	const char *why;
	struct text out;
	EVP_PKEY *key;
	int failed = 0;

	if (o->rest_count < 1 || (o->rest_count > 1 && o->kid != NULL))
		return usage();
	text_init(&out);
	text_add(&out, SLICE("{\"keys\":["));
	for (int i = 0; i < o->rest_count && failed == 0; i++) {
		key = jose_read_key(o->rest[i], &why);
		text_add(&out, i > 0 ? SLICE(",") : SLICE(""));
		if (key == NULL || !jose_add_jwk(&out, key, o->kid, o->alg != NULL ? o->alg : jose_alg_of(key), &why))
			failed = fail(o->rest[i], why);
		EVP_PKEY_free(key);
	}
	text_add(&out, SLICE("]}"));
	if (failed == 0)
		puts(out.at);
	text_fini(&out);
	return failed;
}

static const struct {
	const char *first, *second;
	int (*run)(const struct desk_options *o);
} commands[] = {
	{ "token", "mint", mint },
	{ "token", "inspect", inspect },
	{ "token", "verify", verify },
	{ "jwks", "from-pem", from_pem },
};

bool desk_runs(int count, char **words)
{
	if (count > 0 && strcmp(words[0], "token") == 0)
		return true;
	return count > 1 && strcmp(words[0], "jwks") == 0 && strcmp(words[1], "from-pem") == 0;
}

int desk_run(int count, char **words)
{
	struct desk_options o;

	for (size_t i = 0; count > 1 && i < COUNT_OF(commands); i++)
		if (strcmp(words[0], commands[i].first) == 0 && strcmp(words[1], commands[i].second) == 0)
			return parse(count - 1, words + 1, &o) ? commands[i].run(&o) : usage();
	return usage();
}
