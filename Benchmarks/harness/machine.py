"""What the machine is, and what it has spent: CPU time and memory from /proc."""

import contextlib
import os
import platform
import re
import subprocess

_TICKS = os.sysconf("SC_CLK_TCK")


class CPUTime:
    """CPU time of processes between two moments: user and system, all threads, kernel workers of io_uring included (they are
    threads of the process)."""

    def __init__(self, pids):
        self._pids = pids
        self._threads = _thread_times(pids)
        self._ticks = {pid: _process_seconds(pid) for pid in pids}
        self._machine = machine_seconds()

    def seconds(self):
        threads = _thread_times(self._pids)
        if self._threads.keys() <= threads.keys():
            return sum(time - self._threads.get(key, 0) for key, time in threads.items()) / 1e9
        # A thread has ended and its nanoseconds with it; the process's own sum has them, in units of 10 ms.
        return sum(_process_seconds(pid) - self._ticks[pid] for pid in self._pids)

    def machine(self):
        return machine_seconds() - self._machine


def _thread_times(pids):
    times = {}
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    times[pid, thread] = int(file.read().split()[0])
            except OSError:
                continue
    return times


def _process_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def machine_seconds():
    """Busy time of all CPUs: everything but idle, waiting and stolen."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, interrupts, soft_interrupts, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + interrupts + soft_interrupts) / _TICKS


@contextlib.contextmanager
def apart(pids):
    """Keeps these processes on one CPU, and what is started meanwhile on the others; does nothing where there is one CPU only."""
    cpus = os.sched_getaffinity(0)
    others = cpus - {min(cpus)}
    if not pids or not others:
        yield
        return
    before = {}
    try:
        for pid in pids:
            for thread in map(int, os.listdir(f"/proc/{pid}/task")):
                before[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, {min(cpus)})
        os.sched_setaffinity(0, others)
        yield
    finally:
        os.sched_setaffinity(0, cpus)
        for thread, allowed in before.items():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, allowed)


def resident_bytes(pids):
    """Anonymous and shared memory in use; the program's text is not counted."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith(("RssAnon", "RssShmem")):
                    total += int(line.split()[1]) * 1024
    return total


#: Caches of files and of processes: they change with whatever else the machine does, and connections have nothing in them.
_OTHER_SLABS = re.compile(
    r"(?!sock_|lsm_).*inode|ext4|extent|jbd2|xfs|btrfs|ovl|radix_tree|buffer_head|bio|"
    r"vm_area|anon_vma|maple|task_|mm_struct|cred|pid|sighand|signal_")


def slabs():
    """Bytes of the kernel's objects by cache, of the whole machine: sockets, what hangs on them, requests of io_uring. Where only
    root may see the caches, their sum."""
    try:
        with open("/proc/slabinfo") as file:
            rows = [line.split() for line in file if not line.startswith(("slabinfo", "#"))]
    except OSError:
        with open("/proc/meminfo") as file:
            return {"all": next(int(line.split()[1]) * 1024 for line in file if line.startswith("Slab:"))}
    return {name: int(active) * int(size) for name, active, _, size, *_ in rows if not _OTHER_SLABS.match(name)}


def wakeups(pids):
    """Voluntary context switches so far."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{thread}/status") as file:
                    total += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))
            except OSError:
                continue
    return total


def describe(root):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) // (1024 * 1024)
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gibibytes": memory,
        "kernel": platform.release(),
        "congestion_control": _read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "commit": commit(root),
    }


def commit(root):
    def git(*arguments):
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    # Reports that an earlier run wrote don't make the program another one.
    changed = [line for line in git("status", "--porcelain").splitlines() if "Benchmarks/REPORT" not in line and "Benchmarks/report/" not in line]
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" with changes" if changed else "")


def version(command):
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # Some begin with where they stand on this machine.
    return lines[0].replace(command[0], os.path.basename(command[0])) if lines else "unknown"


def _read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return "unknown"
