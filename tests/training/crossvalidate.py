"""
What held-out rows give: five folds by `group`, and every source in turn left out.

Accuracy is that of the blend under each wording of A's routes, so a figure here may be set beside the benchmark's. The
wordings come with the data (`FOLDER/taskA_routes.json`); nothing is fitted to them here.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import train

from sidecar.classifiers.embedded.blend import Prepared
from sidecar.classifiers.embedded.tasks import Tasks
from sidecar.classifiers.embedded.weights import read
from sidecar.config.models import Route
from sidecar.routing.intent import Intent

LARGE = 33
"""Sources with at least so many rows are left out one by one."""

WORDINGS = ("short", "long", "paraphrase")


def report(folder, names, packed, dense, rows):
    wordings = json.loads((folder / "taskA_routes.json").read_text("utf8"))
    routes = {w: tuple(Route(r["name"], r["description"], ("some/model",)) for r in wordings[w]) for w in WORDINGS}
    purposes = train.fit_purposes(dense)
    folds = train.folds_of(rows)
    sources = np.array([row["source"] for row in rows])
    large = [s for s, n in Counter(sources).most_common() if n >= LARGE]
    for what, parts in (
        ("no real row seen", [np.ones(len(rows), bool)]),
        ("5 folds by group", [folds == k for k in range(5)]),
        ("each source left out", [sources == s for s in large]),
    ):
        said = []
        for held in parts:
            model = train.fit_tasks(dense, [row for row, out in zip(rows, held, strict=True) if not out])
            said += judged(
                [row for row, out in zip(rows, held, strict=True) if out], routes, names, packed, model, purposes
            )
        for wording in WORDINGS:
            print(f"{what:<22} {wording:<11} {figures([s for s in said if s[0] == wording])}", flush=True)
        if what == "each source left out":
            for source in large:
                print(f"    {source:<34} {figures([s for s in said if s[0] == 'short' and s[1]['source'] == source])}")


def judged(rows, routes, names, packed, model, purposes):
    """(wording, row, best route, confidence) of every row under every wording."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "weights.bin"
        train.write(path, names, packed, {"tasks": model, "purposes": purposes}, quiet=True)
        weights = read(path.read_bytes())
    tasks = Tasks(weights)
    found = []
    for wording, given in routes.items():
        prepared = Prepared(tasks, given, weights.settings)
        for row in rows:
            scores, sure = prepared.score(Intent(row["text"][:6000]))
            best = max(range(len(given)), key=scores.__getitem__)
            found.append((wording, row, given[best].name, sure[best]))
    return found


def figures(said):
    ins = [(row, route, sure) for _, row, route, sure in said if row["label"] != "no_match"]
    outs = [sure for _, row, _, sure in said if row["label"] == "no_match"]
    if not ins:
        return f"{len(outs)} rows, all no match"
    strict = np.mean([route == row["label"] for row, route, _ in ins])
    also = np.mean([route == row["label"] or route in row["also"] for row, route, _ in ins])
    text = f"{len(ins):>4} rows  strict {strict:.1%}  also {also:.1%}"
    if outs:
        surer = np.mean([(sure > np.array(outs)).mean() for _, _, sure in ins])
        text += f"  AUROC {surer:.3f}"
    return text
