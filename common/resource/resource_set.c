/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and folders into a resource set (resource.h): which files, in which order, read how. */
#include "sallyport/resource.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/resource/document_priv.h"
#include "sallyport/log.h"
#include "sallyport/text.h"

#define READ_BYTES	65536

/* A file that was read, so that naming it twice does no harm. */
struct seen_file {
	dev_t device;
	ino_t inode;
};

struct reading {
	struct loader loader;
	XXH64_state_t digest;
	struct seen_file *seen;		/* owned */
	size_t seen_count, seen_capacity;
	size_t bytes;
	int copy;			/* borrowed; -1: none */
};

/* A file in a copy; its name and its bytes follow. Both processes run on this host. */
struct copied_file {
	uint32_t name_bytes, bytes;
};

static void file_problem(struct reading *r, enum severity severity, const char *path,
			 const char *what, const char *why)
{
	const char *kept = arena_text(r->loader.set->arena, slice_of(path));

	(void)problem_add(r->loader.problems, severity, (struct where){ kept, 0, 0 }, "%s%s%s", what,
			  why != NULL ? ": " : "", why != NULL ? why : "");
}

static void file_error(struct reading *r, const char *path, const char *what, const char *why)
{
	file_problem(r, SEVERITY_ERROR, path, what, why);
}

/* --- copies -------------------------------------------------------------------------------- */

static bool write_all(int fd, struct slice s)
{
	while (s.len > 0) {
		ssize_t n = write(fd, s.at, s.len);

		if (n < 0 && errno != EINTR)
			return false;
		s = slice_from(s, n > 0 ? (size_t)n : 0);
	}
	return true;
}

static void copy_file(struct reading *r, const char *path, struct slice bytes)
{
	struct slice name = slice_of(path);
	struct copied_file head = { (uint32_t)name.len, (uint32_t)bytes.len };

	if (r->copy < 0)
		return;
	if (!write_all(r->copy, slice_make(&head, sizeof(head))) || !write_all(r->copy, name) ||
	    !write_all(r->copy, bytes))
		file_error(r, path, "cannot be copied for the agent", strerror(errno));
}

/* --- one file ------------------------------------------------------------------------------ */

static void parse_bytes(struct reading *r, const char *file, struct slice bytes)
{
	struct resource_set *set = r->loader.set;
	struct arena *nodes = arena_create(bytes.len > READ_BYTES ? 1 << 20 : READ_BYTES);
	struct node **docs;
	size_t count;

	XXH64_update(&r->digest, bytes.at, bytes.len);
	copy_file(r, file, bytes);
	set->files++;
	(void)yaml_read_apart(nodes, set->arena, arena_text(set->arena, slice_of(file)), bytes,
			      r->loader.problems, &docs, &count);
	for (size_t i = 0; i < count; i++)
		document_decode(&r->loader, docs[i]);
	arena_free(&nodes);
}

/* False: unreadable, or more than a file may have; said already. */
static bool read_all(struct reading *r, const char *path, int fd, struct text *out)
{
	char *buffer = malloc(READ_BYTES);
	ssize_t n = 1;

	if (buffer == NULL)
		fatal("out of memory: reading %s", path);
	while (n > 0 && out->len <= YAML_FILE_BYTES_MAX) {
		do
			n = read(fd, buffer, READ_BYTES);
		while (n < 0 && errno == EINTR);
		if (n > 0)
			text_add(out, slice_make(buffer, (size_t)n));
	}
	free(buffer);
	if (n < 0)
		file_error(r, path, "cannot read", strerror(errno));
	r->bytes += out->len;
	if (n >= 0 && r->bytes > RESOURCE_BYTES_MAX) {
		file_error(r, path, "all files together are larger than 256 MiB", NULL);
		return false;
	}
	return n >= 0;
}

static bool seen_before(struct reading *r, const struct stat *st)
{
	for (size_t i = 0; i < r->seen_count; i++)
		if (r->seen[i].device == st->st_dev && r->seen[i].inode == st->st_ino)
			return true;
	if (r->seen_count == r->seen_capacity) {
		r->seen_capacity = r->seen_capacity > 0 ? 2 * r->seen_capacity : 32;
		r->seen = realloc(r->seen, r->seen_capacity * sizeof(*r->seen));
		if (r->seen == NULL)
			fatal("out of memory: list of files");
	}
	r->seen[r->seen_count++] = (struct seen_file){ st->st_dev, st->st_ino };
	return false;
}

static void load_file(struct reading *r, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct text bytes;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		file_error(r, path, "cannot open", strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	text_init(&bytes);
	if (S_ISREG(st.st_mode) && seen_before(r, &st)) {
		file_problem(r, SEVERITY_NOTE, path, "named twice, read once", NULL);
	} else if (r->seen_count > RESOURCE_FILES_MAX) {
		file_error(r, path, "too many files", NULL);
	} else {
		if (S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH))
			file_problem(r, SEVERITY_WARNING, path, "every user of this host may write "
				     "to this file: chmod o-w", NULL);
		if (read_all(r, path, fd, &bytes))
			parse_bytes(r, path, text_slice(&bytes));
	}
	text_fini(&bytes);
	close(fd);
}

/* --- folders ------------------------------------------------------------------------------- */

static bool has_document_name(const char *name)
{
	struct slice s = slice_of(name);

	return slice_ends(s, SLICE(".yaml")) || slice_ends(s, SLICE(".yml")) ||
	       slice_ends(s, SLICE(".json"));
}

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* A link may point elsewhere in the tree that was named, never out of it (T-112). */
static bool stays_inside(struct reading *r, const char *path, const char *top)
{
	char *target = realpath(path, NULL), *root = realpath(top, NULL);
	bool inside = false;

	if (target == NULL || root == NULL) {
		file_error(r, path, "cannot follow this link", strerror(errno));
	} else {
		size_t len = strlen(root);

		inside = strncmp(target, root, len) == 0 &&
			 (target[len] == '/' || (len > 0 && root[len - 1] == '/'));
		if (!inside)
			file_error(r, path, "this link leads out of the folder that was named; name "
				   "its target itself", target);
	}
	free(target);
	free(root);
	return inside;
}

static void load_folder(struct reading *r, const char *path, const char *top, unsigned depth);

static void load_entry(struct reading *r, const char *path, const char *name, const char *top,
		       unsigned depth)
{
	struct stat st, target;

	if (lstat(path, &st) != 0 || (S_ISLNK(st.st_mode) && stat(path, &target) != 0)) {
		file_error(r, path, "cannot read", strerror(errno));
		return;
	}
	if (S_ISLNK(st.st_mode)) {
		if (S_ISDIR(target.st_mode)) {
			/* What is inside is read where it is; links could also go round in circles. */
			if (stays_inside(r, path, top))
				file_problem(r, SEVERITY_NOTE, path, "link to a folder, not followed", NULL);
			return;
		}
		if (!has_document_name(name) || !stays_inside(r, path, top))
			return;
		st = target;
	}
	if (S_ISDIR(st.st_mode))
		load_folder(r, path, top, depth + 1);
	else if (S_ISREG(st.st_mode) && has_document_name(name))
		load_file(r, path);
}

static void load_folder(struct reading *r, const char *path, const char *top, unsigned depth)
{
	struct dirent **entries;
	int count;

	if (depth > RESOURCE_FOLDER_DEPTH_MAX) {
		file_error(r, path, "folders nested more than 16 deep", NULL);
		return;
	}
	count = scandir(path, &entries, is_visible, by_name);
	if (count < 0) {
		file_error(r, path, "cannot read this folder", strerror(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		struct text inner;

		text_init(&inner);
		text_printf(&inner, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/",
			    entries[i]->d_name);
		load_entry(r, inner.at, entries[i]->d_name, top, depth);
		text_fini(&inner);
		free(entries[i]);
	}
	free(entries);
}

static void load_path(struct reading *r, const char *path)
{
	size_t before = r->loader.set->files;
	struct stat st;

	if (*path == '\0' || stat(path, &st) != 0) {
		file_error(r, path, "cannot open", *path == '\0' ? "no name" : strerror(errno));
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		load_file(r, path);
		return;
	}
	load_folder(r, path, path, 0);
	if (r->loader.set->files == before)
		file_problem(r, SEVERITY_WARNING, path, "no *.yaml, *.yml or *.json in this folder", NULL);
}

/* --- sets ---------------------------------------------------------------------------------- */

static void start(struct reading *r, struct problems *ps)
{
	*r = (struct reading){ .loader = { .problems = ps }, .copy = -1 };
	r->loader.set = calloc(1, sizeof(*r->loader.set));
	if (r->loader.set == NULL)
		fatal("out of memory: resource set");
	r->loader.set->arena = arena_create(65536);
	XXH64_reset(&r->digest, 0);
}

static struct resource_set *finish(struct reading *r)
{
	struct resource_set *set = r->loader.set;
	uint64_t digest = XXH64_digest(&r->digest);

	documents_finish(&r->loader);
	snprintf(set->rev, sizeof(set->rev), "%016llx", (unsigned long long)digest);
	free(r->seen);
	return set;
}

struct resource_set *resource_set_load_and_copy(const char *const *paths, size_t count, int copy,
						struct problems *ps)
{
	struct reading r;

	start(&r, ps);
	r.copy = copy;
	for (size_t i = 0; i < count; i++)
		load_path(&r, paths[i]);
	return finish(&r);
}

struct resource_set *resource_set_load(const char *const *paths, size_t count, struct problems *ps)
{
	return resource_set_load_and_copy(paths, count, -1, ps);
}

/* Cuts the next file off the copy. False: it is broken. */
static bool cut_copied_file(struct slice *rest, struct slice *name, struct slice *bytes)
{
	struct copied_file head;

	if (rest->len < sizeof(head))
		return false;
	memcpy(&head, rest->at, sizeof(head));
	*rest = slice_from(*rest, sizeof(head));
	if (rest->len < head.name_bytes || rest->len - head.name_bytes < head.bytes)
		return false;
	*name = slice_first(*rest, head.name_bytes);
	*bytes = slice_first(slice_from(*rest, head.name_bytes), head.bytes);
	*rest = slice_from(*rest, (size_t)head.name_bytes + head.bytes);
	return true;
}

static void parse_copy(struct reading *r, struct slice rest)
{
	struct slice name, bytes;

	while (rest.len > 0) {
		if (!cut_copied_file(&rest, &name, &bytes)) {
			file_error(r, "copy", "ends in the middle of a file", NULL);
			return;
		}
		parse_bytes(r, arena_text(r->loader.set->arena, name), bytes);
	}
}

struct resource_set *resource_set_load_copy(int copy, struct problems *ps)
{
	struct reading r;
	struct stat st;
	void *at;

	start(&r, ps);
	if (fstat(copy, &st) != 0) {
		file_error(&r, "copy", "cannot read", strerror(errno));
	} else if (st.st_size > 0) {
		at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, copy, 0);
		if (at == MAP_FAILED) {
			file_error(&r, "copy", "cannot read", strerror(errno));
		} else {
			parse_copy(&r, slice_make(at, (size_t)st.st_size));
			munmap(at, (size_t)st.st_size);
		}
	}
	return finish(&r);
}

struct resource_set *resource_set_parse(const char *file, struct slice bytes, struct problems *ps)
{
	struct reading r;

	start(&r, ps);
	parse_bytes(&r, file, bytes);
	return finish(&r);
}

void resource_set_free(struct resource_set **sp)
{
	struct resource_set *set = *sp;

	*sp = NULL;
	if (set == NULL)
		return;
	arena_free(&set->arena);
	free(set);
}
