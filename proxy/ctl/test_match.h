/* SPDX-License-Identifier: Apache-2.0
 *
 * test_match.h - is what came what was expected?
 *
 * An expectation names members of the JSON that `sallyctl explain -o json` prints (doc/explain.md), to any
 * depth; what it does not name may be anything.
 *
 *     a value          equal; of an object its `name` or `domain`
 *     null             null
 *     {prefix: x}      of a text: exact, prefix or regex, as Istio's StringMatch
 *     a mapping        each of these members; of `headers`, the values by name (null: there is none)
 *     a list           as many items, in this order */
#ifndef SALLYPORT_CTL_TEST_MATCH_H
#define SALLYPORT_CTL_TEST_MATCH_H

#include <jansson.h>

#include "sallyport/node.h"
#include "sallyport/text.h"

/* Adds a line to `differences` for each. */
void test_match(const struct node *expected, const json_t *found, struct text *differences);

#endif
