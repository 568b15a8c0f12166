"""One chart as SVG, written by hand: small replies by the sidecar and all others, beside Envoy's, on a logarithmic scale."""

from html import escape
from math import floor, log10

from .figures import compared, ratio
from .rows import GATEWAYS, SIDECAR
from .targets import in_spite

ROW = "reply-16"
NAMES = ("nginx", "HAProxy", SIDECAR, "Envoy", "textbook aiohttp proxy", *GATEWAYS)
WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 760, 190, 90, 64, 30, 18
STYLE = """
text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328; }
.small { font-size: 12px; fill: #59636e; }
.title { font-size: 15px; font-weight: 600; }
.ours { font-weight: 600; }
.bar { fill: #9aa4b0; } .bar.ours { fill: #1a7f64; }
.grid { stroke: #d8dee4; } .one { stroke: #59636e; stroke-dasharray: 4 3; }
.spread { stroke: #1f2328; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #9198a1; }
  .bar { fill: #6e7781; } .bar.ours { fill: #3fb68b; }
  .grid { stroke: #30363d; } .one { stroke: #9198a1; } .spread { stroke: #e6edf3; }
}
"""


def beside_envoy(record, *, regardless=False):
    """[(name, Spread)], the most first; without those that could not be compared."""
    found = record.rows.get(ROW, {})
    value = in_spite("per_s") if regardless else "per_s"
    each = {
        name: compared(found[name], found["Envoy"], ratio(value), regardless=regardless)
        for name in NAMES
        if found.get(name) and found.get("Envoy")
    }
    return sorted(((name, one) for name, one in each.items() if one), key=lambda pair: -pair[1].middle)


class Scale:
    """From a ratio to a place; decades, so that a hundredth is as far from a tenth as that from one."""

    def __init__(self, spreads):
        self.least = floor(log10(min(one.low for one in spreads)))
        most = max(one.high for one in spreads)
        self.most = log10(most) + 0.05 if most > 1 else 0.1
        self.decades = range(self.least, floor(self.most) + 1)

    def __call__(self, value):
        share = (log10(value) - self.least) / (self.most - self.least)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def svg(record, *, regardless=False):
    """The chart; None where nothing can be compared."""
    found = beside_envoy(record, regardless=regardless)
    if not found:
        return None
    scale = Scale([spread for _, spread in found])
    bottom = TOP + STEP * len(found)
    lines = [*_head(bottom + 34), *_grid(scale, bottom)]
    for at, (name, spread) in enumerate(found):
        lines += _bar(name, spread, TOP + STEP * at, scale)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _head(height):
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    yield f"<style>{STYLE}</style>"
    yield "<title>Small proxied replies per second of one core, beside Envoy's</title>"
    yield '<text class="title" x="12" y="24">Small proxied replies per second of one core, Envoy = 1</text>'
    yield '<text class="small" x="12" y="43">16 connections; median of the rounds, and their least and most; logarithmic scale</text>'


def _grid(scale, bottom):
    for decade in scale.decades:
        x = scale(10**decade)
        kind = "one" if decade == 0 else "grid"
        yield f'<line class="{kind}" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom + 2}"/>'
        yield f'<text class="small" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{10**decade:g}</text>'


def _bar(name, spread, y, scale):
    ours = " ours" if name == SIDECAR else ""
    middle = y + BAR / 2
    left, end = scale(10**scale.least), scale(spread.middle)
    yield f'<text class="{ours.strip()}" x="{LEFT - 10}" y="{middle + 5}" text-anchor="end">{escape(name)}</text>'
    yield f'<rect class="bar{ours}" x="{left:.1f}" y="{y}" width="{max(end - left, 1):.1f}" height="{BAR}" rx="2"/>'
    low, high = scale(spread.low), scale(spread.high)
    if high - low > 2:
        yield f'<line class="spread" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>'
    yield f'<text class="{ours.strip()}" x="{max(end, high) + 8:.1f}" y="{middle + 5}">{said(spread.middle)}</text>'


def said(value):
    return f"{value:.1f}" if value >= 2 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
