/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_fuzz.c - tokens and key sets from strangers. The first byte picks the door: a compact token
 * as it comes; header and payload as JSON with the signature behind, wrapped into a token; a JWKS
 * document. What parses is also verified, with keys of every kind. */
#include <stdlib.h>

#include "sallyport/base64.h"
#include "sallyport/text.h"
#include "spoa/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char known_keys[] =
	"{\"keys\":["
	"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHm"
	"fHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzj"
	"b_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3"
	"qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuX"
	"poQ\"},"
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
	"{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ"
	"6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79a"
	"jL4Kkd0AZMaZmh9ubmf63e3kyMj2\"},"
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void try_token(struct slice text)
{
	static struct jwk_set *keys;
	const struct slice audience = SLICE("https://shop/");
	struct token *t;

	if (keys == NULL)
		keys = jwk_set_parse(slice_of(known_keys), NULL, NULL);
	if (token_parse(text, &t) != JWT_OK)
		return;
	token_check_issuer(t, SLICE("iss"));
	token_check_time(t, 1700000000);
	token_check_audience(t, &audience, 1);
	/* Nobody can sign for these keys: a token that verifies is a hole. */
	if (token_verify(t, keys, NULL) == JWT_OK)
		abort();
	token_unref(&t);
}

static void add_segment(struct text *t, struct slice part)
{
	char *out = malloc(BASE64_ENCODED_MAX(part.len) + 1);

	text_add(t, slice_make(out, base64url_encode(part, out)));
	free(out);
}

/* Three parts, separated by newlines. */
static void try_parts(struct slice rest)
{
	struct slice header = slice_cut(&rest, '\n'), payload = NO_SLICE;
	struct text t;

	if (rest.at != NULL)
		payload = slice_cut(&rest, '\n');
	text_init(&t);
	add_segment(&t, header);
	text_add_char(&t, '.');
	add_segment(&t, payload);
	text_add_char(&t, '.');
	add_segment(&t, rest.at != NULL ? rest : SLICE(""));
	try_token(text_slice(&t));
	text_fini(&t);
}

static void try_keys(struct slice json)
{
	struct jwk_set *set = jwk_set_parse(json, NULL, NULL);

	for (size_t i = 0; i < jwk_set_count(set); i++)
		for (unsigned alg = 0; alg < JWT_ALG_COUNT; alg++)
			jwk_verify(jwk_set_key(set, i), (enum jwt_alg)alg, json, slice_first(json, 64));
	if ((jwk_set_status(set) == JWT_OK) != (jwk_set_count(set) > 0) || !jwk_set_equal(set, set))
		abort();
	jwk_set_unref(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice rest;

	if (len == 0)
		return 0;
	rest = slice_make(data + 1, len - 1);
	switch (data[0] % 3) {
	case 0:	try_token(rest);	break;
	case 1:	try_parts(rest);	break;
	case 2:	try_keys(rest);		break;
	}
	return 0;
}
