/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_status.h - every way in which a token or its keys can fail, with the text that the client
 * reads (spec/request-authentication.md 7.2). The texts are Istio's, to the letter. */
#ifndef SALLYPORT_SPOA_JWT_STATUS_H
#define SALLYPORT_SPOA_JWT_STATUS_H

#include "sallyport/slice.h"

#define JWT_STATUSES(X) \
	X(JWT_OK, "OK") \
	/* Not an answer yet: keys are on their way (jwks_wait()). Never told to a client. */ \
	X(JWT_PENDING, "Jwks is being fetched") \
	X(JWT_MISSED, "Jwt is missing") \
	X(JWT_NOT_YET_VALID, "Jwt not yet valid") \
	X(JWT_EXPIRED, "Jwt is expired") \
	X(JWT_BAD_FORMAT, \
	  "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections") \
	X(JWT_HEADER_BAD_BASE64, "Jwt header is an invalid Base64url encoded") \
	X(JWT_HEADER_BAD_JSON, "Jwt header is an invalid JSON") \
	X(JWT_HEADER_BAD_ALG, "Jwt header [alg] field is required and must be a string") \
	X(JWT_HEADER_ALG_NOT_SUPPORTED, "Jwt header [alg] is not supported") \
	X(JWT_HEADER_BAD_KID, "Jwt header [kid] field is not a string") \
	X(JWT_PAYLOAD_BAD_BASE64, "Jwt payload is an invalid Base64url encoded") \
	X(JWT_PAYLOAD_BAD_JSON, "Jwt payload is an invalid JSON") \
	X(JWT_ISS_NOT_STRING, "Jwt payload [iss] field is not a string") \
	X(JWT_SUB_NOT_STRING, "Jwt payload [sub] field is not a string") \
	X(JWT_IAT_NOT_INTEGER, "Jwt payload [iat] field is not an integer") \
	X(JWT_IAT_OUT_OF_RANGE, "Jwt payload [iat] field is not a positive 64 bit integer") \
	X(JWT_NBF_NOT_INTEGER, "Jwt payload [nbf] field is not an integer") \
	X(JWT_NBF_OUT_OF_RANGE, "Jwt payload [nbf] field is not a positive 64 bit integer") \
	X(JWT_EXP_NOT_INTEGER, "Jwt payload [exp] field is not an integer") \
	X(JWT_EXP_OUT_OF_RANGE, "Jwt payload [exp] field is not a positive 64 bit integer") \
	X(JWT_JTI_NOT_STRING, "Jwt payload [jti] field is not a string") \
	X(JWT_AUD_NOT_STRING, "Jwt payload [aud] field is not a string or string list") \
	X(JWT_SIGNATURE_BAD_BASE64, "Jwt signature is an invalid Base64url encoded") \
	X(JWT_ED25519_SIGNATURE_WRONG_LENGTH, "Jwt ED25519 signature is wrong length") \
	X(JWT_UNKNOWN_ISSUER, "Jwt issuer is not configured") \
	X(JWT_AUDIENCE_NOT_ALLOWED, "Audiences in Jwt are not allowed")	/* the only 403 */ \
	X(JWT_VERIFICATION_FAIL, "Jwt verification fails") \
	X(JWKS_KID_ALG_MISMATCH, "Jwks doesn't have key to match kid or alg from Jwt") \
	X(JWKS_PARSE_ERROR, "Jwks is an invalid JSON") \
	X(JWKS_NO_KEYS, "Jwks does not have [keys] field") \
	X(JWKS_BAD_KEYS, "[keys] in Jwks is not an array") \
	X(JWKS_NO_VALID_KEYS, "Jwks doesn't have any valid public key") \
	X(JWKS_FETCH_FAIL, "Jwks remote fetch is failed") \
	X(JWKS_RSA_PARSE_ERROR, "Jwks RSA [n] or [e] field is missing or has a parse error") \
	X(JWKS_EC_CREATE_KEY_FAIL, "Jwks EC create key fail") \
	X(JWKS_EC_X_OR_Y_BAD_BASE64, "Jwks EC [x] or [y] field is an invalid Base64.") \
	X(JWKS_EC_PARSE_ERROR, "Jwks EC [x] and [y] fields have a parse error.") \
	X(JWKS_OCT_BAD_BASE64, "Jwks Oct key is an invalid Base64") \
	X(JWKS_OKP_X_BAD_BASE64, "Jwks OKP [x] field is an invalid Base64.") \
	X(JWKS_OKP_X_WRONG_LENGTH, "Jwks OKP [x] field is wrong length.") \
	X(JWKS_MISSING_KTY, "[kty] is missing in [keys]") \
	X(JWKS_BAD_KTY, "[kty] is bad in [keys]") \
	X(JWKS_NOT_IMPLEMENTED_KTY, "[kty] is not supported in [keys]") \
	X(JWKS_RSA_KEY_BAD_ALG, "[alg] is not started with [RS] or [PS] for an RSA key") \
	X(JWKS_RSA_KEY_MISSING_N, "[n] field is missing for a RSA key") \
	X(JWKS_RSA_KEY_BAD_N, "[n] field is not string for a RSA key") \
	X(JWKS_RSA_KEY_MISSING_E, "[e] field is missing for a RSA key") \
	X(JWKS_RSA_KEY_BAD_E, "[e] field is not string for a RSA key") \
	X(JWKS_EC_KEY_BAD_ALG, "[alg] is not started with [ES] for an EC key") \
	X(JWKS_EC_KEY_BAD_CRV, "[crv] field is not string for an EC key") \
	X(JWKS_EC_KEY_ALG_OR_CRV_UNSUPPORTED, \
	  "[crv] or [alg] field is not supported for an EC key") \
	X(JWKS_EC_KEY_ALG_NOT_COMPATIBLE_WITH_CRV, \
	  "[crv] field specified is not compatible with [alg] for an EC key") \
	X(JWKS_EC_KEY_MISSING_X, "[x] field is missing for an EC key") \
	X(JWKS_EC_KEY_BAD_X, "[x] field is not string for an EC key") \
	X(JWKS_EC_KEY_MISSING_Y, "[y] field is missing for an EC key") \
	X(JWKS_EC_KEY_BAD_Y, "[y] field is not string for an EC key") \
	X(JWKS_OKP_KEY_BAD_ALG, "[alg] is not [EdDSA] for an OKP key") \
	X(JWKS_OKP_KEY_MISSING_CRV, "[crv] field is missing for an OKP key") \
	X(JWKS_OKP_KEY_BAD_CRV, "[crv] field is not string for an OKP key") \
	X(JWKS_OKP_KEY_CRV_UNSUPPORTED, "[crv] field is not supported for an OKP key") \
	X(JWKS_OKP_KEY_MISSING_X, "[x] field is missing for an OKP key") \
	X(JWKS_OKP_KEY_BAD_X, "[x] field is not string for an OKP key") \
	/* Symmetric keys, PEM sets and several tokens at a time are refused by other names here; \
	 * these stand in the table so that it is whole. */ \
	X(JWKS_HMAC_KEY_BAD_ALG, "[alg] does not start with [HS] for an HMAC key") \
	X(JWKS_HMAC_KEY_MISSING_K, "[k] field is missing for an HMAC key") \
	X(JWKS_HMAC_KEY_BAD_K, "[k] field is not string for an HMAC key") \
	X(JWKS_X509_PARSE_ERROR, "X509 parse pubkey fails") \
	X(JWKS_X509_BIO_WRITE_ERROR, "X509 parse pubkey internal fails: memory allocation") \
	X(JWKS_X509_GET_PUBKEY_ERROR, "X509 parse pubkey internal fails: get pubkey") \
	X(JWKS_BIO_ALLOC_ERROR, "Failed to create BIO due to memory allocation failure") \
	X(JWKS_PEM_NOT_IMPLEMENTED_KTY, "PEM Key type is not supported") \
	X(JWKS_PEM_PARSE_ERROR, "PEM pubkey parse fails") \
	X(JWKS_PEM_GET_RAW_ED25519_ERROR, "PEM failed to get raw ED25519 key") \
	X(JWT_MULTIPLE_TOKENS, "Found multiple Jwt tokens")

#define JWT_STATUS_AS_ENUM(name, text)	name,
enum jwt_status { JWT_STATUSES(JWT_STATUS_AS_ENUM) JWT_STATUS_COUNT };
#undef JWT_STATUS_AS_ENUM

/* What the client reads. Static. */
const char *jwt_status_text(enum jwt_status status);
/* 401, or 403 for an audience; 200 for JWT_OK. */
unsigned jwt_status_code(enum jwt_status status);

#endif
