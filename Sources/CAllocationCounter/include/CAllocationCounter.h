#pragma once
#include <stdbool.h>
#include <stdint.h>

// Heap allocations made by the calling thread since it began. Linking this target replaces the process's malloc family by
// functions that count and then call glibc's own; a program built with a sanitizer keeps the sanitizer's, and reads 0.
uint64_t ringway_allocation_count(void);

// Whether anybody counts: not where a sanitizer has its own malloc, nor without glibc.
bool ringway_allocations_are_counted(void);
