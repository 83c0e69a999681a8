/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A fuzzer is this one function in fuzz-NAME.c. Built with -Dfuzz=true it gets its inputs from libFuzzer;
 * otherwise fuzz-main.c gives it the files of the folder NAME, as a regression test. */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
