"""What Ringway is to reach: the aims in one list, and what a run says about each."""

from collections import namedtuple

#: - subject: what it is about.
#: - engine: whose figure, by the name of a target.
#: - scenario, figure: where it is found.
#: - over: another target; the figure is then the ratio to that one's in the same round.
#: - most, least: the bound. Neither: a figure to know, with nothing to meet.
#: - hoped: what would be better still.
Aim = namedtuple("Aim", "subject engine scenario figure over most least hoped", defaults=(None, None, None, None))

URING, EPOLL = "ringway-io_uring", "ringway-epoll"
CPU, CPU_BULK, RATE = "cpu_microseconds_per_operation", "cpu_seconds_per_gigabyte", "operations_per_second"
MEGABYTES = "megabytes_per_cpu_second"


def _both(subject, scenario, figure, uring, epoll, over=None, hoped=None):
    return [Aim(subject, URING, scenario, figure, over, most=uring, hoped=hoped), Aim(subject, EPOLL, scenario, figure, over, most=epoll)]


def _listed():
    for size in ("64 B", "16 KB"):
        for connections in (64, 256):
            name = f"keepalive c={connections} {size}"
            yield from _both("CPU per request over HAProxy's", name, CPU, 0.90, 1.0, "haproxy", hoped=0.80)
            yield Aim("CPU per request over the C loop's", URING, name, CPU, "reference", most=1.05)
        for engine, hoped in ((URING, 1.1), (EPOLL, None)):
            yield Aim("requests/s over HAProxy's", engine, f"keepalive c=64 {size}", RATE, "haproxy", least=1.0, hoped=hoped)
    yield from _both("CPU per connection over HAProxy's", "connections", CPU, 0.90, 1.0, "haproxy", hoped=0.80)
    yield Aim("CPU per connection over the C loop's", URING, "connections", CPU, "reference", most=1.1)
    for streams in (1, 8):
        for way in ("up", "down"):
            name = f"bulk {streams} {way}"
            yield from _both("CPU per GB over HAProxy's", name, CPU_BULK, 0.75, 0.75, "haproxy")
            yield from _both("CPU per GB over HAProxy's with 1 MB pipes", name, CPU_BULK, None, None, "haproxy-1mb")
            yield from _both("CPU per GB over the C splice loop's", name, CPU_BULK, None, None, "reference-splice")
    yield from _both("p99 at half load over HAProxy's", "latency 50%", "latency_p99_microseconds", 1.0, 1.1, "haproxy")
    yield from _both("user bytes per connection, by RSS", "idle", "memory_bytes_per_connection", 512, 512)
    yield from _both("p99 beside a stream over HAProxy's", "fairness", "latency_p99_microseconds", 1.0, 1.0, "haproxy")
    yield from _both("failed when a backend dies", "failure", "failed", 0, 0)
    yield from _both("seconds to load 10,000 Services", "scale", "load_seconds", 10, 10)
    yield from _both("bytes of memory with 10,000 Services", "scale", "memory_bytes", 500e6, 500e6)
    yield from _both("Services of 10,000 that were not served", "scale", "failed", 0, 0)
    yield from _both("p99 of a change beside 10,000 Services, ms", "scale", "change_p99_milliseconds", 10, 10)
    yield Aim("system calls per request", URING, "keepalive c=64 64 B", "system_calls_per_operation", most=0.3)
    yield from _both("allocations per request", "keepalive c=64 64 B", "allocations_per_operation", 0, 0)
    yield from _both("CPU per UDP request over nginx's", "udp 64 B", CPU, 0.92, 0.92, "nginx")
    yield from _both("CPU per UDP request over the C loop's", "udp 64 B", CPU, 1.05, 1.05, "reference-udp")
    for engine in (URING, EPOLL):
        yield Aim("CPU per DNS answer over unbound's", engine, "dns", CPU, "unbound", most=1 / 1.5)
        yield Aim("CPU per DNS answer over dnsmasq's", engine, "dns", CPU, "dnsmasq", most=1 / 2)
        yield Aim("p99 of DNS at half rate over unbound's", engine, "dns half rate", "latency_p99_microseconds", "unbound", most=1.0)
        yield Aim("DNS questions lost more than by unbound", engine, "dns half rate", "loss_over_unbound", most=0.0001)
    for engine in (URING, EPOLL):
        yield Aim("UDP MB per CPU second over nginx's", engine, "udp bulk joined", MEGABYTES, "nginx", least=3.0)
        for way in ("single", "apart"):
            yield Aim("UDP MB per CPU second over nginx's", engine, f"udp bulk {way}", MEGABYTES, "nginx")
    yield from _both("datagrams lost more than direct", "udp half rate", "loss_over_direct", 0.0001, 0.0001)


AIMS = list(_listed())

#: What no figure of a run tells.
ELSEWHERE = ["bytes of a worker's tables over their capacity (a test's)"]


def check(scenarios):
    """What a run's scenarios say about each aim, in the order of the list."""
    found = {scenario["name"]: scenario for scenario in scenarios}
    return [_checked(aim, found.get(aim.scenario)) for aim in AIMS]


def _checked(aim, scenario):
    bound = f"<= {aim.most:g}" if aim.most is not None else f">= {aim.least:g}" if aim.least is not None else ""
    bound += f", hoped {aim.hoped:g}" if aim.hoped is not None else ""
    result = {"subject": aim.subject, "engine": aim.engine, "scenario": aim.scenario, "bound": bound, "verdict": "not measured"}
    spread = _spread(aim, scenario) if scenario else None
    if spread is None:
        return result | ({"why": scenario["refused"]} if scenario and "refused" in scenario else {})
    return result | spread | {"verdict": verdict(aim, spread)}


def _spread(aim, scenario):
    target = next((target for target in scenario["targets"] if target["name"] == aim.engine), {"spread": {}, "ratios": {}})
    return (target["ratios"].get(aim.over, {}) if aim.over else target["spread"]).get(aim.figure)


def verdict(aim, spread):
    """The median decides; where other rounds say otherwise, that is said."""
    if aim.most is None and aim.least is None:
        return "–"

    def holds(value, bound):
        return value <= bound if aim.most is not None else value >= bound

    bound = aim.most if aim.most is not None else aim.least
    met = holds(spread["median"], bound)
    all_agree = holds(spread["minimum"], bound) == met == holds(spread["maximum"], bound)
    as_hoped = aim.hoped is not None and holds(spread["median"], aim.hoped)
    return ("met" if met else "not met") + (", as hoped" if as_hoped else "") + ("" if all_agree else ", not in all rounds")


def rows(checked):
    """The table, one row for each that the run measured or refused to."""
    table = [["", "engine", "scenario", "bound", "figure", ""]]
    for one in checked:
        if "median" in one:
            figure = f"{_number(one['median'])} ({_number(one['minimum'])}-{_number(one['maximum'])})"
        elif "why" in one:
            figure = "–"
        else:
            continue
        said = one["verdict"] + (f": {one['why']}" if "why" in one else "")
        table.append([one["subject"], one["engine"].removeprefix("ringway-"), one["scenario"], one["bound"], figure, said])
    return table


def left_out(checked):
    """In words: what no scenario of the run measured."""
    missing = {}
    for one in checked:
        if "median" not in one and "why" not in one:
            missing.setdefault(one["subject"], {}).setdefault(one["scenario"], []).append(one["engine"].removeprefix("ringway-"))
    words = []
    for subject, scenarios in missing.items():
        told = [scenario + (f" on {engines[0]}" if len(engines) == 1 else "") for scenario, engines in scenarios.items()]
        words.append(f"{subject} ({', '.join(told)})")
    return f"Not measured in this run: {'; '.join(words + ELSEWHERE)}."


def _number(value):
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.0e}"
