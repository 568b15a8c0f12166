"""
A dashboard: rows of panels, laid out from left to right, and the variables that choose which sidecars they show.

Everything that is the same in all three is here: variables, links between them, how often they refresh, and a mark
where a configuration was loaded.
"""

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from boards.panel import DATASOURCE, Panel
from boards.promql import series

COLUMNS = 24
TAG = "llm-sidecar"


@frozen
class Row:
    title: str
    panels: tuple[Panel, ...]


@frozen
class Board:
    uid: str
    """Stable: links and bookmarks hold it. Also the name of the file."""
    title: str
    description: str
    rows: tuple[Row, ...]

    def json(self) -> dict[str, Any]:
        """The dashboard as Grafana imports it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": 41,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "links": [_LINKS],
            "annotations": {"list": [_RELOADS]},
            "templating": {"list": _VARIABLES},
            "panels": list(_laid_out(self.rows)),
        }


def _laid_out(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    number = y = 0
    for row in rows:
        number += 1
        yield _heading(row.title, number, y)
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            yield panel.json(number, x, y)
            x, height = x + panel.width, max(height, panel.height)
        y += height


def _heading(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


_LINKS = {
    "type": "dashboards",
    "title": TAG,
    "tags": [TAG],
    "asDropdown": False,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}

_RELOADS = {
    "name": "Configuration loaded",
    "datasource": DATASOURCE,
    "enable": True,
    "hide": False,
    "iconColor": "blue",
    "expr": f"changes({series('sidecar_config_generation')}[$__rate_interval]) > 0",
    "titleFormat": "Configuration loaded",
    "textFormat": "{{pod}} {{instance}}",
    "step": "30s",
}


def _chooser(name: str, label: str, narrowed: str, everything: str | None = ".*") -> dict[str, Any]:
    """
    A variable whose values are a label's. `everything` is what All stands for: `.*` also takes series that have no
    such label; None stands for all the values there are.
    """
    query = f"label_values(sidecar_build_info{narrowed}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": everything,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "options": [],
        "regex": "",
        "skipUrlSync": False,
    }


_VARIABLES = [
    {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    },
    # Every series has a job, and process_* and gen_ai_* belong to other programs too.
    _chooser("job", "Job", "", everything=None),
    _chooser("namespace", "Namespace", '{job=~"$job"}'),
    _chooser("pod", "Pod", '{job=~"$job", namespace=~"$namespace"}'),
]
