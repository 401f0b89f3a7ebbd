/* SPDX-License-Identifier: Apache-2.0
 *
 * hosts_file.c - looks a name up in the hosts file. */
#include "proxy/upstream/hosts_file.h"

#include <stdio.h>

#include "proxy/net/socket.h"
#include "sallyport/cidr.h"

/* The next word of the line; absent: none is left. */
static struct slice next_word(struct slice *rest)
{
	size_t start = 0, end;

	while (start < rest->len && strchr(" \t\r\n", rest->at[start]) != NULL)
		start++;
	for (end = start; end < rest->len && strchr(" \t\r\n", rest->at[end]) == NULL; )
		end++;
	if (start == end)
		return NO_SLICE;
	*rest = (struct slice){ rest->at + end, rest->len - end };
	return slice_make(rest->at - (end - start), end - start);
}

static struct slice without_dot(struct slice s)
{
	return s.len > 0 && s.at[s.len - 1] == '.' ? slice_first(s, s.len - 1) : s;
}

static bool line_names(struct slice line, struct slice name)
{
	struct slice word;

	while ((word = next_word(&line)).at != NULL)
		if (slice_eq_nocase(without_dot(word), name))
			return true;
	return false;
}

size_t hosts_file_find(const char *file, const char *name, int family, struct sockaddr_storage *out,
		       size_t max)
{
	struct slice wanted = without_dot(slice_of(name));
	char text[HOSTS_LINE_MAX];
	struct sockaddr_storage a;
	bool inside = false;		/* of a line that did not fit */
	size_t count = 0;
	FILE *f = fopen(file, "re");

	if (f == NULL)
		return 0;
	while (count < max && fgets(text, sizeof(text), f) != NULL) {
		struct slice rest = slice_of(text), line;
		bool whole = slice_find(rest, '\n') >= 0 || feof(f);
		bool skip = inside || !whole;

		inside = !whole;
		if (skip)
			continue;
		line = slice_cut(&rest, '#');
		ip_sockaddr(next_word(&line), 0, &a);
		if (a.ss_family == family && line_names(line, wanted) && !address_is_among(&a, out, count))
			out[count++] = a;
	}
	fclose(f);
	return count;
}
