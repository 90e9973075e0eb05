"""Scripts/bench: Ringway beside what a user would pick instead, in one run."""

import argparse
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import aims
import machine
import names
import report
import scenarios
import targets
from bench import Bench
from processes import Failure, Processes, find, raise_file_limit
from tools import Tools

#: Each by its name once.
_KINDS = list({kind.name: kind for kind in [*names.ALL, *targets.ALL]}.values())
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def arguments():
    parser = argparse.ArgumentParser(
        prog="Scripts/bench", description="Measures Ringway beside its peers on loopback, in network namespaces of its own, round by round.",
        epilog="A run of everything (no scenario, no --target, no --quick) also writes Benchmarks/REPORT.md and README's table.")
    parser.add_argument(
        "scenarios", metavar="SCENARIO", nargs="*",
        help=f"what to measure (default: all but {scenarios.ON_REQUEST[0]}): {', '.join(scenarios.ALL)}")
    parser.add_argument("--quick", action="store_true", help="three rounds of a second: a look, not a measurement (about fourteen minutes)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds; each target is played once in each (default 5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of one play (default 3)")
    parser.add_argument(
        "--idle-wait", type=float, default=10, metavar="S",
        help="how long the connections of idle are left alone before memory is read (default 10)")
    parser.add_argument(
        "--target", action="append", default=[], metavar="NAME", nargs="+",
        help=f"what to measure it with (default: all): {', '.join(kind.name for kind in _KINDS)}")
    parser.add_argument("--json", metavar="FILE", help="write all figures there; rewritten after each scenario")
    parser.add_argument("--ringway", metavar="FILE", help="a program built before, in place of a release build of this checkout")
    parser.add_argument("--render", metavar="FILE", help="measure nothing: write the report from the figures of an earlier --json")
    given = parser.parse_args()
    given.target = [name for names in given.target for name in names]
    for name in given.scenarios:
        if name not in scenarios.ALL:
            parser.error(f"there is no scenario \"{name}\": choose from {', '.join(scenarios.ALL)}")
    for name in given.target:
        if name not in [kind.name for kind in _KINDS]:
            parser.error(f"there is no target \"{name}\": choose from {', '.join(kind.name for kind in _KINDS)}")
    given.rounds = given.rounds or (3 if given.quick else 5)
    given.seconds = given.seconds or (1 if given.quick else 3)
    if not 1 <= given.rounds <= 1000:
        parser.error("--rounds must be from 1 to 1000")
    if not 1 <= given.idle_wait <= 600:
        parser.error("--idle-wait must be from 1 to 600")
    if not 0.5 <= given.seconds <= 600:
        parser.error("--seconds must be from 0.5 to 600")
    return given


def main():
    given = arguments()
    if given.render:
        with open(given.render) as file:
            report.write_report(json.load(file), ROOT)
        return
    for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(name, _interrupted)
    subprocess.run([os.path.join(ROOT, "Scripts", "install"), "benchmarks"], check=True)
    tools = Tools(ROOT, given.ringway)
    raise_file_limit()
    folder = tempfile.mkdtemp(prefix="ringway-bench-")
    processes = Processes(folder)
    bench = Bench(processes, folder, tools, given.target, given.rounds, given.seconds, given.quick, given.idle_wait)
    began = time.monotonic()
    try:
        bench.start()
        chosen = given.scenarios or [name for name in scenarios.ALL if name not in scenarios.ON_REQUEST]
        document = _document(bench, given)
        for name in chosen:
            known = len(bench.results)
            scenarios.ALL[name](bench)
            for result in bench.results[known:]:
                print(report.to_terminal(result), flush=True)
            document |= {"scenarios": bench.results, "clients": [runs[0] for runs in bench.clients.commands.values()]}
            document["aims"] = aims.check(bench.results)
            document["minutes"] = round((time.monotonic() - began) / 60, 1)
            _write_json(document, given.json)
        _close(document, given)
    finally:
        processes.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def _interrupted(number, _):
    raise SystemExit(128 + number)


def _document(bench, given):
    # Where the figures went says nothing about them.
    words = [word for index, word in enumerate(sys.argv) if index > 0 and word != "--json" and sys.argv[index - 1] != "--json"]
    versions = bench.describe() | {
        "nginx (backend)": machine.version([find("nginx"), "-v"]), "wrk": machine.version([find("wrk"), "-v"]),
        "iperf3": machine.version([find("iperf3"), "--version"])}
    return {
        "schema": 1,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join(["Scripts/bench", *words]),
        "machine": machine.describe(ROOT),
        "versions": versions,
        "left_out": bench.left_out,
        "configurations": bench.configurations,
        "scenarios": [],
    }


def _write_json(document, path):
    if path:
        with open(path + ".new", "w") as file:
            json.dump(document, file, indent=1)
        os.rename(path + ".new", path)


def _close(document, given):
    if told := report.aims_to_terminal(document["aims"]):
        print(told)
    wrong = report.headline_of_errors(document["scenarios"])
    for line in wrong:
        print(f"ERROR {line}")
    print(f"{document['minutes']:g} minutes. {'No errors.' if not wrong else f'{len(wrong)} kinds of errors: see above.'}")
    if not given.scenarios and not given.target and not given.quick:
        report.write_report(document, ROOT)
        print("written: Benchmarks/REPORT.md, Benchmarks/report/, the table in README.md")


try:
    main()
except Failure as failure:
    sys.exit(f"Scripts/bench: {failure}")
except subprocess.CalledProcessError as failure:
    sys.exit(f"Scripts/bench: {os.path.basename(failure.cmd[0])} failed: see above")
