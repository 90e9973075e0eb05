"""What is measured. Each scenario asks the bench to play one client against every target, round by round."""

import contextlib
import http.client
import os
import statistics
import time

import machine
from names import dns
from processes import Failure
from scale import scale
from steering import by_cpu
from targets import BACKEND_PORTS, FRESH_PORT, RingwayEpoll, RingwayUring, Steering

#: Connections of the idle scenario: two descriptors each in a balancer, and 20,000 are the limit on many machines.
IDLE_CONNECTIONS = 9000
#: The open loops of `latency`: requests are due at multiples of these microseconds (with 100 wake-ups alone fill two CPUs at half
#: load), and connections that may carry them.
GATHER_MICROSECONDS = 200
LATENCY_CONNECTIONS = 64
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
#: Clients of `udp`: sessions of a balancer.
UDP_SOCKETS = 64


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
    """Open loop at 30, 50 and 70 % of HAProxy's maximum, or of the slowest target's where HAProxy is not played."""
    maxima = {}
    for target in [target for target in bench.targets if target.name == "haproxy"] or bench.targets:
        bench.say(f"latency: maximum of {target.title}")
        try:
            samples = [bench.clients.closed(target, LATENCY_CONNECTIONS, 20_000) for _ in range(5)]
            maxima[target.title] = statistics.median(sample["operations"] / sample["seconds"] for sample in samples)
        except Failure as failure:
            bench.lose("latency", target, failure)
    if not maxima:
        return
    slowest = min(maxima, key=maxima.get)
    for share in (30, 50, 70):
        rate = maxima[slowest] * share / 100
        name = f"latency {share}%"
        title = f"Latency at {rate:,.0f} requests/s, open loop ({share} % of the maximum of {slowest} with the same client)"
        if reason := _client_is_bottleneck(bench, rate):
            bench.refuse(name, title, reason)
            continue
        bench.measure(name, title, lambda target, turn, rate=rate: _open_loop(bench, target, rate, bench.seconds, turn + 1))


def _open_loop(bench, target, rate, seconds, seed):
    return bench.clients.latency(target, rate, LATENCY_CONNECTIONS, seconds, seed, GATHER_MICROSECONDS)


def _client_is_bottleneck(bench, rate):
    direct = next((target for target in bench.all_targets if target.name == "direct"), None)
    if direct is None:
        return None
    # The best of three: what else a shared machine does for a moment is no bottleneck.
    samples = [_open_loop(bench, direct, rate, 1, seed=turn + 1) for turn in range(3)]
    share = min(sample["client_cpu_share"] for sample in samples)
    if share > CLIENT_SHARE_MAX:
        return f"the client alone takes {share:.0%} of a CPU at this rate"
    # Nothing was sent in time where a request was always waiting before.
    lag = min(sample["send_lag_p99_microseconds"] or float("inf") for sample in samples)
    if lag > SEND_LAG_MAX_MICROSECONDS:
        return f"the client sends one request in a hundred {lag:.0f} us late at this rate"
    return None


def bulk(bench):
    """Bytes through one port: 1 and 8 streams, each way.

    iperf3 is kept off the target's CPU. Otherwise the scheduler's placement decides: to wake a thread on a CPU that is halted takes
    a virtual machine longer than to splice what it waits for, and cost one target twice the time of another in the same round.
    """
    targets = [target for target in bench.played if target.takes_bulk]
    for streams in (1, 8):
        for reverse in (False, True):
            def play(target, turn, streams=streams, reverse=reverse):
                with machine.apart(target.pids()):
                    return bench.clients.iperf3(target, streams, bench.seconds, reverse)

            bench.measure(
                f"bulk {streams} {'down' if reverse else 'up'}",
                f"Bulk: {streams} stream{'s' if streams > 1 else ''}, {'to' if reverse else 'from'} the client", play, targets)


def idle(bench):
    """Memory for each of 9,000 connections that do nothing. Each target is started afresh: what it has used before is no growth."""
    def play(target, turn):
        fresh = bench.fresh(target, BACKEND_PORTS, "-idle")
        try:
            bench.clients.release(bench.clients.hold(fresh, 8)[0])
            time.sleep(0.3)
            resident, before = machine.resident_bytes(fresh.pids()), machine.slabs()
            process, opened = bench.clients.hold(fresh, IDLE_CONNECTIONS)
            try:
                held = max(1, opened["held"])
                # The kernel frees in batches.
                time.sleep(1)
                at_first = _growth(before, machine.slabs(), held)
                # A balancer may do something about a connection that has been idle for a while.
                time.sleep(max(0.0, bench.idle_wait - 1))
                slabs = _growth(before, machine.slabs(), held)
                sample = {
                    "operations": opened["held"], "seconds": 0, "errors": {k: n for k, n in opened["errors"].items() if n},
                    "kernel_memory_bytes_per_connection": sum(slabs.values()), "slabs": slabs, "slabs_at_first": at_first,
                }
                if fresh.pids():
                    sample["memory_bytes_per_connection"] = (machine.resident_bytes(fresh.pids()) - resident) / held
                    wakeups = machine.wakeups(fresh.pids())
                    time.sleep(1)
                    sample["wakeups_per_second"] = machine.wakeups(fresh.pids()) - wakeups
                return sample
            finally:
                bench.clients.release(process)
        finally:
            fresh.stop()

    caches = {}

    def relate(turn):
        """Takes off what client and backend have in the kernel: with `direct` there is nothing else."""
        for name, sample in turn.items():
            if name == "direct" or "direct" not in turn:
                continue
            own = _growth(turn["direct"]["slabs"], sample["slabs"], 1)
            at_first = _growth(turn["direct"]["slabs_at_first"], sample["slabs_at_first"], 1)
            sample["kernel_memory_own_bytes_per_connection"] = sum(own.values())
            sample["kernel_memory_own_at_first_bytes_per_connection"] = sum(at_first.values())
            caches.setdefault(name, []).append(own)

    # A namespace's backend is the same for all targets in it, and so is what `direct` takes.
    targets = [target for target in bench.all_targets if target.takes_requests]
    result = bench.measure(
        "idle",
        f"{IDLE_CONNECTIONS:,} connections, idle for {bench.idle_wait:g} s (kernel: client, balancer and backend; own: without direct's)",
        play, targets, rounds=1 if bench.quick else min(bench.rounds, 3), with_cpu=False, relate=relate)
    result["notes"] = [f"{target['title']}, own kernel bytes by cache: {_largest(caches[target['name']])}."
                       for target in result["targets"] if target["name"] in caches]


def _growth(before, after, over):
    """By cache; small changes are the machine's."""
    grown = {name: (after.get(name, 0) - before.get(name, 0)) / over for name in before.keys() | after.keys()}
    return {name: growth for name, growth in grown.items() if abs(growth) >= 1}


def _largest(rounds, count=8):
    medians = {name: statistics.median(found.get(name, 0) for found in rounds) for name in set().union(*rounds)}
    largest = sorted((name for name in medians if abs(medians[name]) >= 8), key=lambda name: -abs(medians[name]))[:count]
    return ", ".join(f"{name} {medians[name]:,.0f}" for name in largest) or "none"


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


def steering(bench):
    """Ways to spread new connections over a pinned worker for each CPU: what a worker's share and cost are with each."""
    place = bench.all_targets[0].place
    ways = [
        Steering(place, name, title) for name, title in (
            ("hash", "a listener each, by hash"), ("cpu", "a listener each, by CPU of the SYN"),
            ("shared", "one listener, emptied at a wake-up"), ("shared-1", "one listener, one at a wake-up"))]
    for clients, where in (("spread", "every CPU"), ("one", "one CPU")):
        def play(way, turn, clients=clients):
            found = way.play(clients, bench.seconds)
            return {
                "operations": found["connections"], "seconds": found["seconds"], "errors": {}, "cpu_seconds": found["cpu_seconds"],
                "busiest_share": found["busiest_share"], "busiest_slice_share": found["busiest_slice_share"],
                "accepts_in_vain_per_operation": found["accepts_in_vain"] / found["connections"],
                "latency_p50_microseconds": found["p50_microseconds"], "latency_p99_microseconds": found["p99_microseconds"]}

        bench.measure(
            f"steering {clients}", f"A bare server, a worker for each CPU, clients on {where} (CPU: the workers')", play, ways,
            with_cpu=False)

    cpus = len(os.sched_getaffinity(0))
    with contextlib.ExitStack() as running:
        teams = []
        for kind in (RingwayUring, RingwayEpoll):
            for way in ("hash", "cpu"):
                team = kind(place, FRESH_PORT + 200 * len(teams), BACKEND_PORTS, f"-{way}")
                team.name, team.title, team.workers = f"{kind.name}-{way}", f"{kind.title}, by {way}", cpus
                team.start()
                running.callback(team.stop)
                if way == "cpu":
                    by_cpu(team.process.pid, team.port)
                teams.append(team)

        def play_team(team, turn):
            before = [worker["connectionsAccepted"] for worker in team.worker_statistics()]
            sample = bench.clients.wrk(team, 64, bench.seconds, "/64", new_connections=True, threads=cpus)
            accepted = [worker["connectionsAccepted"] - count for worker, count in zip(team.worker_statistics(), before)]
            return sample | {"busiest_share": max(accepted) / max(1, sum(accepted))}

        bench.measure("steering ringway", f"Ringway with {cpus} workers, a connection for each request, steered from outside", play_team, teams)


def udp(bench):
    """Datagrams: requests that are answered, many one way, and what is lost of a steady rate."""
    with bench.datagram_targets() as played:
        asked = bench.measure(
            "udp 64 B", f"UDP: requests of 64 B, one at a time on each of {UDP_SOCKETS} sockets",
            lambda target, turn: bench.clients.datagrams_closed(target, UDP_SOCKETS, bench.seconds), played)
        for name, how, joined, apart in (
                ("joined", "54 at once (UDP_SEGMENT)", True, False), ("single", "sent one by one", False, False),
                ("apart", "54 at once, taken one by one (without UDP_GRO)", True, True)):
            def play(target, turn, joined=joined, apart=apart):
                with machine.apart(target.pids()):
                    return bench.clients.datagrams_bulk(target, bench.seconds, joined, apart)

            bench.measure(
                f"udp bulk {name}", f"UDP: datagrams of 1,200 B to one peer, {how}", play,
                [target for target in played if target.takes_bulk], relate=_megabytes)
        _half_rate(bench, asked, [target for target in played if target.takes_bulk])


def _half_rate(bench, asked, targets):
    """All at one rate: half of what the fastest balancer reached in the closed loop."""
    balancers = {target.name for target in targets if target.has_process} or {target.name for target in targets}
    reached = {found["title"]: found["operations_per_second"] for found in asked["targets"] if found["name"] in balancers}
    if not reached:
        return
    fastest = max(reached, key=reached.get)
    rate = reached[fastest] / 2
    name, title = "udp half rate", f"UDP: {rate:,.0f} requests/s of 64 B, open loop (half the maximum of {fastest} in the closed loop)"

    def play(target, turn):
        return bench.clients.datagrams_rate(target, UDP_SOCKETS, bench.seconds, rate)

    for direct in (target for target in targets if target.name == "direct"):
        sample = play(direct, 0)
        share = sample["client_cpu_seconds"] / sample["seconds"]
        if share > CLIENT_SHARE_MAX:
            return bench.refuse(name, title, f"the client alone takes {share:.0%} of a CPU at this rate")
    bench.measure(name, title, play, targets, relate=_loss_over_direct)


def _megabytes(turn):
    for sample in turn.values():
        if sample.get("cpu_seconds"):
            sample["megabytes_per_cpu_second"] = sample["bytes"] / 1e6 / sample["cpu_seconds"]


def _loss_over_direct(turn):
    """What a target loses more than the machine does without it."""
    for name, sample in turn.items():
        if name != "direct" and "direct" in turn:
            sample["loss_over_direct"] = sample["loss_share"] - turn["direct"]["loss_share"]


ALL = {
    function.__name__: function
    for function in (calibrate, keepalive, connections, latency, bulk, idle, fairness, failure, change, scale, udp, dns, steering)
}
#: Played only when asked for: it measures the kernel, and no target.
ON_REQUEST = ["steering"]

