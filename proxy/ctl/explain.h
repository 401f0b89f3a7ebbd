/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.h - sallyctl explain: of documents at the desk (-f), or of what a running proxy serves. Either
 * way by the same code, which is the proxy's own. */
#ifndef SALLYPORT_CTL_EXPLAIN_H
#define SALLYPORT_CTL_EXPLAIN_H

/* The words that follow `explain`, and options of sallyctl. An exit status. */
int explain_run(int count, char **words);

#endif
