/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each fuzzer provides: libFuzzer's entry point. Corpora: selftests/fuzz/corpus/PARSER/. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
