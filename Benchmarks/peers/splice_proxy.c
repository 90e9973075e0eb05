// The bare splice loop that Ringway's bulk path is held against: one thread, splice(2) both ways on epoll readiness through pipes
// of 1 MB, 127.0.0.1:PORT -> 127.0.0.1:BACKEND. No timeouts, no limits, no counters, no error handling worth the name.
// cc -O2 splice_proxy.c -o splice_proxy && ./splice_proxy PORT BACKEND
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIPE_BYTES = 1 << 20 };

struct way {
    int from, to, pipe[2];
    size_t held;
    int ended;
};
struct flow {
    struct way ways[2];
    int closed;
};

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// Until both sockets say EAGAIN, as edge-triggered readiness wants it. 0 when the flow is to be closed.
static int pump(struct way *way) {
    for (;;) {
        if (!way->held && !way->ended) {
            ssize_t got = splice(way->from, NULL, way->pipe[1], NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (got < 0) return errno == EAGAIN;
            if (got == 0) {
                way->ended = 1;
                shutdown(way->to, SHUT_WR);
            }
            way->held = (size_t)got;
        }
        if (!way->held) return 1;
        ssize_t put = splice(way->pipe[0], NULL, way->to, NULL, way->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (put < 0) return errno == EAGAIN;
        way->held -= (size_t)put;
    }
}

static void add(int set, int descriptor, struct flow *flow) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = flow};
    epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event);
}

static void begin(int set, int client, int backend) {
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = loopback(backend);
    if (connect(server, (struct sockaddr *)&address, sizeof address) != 0) {
        close(client);
        close(server);
        return;
    }
    struct flow *flow = calloc(1, sizeof *flow);
    int ends[2] = {client, server};
    for (int side = 0; side < 2; side++) {
        struct way *way = &flow->ways[side];
        way->from = ends[side];
        way->to = ends[1 - side];
        if (pipe2(way->pipe, O_NONBLOCK | O_CLOEXEC) != 0 || fcntl(way->pipe[1], F_SETPIPE_SZ, PIPE_BYTES) < 0) exit(1);
        fcntl(ends[side], F_SETFL, O_NONBLOCK);
        setsockopt(ends[side], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    add(set, client, flow);
    add(set, server, flow);
}

static void end(struct flow *flow) {
    for (int side = 0; side < 2; side++) {
        close(flow->ways[side].from);
        close(flow->ways[side].pipe[0]);
        close(flow->ways[side].pipe[1]);
    }
    flow->closed = 1;
}

int main(int count, char **words) {
    if (count != 3) return 64;
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, set = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in address = loopback(atoi(words[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) {
        perror("listen");
        return 1;
    }
    struct epoll_event accepting = {.events = EPOLLIN};
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        struct epoll_event events[64];
        struct flow *ended[64];
        int ready = epoll_wait(set, events, 64, -1), ends = 0;
        for (int index = 0; index < ready; index++) {
            struct flow *flow = events[index].data.ptr;
            if (!flow) {
                int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (client >= 0) begin(set, client, atoi(words[2]));
            } else if (!flow->closed) {
                struct way *ways = flow->ways;
                int lives = pump(&ways[0]) && pump(&ways[1]);
                if (!lives || (ways[0].ended && ways[1].ended && !ways[0].held && !ways[1].held)) {
                    end(flow);
                    ended[ends++] = flow;
                }
            }
        }
        // Not before: both sockets of a flow may be among these events.
        while (ends) free(ended[--ends]);
    }
}
