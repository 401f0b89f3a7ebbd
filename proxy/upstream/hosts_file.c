/* SPDX-License-Identifier: Apache-2.0
 *
 * hosts_file.c - looks a name up in the hosts file. */
#include "proxy/upstream/hosts_file.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static bool parse_address(struct slice text, int family, struct sockaddr_storage *out)
{
	char copy[INET6_ADDRSTRLEN];
	void *into = family == AF_INET ? (void *)&((struct sockaddr_in *)out)->sin_addr :
					 (void *)&((struct sockaddr_in6 *)out)->sin6_addr;

	if (text.len == 0 || text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	*out = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	return inet_pton(family, copy, into) == 1;
}

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

static bool known(const struct sockaddr_storage *all, size_t count, const struct sockaddr_storage *one)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(&all[i], one, sizeof(*one)) == 0)
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
		if (parse_address(next_word(&line), family, &a) && line_names(line, wanted) &&
		    !known(out, count, &a))
			out[count++] = a;
	}
	fclose(f);
	return count;
}
