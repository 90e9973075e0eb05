"""Plots as SVG, written by hand: bars with their spread, and latency over percentiles."""

import math
import re
from html import escape

_WIDTH = 760
_OURS, _OTHERS, _YARDSTICKS = "#1b6ac9", "#8a8f98", "#c4c8ce"
_LINES = ["#8a8f98", "#1b6ac9", "#58a6ff", "#d1495b", "#2e933c", "#b07d2b", "#7b4fb5", "#444444"]


def of(scenario, figure, formats):
    """The plots of a scenario: pairs of a file name and its text."""
    if figure is None or len(scenario["targets"]) < 2:
        return []
    stem = re.sub(r"[^a-z0-9]+", "-", scenario["name"].lower()).strip("-")
    found = [(f"{stem}.svg", bars(scenario, figure, formats))]
    if sum(1 for target in scenario["targets"] if "percentiles" in target) > 1:
        found.append((f"{stem}-percentiles.svg", percentiles(scenario)))
    return found


def bars(scenario, figure, formats):
    """A bar for each target as long as its median, with a line from minimum to maximum."""
    heading, form, scale = formats[figure]
    shown = [target for target in scenario["targets"] if figure in target["spread"]]
    most = max((target["spread"][figure]["maximum"] for target in shown), default=0) or 1
    left, right, row = 190, 110, 26
    length = _WIDTH - left - right
    height = 50 + row * len(shown)
    parts = [_text(10, 22, f"{scenario['title']}: {heading}", weight="bold")]
    for index, target in enumerate(shown):
        spread = target["spread"][figure]
        y = 40 + row * index
        low, middle, high = (left + length * spread[part] / most for part in ("minimum", "median", "maximum"))
        parts.append(_text(left - 8, y + 13, target["title"], anchor="end"))
        parts.append(f'<rect x="{left}" y="{y}" width="{max(1, middle - left):.1f}" height="18" fill="{_colour(target)}"/>')
        parts.append(f'<path d="M{low:.1f} {y + 9}H{high:.1f}M{low:.1f} {y + 5}v8M{high:.1f} {y + 5}v8" stroke="#111" fill="none"/>')
        parts.append(_text(high + 6, y + 13, form.format(spread["median"] * scale)))
    return _page(height, parts)


def percentiles(scenario):
    """Latency over percentiles, both axes logarithmic: the tail is where balancers differ."""
    left, right, top, bottom, height = 70, 190, 40, 40, 380
    curves = [(target["title"], target["percentiles"]) for target in scenario["targets"] if "percentiles" in target]
    values = [value for _, curve in curves for quantile, value in curve if value > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    nines = 4  # up to 99.99 %

    def x(quantile):
        depth = min(nines, -math.log10(max(1e-9, 1 - quantile / 100)))
        return left + (_WIDTH - left - right) * depth / nines

    def y(value):
        return height - bottom - (height - top - bottom) * (math.log10(max(value, 10 ** low)) - low) / max(1, high - low)

    parts = [_text(10, 22, f"{scenario['title']}: us over percentile", weight="bold")]
    for power in range(low, high + 1):
        parts.append(f'<path d="M{left} {y(10 ** power):.1f}H{_WIDTH - right}" stroke="#ddd"/>')
        parts.append(_text(left - 6, y(10 ** power) + 4, f"{10 ** power:,g}", anchor="end"))
    for quantile in (0, 90, 99, 99.9, 99.99):
        parts.append(_text(x(quantile), height - bottom + 18, f"{quantile:g} %", anchor="middle"))
    for index, (title, curve) in enumerate(curves):
        colour = _LINES[index % len(_LINES)]
        points = " ".join(f"{x(quantile):.1f},{y(value):.1f}" for quantile, value in curve if quantile <= 99.99)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts.append(f'<rect x="{_WIDTH - right + 12}" y="{top + 20 * index}" width="12" height="4" fill="{colour}"/>')
        parts.append(_text(_WIDTH - right + 30, top + 7 + 20 * index, title))
    return _page(height, parts)


def _colour(target):
    if target["name"].startswith("ringway"):
        return _OURS
    return _YARDSTICKS if target["name"].startswith(("direct", "reference")) else _OTHERS


def _text(x, y, words, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


def _page(height, parts):
    # A background of its own: readers of dark pages see black text on it otherwise.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")
