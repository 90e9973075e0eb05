"""Ten thousand Services, a file each: how long they take to load, whether all are served, how soon a change reaches a client.

Run as a program it is one of the scenario's own processes: `serve` answers with the address that was asked, `pace` asks one Service again and
again and says how long each answer took.
"""

import json
import os
import shutil
import socket
import statistics
import sys
import time

from processes import Failure, last_words, wait_until_open

ENDPOINTS = 10
PORT = 9041
#: Of `pace`, between two connections.
PACE_SECONDS = 0.005
QUIET_SECONDS = 4
LOAD_SECONDS_MAX = 120


def scale(bench):
    """Loads a directory of Services, asks each of them, and then changes one endpoint at a time."""
    targets = [target for target in bench.targets if target.is_ours]
    services, changes = (1000, 50) if bench.quick else (10_000, 200)

    def play(target, turn):
        files = Files(os.path.join(target.place.folder, "services"), services)
        backend = bench.processes.start([sys.executable, __file__, "serve"], target.place.namespace, name="endpoints")
        process = None
        try:
            wait_until_open(PORT, backend, target.place.namespace, bench.processes)
            began = time.monotonic()
            process = bench.processes.start(
                [target.place.tools.ringway, "run", "--engine", target.engine, "--host-network", "auto", "--state-directory", "none",
                 "--admin-socket", "none", "--admin-listen", "none", files.path],
                target.place.namespace, name=f"{target.name}-scale")
            _wait_for_start(process)
            sample = {"load_seconds": time.monotonic() - began}
            with bench.inside(target.place.namespace):
                failed = sum(_ask(address(service)) not in files.endpoints(service) for service in range(services))
                sample["memory_bytes"] = _memory(process.pid)
                sample |= _changes(bench, target, files, changes)
            return sample | {"operations": services, "seconds": 0, "failed": failed, "errors": {"connection": failed} if failed else {}}
        finally:
            bench.processes.stop(*[started for started in (process, backend) if started])
            files.remove()

    bench.measure(
        "scale", f"{services:,} Services with {services * ENDPOINTS:,} endpoints, a file each; {changes} changes of one endpoint a round", play,
        targets, rounds=min(bench.rounds, 3), with_cpu=False, errors_are_figures=True)


def _changes(bench, target, files, changes):
    """From the rename of a file to the first answer of the endpoint that it names; and how clients of another Service fare meanwhile."""
    pace = bench.processes.start(
        [sys.executable, __file__, "pace", address(1)], target.place.namespace, name="pace", stdout=-1, stdin=-1, text=True)
    try:
        time.sleep(QUIET_SECONDS)
        began, times = time.time(), []
        for turn in range(changes):
            service, wanted = files.services // 2 + turn % 5, endpoint(files.services * ENDPOINTS + turn)
            files.write(service, [wanted])
            written = time.monotonic()
            while _ask(address(service)) != wanted:
                if time.monotonic() - written > 10:
                    raise Failure(f"{wanted} was not reached within 10 s of the change")
            times.append(time.monotonic() - written)
            time.sleep(0.02)
        ended = time.time()
        output, _ = pace.communicate("", timeout=10)
    finally:
        bench.processes.stop(pace)
    answers = [json.loads(line) for line in output.splitlines()]
    quiet = [took for at, took in answers if at < began]
    during = [took for at, took in answers if began <= at < ended]
    return {
        "change_p50_milliseconds": statistics.median(times) * 1e3, "change_p99_milliseconds": _high(times) * 1e3,
        "change_maximum_milliseconds": max(times) * 1e3, "quiet_p99_milliseconds": _high(quiet) * 1e3,
        "during_p99_milliseconds": _high(during) * 1e3,
    }


def _high(values):
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def _wait_for_start(process):
    deadline = time.monotonic() + LOAD_SECONDS_MAX
    while time.monotonic() < deadline:
        with open(process.log_path, errors="replace") as file:
            if any(" info started " in line for line in file):
                return
        if process.poll() is not None:
            raise Failure(f"it has ended: {last_words(process)}")
        time.sleep(0.02)
    raise Failure(f"it was not ready within {LOAD_SECONDS_MAX} s")


def _memory(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def _ask(host):
    """What is answered; None where nothing is."""
    try:
        with socket.create_connection((host, 80), timeout=5) as client:
            return client.recv(64).decode()
    except OSError:
        return None


def address(service):
    return f"10.96.{1 + service // 250}.{1 + service % 250}"


def endpoint(number):
    return f"127.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class Files:
    """A directory of Services, one file each."""

    def __init__(self, path, services):
        self.path = path
        self.services = services
        os.makedirs(path, exist_ok=True)
        for service in range(services):
            self.write(service, self.endpoints(service))

    def endpoints(self, service):
        return [endpoint(service * ENDPOINTS + index + 1) for index in range(ENDPOINTS)]

    def write(self, service, endpoints):
        path = os.path.join(self.path, ".new")
        with open(path, "w") as file:
            file.write(_TEMPLATE.format(
                name=f"service-{service}", address=address(service), port=PORT,
                endpoints="".join(_ENDPOINT.format(address=given, name=f"service-{service}", index=index)
                                  for index, given in enumerate(endpoints))))
        os.rename(path, os.path.join(self.path, f"service-{service}.yaml"))

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


_TEMPLATE = """apiVersion: v1
kind: Service
metadata:
  name: {name}
  labels: {{app: {name}}}
spec:
  clusterIP: {address}
  selector: {{app: {name}}}
  ports:
  - name: http
    port: 80
    targetPort: {port}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports:
- name: http
  port: {port}
endpoints:
{endpoints}"""
_ENDPOINT = """- addresses: [{address}]
  conditions: {{ready: true}}
  nodeName: node-{index}
  targetRef: {{kind: Pod, namespace: default, name: {name}-{index}}}
"""


def _serve():
    with socket.create_server(("0.0.0.0", PORT), backlog=4096) as server:
        while True:
            client, _ = server.accept()
            with client:
                client.sendall(client.getsockname()[0].encode())


def _pace(host):
    """Until standard input ends."""
    import select
    answers = []
    while not select.select([sys.stdin], [], [], PACE_SECONDS)[0]:
        at, began = time.time(), time.monotonic()
        _ask(host)
        answers.append((at, time.monotonic() - began))
    for answer in answers:
        print(json.dumps(answer))


if __name__ == "__main__":
    {"serve": _serve, "pace": _pace}[sys.argv[1]](*sys.argv[2:])
