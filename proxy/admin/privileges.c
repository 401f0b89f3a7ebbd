/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool keep_one_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	data[0].effective = data[0].permitted = 1u << CAP_NET_BIND_SERVICE;
	return syscall(SYS_capset, &header, data) == 0;
}

static bool fail(char *why, size_t bytes, const char *what)
{
	snprintf(why, bytes, "%s: %s", what, strerror(errno));
	return false;
}

bool privileges_find(struct slice user, struct slice group, struct identity *out, char *why, size_t why_bytes)
{
	char name[64];
	const struct passwd *pw;
	const struct group *gr;

	*out = (struct identity){ .named = user.len > 0 };
	if (!out->named)
		return true;
	snprintf(name, sizeof(name), "%.*s", SLICE_ARG(user));
	pw = getpwnam(name);
	if (pw == NULL) {
		snprintf(why, why_bytes, "Proxy.spec.user: there is no user \"%s\": create it, or leave the field out",
			 name);
		return false;
	}
	out->uid = pw->pw_uid;
	out->gid = pw->pw_gid;
	if (group.len == 0)
		return true;
	snprintf(name, sizeof(name), "%.*s", SLICE_ARG(group));
	gr = getgrnam(name);
	if (gr == NULL) {
		snprintf(why, why_bytes, "Proxy.spec.group: there is no group \"%s\"", name);
		return false;
	}
	out->gid = gr->gr_gid;
	return true;
}

bool privileges_drop(const struct identity *as, char *why, size_t why_bytes)
{
	if (!as->named || (geteuid() != 0 && geteuid() == as->uid))
		return true;
	if (geteuid() != 0) {
		snprintf(why, why_bytes, "Proxy.spec.user: only root can become another user: start as root, or "
			 "leave the field out");
		return false;
	}
	if (prctl(PR_SET_KEEPCAPS, 1) != 0)
		return fail(why, why_bytes, "prctl");
	if (setgroups(0, NULL) != 0)
		return fail(why, why_bytes, "setgroups");
	if (setgid(as->gid) != 0)
		return fail(why, why_bytes, "setgid");
	if (setuid(as->uid) != 0)
		return fail(why, why_bytes, "setuid");
	if (!keep_one_capability())
		return fail(why, why_bytes, "capset");
	if (as->uid != 0 && setuid(0) == 0) {
		snprintf(why, why_bytes, "privileges could be regained after setuid");
		return false;
	}
	prctl(PR_SET_DUMPABLE, 0);
	return true;
}
