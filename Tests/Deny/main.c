// Runs a command that is denied something, by a seccomp filter. For the end-to-end tests: Deny WHAT COMMAND [ARGUMENT...]
//
//   uring          io_uring_setup(2) fails with EPERM, as under the default seccomp profiles of Docker and containerd
//   ipv4-sockets   socket(2) for IPv4 fails with ENFILE, as where the host's table of files is full
//   pipes          pipe2(2) fails with ENFILE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Looks at the number of a system call, and at its first argument where `any` is 0.
static int deny(unsigned number, int any, unsigned argument, unsigned failure) {
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | (any ? BPF_JGE : BPF_JEQ) | BPF_K, any ? 0 : argument, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | failure),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof instructions / sizeof instructions[0], instructions};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int count, char **arguments) {
    const char *what = count > 2 ? arguments[1] : "";
    int failed = -1;
    if (strcmp(what, "uring") == 0) failed = deny(SYS_io_uring_setup, 1, 0, EPERM);
    if (strcmp(what, "ipv4-sockets") == 0) failed = deny(SYS_socket, 0, AF_INET, ENFILE);
    if (strcmp(what, "pipes") == 0) failed = deny(SYS_pipe2, 1, 0, ENFILE);
    if (failed) {
        perror("Deny");
        return 125;
    }
    execvp(arguments[2], arguments + 2);
    perror(arguments[2]);
    return 126;
}
