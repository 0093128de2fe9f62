/*
 * What a fuzz target is: one function, called with bytes any number of times in one process, that crashes
 * (assert) when what it holds for true is not. It keeps no state between calls, reads no file, waits for
 * nothing. Returns 0.
 */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
