"""
How well the embedded classifier routes: `python tests/bench/routing_accuracy.py PATH_TO_DATA`.

PATH_TO_DATA holds taskA/B/B2/C `.dev.jsonl`, their routes and examples. Each task is asked of the embedded classifier, of
TF-IDF over descriptions and examples, and of whoever always says the most frequent label. Accuracy is that of the best
route, whether or not it reached the threshold; "also" counts labels that are as good. AUROC tells rows that belong to a
route from rows that belong to none, by confidence.

The training saw part of task A (tests/training/data/real.jsonl). "unseen" counts only rows it never saw: the
non-commercial and the T0 ones. tests/training/train.py --cross-validate has the figures of held-out folds.
"""

import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from attrs import frozen
from baselines import Judge, TfIdf, majority

from sidecar.classifiers import embedded
from sidecar.classifiers.embedded import EmbeddedClassifier
from sidecar.config.models import Route
from sidecar.routing.intent import Intent, intent_of
from sidecar.wire.conversation import Role, Turn

HERE = Path(__file__).parent
SEEN = HERE.parent / "training" / "data" / "real.jsonl"
UNSEEN_WORDING = (
    ("builder", "turns requirements into working software", "code_generation"),
    ("code-doctor", "what does this snippet do, and why does it crash?", "code_understanding"),
    ("brain", "difficult matters where alternatives have to be judged one against the other", "complex_reasoning"),
    ("sums", "whatever a pocket calculator or a maths teacher would be asked", "math"),
    ("pen", "inventing tales, verses, adverts, letters", "creative_writing"),
    ("nutshell", "what a long document says, in few words", "summarization"),
    ("interpreter", "from one tongue into another", "translation"),
    ("smallTalk_and_facts", "who, what, where, how do I, and a friendly word", "general_qa"),
)
"""A fourth wording of the eight routes, written after the training data and used nowhere else."""


@frozen
class Row:
    intent: Intent
    label: str
    also: tuple[str, ...] = ()
    unseen: bool = True


def embedded_judge(classifier: EmbeddedClassifier) -> Judge:
    def judge(intent: Intent, routes: tuple[Route, ...]) -> tuple[str, float, bool]:
        verdict = classifier.judge(intent, routes)
        return verdict.scores[0][0], verdict.confidence, verdict.route is not None

    return judge


def auroc(ins: Sequence[float], outs: Sequence[float]) -> float:
    """The chance that a row that belongs is surer than one that does not; ties count half (Mann & Whitney 1947)."""
    ordered = sorted([(v, 1) for v in ins] + [(v, 0) for v in outs])
    ranks, start = 0.0, 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        ranks += sum(kind for _, kind in ordered[start:end]) * (start + 1 + end) / 2
        start = end
    return (ranks - len(ins) * (len(ins) + 1) / 2) / (len(ins) * len(outs))


def macro_f1(pairs: Sequence[tuple[str, str]]) -> float:
    """The mean over labels of 2 tp / (2 tp + fp + fn); `pairs`: (label, said)."""
    right = Counter(label for label, said in pairs if label == said)
    total = Counter(label for label, _ in pairs) + Counter(said for _, said in pairs)
    labels = {label for label, _ in pairs}
    return sum(2 * right[label] / total[label] for label in labels) / len(labels)


def line(what: str, rows: Sequence[Row], routes: tuple[Route, ...], judge: Judge) -> str:
    said = [(row, *judge(row.intent, routes)) for row in rows]
    ins = [(row, route, sure, match) for row, route, sure, match in said if row.label != "no_match"]
    outs = [(sure, match) for row, _, sure, match in said if row.label == "no_match"]
    strict = sum(route == row.label for row, route, _, _ in ins) / len(ins)
    also = sum(route == row.label or route in row.also for row, route, _, _ in ins) / len(ins)
    f1 = macro_f1([(row.label, row.label if route in row.also else route) for row, route, _, _ in ins])
    text = f"{what:<44} {len(ins):>5} {strict:>7.1%} {also:>7.1%} {f1:>6.3f}"
    if outs:
        curve = auroc([sure for _, _, sure, _ in ins], [sure for sure, _ in outs])
        refused = sum(not match for _, match in outs) / len(outs)
        wrongly = sum(not match for *_, match in ins) / len(ins)
        text += f" {len(outs):>5} {curve:>6.3f} {refused:>8.1%} {wrongly:>8.1%}"
    return text


HEAD = (
    f"{'':<44} {'rows':>5} {'strict':>7} {'also':>7} {'F1':>6} {'none':>5} {'AUROC':>6} {'refused':>8} {'wrongly':>8}"
)


def lines(path: Path) -> list[dict[str, object]]:
    return list(map(json.loads, path.read_text("utf8").splitlines()))


def routes_of(
    found: Sequence[dict[str, str]], examples: dict[str, list[str]] | None = None, count: int = 0
) -> tuple[Route, ...]:
    own = examples or {}
    return tuple(
        Route(r["name"], r["description"], ("some/model",), tuple(own.get(r["name"], ())[:count])) for r in found
    )


def turns(messages: Sequence[dict[str, str]]) -> tuple[Turn, ...]:
    return tuple(Turn(Role(m["role"]), m["content"]) for m in messages)


def task_a(folder: Path, judges: dict[str, Judge]) -> None:
    seen = {row["id"] for row in lines(SEEN)}
    rows = [
        Row(Intent(str(r["text"])), str(r["label"]), tuple(r["also"]), r["id"] not in seen)
        for r in lines(folder / "taskA.dev.jsonl")
    ]
    wordings = json.loads((folder / "taskA_routes.json").read_text("utf8"))
    unseen = [row for row in rows if row.unseen]
    print(
        f"\nA  eight kinds of work, no examples; {len(rows) - len(unseen)} of {len(rows)} rows were seen by the training\n{HEAD}"
    )
    for name, judge in {**judges, "majority": majority([row.label for row in rows])}.items():
        for wording in ("short", "long", "paraphrase"):
            routes = routes_of(wordings[wording])
            print(line(f"{name}: {wording}, all rows", rows, routes, judge))
            print(line(f"{name}: {wording}, unseen rows", unseen, routes, judge))
    other = {name: label for name, _, label in UNSEEN_WORDING}
    routes = routes_of([{"name": name, "description": what} for name, what, _ in UNSEEN_WORDING])
    for name, judge in judges.items():
        renamed = _renamed(judge, other)
        print(line(f"{name}: unseen wording, all rows", rows, routes, renamed))
        print(line(f"{name}: unseen wording, unseen rows", unseen, routes, renamed))
    demo = routes_of(wordings["demo"])
    pair = {route.name for route in demo}
    kept = [
        Row(r.intent, r.label if r.label in pair else "no_match", r.also, r.unseen)
        for r in rows
        if r.label in pair or not pair & set(r.also)
    ]
    for name, judge in judges.items():
        print(line(f"{name}: the demo's two routes, all rows", kept, demo, judge))
    demo_prompts(demo, judges)


def _renamed(judge: Judge, names: dict[str, str]) -> Judge:
    def renamed(intent: Intent, routes: tuple[Route, ...]) -> tuple[str, float, bool]:
        route, sure, match = judge(intent, routes)
        return names[route], sure, match

    return renamed


def demo_prompts(routes: tuple[Route, ...], judges: dict[str, Judge]) -> None:
    """The demo's five steps in many words, and small talk that belongs to neither route; in both orders of the routes."""
    written = [text.split("\t") for text in (HERE / "demo_prompts.tsv").read_text("utf8").splitlines()]
    rows = [Row(Intent(text), label) for label, text in written]
    for name, judge in judges.items():
        for order, given in (("", routes), (", reversed", routes[::-1])):
            print(line(f"{name}: demo's paraphrases{order}", rows, given, judge))


def task_b(folder: Path, judges: dict[str, Judge]) -> None:
    rows = [Row(Intent(str(r["text"])), str(r["label"])) for r in lines(folder / "taskB.dev.jsonl")]
    found = json.loads((folder / "taskB_routes.json").read_text("utf8"))
    examples = json.loads((folder / "taskB_examples.json").read_text("utf8"))
    print(f"\nB  CLINC150, none of it seen by the training\n{HEAD}")
    for name, judge in {**judges, "majority": majority([row.label for row in rows])}.items():
        for count in (0, 5, 10):
            print(line(f"{name}: {count} examples", rows, routes_of(found, examples, count), judge))
    rows = [Row(Intent(str(r["text"])), str(r["label"])) for r in lines(folder / "taskB2.dev.jsonl")]
    examples = json.loads((folder / "taskB2_examples.json").read_text("utf8"))
    named = [{"name": name, "description": ""} for name in examples]
    print(f"\nB2 Banking77, names and examples only, none of it seen by the training\n{HEAD}")
    for name, judge in {**judges, "majority": majority([row.label for row in rows])}.items():
        print(line(f"{name}: 10 examples", rows, routes_of(named, examples, 10), judge))


def task_c(folder: Path, judges: dict[str, Judge]) -> None:
    wordings = json.loads((folder / "taskA_routes.json").read_text("utf8"))
    found = lines(folder / "taskC.dev.jsonl")
    print(f"\nC  the last turn leans on those before it; openings come from A\n{HEAD}")
    for name, judge in judges.items():
        for wording in ("short", "long", "paraphrase"):
            for how, first in (("with the conversation", 0), ("last message alone", -1)):
                by_type = defaultdict(list)
                for r in found:
                    row = Row(intent_of(turns(r["messages"][first:])), str(r["label"]), tuple(r["also"]))
                    by_type[r["type"]].append(row)
                rows = [row for own in by_type.values() for row in own]
                print(line(f"{name}: {wording}, {how}", rows, routes_of(wordings[wording]), judge))
                if name == "embedded" and wording == "short":
                    for kind, own in by_type.items():
                        print(line(f"    {kind}", own, routes_of(wordings[wording]), judge))


def speed(folder: Path, judges: dict[str, Judge]) -> None:
    routes = routes_of(json.loads((folder / "taskA_routes.json").read_text("utf8"))["short"])
    rows = lines(folder / "taskA.dev.jsonl")
    text = "\n".join(str(r["text"]) for r in rows if len(str(r["text"])) < 400) * 2
    print(
        "\nlatency p50 / p90 in ms, eight routes, from conversation to verdict, a new text each time (4 characters a token)"
    )
    for name, judge in judges.items():
        for tokens in (20, 200, 2_000, 20_000):
            took = []
            for turn in range(300):
                start = turn * 391 % (len(text) - 4 * tokens)
                conversation = (Turn(Role.USER, text[start : start + 4 * tokens]),)
                began = time.perf_counter()
                judge(intent_of(conversation), routes)
                took.append((time.perf_counter() - began) * 1000)
            print(f"{name:<10} {tokens:>6} tokens  {median(took):.3f} / {sorted(took)[270]:.3f}")


PROBE = """
import asyncio, importlib.resources, json, sys, time
from sidecar.config.models import Route
from sidecar.routing.intent import Intent
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6
before, began = resident(), time.perf_counter()
from sidecar.classifiers.embedded import EmbeddedClassifier
routes = tuple(Route(r['name'], r['description'], ('some/model',)) for r in json.load(open(sys.argv[1]))[:20])
classifier = EmbeddedClassifier()
loaded = time.perf_counter()
classifier.prepare(routes)
ready, started = time.perf_counter(), resident()
for line in open(sys.argv[2]):
    classifier.judge(Intent(json.loads(line)['text'][:6000]), routes)
print(loaded - began, ready - loaded, started - before, resident() - before)
"""


def footprint(folder: Path) -> None:
    command = [sys.executable, "-c", PROBE, str(folder / "taskB_routes.json"), str(folder / "taskA.dev.jsonl")]
    runs = [
        [float(v) for v in subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()]  # noqa: S603  our own probe
        for _ in range(3)
    ]
    load, prepare, started, used = (min(column) for column in zip(*runs, strict=True))
    package = Path(embedded.__file__).parent
    size = sum(path.stat().st_size for path in package.iterdir() if path.is_file()) / 1e6
    print(f"\nstart: load {load * 1000:.0f} ms + read 20 routes {prepare * 1000:.0f} ms (best of three processes)")
    print(f"memory added: {started:.1f} MB at the start, {used:.1f} MB after the prompts of A")
    print(f"install size added: {size:.1f} MB, no dependency")


def main() -> None:
    folder = Path(sys.argv[1])
    judges: dict[str, Judge] = {"embedded": embedded_judge(EmbeddedClassifier()), "tf-idf": TfIdf()}
    for task in (task_a, task_b, task_c, speed):
        task(folder, judges)
    footprint(folder)


if __name__ == "__main__":
    main()
