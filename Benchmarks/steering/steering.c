// What it costs to spread new connections over pinned workers, and how evenly it does: a worker for each CPU accepts, reads a
// request, answers and closes; clients open a connection for each request. Prints one line of JSON.
//
//   hash      a listener for each worker (SO_REUSEPORT); the kernel hashes addresses and ports
//   cpu       the same, but the listener is that of the CPU that handles the SYN (SO_ATTACH_REUSEPORT_CBPF)
//   shared    one listener in the epoll sets of all workers (EPOLLEXCLUSIVE), each emptying the queue
//   shared-1  the same, one connection at each wake-up
//
// Clients: "spread" over all CPUs, as packets of a network card with a queue for each CPU are, or on "one" CPU.
// cc -O2 steering.c -o steering -lpthread && ./steering MODE spread|one SECONDS PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS_MAX = 8, IN_FLIGHT = 64, EVENTS = 64, ACCEPTS = 16, TIMES_MAX = 1 << 21, MESSAGE = 64 };

struct worker {
    int cpu, listener, accepts;
    pthread_t thread;
    _Atomic long served, in_vain;
};
struct client {
    int cpu, slots;
    pthread_t thread;
    long count;
    float *times;
};

static struct sockaddr_in address;
static _Atomic int counting, stopping;
static char message[MESSAGE];

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static int listen_here(int shares_port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (shares_port) setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0 || listen(descriptor, 4096) != 0) {
        perror("listen");
        exit(1);
    }
    return descriptor;
}

// The number of the CPU is the number of the listener, in the order they were opened.
static void steer_by_cpu(int listener, int workers) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(SKF_AD_OFF + SKF_AD_CPU)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (unsigned)workers),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (setsockopt(listener, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) != 0) {
        perror("SO_ATTACH_REUSEPORT_CBPF");
        exit(1);
    }
}

static void *work(void *argument) {
    struct worker *worker = argument;
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = worker->listener}, events[EVENTS];
    pin(worker->cpu);
    epoll_ctl(set, EPOLL_CTL_ADD, worker->listener, &event);
    while (!stopping) {
        int ready = epoll_wait(set, events, EVENTS, 100);
        for (int index = 0; index < ready; index++) {
            int descriptor = events[index].data.fd;
            if (descriptor != worker->listener) {
                char buffer[256];
                if (recv(descriptor, buffer, sizeof buffer, 0) == MESSAGE) send(descriptor, message, MESSAGE, MSG_NOSIGNAL);
                close(descriptor);
                worker->served++;
                continue;
            }
            for (int turn = 0; turn < worker->accepts; turn++) {
                int accepted = accept4(worker->listener, NULL, NULL, SOCK_NONBLOCK);
                if (accepted < 0) {
                    worker->in_vain++;
                    break;
                }
                struct epoll_event reading = {.events = EPOLLIN | EPOLLET, .data.fd = accepted};
                epoll_ctl(set, EPOLL_CTL_ADD, accepted, &reading);
            }
        }
    }
    return NULL;
}

static void begin(int set, int slot, int *descriptors, double *began) {
    struct linger reset = {.l_onoff = 1};  // a FIN would hold the port for a minute
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = (unsigned)slot};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    began[slot] = now(CLOCK_MONOTONIC);
    descriptors[slot] = descriptor;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        perror("connect");
        exit(1);
    }
    epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event);
}

static void *ask(void *argument) {
    struct client *client = argument;
    int set = epoll_create1(0), descriptors[IN_FLIGHT], asked[IN_FLIGHT] = {0};
    double began[IN_FLIGHT];
    struct epoll_event events[EVENTS];
    pin(client->cpu);
    for (int slot = 0; slot < client->slots; slot++) begin(set, slot, descriptors, began);
    while (!stopping) {
        int ready = epoll_wait(set, events, EVENTS, 100);
        for (int index = 0; index < ready; index++) {
            int slot = (int)events[index].data.u32;
            char buffer[256];
            if (!asked[slot]) {
                if (events[index].events & EPOLLOUT) asked[slot] = send(descriptors[slot], message, MESSAGE, MSG_NOSIGNAL) == MESSAGE;
                if (!(events[index].events & (EPOLLIN | EPOLLERR))) continue;
            }
            ssize_t got = recv(descriptors[slot], buffer, sizeof buffer, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (counting && got == MESSAGE && client->count < TIMES_MAX)
                client->times[client->count++] = (float)((now(CLOCK_MONOTONIC) - began[slot]) * 1e6);
            close(descriptors[slot]);
            asked[slot] = 0;
            begin(set, slot, descriptors, began);
        }
    }
    return NULL;
}

static int ascending(const void *left, const void *right) {
    float difference = *(const float *)left - *(const float *)right;
    return (difference > 0) - (difference < 0);
}

int main(int count, char **words) {
    if (count != 5) return 64;
    const char *mode = words[1];
    int spread = !strcmp(words[2], "spread"), shared = !strncmp(mode, "shared", 6), workers = 0, cpus[WORKERS_MAX];
    double seconds = atof(words[3]);
    address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(atoi(words[4])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE && workers < WORKERS_MAX; cpu++)
        if (CPU_ISSET(cpu, &allowed)) cpus[workers++] = cpu;

    static struct worker team[WORKERS_MAX];
    static struct client clients[WORKERS_MAX];
    for (int index = 0; index < workers; index++) {
        team[index].cpu = cpus[index];
        team[index].listener = shared && index > 0 ? team[0].listener : listen_here(!shared);
        team[index].accepts = strcmp(mode, "shared-1") ? ACCEPTS : 1;
    }
    if (!strcmp(mode, "cpu")) steer_by_cpu(team[0].listener, workers);
    for (int index = 0; index < workers; index++) pthread_create(&team[index].thread, NULL, work, &team[index]);
    int askers = spread ? workers : 1;
    for (int index = 0; index < askers; index++) {
        clients[index].cpu = cpus[index];
        clients[index].slots = IN_FLIGHT / askers;
        clients[index].times = malloc(TIMES_MAX * sizeof(float));
        pthread_create(&clients[index].thread, NULL, ask, &clients[index]);
    }

    usleep(200000);
    clockid_t clocks[WORKERS_MAX];
    double cpu = 0, busiest_of_slices = 0, began = now(CLOCK_MONOTONIC);
    long first[WORKERS_MAX], last[WORKERS_MAX], vain = 0, slices = 0;
    for (int index = 0; index < workers; index++) {
        pthread_getcpuclockid(team[index].thread, &clocks[index]);
        cpu -= now(clocks[index]);
        vain -= team[index].in_vain;
        first[index] = last[index] = team[index].served;
    }
    counting = 1;
    while (now(CLOCK_MONOTONIC) < began + seconds) {
        usleep(50000);
        long most = 0, sum = 0;
        for (int index = 0; index < workers; index++) {
            long served = team[index].served, grown = served - last[index];
            last[index] = served;
            sum += grown;
            if (grown > most) most = grown;
        }
        if (sum) {
            busiest_of_slices += (double)most / (double)sum;
            slices++;
        }
    }
    counting = 0;
    double took = now(CLOCK_MONOTONIC) - began;
    long total = 0, most = 0;
    for (int index = 0; index < workers; index++) {
        cpu += now(clocks[index]);
        vain += team[index].in_vain;
        long served = last[index] - first[index];
        total += served;
        if (served > most) most = served;
    }
    stopping = 1;
    for (int index = 0; index < workers; index++) pthread_join(team[index].thread, NULL);
    long times = 0;
    float *all = malloc((size_t)askers * TIMES_MAX * sizeof(float));
    for (int index = 0; index < askers; index++) {
        pthread_join(clients[index].thread, NULL);
        memcpy(all + times, clients[index].times, (size_t)clients[index].count * sizeof(float));
        times += clients[index].count;
    }
    qsort(all, (size_t)times, sizeof(float), ascending);
    if (!total || !times || !slices) return 1;
    printf("{\"connections\": %ld, \"seconds\": %.4f, \"cpu_seconds\": %.6f, \"busiest_share\": %.4f, \"busiest_slice_share\": %.4f, "
           "\"accepts_in_vain\": %ld, \"p50_microseconds\": %.1f, \"p99_microseconds\": %.1f}\n",
           total, took, cpu, (double)most / (double)total, busiest_of_slices / (double)slices, vain,
           (double)all[times / 2], (double)all[times * 99 / 100]);
    return 0;
}
