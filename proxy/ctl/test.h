/* SPDX-License-Identifier: Apache-2.0
 *
 * test.h - sallyctl test: requests of a file and what is expected to become of them, by documents at the
 * desk (-f) or by what a running proxy serves (doc/test.md is its reference). Each is asked as `explain` asks
 * it, by the code that serves. */
#ifndef SALLYPORT_CTL_TEST_H
#define SALLYPORT_CTL_TEST_H

/* The words that follow `test`, and options of sallyctl. An exit status. */
int test_run(int count, char **words);

#endif
