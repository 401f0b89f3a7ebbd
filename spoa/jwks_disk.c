/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/jwks_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sallyport/clock.h"
#include "sallyport/log.h"
#include "sallyport/object.h"
#include "sallyport/strict_json.h"
#include "spoa/jwk.h"

#define KIND_JWKS_DISK		KIND('j', 'd', 's', 'k')
#define FILE_BYTES_MAX		(2u * JWKS_DOCUMENT_BYTES_MAX)	/* a document, and what it is of */
#define FILE_PATTERN		"jwks-*.json"
#define CLOCK_SLACK_MS		(5 * 60 * 1000)	/* written in the future by no more than this: now */

struct jwks_disk {
	struct object obj;
	char *path;		/* owned */
	int fd;			/* owned; of the folder */
	int64_t keep_ms;
};

static int64_t wall_ms(void)
{
	return clock_wall_us() / 1000;
}

/* Nobody else may have written it. */
static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static void remove_if_old(const struct jwks_disk *d, const char *name)
{
	struct stat st;

	if (fnmatch(FILE_PATTERN, name, 0) != 0 || fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	if (wall_ms() - (int64_t)st.st_mtime * 1000 > d->keep_ms)
		unlinkat(d->fd, name, 0);
}

static void remove_old_files(const struct jwks_disk *d)
{
	DIR *folder = opendir(d->path);
	const struct dirent *entry;

	while (folder != NULL && (entry = readdir(folder)) != NULL)
		remove_if_old(d, entry->d_name);
	if (folder != NULL)
		closedir(folder);
}

struct jwks_disk *jwks_disk_open(const char *path, int64_t keep_ms)
{
	struct jwks_disk *d;
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		log_error("jwks", "%s: %s: keys are not kept across restarts; make the folder, owned by the "
			  "agent's user", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!is_ours(&st)) {
		log_error("jwks", "%s: others can write to it: keys are not kept there; give it to uid %u with "
			  "mode 0700", path, (unsigned)geteuid());
		close(fd);
		return NULL;
	}
	d = calloc(1, sizeof(*d));
	if (d == NULL || (d->path = strdup(path)) == NULL)
		fatal("out of memory for the folder of keys");
	d->obj.kind = KIND_JWKS_DISK;
	d->fd = fd;
	d->keep_ms = keep_ms;
	remove_old_files(d);
	return d;
}

void jwks_disk_close(struct jwks_disk **dp)
{
	struct jwks_disk *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	object_must(d, KIND_JWKS_DISK);
	close(d->fd);
	free(d->path);
	object_wipe(d);
	free(d);
}

/* Two sources with one name would take turns with the file: what stands in it says whose it is. */
static void file_name(const char *issuer, const char *uri, char out[32])
{
	snprintf(out, 32, "jwks-%016llx.json", (unsigned long long)
		 XXH64(uri, strlen(uri), XXH64(issuer, strlen(issuer), 0)));
}

/* NULL, or why it is not believed. */
static const char *load_file(const struct jwks_disk *d, const char *name, struct text *out)
{
	const char *why = NULL;
	struct stat st;
	int fd = openat(d->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !is_ours(&st)) {
		why = "not a file that only the agent's user can write";
	} else if (st.st_size > (off_t)FILE_BYTES_MAX) {
		why = "too large";
	} else {
		char *bytes = malloc((size_t)st.st_size + 1);

		if (bytes == NULL)
			fatal("out of memory for kept keys");
		n = read(fd, bytes, (size_t)st.st_size);
		if (n == st.st_size)
			text_add(out, slice_make(bytes, (size_t)n));
		else
			why = "cannot be read whole";
		free(bytes);
	}
	close(fd);
	return why;
}

static bool says(const json_t *file, const char *member, const char *value)
{
	struct slice found;

	return json_string_field(file, member, &found) == JSON_FIELD_FOUND &&
	       slice_eq(found, slice_of(value));
}

/* NULL, or why it is not believed. */
static const char *check_file(const struct jwks_disk *d, const json_t *file, const char *issuer,
			      const char *uri, int64_t *age_ms)
{
	const json_t *at = json_object_get(file, "fetchedAtMs");

	if (file == NULL || !json_is_integer(at) || !json_is_object(json_object_get(file, "document")))
		return "not what was written";
	if (!says(file, "issuer", issuer) || !says(file, "jwksUri", uri))
		return "of another source";
	*age_ms = wall_ms() - json_integer_value(at);
	if (*age_ms < -CLOCK_SLACK_MS)
		return "written in the future";
	if (*age_ms > d->keep_ms)
		return "too old";
	*age_ms = *age_ms > 0 ? *age_ms : 0;
	return NULL;
}

bool jwks_disk_read(const struct jwks_disk *d, const char *issuer, const char *uri,
		    struct text *document, int64_t *age_ms)
{
	json_t *file = NULL;
	struct text bytes;
	const char *why;
	char name[32], *json;

	object_must(d, KIND_JWKS_DISK);
	file_name(issuer, uri, name);
	if (faccessat(d->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	text_init(&bytes);
	why = load_file(d, name, &bytes);
	if (why == NULL) {
		file = strict_json_object(text_slice(&bytes), JWKS_JSON_DEPTH_MAX + 1);
		why = check_file(d, file, issuer, uri, age_ms);
	}
	if (why == NULL) {
		json = json_dumps(json_object_get(file, "document"), JSON_COMPACT);
		if (json == NULL)
			fatal("out of memory for kept keys");
		text_add(document, slice_of(json));
		free(json);
	} else {
		log_warn("jwks", "issuer %s: %s/%s is not used: %s", issuer, d->path, name, why);
	}
	json_decref(file);
	text_fini(&bytes);
	return why == NULL;
}

static bool write_all(int fd, struct slice bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.at, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = slice_from(bytes, (size_t)n);
	}
	return true;
}

static bool replace_file(const struct jwks_disk *d, const char *name, struct slice bytes)
{
	char fresh[48];
	bool written;
	int fd;

	snprintf(fresh, sizeof(fresh), ".%s.new", name);
	unlinkat(d->fd, fresh, 0);
	fd = openat(d->fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	written = write_all(fd, bytes);
	written = close(fd) == 0 && written;
	return written && renameat(d->fd, fresh, d->fd, name) == 0;
}

void jwks_disk_write(const struct jwks_disk *d, const char *issuer, const char *uri,
		     struct slice document)
{
	struct text out;
	char name[32];

	object_must(d, KIND_JWKS_DISK);
	text_init(&out);
	text_add(&out, SLICE("{\"issuer\":"));
	text_add_json(&out, slice_of(issuer));
	text_add(&out, SLICE(",\"jwksUri\":"));
	text_add_json(&out, slice_of(uri));
	text_printf(&out, ",\"fetchedAtMs\":%lld,\"document\":", (long long)wall_ms());
	text_add(&out, document);
	text_add(&out, SLICE("}\n"));
	file_name(issuer, uri, name);
	if (!replace_file(d, name, text_slice(&out)))
		log_warn("jwks", "issuer %s: %s/%s: %s: a restart will not know its keys", issuer, d->path,
			 name, strerror(errno));
	text_fini(&out);
}
