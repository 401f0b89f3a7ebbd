/* SPDX-License-Identifier: Apache-2.0
 * The first bytes of a TLS connection, from anybody. */
#include "proxy/net/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_hello hello;

	client_hello_parse(slice_make(data, size), &hello);
	return hello.name[hello.name_len] != '\0' ? -1 : 0;
}
