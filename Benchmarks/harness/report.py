"""What is told of a run: tables on the terminal, JSON, Benchmarks/REPORT.md with plots, the headline in README.md."""

import os

import aims
import figures
import plots

#: Figure, heading, how to write it. In the order of columns; a scenario shows those it has.
COLUMNS = [
    ("operations_per_second", "requests/s", "{:,.0f}", 1),
    ("bytes_per_second", "GB/s", "{:.2f}", 1e-9),
    ("cpu_microseconds_per_operation", "CPU us/request", "{:.2f}", 1),
    ("cpu_seconds_per_gigabyte", "CPU s/GB", "{:.3f}", 1),
    ("megabytes_per_cpu_second", "MB/CPU s", "{:,.0f}", 1),
    ("machine_cpu_microseconds_per_operation", "machine us/request", "{:.1f}", 1),
    ("machine_cpu_seconds_per_gigabyte", "machine s/GB", "{:.2f}", 1),
    ("latency_p50_microseconds", "p50 us", "{:,.0f}", 1),
    ("latency_p99_microseconds", "p99 us", "{:,.0f}", 1),
    ("latency_p99_9_microseconds", "p99.9 us", "{:,.0f}", 1),
    ("beside_bulk_p99_over_alone", "p99 over alone", "{:.2f}", 1),
    ("stream_bytes_per_second", "stream GB/s", "{:.2f}", 1e-9),
    ("memory_bytes_per_connection", "user B/conn.", "{:,.0f}", 1),
    ("kernel_memory_bytes_per_connection", "kernel B/conn.", "{:,.0f}", 1),
    ("kernel_memory_own_bytes_per_connection", "own kernel B/conn.", "{:,.0f}", 1),
    ("kernel_memory_own_at_first_bytes_per_connection", "own, after 1 s", "{:,.0f}", 1),
    ("wakeups_per_second", "wake-ups/s", "{:.0f}", 1),
    ("change_p50_milliseconds", "p50 ms", "{:.1f}", 1),
    ("change_p99_milliseconds", "p99 ms", "{:.1f}", 1),
    ("change_maximum_milliseconds", "max ms", "{:.1f}", 1),
    ("load_seconds", "load s", "{:.1f}", 1),
    ("memory_bytes", "RSS MB", "{:,.0f}", 1e-6),
    ("quiet_p99_milliseconds", "others' p99 ms, quiet", "{:.2f}", 1),
    ("during_p99_milliseconds", "others' p99 ms, during changes", "{:.2f}", 1),
    ("failed", "failed", "{:.0f}", 1),
    ("loss_share", "lost", "{:.3%}", 1),
    ("recovery_seconds", "last failure after s", "{:.1f}", 1),
    ("system_calls_per_operation", "syscalls/request", "{:.2f}", 1),
    ("allocations_per_operation", "allocs/request", "{:.3f}", 1),
    ("busiest_share", "busiest worker", "{:.0%}", 1),
    ("busiest_slice_share", "in 50 ms", "{:.0%}", 1),
    ("accepts_in_vain_per_operation", "accepts in vain", "{:.2f}", 1),
    ("client_cpu_share", "client CPU", "{:.0%}", 1),
    ("backend_cpu_share", "backend CPU", "{:.0%}", 1),
]

#: By what a scenario is judged first; the first one that it has leads. CPU before throughput: on few CPUs client, balancer and backend
#: share them, and throughput is bound by all three together.
LEADS = [
    "failed", "change_p50_milliseconds", "memory_bytes_per_connection", "beside_bulk_p99_over_alone", "cpu_seconds_per_gigabyte",
    "loss_share", "latency_p99_microseconds", "cpu_microseconds_per_operation"]

#: What "where we lose" compares.
COMPARED = [
    "cpu_microseconds_per_operation", "cpu_seconds_per_gigabyte", "machine_cpu_microseconds_per_operation", "machine_cpu_seconds_per_gigabyte",
    "operations_per_second", "bytes_per_second", "latency_p50_microseconds", "latency_p99_microseconds", "latency_p99_9_microseconds",
    "memory_bytes_per_connection", "kernel_memory_own_bytes_per_connection", "change_p50_milliseconds", "failed", "loss_share"]

#: The table at the top: scenario, figure, heading. Of several with one figure the first that was measured.
HEADLINE = [
    ("keepalive c=64 64 B", "cpu_microseconds_per_operation", "CPU us per request"),
    ("connections", "cpu_microseconds_per_operation", "CPU us per connection"),
    ("bulk 1 up", "cpu_seconds_per_gigabyte", "CPU s per GB"),
    ("latency 50%", "latency_p99_microseconds", "p99 us at half load"),
    ("latency 30%", "latency_p99_microseconds", "p99 us at 30 % load"),
    ("idle", "memory_bytes_per_connection", "user bytes per idle connection"),
    ("udp 64 B", "cpu_microseconds_per_operation", "CPU us per UDP request"),
    ("failure", "failed", "failed when a backend dies"),
    ("change", "change_p50_milliseconds", "ms from file to endpoint"),
    ("scale", "change_p99_milliseconds", "p99 ms of that beside 10,000 Services"),
]

_FORMATS = {figure: (heading, form, scale) for figure, heading, form, scale in COLUMNS}


def lead(scenario):
    """The figure that a scenario is judged by, or None where it has none."""
    leads = LEADS if scenario.get("errors_are_figures") else [figure for figure in LEADS if figure != "failed"]
    return next((figure for figure in leads if any(figure in target for target in scenario["targets"])), None)


def show(figure, value):
    _, form, scale = _FORMATS[figure]
    return form.format(value * scale)


def cell(target, figure):
    spread = target["spread"].get(figure)
    if spread is None:
        return "–"
    median, low, high = (show(figure, spread[part]) for part in ("median", "minimum", "maximum"))
    return median if low == high == median else f"{median} ({low}-{high})"


def ratio(target, other, figure):
    found = target["ratios"].get(other, {}).get(figure)
    return "–" if found is None else f"{found['median']:.2f} ({found['minimum']:.2f}-{found['maximum']:.2f})"


def errors(target):
    return ", ".join(f"{count} {kind}" for kind, count in target["errors_by_kind"].items()) or "0"


def rows(scenario):
    """A scenario as a table: a row of headings, then one for each target."""
    # Failed requests are errors where they are not what is measured.
    hidden = () if scenario.get("errors_are_figures") else ("failed",)
    present = [
        figure for figure, *_ in COLUMNS if figure not in hidden and any(figure in target["spread"] for target in scenario["targets"])]
    led_by = lead(scenario)
    names = [target["name"] for target in scenario["targets"]]
    # HAProxy has no UDP. `direct` has no balancer, so no CPU time of one: throughput is what it can be compared by.
    compared = {}
    for other, by in (
            ("haproxy" if "haproxy" in names else "nginx", [led_by]), ("direct", [led_by, "operations_per_second", "bytes_per_second"])):
        for figure in by:
            if led_by and any(figure in target["ratios"].get(other, {}) for target in scenario["targets"]):
                compared[other] = figure
                break
    heads = [f"{_FORMATS[figure][0]} / {name}" for name, figure in compared.items()]
    table = [["", *heads, *[_FORMATS[figure][0] for figure in present], "errors"]]
    for target in scenario["targets"]:
        ratios = [ratio(target, name, figure) for name, figure in compared.items()]
        table.append([target["title"], *ratios, *[cell(target, figure) for figure in present], errors(target)])
    return table


def headline_of_errors(results):
    """What went wrong anywhere, to stand above everything else; empty is right."""
    found = []
    for scenario in results:
        for name, reason in scenario["failures"].items():
            found.append(f"{scenario['name']}: {name} is out: {reason}")
        if scenario.get("errors_are_figures"):
            continue
        for target in scenario["targets"]:
            if target["errors"]:
                found.append(f"{scenario['name']}: {target['title']}: {errors(target)}")
    return found


def where_we_lose(results):
    """Every figure in which an engine of ours is behind a target that has it, by the median of pairs, worst first."""
    lines = []
    for scenario in results:
        for target in scenario["targets"]:
            if not target["name"].startswith("ringway"):
                continue
            for other in scenario["targets"]:
                if other["name"].startswith("ringway") or other["name"] == "direct":
                    continue
                for figure in COMPARED:
                    found = target["ratios"].get(other["name"], {}).get(figure)
                    if found is None:
                        continue
                    less = figures.is_less_better(figure)
                    behind = found["median"] if less else (1 / found["median"] if found["median"] else float("inf"))
                    if behind <= 1.005:
                        continue
                    worst, best = (found["minimum"], found["maximum"])
                    sure = worst > 1 if less else best < 1
                    lines.append((behind, scenario["name"], target["title"], other["title"], figure, found, sure))
    return sorted(lines, key=lambda line: -line[0])


def to_terminal(scenario):
    if "refused" in scenario:
        return f"\n{scenario['title']}\n  not measured: {scenario['refused']}\n"
    lines = [f"\n{scenario['title']}", *_aligned(rows(scenario))]
    lines += [f"  {line}" for line in scenario.get("notes", [])]
    lines += [f"  {name} is out: {reason}" for name, reason in scenario["failures"].items()]
    return "\n".join(lines) + "\n"


def aims_to_terminal(checked):
    """Empty where the run has to do with none."""
    table = aims.rows(checked)
    return "\n".join(["\nAims", *_aligned(table, left=3), f"  {aims.left_out(checked)}"]) + "\n" if len(table) > 1 else ""


def _aligned(table, left=1):
    """Lines with the words of a column below each other, the first few columns to the left."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  " + "  ".join(word.ljust(width) if index < left else word.rjust(width) for index, (word, width) in enumerate(zip(row, widths)))
        for row in table]


def headline(document):
    """The table that README shows."""
    scenarios = {scenario["name"]: scenario for scenario in document["scenarios"]}
    columns = []
    for name, figure, heading in HEADLINE:
        # The two of CPU time are two figures under one name.
        is_shown = figure.startswith("latency") and any(figure == shown for _, shown, _ in columns)
        if not is_shown and any(figure in target for target in scenarios.get(name, {"targets": []})["targets"]):
            columns.append((scenarios[name], figure, heading))
    order = list(dict.fromkeys(target["name"] for scenario, *_ in columns for target in scenario["targets"] if target["name"] != "direct"))
    lines = ["| | " + " | ".join(heading for *_, heading in columns) + " |", "| --- |" + " --- |" * len(columns)]
    for name in order:
        cells, title = [], name
        for scenario, figure, _ in columns:
            target = next((target for target in scenario["targets"] if target["name"] == name), None)
            if target and figure in target:
                title = target["title"]
                cells.append(show(figure, target[figure]))
            else:
                title = target["title"] if target else title
                cells.append("–")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _markdown_table(table):
    lines = ["| " + " | ".join(table[0]) + " |", "| --- |" + " --- |" * (len(table[0]) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in table[1:]])


def to_markdown(document, plot_names):
    machine = document["machine"]
    wrong = headline_of_errors(document["scenarios"])
    checked = aims.check(document["scenarios"])
    parts = [
        "# Benchmark report",
        f"Written by `{document['command']}` on {document['date']}. Medians over paired rounds, with minimum and maximum in brackets; a ratio is that "
        "of two targets in the same round, and its median that of the pairs.",
        f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['memory_gibibytes']} GiB, Linux {machine['kernel']}, congestion control "
        f"{machine['congestion_control']}, commit {machine['commit']}.",
        "Client, balancer and backend share these CPUs and the loopback device. So requests/s and GB/s are bound by all three together, and **CPU "
        "time per operation leads**; a network card's share is in no figure. One thread for each target, random choice, no logs, the same backends; "
        "the settings are in `Benchmarks/peers/`, with the reason for each line. \"CPU\" is user and system time of the balancer; \"machine\" is "
        "that of everything on the machine, clients and backends included: the only figure that says what kernel NAT costs.",
        "**Errors:** " + ("none." if not wrong else ""),
        "\n".join(f"- {line}" for line in wrong),
        "## Headline",
        headline(document),
        "## Aims",
        "What Ringway is to reach. The median decides; a ratio is that of the pairs.",
        _markdown_table(aims.rows(checked)),
        aims.left_out(checked),
        "## Where we lose",
        _losses(document["scenarios"]),
    ]
    for scenario in document["scenarios"]:
        parts.append(f"## {scenario['title']}")
        if "refused" in scenario:
            parts.append(f"Not measured: {scenario['refused']}.")
            continue
        parts.append(f"`Scripts/bench {scenario['name'].split()[0]}`: {scenario['rounds']} rounds of {scenario['seconds']:g} s.")
        parts.append(_markdown_table(rows(scenario)))
        parts += scenario.get("notes", [])
        parts += [f"{name} is out: {reason}" for name, reason in scenario["failures"].items()]
        parts += [f"![{scenario['title']}](report/{name})" for name in plot_names.get(scenario["name"], [])]
    parts += [
        "## What ran",
        "\n".join(f"- {name}: {version}" for name, version in document["versions"].items()),
        "Left out: " + ("; ".join(f"{name} ({reason})" for name, reason in document["left_out"].items()) or "nothing") + ".",
        "Targets, each as started:",
        "\n".join(f"- {name}: `{command}`" for name, command in document["configurations"].items()),
        "Clients, the first command of each kind:",
        "\n".join(f"- `{command}`" for command in document["clients"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _losses(results):
    lost = where_we_lose(results)
    if not lost:
        return "Nowhere in this run."
    lines = [
        "Every figure in which one of our engines is behind, by the median of pairs, worst first. Where the pairs fall on both sides of 1 it says so.", "",
        "| behind by | scenario | figure | ours | theirs | ratio |", "| --- | --- | --- | --- | --- | --- |"]
    for behind, scenario, ours, theirs, figure, found, sure in lost:
        factor = "∞" if behind == float("inf") else f"{behind:.2f}x"
        lines.append(
            f"| {factor} | {scenario} | {_FORMATS[figure][0]} | {ours} | {theirs} | {found['median']:.2f} ({found['minimum']:.2f}-{found['maximum']:.2f})"
            + ("" if sure else ", not in all rounds") + " |")
    return "\n".join(lines)


def write_report(document, root):
    """Writes Benchmarks/REPORT.md, its plots, and the headline between the marks in README.md."""
    folder = os.path.join(root, "Benchmarks", "report")
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        if old.endswith(".svg"):
            os.remove(os.path.join(folder, old))
    names = {}
    for scenario in document["scenarios"]:
        for name, text in plots.of(scenario, lead(scenario), _FORMATS):
            names.setdefault(scenario["name"], []).append(name)
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
    with open(os.path.join(root, "Benchmarks", "REPORT.md"), "w") as file:
        file.write(to_markdown(document, names))
    _write_readme(document, os.path.join(root, "README.md"))


def _write_readme(document, path):
    begin, end = "<!-- Scripts/bench writes from here -->", "<!-- to here -->"
    with open(path) as file:
        text = file.read()
    if begin not in text or end not in text:
        raise ValueError(f"{path} has no place for the headline: it wants the lines {begin} and {end}")
    machine = document["machine"]
    table = (
        f"{headline(document)}\n\n`{document['command']}`, {document['date'][:10]}, {machine['cpus']} shared CPUs, Linux {machine['kernel']}, commit "
        f"{machine['commit']}; medians, one thread each.")
    before, after = text.split(begin)[0], text.split(end)[1]
    with open(path, "w") as file:
        file.write(f"{before}{begin}\n{table}\n{end}{after}")
