/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum tls_failure tls_failure_of(unsigned long code)
{
	const int reason = ERR_GET_REASON(code);

	if (code == 0)
		return TLS_FAILURE_tls_aborted;
	if (ERR_GET_LIB(code) != ERR_LIB_SSL)
		return TLS_FAILURE_tls_protocol_errors;
	if (reason > SSL_AD_REASON_OFFSET)
		return TLS_FAILURE_tls_alerts;
	switch (reason) {
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return TLS_FAILURE_tls_aborted;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_UNKNOWN_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_VERSION_TOO_HIGH:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
	case SSL_R_INAPPROPRIATE_FALLBACK:
		return TLS_FAILURE_tls_no_version;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_CIPHERS_AVAILABLE:
	case SSL_R_NO_SHARED_GROUPS:
	case SSL_R_NO_SUITABLE_GROUPS:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
		return TLS_FAILURE_tls_no_cipher;
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return TLS_FAILURE_tls_no_certificate;
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return TLS_FAILURE_tls_fail_verify;
	default:
		return TLS_FAILURE_tls_protocol_errors;
	}
}
