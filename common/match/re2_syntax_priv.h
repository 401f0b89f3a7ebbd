/* SPDX-License-Identifier: Apache-2.0
 *
 * re2_syntax_priv.h - is a pattern within what RE2 accepts? For regex.c alone. */
#ifndef SALLYPORT_RE2_SYNTAX_PRIV_H
#define SALLYPORT_RE2_SYNTAX_PRIV_H

#include "sallyport/regex.h"

/* False: `why` names the construct. What is wrong in both dialects (an unclosed group) is left to the
 * compiler. *utf: the pattern speaks of characters beyond ASCII. */
bool re2_syntax_check(struct slice pattern, bool *utf, struct regex_error *why);

#endif
