// The load of `Scripts/bench udp`: backends that answer, and clients that know of each datagram whether it arrived. Each client is one
// thread, ends in time whatever the target does, and prints one line of JSON.
//
//   datagrams echo PORT...                            answers everything with itself, on each port, until it is ended
//   datagrams closed PORT SOCKETS SECONDS             a request of 64 B on each socket, the next one after its answer
//   datagrams rate PORT SOCKETS SECONDS RATE          requests due at fixed times, each on the next socket, whatever is answered
//   datagrams bulk PORT BACKEND SECONDS joined|single [apart]
//       1,200 B each to PORT, and takes what arrives on BACKEND; "joined": a send of 54 (UDP_SEGMENT); "apart": taken without UDP_GRO
//
// cc -O2 datagrams.c -o datagrams; everything is on 127.0.0.1.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64, EVENTS = 256, SOCKETS_MAX = 4096, REQUEST = 64,
    SEGMENT = 1200, JOINED = 54,     // 54 of 1,200 B are what one UDP datagram can be, near enough
    IN_FLIGHT_MAX = 16 * JOINED,     // about 1 MB
    HELD_BYTES = 2304,               // what the kernel counts for a datagram of 1,200 B
    REMEMBERED = 1 << 14,            // the last datagrams, to know one that comes twice
    BUFFER_BYTES = 4 << 20, BIGGEST = 65536, ANSWERS_MAX = 100000000
};
// Of this run: what is still on its way from an earlier one is foreign.
static uint64_t mark;

// A request that has found no answer for so long is lost: far above what a busy machine delays it by.
static const double lost_after = 1;
// How long the last answers are waited for.
static const double grace = 1;
// Requests are due at multiples of this time, those of one multiple together: a wake-up costs more than a request. No divisor of the
// kernel's tick: it would look at who has the CPU always at the same moment of ours, and see too much or too little.
static const double gather = 197e-6;

struct request { uint64_t mark, number, rest[REQUEST / 8 - 2]; };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void need(int holds, const char *what) {
    if (holds) return;
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_socket(void) {
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), bytes = BUFFER_BYTES;
    need(descriptor >= 0, "socket");
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return descriptor;
}

static int open_at(int port) {
    struct sockaddr_in address = loopback(port);
    int descriptor = open_socket();
    need(bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    return descriptor;
}

static int open_to(int port) {
    struct sockaddr_in address = loopback(port);
    int descriptor = open_socket();
    need(connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    return descriptor;
}

// MARK: Backends

static void echo(int count, char **ports) {
    static char places[BATCH][BIGGEST];
    static struct sockaddr_in names[BATCH];
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    struct epoll_event events[BATCH];
    int set = epoll_create1(EPOLL_CLOEXEC);
    for (int index = 0; index < count; index++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = open_at(atoi(ports[index]))};
        epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
    }
    for (;;) {
        int ready = epoll_wait(set, events, BATCH, -1);
        for (int event = 0; event < ready; event++) {
            for (int index = 0; index < BATCH; index++) {
                vectors[index] = (struct iovec){places[index], BIGGEST};
                messages[index].msg_hdr = (struct msghdr){
                    .msg_name = &names[index], .msg_namelen = sizeof names[index], .msg_iov = &vectors[index], .msg_iovlen = 1};
            }
            int got = recvmmsg(events[event].data.fd, messages, BATCH, MSG_DONTWAIT, NULL);
            for (int index = 0; index < got; index++) vectors[index].iov_len = messages[index].msg_len;
            // One that can't be sent is passed over, as a network would.
            for (int sent = 0; sent < got;) {
                int result = sendmmsg(events[event].data.fd, messages + sent, (unsigned)(got - sent), MSG_DONTWAIT);
                sent += result > 0 ? result : 1;
            }
        }
    }
}

// MARK: Requests

struct counts { long answered, lost, twice, foreign, refused, unsent; };

static void ask(int descriptor, uint64_t number, struct counts *counts) {
    struct request request = {.mark = mark, .number = number};
    for (size_t index = 0; index < sizeof request.rest / 8; index++) request.rest[index] = number;
    if (send(descriptor, &request, sizeof request, MSG_DONTWAIT) == sizeof request) return;
    if (errno == ECONNREFUSED) counts->refused++;
    else counts->unsent++;
}

// The next answer that has come: 1 with its number, 0 where there is none.
static int answer(int descriptor, uint64_t *number, struct counts *counts) {
    for (;;) {
        struct request request;
        ssize_t got = recv(descriptor, &request, sizeof request, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0 && errno != ECONNREFUSED) return 0;
        if (got < 0) {
            counts->refused++;
            continue;
        }
        if (got == sizeof request && request.mark == mark && request.rest[0] == request.number &&
            request.rest[sizeof request.rest / 8 - 1] == request.number) {
            *number = request.number;
            return 1;
        }
        counts->foreign++;
    }
}

static int watch(int *descriptors, int sockets, int port) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    for (int index = 0; index < sockets; index++) {
        descriptors[index] = open_to(port);
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = (unsigned)index};
        epoll_ctl(set, EPOLL_CTL_ADD, descriptors[index], &event);
    }
    return set;
}

static void print_counts(struct counts *counts) {
    printf("\"answered\": %ld, \"lost\": %ld, \"twice\": %ld, \"foreign\": %ld, \"refused\": %ld, \"unsent\": %ld", counts->answered,
           counts->lost, counts->twice, counts->foreign, counts->refused, counts->unsent);
}

static void closed_loop(int port, int sockets, double seconds) {
    static int descriptors[SOCKETS_MAX];
    static uint64_t numbers[SOCKETS_MAX];
    static double asked[SOCKETS_MAX];
    struct counts counts = {0};
    struct epoll_event events[EVENTS];
    int set = watch(descriptors, sockets, port), waited_for = sockets;
    double began = now(), time = began, looked = began, ended = 0;
    // A number says which socket asked, and how often it had: an answer to another's request is foreign.
    for (int index = 0; index < sockets; index++) {
        numbers[index] = (uint64_t)index << 40;
        asked[index] = time;
        ask(descriptors[index], numbers[index], &counts);
    }
    while (waited_for > 0) {
        int ready = epoll_wait(set, events, EVENTS, 50);
        time = now();
        if (!ended && time >= began + seconds) ended = time;
        for (int event = 0; event < ready; event++) {
            int index = (int)events[event].data.u32;
            uint64_t number;
            while (answer(descriptors[index], &number, &counts)) {
                if (number != numbers[index] || asked[index] == 0) {
                    counts.twice += number >> 40 == (uint64_t)index;
                    counts.foreign += number >> 40 != (uint64_t)index;
                    continue;
                }
                counts.answered++;
                numbers[index]++;
                asked[index] = ended ? 0 : time;
                if (ended) waited_for--;
                else ask(descriptors[index], numbers[index], &counts);
            }
        }
        if (time < looked + 0.1) continue;
        looked = time;
        for (int index = 0; index < sockets; index++) {
            if (asked[index] == 0 || time < asked[index] + lost_after) continue;
            counts.lost++;
            numbers[index]++;
            asked[index] = ended ? 0 : time;
            if (ended) waited_for--;
            else ask(descriptors[index], numbers[index], &counts);
        }
    }
    printf("{\"seconds\": %.4f, ", ended - began);
    print_counts(&counts);
    printf("}\n");
}

static int ascending(const void *left, const void *right) {
    float difference = *(const float *)left - *(const float *)right;
    return (difference > 0) - (difference < 0);
}

// When a request is due, from the beginning on.
static double due_after(long number, double rate) {
    return ((double)(long)((double)number / rate / gather) + 1) * gather;
}

static void open_loop(int port, int sockets, double seconds, double rate) {
    static int descriptors[SOCKETS_MAX];
    struct counts counts = {0};
    struct epoll_event events[EVENTS];
    long total = (long)(rate * seconds), sent = 0, known = 0;
    need(total > 0 && total <= ANSWERS_MAX, "RATE");
    // From when each was due to when its answer was read; 0: none yet.
    float *latencies = calloc((size_t)total, sizeof *latencies);
    int set = watch(descriptors, sockets, port);
    double began = now(), time = began, latest = 0;
    while (sent < total || time < began + (double)total / rate + grace) {
        if (sent < total && time - began - due_after(sent, rate) > latest) latest = time - began - due_after(sent, rate);
        for (; sent < total && began + due_after(sent, rate) <= time; sent++) ask(descriptors[sent % sockets], (uint64_t)sent, &counts);
        if (sent == total && counts.answered == total) break;
        // The next multiple; what has come until then is read at once.
        double next = began + ((double)(long)((now() - began) / gather) + 1) * gather;
        struct timespec sleep = {.tv_nsec = (long)((next - now()) * 1e9)};
        if (sleep.tv_nsec > 0) nanosleep(&sleep, NULL);
        int ready = epoll_wait(set, events, EVENTS, 0);
        time = now();
        for (int event = 0; event < ready; event++) {
            int index = (int)events[event].data.u32;
            uint64_t number;
            while (answer(descriptors[index], &number, &counts)) {
                if (number >= (uint64_t)sent || (int)(number % (uint64_t)sockets) != index) counts.foreign++;
                else if (latencies[number] != 0) counts.twice++;
                else {
                    latencies[number] = (float)((time - began - due_after((long)number, rate)) * 1e6);
                    counts.answered++;
                }
            }
        }
    }
    counts.lost = total - counts.answered;
    for (long index = 0; index < total; index++)
        if (latencies[index] != 0) latencies[known++] = latencies[index];
    qsort(latencies, (size_t)known, sizeof *latencies, ascending);
    printf("{\"seconds\": %.4f, \"sent\": %ld, ", (double)total / rate, total);
    print_counts(&counts);
    printf(", \"latest_send_microseconds\": %.0f, \"latency_microseconds\": {\"p50\": %.1f, \"p99\": %.1f, \"maximum\": %.1f}}\n",
           latest * 1e6, known ? latencies[known / 2] : 0.0, known ? latencies[known * 99 / 100] : 0.0,
           known ? latencies[known - 1] : 0.0);
}

// MARK: Bulk

struct arrivals { long datagrams, bytes, twice, foreign; uint64_t furthest; };

// A datagram bears its number, from 1, at both ends: one that was cut or joined with its neighbour is foreign.
static void number(char *datagram, uint64_t number) {
    number ^= mark;
    memcpy(datagram, &number, 8);
    memcpy(datagram + SEGMENT - 8, &number, 8);
}

static void arrive(const char *datagram, size_t length, uint64_t sent, struct arrivals *arrivals) {
    static uint64_t remembered[REMEMBERED];
    uint64_t first = 0, last = 1;
    if (length == SEGMENT) {
        memcpy(&first, datagram, 8);
        memcpy(&last, datagram + SEGMENT - 8, 8);
    }
    first ^= mark;
    if (first != (last ^ mark) || first == 0 || first > sent) {
        arrivals->foreign++;
        return;
    }
    uint64_t *place = &remembered[first % REMEMBERED];
    if (*place == first) {
        arrivals->twice++;
        return;
    }
    *place = first;
    if (first > arrivals->furthest) arrivals->furthest = first;
    arrivals->datagrams++;
    arrivals->bytes += SEGMENT;
}

// What is there to be taken, in one call; 0 where nothing was.
static int take(int backend, uint64_t sent, struct arrivals *arrivals) {
    static char places[BATCH][BIGGEST];
    static char controls[BATCH][64];
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int index = 0; index < BATCH; index++) {
        vectors[index] = (struct iovec){places[index], BIGGEST};
        messages[index].msg_hdr = (struct msghdr){
            .msg_iov = &vectors[index], .msg_iovlen = 1, .msg_control = controls[index], .msg_controllen = sizeof controls[index]};
    }
    int got = recvmmsg(backend, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int index = 0; index < got; index++) {
        size_t length = messages[index].msg_len, segment = length;
        for (struct cmsghdr *header = CMSG_FIRSTHDR(&messages[index].msg_hdr); header;
             header = CMSG_NXTHDR(&messages[index].msg_hdr, header)) {
            int joined;
            if (header->cmsg_level != IPPROTO_UDP || header->cmsg_type != UDP_GRO) continue;
            memcpy(&joined, CMSG_DATA(header), sizeof joined);
            if (joined > 0) segment = (size_t)joined;
        }
        if (length == 0) arrivals->foreign++;
        for (size_t offset = 0; offset < length; offset += segment)
            arrive(places[index] + offset, length - offset < segment ? length - offset : segment, sent, arrivals);
    }
    return got > 0;
}

// As many as are allowed on their way are; one thread sends and takes, so that it is the network that waits and not the client.
static void bulk(int port, int backend_port, double seconds, int joined, int apart) {
    static char places[BATCH][SEGMENT];
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    struct arrivals arrivals = {0};
    struct counts counts = {0};
    int backend = open_at(backend_port), client = open_to(port), segment = SEGMENT, on = 1;
    if (joined) need(setsockopt(client, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0, "UDP_SEGMENT");
    if (!apart) need(setsockopt(backend, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0, "UDP_GRO");
    for (int index = 0; index < JOINED; index++) {
        vectors[index] = (struct iovec){places[index], SEGMENT};
        messages[index].msg_hdr = (struct msghdr){.msg_iov = &vectors[index], .msg_iovlen = 1};
    }
    // A quarter of what the receive buffer holds, where the machine grants a small one: what is lost then is the target's loss.
    socklen_t size = sizeof on;
    need(getsockopt(backend, SOL_SOCKET, SO_RCVBUF, &on, &size) == 0, "SO_RCVBUF");
    int in_flight = on / 4 / HELD_BYTES < JOINED ? JOINED : on / 4 / HELD_BYTES < IN_FLIGHT_MAX ? on / 4 / HELD_BYTES : IN_FLIGHT_MAX;
    // `given_up` is what was sent before the last silence: whatever of it has not come by then is not on its way any more.
    uint64_t sent = 0, given_up = 0;
    double began = now(), ended = 0, silent_since = 0;
    for (;;) {
        double time = now();
        if (!ended && time >= began + seconds) ended = time;
        uint64_t floor = arrivals.furthest > given_up ? arrivals.furthest : given_up;
        int sends = !ended && sent - floor + JOINED <= (uint64_t)in_flight;
        if (sends) {
            for (int index = 0; index < JOINED; index++) number(places[index], sent + 1 + (uint64_t)index);
            if (joined) {
                struct msghdr message = {.msg_iov = vectors, .msg_iovlen = JOINED};
                if (sendmsg(client, &message, MSG_DONTWAIT) == JOINED * SEGMENT) sent += JOINED;
                else counts.refused++;
            } else {
                int result = sendmmsg(client, messages, JOINED, MSG_DONTWAIT);
                if (result > 0) sent += (uint64_t)result;
                else counts.refused++;
            }
        }
        if (take(backend, sent, &arrivals)) {
            silent_since = 0;
            continue;
        }
        if (sends) continue;
        if (ended && (arrivals.furthest == sent || time > ended + 2)) break;
        if (!silent_since) silent_since = time;
        struct pollfd readable = {.fd = backend, .events = POLLIN};
        if (poll(&readable, 1, 20) == 0 && now() > silent_since + 0.02) {
            if (ended && now() > silent_since + grace) break;
            given_up = sent;
        }
    }
    printf("{\"seconds\": %.4f, \"sent\": %llu, \"datagrams\": %ld, \"bytes\": %ld, \"lost\": %ld, \"twice\": %ld, \"foreign\": %ld, "
           "\"refused\": %ld}\n", ended - began, (unsigned long long)sent, arrivals.datagrams, arrivals.bytes,
           (long)sent - arrivals.datagrams, arrivals.twice, arrivals.foreign, counts.refused);
}

int main(int count, char **words) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    mark = ((uint64_t)time.tv_sec << 32 | (uint64_t)time.tv_nsec) * 0x9e3779b97f4a7c15;
    prctl(PR_SET_TIMERSLACK, 1);
    const char *command = count > 1 ? words[1] : "";
    int sockets = count > 3 ? atoi(words[3]) : 0, has_sockets = sockets > 0 && sockets <= SOCKETS_MAX;
    if (!strcmp(command, "echo") && count > 2) echo(count - 2, words + 2);
    else if (!strcmp(command, "closed") && count == 5 && has_sockets) closed_loop(atoi(words[2]), sockets, atof(words[4]));
    else if (!strcmp(command, "rate") && count == 6 && has_sockets) open_loop(atoi(words[2]), sockets, atof(words[4]), atof(words[5]));
    else if (!strcmp(command, "bulk") && (count == 6 || count == 7))
        bulk(atoi(words[2]), atoi(words[3]), atof(words[4]), !strcmp(words[5], "joined"), count == 7);
    else return 64;
    return 0;
}
