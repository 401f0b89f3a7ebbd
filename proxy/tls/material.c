/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/material.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/resource/proxy_settings.h"
#include "sallyport/resource/secret.h"

#define PEM_FILE_MAX	(1u << 20)	/* of a certificate chain or key */
#define KEY_MODE_REFUSED	0007	/* readable by everyone: warned of */

/* What is looked for, in this order (11.2). */
static const struct { const char *certificate, *key; } pairs[] = {
	{ "cert", "key" }, { "tls.crt", "tls.key" },
};

struct credential {
	struct slice ns, name;		/* ns absent: the proxy's, then the Gateway's */
};

static struct credential parse_credential(struct slice text)
{
	static const char *const schemes[] = { "kubernetes://", "kubernetes-gateway://", "sds://" };
	struct credential c = { NO_SLICE, text };
	ptrdiff_t slash;

	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (slice_starts(text, slice_of(schemes[i])))
			c.name = slice_from(text, strlen(schemes[i]));
	slash = slice_find(c.name, '/');
	if (slash > 0) {
		c.ns = slice_first(c.name, (size_t)slash);
		c.name = slice_from(c.name, (size_t)slash + 1);
	}
	return c;
}

void credential_text(const struct tls_settings *t, char *out, size_t bytes)
{
	struct slice name = t->credential_name;

	if (name.at == NULL)
		snprintf(out, bytes, "file:%.*s", SLICE_ARG(t->certificate_path));
	else if (strstr(name.at, "://") != NULL)
		snprintf(out, bytes, "%.*s", SLICE_ARG(name));
	else
		snprintf(out, bytes, "kubernetes://%.*s", SLICE_ARG(name));
}

void material_fini(struct material *m)
{
	if (m->key.at != NULL)
		OPENSSL_cleanse(m->key.at, m->key.capacity);
	text_fini(&m->key);
	text_fini(&m->certificate);
}

/* False with errno; ENOENT is the usual one. */
static bool read_file(const char *path, struct text *out)
{
	char buffer[8192];
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	text_clear(out);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)PEM_FILE_MAX) {
		close(fd);
		errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
		return false;
	}
	while ((n = read(fd, buffer, sizeof(buffer))) > 0 && out->len <= PEM_FILE_MAX)
		text_add(out, slice_make(buffer, (size_t)n));
	OPENSSL_cleanse(buffer, sizeof(buffer));
	close(fd);
	return n == 0 && out->len > 0;
}

static void warn_of_mode(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & KEY_MODE_REFUSED) != 0)
		log_warn("tls", "%s: every user of this host can read the key: chmod 640 it", path);
}

/* The folder of a file, and where it really lies if it is a link. */
static void watch_folder_of(const char *path, void (*watch)(void *arg, const char *folder), void *arg)
{
	char real[PATH_MAX], folder[PATH_MAX];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash != NULL) {
		*slash = '\0';
		watch(arg, folder[0] != '\0' ? folder : "/");
	}
	if (realpath(path, real) != NULL && strcmp(real, path) != 0) {
		slash = strrchr(real, '/');
		*slash = '\0';
		watch(arg, real);
	}
}

static bool from_documents(const struct snapshot *s, struct slice ns, struct slice name, struct material *out)
{
	for (size_t i = 0; i < s->resources->secrets.count; i++) {
		const struct secret *secret = s->resources->secrets.items[i];

		if (!slice_eq(secret->meta->ns, ns) || !slice_eq(secret->meta->name, name))
			continue;
		snprintf(out->source, sizeof(out->source), "Secret %.*s/%.*s", SLICE_ARG(ns), SLICE_ARG(name));
		for (size_t p = 0; p < COUNT_OF(pairs); p++) {
			struct slice certificate = secret_value(secret, pairs[p].certificate);
			struct slice key = secret_value(secret, pairs[p].key);

			if (certificate.len == 0 || key.len == 0)
				continue;
			text_add(&out->certificate, certificate);
			text_add(&out->key, key);
			return true;
		}
		snprintf(out->problem, sizeof(out->problem),
			 "holds neither tls.crt and tls.key nor cert and key");
		return false;
	}
	return false;
}

static bool from_folder(const char *folder, struct material *out,
			void (*watch)(void *arg, const char *folder), void *arg)
{
	char path[PATH_MAX];

	watch(arg, folder);
	for (size_t p = 0; p < COUNT_OF(pairs); p++) {
		snprintf(path, sizeof(path), "%s/%s", folder, pairs[p].certificate);
		if (!read_file(path, &out->certificate))
			continue;
		watch_folder_of(path, watch, arg);
		snprintf(path, sizeof(path), "%s/%s", folder, pairs[p].key);
		if (!read_file(path, &out->key))
			continue;
		watch_folder_of(path, watch, arg);
		warn_of_mode(path);
		snprintf(out->source, sizeof(out->source), "%s", folder);
		return true;
	}
	return false;
}

static bool from_secrets(const struct snapshot *s, struct slice ns, struct slice name, struct material *out,
			 void (*watch)(void *arg, const char *folder), void *arg)
{
	struct slice root = s->settings->secrets.directory;
	char folder[PATH_MAX];

	if (from_documents(s, ns, name, out))
		return true;
	if (out->problem[0] != '\0' || root.len == 0)
		return false;
	snprintf(folder, sizeof(folder), "%.*s/%.*s/%.*s", SLICE_ARG(root), SLICE_ARG(ns), SLICE_ARG(name));
	return strstr(folder, "/../") == NULL && from_folder(folder, out, watch, arg);
}

static bool read_credential(const struct snapshot *s, const struct tls_settings *t, struct material *out,
			    void (*watch)(void *arg, const char *folder), void *arg)
{
	struct credential c = parse_credential(t->credential_name);
	struct slice ns = c.ns.at != NULL ? c.ns : s->settings->meta->ns;
	char folder[PATH_MAX];

	if (from_secrets(s, ns, c.name, out, watch, arg))
		return true;
	if (c.ns.at == NULL && out->problem[0] == '\0' && !slice_eq(t->gateway_ns, ns) &&
	    from_secrets(s, t->gateway_ns, c.name, out, watch, arg))
		return true;
	if (out->problem[0] == '\0' && s->settings->secrets.directory.len > 0) {
		snprintf(folder, sizeof(folder), "%.*s/%.*s", SLICE_ARG(s->settings->secrets.directory),
			 SLICE_ARG(c.name));
		if (strstr(folder, "/../") == NULL && from_folder(folder, out, watch, arg))
			return true;
	}
	if (out->problem[0] == '\0')
		snprintf(out->problem, sizeof(out->problem),
			 "no Secret %.*s/%.*s, and no %.*s/%.*s/%.*s/tls.crt with tls.key",
			 SLICE_ARG(ns), SLICE_ARG(c.name), SLICE_ARG(s->settings->secrets.directory),
			 SLICE_ARG(ns), SLICE_ARG(c.name));
	return false;
}

static bool read_paths(const struct tls_settings *t, struct material *out,
		       void (*watch)(void *arg, const char *folder), void *arg)
{
	watch_folder_of(t->certificate_path.at, watch, arg);
	watch_folder_of(t->key_path.at, watch, arg);
	snprintf(out->source, sizeof(out->source), "%s", t->certificate_path.at);
	if (!read_file(t->certificate_path.at, &out->certificate)) {
		snprintf(out->problem, sizeof(out->problem), "%.200s: %s", t->certificate_path.at, strerror(errno));
		return false;
	}
	if (!read_file(t->key_path.at, &out->key)) {
		snprintf(out->problem, sizeof(out->problem), "%.200s: %s", t->key_path.at, strerror(errno));
		return false;
	}
	warn_of_mode(t->key_path.at);
	return true;
}

bool material_read(const struct snapshot *s, const struct tls_settings *t, struct material *out,
		   void (*watch)(void *arg, const char *folder), void *arg)
{
	*out = (struct material){ 0 };
	if (t->credential_name.len > 0)
		return read_credential(s, t, out, watch, arg);
	if (t->certificate_path.len > 0 && t->key_path.len > 0)
		return read_paths(t, out, watch, arg);
	snprintf(out->problem, sizeof(out->problem), "the server names no certificate");
	return false;
}
