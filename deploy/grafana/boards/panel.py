"""
A panel: what it shows, what it means, and how it is drawn.

The words of the JSON are those of Grafana's own panels (schema version 41, Grafana 11 and later):
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from collections.abc import Mapping
from typing import Any

from attrs import Factory, field, frozen

from boards import promql

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

GOOD, BUSY, WATCH, BAD, ODD, QUIET = "green", "blue", "yellow", "red", "purple", "#808080"
"""Colours by what they mean: as it should be, ordinary work, soon a problem, a problem, asked for, does not count."""

Steps = tuple[tuple[float | None, str], ...]
"""Thresholds: from which value on which colour; the first has no value."""


def rising(watch: float, bad: float) -> Steps:
    """The more, the worse."""
    return ((None, GOOD), (watch, WATCH), (bad, BAD))


def falling(bad: float, watch: float) -> Steps:
    """The less, the worse."""
    return ((None, BAD), (bad, WATCH), (watch, GOOD))


PLAIN: Steps = ((None, BUSY),)
"""A number that is neither good nor bad."""


@frozen
class Query:
    """One expression of a panel. `legend` names its series; it may hold `{{label}}`."""

    expr: str
    legend: str = ""
    format: str = "time_series"
    """`heatmap` and `table` are the others."""
    instant: bool = False
    """Whether only the last value is asked for."""

    def json(self, ref: str) -> dict[str, Any]:
        return {
            "refId": ref,
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "format": self.format,
            "instant": self.instant,
            "range": not self.instant,
            "legendFormat": self.legend,
        }


@frozen
class Panel:
    """What all panels have. `width` is in the 24 columns of a dashboard, `height` in its rows of 30 pixels."""

    kind: str
    title: str
    description: str
    """What it shows, and what to do when it looks wrong."""
    queries: tuple[Query, ...]
    unit: str
    width: int
    height: int
    defaults: Mapping[str, Any] = Factory(dict)
    """More of fieldConfig.defaults."""
    options: Mapping[str, Any] = Factory(dict)
    colours: Mapping[str, str] = Factory(dict)
    """By the name of a series."""
    extra: Mapping[str, Any] = field(factory=dict)
    """More keys of the panel itself."""

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """`number` is the panel's id; `x` and `y` its upper left corner."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {
                "defaults": {"unit": self.unit, **self.defaults},
                "overrides": [_coloured(name, colour) for name, colour in self.colours.items()],
            },
            "options": dict(self.options),
            "targets": [query.json(chr(ord("A") + place)) for place, query in enumerate(self.queries)],
            **self.extra,
        }


def _coloured(name: str, colour: str) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
    }


def _thresholds(steps: Steps) -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    width: int = 8,
    stacked: bool = False,
    most: float | None = None,
    limits: Steps = (),
    colours: Mapping[str, str] | None = None,
) -> Panel:
    """Values over time. `stacked`: their sum means something. `most`: the end of the axis. `limits` are drawn."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 40 if stacked else 8,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    defaults = {
        "min": 0,
        **({} if most is None else {"max": most}),
        "color": {"mode": "palette-classic"},
        "custom": custom,
        "thresholds": _thresholds(limits or PLAIN),
    }
    options = {
        "legend": {"showLegend": True, "displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, description, queries, unit, width, 8, defaults, options, colours or {})


def stat(title: str, description: str, expr: str, *, unit: str, steps: Steps = PLAIN, width: int = 4) -> Panel:
    """One number, coloured by its thresholds."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none" if "$__range" in expr else "area",
        "justifyMode": "auto",
        "textMode": "auto",
    }
    defaults = {"color": {"mode": "thresholds"}, "thresholds": _thresholds(steps), "noValue": "no data"}
    # Over the whole time shown there is one value, the last; a curve of it would be one of ever other stretches.
    query = Query(expr, instant="$__range" in expr)
    return Panel("stat", title, description, (query,), unit, width, 4, defaults, options)


def heatmap(title: str, description: str, histogram: str, *, unit: str, width: int = 12) -> Panel:
    """How what was observed is spread, over time."""
    expr = promql.total(f"increase({promql.series(f'{histogram}_bucket')}[$__rate_interval])", "le")
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Blues", "exponent": 0.5, "steps": 64, "reverse": False},
        "filterValues": {"le": 1e-9},
        "rowsFrame": {"layout": "auto"},
        "yAxis": {"unit": unit, "axisPlacement": "left", "reverse": False},
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
        "legend": {"show": True},
    }
    return Panel("heatmap", title, description, (Query(expr, "{{le}}", "heatmap"),), unit, width, 8, options=options)


def states(
    title: str, description: str, query: Query, named: Mapping[int, tuple[str, str]], *, width: int = 12
) -> Panel:
    """A row for each series, coloured by its state; `named`: value -> (its name, its colour)."""
    texts = {str(value): {"text": text, "color": colour} for value, (text, colour) in named.items()}
    defaults = {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 80, "lineWidth": 0},
        "mappings": [{"type": "value", "options": texts}],
        "thresholds": _thresholds(PLAIN),
    }
    options = {
        "showValue": "never",
        "mergeValues": True,
        "rowHeight": 0.8,
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "single"},
    }
    return Panel("state-timeline", title, description, (query,), "none", width, 8, defaults, options)


def table(title: str, description: str, expr: str, columns: Mapping[str, str], *, width: int = 8) -> Panel:
    """The labels of the series there are now; `columns`: label -> heading, in order."""
    organize = {
        "excludeByName": {"Time": True, "Value": True},
        "indexByName": {label: place for place, label in enumerate(columns)},
        "renameByName": dict(columns),
    }
    query = Query(expr, format="table", instant=True)
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    extra = {"transformations": [{"id": "organize", "options": organize}]}
    return Panel("table", title, description, (query,), "none", width, 8, options=options, extra=extra)


def quantiles(title: str, description: str, histogram: str, *, unit: str = "s", width: int = 8) -> Panel:
    """p50, p95 and p99 of all that was observed."""
    ranked = (Query(promql.quantile(rank, histogram), f"p{rank * 100:g}") for rank in (0.5, 0.95, 0.99))
    colours = {"p50": GOOD, "p95": WATCH, "p99": BAD}
    return lines(title, description, *ranked, unit=unit, width=width, colours=colours)
