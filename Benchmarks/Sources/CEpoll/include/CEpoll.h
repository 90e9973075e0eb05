// What Swift's Glibc lacks: epoll, and a call with a variable number of arguments.
#pragma once
#include <sys/epoll.h>
#include <sys/prctl.h>

static inline int ringway_load_set_timer_slack(unsigned long nanoseconds) { return prctl(PR_SET_TIMERSLACK, nanoseconds); }
