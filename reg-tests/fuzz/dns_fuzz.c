/* SPDX-License-Identifier: Apache-2.0
 *
 * dns_fuzz.c - answers of name servers, and the hosts file. */
#include <sys/mman.h>
#include <sys/socket.h>
#include <stdio.h>
#include <unistd.h>

#include "proxy/upstream/dns_tcp.h"
#include "proxy/upstream/hosts_file.h"
#include "sallyport/log.h"

#define ADDRESSES	8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_hosts(const uint8_t *data, size_t size, int family)
{
	static int fd = -1;
	struct sockaddr_storage out[ADDRESSES];
	char path[64];

	if (fd < 0)
		fd = memfd_create("hosts", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, 0) == 0);
	must(pwrite(fd, data, size, 0) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(hosts_file_find(path, "a.test", family, out, ADDRESSES) <= ADDRESSES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_storage out[ADDRESSES];
	unsigned ttl;
	size_t count;
	int family = size > 0 && data[0] & 1 ? AF_INET6 : AF_INET;

	dns_answer_parse(data, size, family, out, ADDRESSES, &count, &ttl);
	must(count <= ADDRESSES && (count > 0 || ttl == 0));
	read_hosts(data, size, family);
	return 0;
}
