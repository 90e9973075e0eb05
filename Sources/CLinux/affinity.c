#include "CLinux.h"
#include <sched.h>

int ringway_set_affinity(const uint64_t *mask, size_t bytes) { return sched_setaffinity(0, bytes, (const cpu_set_t *)mask); }
int ringway_get_affinity(uint64_t *mask, size_t bytes) { return sched_getaffinity(0, bytes, (cpu_set_t *)mask); }

_Static_assert(sizeof(struct ringway_message) == sizeof(struct mmsghdr), "struct mmsghdr has another shape");

int ringway_receive_messages(int descriptor, struct ringway_message *messages, unsigned count, int flags) {
    return recvmmsg(descriptor, (struct mmsghdr *)messages, count, flags, NULL);
}

int ringway_send_messages(int descriptor, struct ringway_message *messages, unsigned count, int flags) {
    return sendmmsg(descriptor, (struct mmsghdr *)messages, count, flags);
}
