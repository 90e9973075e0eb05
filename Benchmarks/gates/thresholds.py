"""What the gates compare: figures with the thresholds kept in git. No measuring here, so that it can be tested by itself."""

import json
import math
from dataclasses import dataclass
from typing import Optional

FILE = "Benchmarks/thresholds.json"

# A figure that has come down by more than this share of its limit asks for a lower limit. A threshold may set its own.
SLACK = 0.05


class MalformedThresholds(Exception):
    pass


@dataclass
class Figure:
    name: str
    # None: could not be measured here.
    value: Optional[float] = None
    # Why it is not judged, where it isn't. A value may stand beside it.
    not_judged: str = ""
    # How to look closer at a bad value.
    look: str = ""


@dataclass
class Threshold:
    limit: float
    slack: float
    comment: str


@dataclass
class Toolchain:
    """The compiler and processor that the instruction counts were taken with; others make other code."""
    swift: str
    machine: str

    def __str__(self):
        return f"Swift {self.swift} on {self.machine}"


@dataclass
class Verdict:
    # "ok", "FAIL", "lower" (a pass: the limit may come down) or "----" (not judged).
    word: str
    line: str

    @property
    def failed(self):
        return self.word == "FAIL"


def read(text):
    """The toolchain and the thresholds by name. Anything out of order is an error: a gate must not pass by a misspelling."""
    try:
        file = json.loads(text, object_pairs_hook=_without_repetition)
    except ValueError as error:
        raise MalformedThresholds(f"{FILE}: {error}") from error
    _keys("the file", file, {"comment", "toolchain", "gates"})
    _keys("toolchain", file["toolchain"], {"swift", "machine"})
    _keys("gates", file["gates"], set(), others=True)
    if not file["gates"]:
        raise MalformedThresholds(f"{FILE}: no gates")
    return Toolchain(**file["toolchain"]), {name: _threshold(name, entry) for name, entry in file["gates"].items()}


def _threshold(name, entry):
    _keys(name, entry, {"limit", "comment"}, optional={"slack"})
    limit, slack, comment = entry["limit"], entry.get("slack", SLACK), entry["comment"]
    if not _is_number(limit) or limit < 0:
        raise MalformedThresholds(f"{FILE}: {name}: limit must be a number, 0 or more")
    if not _is_number(slack) or not 0 < slack <= 1:
        raise MalformedThresholds(f"{FILE}: {name}: slack must be a number above 0, at most 1")
    if not isinstance(comment, str) or not comment.strip():
        raise MalformedThresholds(f"{FILE}: {name}: comment must say what was measured, and its spread")
    return Threshold(float(limit), float(slack), comment)


def _keys(what, found, needed, optional=frozenset(), others=False):
    if not isinstance(found, dict):
        raise MalformedThresholds(f"{FILE}: {what}: must be an object")
    for key in sorted(needed - set(found)):
        raise MalformedThresholds(f"{FILE}: {what}: {key} is missing")
    for key in sorted(set(found) - needed - optional):
        if not others:
            raise MalformedThresholds(f"{FILE}: {what}: unknown key {key}")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _without_repetition(pairs):
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands twice")
    return dict(pairs)


def judge(figures, thresholds):
    """A verdict for each figure, and a failure for each figure without a threshold or threshold without a figure."""
    verdicts = [_verdict(figure, thresholds.get(figure.name)) for figure in figures]
    for name in thresholds.keys() - {figure.name for figure in figures}:
        verdicts.append(Verdict("FAIL", f"{name}: {FILE} has a limit for it, and nothing measures it"))
    return verdicts


def _verdict(figure, threshold):
    if threshold is None:
        return Verdict("FAIL", f"{figure.name}: {shown(figure.value)} measured, and {FILE} has no limit for it")
    limit = shown(threshold.limit)
    if figure.not_judged or figure.value is None:
        value = "" if figure.value is None else f"{shown(figure.value)} measured, limit {limit}; "
        return Verdict("----", f"{figure.name}: {value}not judged: {figure.not_judged or 'no value'}")
    value = shown(figure.value)
    if not figure.value <= threshold.limit:
        look = f"\n      look closer: {figure.look}" if figure.look else ""
        return Verdict(
            "FAIL", f"{figure.name}: {value} is above the limit {limit}\n      was: {threshold.comment}{look}")
    if figure.value < threshold.limit * (1 - threshold.slack):
        return Verdict("lower", f"{figure.name}: {value} is far below the limit {limit}: lower the threshold in {FILE}")
    return Verdict("ok", f"{figure.name}: {value}, limit {limit}")


def shown(value):
    if value is None:
        return "nothing"
    return f"{value:.0f}" if value >= 1000 or value % 1 == 0 else f"{value:.4f}"
