"""The measuring half of Scripts/gates, which installs and builds first."""

import sys

# Nothing is left in the tree: what a compiled file holds differs between machines.
sys.dont_write_bytecode = True

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
from collections import defaultdict

import counting
import thresholds
from load import Balancer, EngineMissing, connected
from thresholds import Figure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Untracked; callgrind's output stays there for a closer look.
OUTPUT = os.path.join(ROOT, ".build-release", "gates")

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ENGINES = ["io_uring", "epoll"]
WARM_UP = 100
REQUESTS = 2000
CONNECTIONS = 500
CONNECTIONS_AT_ONCE = 64
ROUNDS = 40

# Sizes of the runs under callgrind. Their differences are what a round of connections costs, start-up and warm-up left out.
SIMULATED_CONNECTIONS = 500
BUFFER_BYTES = 256
BYTES = 600
MORE_BUFFERS = 2
# `WarmNames.batch`.
QUERIES_AT_ONCE = 16
# The worker's own part: from the entry of a tick to its end, without what it calls in the simulated driver.
TICK = "$s10Forwarding6WorkerV4tick*"
SIMULATED_DRIVER = "$s15EngineSimulator15SimulatedDriverC0A00D0AadEP*TW"


class Failure(Exception):
    """A gate can't be measured, which is a failure of the run."""


def main():
    options = read_arguments()
    for number in SIGNALS:
        signal.signal(number, stop)
    with open(os.path.join(ROOT, thresholds.FILE)) as file:
        toolchain, limits = thresholds.read(file.read())
    os.makedirs(OUTPUT, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="ringway-gates-")
    runs = []
    try:
        for _ in range(options.repeat):
            runs.append(measure(options, toolchain, folder))
    finally:
        shutil.rmtree(folder)
    if options.repeat > 1:
        report_spread(runs)
    sys.exit(report(thresholds.judge(worst(runs), limits), options.strict))


def stop(number, _):
    """Ends everything, by way of each `finally`; a second signal must not end that."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def read_arguments():
    parser = argparse.ArgumentParser(prog="Scripts/gates", description="Measures what is repeatable and compares it with limits.")
    parser.add_argument("--counter", choices=["auto", "perf", "strace", "driver"], default="auto", help="who counts system calls; "
                        "strace also tells them apart")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="measure N times and show the spread")
    parser.add_argument("--strict", action="store_true", help="fail if something can't be judged here")
    return parser.parse_args()


def measure(options, toolchain, folder):
    """Every figure, once."""
    figures = [simulated_allocations()]
    figures += instructions(toolchain, folder)
    for engine in ENGINES:
        figures += real_worker(engine, options.counter, folder)
    return figures


def report(verdicts, strict):
    print()
    for verdict in verdicts:
        print(f"{verdict.word:5} {verdict.line}")
    failed = sum(verdict.failed for verdict in verdicts)
    open_ones = sum(verdict.word == "----" for verdict in verdicts)
    summary = f"\n{len(verdicts)} gates, {failed} failed"
    if open_ones:
        summary += f", {open_ones} not judged here"
    print(summary, flush=True)
    return 1 if failed or strict and open_ones else 0


def worst(runs):
    """Of each figure the greatest of all runs."""
    figures = {}
    for figure in [figure for run in runs for figure in run]:
        known = figures.setdefault(figure.name, figure)
        if figure.value is not None and (known.value is None or figure.value > known.value):
            figures[figure.name] = figure
    return list(figures.values())


def report_spread(runs):
    values = defaultdict(list)
    for figure in [figure for run in runs for figure in run if figure.value is not None]:
        values[figure.name].append(figure.value)
    print("\nspread: least, greatest")
    for name, found in values.items():
        print(f"      {name}: {min(found):.4f} {max(found):.4f}")


# MARK: the worker on the simulated driver


def simulated_allocations():
    check = os.environ["ALLOCATION_CHECK"]
    done = subprocess.run([check], capture_output=True, text=True, timeout=120)
    text = done.stdout + done.stderr
    # A line for each way to choose, and one for DNS.
    summaries = re.findall(
        r"^.*: \d+ (?:(?:connections|sessions) at once, \d+ ticks|queries), (\d+) allocations$", text, re.MULTILINE)
    if not summaries or done.returncode not in [0, 1]:
        raise Failure(f"AllocationCheck ended with {done.returncode}:\n{text}")
    print("\n".join(f"simulated driver, {line}" for line in text.splitlines()), flush=True)
    return Figure(
        "simulated.allocations", sum(map(int, summaries)),
        look="a breakpoint at malloc after the first round of AllocationCheck")


def instructions(toolchain, folder):
    here = thresholds.Toolchain(swift_version(), platform.machine())
    not_judged = "" if here == toolchain else f"the limit is for {toolchain}, this is {here}"
    # Without its notes for debuggers, which are newer than what Debian's valgrind reads. Symbols stay.
    program = os.path.join(OUTPUT, "AllocationCheck")
    run_tool(["strip", "--strip-debug", "-o", program, os.environ["ALLOCATION_CHECK"]])
    connection = per_connection(program, BYTES, folder)
    longer = per_connection(program, BYTES + MORE_BUFFERS * BUFFER_BYTES, folder)
    look = f"callgrind_annotate {os.path.relpath(callgrind_file(BYTES), ROOT)}"
    answer = per_answer(program, folder)
    return [
        Figure("simulated.instructions_per_connection", connection, not_judged, look),
        # There and back.
        Figure("simulated.instructions_per_buffer", (longer - connection) / (2 * MORE_BUFFERS), not_judged, look),
        Figure(
            "simulated.instructions_per_answer", answer, not_judged,
            f"callgrind_annotate {os.path.relpath(callgrind_file('dns'), ROOT)}"),
    ]


def per_connection(program, size, folder):
    few, many = 2, 4
    counts = [callgrind(program, [SIMULATED_CONNECTIONS, rounds, size], size, folder) for rounds in (few, many)]
    result = (counts[1] - counts[0]) / ((many - few) * SIMULATED_CONNECTIONS)
    print(f"callgrind: {result:.1f} instructions for a connection that sends {size} bytes and gets them back", flush=True)
    return result


def per_answer(program, folder):
    """Of a query that was answered before, after enough of them for each to have been."""
    few, many = 250, 450
    counts = [callgrind(program, ["dns", rounds], "dns", folder) for rounds in (few, many)]
    result = (counts[1] - counts[0]) / ((many - few) * QUERIES_AT_ONCE)
    print(f"callgrind: {result:.1f} instructions for an answer of DNS", flush=True)
    return result


def callgrind_file(name):
    return os.path.join(OUTPUT, f"callgrind.{name}.out")


def callgrind(program, arguments, name, folder):
    # AllocationCheck ends with 1 where something was allocated, which is another gate's business.
    text = run_tool(
        ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={TICK}", f"--toggle-collect={SIMULATED_DRIVER}",
         f"--callgrind-out-file={callgrind_file(name)}", program, *map(str, arguments)],
        # Swift seeds its hashes anew in each process otherwise.
        environment={"SWIFT_DETERMINISTIC_HASHING": "1", "HOME": folder}, accepted=(0, 1))
    collected = re.search(r"Collected : (\d+)", text)
    if collected is None or int(collected.group(1)) == 0:
        raise Failure(f"callgrind counted nothing: does AllocationCheck still have functions like {TICK}?\n{text}")
    return int(collected.group(1))


def run_tool(command, environment=None, accepted=(0,)):
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, cwd=ROOT, env={**os.environ, **(environment or {})})
    except FileNotFoundError:
        raise Failure(f"there is no {command[0]}: run Scripts/install gates") from None
    if done.returncode not in accepted:
        raise Failure(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def swift_version():
    found = re.search(r"Swift version ([0-9.]+)", run_tool(["swift", "--version"]))
    return found.group(1) if found else "unknown"


# MARK: the program on the real engines


def real_worker(engine, wanted, folder):
    try:
        balancer = Balancer(os.environ["RINGWAY"], engine, folder)
    except EngineMissing as missing:
        print(f"{engine}: not granted here: {missing}", flush=True)
        return [Figure(f"{engine}.{name}", None, f"no {engine} here") for name in [
            f"{what}_per_{unit}" for unit in ["request", "connection", "request_of_64"]
            for what in ["system_calls", "allocations", "system_calls_not_counted"]]]
    try:
        counter, reasons = counting.choose(
            wanted, balancer.process.pid, balancer.thread, folder, lambda: balancer.connections(10))
        for reason in reasons:
            print(f"{engine}: {reason}", flush=True)
        if counter is None:
            print(f"{engine}: NOBODY COUNTS FROM OUTSIDE: system calls are those that the driver says it made", flush=True)
        gauge = Gauge(balancer, counter, folder)
        return gauge.measure_all()
    finally:
        balancer.close()


class Gauge:
    def __init__(self, balancer, counter, folder):
        self.balancer, self.counter, self.folder = balancer, counter, folder

    def measure_all(self):
        balancer = self.balancer
        figures = []
        balancer.connections(WARM_UP)
        with connected(balancer, 1) as pairs:
            balancer.requests(WARM_UP, *pairs[0])
            figures += self.measure("request", lambda: balancer.requests(REQUESTS, *pairs[0]))
        figures += self.measure("connection", lambda: balancer.connections(CONNECTIONS))
        with connected(balancer, CONNECTIONS_AT_ONCE) as pairs:
            balancer.rounds(2, pairs)
            figures += self.measure(f"request_of_{CONNECTIONS_AT_ONCE}", lambda: balancer.rounds(ROUNDS, pairs))
        return figures

    def measure(self, unit, load):
        balancer = self.balancer
        counter = self.counter and self.counter(balancer.process.pid, balancer.thread, self.folder)
        try:
            before = balancer.worker()
            if counter:
                counter.begin()
            units = load()
            calls = counter.end() if counter else None
            after = balancer.worker()
        finally:
            if counter:
                counter.close()
        if after["allocations"] is None:
            raise Failure("ringway does not count its allocations")
        ticks, own, allocations = (after[name] - before[name] for name in ["ticks", "systemCalls", "allocations"])
        outside = sum(calls.values()) if calls else None
        self.describe(unit, units, ticks, own, calls)
        engine = balancer.engine
        look = f"`Scripts/gates --counter strace` tells the calls apart; ticks are {ticks / units:.3f} per {unit}"
        disagreement = Figure(f"{engine}.system_calls_not_counted_per_{unit}", look="a call that does not add to `systemCalls`, "
                              "or that adds twice; " + look)
        if outside is None:
            disagreement.not_judged = "nobody counts from outside"
        else:
            disagreement.value = abs(outside - own) / units
        return [
            Figure(f"{engine}.system_calls_per_{unit}", (own if outside is None else outside) / units, look=look),
            disagreement,
            Figure(
                f"{engine}.allocations_per_{unit}", allocations / units,
                look=f"{allocations} in {units}; a breakpoint at malloc in the thread ringway-0 under such a load"),
        ]

    def describe(self, unit, units, ticks, own, calls):
        name = self.counter.name if self.counter else "nobody"
        outside = sum(calls.values()) if calls else "-"
        print(
            f"{self.balancer.engine}: {units} of {unit}: {ticks} ticks, {own} system calls by the driver's count, {outside} by {name}",
            flush=True)
        if calls and "" not in calls:
            by_name = sorted(calls.items(), key=lambda item: -item[1])
            print("    " + ", ".join(f"{call} {count / units:.3f}" for call, count in by_name), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (Failure, RuntimeError, OSError, counting.Denied, subprocess.SubprocessError, thresholds.MalformedThresholds) as failure:
        sys.exit(f"Scripts/gates: {failure}")
