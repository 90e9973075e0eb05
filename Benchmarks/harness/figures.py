"""From samples to figures: medians with minimum and maximum, and ratios of pairs taken in the same round."""

import statistics

#: Figures in which less is better; in all others more is.
LESS_IS_BETTER = (
    "cpu_", "machine_cpu_", "latency_", "failed", "errors", "memory_", "kernel_memory_", "change_", "wakeups_", "system_calls_", "allocations_",
    "recovery_", "beside_bulk_", "busiest_", "accepts_in_vain_", "loss_", "load_", "quiet_", "during_")

#: Figures that a sample already has.
_AS_THEY_ARE = (
    "latency_", "memory_", "kernel_memory_", "change_", "wakeups_", "recovery_", "beside_bulk_", "stream_", "client_cpu_share",
    "send_lag_", "busiest_", "accepts_in_vain_", "loss_", "megabytes_per_cpu_second", "load_", "quiet_", "during_")


def is_less_better(figure):
    return figure.startswith(LESS_IS_BETTER)


class Spread:
    """Some values, one for each round."""

    def __init__(self, values):
        self.values = [value for value in values if value is not None]

    def __bool__(self):
        return bool(self.values)

    @property
    def median(self):
        return statistics.median(self.values)

    def as_dictionary(self):
        return {"minimum": min(self.values), "median": self.median, "maximum": max(self.values)}


def figures_of(sample):
    """The figures of one sample: those it carries, and those that follow from it."""
    operations, seconds = sample["operations"], sample["seconds"]
    figures = {name: value for name, value in sample.items() if name.startswith(_AS_THEY_ARE)}
    for whose in ("client", "backend"):
        if seconds and sample.get(f"{whose}_cpu_seconds") is not None:
            figures[f"{whose}_cpu_share"] = sample[f"{whose}_cpu_seconds"] / seconds
    figures["errors"] = sum(sample["errors"].values())
    if "failed" in sample:
        figures["failed"] = sample["failed"]
    if operations and seconds and "bytes" in sample:
        gigabytes = sample["bytes"] / 1e9
        figures["bytes_per_second"] = sample["bytes"] / seconds
        if sample.get("cpu_seconds") is not None:
            figures["cpu_seconds_per_gigabyte"] = sample["cpu_seconds"] / gigabytes
        if sample.get("machine_seconds") is not None:
            figures["machine_cpu_seconds_per_gigabyte"] = sample["machine_seconds"] / gigabytes
    elif operations and seconds:
        figures["operations_per_second"] = operations / seconds
        if sample.get("cpu_seconds") is not None:
            figures["cpu_microseconds_per_operation"] = sample["cpu_seconds"] / operations * 1e6
        if sample.get("machine_seconds") is not None:
            figures["machine_cpu_microseconds_per_operation"] = sample["machine_seconds"] / operations * 1e6
        for counter, figure in (("systemCalls", "system_calls_per_operation"), ("allocations", "allocations_per_operation")):
            if sample.get(counter) is not None:
                figures[figure] = sample[counter] / operations
    return figures


def summarise(rounds):
    """One scenario's figures.

    - rounds: a list of `{target name: sample or None}`, one for each round.
    - Returns: `{target name: {figure: {minimum, median, maximum}, "ratios": {other: {figure: {...}}}}}`. A ratio is a target's
      figure over another target's in the same round; the median is that of the pairs.
    """
    names = list(dict.fromkeys(name for samples in rounds for name in samples))
    per_round = [{name: figures_of(sample) for name, sample in samples.items() if sample} for samples in rounds]
    result = {}
    for name in names:
        figures = dict.fromkeys(figure for samples in per_round for figure in samples.get(name, {}))
        summary = {figure: Spread([samples.get(name, {}).get(figure) for samples in per_round]).as_dictionary() for figure in figures}
        if not summary:
            continue
        summary["rounds"] = sum(1 for samples in per_round if name in samples)
        summary["ratios"] = {}
        for other in names:
            if other == name:
                continue
            ratios = {}
            for figure in figures:
                pairs = [
                    samples[name][figure] / samples[other][figure] for samples in per_round
                    if samples.get(name, {}).get(figure) is not None and samples.get(other, {}).get(figure)]
                if pairs:
                    ratios[figure] = Spread(pairs).as_dictionary()
            if ratios:
                summary["ratios"][other] = ratios
        result[name] = summary
    return result
