/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/secret_watch.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "sallyport/hash.h"
#include "sallyport/log.h"

#define SETTLE_MS	150	/* writers finish before their files are read */
#define WRITERS_MAX	64u
#define LOOKED_MAX	32u
#define LINKS_MAX	40u	/* on the way to one file, as in the kernel */
#define WATCH_TRIES	8	/* while somebody makes and removes folders */

/* What tells that files of a folder changed, that one is being written, and that something appeared in a
 * folder further up. */
#define CHANGED		(IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_ATTRIB | \
			 IN_MOVE_SELF)
#define WATCHED		(CHANGED | IN_MODIFY)
#define WATCHED_ABOVE	(IN_MOVED_TO | IN_CREATE | IN_MASK_ADD)

/* A file in a watched folder. */
struct spot {
	int wd;
	uint64_t name;		/* hash */
};

struct secret_watch {
	struct material_watch for_material;
	void (*on_change)(void *arg);
	void *arg;
	int fd;				/* -1: no inotify */
	struct event *readable, *settle;	/* owned */
	struct spot writers[WRITERS_MAX];	/* written to and not yet closed */
	struct spot looked[LOOKED_MAX];		/* read since secret_watch_begin() */
	unsigned writer_count, looked_count;
	bool touched;				/* and one of them changed meanwhile */
};

static bool same(struct spot a, struct spot b)
{
	return a.wd == b.wd && a.name == b.name;
}

/* ---- files in writing ---- */

static bool holds(const struct spot *spots, unsigned count, struct spot s)
{
	for (unsigned i = 0; i < count; i++)
		if (same(spots[i], s))
			return true;
	return false;
}

static void add_spot(struct spot *spots, unsigned *count, unsigned most, struct spot s)
{
	if (holds(spots, *count, s))
		return;
	if (*count == most)
		memmove(spots, spots + 1, --*count * sizeof(spots[0]));
	spots[(*count)++] = s;
}

static void drop_writer(struct secret_watch *w, struct spot s)
{
	for (unsigned i = 0; i < w->writer_count; i++)
		if (same(w->writers[i], s)) {
			w->writers[i] = w->writers[--w->writer_count];
			return;
		}
}

/* ---- events ---- */

void secret_watch_again(struct secret_watch *w)
{
	const struct timeval settle = { .tv_usec = SETTLE_MS * 1000 };

	if (!event_pending(w->settle, EV_TIMEOUT, NULL))
		event_add(w->settle, &settle);
}

static void note_event(struct secret_watch *w, const struct inotify_event *e)
{
	const struct spot s = { e->wd, e->len > 0 ? hash_slice(slice_of(e->name)) : 0 };

	if (e->mask & IN_Q_OVERFLOW) {
		w->writer_count = 0;
		w->touched = true;
	}
	if (e->mask & IN_MODIFY)
		add_spot(w->writers, &w->writer_count, WRITERS_MAX, s);
	else if (e->mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE))
		drop_writer(w, s);
	if (holds(w->looked, w->looked_count, s))
		w->touched = true;
	/* A writer at work will close. */
	if (!(e->mask & (IN_MODIFY | IN_IGNORED)))
		secret_watch_again(w);
}

static void drain_events(struct secret_watch *w)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	while (w->fd >= 0 && (n = read(w->fd, events, sizeof(events))) > 0)
		for (const char *at = events; at < events + n;) {
			const struct inotify_event *e = (const struct inotify_event *)at;

			note_event(w, e);
			at += sizeof(*e) + e->len;
		}
}

static void on_watch_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	drain_events(arg);
}

static void on_watch_settled(evutil_socket_t fd, short what, void *arg)
{
	struct secret_watch *w = arg;

	(void)fd, (void)what;
	w->on_change(w->arg);
}

/* ---- folders ---- */

static int watch(struct secret_watch *w, const char *folder, uint32_t events)
{
	return inotify_add_watch(w->fd, folder[0] != '\0' ? folder : "/", events | IN_ONLYDIR);
}

/* The nearest folder above that exists, where `path` has to appear. False: `path` is there by now. */
static bool watch_above(struct secret_watch *w, const char *path)
{
	char above[PATH_MAX], below[PATH_MAX];
	char *slash;

	snprintf(above, sizeof(above), "%s", path);
	do {
		memcpy(below, above, sizeof(below));
		slash = strrchr(above, '/');
		if (slash == NULL)
			return true;
		slash[slash == above ? 1 : 0] = '\0';
	} while (watch(w, above, WATCHED_ABOVE) < 0 && (errno == ENOENT || errno == ENOTDIR) && slash != above);
	return access(below, F_OK) != 0;
}

/* Its number; -1: it is not there, or cannot be watched. */
static int watch_or_await(struct secret_watch *w, const char *folder)
{
	int wd;

	for (int tries = 0; tries < WATCH_TRIES; tries++) {
		wd = watch(w, folder, WATCHED);
		if (wd >= 0)
			return wd;
		if (errno != ENOENT && errno != ENOTDIR) {
			log_warn("tls", "%s: changes there will not be seen without a reload: %s", folder,
				 strerror(errno));
			return -1;
		}
		if (watch_above(w, folder))
			return -1;
	}
	return -1;
}

/* Replaces the link `path` + `end` names by its target, what follows it kept. False: too long. */
static bool follow(char *path, size_t end, const char *target)
{
	char whole[2 * PATH_MAX];
	size_t start = end;

	while (start > 0 && path[start - 1] != '/')
		start--;
	if (snprintf(whole, sizeof(whole), "%.*s%s%s", target[0] == '/' ? 0 : (int)start, path, target,
		     path + end) >= PATH_MAX)
		return false;
	strcpy(path, whole);
	return true;
}

/* Watches each folder in which a link on the way to `path` stands; `path` becomes the way without links,
 * as far as it exists. */
static void watch_links(struct secret_watch *w, char *path)
{
	char target[PATH_MAX];
	unsigned links = 0;
	size_t end = 0;

	while (links <= LINKS_MAX && path[end] != '\0') {
		ssize_t n;
		char after;

		end += strspn(path + end, "/");
		end += strcspn(path + end, "/");
		after = path[end];
		path[end] = '\0';
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0) {
			char *name = strrchr(path, '/');

			*name = '\0';
			watch(w, path, WATCHED_ABOVE);
			*name = '/';
			target[n] = '\0';
		}
		path[end] = after;
		if (n > 0) {
			links++;
			if (!follow(path, end, target))
				return;
			end = 0;
		}
	}
}

static void watch_folder(void *arg, const char *folder)
{
	struct secret_watch *w = arg;
	char path[PATH_MAX];

	if (w->fd < 0 || folder[0] != '/')
		return;
	snprintf(path, sizeof(path), "%s", folder);
	watch_links(w, path);
	watch_or_await(w, folder);
}

static void watch_file(void *arg, const char *file)
{
	struct secret_watch *w = arg;
	char path[PATH_MAX];
	char *name;
	int wd;

	if (w->fd < 0 || file[0] != '/')
		return;
	snprintf(path, sizeof(path), "%s", file);
	watch_links(w, path);
	name = strrchr(path, '/');
	*name++ = '\0';
	wd = watch_or_await(w, path);
	if (wd >= 0)
		add_spot(w->looked, &w->looked_count, LOOKED_MAX,
			 (struct spot){ wd, hash_slice(slice_of(name)) });
}

/* ---- readings ---- */

const struct material_watch *secret_watch_begin(struct secret_watch *w)
{
	w->looked_count = 0;
	w->touched = false;
	return &w->for_material;
}

bool secret_watch_was_whole(struct secret_watch *w)
{
	drain_events(w);
	for (unsigned i = 0; i < w->looked_count; i++)
		if (holds(w->writers, w->writer_count, w->looked[i]))
			return false;
	return !w->touched;
}

struct secret_watch *secret_watch_create(struct event_base *base, void (*on_change)(void *arg), void *arg)
{
	struct secret_watch *w = calloc(1, sizeof(*w));

	must(w != NULL);
	w->for_material = (struct material_watch){ watch_folder, watch_file, w };
	w->on_change = on_change;
	w->arg = arg;
	w->settle = event_new(base, -1, 0, on_watch_settled, w);
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	must(w->settle != NULL);
	if (w->fd < 0) {
		log_warn("tls", "inotify: %s; changed secrets need a reload", strerror(errno));
		return w;
	}
	w->readable = event_new(base, w->fd, EV_READ | EV_PERSIST, on_watch_readable, w);
	must(w->readable != NULL);
	event_add(w->readable, NULL);
	return w;
}

void secret_watch_free(struct secret_watch **wp)
{
	struct secret_watch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	if (w->readable != NULL)
		event_free(w->readable);
	event_free(w->settle);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}
