/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks_tls_test.c - keys over TLS: who is believed, and that https never leads to http
 * (spec/hardening.md T-141, T-143). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "reg-tests/tools/jwt_make.h"
#include "reg-tests/unit/issuer.h"
#include "spoa/jwks.h"

#define KEYS	"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"," \
		"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"

/* Answers every connection with the same bytes. */
struct tls_server {
	int fd, port;
	SSL_CTX *ctx;
	pthread_t thread;
	char answer[1024];
};

static struct tls_server server;
static char ca_file[] = "/tmp/jwks_tls_test_XXXXXX";
static struct jwks_store *store;

/* Self-signed, for the address 127.0.0.1 alone. */
static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)"issuer", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	X509_add_ext(x, san, -1);
	X509_EXTENSION_free(san);
	must(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

static void serve_one(int fd)
{
	SSL *ssl = SSL_new(server.ctx);
	char request[4096];

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof(request)) > 0) {
		SSL_write(ssl, server.answer, (int)strlen(server.answer));
		SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	close(fd);
}

static void *serve(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(server.fd, NULL, NULL)) >= 0)
		serve_one(fd);
	return NULL;
}

static int start_server(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	EVP_PKEY *key = make_key("ES256");
	X509 *certificate = make_certificate(key);
	FILE *f;
	int fd;

	(void)state;
	server.ctx = SSL_CTX_new(TLS_server_method());
	must(SSL_CTX_use_certificate(server.ctx, certificate) == 1);
	must(SSL_CTX_use_PrivateKey(server.ctx, key) == 1);
	fd = mkstemp(ca_file);
	f = fdopen(fd, "w");
	must(PEM_write_X509(f, certificate) == 1);
	fclose(f);
	X509_free(certificate);
	EVP_PKEY_free(key);
	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(server.fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	must(listen(server.fd, 16) == 0);
	must(getsockname(server.fd, (struct sockaddr *)&address, &len) == 0);
	server.port = ntohs(address.sin_port);
	must(pthread_create(&server.thread, NULL, serve, NULL) == 0);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	SSL_CTX_free(server.ctx);
	unlink(ca_file);
	return 0;
}

/* One fetch of https://HOST:port/ that was answered so; the status, and the error in `error`. */
static enum jwt_status fetch(const char *host, const char *ca, const char *answer, char *error,
			     size_t bytes)
{
	struct jwks_config config = JWKS_CONFIG_DEFAULT;
	struct jwks_source *source;
	struct jwks_stats stats;
	char url[128];

	config.ca_file = ca;
	config.retry_ms = config.backoff_min_ms = 60000;
	snprintf(server.answer, sizeof(server.answer), "%s", answer);
	snprintf(url, sizeof(url), "https://%s:%d/", host, server.port);
	store = jwks_store_create(&config);
	source = jwks_source_open(store, &(struct jwks_spec){ .issuer = SLICE("i"),
							      .uri = slice_of(url) });
	EVENTUALLY((jwks_stats(source, &stats), stats.status != JWT_PENDING));
	snprintf(error, bytes, "%s", stats.error);
	jwks_source_close(&source);
	jwks_store_free(&store);
	return stats.status;
}

#define GOOD	"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" KEYS

static void test_unknown_certificate_is_refused(void **state)
{
	char error[200];

	(void)state;
	assert_int_equal(fetch("127.0.0.1", NULL, GOOD, error, sizeof(error)), JWKS_FETCH_FAIL);
	assert_non_null(strstr(error, "certificate"));
}

static void test_configured_ca_is_believed(void **state)
{
	char error[200];

	(void)state;
	assert_int_equal(fetch("127.0.0.1", ca_file, GOOD, error, sizeof(error)), JWT_OK);
	assert_string_equal(error, "");
}

static void test_other_name_is_refused(void **state)
{
	char error[200];

	(void)state;
	assert_int_equal(fetch("localhost", ca_file, GOOD, error, sizeof(error)), JWKS_FETCH_FAIL);
	assert_non_null(strstr(error, "SSL"));
}

static void test_missing_ca_file_is_told(void **state)
{
	char error[200];

	(void)state;
	assert_int_equal(fetch("127.0.0.1", "/nonexistent/ca.pem", GOOD, error, sizeof(error)),
			 JWKS_FETCH_FAIL);
	assert_string_equal(error, "the configured CA file cannot be read");
}

static void test_https_never_leads_to_http(void **state)
{
	struct issuer *plain = issuer_start(KEYS);
	char answer[256], error[200];

	(void)state;
	snprintf(answer, sizeof(answer), "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\n"
		 "Content-Length: 0\r\nConnection: close\r\n\r\n", plain->port);
	assert_int_equal(fetch("127.0.0.1", ca_file, answer, error, sizeof(error)), JWKS_FETCH_FAIL);
	assert_string_equal(error, "redirected from https to http");
	assert_int_equal(atomic_load(&plain->hits), 0);
	issuer_stop(plain);
}

static void test_body_that_ends_early_is_no_set(void **state)
{
	char error[200];

	(void)state;
	assert_int_equal(fetch("127.0.0.1", ca_file, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" KEYS,
			       error, sizeof(error)), JWKS_FETCH_FAIL);
	assert_true(error[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_certificate_is_refused),
		cmocka_unit_test(test_configured_ca_is_believed),
		cmocka_unit_test(test_other_name_is_refused),
		cmocka_unit_test(test_missing_ca_file_is_told),
		cmocka_unit_test(test_https_never_leads_to_http),
		cmocka_unit_test(test_body_that_ends_early_is_no_set),
	};

	signal(SIGPIPE, SIG_IGN);	/* for the server; the store's thread takes no signals */
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
