/*
 * A strict reader of Prometheus' text format, version 0.0.4: what `promtool check metrics` refuses, this
 * refuses, too, and a little more (a family's HELP before its TYPE before its samples, sums and counts of
 * every histogram).
 */
#ifndef TEST_BASE_EXPOSITION_H
#define TEST_BASE_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* NULL when the text is well-formed, else what is wrong with it: static storage. */
const char *exposition_problem(const char *text);
/* The value of a series as it is written, "name{a=\"b\"}"; -1: there is none. */
double exposition_value(const char *text, const char *series);

#endif
