"""A running Ringway with one worker, and a load whose number of events does not depend on time.

Client and backend are one thread of this process. It makes one step, waits for what the step leads to, and goes on when the worker
sleeps again: so each tick of the worker has the same events, however busy the machine is.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

PATIENCE = 20
MESSAGE = b"x" * 64


class EngineMissing(Exception):
    """This host does not grant the engine."""


class Balancer:
    """`ringway run` in front of one backend, on ports of 127.0.0.1 that nobody has."""

    def __init__(self, program, engine, folder):
        self.program, self.engine, self.folder = program, engine, folder
        self.admin = os.path.join(folder, f"{engine}.sock")
        self.backend = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.backend.settimeout(PATIENCE)
        self.process = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.backend.close()

    def _start(self):
        # Somebody may take the port between our look and Ringway's bind: then another one.
        for _ in range(5):
            self.port = free_port()
            if self._listens():
                self.thread = self._thread_of_worker()
                return
            self.process.terminate()
            self.process.wait(PATIENCE)
        raise RuntimeError(f"ringway on {self.engine} finds no port to listen on: {self._log()}")

    def _listens(self):
        command = [
            self.program, "run", "--engine", self.engine, "--workers", "1", "--pin", "off", "--grace", "1s", "--seed", "1",
            "--admin-socket", self.admin, f"127.0.0.1:{self.port}=127.0.0.1:{self.backend.getsockname()[1]}"]
        with open(self._log_path(), "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                # In the words of `UringUnavailable`; anything else is a defect.
                if re.search(r'reason="io_uring (denied|disabled|is not in|lacks|got no memory)', self._log()):
                    raise EngineMissing(self._log().strip().splitlines()[-1])
                raise RuntimeError(f"ringway on {self.engine} ended with {self.process.returncode}: {self._log()}")
            with contextlib.suppress(subprocess.CalledProcessError):
                states = [listener["state"] for listener in self.statistics()["listeners"]]
                if states == ["listening"]:
                    return True
                if "failed" in states:
                    return False
            time.sleep(0.05)
        raise RuntimeError(f"ringway on {self.engine} does not listen: {self._log()}")

    def _log_path(self):
        return os.path.join(self.folder, f"{self.engine}.log")

    def _log(self):
        with open(self._log_path()) as log:
            return log.read()

    def _thread_of_worker(self):
        folder = f"/proc/{self.process.pid}/task"
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/comm") as file:
                if file.read().strip() == "ringway-0":
                    return int(thread)
        raise RuntimeError("ringway has no thread ringway-0")

    def statistics(self):
        command = [self.program, "stats", "--output", "json", "--admin-socket", self.admin]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout)

    def worker(self):
        """The worker's counters, once it sleeps. Asking does not wake it."""
        self.settle()
        return self.statistics()["workers"][0]

    def settle(self):
        """Returns when the worker sleeps. A send on loopback has woken it by the time it returns, so sleep means: all is done."""
        self._wait_for_state("S")

    def _wait_for_state(self, wanted):
        deadline = time.monotonic() + PATIENCE
        while True:
            with open(f"/proc/{self.process.pid}/task/{self.thread}/stat") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
            # A stopped thread that somebody traces is shown as traced.
            if state == wanted or (wanted, state) == ("T", "t"):
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the worker stays in state {state}, not {wanted}")

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server, _ = self.backend.accept()
        server.settimeout(PATIENCE)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.settle()
        return client, server

    # MARK: loads; each returns the number of its units

    def requests(self, count, client, server):
        """One after the other over a connection that stands: no tick has more than one event."""
        for _ in range(count):
            client.sendall(MESSAGE)
            receive(server)
            self.settle()
            server.sendall(MESSAGE)
            receive(client)
            self.settle()
        return count

    def connections(self, count):
        """One after the other, one request each, closed by the client first."""
        for _ in range(count):
            client, server = self.connect()
            with client, server:
                self.requests(1, client, server)
                client.shutdown(socket.SHUT_WR)
                receive_end(server)
                self.settle()
                server.close()
                receive_end(client)
                self.settle()
        return count

    def rounds(self, count, pairs):
        """A request on every connection at the same moment, and then every answer, so that ticks have many events."""
        for _ in range(count):
            with self._stopped():
                for client, _ in pairs:
                    client.sendall(MESSAGE)
            for _, server in pairs:
                receive(server)
            with self._stopped():
                for _, server in pairs:
                    server.sendall(MESSAGE)
            for client, _ in pairs:
                receive(client)
        return count * len(pairs)

    @contextlib.contextmanager
    def _stopped(self):
        """Lets what happens inside reach the worker at once. Being stopped ends its wait, which costs a tick."""
        self.settle()
        self.process.send_signal(signal.SIGSTOP)
        try:
            self._wait_for_state("T")
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)
        self.settle()


@contextlib.contextmanager
def connected(balancer, count):
    with contextlib.ExitStack() as stack:
        pairs = []
        for _ in range(count):
            client, server = balancer.connect()
            pairs.append((stack.enter_context(client), stack.enter_context(server)))
        yield pairs


def receive(connection):
    missing = len(MESSAGE)
    while missing > 0:
        data = connection.recv(missing)
        if not data:
            raise RuntimeError("a connection through ringway ended too early")
        missing -= len(data)


def receive_end(connection):
    if connection.recv(1):
        raise RuntimeError("more bytes came through ringway than were sent")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
