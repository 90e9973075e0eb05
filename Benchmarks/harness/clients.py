"""The load: each function runs one client against one target and returns what it saw, as one sample.

A sample is a dictionary. `operations` and `seconds` are always there, and `errors`: what went wrong, by kind. The harness adds
the CPU time that target and machine spent meanwhile.
"""

import json
import re
import resource
import subprocess

from processes import Failure, need, wait_until_open
from targets import BULK_BACKEND


class Clients:
    def __init__(self, processes, tools):
        self._processes = processes
        self._load = tools.load
        self._datagrams = tools.datagrams
        self.commands = {}

    def wrk(self, target, connections, seconds, path, new_connections=False, threads=1):
        """Closed loop: as many requests as the three processes manage between them. Takes whole seconds."""
        seconds = max(1, round(seconds))
        command = [need("wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds}s", *(["-H", "Connection: close"] if new_connections else [])]
        output, cpu = self._run("wrk", target, command + [f"http://127.0.0.1:{target.port}{path}"], seconds)
        ran = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", output)
        if not ran:
            raise Failure(f"wrk printed no figures: {output.strip()[:200]}")
        errors = {}
        if lost := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output):
            errors = {kind: int(count) for kind, count in zip(("connect", "read", "write", "timeout"), lost.groups()) if int(count)}
        if bad := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
            errors["status"] = int(bad.group(1))
        # wrk takes a close by the server after a whole response for a read error where it did not ask for it; here it did ask.
        took = float(ran.group(2)) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[ran.group(3)]
        return {"operations": int(ran.group(1)), "seconds": took, "errors": errors, "client_cpu_seconds": cpu}

    def iperf3(self, target, streams, seconds, reverse, bitrate=None):
        """Bytes one way. The server is started for this run and lives in the target's namespace."""
        server = self.iperf3_server(target)
        try:
            # A run may end late where a balancer has much in its buffers.
            command = self._iperf3_command(target, streams, seconds, reverse, bitrate)
            output, cpu = self._run("iperf3", target, command, seconds)
            return self._iperf3_sample(output, cpu)
        finally:
            self._processes.stop(server)

    def iperf3_server(self, target):
        server = self._processes.start([need("iperf3"), "-s", "-1", "-B", "127.0.0.1", "-p", str(BULK_BACKEND)], target.place.namespace)
        wait_until_open(BULK_BACKEND, server, target.place.namespace, self._processes)
        return server

    def iperf3_beside(self, target, seconds, bitrate):
        """Starts a stream and returns it running; `iperf3_result` ends it."""
        command = self._iperf3_command(target, 1, seconds, False, bitrate)
        self._remember("iperf3 beside", command)
        return self._processes.start(command, target.place.namespace, stdout=subprocess.PIPE, text=True)

    def iperf3_result(self, process, seconds):
        return self._iperf3_sample(self._wait_for("iperf3", process, seconds), 0)

    def closed(self, target, connections, requests):
        """Closed loop with the client of the open loops: the rate that they are a share of."""
        command = [
            self._load, "closed", "--target", f"127.0.0.1:{target.port}", "--connections", str(connections), "--requests", str(requests),
            "--path", "/64"]
        output, _ = self._run("ringway-load closed", target, command, requests / 1000)
        found = json.loads(output)
        return {
            "operations": found["completed"], "seconds": found["seconds"],
            "errors": {kind: count for kind, count in found["errors"].items() if count}}

    def latency(self, target, rate, connections, seconds, seed=1, gather=0):
        """Open loop: requests are due at times fixed beforehand, and their latency counts from then.

        - gather: microseconds; requests are due at multiples of it, which makes the client cheap enough for high rates.
        """
        command = self._latency_command(target, rate, connections, seconds, seed) + (["--gather", str(gather)] if gather else [])
        output, _ = self._run("ringway-load latency", target, command, seconds)
        return self._latency_sample(output)

    def latency_beside(self, target, rate, connections, seconds, seed=1):
        """The same with a connection for each request, and returned running; `latency_result` ends it."""
        command = self._latency_command(target, rate, connections, seconds, seed, warm_up=0) + ["--connection-per-request"]
        self._remember("ringway-load latency beside", command)
        return self._processes.start(command, target.place.namespace, stdout=subprocess.PIPE, text=True)

    def latency_result(self, process, seconds):
        return self._latency_sample(self._wait_for("ringway-load", process, seconds))

    def _latency_command(self, target, rate, connections, seconds, seed, warm_up=0.3):
        return [
            self._load, "latency", "--target", f"127.0.0.1:{target.port}", "--rate", f"{rate:.0f}", "--connections", str(connections),
            "--seconds", f"{seconds:g}", "--warm-up", f"{warm_up:g}", "--seed", str(seed), "--path", "/64"]

    def _latency_sample(self, output):
        found = json.loads(output)
        latency = found["latency_microseconds"]
        return {
            "operations": found["completed"],
            "seconds": found["seconds"],
            "failed": found["failed"],
            "errors": {kind: count for kind, count in found["errors"].items() if count},
            "latency_p50_microseconds": latency["p50"],
            "latency_p99_microseconds": latency["p99"],
            "latency_p99_9_microseconds": latency["p99_9"],
            "latency_maximum_microseconds": latency["maximum"],
            "percentiles": found["percentiles"],
            "send_lag_p99_microseconds": found["send_lag_microseconds"]["p99"],
            "client_cpu_share": found["client_cpu_share"],
            "failures_by_100ms": found["failures_by_100ms"],
        }

    def run(self, name, target, command, seconds):
        """A client of a scenario's own: what it printed, and the CPU seconds it took."""
        return self._run(name, target, command, seconds)

    def _wait_for(self, name, process, seconds):
        """What a client that runs beside something else printed."""
        try:
            return process.communicate(timeout=seconds + 20)[0]
        except subprocess.TimeoutExpired as hung:
            raise Failure(f"{name} did not end in time") from hung
        finally:
            self._processes.stop(process)

    def hold(self, target, connections):
        """Opens connections, makes a request on each and holds them; returns the process and how many it holds."""
        command = [self._load, "hold", "--target", f"127.0.0.1:{target.port}", "--connections", str(connections), "--path", "/64"]
        self._remember("ringway-load hold", command)
        process = self._processes.start(command, target.place.namespace, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = process.stdout.readline()
        if not line:
            self._processes.stop(process)
            raise Failure("ringway-load hold said nothing")
        return process, json.loads(line)

    def release(self, process):
        output, _ = process.communicate(timeout=30)
        self._processes.stop(process)
        lines = output.strip().splitlines()
        return json.loads(lines[-1]) if lines else {}

    def h2load(self, target, connections, seconds, path):
        """Another closed loop over HTTP/1.1, to check wrk's figure by."""
        command = [need("h2load"), "--h1", "-t1", f"-c{connections}", f"-D{seconds}", f"http://127.0.0.1:{target.port}{path}"]
        output, cpu = self._run("h2load", target, command, seconds)
        rate = re.search(r"finished in ([\d.]+)s, ([\d.]+) req/s", output)
        failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
        counts = [int(count) for count in failed.groups()] if failed else [0]
        # It counts the requests that its own end cuts off as failed: at most one for each connection.
        errors = {"failed": max(counts)} if max(counts) > connections else {}
        done = float(rate.group(2)) * seconds
        return {"operations": done, "seconds": seconds, "errors": errors, "client_cpu_seconds": cpu}

    def datagrams_closed(self, target, sockets, seconds):
        """Closed loop over UDP: on each socket the next request after the last one's answer, or a second without."""
        found, cpu = self._run_datagrams("closed", target, [sockets, f"{seconds:g}"], seconds)
        return {
            "operations": found["answered"], "seconds": found["seconds"], "errors": _wrong(found, "lost"), "client_cpu_seconds": cpu}

    def datagrams_rate(self, target, sockets, seconds, rate):
        """Open loop over UDP: what has found no answer at the end is lost."""
        found, cpu = self._run_datagrams("rate", target, [sockets, f"{seconds:g}", f"{rate:.0f}"], seconds)
        return {
            "operations": found["answered"], "seconds": found["seconds"], "errors": _wrong(found), "client_cpu_seconds": cpu,
            "loss_share": found["lost"] / found["sent"], "latency_p50_microseconds": found["latency_microseconds"]["p50"],
            "latency_p99_microseconds": found["latency_microseconds"]["p99"]}

    def datagrams_bulk(self, target, seconds, joined, apart=False):
        """Datagrams one way, taken by the client itself behind the target; what arrived is what counts.

        - joined: whether they are sent many at once (UDP_SEGMENT).
        - apart: whether they are taken one by one (without UDP_GRO).
        """
        words = [BULK_BACKEND, f"{seconds:g}", "joined" if joined else "single", *(["apart"] if apart else [])]
        found, cpu = self._run_datagrams("bulk", target, words, seconds, target.bulk_port)
        return {
            "operations": found["datagrams"], "bytes": found["bytes"], "seconds": found["seconds"], "errors": _wrong(found),
            "client_cpu_seconds": cpu, "loss_share": found["lost"] / found["sent"]}

    def _run_datagrams(self, command, target, words, seconds, port=None):
        output, cpu = self._run(
            f"datagrams {command}", target, [self._datagrams, command, str(port or target.port), *map(str, words)], seconds)
        return json.loads(output), cpu

    def _iperf3_command(self, target, streams, seconds, reverse, bitrate):
        return [
            need("iperf3"), "-c", "127.0.0.1", "-p", str(target.bulk_port), "-t", f"{seconds:g}", "-P", str(streams), "-J",
            *(["-R"] if reverse else []), *(["-b", str(bitrate)] if bitrate else [])]

    def _iperf3_sample(self, output, cpu):
        found = json.loads(output)
        if "error" in found:
            raise Failure(f"iperf3: {found['error']}")
        received = found["end"]["sum_received"]
        return {
            "operations": received["bytes"], "bytes": received["bytes"], "seconds": received["seconds"], "errors": {},
            "client_cpu_seconds": cpu}

    def _run(self, name, target, command, seconds):
        self._remember(name, command)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = self._processes.run(command, target.place.namespace, timeout=seconds + 30)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _remember(self, name, command):
        shown = " ".join(word.rsplit("/", 1)[-1] if index == 0 else word for index, word in enumerate(command))
        self.commands.setdefault(name, []).append(shown)


def _wrong(found, *more):
    """What went wrong with datagrams: those that came twice, or cut, or to another; those that were refused."""
    return {kind: found[kind] for kind in ("twice", "foreign", "refused", *more) if found[kind]}
