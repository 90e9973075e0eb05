"""Starts and stops processes, by process id, in network namespaces of the harness's own."""

import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """Something the user can do something about; its text is the whole message."""


def find(name):
    """The path of a program, or None. Debian keeps servers in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def need(name):
    return find(name) or _fail(f"there is no {name}: Scripts/install benchmarks installs it")


def _fail(text):
    raise Failure(text)


def raise_file_limit():
    """Children inherit it; the idle scenario needs two descriptors for each of 9,000 connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _die_with_parent():
    # Kept across exec. Ends the child even where the harness is killed and can't clean up.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """Everything the harness started and has not stopped yet."""

    def __init__(self, folder):
        self.folder = folder
        self._running = []

    def start(self, command, namespace=None, name=None, **options):
        log_path = os.path.join(self.folder, f"{name or os.path.basename(command[0])}-{len(self._running)}-{time.monotonic_ns()}.log")
        log = open(log_path, "w")
        # A session of its own: Ctrl-C reaches the harness, which then stops everything in order.
        process = subprocess.Popen(
            enter(namespace) + command, stdout=options.pop("stdout", log), stderr=log, start_new_session=True,
            stdin=options.pop("stdin", subprocess.DEVNULL), preexec_fn=_die_with_parent, **options)
        log.close()
        process.log_path = log_path
        self._running.append(process)
        return process

    def run(self, command, namespace=None, timeout=60):
        """Runs a program to its end; returns what it printed."""
        process = self.start(command, namespace, stdout=subprocess.PIPE, text=True)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as timed_out:
            raise Failure(f"{os.path.basename(command[0])} did not end within {timeout} s") from timed_out
        finally:
            self.stop(process)
        if process.returncode != 0:
            words = last_words(process) or " ".join(output.split())[-200:]
            raise Failure(f"{os.path.basename(command[0])} ended with {process.returncode}: {words}")
        return output

    def stop(self, *processes, grace=3.0):
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + grace
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process in self._running:
                self._running.remove(process)

    def kill(self, process):
        process.kill()
        process.wait()
        self._running.remove(process)

    def stop_all(self):
        # The keepers of namespaces were started first and go last.
        for process in reversed(self._running):
            process.kill()
            process.wait()
        self._running.clear()


def last_words(process):
    with open(process.log_path, errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else ""


class Namespace:
    """A network namespace that lives as long as the process that keeps it: nothing of it is left whatever happens."""

    def __init__(self, processes):
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._as_user = bool(user)
        self.keeper = processes.start([need("unshare"), *user, "--net", "sleep", "infinity"], name="namespace")
        ours = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 5
        while True:
            if self.keeper.poll() is not None:
                raise Failure(f"no network namespace can be made here: {last_words(self.keeper)}")
            try:
                if os.readlink(f"/proc/{self.keeper.pid}/ns/net") != ours:
                    break
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise Failure("no network namespace can be made here: unshare hangs")
            time.sleep(0.01)
        processes.run(["ip", "link", "set", "lo", "up"], self)

    def path(self, kind):
        return f"/proc/{self.keeper.pid}/ns/{kind}"

    def join(self):
        """Moves the calling thread into it. Root only: a thread of many can't change its user namespace."""
        with open(self.path("net")) as file:
            self.join_file(file)

    @staticmethod
    def join_file(file):
        if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise Failure(f"setns: {os.strerror(ctypes.get_errno())}")

    def command(self):
        user = [f"--user={self.path('user')}", "--preserve-credentials"] if self._as_user else []
        return [need("nsenter"), *user, f"--net={self.path('net')}"]


def enter(namespace):
    return namespace.command() if namespace else []


def wait_until_open(port, process, namespace, processes, timeout=20, protocol="tcp"):
    """Waits until something listens on a port of 127.0.0.1 there; /proc names listeners without a connection made."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failure(f"it ended with {process.returncode}: {last_words(process)}")
        if is_listening(port, process.pid, protocol):
            return
        time.sleep(0.02)
    raise Failure(f"nothing listens on {protocol.upper()} port {port} after {timeout} s: {last_words(process)}")


def is_listening(port, pid, protocol="tcp"):
    """Reads the table of the namespace that the process lives in."""
    try:
        with open(f"/proc/{pid}/net/{protocol}") as file:
            rows = [line.split() for line in file.readlines()[1:]]
    except OSError:
        return False
    state = "0A" if protocol == "tcp" else "07"  # listening; not connected
    return any(row[3] == state and int(row[1].split(":")[1], 16) == port for row in rows)


def ask_socket(path, request_path):
    """A GET over a Unix socket; returns the body."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        client.sendall(f"GET {request_path} HTTP/1.1\r\nHost: ringway\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while chunk := client.recv(65536):
            data += chunk
    return data.split(b"\r\n\r\n", 1)[1]
