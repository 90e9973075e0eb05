"""The bench itself: starts what is measured, plays scenarios round by round, keeps the figures."""

import contextlib
import os
import sys

import datagrams
import figures
import machine
import names
import targets as all_of
from clients import Clients
from processes import Failure, Namespace, enter, last_words
from targets import BACKEND_PORTS, FRESH_PORT, Place

#: The first port of the targets; each has one, and one a hundred above for bulk.
FIRST_PORT = 7001


class Bench:
    """
    - rounds: each target is played once in each.
    - seconds: length of one play.
    - idle_wait: how long the connections of `idle` have been idle when it looks at memory.
    """

    def __init__(self, processes, folder, tools, chosen, rounds, seconds, quick, idle_wait=10):
        self.processes = processes
        self.rounds = rounds
        self.seconds = seconds
        self.quick = quick
        self.idle_wait = idle_wait
        self.clients = Clients(processes, tools)
        self.tools = tools
        self.results = []
        self.left_out = {}
        #: How each target was started.
        self.configurations = {}
        self._chosen = chosen
        self._common = self._nat = None
        self._folder = folder
        self._fresh = 0
        #: What is measured, and what of it takes requests: the others are for bulk only.
        self.played = []
        self.targets = []
        #: The same and `direct`, which checks the client even where it is not asked for.
        self.all_targets = []

    def start(self):
        """Starts backends and every target that can run here; says which can't."""
        self._common, self._nat = self._places()
        for index, kind in enumerate(all_of.ALL):
            if self._is_asked_for(kind) or kind is all_of.Direct:
                target = self._started(kind, FIRST_PORT + index, BACKEND_PORTS)
                if target is None:
                    continue
                self.all_targets.append(target)
                if self._is_asked_for(kind):
                    self.played.append(target)
                    if target.takes_requests:
                        self.targets.append(target)
        if not self.played and not any(kind.name in self._chosen for kind in names.ALL):
            raise Failure("no target runs here")

    def _is_asked_for(self, kind):
        return not self._chosen or kind.name.removesuffix("-udp") in self._chosen

    def _started(self, kind, port, backends, instance=""):
        """A target, started; None where it can't run here, which is said."""
        place = self._nat if issubclass(kind, all_of.KernelNAT) else self._common
        reason = kind.missing(self.tools) if place else "no network namespace can be made here"
        if reason is None:
            target = kind(place, port, backends, instance)
            try:
                target.start()
                if target.process:
                    self.configurations[kind.name.removesuffix("-udp") + instance] = self._shown(target)
                return target
            except Failure as failure:
                reason = str(failure)
                with contextlib.suppress(Failure):
                    target.stop()
        self.left_out[kind.name.removesuffix("-udp") + instance] = reason
        print(f"without {kind.title}{f' ({instance[1:]})' if instance else ''}: {reason}", file=sys.stderr)
        return None

    def _shown(self, target):
        words = target.process.args[len(enter(target.place.namespace)):]
        return " ".join(os.path.basename(word) if index == 0 else word.replace(self._folder, "FOLDER") for index, word in enumerate(words))

    @contextlib.contextmanager
    def datagram_targets(self):
        """What is asked for of the targets for UDP, and the servers behind them, for as long as the scenario lasts."""
        with contextlib.ExitStack() as running:
            for place in {self._common, self._nat} - {None}:
                running.callback(self.processes.stop, datagrams.start_echo(place))
            started = []
            for index, kind in enumerate(datagrams.ALL):
                if self._is_asked_for(kind):
                    target = self._started(kind, datagrams.FIRST_PORT + index, datagrams.ECHO_PORTS, "-udp")
                    if target:
                        running.callback(target.stop)
                        started.append(target)
            yield started

    @contextlib.contextmanager
    def name_targets(self):
        """Whatever answers DNS and is asked for, for as long as the scenario lasts, and a folder for it."""
        with contextlib.ExitStack() as running:
            started = []
            for index, kind in enumerate(names.ALL):
                if self._is_asked_for(kind):
                    target = self._started(kind, names.FIRST_PORT + index, [], "-dns")
                    if target:
                        running.callback(target.stop)
                        started.append(target)
            yield started, self._common.folder

    def _places(self):
        def place(folder, namespace):
            path = os.path.join(self._folder, folder)
            os.makedirs(path, exist_ok=True)
            made = Place(self.processes, path, namespace, self.tools)
            made.backends["tcp"] = made.start_backend("backend", BACKEND_PORTS)
            return made

        try:
            namespace = Namespace(self.processes)
        except Failure as failure:
            print(f"on this host's own loopback, without kernel NAT: {failure}", file=sys.stderr)
            return place("common", None), None
        nat = not self._chosen or all_of.KernelNAT.name in self._chosen
        return place("common", namespace), place("nat", Namespace(self.processes)) if nat else None

    def fresh(self, target, backends, instance, reloads=False):
        """Another instance of a target, for one play; the caller stops it."""
        # Alternating ports: the last one's connections may still be in TIME_WAIT.
        self._fresh = (self._fresh + 1) % 50
        made = type(target)(target.place, FRESH_PORT + self._fresh * 200 if target.has_process else FRESH_PORT, backends, instance, reloads)
        if isinstance(made, all_of.Direct):
            made.port = backends[0]
        made.start()
        return made

    @contextlib.contextmanager
    def inside(self, namespace):
        """Lets this thread's sockets be made in a namespace."""
        if namespace is None or os.geteuid() != 0:
            if namespace is not None:
                raise Failure("only root may join a namespace with a running thread")
            yield
            return
        with open("/proc/thread-self/ns/net") as home:
            namespace.join()
            try:
                yield
            finally:
                Namespace.join_file(home)

    def measure(self, name, title, play, targets=None, rounds=None, with_cpu=True, errors_are_figures=False, relate=None):
        """Plays one client against each target in each round, in an order that rotates, and keeps the figures.

        - play: called with a target and the round's number; returns a sample.
        - with_cpu: whether CPU time per operation means anything here.
        - errors_are_figures: whether failed requests are what is measured, and not a fault of the run.
        - relate: called with each round's samples, by target, to add figures that need those of another target.
        """
        targets = self.targets if targets is None else targets
        rounds = rounds or self.rounds
        samples = [{} for _ in range(rounds)]
        failures = {}
        for turn in range(rounds):
            start = turn % len(targets) if targets else 0
            for target in targets[start:] + targets[:start]:
                if target.name in failures:
                    continue
                self.say(f"{name}: round {turn + 1} of {rounds}, {target.title}")
                try:
                    samples[turn][target.name] = self._play(target, turn, play, with_cpu)
                except Failure as failure:
                    failures[target.name] = str(failure)
                    self.lose(name, target, failure)
        for turn in samples if relate else ():
            relate(turn)
        summary = figures.summarise(samples)
        self.results.append({
            "name": name,
            "title": title,
            "rounds": rounds,
            "seconds": self.seconds,
            "errors_are_figures": errors_are_figures,
            "failures": failures,
            "targets": [self._result(target, summary[target.name], samples) for target in targets if target.name in summary],
        })
        self.say("")
        return self.results[-1]

    def _play(self, target, turn, play, with_cpu):
        if all_of.stopped(target):
            raise Failure(f"it has ended: {last_words(target.process)}")
        counters = target.counters()
        time_spent = machine.CPUTime(target.pids())
        backend_time = machine.CPUTime([target.place.backends[target.protocol].pid] if target.has_backend else [])
        sample = play(target, turn)
        if target.has_backend and "bytes" not in sample:  # iperf3 has a server of its own
            sample["backend_cpu_seconds"] = backend_time.seconds()
        if with_cpu:
            sample["machine_seconds"] = time_spent.machine()
            if target.pids():
                sample["cpu_seconds"] = time_spent.seconds()
            if counters:
                for counter, value in target.counters().items():
                    sample[counter] = value - counters[counter]
        return sample

    def _result(self, target, summary, samples):
        result = {"name": target.name, "title": target.title}
        spread = {figure: value for figure, value in summary.items() if isinstance(value, dict) and "median" in value}
        result |= {figure: value["median"] for figure, value in spread.items()}
        result["errors_by_kind"] = {}
        for turn in samples:
            for kind, count in turn.get(target.name, {}).get("errors", {}).items():
                result["errors_by_kind"][kind] = result["errors_by_kind"].get(kind, 0) + count
        # Any error counts, also one in a round that is not the median.
        result["errors"] = sum(result["errors_by_kind"].values())
        result["rounds"] = summary["rounds"]
        result["spread"] = spread
        result["ratios"] = summary["ratios"]
        curves = [turn[target.name]["percentiles"] for turn in samples if "percentiles" in turn.get(target.name, {})]
        if curves:
            result["percentiles"] = [
                [points[0][0], figures.Spread([value for _, value in points]).median] for points in zip(*curves)]
        return result

    def refuse(self, name, title, reason):
        """Keeps a scenario that would say nothing true, with the reason, in place of figures."""
        print(f"\r\033[K{name} is not measured: {reason}" if sys.stderr.isatty() else f"{name} is not measured: {reason}", file=sys.stderr)
        self.results.append({"name": name, "title": title, "refused": reason, "rounds": 0, "failures": {}, "targets": []})

    def lose(self, name, target, failure):
        self.say("")
        print(f"{name}: {target.title} is out: {failure}", file=sys.stderr)

    def say(self, text):
        """Progress: one line that changes on a terminal, one line each time elsewhere."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()
        elif text:
            print(text, file=sys.stderr, flush=True)

    def describe(self):
        """Versions of everything that takes part."""
        versions = {}
        for kind in all_of.ALL:
            command = kind.version(self.tools) if kind.name not in self.left_out and kind.missing(self.tools) is None else None
            if command and (not self._chosen or kind.name in self._chosen):
                versions["ringway" if kind.is_ours else kind.name] = machine.version(command)
        return versions
