// What Swift's Glibc lacks: epoll, calls with a variable number of arguments, the macros of control messages.
#pragma once
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

static inline int ringway_load_set_timer_slack(unsigned long nanoseconds) { return prctl(PR_SET_TIMERSLACK, nanoseconds); }

/// recv, and the time (CLOCK_REALTIME, in nanoseconds) at which the kernel got the last packet of what it reads from a socket with
/// SO_TIMESTAMPNS; 0 where it doesn't say.
static inline ssize_t ringway_load_receive(int descriptor, void *buffer, size_t size, uint64_t *arrived) {
    struct iovec part = {buffer, size};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(descriptor, &message, 0);
    *arrived = 0;
    if (count < 0) return count;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SO_TIMESTAMPNS) continue;
        struct timespec time;
        memcpy(&time, CMSG_DATA(header), sizeof time);
        *arrived = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    }
    return count;
}
