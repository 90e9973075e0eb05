#include "CLinux.h"
#include <sched.h>

int ringway_set_affinity(const uint64_t *mask, size_t bytes) { return sched_setaffinity(0, bytes, (const cpu_set_t *)mask); }
int ringway_get_affinity(uint64_t *mask, size_t bytes) { return sched_getaffinity(0, bytes, (cpu_set_t *)mask); }
