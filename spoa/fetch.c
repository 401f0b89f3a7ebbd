/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.c - see fetch.h. */
#include "spoa/fetch.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/object.h"
#include "sallyport/text.h"
#include "spoa/transfers.h"

#define KIND_FETCHER	KIND('f', 't', 'c', 'r')
#define KIND_FETCH	KIND('f', 't', 'c', 'h')

struct fetcher {
	struct object obj;
	struct transfers *transfers;	/* owned */
	struct fetch *first;		/* all that are under way */
	struct fetch_rules rules;
	struct cidr blocks[FETCH_BLOCKS_MAX];
	char *ca_file;			/* owned */
};

struct fetch {
	struct object obj;
	struct fetcher *fetcher;	/* borrowed */
	struct fetch *next, **link;
	struct transfer transfer;	/* owns its handle */
	fetch_done_fn *done;
	void *arg;
	char *url;			/* owned; where it is now */
	int64_t deadline_ms;
	unsigned redirects;
	size_t header_bytes;
	int64_t max_age_s;		/* of this response; -1: it does not say */
	struct text body;
	const char *refusal;		/* static; why we ended it ourselves */
	const char *bad_address;	/* static; why the last address was not connected to */
	char curl_error[CURL_ERROR_SIZE];
};

/* ---- addresses ---- */

#define V4(...)		{ .v4 = true, .bytes = { __VA_ARGS__ } }
#define V6(...)		{ .bytes = { __VA_ARGS__ } }
#define LOOPBACK	"loopback address"

static const struct {
	struct cidr block;
	const char *why;
} refused[] = {
	{ { V4(0), 8 }, "unspecified address" },
	{ { V4(169, 254), 16 }, "link-local or metadata address" },
	{ { V4(100, 100, 100, 200), 32 }, "metadata address" },
	{ { V4(192, 0, 0, 192), 32 }, "metadata address" },
	{ { V4(224), 3 }, "multicast or reserved address" },
	{ { V4(127), 8 }, LOOPBACK },
	{ { V6(0), 128 }, "unspecified address" },
	{ { V6(0xfe, 0x80), 10 }, "link-local address" },
	{ { V6(0xff), 8 }, "multicast address" },
	{ { V6(0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54), 128 }, "metadata address" },
	{ { V6(0xfd, 0x20, 0, 0xce, [14] = 0x02, [15] = 0x54), 128 }, "metadata address" },
	{ { V6([15] = 1), 128 }, LOOPBACK },
};

/* IPv6 that leads to an IPv4 address beside the mapped form, which is one already: translated by
 * a gateway (RFC 6052), tunnelled (6to4). */
static const struct {
	struct cidr block;
	unsigned offset;
} wrapping[] = {
	{ { V6(0, 0x64, 0xff, 0x9b), 96 }, 12 },
	{ { V6(0x20, 0x02), 16 }, 2 },
};

static const char *refusal_of(const struct ip *ip, const struct fetch_rules *rules)
{
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		if (cidr_contains(&refused[i].block, ip) &&
		    (strcmp(refused[i].why, LOOPBACK) != 0 || rules->refuse_loopback))
			return refused[i].why;
	for (size_t i = 0; i < rules->block_count; i++)
		if (cidr_contains(&rules->blocks[i], ip))
			return "address in a blocked range";
	return NULL;
}

const char *fetch_refusal(const struct sockaddr *address, const struct fetch_rules *rules)
{
	const char *why;
	struct ip ip;

	if (!ip_from_sockaddr(address, &ip))
		return "no internet address";
	why = refusal_of(&ip, rules);
	for (size_t i = 0; why == NULL && i < COUNT_OF(wrapping); i++) {
		struct ip inner = { .v4 = true };

		if (!cidr_contains(&wrapping[i].block, &ip))
			continue;
		memcpy(inner.bytes, ip.bytes + wrapping[i].offset, 4);
		why = refusal_of(&inner, rules);
	}
	return why;
}

/* ---- what libcurl asks while a transfer runs ---- */

/* The last door before a connection: after the name was resolved, for each address tried. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct fetch *x = arg;

	(void)purpose;
	x->bad_address = fetch_refusal(&address->addr, &x->fetcher->rules);
	if (x->bad_address != NULL)
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *at, size_t one, size_t len, void *arg)
{
	struct fetch *x = arg;

	(void)one;
	if (len > x->fetcher->rules.body_bytes_max - x->body.len) {
		x->refusal = "the document is too large";
		return 0;
	}
	text_add(&x->body, slice_make(at, len));
	return len;
}

/* One directive; what is malformed says nothing. */
static void take_directive(struct fetch *x, struct slice text)
{
	struct slice value = slice_trim(text), name = slice_trim(slice_cut(&value, '='));
	uint64_t seconds;

	value = slice_trim(value);
	if (value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"')
		value = slice_make(value.at + 1, value.len - 2);
	if (slice_eq_nocase(name, SLICE("no-store")) || slice_eq_nocase(name, SLICE("no-cache")))
		x->max_age_s = 0;
	else if (slice_eq_nocase(name, SLICE("max-age")) && slice_to_u64(value, &seconds) && x->max_age_s != 0)
		x->max_age_s = seconds < INT32_MAX ? (int64_t)seconds : INT32_MAX;
}

static void take_cache_control(struct fetch *x, struct slice line)
{
	struct slice rest = line, name = slice_cut(&rest, ':');

	if (slice_starts(line, SLICE("HTTP/")))		/* another response begins */
		x->max_age_s = -1;
	if (!slice_eq_nocase(name, SLICE("cache-control")))
		return;
	while (rest.at != NULL)
		take_directive(x, slice_cut(&rest, ','));
}

static size_t on_header(char *at, size_t one, size_t len, void *arg)
{
	struct fetch *x = arg;

	(void)one;
	take_cache_control(x, transfer_header_line(at, len));
	x->header_bytes += len;
	if (x->header_bytes > FETCH_HEADER_BYTES_MAX) {
		x->refusal = "the response's headers are too large";
		return 0;
	}
	return len;
}

/* Adds the operator's CA beside the system's, which libcurl has loaded. */
static CURLcode on_tls_context(CURL *easy, void *ctx, void *arg)
{
	struct fetch *x = arg;

	(void)easy;
	if (SSL_CTX_load_verify_locations(ctx, x->fetcher->ca_file, NULL) == 1)
		return CURLE_OK;
	x->refusal = "the configured CA file cannot be read";
	return CURLE_SSL_CACERT_BADFILE;
}

/* ---- one fetch ---- */

static void fetch_free(struct fetch *x)
{
	if (x->link != NULL) {
		*x->link = x->next;
		if (x->next != NULL)
			x->next->link = x->link;
	}
	transfer_stop(&x->transfer);
	curl_easy_cleanup(x->transfer.easy);
	text_fini(&x->body);
	free(x->url);
	object_wipe(x);
	free(x);
}

static bool is_https(const char *url)
{
	return slice_starts_nocase(slice_of(url), SLICE("https:"));
}

/* Sends the request to x->url, with what is left of the time. */
static void fetch_send(struct fetch *x)
{
	int64_t left_ms = x->deadline_ms - clock_monotonic_ms();

	text_clear(&x->body);
	x->refusal = x->bad_address = NULL;
	x->curl_error[0] = '\0';
	curl_easy_setopt(x->transfer.easy, CURLOPT_URL, x->url);
	curl_easy_setopt(x->transfer.easy, CURLOPT_TIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
	transfer_start(x->fetcher->transfers, &x->transfer);
}

static void fetch_configure(struct fetch *x)
{
	CURL *easy = x->transfer.easy;

	curl_easy_setopt(easy, CURLOPT_USERAGENT, "sallyport-authz/" SALLYPORT_VERSION);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->curl_error);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, x);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
	if (x->fetcher->ca_file != NULL) {
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, x);
	}
}

/* True: under way again. */
static bool follow_redirect(struct fetch *x)
{
	char *target = NULL;

	curl_easy_getinfo(x->transfer.easy, CURLINFO_REDIRECT_URL, &target);
	if (target == NULL)
		return false;
	if (is_https(x->url) && !is_https(target)) {
		x->refusal = "redirected from https to http";
		return false;
	}
	if (x->redirects++ == FETCH_REDIRECTS_MAX) {
		x->refusal = "too many redirects";
		return false;
	}
	free(x->url);
	x->url = strdup(target);
	if (x->url == NULL)
		fatal("out of memory for a redirect");
	fetch_send(x);
	return true;
}

/* NULL: a good answer. */
static const char *error_of(struct fetch *x, CURLcode code, char *text, size_t bytes)
{
	long status = 0;

	if (x->refusal != NULL)
		return x->refusal;
	if (code != CURLE_OK && x->bad_address != NULL) {
		snprintf(text, bytes, "connections to its address are refused: %s", x->bad_address);
		return text;
	}
	if (code != CURLE_OK)
		return x->curl_error[0] != '\0' ? x->curl_error : curl_easy_strerror(code);
	curl_easy_getinfo(x->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status <= 299)
		return NULL;
	snprintf(text, bytes, "status %ld", status);
	return text;
}

static void on_transfer_done(void *owner, CURLcode code)
{
	struct fetch *x = owner;
	fetch_done_fn *done = x->done;
	void *arg = x->arg;
	char text[128], error_text[CURL_ERROR_SIZE];
	struct fetch_reply reply = { .max_age_s = x->max_age_s };
	struct text body;

	if (code == CURLE_OK && x->refusal == NULL && follow_redirect(x))
		return;
	reply.error = error_of(x, code, text, sizeof(text));
	if (reply.error != NULL) {
		snprintf(error_text, sizeof(error_text), "%s", reply.error);
		reply.error = error_text;
	}
	/* Gone before its owner hears of it, who may start the next one. */
	body = x->body;
	text_init(&x->body);
	fetch_free(x);
	reply.body = text_slice(&body);
	done(arg, &reply);
	text_fini(&body);
}

struct fetch *fetch_start(struct fetcher *f, const char *url, int64_t timeout_ms,
			  fetch_done_fn *done, void *arg)
{
	struct fetch *x = calloc(1, sizeof(*x));

	object_must(f, KIND_FETCHER);
	if (x == NULL || (x->url = strdup(url)) == NULL)
		fatal("out of memory for a fetch");
	x->transfer = (struct transfer){ .easy = transfers_easy(), .done = on_transfer_done, .owner = x };
	x->obj.kind = KIND_FETCH;
	x->fetcher = f;
	x->done = done;
	x->arg = arg;
	x->deadline_ms = clock_monotonic_ms() + timeout_ms;
	x->max_age_s = -1;
	text_init(&x->body);
	x->next = f->first;
	x->link = &f->first;
	if (x->next != NULL)
		x->next->link = &x->next;
	f->first = x;
	fetch_configure(x);
	fetch_send(x);
	return x;
}

void fetch_cancel(struct fetch **xp)
{
	struct fetch *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	object_must(x, KIND_FETCH);
	fetch_free(x);
}

/* ---- the fetcher ---- */

struct fetcher *fetcher_create(struct event_base *base, const struct fetch_rules *rules)
{
	struct fetcher *f = calloc(1, sizeof(*f));

	must(rules->block_count <= FETCH_BLOCKS_MAX);
	if (f == NULL)
		fatal("out of memory for the fetcher");
	f->obj.kind = KIND_FETCHER;
	f->transfers = transfers_create(base, FETCH_CONNECTIONS_MAX);
	f->rules = *rules;
	if (rules->block_count > 0)
		memcpy(f->blocks, rules->blocks, rules->block_count * sizeof(f->blocks[0]));
	f->rules.blocks = f->blocks;
	if (rules->ca_file != NULL && (f->ca_file = strdup(rules->ca_file)) == NULL)
		fatal("out of memory for the fetcher");
	return f;
}

void fetcher_free(struct fetcher **fp)
{
	struct fetcher *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	object_must(f, KIND_FETCHER);
	while (f->first != NULL)
		fetch_free(f->first);
	transfers_free(&f->transfers);
	free(f->ca_file);
	object_wipe(f);
	free(f);
}
