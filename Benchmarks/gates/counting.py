"""Counts the system calls of one thread from outside it: by perf, or by strace where perf is missing or denied."""

import os
import re
import select
import shutil
import signal
import subprocess
import time

# For a tool to attach or to write its result; it takes milliseconds, and seconds on a busy machine.
PATIENCE = 20


class Denied(Exception):
    """The tool is missing here, or not allowed to count."""


class Perf:
    """`perf stat` on the tracepoint of every system call, switched on and off at the points asked for."""
    name = "perf"

    def __init__(self, pid, thread, folder):
        program = find("perf")
        self.path = os.path.join(folder, f"perf-{thread}")
        control, self.control = os.pipe()
        self.answers, answers = os.pipe()
        command = [
            program, "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-t", str(thread), "-D", "-1", "--control",
            f"fd:{control},{answers}", "-o", self.path]
        self.process = subprocess.Popen(
            command, pass_fds=[control, answers], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        os.close(control)
        os.close(answers)

    def begin(self):
        self._say("enable")

    def end(self):
        """The calls since `begin`, by name where the tool tells them apart."""
        self._say("disable")
        self._stop(signal.SIGINT)
        with open(self.path) as file:
            return {"": read_perf(file.read())}

    def close(self):
        self._stop(signal.SIGKILL)
        for descriptor in [self.control, self.answers]:
            os.close(descriptor)
        self.process.stderr.close()

    def _say(self, word):
        try:
            os.write(self.control, f"{word}\n".encode())
        except BrokenPipeError:
            pass
        ready, _, _ = select.select([self.answers], [], [], PATIENCE)
        if not ready or not os.read(self.answers, 100):
            self._stop(signal.SIGKILL)
            raise Denied(f"perf: {last_line(self.process.stderr.read()) or 'does not answer'}")

    def _stop(self, number):
        end(self.process, number)


class Strace:
    """`strace -c` on one thread. It slows the thread down and ends its wait once when it attaches."""
    name = "strace"

    def __init__(self, pid, thread, folder):
        self.path = os.path.join(folder, f"strace-{thread}")
        command = [find("strace"), "-c", "-U", "calls,name", "-o", self.path, "-p", str(thread)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.thread = thread
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if tracer(pid, thread) == self.process.pid:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        end(self.process, signal.SIGKILL)
        message = last_line(self.process.stderr.read())
        self.process.stderr.close()
        raise Denied(f"strace: {message or 'does not attach'}")

    def begin(self):
        pass

    def end(self):
        end(self.process, signal.SIGINT)
        with open(self.path) as file:
            return read_strace(file.read())

    def close(self):
        # Not SIGKILL at once: strace lets go of the thread when it is asked to end.
        end(self.process, signal.SIGTERM)
        self.process.stderr.close()


def choose(wanted, pid, thread, folder, exercise):
    """The first counter that is allowed to count here, or None, and why the ones before it are not.

    `exercise` makes the thread do something that must be seen."""
    reasons = []
    for counter in [Perf, Strace]:
        if wanted not in ["auto", counter.name]:
            continue
        try:
            trial = counter(pid, thread, folder)
            try:
                trial.begin()
                exercise()
                if sum(trial.end().values()) == 0:
                    raise Denied(f"{counter.name}: sees nothing")
            finally:
                trial.close()
            return counter, reasons
        except Denied as denied:
            reasons.append(str(denied))
    return None, reasons


def read_perf(text):
    for line in text.splitlines():
        fields = line.split(",")
        if "raw_syscalls:sys_enter" in fields:
            if fields[0].isdigit():
                return int(fields[0])
            raise Denied(f"perf: {fields[0]}")
    # Without permission perf looks at user mode only, under another name of the event.
    raise Denied("perf: may not see system calls")


def read_strace(text):
    rows = re.findall(r"^\s*(\d+)\s+(\w+)\s*$", text, re.MULTILINE)
    return {name: int(calls) for calls, name in rows if name != "total"}


def tracer(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/status") as file:
        return int(re.search(r"^TracerPid:\s*(\d+)", file.read(), re.MULTILINE).group(1))


def find(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Denied(f"there is no {name}")
    return path


def end(process, number):
    if process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
