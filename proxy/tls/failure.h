/* SPDX-License-Identifier: Apache-2.0
 *
 * failure.h - why a TLS handshake with a client failed, as a counter says it.
 *
 * Thread   any. Blocks never. */
#ifndef SALLYPORT_PROXY_TLS_FAILURE_H
#define SALLYPORT_PROXY_TLS_FAILURE_H

/* X(id, what it counts); each is one of tls_failures. */
#define TLS_FAILURES(X) \
	X(tls_timeouts, "TLS handshakes failed: not complete in time") \
	X(tls_aborted, "TLS handshakes failed: the client left") \
	X(tls_alerts, "TLS handshakes failed: the client sent an alert, such as for our certificate") \
	X(tls_no_version, "TLS handshakes failed: no common version") \
	X(tls_no_cipher, "TLS handshakes failed: no common cipher, group or signature") \
	X(tls_no_certificate, "TLS handshakes failed: the client showed no certificate") \
	X(tls_fail_verify, "TLS handshakes failed: the client's certificate was refused") \
	X(tls_protocol_errors, "TLS handshakes failed: what the client sent is no sound TLS")

enum tls_failure {
#define X(id, text) TLS_FAILURE_##id,
	TLS_FAILURES(X)
#undef X
	TLS_FAILURE_COUNT
};

/* `code` is the first of OpenSSL's error queue; 0: none, the connection ended. */
enum tls_failure tls_failure_of(unsigned long code);

#endif
