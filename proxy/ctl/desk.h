/* SPDX-License-Identifier: Apache-2.0
 *
 * desk.h - what sallyctl does without a proxy: tokens and keys at the desk.
 *
 *     sallyctl token mint --key PEM --claims JSON [--alg ALG] [--kid KID]
 *     sallyctl token inspect TOKEN
 *     sallyctl token verify --jwks FILE [--issuer ISSUER] [--audience AUDIENCE] TOKEN
 *     sallyctl jwks from-pem FILE ... [--kid KID] [--alg ALG]
 *
 * A TOKEN of `-` is read from standard input. */
#ifndef SALLYPORT_CTL_DESK_H
#define SALLYPORT_CTL_DESK_H

#include <stdbool.h>

/* `words`: the command and what follows it. False: it is none of these. */
bool desk_runs(int count, char **words);
/* An exit status, as sallyctl has them. */
int desk_run(int count, char **words);

#endif
