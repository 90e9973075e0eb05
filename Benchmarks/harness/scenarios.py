"""What is measured. Each scenario asks the bench to play one client against every target, round by round."""

import http.client
import statistics
import time

import machine
from processes import Failure
from targets import BACKEND_PORTS

#: Connections of the idle scenario: two descriptors each in a balancer, and 20,000 are the limit on many machines.
IDLE_CONNECTIONS = 9000
#: A client that is busier than this, or this late, measures itself.
CLIENT_SHARE_MAX = 0.7
SEND_LAG_MAX_MICROSECONDS = 500
#: Ports of backends that a scenario has for itself.
FAILURE_PORTS = [9011, 9012, 9013]
CHANGE_PORTS = [9021, 9022]
#: Requests per second and stream rate of `fairness`: what every target can carry at once, so that all do the same work.
FAIRNESS_RATE = 1000
FAIRNESS_BITRATE = 2_000_000_000
FAILURE_RATE = 400


def calibrate(bench):
    """What client and backends can do without a balancer, and which of them is the bottleneck."""
    direct = [target for target in bench.targets if not target.has_process and not target.is_peer]
    if not direct:
        return
    clients = bench.clients
    runs = [
        ("keep-alive, 64 B", lambda target, turn: clients.wrk(target, 64, bench.seconds, "/64")),
        ("keep-alive, 64 B, h2load", lambda target, turn: clients.h2load(target, 64, max(1, round(bench.seconds)), "/64")),
        ("keep-alive, 16 KB", lambda target, turn: clients.wrk(target, 64, bench.seconds, "/16384")),
        ("new connections", lambda target, turn: clients.wrk(target, 64, bench.seconds, "/64", new_connections=True)),
        ("open loop, 5,000/s", lambda target, turn: clients.latency(target, 5000, 64, bench.seconds, seed=turn + 1)),
        ("open loop, 10,000/s", lambda target, turn: clients.latency(target, 10_000, 64, bench.seconds, seed=turn + 1)),
        ("one stream", lambda target, turn: clients.iperf3(target, 1, bench.seconds, reverse=False)),
    ]
    for title, play in runs:
        bench.measure(f"calibrate {title}", f"Without a balancer: {title}", play, direct)


def keepalive(bench):
    """Requests over connections that stay."""
    for path, size in (("/64", "64 B"), ("/16384", "16 KB")):
        for connections in (8, 64, 256):
            bench.measure(
                f"keepalive c={connections} {size}", f"Keep-alive requests: {connections} connections, {size}",
                lambda target, turn, connections=connections, path=path: bench.clients.wrk(target, connections, bench.seconds, path))


def connections(bench):
    """A new connection for each request."""
    bench.measure(
        "connections", "A new connection for each request: 64 at a time, 64 B",
        lambda target, turn: bench.clients.wrk(target, 64, bench.seconds, "/64", new_connections=True))


def latency(bench):
    """Open loop at 30, 50 and 70 % of what the slowest target manages."""
    maxima = {}
    for target in bench.targets:
        bench.say(f"latency: maximum of {target.title}")
        try:
            sample = bench.clients.wrk(target, 64, min(bench.seconds, 2), "/64")
            maxima[target.title] = sample["operations"] / sample["seconds"]
        except Failure as failure:
            bench.lose("latency", target, failure)
    if not maxima:
        return
    slowest = min(maxima, key=maxima.get)
    for share in (30, 50, 70):
        rate = maxima[slowest] * share / 100
        name = f"latency {share}%"
        title = f"Latency at {rate:,.0f} requests/s, open loop ({share} % of the maximum of {slowest}, the slowest)"
        if reason := _client_is_bottleneck(bench, rate):
            bench.refuse(name, title, reason)
            continue
        bench.measure(
            name, title,
            lambda target, turn, rate=rate: bench.clients.latency(target, rate, 64, bench.seconds, seed=turn + 1))


def _client_is_bottleneck(bench, rate):
    direct = next((target for target in bench.all_targets if target.name == "direct"), None)
    if direct is None:
        return None
    sample = bench.clients.latency(direct, rate, 64, 1)
    if sample["client_cpu_share"] > CLIENT_SHARE_MAX:
        return f"the client alone takes {sample['client_cpu_share']:.0%} of a CPU at this rate"
    if sample["send_lag_p99_microseconds"] > SEND_LAG_MAX_MICROSECONDS:
        return f"the client sends one request in a hundred {sample['send_lag_p99_microseconds']:.0f} us late at this rate"
    return None


def bulk(bench):
    """Bytes through one port: 1 and 8 streams, each way."""
    targets = [target for target in bench.targets if target.takes_bulk]
    for streams in (1, 8):
        for reverse in (False, True):
            way = "down" if reverse else "up"
            bench.measure(
                f"bulk {streams} {way}", f"Bulk: {streams} stream{'s' if streams > 1 else ''}, {'to' if reverse else 'from'} the client",
                lambda target, turn, streams=streams, reverse=reverse: bench.clients.iperf3(target, streams, bench.seconds, reverse),
                targets)


def idle(bench):
    """Memory for each of 9,000 connections that do nothing. Each target is started afresh: what it has used before is no growth."""
    def play(target, turn):
        fresh = bench.fresh(target, BACKEND_PORTS, "-idle")
        try:
            bench.clients.release(bench.clients.hold(fresh, 8)[0])
            time.sleep(0.3)
            resident, kernel = machine.resident_bytes(fresh.pids()), machine.kernel_bytes()
            process, opened = bench.clients.hold(fresh, IDLE_CONNECTIONS)
            try:
                # Slabs settle: the kernel frees in batches.
                time.sleep(1)
                wakeups = machine.wakeups(fresh.pids())
                sample = {
                    "operations": opened["held"], "seconds": 0, "errors": {k: n for k, n in opened["errors"].items() if n},
                    "memory_bytes_per_connection": (machine.resident_bytes(fresh.pids()) - resident) / max(1, opened["held"]),
                    "kernel_memory_bytes_per_connection": (machine.kernel_bytes() - kernel) / max(1, opened["held"]),
                }
                time.sleep(1)
                sample["wakeups_per_second"] = machine.wakeups(fresh.pids()) - wakeups
                if not fresh.pids():
                    del sample["memory_bytes_per_connection"], sample["wakeups_per_second"]
                return sample
            finally:
                bench.clients.release(process)
        finally:
            fresh.stop()

    bench.measure(
        "idle", f"{IDLE_CONNECTIONS:,} idle connections (kernel memory: client, balancer and backend together)", play,
        rounds=1 if bench.quick else min(bench.rounds, 3), with_cpu=False)


def fairness(bench):
    """Small requests beside one bulk stream of a fixed rate, and without it."""
    def play(target, turn):
        seconds = bench.seconds
        alone = bench.clients.latency(target, FAIRNESS_RATE, 16, seconds, seed=turn + 1)
        server = bench.clients.iperf3_server(target)
        try:
            stream = bench.clients.iperf3_beside(target, seconds + 1, FAIRNESS_BITRATE)
            time.sleep(0.4)
            beside = bench.clients.latency(target, FAIRNESS_RATE, 16, seconds, seed=turn + 1)
            carried = bench.clients.iperf3_result(stream, seconds + 1)
        finally:
            bench.processes.stop(server)
        beside["beside_bulk_p99_over_alone"] = beside["latency_p99_microseconds"] / alone["latency_p99_microseconds"]
        beside["stream_bytes_per_second"] = carried["bytes"] / carried["seconds"]
        return beside

    bench.measure(
        "fairness", f"{FAIRNESS_RATE:,} requests/s beside a stream of {FAIRNESS_BITRATE // 10**9} Gbit/s", play,
        [target for target in bench.targets if target.takes_bulk], with_cpu=False)


def failure(bench):
    """One of three backends is killed under steady load, a connection for each request: how many requests fail?"""
    targets = [target for target in bench.targets if target.takes_other_backends and target.is_peer]
    seconds = max(3.0, bench.seconds)
    killed_after = 1.0

    def play(target, turn):
        backends = [target.place.start_backend(f"failure-{port}", [port]) for port in FAILURE_PORTS]
        fresh = None
        try:
            fresh = bench.fresh(target, FAILURE_PORTS, "-failure")
            load = bench.clients.latency_beside(fresh, FAILURE_RATE, 64, seconds, seed=turn + 1)
            time.sleep(killed_after)
            bench.processes.kill(backends.pop(1))
            found = bench.clients.latency_result(load, seconds)
        finally:
            if fresh:
                fresh.stop()
            bench.processes.stop(*backends)
        last = max((index for index, count in enumerate(found["failures_by_100ms"]) if count), default=None)
        # What is asked here is how many failed and what the worst waited; a curve of 1,200 requests would say little.
        shown = ("operations", "seconds", "failed", "errors", "latency_p99_microseconds", "latency_maximum_microseconds")
        found = {name: found[name] for name in shown}
        return found | {"recovery_seconds": 0 if last is None else max(0.0, (last + 1) / 10 - killed_after)}

    bench.measure(
        "failure", f"One of three backends killed at {FAILURE_RATE} new connections/s", play, targets, with_cpu=False,
        errors_are_figures=True)


def change(bench):
    """From the writing of a file to the first answer of the endpoint it names."""
    targets = [target for target in bench.targets if target.takes_other_backends and target.is_peer]
    changes = 3 if bench.quick else 10

    def play(target, turn):
        backends = target.place.start_backend("change", CHANGE_PORTS)
        fresh = None
        times, refused = [], 0
        try:
            fresh = bench.fresh(target, CHANGE_PORTS[:1], "-change", reloads=True)
            now, other = CHANGE_PORTS
            with bench.inside(target.place.namespace):
                refused += _wait_for(fresh.port, now)[1]
                for _ in range(changes):
                    time.sleep(0.2)
                    began = time.monotonic()
                    fresh.replace_backends([other])
                    ended, failures = _wait_for(fresh.port, other)
                    times.append(ended - began)
                    refused += failures
                    now, other = other, now
        finally:
            if fresh:
                fresh.stop()
            bench.processes.stop(backends)
        return {
            "operations": changes, "seconds": 0, "errors": {"connection": refused} if refused else {},
            "change_p50_milliseconds": statistics.median(times) * 1e3, "change_maximum_milliseconds": max(times) * 1e3,
        }

    bench.measure(
        "change", f"File written to first answer of the new endpoint ({changes} changes a round)", play, targets, with_cpu=False,
        errors_are_figures=True)


def _wait_for(port, backend, timeout=15):
    """Asks, a connection each time, until the backend of that port answers; returns when it did, and failures meanwhile."""
    failures = 0
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            client.request("GET", "/who")
            if client.getresponse().read() == str(backend).encode():
                return time.monotonic(), failures
        except (OSError, http.client.HTTPException):
            failures += 1
        finally:
            client.close()
    raise Failure(f"the endpoint on port {backend} was not reached within {timeout} s of the change")


ALL = {
    function.__name__: function
    for function in (calibrate, keepalive, connections, latency, bulk, idle, fairness, failure, change)
}

