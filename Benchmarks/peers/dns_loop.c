// The bare loop that Ringway's answers of DNS are held against: one thread; poll, recvmmsg and sendmmsg on 127.0.0.1:PORT. Every question
// for an address (A) is told the same one, any other nothing: no names, no look-up, no EDNS, no limits, no counters.
// cc -O2 dns_loop.c -o dns_loop && ./dns_loop PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, BYTES = 512, HEADER = 12, RECEIVE_BYTES = 4 << 20 };

static unsigned char bytes[BATCH][BYTES];
static struct sockaddr_in clients[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

// The answer's length, in place of the question; 0 where there is none.
static size_t answer(unsigned char *message, size_t length) {
    static const unsigned char record[] = {0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 96, 1, 2};
    if (length < HEADER + 5 || length + sizeof record > BYTES) return 0;
    int is_address = message[length - 3] == 1;
    message[2] |= 0x84;
    message[7] = is_address;
    if (!is_address) return length;
    memcpy(message + length, record, sizeof record);
    return length + sizeof record;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    int listener = socket(AF_INET, SOCK_DGRAM, 0), size = RECEIVE_BYTES, probe = IP_PMTUDISC_PROBE;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(listener, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("bind");
        return 1;
    }
    for (;;) {
        struct pollfd readiness = {.fd = listener, .events = POLLIN};
        poll(&readiness, 1, -1);
        for (int index = 0; index < BATCH; index++) {
            vectors[index] = (struct iovec){bytes[index], BYTES};
            messages[index].msg_hdr = (struct msghdr){
                .msg_name = &clients[index], .msg_namelen = sizeof clients[index], .msg_iov = &vectors[index], .msg_iovlen = 1};
        }
        int taken = recvmmsg(listener, messages, BATCH, MSG_DONTWAIT, NULL), answered = 0;
        for (int index = 0; index < taken; index++) {
            size_t length = answer(bytes[index], messages[index].msg_len);
            if (length == 0) continue;
            vectors[index].iov_len = length;
            messages[answered++].msg_hdr = messages[index].msg_hdr;
        }
        if (answered > 0) sendmmsg(listener, messages, answered, 0);
    }
}
